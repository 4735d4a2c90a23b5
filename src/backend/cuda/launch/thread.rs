//! Launches of `kernels/thread_*.cu`: a system a thread, or a chunk of its time points.

use std::ffi::c_void;
use std::marker::PhantomData;

use cudarc::driver::{CudaView, CudaViewMut, DevicePtr, DeviceRepr, PushKernelArg};

use super::{Configuration, address_mut, check_length, prepare};
use crate::backend::cuda::bindings::{
    Problem, STORAGE_F64, Status, ThreadAdjoint, ThreadChunks, ThreadProblem, ThreadRing,
    ThreadSolve,
};
use crate::backend::cuda::device::{CudaDevice, Kernel, while_doing};
use crate::backend::cuda::path::{CotangentView, GradientOutputs, PartProblem, SolutionViewMut};
use crate::backend::cuda::thread::plan::{Plan, Staging};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::real::Real;

/// The kernels of one size (K, Q), and how they are launched.
pub struct ThreadKernels<T> {
    /// Sizes of workspace and shared memory.
    pub plan: Plan,
    solve: Kernel,
    adjoint: Kernel,
    values: PhantomData<T>,
}

impl<T: Real> ThreadKernels<T> {
    /// Resolves the kernels.
    pub fn new(device: &CudaDevice, plan: Plan) -> Result<Self> {
        let (k, q) = plan.size;
        let kernel = |module: &'static str| device.kernel(module, &format!("{module}_{k}_{q}"));
        let [solve, adjoint] = match plan.chunks {
            Some(_) => ["thread_chunk_solve", "thread_chunk_adjoint"],
            None => ["thread_solve", "thread_adjoint"],
        };
        Ok(ThreadKernels {
            solve: kernel(solve)?,
            adjoint: kernel(adjoint)?,
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
            common: common(device, plan, &plan.forward, problem, workspace)?,
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
        gradients.check(problem, systems_of(problem).div_ceil(plan.group()))?;
        let parameters = ThreadAdjoint {
            common: common(device, plan, &plan.adjoint, problem, workspace)?,
            cotangent: address(device, &cotangent.values),
            status: address(device, status).cast(),
            coefficients: gradients.inputs.coefficients.array,
            rhs: gradients.inputs.rhs.array,
            initial_values: gradients.inputs.initial_values.array,
            steps: gradients.inputs.steps.array,
            weights: gradients.weights.array,
        };
        launch(device, &self.adjoint, plan, &plan.adjoint, problem, &parameters)
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
fn common(
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
    let parameters = &problem.parameters;
    let inputs =
        [parameters.coefficients, parameters.rhs, parameters.initial_values, parameters.steps];
    let wide = parameters.results == STORAGE_F64
        || inputs.iter().any(|input| input.storage == STORAGE_F64);
    let wide = i32::from(wide);
    let Inputs { coefficients, rhs, initial_values, steps } =
        staging.inputs.map(|ring| in_slots(ring, wide));
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
        unknowns: in_slots(staging.unknowns, wide),
        wide,
        reserved: 0,
        factor: vector(arrays.factor),
        solution: vector(arrays.solution),
        vector: vector(arrays.vector),
        given: arrays.given.map_or(none, vector),
        direction: arrays.direction.map_or(none, vector),
        chunks: ThreadChunks {
            bits: plan.chunks.map_or(0, |chunks| chunks.bits as i32),
            warp_values: (staging.bytes / 8) as i32,
            scratch: staging.scratch as i32,
            reserved: 0,
            spikes: arrays.spikes.map_or(none, vector),
            separators: arrays.separators.map_or(none, vector),
        },
    })
}

/// A ring of the plan, whose capacity is in bytes, with slots of 8 bytes or of 4.
fn in_slots(ring: ThreadRing, wide: i32) -> ThreadRing {
    ThreadRing { capacity: ring.capacity / if wide != 0 { 8 } else { 4 }, ..ring }
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
    // when the problem was made.
    unsafe { launch.launch(config) }.map_err(while_doing(&format!("launching {}", kernel.name)))?;
    Ok(())
}
