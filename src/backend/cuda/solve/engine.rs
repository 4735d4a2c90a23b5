//! The solver of problems in the program's memory: it uploads, solves and downloads part by part.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::adjoint::{Cotangent, GradientsMut, Tangents, overflow_in_sum};
use crate::backend::cuda::bindings as parameters;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::Path;
use crate::backend::cuda::path::places::{Reading, reading};
use crate::backend::cuda::path::problem::{ProblemTemplate, Values};
use crate::backend::cuda::path::results::{SolutionBuffers, values_of_system};
use crate::backend::cuda::solve::batch::{Batch, Part};
use crate::backend::cuda::solve::paths::{self, CudaPath};
use crate::backend::{self, engine::of_precision, matrix::Matrix};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::memory::{grow, zeros};
use crate::options::{Options, Weights};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::{FIRST_INNER, Places, ProblemShape};
use crate::solution::{Residuals, SolutionMut, Status};

/// Makes the engine of a device for problems of one shape, computing in `T`.
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
    /// Places of inputs that have values for every system, unless all share them.
    expanded: Inputs<Places>,
    /// What the factor of all systems was made of, if they have one.
    matrix: Option<Matrix>,
}

/// The arrays on the device for one part of the batch.
struct Staging<T: Real> {
    inputs: Inputs<Staged<T>>,
    /// Solution, whose values and slack are read at once; then q of M⁻¹ q.
    solution: SolutionBuffers<T>,
    /// Gradients or directions of the inputs.
    directions: Inputs<Staged<T>>,
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

/// An array on the device of the size of an input, or of its gradient if that is larger.
struct Staged<T: Real> {
    buffer: Buffer<T>,
    /// Places of the values, unless they lie row-major.
    places: Option<Places>,
    /// Number of the first system.
    first: usize,
    /// Copy of values that kernels cannot read where they lie.
    copy: Vec<T>,
}

impl<T: Real> Staged<T> {
    /// Returns the values that were uploaded.
    fn values(&self) -> Values<'_> {
        let values = Values::from(&self.buffer).beginning_with(self.first);
        match &self.places {
            Some(places) => values.at(places),
            None => values,
        }
    }

    /// Uploads what the systems of a part need of an array with values at these places: as it lies, if that is
    /// row-major, or `follows` (kernels can follow the axes of the batch) and it has no gaps; else a copy that has
    /// the `expanded` places, those of values for every system.
    fn upload(
        &mut self,
        name: &str,
        values: &[T],
        (places, points): (&Places, usize),
        follows: bool,
        expanded: &Places,
        part: Part,
    ) -> Result<()> {
        let reach = places.reach();
        let values = match reading(places, points) {
            Reading::Dense => {
                (self.places, self.first) = (None, part.first);
                let first = expanded.of(part.first);
                &values[first..][..expanded.of(part.systems - 1) + expanded.values()]
            }
            Reading::Strided if follows && reach <= self.buffer.len() => {
                (self.places, self.first) = (Some(places.clone()), 0);
                &values[..reach]
            }
            Reading::Strided | Reading::No => {
                (self.places, self.first) = (Some(expanded.clone()), part.first);
                let systems = if expanded.shared() { 1 } else { part.systems };
                grow(name, systems * expanded.values(), &mut self.copy)?;
                let all =
                    (part.first..part.first + systems).flat_map(|system| places.of_values(system));
                for (to, place) in self.copy.iter_mut().zip(all) {
                    *to = values[place];
                }
                &self.copy
            }
        };
        self.buffer.copy_from_host(name, values)
    }
}

impl<T: Real> Staging<T> {
    fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, systems: usize) -> Result<Self> {
        let own = shape.inputs().zip(shape.partly_shared());
        let own = own.map(|(axes, partly)| if partly { axes.iter().product() } else { 0 });
        let arrays = |prefix: &str| {
            Inputs::NAMES.zip(shape.expanded().layouts().zip(own)).try_map(
                |(name, (layout, own))| {
                    let len = layout.total(systems).max(own);
                    let buffer = Buffer::unwritten(device, &format!("{prefix}{name}"), len)?;
                    Ok::<_, Error>(Staged { buffer, places: None, first: 0, copy: Vec::new() })
                },
            )
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
        let path = paths::choose::<T>(device, &shape.expanded(), options, path)?;
        Self::with_path(device, shape, options, path)
    }

    /// Makes an engine with a path that was made already for this shape, [expanded](ProblemShape::expanded).
    pub fn with_path(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: Box<dyn Path<T>>,
    ) -> Result<Self> {
        let (batch, staging) = Batch::with_path(device, shape, options, path, |systems| {
            Staging::new(device, shape, systems)
        })?;
        let matrix = batch.has_one_factor().then(|| Matrix::new(shape)).transpose()?;
        Ok(Engine { batch, staging, expanded: shape.expanded().places(), matrix })
    }

    fn upload(&mut self, problem: &Problem<'_, T>, part: Part) -> Result<()> {
        let places = problem.places.as_ref();
        let follows = self.batch.template.axes_of(places).is_some();
        let arrays = problem.inputs.zip(places.zip(FIRST_INNER)).zip(self.expanded.as_ref());
        let staged = self.staging.inputs.as_mut();
        for (name, (((host, places), expanded), input)) in Inputs::NAMES.zip(arrays.zip(staged)) {
            input.upload(name, host, places, follows, expanded, part)?;
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
        let inputs = inputs.as_ref().map(Staged::values);
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
            let inputs = inputs.as_ref().map(Staged::values);
            if let Some(matrix) = self.matrix.as_mut().filter(|_| first == 0)
                && !matrix.is_that_of(problem)
            {
                self.batch.factorize(part, inputs, &mut staged.view_mut(systems))?;
                matrix.remember(problem);
            }
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
        let ProblemTemplate { layouts, partly, .. } = self.batch.template;
        let summed = layouts.zip(partly).map(|(layout, partly)| layout.shared() || partly);
        for part in self.batch.parts() {
            self.restore(problem, part)?;
            self.put_status(status, part)?;
            let Part { first, systems } = part;
            let staging = &mut self.staging;
            staging.response.write_cotangent(cotangent, part.range())?;
            let targets = staging.directions.as_mut().zip(layouts).zip(wanted);
            let targets = targets.map(|((gradient, layout), wanted)| {
                wanted.then(|| gradient.buffer.part_mut(0, layout.total(systems)))
            });
            let inputs = staging.inputs.as_ref().map(Staged::values);
            self.batch.vjp(
                part,
                inputs,
                &staging.solution.details.status.part(0, systems),
                &staging.response.cotangent(cotangent, systems),
                targets,
                staging.weights.view_mut(),
            )?;
            let host = gradients.inputs.as_mut();
            let arrays = staging.directions.as_ref().zip(layouts.zip(summed)).zip(host);
            for ((gradient, (layout, summed)), host) in arrays {
                if let Some(host) = host
                    && !summed
                {
                    let host = &mut host[first * layout.values..][..systems * layout.values];
                    gradient.buffer.copy_to_host("gradient", host)?;
                }
            }
        }
        let Staging { directions, weights, .. } = &mut self.staging;
        let lengths = gradients.inputs.as_ref().map(|host| host.as_deref().map(<[T]>::len));
        let targets = directions.as_mut().zip(lengths.zip(summed));
        let targets = targets.map(|(gradient, (len, summed))| {
            len.filter(|_| summed).map(|len| gradient.buffer.part_mut(0, len))
        });
        self.batch.sum_gradients(targets, weights.view_mut())?;
        let host = gradients.inputs.as_mut();
        for ((gradient, summed), host) in directions.as_ref().zip(summed).zip(host) {
            if let Some(host) = host
                && summed
            {
                gradient.buffer.copy_to_host("gradient", host)?;
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
        let follows = self.batch.template.axes_of(problem.places.as_ref()).is_some();
        for part in self.batch.parts() {
            self.restore_problem(problem, status, part)?;
            let systems = part.systems;
            let staging = &mut self.staging;
            let places = self.batch.template.places.as_ref().zip(FIRST_INNER);
            let given = tangents.zip(places.zip(self.expanded.as_ref()));
            let given = given.zip(staging.directions.as_mut());
            let directions = Inputs::NAMES.zip(given).try_map(|(name, given)| {
                let ((tangent, (places, expanded)), direction) = given;
                let Some(tangent) = tangent else { return Ok(None) };
                direction.upload(name, tangent, places, follows, expanded, part)?;
                Ok::<_, Error>(Some(direction.values()))
            })?;
            self.batch.jvp(
                part,
                staging.inputs.as_ref().map(Staged::values),
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
                inputs.as_ref().map(Staged::values),
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
                staging.inputs.as_ref().map(Staged::values),
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
                staging.inputs.as_ref().map(Staged::values),
                &staging.solution.details.status.part(0, systems),
                &mut staging.response.values.part_mut(0, systems * size),
            )?;
            let values = &mut variances[first * size..][..systems * size];
            staging.response.values.copy_to_host("variances", values)?;
        }
        Ok(())
    }
}
