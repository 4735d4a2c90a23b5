//! The solver of problems that lie on the device: inputs and results stay there, and calls return
//! before the device is done.

use std::fmt::Display;
use std::sync::Arc;

use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::CotangentView;
use crate::backend::cuda::path::problem::Values;
use crate::backend::cuda::path::results::{SolutionBuffers, SolutionDetails, values_of_system};
use crate::backend::cuda::solve::batch::{Batch, Part};
use crate::backend::cuda::solve::paths::CudaPath;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::options::Options;
use crate::plan::Plan;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::Status;

/// A solver on a CUDA device for problems of one shape whose arrays lie on the device too. It holds
/// the plan and the workspace.
///
/// The mathematics is that of [`Solver`](crate::Solver). The inputs are coefficients, right-hand
/// side, initial values and steps, in the shapes of [`ProblemBuilder`](crate::ProblemBuilder), row-major or
/// with [`Strides`](crate::cuda::Strides),
/// stored as f64, f32, `half::f16` or `half::bf16` and computed on in double precision; results are
/// stored as `T`. Only this solver takes inputs of half precision: a [`Problem`](crate::Problem) in
/// the program's memory is of `T` itself. Calls return before the device has done the work; a
/// failure on the device is reported by the next call that waits, such as
/// [`CudaDevice::synchronize`].
pub struct DeviceSolver<T: Real> {
    batch: Batch<T>,
    /// Shared slack and statuses of the whole batch.
    details: SolutionDetails<T>,
    /// Solution of one part, where the workspace does not hold the whole batch and derivatives
    /// solve parts again.
    again: Option<SolutionBuffers<T>>,
    /// Gradient ∂ℓ/∂(weights): equation, initial, smoothness, periodic.
    weights: Buffer<T>,
    /// Directional derivative ε̇ of the last jvp, or entry of the slack of the last M⁻¹ q, (B).
    derived: SolutionDetails<T>,
    solved: bool,
}

impl<T: Real> DeviceSolver<T> {
    /// Makes a solver for problems of this shape, and allocates its workspace.
    ///
    /// # Errors
    /// Those of [`Solver::on`](crate::Solver::on).
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, options: &Options) -> Result<Self> {
        Self::on_path(device, shape, options, CudaPath::Auto)
    }

    /// Makes a solver that takes a path of the caller's choice, for tests and profiling.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    #[doc(hidden)]
    pub fn on_path(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: CudaPath,
    ) -> Result<Self> {
        options.check()?;
        if options.follow_growth {
            let message = "growth is found in the program's memory, and these arrays lie on the \
                           device: `Solver::on` takes a problem from the program's memory";
            return Err(Error::argument("follow_growth", message));
        }
        let details = SolutionDetails::new(device, shape.batch)?;
        let derived = SolutionDetails::new(device, shape.batch)?;
        let weights = Buffer::unwritten(device, "gradient of the weights", 4)?;
        let (batch, again) = Batch::new(device, shape, options, path, |systems| {
            let whole = systems == shape.batch;
            (!whole).then(|| SolutionBuffers::new(device, shape, systems)).transpose()
        })?;
        Ok(DeviceSolver { batch, details, again, weights, derived, solved: false })
    }

    /// Returns the shape of the problems that this solver was made for.
    pub fn shape(&self) -> &ProblemShape {
        &self.batch.shape
    }

    /// Returns how problems are solved, for people to read.
    pub fn plan(&self) -> Plan {
        self.batch.plan()
    }

    /// Solves all systems; `values` (B, N, K, Q) is overwritten, with NaN for a system that
    /// cannot be solved. Where the plan says that all systems have one factor, their coefficients and steps are
    /// factorized once, and anew in every solve: what lies on the device may have changed.
    ///
    /// # Errors
    /// [`Error::Argument`] if an array does not have the length that the shape asks for or lies on
    /// another device, or has [`Strides`](crate::cuda::Strides) of another shape; if inputs with strides, or such as
    /// share some axes of the batch and not others, lie along more than three axes of the batch or reach over
    /// 2³¹ values; [`Error::Device`] if the device fails.
    pub fn solve(&mut self, inputs: Inputs<Values<'_>>, values: &mut Buffer<T>) -> Result<()> {
        self.check_inputs("", inputs.map(Some))?;
        self.check("solution", self.solution_values(), Values::from(&*values))?;
        self.solved = false;
        for part in self.batch.parts() {
            let mut solution = self.details.view_mut(values, part.first, part.systems);
            if part.first == 0 {
                self.batch.factorize(part, inputs, &mut solution)?;
            }
            self.batch.solve(part, inputs, &mut solution)?;
        }
        self.solved = true;
        Ok(())
    }

    /// Returns how each system (B) of the last solve ended; waits for the device.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet, [`Error::Device`] if the device fails.
    pub fn status(&self) -> Result<Vec<Status>> {
        self.check_solved()?;
        let batch = self.shape().batch;
        let (mut codes, mut status) = (vec![Default::default(); batch], vec![Status::Ok; batch]);
        self.details.read_status(&mut codes, &mut status)?;
        Ok(status)
    }

    /// Writes how each system (B) of the last solve ended to an array on the device, without
    /// waiting: 0 if it was solved, 1 for [`Status::NonFiniteInput`], 2 for [`Status::InvalidStep`],
    /// 3 for [`Status::Breakdown`], 4 for [`Status::Overflow`].
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet, the array has another length or lies on
    /// another device; [`Error::Device`] if the device fails.
    pub fn copy_status(&self, codes: &mut Buffer<i32>) -> Result<()> {
        self.check_solved()?;
        codes.copy_first_words("status", &self.details.status)
    }

    /// Returns the shared slack ε (B) of the last solve.
    pub fn epsilon(&self) -> &Buffer<T> {
        &self.details.epsilon
    }

    /// Computes the gradients with respect to the inputs that are wanted from ∂ℓ/∂(solution) (B, N,
    /// K, Q) and ∂ℓ/∂ε (B), at the problem last solved: the vector-Jacobian product. The gradients
    /// are overwritten. Nothing comes back from the device, so that a cotangent that is not finite
    /// is not looked for: it makes the gradients of its system and all sums over systems NaN.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet, an array does not have the length that the
    /// shape asks for or lies on another device; [`Error::Device`] if the device fails.
    pub fn vjp(
        &mut self,
        inputs: Inputs<Values<'_>>,
        cotangent: &Buffer<T>,
        epsilon: Option<&Buffer<T>>,
        gradients: Inputs<Option<&mut Buffer<T>>>,
    ) -> Result<()> {
        self.check_solved()?;
        self.check_inputs("", inputs.map(Some))?;
        self.check_cotangent(cotangent, epsilon)?;
        self.check_inputs(
            "gradient of ",
            gradients.as_ref().map(|gradient| gradient.as_deref().map(Values::from)),
        )?;
        let mut gradients = gradients;
        let layouts = self.batch.template.layouts.zip(self.batch.template.partly);
        for part in self.batch.parts() {
            let Part { first, systems } = part;
            self.solve_again(part, inputs)?;
            let status = self.details.status.part(first, systems);
            let cotangent = self.part_of_cotangent(cotangent, epsilon, part);
            let targets = gradients.as_mut().zip(layouts).map(|(gradient, (layout, partly))| {
                let (first, values) = (first * layout.system, layout.total(systems));
                gradient.as_mut().map(|gradient| match partly {
                    true => gradient.view_mut(),
                    false => gradient.part_mut(first, values),
                })
            });
            let weights = self.weights.view_mut();
            self.batch.vjp(part, inputs, &status, &cotangent, targets, weights)?;
        }
        let targets = gradients.map(|gradient| gradient.map(|gradient| gradient.view_mut()));
        self.batch.sum_gradients(targets, self.weights.view_mut())
    }

    /// Returns ∂ℓ/∂(weights) (4) of the last vjp: equation, initial, smoothness, periodic.
    pub fn weight_gradient(&self) -> &Buffer<T> {
        &self.weights
    }

    /// Computes the directional derivative of the solution at the problem last solved: the
    /// Jacobian-vector product. `tangent` (B, N, K, Q) is overwritten; the derivative of ε is
    /// [`Self::derived_epsilon`]. An input without a direction does not move. The first call of jvp or
    /// [`Self::inverse`] after a solve factors the matrix once more, in a workspace that the first
    /// call of all allocates.
    ///
    /// # Errors
    /// Those of [`Self::vjp`], and [`Error::OutOfMemory`].
    pub fn jvp(
        &mut self,
        inputs: Inputs<Values<'_>>,
        directions: Inputs<Option<&Buffer<T>>>,
        tangent: &mut Buffer<T>,
    ) -> Result<()> {
        self.check_solved()?;
        self.check_inputs("", inputs.map(Some))?;
        self.check("tangent", self.solution_values(), Values::from(&*tangent))?;
        let directions = directions.map(|direction| direction.map(Values::from));
        self.check_inputs("direction of ", directions)?;
        for part in self.batch.parts() {
            let Part { first, systems } = part;
            let status = self.details.status.part(first, systems);
            let mut tangent = self.derived.view_mut(tangent, first, systems);
            self.batch.jvp(part, inputs, &status, directions, &mut tangent)?;
        }
        Ok(())
    }

    /// Computes M⁻¹ q at the problem last solved, as [`Solver::inverse`](crate::Solver::inverse) does,
    /// for q (B, N, K, Q) and its entries of the slack (B), if given. `result` (B, N, K, Q) is
    /// overwritten; its entries of the slack are [`Self::derived_epsilon`]. Systems that were not
    /// solved have zeros, those whose second factorization fails NaN; what is not finite is not looked for.
    ///
    /// # Errors
    /// Those of [`Self::jvp`].
    pub fn inverse(
        &mut self,
        inputs: Inputs<Values<'_>>,
        q: &Buffer<T>,
        epsilon: Option<&Buffer<T>>,
        result: &mut Buffer<T>,
    ) -> Result<()> {
        self.check_solved()?;
        self.check_inputs("", inputs.map(Some))?;
        self.check_cotangent(q, epsilon)?;
        self.check("result", self.solution_values(), Values::from(&*result))?;
        for part in self.batch.parts() {
            let status = self.details.status.part(part.first, part.systems);
            let q = self.part_of_cotangent(q, epsilon, part);
            let mut result = self.derived.view_mut(result, part.first, part.systems);
            self.batch.inverse(part, inputs, &status, &q, &mut result)?;
        }
        Ok(())
    }

    /// Returns what goes with the result of the last jvp or inverse: the directional derivative of ε
    /// (B), or the entries of the slack (B). Before the first of these, and after one that failed, it says
    /// nothing.
    pub fn derived_epsilon(&self) -> &Buffer<T> {
        &self.derived.epsilon
    }

    /// Solves a part again, so that the workspace holds its factor.
    fn solve_again(&mut self, part: Part, inputs: Inputs<Values<'_>>) -> Result<()> {
        match &mut self.again {
            Some(again) => self.batch.solve(part, inputs, &mut again.view_mut(part.systems)),
            None => Ok(()),
        }
    }

    fn check_cotangent(&self, values: &Buffer<T>, epsilon: Option<&Buffer<T>>) -> Result<()> {
        self.check("cotangent", self.solution_values(), Values::from(values))?;
        let epsilon = epsilon.map(Values::from);
        let check = |epsilon| self.check("cotangent of epsilon", self.shape().batch, epsilon);
        epsilon.map_or(Ok(()), check)
    }

    /// Returns the cotangents of a part of the batch.
    fn part_of_cotangent<'a>(
        &self,
        values: &'a Buffer<T>,
        epsilon: Option<&'a Buffer<T>>,
        Part { first, systems }: Part,
    ) -> CotangentView<'a, T> {
        let size = values_of_system(self.shape());
        CotangentView {
            values: values.part(first * size, systems * size),
            epsilon: epsilon.map(|epsilon| epsilon.part(first, systems)),
        }
    }

    fn solution_values(&self) -> usize {
        self.shape().batch * values_of_system(self.shape())
    }

    /// Checks the array of each input that has one; `prefix` and the input's name say in errors
    /// what it is.
    fn check_inputs(&self, prefix: &str, inputs: Inputs<Option<Values<'_>>>) -> Result<()> {
        let own = self.batch.template.places.as_ref();
        let arrays = inputs.zip(self.shape().inputs()).zip(own);
        for (name, ((values, axes), own)) in Inputs::NAMES.zip(arrays) {
            let Some(values) = values else { continue };
            let argument = format_args!("{prefix}{name}");
            let expected = match values.places() {
                None => axes.iter().product(),
                Some(places) if places.is_like(own) => places.reach(),
                Some(_) => {
                    let message = "the strides are those of an input of another shape";
                    return Err(Error::argument(argument.to_string(), message));
                }
            };
            self.check(argument, expected, values)?;
        }
        Ok(())
    }

    fn check(&self, argument: impl Display, expected: usize, values: Values<'_>) -> Result<()> {
        let own = self.batch.device.ordinal();
        if values.device() != own {
            let message = format!("lies on cuda:{}, the solver on cuda:{own}", values.device());
            return Err(Error::argument(argument.to_string(), message));
        }
        if values.len() != expected {
            let message = format!("expected {expected} values, got {}", values.len());
            return Err(Error::argument(argument.to_string(), message));
        }
        Ok(())
    }

    fn check_solved(&self) -> Result<()> {
        if self.solved {
            return Ok(());
        }
        Err(Error::argument("problem", "it must be solved before it can be differentiated"))
    }
}
