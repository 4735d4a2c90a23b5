//! The path for small systems, where each system has one thread, or, where the batch is small and
//! time is long, each chunk of the time points of a system (`kernels/thread/*.cu`).
//!
//! It takes least-squares problems with rows on two points, without periodic rows, of a few sizes
//! K, Q for which the blocks stay in registers.

pub mod chunks;
pub mod plan;
mod rows;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::{
    Problem, STORAGE_F64, Status, ThreadAdjoint, ThreadChunks, ThreadProblem, ThreadRing,
    ThreadSolve,
};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Kernel, LaunchShape, check_length};
use crate::backend::cuda::path::PartProblem;
use crate::backend::cuda::path::{CotangentView, GradientOutputs, Path, SolutionViewMut};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::real::Real;

use plan::{Plan, Staging};

/// The path of one size (K, Q), with its kernels for solves and gradients.
pub struct ThreadPath<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    solve: Kernel<(ThreadSolve,)>,
    adjoint: Kernel<(ThreadAdjoint,)>,
    values: PhantomData<T>,
}

impl<T: Real> ThreadPath<T> {
    /// Makes the path according to a plan, and looks its kernels up.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let (k, q) = plan.size;
        let [solve, adjoint] = match plan.chunks {
            Some(_) => ["thread_chunk_solve", "thread_chunk_adjoint"],
            None => ["thread_solve", "thread_adjoint"],
        };
        Ok(ThreadPath {
            solve: device.kernel(&format!("{solve}_{k}_{q}"))?,
            adjoint: device.kernel(&format!("{adjoint}_{k}_{q}"))?,
            device: device.clone(),
            plan,
            values: PhantomData,
        })
    }

    /// Checks an array with the values (N, K, Q) of each system of a part.
    fn check_values(&self, problem: &PartProblem<'_>, what: &str, len: usize) -> Result<()> {
        check_length(what, problem.systems() * self.plan.points * self.plan.block(), len)
    }

    /// Returns the shape in which a kernel with this staging is launched for a part.
    fn shape(&self, problem: &PartProblem<'_>, staging: &Staging) -> LaunchShape {
        LaunchShape {
            blocks: self.plan.blocks(problem.systems()) as u64,
            threads: (self.plan.block_threads() as u32, 1),
            dynamic_shared: self.plan.block_bytes(staging.bytes),
        }
    }

    /// Returns the argument that both kernels take, with the workspace divided into its arrays.
    fn common(
        &self,
        staging: &Staging,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
    ) -> Result<ThreadProblem> {
        let plan = &self.plan;
        let arrays = plan.workspace(problem.systems());
        let enough = workspace.len().min(arrays.bytes);
        check_length("workspace", arrays.bytes, enough)?;
        let base = self.device.address_mut(workspace).pointer::<u8>();
        let vector = |offset: usize| base.wrapping_add(offset).cast::<f64>();
        let none = std::ptr::null_mut();
        let parameters = &problem.parameters;
        let inputs =
            [parameters.coefficients, parameters.rhs, parameters.initial_values, parameters.steps];
        let wide = parameters.results == STORAGE_F64
            || inputs.iter().any(|input| input.storage == STORAGE_F64);
        let wide = i32::from(wide);
        let Inputs { coefficients, rhs, initial_values, steps } =
            staging.inputs.map(|ring| in_slots(ring, wide));
        Ok(ThreadProblem {
            problem: Problem {
                refinement: i32::try_from(plan.refinement).unwrap_or(i32::MAX),
                ..problem.parameters
            },
            rows: plan.rows,
            coefficients,
            rhs,
            initial_values,
            steps,
            unknowns: in_slots(staging.unknowns, wide),
            wide,
            reserved: 0,
            factor: vector(arrays.factor),
            solution: vector(arrays.solution),
            vector: vector(arrays.vector),
            given: arrays.given.map_or(none, vector),
            direction: arrays.direction.map_or(none, vector),
            chunks: ThreadChunks {
                bits: plan.chunks.map_or(0, |chunks| chunks.bits as i32),
                warp_values: (staging.bytes / 8) as i32,
                scratch: staging.scratch as i32,
                reserved: 0,
                spikes: arrays.spikes.map_or(none, vector),
                separators: arrays.separators.map_or(none, vector),
            },
        })
    }
}

/// Returns a ring of the plan, whose capacity is in bytes, with slots of 8 bytes or of 4.
fn in_slots(ring: ThreadRing, wide: i32) -> ThreadRing {
    ThreadRing { capacity: ring.capacity / if wide != 0 { 8 } else { 4 }, ..ring }
}

impl<T> fmt::Display for ThreadPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for ThreadPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.plan.workspace(systems).bytes
    }

    fn group(&self) -> usize {
        self.plan.group()
    }

    fn launches(&self) -> (usize, usize) {
        (1, 1)
    }

    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        self.check_values(problem, "solution", solution.values.len())?;
        check_length("epsilon", problem.systems(), solution.epsilon.len())?;
        check_length("status", problem.systems(), solution.status.len())?;
        let (device, staging) = (&*self.device, &self.plan.forward);
        let parameters = ThreadSolve {
            common: self.common(staging, problem, workspace)?,
            solution: device.address_mut(&mut solution.values).pointer(),
            epsilon: device.address_mut(&mut solution.epsilon).pointer(),
            status: device.address_mut(&mut solution.status).pointer(),
        };
        self.solve.launch(device, self.shape(problem, staging), &(parameters,))
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        check_length("status", problem.systems(), status.len())?;
        self.check_values(problem, "cotangent", cotangent.values.len())?;
        gradients.check(problem, problem.systems().div_ceil(self.plan.group()))?;
        let (device, staging) = (&*self.device, &self.plan.adjoint);
        let parameters = ThreadAdjoint {
            common: self.common(staging, problem, workspace)?,
            cotangent: device.address(&cotangent.values).pointer(),
            status: device.address(status).pointer(),
            coefficients: gradients.inputs.coefficients.array,
            rhs: gradients.inputs.rhs.array,
            initial_values: gradients.inputs.initial_values.array,
            steps: gradients.inputs.steps.array,
            weights: gradients.weights.array,
        };
        self.adjoint.launch(device, self.shape(problem, staging), &(parameters,))
    }
}
