//! The ODE solve as an operation of a tape on the device: inputs, solution and gradients are arrays
//! of the device.

use std::sync::{Arc, OnceLock};

use super::Cuda;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::problem::Values;
use crate::backend::cuda::solve::device_solver::DeviceSolver;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::shape::ProblemShape;
use crate::solution::Solution;
use crate::tensor::Array;
use crate::{Real, Result};

/// A solver on the device, and its last solution in the program's memory if the program asked for
/// it.
pub struct OdeSolver<T: Real> {
    solver: DeviceSolver<T>,
    read: OnceLock<Solution<T>>,
}

impl<T: Real> OdeSolver<T> {
    /// Makes the plan and the workspace for problems of one shape.
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, options: &Options) -> Result<Self> {
        let solver = DeviceSolver::new(device, shape, options)?;
        Ok(OdeSolver { solver, read: OnceLock::new() })
    }

    /// Solves the batch.
    pub fn solve(
        &mut self,
        device: &Arc<CudaDevice>,
        inputs: Inputs<&Array<T, Cuda>>,
        solution: &mut Array<T, Cuda>,
    ) -> Result<()> {
        self.read = OnceLock::new();
        self.solver.solve(values(device, inputs)?, solution.buffer_mut().write(device)?)
    }

    /// Computes the vector-Jacobian product with respect to the inputs that are wanted.
    pub fn vjp(
        &mut self,
        device: &Arc<CudaDevice>,
        inputs: Inputs<&Array<T, Cuda>>,
        cotangent: &Array<T, Cuda>,
        wanted: Inputs<bool>,
    ) -> Result<Inputs<Option<Buffer<T>>>> {
        let mut found = wanted.zip(inputs).try_map(|(wanted, input)| {
            wanted
                .then(|| Buffer::unwritten(device, "a gradient of the solve", input.len()))
                .transpose()
        })?;
        let cotangent = cotangent.buffer().read(device)?;
        let targets = found.as_mut().map(Option::as_mut);
        self.solver.vjp(values(device, inputs)?, cotangent, None, targets)?;
        Ok(found)
    }

    /// Returns the last solution, whose values are given; waits for the device.
    pub fn solution(&self, values: &Array<T>) -> Result<&Solution<T>> {
        if let Some(solution) = self.read.get() {
            return Ok(solution);
        }
        let mut solution = Solution::without_values(self.solver.shape())?;
        solution.grow()?;
        solution.status = self.solver.status()?;
        self.solver.epsilon().copy_to_host("epsilon", &mut solution.epsilon)?;
        solution.values.copy_from_slice(values.data());
        Ok(self.read.get_or_init(|| solution))
    }
}

/// Returns views of the inputs on the device.
fn values<'a, T: Real>(
    device: &Arc<CudaDevice>,
    inputs: Inputs<&'a Array<T, Cuda>>,
) -> Result<Inputs<Values<'a>>> {
    inputs.try_map(|input| input.buffer().read(device).map(Values::from))
}
