//! The ODE solve as the tape's node: inputs and solution are arrays of the device.

use super::Cuda;
use crate::backend::{Backend, Cpu};
use crate::options::Options;
use crate::shape::ProblemShape;
use crate::solver::{Solution, Solver};
use crate::tape::Array;
use crate::{Real, Result};

/// Solves on the host what the device's arrays hold.
pub struct DeviceSolver<T: Real> {
    solver: Solver<T>,
}

impl<T: Real> DeviceSolver<T> {
    /// Plan and workspace for problems of one shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        Ok(DeviceSolver { solver: Solver::new(shape, options)? })
    }

    /// Solves the batch; the inputs are coefficients, right-hand side, initial values, steps.
    pub fn solve(
        &mut self,
        inputs: [&Array<T, Cuda>; 4],
        solution: &mut Array<T, Cuda>,
    ) -> Result<()> {
        let inputs = on_host(inputs)?;
        let mut values = Array::full(solution.shape(), T::zero())?;
        Cpu.solve(&mut self.solver, inputs, &mut values)?;
        *solution = Cuda::wrap(values);
        Ok(())
    }

    /// Adds the vector-Jacobian product to the gradients that are there.
    pub fn solve_adjoint(
        &mut self,
        inputs: [&Array<T, Cuda>; 4],
        cotangent: &Array<T, Cuda>,
        gradients: [Option<&mut Array<T, Cuda>>; 4],
    ) -> Result<()> {
        let inputs = on_host(inputs)?;
        let mut gradients = gradients;
        let mut sums = vec![];
        for gradient in &gradients {
            sums.push(match gradient {
                Some(gradient) => Some(Cuda::host(gradient)?.clone()),
                None => None,
            });
        }
        let [a, b, c, d] = &mut sums[..] else { unreachable!("there are four inputs") };
        let targets = [a, b, c, d].map(Option::as_mut);
        Cpu.solve_adjoint(&mut self.solver, inputs, Cuda::host(cotangent)?, targets)?;
        for (gradient, sum) in gradients.iter_mut().zip(sums) {
            if let (Some(gradient), Some(sum)) = (gradient, sum) {
                **gradient = Cuda::wrap(sum);
            }
        }
        Ok(())
    }

    /// The last solution.
    pub fn solution(&self) -> Result<&Solution<T>> {
        Ok(self.solver.solution())
    }
}

fn on_host<T: Real>(inputs: [&Array<T, Cuda>; 4]) -> Result<[&Array<T>; 4]> {
    let [a, b, c, d] = inputs.map(Cuda::host);
    Ok([a?, b?, c?, d?])
}
