//! The general path, where a team of threads works on each system (`kernels/team/*.cu`). It takes
//! every problem that the CPU takes, by Cholesky.

mod cold;
mod layout;
pub mod plan;
#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut, DeviceRepr};

use crate::backend::cuda::bindings::{Status, TeamAdjoint, TeamPlan, TeamSolution};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, Kernel, LaunchShape, check_length};
use crate::backend::cuda::path::PartProblem;
use crate::backend::cuda::path::{CotangentView, GradientOutputs, Path, SolutionViewMut};
use crate::error::Result;
use crate::real::Real;

pub use cold::{ColdTeams, RightHandSide, Statuses};
use layout::Memory;
use plan::Plan;

/// The path of one kind of team, with its kernels for solves and gradients.
pub struct TeamPath<T> {
    teams: Teams,
    forward: Kernel<(TeamPlan, TeamSolution)>,
    adjoint: Kernel<(TeamPlan, TeamAdjoint)>,
    values: PhantomData<T>,
}

/// A kind of team, and the way in which any of its kernels is launched.
struct Teams {
    device: Arc<CudaDevice>,
    plan: Plan,
}

impl<T: Real> TeamPath<T> {
    /// Makes the path for problems of the plan's shape, and looks its kernels up.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let teams = Teams { device: device.clone(), plan };
        Ok(TeamPath {
            forward: teams.kernel("team_forward")?,
            adjoint: teams.kernel("team_adjoint")?,
            teams,
            values: PhantomData,
        })
    }
}

impl Teams {
    /// Returns the kernel that does this work for this kind of team.
    fn kernel<P>(&self, work: &str) -> Result<Kernel<(TeamPlan, P)>> {
        self.device.kernel(&format!("{work}_{}", self.plan.kind.name()))
    }

    /// Returns the addresses that the solution is written to.
    fn solution<T: Real>(
        &self,
        problem: &PartProblem<'_>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<TeamSolution> {
        self.check_values(problem, "solution", solution.values.len())?;
        check_length("epsilon", problem.systems(), solution.epsilon.len())?;
        check_length("status", problem.systems(), solution.status.len())?;
        Ok(TeamSolution {
            values: self.device.address_mut(&mut solution.values).pointer(),
            epsilon: self.device.address_mut(&mut solution.epsilon).pointer(),
            status: self.device.address_mut(&mut solution.status).pointer(),
        })
    }

    /// Returns the addresses of a cotangent: of its values, and of its entries of the slack.
    fn cotangent<T: Real>(
        &self,
        problem: &PartProblem<'_>,
        cotangent: &CotangentView<'_, T>,
    ) -> Result<[Address; 2]> {
        self.check_values(problem, "cotangent", cotangent.values.len())?;
        let epsilon = match &cotangent.epsilon {
            Some(epsilon) => {
                check_length("cotangent of epsilon", problem.systems(), epsilon.len())?;
                self.device.address(epsilon)
            }
            None => Address::NONE,
        };
        Ok([self.device.address(&cotangent.values), epsilon])
    }

    /// Checks an array with the unknowns of each system of a part, but for the slack.
    fn check_values(&self, problem: &PartProblem<'_>, what: &str, actual: usize) -> Result<()> {
        check_length(what, problem.systems() * self.plan.values(), actual)
    }

    /// Launches a kernel for the systems of a part, `group` of them a team, with the workspace
    /// divided as the plan says.
    fn launch<P: DeviceRepr>(
        &self,
        kernel: &Kernel<(TeamPlan, P)>,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        group: usize,
        memory: &Memory,
        parameters: P,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        let systems = problem.systems();
        let layout = plan.workspace(systems);
        // A smaller last part of the batch leaves some of it over.
        check_length("workspace", layout.bytes, workspace.len().min(layout.bytes))?;
        let workspace = device.address_mut(workspace).pointer::<c_void>();
        let at = |offset: usize| workspace.wrapping_byte_add(offset);
        let team_plan = TeamPlan {
            problem: problem.parameters,
            group: group as i64,
            factor_values: plan.factor_values() as i64,
            unknowns: plan.unknowns() as i64,
            team_bytes: memory.team_bytes as i64,
            separator_values: plan.separator_values() as i64,
            common_bytes: memory.common_bytes as i64,
            part_bytes: memory.part_bytes as i64,
            team_threads: plan.team_threads as i32,
            chunks: plan.chunks as i32,
            parts: memory.parts as i32,
            layout: memory.layout,
            factor: at(layout.factor).cast(),
            iterate: at(layout.iterate).cast(),
            substituted: at(layout.substituted).cast(),
            direction: at(layout.direction).cast(),
            tangent_rhs: at(layout.tangent_rhs).cast(),
            separators: at(layout.separators).cast(),
            memory: at(layout.memory),
        };
        let teams = systems.div_ceil(group);
        let shape = LaunchShape {
            blocks: teams.div_ceil(plan.systems_of_block()) as u64,
            threads: (plan.block_threads() as u32, 1),
            dynamic_shared: plan.dynamic_shared(memory),
        };
        kernel.launch(device, shape, &(team_plan, parameters))
    }
}

impl<T> fmt::Display for TeamPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.teams.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for TeamPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.teams.plan.workspace(systems).bytes
    }

    fn group(&self) -> usize {
        self.teams.plan.group
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
        let output = self.teams.solution(problem, solution)?;
        let memory = self.teams.plan.forward_memory();
        self.teams.launch(&self.forward, problem, workspace, 1, &memory, output)
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let Teams { device, plan } = &self.teams;
        check_length("status", problem.systems(), status.len())?;
        let [values, epsilon] = self.teams.cotangent(problem, cotangent)?;
        gradients.check(problem, problem.systems().div_ceil(plan.group))?;
        let (memory, layout) = plan.adjoint_memory();
        let output = TeamAdjoint {
            status: device.address(status).pointer(),
            cotangent: values.pointer(),
            epsilon_cotangent: epsilon.pointer(),
            coefficients: gradients.inputs.coefficients.array,
            rhs: gradients.inputs.rhs.array,
            initial_values: gradients.inputs.initial_values.array,
            steps: gradients.inputs.steps.array,
            weights: gradients.weights.array,
            layout,
        };
        self.teams.launch(&self.adjoint, problem, workspace, plan.group, &memory, output)
    }
}
