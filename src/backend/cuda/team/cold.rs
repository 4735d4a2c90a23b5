//! The launches of the operations that only teams have: they solve on their own, then run
//! `kernels/team/tangent.cu`, `defects.cu` and `variances.cu` with its factor and iterate.

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::Teams;
use super::plan::Plan;
use crate::backend::cuda::bindings::{
    Input, Status, TeamDefects, TeamPlan, TeamSolution, TeamTangent, TeamVariances,
};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, Kernel, check_length};
use crate::backend::cuda::path::PartProblem;
use crate::backend::cuda::path::{CotangentView, SolutionViewMut, TangentInputs};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::real::Real;

/// The teams that solve, and the operations that they compute from their solution.
pub struct ColdTeams<T> {
    teams: Teams,
    forward: Kernel<(TeamPlan, TeamSolution)>,
    tangent: Kernel<(TeamPlan, TeamTangent)>,
    defects: Kernel<(TeamPlan, TeamDefects)>,
    variances: Kernel<(TeamPlan, TeamVariances)>,
    values: PhantomData<T>,
}

/// The statuses (systems) of a part: those of the solve whose solution the caller has, and those of
/// the solve that left its factor in the workspace.
pub struct Statuses<'a> {
    /// Statuses of the caller's solve.
    pub known: CudaView<'a, Status>,
    /// Statuses of the teams' own solve.
    pub own: CudaView<'a, Status>,
}

/// The right-hand side r of M x = r for one part.
pub enum RightHandSide<'a, T> {
    /// That of the tangent, as the inputs move.
    OfTangent(TangentInputs<'a>),
    /// In the layout of the solution.
    Given(CotangentView<'a, T>),
}

impl<T: Real> ColdTeams<T> {
    /// Makes the teams according to a plan that was made for these operations.
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

    /// Returns the bytes of the workspace for this many systems.
    pub fn workspace(&self, systems: usize) -> usize {
        self.teams.plan.workspace(systems).bytes
    }

    /// Solves the part, and leaves in the workspace what the other operations need.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) if an array is too short, [`Error::Device`](crate::Error)
    /// if the device fails; the other operations have the same errors.
    pub fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let output = self.teams.solution(problem, solution)?;
        let memory = self.teams.plan.forward_memory();
        self.teams.launch(&self.forward, problem, workspace, 1, &memory, output)
    }

    /// Solves M x = r: for the right-hand side of the tangent, whose x is the directional derivative of
    /// the solution, or for a given one. The values and epsilon of `result` are written, with zero
    /// for systems that the caller's solve did not solve, and NaN for others that the teams' own
    /// solve did not; its status is not touched.
    pub fn response(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        statuses: &Statuses<'_>,
        to: &RightHandSide<'_, T>,
        result: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let (status, own_status) = self.addresses(problem, statuses)?;
        self.teams.check_values(problem, "result", result.values.len())?;
        check_length("epsilon of result", problem.systems(), result.epsilon.len())?;
        let ([q, q_epsilon], inputs) = match to {
            RightHandSide::OfTangent(tangents) => ([Address::NONE; 2], tangents.inputs),
            RightHandSide::Given(q) => {
                let nothing = Inputs::NAMES.map(|_| Input::none());
                (self.teams.cotangent(problem, q)?, nothing)
            }
        };
        let (memory, layout) = self.teams.plan.tangent_memory();
        let output = TeamTangent {
            status,
            own_status,
            q: q.pointer(),
            q_epsilon: q_epsilon.pointer(),
            coefficients: inputs.coefficients,
            rhs: inputs.rhs,
            initial_values: inputs.initial_values,
            steps: inputs.steps,
            d_values: self.teams.device.address_mut(&mut result.values).pointer(),
            d_epsilon: self.teams.device.address_mut(&mut result.epsilon).pointer(),
            layout,
        };
        self.teams.launch(&self.tangent, problem, workspace, 1, &memory, output)
    }

    /// Computes the sums of the squared weighted defects of every system, (systems, 4): equation,
    /// initial, smoothness, periodic. They are NaN for systems of which a solve failed.
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
        let memory = self.teams.plan.forward_memory();
        self.teams.launch(&self.defects, problem, workspace, 1, &memory, output)
    }

    /// Computes the variances of the solution, (systems, N, K, Q), which are NaN for systems of
    /// which a solve failed.
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
        let (memory, layout) = self.teams.plan.variances_memory();
        let output = TeamVariances { status, own_status, values, layout };
        self.teams.launch(&self.variances, problem, workspace, 1, &memory, output)
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
