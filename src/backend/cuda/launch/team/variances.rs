//! Launch of `kernels/team/variances.cu`, after a solve of its own.

use std::sync::Arc;

use cudarc::driver::CudaViewMut;

use super::{TeamSolver, address_mut};
use crate::backend::cuda::bindings::TeamVariances;
use crate::backend::cuda::device::{CudaDevice, Kernel};
use crate::backend::cuda::path::{PartProblem, SolutionViewMut};
use crate::backend::cuda::team::plan::Plan;
use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// Teams that solve and then invert.
pub struct VariancesPath<T> {
    solver: TeamSolver<T>,
    kernel: Kernel,
}

impl<T: Real> VariancesPath<T> {
    /// For problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) if one system has more values than the kernels can count,
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, options: &Options) -> Result<Self> {
        Self::with_plan(device, Plan::for_variances(shape, options, device.limits())?)
    }

    /// With a plan that was made already, for variances.
    pub(in crate::backend::cuda) fn with_plan(
        device: &Arc<CudaDevice>,
        plan: Plan,
    ) -> Result<Self> {
        let solver = TeamSolver::new(device, plan)?;
        Ok(VariancesPath { kernel: solver.kernel("team_variances")?, solver })
    }

    /// Bytes of the workspace for so many systems.
    pub fn workspace(&self, systems: usize) -> usize {
        self.solver.workspace(systems)
    }

    /// Solves the part, then writes the variances in the place of the values: NaN for systems that
    /// were not solved.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) if an array is too short, [`Error::Device`](crate::Error).
    pub fn compute(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        self.solver.solve(problem, workspace, solution)?;
        let output = TeamVariances {
            status: address_mut(&self.solver.device, &mut solution.status).cast(),
            values: address_mut(&self.solver.device, &mut solution.values),
        };
        let bytes = self.solver.plan.variances_bytes();
        self.solver.launch(&self.kernel, problem, workspace, 1, bytes, &output)
    }
}
