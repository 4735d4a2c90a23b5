//! The path for large batches of small systems: one system a thread (`kernels/thread_*.cu`).
//!
//! It takes least-squares problems with rows on two points, without periodic rows, of a few sizes
//! K, Q for which the blocks stay in registers.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::device::CudaDevice;
use super::launch::thread::ThreadKernels;
use super::parameters::Status;
use super::path::{
    CotangentView, GradientOutputs, PartProblem, Path, SolutionViewMut, TangentInputs,
};
use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

pub mod parameters;
pub mod plan;
#[cfg(test)]
mod tests;

use plan::{Plan, TILE};

/// Plan and kernels.
pub struct ThreadPath<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    kernels: ThreadKernels<T>,
}

impl<T: Real> ThreadPath<T> {
    /// For problems of this shape; `None` if there are no kernels for them.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
    ) -> Result<Option<Self>> {
        let Some(plan) = Plan::new::<T>(shape, options) else { return Ok(None) };
        let kernels = ThreadKernels::new(device, &plan)?;
        Ok(Some(ThreadPath { device: device.clone(), plan, kernels }))
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
        TILE
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
        self.kernels.solve(&self.device, &self.plan, problem, workspace, solution)
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let (device, plan) = (&self.device, &self.plan);
        self.kernels.adjoint(device, plan, problem, workspace, status, cotangent, gradients)
    }

    fn jvp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        tangents: &TangentInputs<'_>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let (device, plan) = (&self.device, &self.plan);
        self.kernels.tangent(device, plan, problem, workspace, status, tangents, tangent)
    }

    fn squared_defects(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        self.kernels.defects(&self.device, &self.plan, problem, workspace, status, sums)
    }
}
