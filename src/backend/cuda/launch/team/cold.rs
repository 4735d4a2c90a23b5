//! Launches of the operations that only teams have: a solve of their own, then
//! `kernels/team/tangent.cu`, `defects.cu` and `variances.cu` with its factor and iterate.

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::{TeamSolver, address_mut, check_length};
use crate::backend::cuda::bindings::{Status, TeamDefects, TeamTangent, TeamVariances};
use crate::backend::cuda::device::{CudaDevice, Kernel};
use crate::backend::cuda::path::{PartProblem, SolutionViewMut, TangentInputs};
use crate::backend::cuda::team::plan::Plan;
use crate::error::Result;
use crate::real::Real;

/// Teams that solve, and what they compute from that.
pub struct ColdTeams<T> {
    solver: TeamSolver<T>,
    tangent: Kernel,
    defects: Kernel,
    variances: Kernel,
}

/// The statuses (systems) of a part: of the solve whose solution the caller has, and of the one that
/// left its factor in the workspace.
pub struct Statuses<'a> {
    /// The caller's.
    pub known: CudaView<'a, Status>,
    /// The teams' own.
    pub own: CudaView<'a, Status>,
}

impl<T: Real> ColdTeams<T> {
    /// According to a plan that was made for these operations.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let solver = TeamSolver::new(device, plan)?;
        Ok(ColdTeams {
            tangent: solver.kernel("team_tangent")?,
            defects: solver.kernel("team_defects")?,
            variances: solver.kernel("team_variances")?,
            solver,
        })
    }

    /// Bytes of the workspace for so many systems.
    pub fn workspace(&self, systems: usize) -> usize {
        self.solver.workspace(systems)
    }

    /// Solves the part, and leaves what the others need in the workspace.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) if an array is too short, [`Error::Device`](crate::Error);
    /// so it is below.
    pub fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        self.solver.solve(problem, workspace, solution)
    }

    /// Directional derivative of the solution: values and epsilon of `tangent` are written, zero
    /// for systems that the caller's solve did not solve, else NaN for those that the own did not;
    /// its status is not touched.
    pub fn tangent(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        statuses: &Statuses<'_>,
        tangents: &TangentInputs<'_>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let (status, own_status) = self.addresses(problem, statuses)?;
        self.solver.check_values(problem, "tangent", tangent.values.len())?;
        self.solver.check_systems(problem, "tangent of epsilon", tangent.epsilon.len())?;
        tangents.check(problem)?;
        let output = TeamTangent {
            status,
            own_status,
            coefficients: tangents.inputs.coefficients.array,
            rhs: tangents.inputs.rhs.array,
            initial_values: tangents.inputs.initial_values.array,
            steps: tangents.inputs.steps.array,
            d_values: address_mut(&self.solver.device, &mut tangent.values),
            d_epsilon: address_mut(&self.solver.device, &mut tangent.epsilon),
        };
        let bytes = self.solver.plan.tangent_bytes();
        self.solver.launch(&self.tangent, problem, workspace, 1, bytes, &output)
    }

    /// Sums of the squared weighted defects of every system, (systems, 4): equation, initial,
    /// smoothness, periodic. NaN for systems of which a solve failed.
    pub fn squared_defects(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        statuses: &Statuses<'_>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let (status, own_status) = self.addresses(problem, statuses)?;
        check_length("sums of the defects", 4 * problem.parameters.batch as usize, sums.len())?;
        let sums = address_mut(&self.solver.device, sums).cast();
        let output = TeamDefects { status, own_status, sums };
        let bytes = self.solver.plan.defects_bytes();
        self.solver.launch(&self.defects, problem, workspace, 1, bytes, &output)
    }

    /// Variances of the solution, (systems, N, K, Q). NaN for systems of which a solve failed.
    pub fn variances(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        statuses: &Statuses<'_>,
        values: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let (status, own_status) = self.addresses(problem, statuses)?;
        self.solver.check_values(problem, "variances", values.len())?;
        let values = address_mut(&self.solver.device, values);
        let output = TeamVariances { status, own_status, values };
        let bytes = self.solver.plan.variances_bytes();
        self.solver.launch(&self.variances, problem, workspace, 1, bytes, &output)
    }

    fn addresses(
        &self,
        problem: &PartProblem<'_>,
        statuses: &Statuses<'_>,
    ) -> Result<(*const Status, *const Status)> {
        let address = |view: &CudaView<'_, Status>| {
            self.solver.check_systems(problem, "status", view.len())?;
            Ok(self.solver.address(view).cast())
        };
        Ok((address(&statuses.known)?, address(&statuses.own)?))
    }
}
