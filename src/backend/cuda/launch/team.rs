//! Launches of `kernels/team_*.cu`: one system a team of threads.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut, DevicePtr, DevicePtrMut, PushKernelArg};

use super::{Configuration, check_length, prepare};
use crate::backend::cuda::device::{CudaDevice, Kernel, while_doing};
use crate::backend::cuda::parameters::{Problem, Status};
use crate::backend::cuda::path::{
    CotangentView, GradientOutputs, PartProblem, SolutionViewMut, TangentInputs,
};
use crate::backend::cuda::problem::INPUTS;
use crate::backend::cuda::team::parameters::{
    TeamAdjoint, TeamDefects, TeamPlan, TeamSolution, TeamTangent,
};
use crate::backend::cuda::team::plan::Plan;
use crate::error::{Error, Result};
use crate::real::Real;

/// The kernels of one kind of team.
pub struct TeamKernels<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    forward: Kernel,
    adjoint: Kernel,
    tangent: Kernel,
    defects: Kernel,
    values: PhantomData<T>,
}

impl<T: Real> TeamKernels<T> {
    /// Resolves the kernels.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan) -> Result<Self> {
        let kernel = |module, operation| {
            device.kernel(module, &format!("team_{operation}_{}_{}", plan.kind.name(), T::NAME))
        };
        Ok(TeamKernels {
            device: device.clone(),
            plan,
            forward: match plan.square_root() {
                false => kernel("team_forward", "forward")?,
                true => kernel("team_forward_root", "forward_root")?,
            },
            adjoint: kernel("team_adjoint", "adjoint")?,
            tangent: kernel("team_tangent", "tangent")?,
            defects: kernel("team_defects", "defects")?,
            values: PhantomData,
        })
    }

    /// Solves all systems of a part.
    pub fn forward(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        check_solution(plan, problem, solution)?;
        let stream = device.stream();
        let (values, _values) = solution.values.device_ptr_mut(stream);
        let (epsilon, _epsilon) = solution.epsilon.device_ptr_mut(stream);
        let (status, _status) = solution.status.device_ptr_mut(stream);
        let output = TeamSolution {
            values: values as *mut c_void,
            epsilon: epsilon as *mut c_void,
            status: status as *mut _,
        };
        let (parameters, shape) =
            arrange(device, plan, problem, workspace, 1, plan.forward_bytes())?;
        let (mut launch, config) = prepare(device, &self.forward, shape)?;
        launch.arg(&parameters).arg(&output);
        // SAFETY: the arguments are those of the kernel, the lengths were checked.
        unsafe { launch.launch(config) }.map_err(while_doing("launching the solve"))?;
        Ok(())
    }

    /// Gradients with respect to all inputs of a part.
    #[allow(clippy::too_many_arguments, reason = "what the kernel reads and writes")]
    pub fn adjoint(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        let systems = problem.parameters.batch as usize;
        check_length("status", systems, status.len())?;
        check_length("cotangent", systems * plan.values(), cotangent.values.len())?;
        if let Some(epsilon) = &cotangent.epsilon {
            check_length("cotangent of epsilon", systems, epsilon.len())?;
        }
        check_wanted(problem, gradients)?;
        let stream = device.stream();
        let (status, _status) = status.device_ptr(stream);
        let (values, _values) = cotangent.values.device_ptr(stream);
        let epsilon = cotangent.epsilon.as_ref().map(|epsilon| epsilon.device_ptr(stream));
        let output = TeamAdjoint {
            status: status as *const _,
            cotangent: values as *const c_void,
            epsilon_cotangent: epsilon.as_ref().map_or(0, |(address, _)| *address) as *const c_void,
            coefficients: gradients.coefficients,
            rhs: gradients.rhs,
            initial_values: gradients.initial_values,
            steps: gradients.steps,
            weights: gradients.weights,
        };
        let (parameters, shape) =
            arrange(device, plan, problem, workspace, plan.group, plan.adjoint_bytes())?;
        let (mut launch, config) = prepare(device, &self.adjoint, shape)?;
        launch.arg(&parameters).arg(&output);
        // SAFETY: the arguments are those of the kernel, the lengths were checked; the gradients'
        // are the caller's word.
        unsafe { launch.launch(config) }.map_err(while_doing("launching the adjoint"))?;
        Ok(())
    }

    /// Directional derivatives of a part's solutions.
    #[allow(clippy::too_many_arguments, reason = "what the kernel reads and writes")]
    pub fn tangent(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        tangents: &TangentInputs<'_>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        let systems = problem.parameters.batch as usize;
        check_length("status", systems, status.len())?;
        check_length("tangent", systems * plan.values(), tangent.values.len())?;
        check_length("tangent of epsilon", systems, tangent.epsilon.len())?;
        let stream = device.stream();
        let (status, _status) = status.device_ptr(stream);
        let (values, _values) = tangent.values.device_ptr_mut(stream);
        let (epsilon, _epsilon) = tangent.epsilon.device_ptr_mut(stream);
        let output = TeamTangent {
            status: status as *const _,
            coefficients: tangents.coefficients,
            rhs: tangents.rhs,
            initial_values: tangents.initial_values,
            steps: tangents.steps,
            d_values: values as *mut c_void,
            d_epsilon: epsilon as *mut c_void,
        };
        let (parameters, shape) =
            arrange(device, plan, problem, workspace, 1, plan.tangent_bytes())?;
        let (mut launch, config) = prepare(device, &self.tangent, shape)?;
        launch.arg(&parameters).arg(&output);
        // SAFETY: as above.
        unsafe { launch.launch(config) }.map_err(while_doing("launching the tangent"))?;
        Ok(())
    }

    /// Squared weighted defects of a part's systems, by family.
    pub fn defects(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let (device, plan) = (&*self.device, &self.plan);
        let systems = problem.parameters.batch as usize;
        check_length("status", systems, status.len())?;
        check_length("sums of the defects", 4 * systems, sums.len())?;
        let stream = device.stream();
        let (status, _status) = status.device_ptr(stream);
        let (sums, _sums) = sums.device_ptr_mut(stream);
        let output = TeamDefects { status: status as *const _, sums: sums as *mut f64 };
        let (parameters, shape) =
            arrange(device, plan, problem, workspace, 1, plan.defects_bytes())?;
        let (mut launch, config) = prepare(device, &self.defects, shape)?;
        launch.arg(&parameters).arg(&output);
        // SAFETY: as above.
        unsafe { launch.launch(config) }.map_err(while_doing("launching the defects"))?;
        Ok(())
    }
}

fn check_solution<T: Real>(
    plan: &Plan,
    problem: &PartProblem<'_>,
    solution: &SolutionViewMut<'_, T>,
) -> Result<()> {
    let systems = problem.parameters.batch as usize;
    check_length("solution", systems * plan.values(), solution.values.len())?;
    check_length("epsilon", systems, solution.epsilon.len())?;
    check_length("status", systems, solution.status.len())
}

/// The kernels of teams write all gradients.
fn check_wanted(problem: &PartProblem<'_>, gradients: &GradientOutputs<'_>) -> Result<()> {
    let GradientOutputs { coefficients, rhs, initial_values, steps, .. } = gradients;
    let Problem { initial_points, initial_derivatives, .. } = problem.parameters;
    let exist = [true, true, initial_points * initial_derivatives > 0, true];
    let outputs = [coefficients, rhs, initial_values, steps];
    for ((name, output), exists) in INPUTS.into_iter().zip(outputs).zip(exist) {
        if exists && output.data.is_null() {
            let message = "its gradient cannot be left out where a team solves a system (the plan)";
            return Err(Error::argument(name, message));
        }
    }
    Ok(())
}

/// What every kernel takes, with the workspace cut up as the plan says, and the shape of the launch.
fn arrange(
    device: &CudaDevice,
    plan: &Plan,
    problem: &PartProblem<'_>,
    workspace: &mut CudaViewMut<'_, u8>,
    group: usize,
    team_bytes: usize,
) -> Result<(TeamPlan, Configuration)> {
    let systems = problem.parameters.batch as usize;
    let layout = plan.workspace(systems);
    // A smaller last part of the batch leaves some of it over.
    check_length("workspace", layout.bytes, workspace.len().min(layout.bytes))?;
    let (address, _workspace) = workspace.device_ptr_mut(device.stream());
    let at = |offset: usize| address + offset as u64;
    let parameters = TeamPlan {
        problem: problem.parameters,
        group: group as i64,
        factor_values: plan.factor_values() as i64,
        unknowns: plan.unknowns() as i64,
        team_threads: plan.team_threads as i32,
        team_bytes: team_bytes as i32,
        common_bytes: plan.common_bytes() as i32,
        reserved: 0,
        factor: at(layout.factor) as *mut c_void,
        iterate: at(layout.iterate) as *mut f64,
        substituted: at(layout.substituted) as *mut f64,
        direction: at(layout.direction) as *mut f64,
        tangent_rhs: at(layout.tangent_rhs) as *mut f64,
        window: at(layout.window) as *mut c_void,
    };
    let teams = systems.div_ceil(group);
    let shape = Configuration {
        blocks: teams.div_ceil(plan.teams_of_block()) as u64,
        threads: (plan.block_threads() as u32, 1),
        dynamic_shared: plan.common_bytes() + plan.teams_of_block() * team_bytes,
    };
    Ok((parameters, shape))
}
