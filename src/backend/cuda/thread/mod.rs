//! The path for small systems, where each half of the time points of a system has a thread, or, where
//! the batch is small and time is long, each chunk of them (`kernels/thread/*.cu`). The chunks of a
//! system are in one block, or spread over many (`spans.rs`).
//!
//! It takes least-squares problems with rows on two points, without periodic rows, of a few sizes
//! K, Q for which the blocks stay in registers.

mod arguments;
pub mod chunks;
pub mod plan;
mod rows;
mod spans;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::{Status, ThreadAdjoint, ThreadSolve};
use crate::backend::cuda::driver::kernel::Kernel;
use crate::backend::cuda::driver::{Buffer, CudaDevice};
use crate::backend::cuda::path::PartProblem;
use crate::backend::cuda::path::{CotangentView, GradientOutputs, Path, SolutionViewMut};
use crate::error::Result;
use crate::real::Real;

use arguments::factor_arguments;
use plan::Plan;
use spans::SpanPath;

/// Makes the path according to a plan.
///
/// # Errors
/// [`Error::Device`](crate::Error) if its kernels cannot be loaded.
pub fn path<T: Real>(device: &Arc<CudaDevice>, plan: Plan) -> Result<Box<dyn Path<T>>> {
    Ok(match plan.chunks.filter(|chunks| chunks.spans() > 1) {
        Some(chunks) => Box::new(SpanPath::new(device, plan, chunks)?),
        None => Box::new(ThreadPath::new(device, plan)?),
    })
}

/// The path of one size (K, Q), with its kernels for solves and gradients, one for each.
struct ThreadPath<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    solve: Kernel<(ThreadSolve,)>,
    adjoint: Kernel<(ThreadAdjoint,)>,
    one_factor: Option<OneFactor>,
    values: PhantomData<T>,
}

/// What a path has where all systems have one factor.
struct OneFactor {
    /// Kernel for solves with that factor.
    resolve: Kernel<(ThreadSolve,)>,
    /// Right-hand side of a point, or its initial values, of the problem that is solved for its factor.
    zeros: Buffer<f64>,
}

impl<T: Real> ThreadPath<T> {
    /// Makes the path according to a plan, and looks its kernels up.
    fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let (k, q) = plan.size;
        let [solve, adjoint] = match plan.chunks {
            Some(_) => ["thread_chunk_solve", "thread_chunk_adjoint"],
            None => ["thread_solve", "thread_adjoint"],
        };
        Ok(ThreadPath {
            solve: device.kernel(&format!("{solve}_{k}_{q}"))?,
            adjoint: device.kernel(&format!("{adjoint}_{k}_{q}"))?,
            one_factor: plan.one_factor.then(|| OneFactor::new(device, &plan)).transpose()?,
            device: device.clone(),
            plan,
            values: PhantomData,
        })
    }
}

impl OneFactor {
    fn new(device: &Arc<CudaDevice>, plan: &Plan) -> Result<Self> {
        let (k, q) = plan.size;
        Ok(OneFactor {
            resolve: device.kernel(&format!("thread_resolve_{k}_{q}"))?,
            zeros: Buffer::zeros(device, "zeros", plan.equations.max(plan.block()))?,
        })
    }
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

    fn has_one_factor(&self) -> bool {
        self.plan.one_factor
    }

    fn factorize(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let Self { device, plan, .. } = self;
        let Some(OneFactor { zeros, .. }) = &self.one_factor else { return Ok(()) };
        let parameters = plan.solve_arguments(device, problem, workspace, solution)?;
        let parameters = factor_arguments(&parameters, zeros);
        self.solve.launch(device, plan.shape(1, &plan.forward), &(parameters,))
    }

    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let Self { device, plan, solve, one_factor, .. } = self;
        let parameters = plan.solve_arguments(device, problem, workspace, solution)?;
        let kernel = one_factor.as_ref().map_or(solve, |one| &one.resolve);
        kernel.launch(device, plan.shape(problem.systems(), &plan.forward), &(parameters,))
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let Self { device, plan, .. } = self;
        let parameters =
            plan.adjoint_arguments(device, problem, workspace, status, cotangent, gradients)?;
        self.adjoint.launch(device, plan.shape(problem.systems(), &plan.adjoint), &(parameters,))
    }
}
