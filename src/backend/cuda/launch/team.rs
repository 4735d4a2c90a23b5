//! Launches of `kernels/team_*.cu`: one system a team of threads.

mod cold;

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut, DevicePtr, DeviceRepr, PushKernelArg};

use super::{Configuration, address_mut, check_length, prepare};
use crate::backend::cuda::bindings::{Status, TeamAdjoint, TeamPlan, TeamSolution};
use crate::backend::cuda::device::{CudaDevice, Kernel, while_doing};
use crate::backend::cuda::path::{
    CotangentView, GradientOutputs, PartProblem, Path, SolutionViewMut,
};
use crate::backend::cuda::team::plan::Plan;
use crate::error::Result;
use crate::real::Real;

pub use cold::{ColdTeams, Statuses};

/// The kernels of one kind of team.
pub struct TeamPath<T> {
    solver: TeamSolver<T>,
    adjoint: Kernel,
}

/// The solve by one kind of team, and how all its kernels are launched.
struct TeamSolver<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    forward: Kernel,
    values: PhantomData<T>,
}

/// The kernel of a module for the plan's kind of team.
fn kernel(device: &CudaDevice, plan: &Plan, module: &'static str) -> Result<Kernel> {
    device.kernel(module, &format!("{module}_{}", plan.kind.name()))
}

impl<T: Real> TeamPath<T> {
    /// For problems of the plan's shape.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let solver = TeamSolver::new(device, plan)?;
        Ok(TeamPath { adjoint: solver.kernel("team_adjoint")?, solver })
    }
}

impl<T: Real> TeamSolver<T> {
    fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let forward = kernel(device, &plan, "team_forward")?;
        Ok(TeamSolver { device: device.clone(), plan, forward, values: PhantomData })
    }

    /// That of another operation, for the same teams.
    fn kernel(&self, module: &'static str) -> Result<Kernel> {
        kernel(&self.device, &self.plan, module)
    }

    /// Bytes of the workspace for so many systems.
    fn workspace(&self, systems: usize) -> usize {
        self.plan.workspace(systems).bytes
    }

    /// Solves the part.
    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        self.check_values(problem, "solution", solution.values.len())?;
        self.check_systems(problem, "epsilon", solution.epsilon.len())?;
        self.check_systems(problem, "status", solution.status.len())?;
        let output = TeamSolution {
            values: address_mut(&self.device, &mut solution.values),
            epsilon: address_mut(&self.device, &mut solution.epsilon),
            status: address_mut(&self.device, &mut solution.status).cast(),
        };
        let bytes = self.plan.forward_bytes();
        self.launch(&self.forward, problem, workspace, 1, bytes, &output)
    }

    /// One array that a kernel reads.
    fn address<V>(&self, view: &CudaView<'_, V>) -> *const c_void {
        view.device_ptr(self.device.stream()).0 as *const c_void
    }

    /// An array with a value for each system of a part.
    fn check_systems(&self, problem: &PartProblem<'_>, what: &str, actual: usize) -> Result<()> {
        check_length(what, problem.parameters.batch as usize, actual)
    }

    /// An array with the unknowns of each system of a part, but for the slack.
    fn check_values(&self, problem: &PartProblem<'_>, what: &str, actual: usize) -> Result<()> {
        check_length(what, problem.parameters.batch as usize * self.plan.values(), actual)
    }

    /// Launches a kernel for the systems of a part, `group` of them a team, with the workspace cut
    /// up as the plan says.
    fn launch<P: DeviceRepr>(
        &self,
        kernel: &Kernel,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        group: usize,
        team_bytes: usize,
        parameters: &P,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        let systems = problem.parameters.batch as usize;
        let layout = plan.workspace(systems);
        // A smaller last part of the batch leaves some of it over.
        check_length("workspace", layout.bytes, workspace.len().min(layout.bytes))?;
        let workspace = address_mut(device, workspace);
        let at = |offset: usize| workspace.wrapping_byte_add(offset);
        let team_plan = TeamPlan {
            problem: problem.parameters,
            group: group as i64,
            factor_values: plan.factor_values() as i64,
            unknowns: plan.unknowns() as i64,
            team_bytes: team_bytes as i64,
            separator_values: plan.separator_values() as i64,
            common_bytes: plan.common_bytes() as i64,
            team_threads: plan.team_threads as i32,
            chunks: plan.chunks as i32,
            factor: at(layout.factor).cast(),
            iterate: at(layout.iterate).cast(),
            substituted: at(layout.substituted).cast(),
            direction: at(layout.direction).cast(),
            tangent_rhs: at(layout.tangent_rhs).cast(),
            separators: at(layout.separators).cast(),
            memory: at(layout.memory),
        };
        let teams = systems.div_ceil(group);
        let shape = Configuration {
            blocks: teams.div_ceil(plan.systems_of_block()) as u64,
            threads: (plan.block_threads() as u32, 1),
            dynamic_shared: plan.dynamic_shared(team_bytes),
        };
        let (mut launch, config) = prepare(device, kernel, shape)?;
        launch.arg(&team_plan).arg(parameters);
        // SAFETY: the arguments are those of the kernel; the callers checked the lengths of what
        // they hand over, those of the inputs when the problem was made.
        unsafe { launch.launch(config) }
            .map_err(while_doing(&format!("launching {}", kernel.name)))?;
        Ok(())
    }
}

impl<T> fmt::Display for TeamPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.solver.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for TeamPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.solver.workspace(systems)
    }

    fn group(&self) -> usize {
        self.solver.plan.group
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
        self.solver.solve(problem, workspace, solution)
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        self.solver.check_systems(problem, "status", status.len())?;
        self.solver.check_values(problem, "cotangent", cotangent.values.len())?;
        let systems = problem.parameters.batch as usize;
        gradients.check(problem, systems.div_ceil(self.solver.plan.group))?;
        let epsilon_cotangent = match &cotangent.epsilon {
            Some(epsilon) => {
                self.solver.check_systems(problem, "cotangent of epsilon", epsilon.len())?;
                self.solver.address(epsilon)
            }
            None => std::ptr::null(),
        };
        let output = TeamAdjoint {
            status: self.solver.address(status).cast(),
            cotangent: self.solver.address(&cotangent.values),
            epsilon_cotangent,
            coefficients: gradients.inputs.coefficients.array,
            rhs: gradients.inputs.rhs.array,
            initial_values: gradients.inputs.initial_values.array,
            steps: gradients.inputs.steps.array,
            weights: gradients.weights.array,
        };
        let (group, bytes) = (self.solver.plan.group, self.solver.plan.adjoint_bytes());
        self.solver.launch(&self.adjoint, problem, workspace, group, bytes, &output)
    }
}
