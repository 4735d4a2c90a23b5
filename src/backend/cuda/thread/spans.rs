//! The path for systems so long that their chunks are spread over blocks (`kernels/thread/span_*.cu`):
//! wherever the spans of a system wait for each other, a launch ends.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::chunks::Chunks;
use super::plan::{Plan, TILE};
use crate::backend::cuda::bindings::{
    Output, STORAGE_F64, Status, SumTarget, ThreadAdjoint, ThreadProblem, ThreadSolve,
};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, Arguments, Kernel, LaunchShape};
use crate::backend::cuda::path::problem::WEIGHTS;
use crate::backend::cuda::path::sums::SumPartials;
use crate::backend::cuda::path::{
    CotangentView, GradientOutputs, PartProblem, Path, SolutionViewMut,
};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::real::Real;

/// Returns the launches of a solve and of its gradients with so many steps of refinement.
pub fn launches(refinement: usize) -> (usize, usize) {
    (4 + 3 * refinement, 4 + 3 * refinement)
}

/// The path of one size (K, Q), with its kernels, which `kernels/thread/spans.cuh` explains.
pub struct SpanPath<T> {
    device: Arc<CudaDevice>,
    plan: Plan,
    chunks: Chunks,
    factorize: Kernel<(ThreadProblem,)>,
    join_factorize: Kernel<(ThreadProblem,)>,
    solution: Kernel<(ThreadSolve,)>,
    residual: Kernel<(ThreadProblem,)>,
    join: Kernel<(ThreadProblem,)>,
    correction: Kernel<(ThreadSolve, i32)>,
    verdict: Kernel<(ThreadSolve,)>,
    cotangent: Kernel<(ThreadAdjoint,)>,
    direction: Kernel<(ThreadProblem, i32)>,
    direction_residual: Kernel<(ThreadProblem,)>,
    gradients: Kernel<(ThreadAdjoint,)>,
    sums: SumPartials,
    values: PhantomData<T>,
}

impl<T: Real> SpanPath<T> {
    /// Makes the path according to a plan with these chunks, and looks its kernels up.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error) if the kernels cannot be loaded.
    pub fn new(device: &Arc<CudaDevice>, plan: Plan, chunks: Chunks) -> Result<Self> {
        let (k, q) = plan.size;
        let name = |kernel: &str| format!("thread_{kernel}_{k}_{q}");
        Ok(SpanPath {
            factorize: device.kernel(&name("span_factorize"))?,
            join_factorize: device.kernel(&name("join_factorize"))?,
            solution: device.kernel(&name("span_solution"))?,
            residual: device.kernel(&name("span_residual"))?,
            join: device.kernel(&name("join"))?,
            correction: device.kernel(&name("span_correction"))?,
            verdict: device.kernel("thread_span_verdict")?,
            cotangent: device.kernel(&name("span_cotangent"))?,
            direction: device.kernel(&name("span_direction"))?,
            direction_residual: device.kernel(&name("span_direction_residual"))?,
            gradients: device.kernel(&name("span_gradients"))?,
            sums: SumPartials::new(device)?,
            device: device.clone(),
            plan,
            chunks,
            values: PhantomData,
        })
    }

    /// Launches a kernel with a thread for each span of a system; as many systems as the lanes of the
    /// workspace have, more than the part's if a system has fewer than a warp's.
    fn join<A: Arguments>(
        &self,
        kernel: &Kernel<A>,
        problem: &PartProblem<'_>,
        arguments: &A,
    ) -> Result<()> {
        let threads = self.plan.join_threads().expect("a system has several spans");
        let shape = LaunchShape {
            blocks: ((self.plan.tiles(problem.systems()) * TILE) >> self.chunks.bits) as u64,
            threads: (threads as u32, 1),
            dynamic_shared: self.plan.join_bytes(threads),
        };
        kernel.launch(&self.device, shape, arguments)
    }

    /// Directs the gradients of what all points share, and of the weights, to the sums of the spans
    /// at `sums`. Returns where these are to be added up.
    fn direct_to_sums(&self, parameters: &mut ThreadAdjoint, sums: Address) -> [SumTarget; 5] {
        let row = self.plan.sums();
        let mut column = 0;
        let Inputs { coefficients, rhs, initial_values, steps } = self.plan.still;
        [
            (&mut parameters.coefficients, coefficients),
            (&mut parameters.rhs, rhs),
            (&mut parameters.initial_values, initial_values),
            (&mut parameters.steps, steps),
            (&mut parameters.weights, WEIGHTS.values),
        ]
        .map(|(output, values)| {
            let target = SumTarget {
                data: output.data,
                values: values as i64,
                set: output.system,
                storage: output.storage,
                reserved: 0,
            };
            if values > 0 && !output.data.is_null() {
                let data = sums.offset(column * size_of::<f64>()).pointer();
                *output = Output { data, system: row as i64, storage: STORAGE_F64, ..*output };
            }
            column += values;
            target
        })
    }
}

impl<T> fmt::Display for SpanPath<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl<T: Real> Path<T> for SpanPath<T> {
    fn workspace(&self, systems: usize) -> usize {
        self.plan.workspace(systems).bytes
    }

    fn group(&self) -> usize {
        self.plan.group()
    }

    fn launches(&self) -> (usize, usize) {
        launches(self.plan.refinement)
    }

    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let Self { device, plan, .. } = self;
        let parameters = plan.solve_arguments(device, problem, workspace, solution)?;
        let (common, shape) = (parameters.common, plan.shape(problem.systems(), &plan.forward));
        self.factorize.launch(device, shape, &(common,))?;
        self.join(&self.join_factorize, problem, &(common,))?;
        self.solution.launch(device, shape, &(parameters,))?;
        for step in 1..=plan.refinement {
            self.residual.launch(device, shape, &(common,))?;
            self.join(&self.join, problem, &(common,))?;
            let complete = i32::from(step == plan.refinement);
            self.correction.launch(device, shape, &(parameters, complete))?;
        }
        self.verdict.launch(device, shape, &(parameters,))
    }

    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()> {
        let Self { device, plan, .. } = self;
        let mut parameters =
            plan.adjoint_arguments(device, problem, workspace, status, cotangent, gradients)?;
        let offset = plan.workspace(problem.systems()).sums.expect("spans have sums");
        let sums = device.address_mut(workspace).offset(offset);
        let targets = self.direct_to_sums(&mut parameters, sums);
        let (common, shape) = (parameters.common, plan.shape(problem.systems(), &plan.adjoint));
        self.cotangent.launch(device, shape, &(parameters,))?;
        self.join(&self.join, problem, &(common,))?;
        for step in 0..plan.refinement {
            self.direction.launch(device, shape, &(common, i32::from(step > 0)))?;
            self.direction_residual.launch(device, shape, &(common,))?;
            self.join(&self.join, problem, &(common,))?;
        }
        self.gradients.launch(device, shape, &(parameters,))?;
        self.sums.launch_sets(device, sums, problem.systems(), self.chunks.spans(), targets)
    }
}
