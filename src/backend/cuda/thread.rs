//! The path for small systems: one a thread, or, where the batch is small and time is long, one chunk of
//! the time points of a system a thread (`kernels/thread_*.cu`).
//!
//! It takes least-squares problems with rows on two points, without periodic rows, of a few sizes
//! K, Q for which the blocks stay in registers.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::bindings::Status;
use super::device::CudaDevice;
use super::launch::thread::ThreadKernels;
use super::path::{CotangentView, GradientOutputs, PartProblem, Path, SolutionViewMut};
use crate::error::Result;
use crate::real::Real;

pub mod chunks;
pub mod plan;
mod rows;
#[cfg(test)]
mod tests;

use plan::Plan;

/// Plan and kernels.
pub struct ThreadPath<T> {
    device: Arc<CudaDevice>,
    kernels: ThreadKernels<T>,
}

impl<T: Real> ThreadPath<T> {
    /// According to a plan.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let kernels = ThreadKernels::new(device, plan)?;
        Ok(ThreadPath { device: device.clone(), kernels })
    }
}

impl<T> fmt::Display for ThreadPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kernels.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for ThreadPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.kernels.plan.workspace(systems).bytes
    }

    fn group(&self) -> usize {
        self.kernels.plan.group()
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
        self.kernels.solve(&self.device, problem, workspace, solution)
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let device = &self.device;
        self.kernels.adjoint(device, problem, workspace, status, cotangent, gradients)
    }
}
