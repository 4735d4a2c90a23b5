//! What all kernels of the path are launched with, according to the plan.

use cudarc::driver::{CudaView, CudaViewMut};

use super::plan::{Plan, Staging};
use crate::backend::cuda::bindings::{
    Input, Problem, STORAGE_F64, Status, ThreadAdjoint, ThreadChunks, ThreadProblem, ThreadRing,
    ThreadSolve,
};
use crate::backend::cuda::driver::kernel::{LaunchShape, check_length};
use crate::backend::cuda::driver::{Buffer, CudaDevice};
use crate::backend::cuda::path::{CotangentView, GradientOutputs, PartProblem, SolutionViewMut};
use crate::error::Result;
use crate::inputs::Inputs;

impl Plan {
    /// Checks an array with the values (N, K, Q) of each system of a part.
    fn check_values(&self, problem: &PartProblem<'_>, what: &str, len: usize) -> Result<()> {
        check_length(what, problem.systems() * self.points * self.block(), len)
    }

    /// Returns the shape in which a kernel with this staging is launched for so many systems.
    pub fn shape(&self, systems: usize, staging: &Staging) -> LaunchShape {
        LaunchShape {
            blocks: self.blocks(systems) as u64,
            threads: (self.block_threads() as u32, 1),
            dynamic_shared: self.block_bytes(staging),
        }
    }

    /// Checks the arrays of a solve, and returns what its kernels take.
    pub fn solve_arguments<T>(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<ThreadSolve> {
        self.check_values(problem, "solution", solution.values.len())?;
        check_length("epsilon", problem.systems(), solution.epsilon.len())?;
        check_length("status", problem.systems(), solution.status.len())?;
        let of_factor = self.workspace(problem.systems()).of_factor;
        let common = self.arguments(device, &self.forward, problem, workspace)?;
        let workspace = device.address_mut(workspace).pointer::<u8>();
        Ok(ThreadSolve {
            common,
            solution: device.address_mut(&mut solution.values).pointer(),
            epsilon: device.address_mut(&mut solution.epsilon).pointer(),
            status: device.address_mut(&mut solution.status).pointer(),
            of_factor: of_factor
                .map_or(std::ptr::null(), |offset| workspace.wrapping_add(offset).cast()),
        })
    }

    /// Checks the arrays of a vjp, and returns what its kernels take.
    pub fn adjoint_arguments<T>(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<ThreadAdjoint> {
        check_length("status", problem.systems(), status.len())?;
        self.check_values(problem, "cotangent", cotangent.values.len())?;
        gradients.check(problem, problem.systems().div_ceil(self.group()))?;
        Ok(ThreadAdjoint {
            common: self.arguments(device, &self.adjoint, problem, workspace)?,
            cotangent: device.address(&cotangent.values).pointer(),
            status: device.address(status).pointer(),
            coefficients: gradients.inputs.coefficients.array,
            rhs: gradients.inputs.rhs.array,
            initial_values: gradients.inputs.initial_values.array,
            steps: gradients.inputs.steps.array,
            weights: gradients.weights.array,
        })
    }

    /// Returns the argument that all kernels take, with the workspace divided into its arrays.
    fn arguments(
        &self,
        device: &CudaDevice,
        staging: &Staging,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
    ) -> Result<ThreadProblem> {
        let arrays = self.workspace(problem.systems());
        let enough = workspace.len().min(arrays.bytes);
        check_length("workspace", arrays.bytes, enough)?;
        let base = device.address_mut(workspace).pointer::<u8>();
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
                refinement: i32::try_from(self.refinement).unwrap_or(i32::MAX),
                ..problem.parameters
            },
            rows: self.rows,
            coefficients,
            rhs,
            initial_values,
            steps,
            unknowns: in_slots(staging.unknowns, wide),
            wide,
            one_factor: i32::from(self.one_factor),
            factor: vector(arrays.factor),
            solution: vector(arrays.solution),
            vector: vector(arrays.vector),
            given: arrays.given.map_or(none, vector),
            direction: arrays.direction.map_or(none, vector),
            chunks: ThreadChunks {
                bits: self.chunks.map_or(0, |chunks| chunks.bits as i32),
                span_bits: self.chunks.map_or(0, |chunks| chunks.span_bits as i32),
                warp_values: (staging.bytes / 8) as i32,
                scratch: staging.scratch as i32,
                spikes: arrays.spikes.map_or(none, vector),
                separators: arrays.separators.map_or(none, vector),
                findings: arrays.findings.map_or(none, vector).cast(),
            },
        })
    }
}

/// Returns what the kernel of solves takes for the factor of all systems, given what theirs takes: the problem of
/// the first one, whose equations and initial values are all zero, as many as in `zeros`.
pub fn factor_arguments(solve: &ThreadSolve, zeros: &Buffer<f64>) -> ThreadSolve {
    let problem = solve.common.problem;
    let zeros = |input: Input| Input {
        data: zeros.device().address(&zeros.view()).pointer(),
        system: 0,
        outer: [0; 2],
        time: 0,
        shared: 1,
        dense: 1,
        storage: STORAGE_F64,
        ..input
    };
    let problem = Problem {
        batch: 1,
        refinement: 0,
        rhs: zeros(problem.rhs),
        initial_values: zeros(problem.initial_values),
        ..problem
    };
    ThreadSolve {
        common: ThreadProblem { problem, one_factor: 0, ..solve.common },
        status: solve.of_factor.cast_mut(),
        ..*solve
    }
}

/// Returns a ring of the plan, whose capacity is in bytes, with slots of 8 bytes or of 4.
fn in_slots(ring: ThreadRing, wide: i32) -> ThreadRing {
    ThreadRing { capacity: ring.capacity / if wide != 0 { 8 } else { 4 }, ..ring }
}
