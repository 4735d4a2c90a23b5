//! Launches of the operations that only teams have: a solve of their own, then
//! `kernels/team/tangent.cu`, `defects.cu` and `variances.cu` with its factor and iterate.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::Teams;
use super::plan::Plan;
use crate::backend::cuda::bindings::{
    Status, TeamDefects, TeamPlan, TeamSolution, TeamTangent, TeamVariances,
};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Kernel, check_length};
use crate::backend::cuda::path::PartProblem;
use crate::backend::cuda::path::{SolutionViewMut, TangentInputs};
use crate::error::Result;
use crate::real::Real;

/// Teams that solve, and what they compute from that.
pub struct ColdTeams<T> {
    teams: Teams,
    forward: Kernel<(TeamPlan, TeamSolution)>,
    tangent: Kernel<(TeamPlan, TeamTangent)>,
    defects: Kernel<(TeamPlan, TeamDefects)>,
    variances: Kernel<(TeamPlan, TeamVariances)>,
    values: PhantomData<T>,
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
        let teams = Teams { device: device.clone(), plan };
        Ok(ColdTeams {
            forward: teams.kernel("team_forward")?,
            tangent: teams.kernel("team_tangent")?,
            defects: teams.kernel("team_defects")?,
            variances: teams.kernel("team_variances")?,
            teams,
            values: PhantomData,
        })
    }

    /// Bytes of the workspace for so many systems.
    pub fn workspace(&self, systems: usize) -> usize {
        self.teams.plan.workspace(systems).bytes
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
        let output = self.teams.solution(problem, solution)?;
        let bytes = self.teams.plan.forward_bytes();
        self.teams.launch(&self.forward, problem, workspace, 1, bytes, output)
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
        self.teams.check_values(problem, "tangent", tangent.values.len())?;
        check_length("tangent of epsilon", problem.systems(), tangent.epsilon.len())?;
        tangents.check(problem)?;
        let output = TeamTangent {
            status,
            own_status,
            coefficients: tangents.inputs.coefficients.array,
            rhs: tangents.inputs.rhs.array,
            initial_values: tangents.inputs.initial_values.array,
            steps: tangents.inputs.steps.array,
            d_values: self.teams.device.address_mut(&mut tangent.values).pointer(),
            d_epsilon: self.teams.device.address_mut(&mut tangent.epsilon).pointer(),
        };
        let bytes = self.teams.plan.tangent_bytes();
        self.teams.launch(&self.tangent, problem, workspace, 1, bytes, output)
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
        check_length("sums of the defects", 4 * problem.systems(), sums.len())?;
        let sums = self.teams.device.address_mut(sums).pointer();
        let output = TeamDefects { status, own_status, sums };
        let bytes = self.teams.plan.defects_bytes();
        self.teams.launch(&self.defects, problem, workspace, 1, bytes, output)
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
        self.teams.check_values(problem, "variances", values.len())?;
        let values = self.teams.device.address_mut(values).pointer();
        let output = TeamVariances { status, own_status, values };
        let bytes = self.teams.plan.variances_bytes();
        self.teams.launch(&self.variances, problem, workspace, 1, bytes, output)
    }

    fn addresses(
        &self,
        problem: &PartProblem<'_>,
        statuses: &Statuses<'_>,
    ) -> Result<(*const Status, *const Status)> {
        let address = |view: &CudaView<'_, Status>| {
            check_length("status", problem.systems(), view.len())?;
            Ok(self.teams.device.address(view).pointer::<Status>().cast_const())
        };
        Ok((address(&statuses.known)?, address(&statuses.own)?))
    }
}
