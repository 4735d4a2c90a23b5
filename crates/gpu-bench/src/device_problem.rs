//! A problem whose arrays lie on the device, with what its solves and gradients write.

use std::sync::Arc;

use kernel_figures::workloads::Workload;
use mechanistic::cuda::{CudaDevice, CudaPath, DeviceArray, DeviceSolver, Values};
use mechanistic::{Inputs, Options, ProblemShape, Real, Result, Smoothness};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Random numbers that are made for one array; longer arrays repeat them.
const DIFFERENT: usize = 1 << 20;

/// The shapes of the inputs of a workload, with all of its systems.
fn shapes(workload: &Workload) -> Inputs<Vec<usize>> {
    let Workload { batch: b, points: n, states: k, order, .. } = *workload;
    Inputs {
        coefficients: vec![b, n, k, k, order + 1],
        rhs: vec![b, n, k],
        initial_values: vec![b, 1, k, order],
        steps: vec![1, 1],
    }
}

/// Returns how many derivatives beyond the order are solved for: Hermite rows are solved with one.
pub fn extra_derivatives(workload: &Workload) -> usize {
    usize::from(workload.smoothness == Smoothness::Hermite)
}

fn values_of_solution(workload: &Workload) -> usize {
    let Workload { batch, points, states, order, .. } = workload;
    batch * points * states * (order + 1 + extra_derivatives(workload))
}

/// Returns the bytes on the device of inputs, solution, and the gradients of both.
pub fn bytes_of_arrays<T>(workload: &Workload) -> usize {
    let inputs: usize =
        shapes(workload).into_iter().map(|shape| shape.iter().product::<usize>()).sum();
    2 * (inputs + values_of_solution(workload)) * size_of::<T>()
}

/// Returns the shape of the problem and the options of a workload.
pub fn shape_and_options(workload: &Workload) -> Result<(ProblemShape, Options)> {
    let shapes = shapes(workload);
    let shape =
        ProblemShape::new(workload.batch, workload.points, shapes.as_ref().map(Vec::as_slice))?
            .with_extra_derivatives(extra_derivatives(workload))?;
    let options = Options {
        smoothness: workload.smoothness,
        refinement_steps: workload.refinement,
        ..Options::default()
    };
    Ok((shape, options))
}

/// A workload on the device.
pub struct DeviceProblem<T: Real> {
    /// Solver with its plan and its workspace.
    pub solver: DeviceSolver<T>,
    inputs: Inputs<DeviceArray<T>>,
    values: DeviceArray<T>,
    cotangent: DeviceArray<T>,
    gradients: Inputs<DeviceArray<T>>,
}

impl<T: Real> DeviceProblem<T> {
    /// Copies random inputs to the device, and makes a solver on this path.
    pub fn new(device: &Arc<CudaDevice>, workload: &Workload, path: CudaPath) -> Result<Self> {
        let (shape, options) = shape_and_options(workload)?;
        let solver = DeviceSolver::on_path(device, &shape, &options, path)?;
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut upload = |what: &str, length: usize| -> Result<DeviceArray<T>> {
            let some: Vec<T> =
                (0..length.min(DIFFERENT)).map(|_| T::of(random.random_range(-1.0..1.0))).collect();
            let values: Vec<T> = some.into_iter().cycle().take(length).collect();
            DeviceArray::from_host(device, what, &values)
        };
        let lengths = shapes(workload).map(|shape| shape.iter().product::<usize>());
        let solution = values_of_solution(workload);
        Ok(DeviceProblem {
            solver,
            inputs: Inputs {
                coefficients: upload("coefficients", lengths.coefficients)?,
                rhs: upload("right-hand side", lengths.rhs)?,
                initial_values: upload("initial values", lengths.initial_values)?,
                steps: DeviceArray::from_host(device, "steps", &[T::of(0.1)])?,
            },
            cotangent: upload("cotangent", solution)?,
            values: DeviceArray::unwritten(device, "solution", solution)?,
            gradients: lengths
                .try_map(|length| DeviceArray::unwritten(device, "gradient", length))?,
        })
    }

    /// Asks the device for a solve.
    pub fn solve(&mut self) -> Result<()> {
        self.solver.solve(self.inputs.as_ref().map(Values::from), &mut self.values)
    }

    /// Asks the device for the gradient of every input at the problem last solved.
    pub fn differentiate(&mut self) -> Result<()> {
        let inputs = self.inputs.as_ref().map(Values::from);
        self.solver.vjp(inputs, &self.cotangent, None, self.gradients.as_mut().map(Some))
    }
}
