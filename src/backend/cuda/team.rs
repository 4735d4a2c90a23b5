//! The general path: a team of threads works on each system (kernels/team_*.cu). It takes every
//! problem that the CPU takes, as far as the working set of a system fits a block's shared memory.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::device::CudaDevice;
use super::launch::team::TeamKernels;
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

use plan::Plan;

/// Plan and kernels.
pub struct TeamPath<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    kernels: TeamKernels<T>,
}

impl<T: Real> TeamPath<T> {
    /// For problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) if one system is too large for the device,
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, options: &Options) -> Result<Self> {
        let plan = Plan::new::<T>(shape, options, device.limits())?;
        let kernels = TeamKernels::new(device, plan.kind)?;
        Ok(TeamPath { device: device.clone(), plan, kernels })
    }
}

impl<T> fmt::Display for TeamPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for TeamPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.plan.workspace(systems).bytes
    }

    fn group(&self) -> usize {
        self.plan.group
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
        self.kernels.forward(&self.device, &self.plan, problem, workspace, solution)
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
