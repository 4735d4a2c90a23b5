//! Launches of `kernels/thread_*.cu`: a system a thread, or a chunk of its time points.

use std::ffi::c_void;
use std::marker::PhantomData;

use cudarc::driver::{CudaView, CudaViewMut, DevicePtr, DeviceRepr, PushKernelArg};

use super::{Configuration, address_mut, check_length, prepare};
use crate::backend::cuda::device::{CudaDevice, Kernel, while_doing};
use crate::backend::cuda::parameters::{Problem, Status};
use crate::backend::cuda::path::{
    CotangentView, GradientOutputs, PartProblem, SolutionViewMut, TangentInputs,
};
use crate::backend::cuda::thread::parameters::{
    ThreadAdjoint, ThreadChunks, ThreadDefects, ThreadProblem, ThreadSolve, ThreadTangent,
};
use crate::backend::cuda::thread::plan::{Plan, Staging};
use crate::error::Result;
use crate::real::Real;

/// The kernels of one size (K, Q), and how they are launched.
pub struct ThreadKernels<T> {
    /// Sizes of workspace and shared memory.
    pub plan: Plan,
    solve: Kernel,
    adjoint: Kernel,
    tangent: Kernel,
    defects: Kernel,
    values: PhantomData<T>,
}

impl<T: Real> ThreadKernels<T> {
    /// Resolves the kernels.
    pub fn new(device: &CudaDevice, plan: Plan) -> Result<Self> {
        let (k, q) = plan.size;
        let kernel = |module: &'static str| device.kernel(module, &format!("{module}_{k}_{q}"));
        let [solve, adjoint, tangent, defects] = match (plan.chunks, T::NAME) {
            (Some(_), _) => [
                "thread_chunk_solve",
                "thread_chunk_adjoint",
                "thread_chunk_tangent",
                "thread_chunk_defects",
            ],
            (None, "f32") => [
                if plan.square_root { "thread_solve_root_f32" } else { "thread_solve_f32" },
                "thread_adjoint_f32",
                "thread_tangent_f32",
                "thread_defects_f32",
            ],
            (None, _) => [
                "thread_solve_f64",
                "thread_adjoint_f64",
                "thread_tangent_f64",
                "thread_defects_f64",
            ],
        };
        Ok(ThreadKernels {
            solve: kernel(solve)?,
            adjoint: kernel(adjoint)?,
            tangent: kernel(tangent)?,
            defects: kernel(defects)?,
            values: PhantomData,
            plan,
        })
    }

    /// Solves all systems of a part.
    pub fn solve(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let plan = &self.plan;
        check_unknowns(plan, problem, "solution", solution.values.len())?;
        check_systems(problem, "epsilon", solution.epsilon.len())?;
        check_systems(problem, "status", solution.status.len())?;
        let parameters = ThreadSolve {
            common: common::<T>(device, plan, &plan.forward, problem, workspace)?,
            solution: address_mut(device, &mut solution.values),
            epsilon: address_mut(device, &mut solution.epsilon),
            status: address_mut(device, &mut solution.status).cast(),
        };
        launch(device, &self.solve, plan, &plan.forward, problem, &parameters)
    }

    /// Gradients with respect to all inputs of a part.
    #[allow(clippy::too_many_arguments, reason = "what the kernel reads and writes")]
    pub fn adjoint(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let plan = &self.plan;
        check_systems(problem, "status", status.len())?;
        check_unknowns(plan, problem, "cotangent", cotangent.values.len())?;
        let parameters = ThreadAdjoint {
            common: common::<T>(device, plan, &plan.adjoint, problem, workspace)?,
            cotangent: address(device, &cotangent.values),
            status: address(device, status).cast(),
            coefficients: gradients.coefficients,
            rhs: gradients.rhs,
            initial_values: gradients.initial_values,
            steps: gradients.steps,
            weights: gradients.weights,
        };
        launch(device, &self.adjoint, plan, &plan.adjoint, problem, &parameters)
    }

    /// Directional derivatives of a part's solutions.
    #[allow(clippy::too_many_arguments, reason = "what the kernel reads and writes")]
    pub fn tangent(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        tangents: &TangentInputs<'_>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let plan = &self.plan;
        check_systems(problem, "status", status.len())?;
        check_unknowns(plan, problem, "tangent", tangent.values.len())?;
        check_systems(problem, "tangent of epsilon", tangent.epsilon.len())?;
        let [coefficients_ring, rhs_ring, initial_values_ring, steps_ring] =
            plan.tangent.directions;
        let parameters = ThreadTangent {
            common: common::<T>(device, plan, &plan.tangent, problem, workspace)?,
            status: address(device, status).cast(),
            coefficients: tangents.coefficients,
            rhs: tangents.rhs,
            initial_values: tangents.initial_values,
            steps: tangents.steps,
            coefficients_ring,
            rhs_ring,
            initial_values_ring,
            steps_ring,
            tangent: address_mut(device, &mut tangent.values),
            epsilon: address_mut(device, &mut tangent.epsilon),
        };
        launch(device, &self.tangent, plan, &plan.tangent, problem, &parameters)
    }

    /// Squared defects of a part's solutions.
    pub fn defects(
        &self,
        device: &CudaDevice,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let plan = &self.plan;
        check_systems(problem, "status", status.len())?;
        check_length("squared defects", 4 * systems_of(problem), sums.len())?;
        let parameters = ThreadDefects {
            common: common::<T>(device, plan, &plan.forward, problem, workspace)?,
            status: address(device, status).cast(),
            sums: address_mut(device, sums).cast(),
        };
        launch(device, &self.defects, plan, &plan.forward, problem, &parameters)
    }
}

fn systems_of(problem: &PartProblem<'_>) -> usize {
    problem.parameters.batch as usize
}

fn check_systems(problem: &PartProblem<'_>, what: &str, len: usize) -> Result<()> {
    check_length(what, systems_of(problem), len)
}

/// (B, N, K, Q).
fn check_unknowns(plan: &Plan, problem: &PartProblem<'_>, what: &str, len: usize) -> Result<()> {
    check_length(what, systems_of(problem) * plan.points * plan.block(), len)
}

fn address<T>(device: &CudaDevice, view: &CudaView<'_, T>) -> *const c_void {
    view.device_ptr(device.stream()).0 as *const c_void
}

/// What all kernels take, with the workspace cut into its arrays.
fn common<T: Real>(
    device: &CudaDevice,
    plan: &Plan,
    staging: &Staging,
    problem: &PartProblem<'_>,
    workspace: &mut CudaViewMut<'_, u8>,
) -> Result<ThreadProblem> {
    let arrays = plan.workspace(systems_of(problem));
    let enough = workspace.len().min(arrays.bytes);
    check_length("workspace", arrays.bytes, enough)?;
    let base = address_mut(device, workspace);
    let vector = |offset: usize| base.wrapping_byte_add(offset).cast::<f64>();
    let none = std::ptr::null_mut();
    let [coefficients, rhs, initial_values, steps] = staging.inputs;
    Ok(ThreadProblem {
        problem: Problem {
            refinement: i32::try_from(plan.refinement).unwrap_or(i32::MAX),
            ..problem.parameters
        },
        rows: plan.rows,
        coefficients,
        rhs,
        initial_values,
        steps,
        unknowns: staging.unknowns,
        factor: base.wrapping_byte_add(arrays.factor),
        solution: vector(arrays.solution),
        vector: vector(arrays.vector),
        given: arrays.given.map_or(none, vector),
        direction: arrays.direction.map_or(none, vector),
        chunks: ThreadChunks {
            bits: plan.chunks.map_or(0, |chunks| chunks.bits as i32),
            results: T::STORAGE,
            warp_values: (staging.bytes / 8) as i32,
            scratch: staging.scratch as i32,
            spikes: arrays.spikes.map_or(none, vector),
            separators: arrays.separators.map_or(none, vector),
        },
    })
}

fn launch<P: DeviceRepr>(
    device: &CudaDevice,
    kernel: &Kernel,
    plan: &Plan,
    staging: &Staging,
    problem: &PartProblem<'_>,
    parameters: &P,
) -> Result<()> {
    let shape = Configuration {
        blocks: plan.blocks(systems_of(problem)) as u64,
        threads: (plan.block_threads() as u32, 1),
        dynamic_shared: plan.block_bytes(staging.bytes),
    };
    let (mut launch, config) = prepare(device, kernel, shape)?;
    launch.arg(parameters);
    // SAFETY: the argument is that of the kernel; the lengths were checked, those of the inputs
    // and gradients when the problem was made.
    unsafe { launch.launch(config) }.map_err(while_doing(&format!("launching {}", kernel.name)))?;
    Ok(())
}
