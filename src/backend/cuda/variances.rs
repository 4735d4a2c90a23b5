//! Variances of problems of the host, computed on the device.
//!
//! They take the factor as the team kernels keep it, whichever path the solver itself takes. So they
//! have a team solver with a workspace of its own, which solves every problem once more, unrefined.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::device::CudaDevice;
use super::memory::Buffer;
use super::problem::{INPUTS, ProblemTemplate, Values};
use super::ranges::range;
use super::results::{SolutionBuffers, values_of_system};
use super::team::VariancesPath;
use crate::error::{Error, Result};
use crate::memory::zeros;
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::Status;

/// Plan, workspace and staging arrays for problems of one shape.
pub(super) struct Variances<T: Real> {
    path: VariancesPath<T>,
    shape: ProblemShape,
    template: ProblemTemplate,
    /// For a part of the batch.
    arrays: Arrays<T>,
    /// Systems of a part; the last may have fewer.
    part_systems: usize,
    /// (B, N, K, Q).
    values: Vec<T>,
}

/// Arrays on the device for one part of the batch.
struct Arrays<T: Real> {
    inputs: [Buffer<T>; 4],
    solution: SolutionBuffers<T>,
    workspace: Buffer<u8>,
}

impl<T: Real> Variances<T> {
    /// Allocates everything: for the whole batch if the memory suffices, else for as large a part
    /// as it does.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if not even a single system fits, [`Error::Device`].
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, options: &Options) -> Result<Self> {
        let options = Options { refinement_steps: Some(0), ..*options };
        let path = VariancesPath::new(device, shape, &options)?;
        Self::with_path(device, shape, &options, path)
    }

    /// The same with a path of the caller's choice.
    pub fn with_path(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: VariancesPath<T>,
    ) -> Result<Self> {
        let template = ProblemTemplate::new::<T>(device, shape, options)?;
        let allocate = |systems: usize| -> Result<Arrays<T>> {
            let input = |index: usize| {
                let values = template.layouts[index].total(systems);
                Buffer::unwritten(device, INPUTS[index], values)
            };
            Ok(Arrays {
                inputs: [input(0)?, input(1)?, input(2)?, input(3)?],
                solution: SolutionBuffers::new(device, shape, systems)?,
                workspace: Buffer::unwritten(
                    device,
                    "the workspace of the variances",
                    path.workspace(systems),
                )?,
            })
        };
        let mut part_systems = shape.batch;
        let arrays = loop {
            match allocate(part_systems) {
                Err(Error::OutOfMemory { .. }) if part_systems > 1 => part_systems /= 2,
                other => break other?,
            }
        };
        let values = zeros("variances", shape.solution().iter().product())?;
        Ok(Variances { path, shape: shape.clone(), template, arrays, part_systems, values })
    }

    /// The variances (B, N, K, Q) of a problem that was solved with these statuses: NaN for a
    /// system that was not solved.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn compute(&mut self, problem: &Problem<'_, T>, status: &[Status]) -> Result<&[T]> {
        let size = values_of_system(&self.shape);
        let host = [problem.coefficients, problem.rhs, problem.initial_values, problem.steps];
        let Arrays { inputs, solution, workspace } = &mut self.arrays;
        for first in (0..self.shape.batch).step_by(self.part_systems) {
            let systems = self.part_systems.min(self.shape.batch - first);
            for (index, input) in inputs.iter_mut().enumerate() {
                let values = self.template.layouts[index].host_part(host[index], first, systems);
                input.copy_from_host(INPUTS[index], values)?;
            }
            let _range = range("variances");
            let on_device = self.template.problem(inputs.each_ref().map(Values::from), systems)?;
            self.path.compute(
                &on_device,
                &mut workspace.view_mut(),
                &mut solution.view_mut(systems),
            )?;
            let values = &mut self.values[first * size..][..systems * size];
            solution.values.copy_to_host("variances", values)?;
        }
        for (values, status) in self.values.chunks_exact_mut(size).zip(status) {
            if !status.is_ok() {
                values.fill(T::nan());
            }
        }
        Ok(&self.values)
    }
}
