//! The solver of problems in the program's memory: it uploads, solves and downloads part by part.

use std::sync::Arc;

use crate::adjoint::{Cotangent, GradientsMut, Tangents, overflow_in_sum};
use crate::backend::cuda::bindings as parameters;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::Path;
use crate::backend::cuda::path::problem::Values;
use crate::backend::cuda::path::results::{SolutionBuffers, values_of_system};
use crate::backend::cuda::solve::batch::{Batch, Part};
use crate::backend::cuda::solve::paths::{self, CudaPath};
use crate::backend::expanded::Expanded;
use crate::backend::{self, engine::of_precision};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::{Options, Weights};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{Residuals, SolutionMut, Status};

/// Makes the engine of a device for problems of one shape, computing in `T`. It solves problems whose arrays
/// have strides or share some axes of the batch, too, by way of copies.
pub fn on_host<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    path: CudaPath,
) -> Result<Box<dyn backend::Engine<T>>> {
    let engine = |shape: &ProblemShape| new(device, shape, options, path);
    Ok(Box::new(Expanded::new(shape, engine)?))
}

/// Makes the engine of a device for problems of one shape whose arrays are row-major.
pub fn new<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    path: CudaPath,
) -> Result<Box<dyn backend::Engine<T>>> {
    of_precision(|| single(device, shape, options, path), || double(device, shape, options, path))
}

/// Makes the engine with a path that was made already.
#[cfg(test)]
pub fn with_path<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    path: Box<dyn Path<T>>,
) -> Result<Box<dyn backend::Engine<T>>> {
    Ok(Box::new(Engine::with_path(device, shape, options, path)?))
}

fn single(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    path: CudaPath,
) -> Result<Box<dyn backend::Engine<f32>>> {
    Ok(Box::new(Engine::new(device, shape, options, path)?))
}

fn double(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    path: CudaPath,
) -> Result<Box<dyn backend::Engine<f64>>> {
    Ok(Box::new(Engine::new(device, shape, options, path)?))
}

/// The plan, the workspace and the staging arrays of a CUDA device for problems of one shape.
pub struct Engine<T: Real> {
    batch: Batch<T>,
    staging: Staging<T>,
}

/// The arrays on the device for one part of the batch.
struct Staging<T: Real> {
    inputs: Inputs<Buffer<T>>,
    /// Solution, whose values and slack are read at once; then q of M⁻¹ q.
    solution: SolutionBuffers<T>,
    /// Gradients or directions of the inputs.
    directions: Inputs<Buffer<T>>,
    /// Cotangent or tangent of the solution, or M⁻¹ q.
    response: SolutionBuffers<T>,
    /// Gradient ∂ℓ/∂(weights), (4).
    weights: Buffer<T>,
    /// Squared defects, (systems, 4).
    defects: Buffer<f64>,
    /// Statuses that are on the device, as the program knows them.
    status: Vec<Status>,
    /// Copies of the statuses and of the squared defects in the program's memory.
    codes: Vec<parameters::Status>,
    squares: Vec<f64>,
}

impl<T: Real> Staging<T> {
    fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, systems: usize) -> Result<Self> {
        let arrays = |prefix: &str| {
            Inputs::NAMES.zip(shape.layouts()).try_map(|(name, layout)| {
                Buffer::unwritten(device, &format!("{prefix}{name}"), layout.total(systems))
            })
        };
        Ok(Staging {
            inputs: arrays("")?,
            solution: SolutionBuffers::new(device, shape, systems)?,
            directions: arrays("gradient of ")?,
            response: SolutionBuffers::new(device, shape, systems)?,
            weights: Buffer::unwritten(device, "gradient of the weights", 4)?,
            defects: Buffer::unwritten(device, "residuals", systems.saturating_mul(4))?,
            status: zeros("status", systems)?,
            codes: zeros("status", systems)?,
            squares: zeros("residuals", systems.saturating_mul(4))?,
        })
    }
}

impl<T: Real> Engine<T> {
    /// Makes an engine and allocates everything.
    pub fn new(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: CudaPath,
    ) -> Result<Self> {
        let path = paths::choose::<T>(device, shape, options, path)?;
        Self::with_path(device, shape, options, path)
    }

    /// Makes an engine with a path that was made already.
    pub fn with_path(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: Box<dyn Path<T>>,
    ) -> Result<Self> {
        let (batch, staging) = Batch::with_path(device, shape, options, path, |systems| {
            Staging::new(device, shape, systems)
        })?;
        Ok(Engine { batch, staging })
    }

    fn upload(&mut self, problem: &Problem<'_, T>, part: Part) -> Result<()> {
        let arrays = problem.inputs.zip(self.batch.template.layouts);
        let staged = self.staging.inputs.as_mut();
        for (name, ((host, layout), input)) in Inputs::NAMES.zip(arrays.zip(staged)) {
            input.copy_from_host(name, layout.part(host, part.first, part.systems))?;
        }
        Ok(())
    }

    /// Puts inputs, statuses and workspace of this part on the device, unless the last solve was of
    /// the whole batch and they are there.
    fn restore(&mut self, problem: &Problem<'_, T>, part: Part) -> Result<()> {
        if self.batch.is_whole() {
            return Ok(());
        }
        self.upload(problem, part)?;
        let Staging { inputs, solution, .. } = &mut self.staging;
        let inputs = inputs.as_ref().map(Values::from);
        self.batch.solve(part, inputs, &mut solution.view_mut(part.systems))
    }

    /// Puts the statuses of this part on the device, unless they are there.
    fn put_status(&mut self, status: &[Status], part: Part) -> Result<()> {
        let Part { first, systems } = part;
        let wanted = &status[first..][..systems];
        let Staging { solution, status, codes, .. } = &mut self.staging;
        if self.batch.is_whole() && status[..systems] == *wanted {
            return Ok(());
        }
        solution.details.write_status(wanted, codes)?;
        status[..systems].copy_from_slice(wanted);
        Ok(())
    }

    /// Finds the systems because of which sums of gradients are not finite, on the CPU: on the
    /// device only the sums are known. The gradients of the inputs stay those of the device.
    fn find_overflow_on_cpu(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, T>,
        found: &mut [Status],
    ) -> Result<()> {
        let shape = problem.shape();
        let mut engine = backend::cpu::engine::new(shape, self.batch.template.options())?;
        let mut values = zeros("solution", shape.solution().iter().product())?;
        let mut solved = zeros("status", shape.batch)?;
        let solution = SolutionMut { values: &mut values, epsilon: None };
        engine.solve(problem, solution, &mut solved)?;
        let mut inputs = gradients.inputs.as_ref().try_map(|wanted| {
            wanted.as_ref().map(|wanted| zeros("gradient", wanted.len())).transpose()
        })?;
        let mut weights = gradients.weights.as_deref().map(|weights| weights[0]);
        let mut again = GradientsMut {
            inputs: inputs.as_mut().map(Option::as_deref_mut),
            weights: weights.as_mut().map(std::slice::from_mut),
        };
        engine.vjp(problem, cotangent, status, &mut again, found)?;
        if *found == *status {
            // The gradient of the weights is kept in double on the CPU, and may be all that single
            // precision cannot hold.
            if let (Some(on_device), Some(weights)) = (&mut gradients.weights, weights) {
                on_device[0] = weights;
            }
            if !gradients.find_overflow(shape, status, found) {
                overflow_in_sum(found);
            }
        }
        Ok(())
    }

    /// Puts inputs and statuses of this part on the device.
    fn restore_problem(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        part: Part,
    ) -> Result<()> {
        if !self.batch.is_whole() {
            self.upload(problem, part)?;
        }
        self.put_status(status, part)
    }
}

impl<T: Real> backend::Engine<T> for Engine<T> {
    fn plan(&self) -> Plan {
        self.batch.plan()
    }

    fn solve(
        &mut self,
        problem: &Problem<'_, T>,
        mut solution: SolutionMut<'_, T>,
        status: &mut [Status],
    ) -> Result<()> {
        self.batch.template.follow_growth(problem)?;
        for part in self.batch.parts() {
            self.upload(problem, part)?;
            let Part { first, systems } = part;
            let Staging { inputs, solution: staged, status: on_device, codes, .. } =
                &mut self.staging;
            let inputs = inputs.as_ref().map(Values::from);
            self.batch.solve(part, inputs, &mut staged.view_mut(systems))?;
            staged.copy_to_host(["solution", "epsilon"], &mut solution, part.range())?;
            let status = &mut status[first..][..systems];
            staged.details.read_status(&mut codes[..systems], status)?;
            on_device[..systems].copy_from_slice(status);
        }
        Ok(())
    }

    fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, T>,
        found: &mut [Status],
    ) -> Result<()> {
        let wanted = gradients.inputs.as_ref().map(Option::is_some);
        let layouts = self.batch.template.layouts;
        for part in self.batch.parts() {
            self.restore(problem, part)?;
            self.put_status(status, part)?;
            let Part { first, systems } = part;
            let staging = &mut self.staging;
            staging.response.write_cotangent(cotangent, part.range())?;
            let targets = staging.directions.as_mut().zip(layouts).zip(wanted);
            let targets = targets.map(|((gradient, layout), wanted)| {
                wanted.then(|| gradient.part_mut(0, layout.total(systems)))
            });
            let inputs = staging.inputs.as_ref().map(Values::from);
            self.batch.vjp(
                part,
                inputs,
                &staging.solution.details.status.part(0, systems),
                &staging.response.cotangent(cotangent, systems),
                targets,
                staging.weights.view_mut(),
            )?;
            let host = gradients.inputs.as_mut();
            for ((gradient, layout), host) in staging.directions.as_ref().zip(layouts).zip(host) {
                if let Some(host) = host
                    && !layout.shared()
                {
                    let host = &mut host[first * layout.values..][..systems * layout.values];
                    gradient.copy_to_host("gradient", host)?;
                }
            }
        }
        let Staging { directions, weights, .. } = &mut self.staging;
        let targets = directions.as_mut().zip(wanted);
        let targets = targets.map(|(gradient, wanted)| wanted.then(|| gradient.view_mut()));
        self.batch.sum_gradients(targets, weights.view_mut())?;
        let host = gradients.inputs.as_mut();
        for ((gradient, layout), host) in directions.as_ref().zip(layouts).zip(host) {
            if let Some(host) = host
                && layout.shared()
            {
                gradient.copy_to_host("gradient", host)?;
            }
        }
        if let Some(of_weights) = &mut gradients.weights {
            let mut families = [T::zero(); 4];
            weights.copy_to_host("gradient of the weights", &mut families)?;
            let [equation, initial, smoothness, periodic] = families.map(T::to_double);
            of_weights[0] = Weights { equation, initial, smoothness, periodic };
        }
        found.copy_from_slice(status);
        if gradients.find_overflow(problem.shape(), status, found)
            || cotangent.report(problem.shape(), found)
        {
            return Ok(());
        }
        self.find_overflow_on_cpu(problem, cotangent, status, gradients, found)
    }

    fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
        mut derivative: SolutionMut<'_, T>,
    ) -> Result<()> {
        let layouts = self.batch.template.layouts;
        for part in self.batch.parts() {
            self.restore_problem(problem, status, part)?;
            let Part { first, systems } = part;
            let staging = &mut self.staging;
            let given = tangents.zip(layouts).zip(staging.directions.as_mut());
            let directions = Inputs::NAMES.zip(given).try_map(|(name, given)| {
                let ((tangent, layout), direction) = given;
                let Some(tangent) = tangent else { return Ok(None) };
                direction.copy_from_host(name, layout.part(tangent, first, systems))?;
                Ok::<_, Error>(Some(Values::from(&*direction)))
            })?;
            self.batch.jvp(
                part,
                staging.inputs.as_ref().map(Values::from),
                &staging.solution.details.status.part(0, systems),
                directions,
                &mut staging.response.view_mut(systems),
            )?;
            staging.response.copy_to_host(
                ["tangent", "tangent of epsilon"],
                &mut derivative,
                part.range(),
            )?;
        }
        Ok(())
    }

    fn inverse(
        &mut self,
        problem: &Problem<'_, T>,
        q: &Cotangent<'_, T>,
        status: &[Status],
        mut result: SolutionMut<'_, T>,
    ) -> Result<()> {
        for part in self.batch.parts() {
            self.restore_problem(problem, status, part)?;
            // Of the solution nothing but its statuses is needed after a solve: q takes its place.
            let Staging { inputs, solution, response, .. } = &mut self.staging;
            solution.write_cotangent(q, part.range())?;
            self.batch.inverse(
                part,
                inputs.as_ref().map(Values::from),
                &solution.details.status.part(0, part.systems),
                &solution.cotangent(q, part.systems),
                &mut response.view_mut(part.systems),
            )?;
            response.copy_to_host(["result", "epsilon of result"], &mut result, part.range())?;
        }
        Ok(())
    }

    fn residuals(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        residuals: &mut [Residuals],
    ) -> Result<()> {
        for part in self.batch.parts() {
            self.restore_problem(problem, status, part)?;
            let Part { first, systems } = part;
            let staging = &mut self.staging;
            self.batch.squared_defects(
                part,
                staging.inputs.as_ref().map(Values::from),
                &staging.solution.details.status.part(0, systems),
                &mut staging.defects.part_mut(0, systems * 4),
            )?;
            let sums = &mut staging.squares[..systems * 4];
            staging.defects.copy_to_host("residuals", sums)?;
            let residuals = &mut residuals[first..][..systems];
            for (residuals, sums) in residuals.iter_mut().zip(sums.chunks_exact(4)) {
                *residuals = Residuals {
                    equation: sums[0].sqrt(),
                    initial: sums[1].sqrt(),
                    smoothness: sums[2].sqrt(),
                    periodic: sums[3].sqrt(),
                };
            }
        }
        Ok(())
    }

    fn variances(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        variances: &mut [T],
    ) -> Result<()> {
        let size = values_of_system(&self.batch.shape);
        for part in self.batch.parts() {
            self.restore_problem(problem, status, part)?;
            let Part { first, systems } = part;
            let staging = &mut self.staging;
            self.batch.variances(
                part,
                staging.inputs.as_ref().map(Values::from),
                &staging.solution.details.status.part(0, systems),
                &mut staging.response.values.part_mut(0, systems * size),
            )?;
            let values = &mut variances[first * size..][..systems * size];
            staging.response.values.copy_to_host("variances", values)?;
        }
        Ok(())
    }
}
