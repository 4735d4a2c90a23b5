//! The solver of a batch of linear ODEs: its plan and workspace are made once for a shape, and
//! every problem of that shape is then solved in them.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::adjoint::{
    Cotangent, Gradients, GradientsMut, Tangents, broken_tangent, check_tangents, repeat,
    report_not_finite,
};
#[cfg(feature = "cuda")]
use crate::backend::cuda::{self, CudaDevice, CudaPath};
use crate::backend::{self, Device, Engine};
use crate::error::{Error, Result};
use crate::memory::{SOLVER, grow, resize, zeros};
use crate::options::{Formulation, Options, RowScaling, Smoothness};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{Residuals, Solution, SolutionMut, Status};
use initial::compare_with_initial_values;

/// A solver for problems of one shape: it holds the plan and the workspace, which are allocated when
/// it is made. Results go to memory of the caller ([`Self::solve_into`], [`Self::vjp_into`],
/// [`Self::jvp_into`], [`Self::inverse_into`]); or to that of the solver, which the first call of
/// [`Self::solve`], [`Self::vjp`] and so on allocates. Solving again allocates nothing, but on a CUDA
/// device where rows follow growth, and where gradients there overflow.
///
/// ```
/// use mechanistic::{
///     Cotangent, GradientsMut, Inputs, Options, Problem, SolutionMut, Solver, View,
/// };
///
/// // u'' + u = 0, u(0) = 0, u'(0) = 1 on [0, 1.6]: one system, 17 points.
/// let problem = Problem::builder()
///     .coefficients(View::new(&[1, 1, 1, 1, 3], &[1.0, 0.0, 1.0]))
///     .rhs(View::new(&[1, 1, 1], &[0.0]))
///     .initial_values(View::new(&[1, 1, 1, 2], &[0.0, 1.0]))
///     .steps(View::new(&[1, 1], &[0.1]))
///     .points(17)
///     .build()?
///     .with_extra_derivatives(1)?;
/// let mut solver = Solver::<f64>::new(problem.shape(), &Options::default())?;
/// let solution = solver.solve(&problem)?;
/// // u, u', u'' and one derivative more at each point.
/// assert!((solution.at(0, 16, 0, 0) - f64::sin(1.6)).abs() < 1e-5);
///
/// // The same in memory of the caller, and of all gradients that of the right-hand side alone.
/// let (mut values, mut gradient) = (vec![0.0; 17 * 4], [0.0]);
/// solver.solve_into(&problem, SolutionMut { values: &mut values, epsilon: None })?;
/// let inputs = Inputs { rhs: Some(&mut gradient[..]), ..Inputs::default() };
/// let cotangent = Cotangent { values: &[1.0; 17 * 4], epsilon: None };
/// solver.vjp_into(&problem, &cotangent, GradientsMut { inputs, weights: None })?;
/// # Ok::<(), mechanistic::Error>(())
/// ```
pub struct Solver<T: Real> {
    device: Device,
    shape: ProblemShape,
    engine: Box<dyn Engine<T>>,
    /// Last solution; values and slack are empty where they lie in memory of the caller.
    solution: Solution<T>,
    solved: bool,
    /// Statuses of the systems in the gradients, (B).
    in_gradients: Vec<Status>,
    /// Last gradients; those of the inputs are empty until the first call of [`Self::vjp`].
    gradients: Gradients<T>,
    /// Last tangent or M⁻¹ q, as the solution.
    derived: Solution<T>,
    variances: Vec<T>,
    residuals: Vec<Residuals>,
    /// Whether it was said that a solution is lost.
    warned: bool,
    options: Options,
    /// The solver of higher order that [`Self::error_estimate`] compares with, made by its first
    /// call.
    reference: Option<Box<Reference<T>>>,
}

/// The number of derivatives that the reference solution of an error estimate carries beyond those
/// of the solution itself. One is not enough: Hermite rows with one and with two extra derivatives
/// are both of fourth order.
const REFERENCE_EXTRA: usize = 2;

/// A more accurate solver of the same problem, whose solution an error estimate compares with.
struct Reference<T: Real> {
    solver: Solver<T>,
    /// The error estimate of each system, (B).
    estimate: Vec<f64>,
}

impl<T: Real> Reference<T> {
    /// Makes the reference for a solver with these options whose solution carries
    /// [`REFERENCE_EXTRA`] derivatives less than `shape`.
    fn new(device: &Device, shape: &ProblemShape, options: &Options) -> Result<Self> {
        let options = Options {
            smoothness: Smoothness::Hermite,
            scaling: RowScaling::Balanced,
            roughness: Options::default().roughness,
            formulation: Formulation::LeastSquares,
            ..*options
        };
        let solver = Solver::on(device, shape, &options)?;
        Ok(Reference { solver, estimate: zeros("error estimate", shape.batch)? })
    }
}

impl<T: Real> Solver<T> {
    /// Makes a solver for problems of this shape that computes on the CPU, and allocates its
    /// workspace.
    ///
    /// # Errors
    /// [`Error::Argument`] for an impossible option, [`Error::OutOfMemory`] if the workspace cannot
    /// be had.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        Self::on(&Device::Cpu, shape, options)
    }

    /// Makes a solver for problems of this shape that computes on `device`. Problem and solution
    /// lie in the program's memory; a batch that is larger than the device's memory is solved in
    /// parts.
    ///
    /// # Errors
    /// Those of [`Self::new`], and [`Error::Device`] if the device fails.
    pub fn on(device: &Device, shape: &ProblemShape, options: &Options) -> Result<Self> {
        Self::with_engine(device, shape, options, || backend::engine(device, shape, options))
    }

    /// Makes a solver that computes on a CUDA device by a path of the caller's choice, for tests
    /// and profiling.
    ///
    /// # Errors
    /// Those of [`Self::on`].
    #[cfg(feature = "cuda")]
    #[doc(hidden)]
    pub fn on_cuda_path(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: CudaPath,
    ) -> Result<Self> {
        Self::with_engine(&Device::Cuda(device.clone()), shape, options, || {
            cuda::solve::engine::new(device, shape, options, path)
        })
    }

    /// Makes a solver with an engine that the caller makes.
    pub(crate) fn with_engine(
        device: &Device,
        shape: &ProblemShape,
        options: &Options,
        engine: impl FnOnce() -> Result<Box<dyn Engine<T>>>,
    ) -> Result<Self> {
        options.check()?;
        // The engine is made first, because it knows the need of memory.
        let engine = engine()?;
        Ok(Solver {
            device: device.clone(),
            shape: shape.clone(),
            engine,
            solution: Solution::without_values(shape)?,
            solved: false,
            in_gradients: zeros("status", shape.batch)?,
            gradients: Gradients::without_values(shape)?,
            derived: Solution::without_values(shape)?,
            variances: Vec::new(),
            residuals: Vec::new(),
            warned: false,
            options: *options,
            reference: None,
        })
    }

    /// Returns the plan of this solver: how and where it solves, for people to read.
    pub fn plan(&self) -> Plan {
        self.engine.plan()
    }

    /// Returns the shape of the problems that this solver was made for.
    pub fn shape(&self) -> &ProblemShape {
        &self.shape
    }

    /// Solves all systems of the batch. The [`Status`](crate::Status) of each system tells how its
    /// solve ended; a system that cannot be solved leaves the others as they would be without it.
    /// A system whose solution misses its initial values, because it grows too much
    /// ([`Solution::is_lost`]), is not left in silence either: the first time, a `tracing`
    /// event warns.
    ///
    /// On the CPU, coefficients and steps that more than 16 systems share are factored once for all of them. Those
    /// that two systems or more share are not factored again by later solves as long as they stay the same, to the
    /// bit; but they are with [`Options::follow_growth`], the square root, and in up to three systems that are cut
    /// into chunks of their time axis, as the plan says.
    ///
    /// # Errors
    /// [`Error::Argument`] if the problem's shape is not that of the workspace,
    /// [`Error::OutOfMemory`] if the first call cannot have the memory of the solution,
    /// [`Error::Device`] if the device fails; the solution is then undefined.
    pub fn solve(&mut self, problem: &Problem<'_, T>) -> Result<&Solution<T>> {
        self.check_shape(problem)?;
        if let Err(error) = self.solution.grow() {
            self.solution.clear_values();
            return Err(self.whole_need(error));
        }
        let [mut values, mut epsilon] = self.solution.take_values();
        let solution = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
        let outcome = self.solve_into(problem, solution).map(drop);
        self.solution.put_values([values, epsilon]);
        outcome?;
        Ok(&self.solution)
    }

    /// Solves as [`Self::solve`] does, with the solution in memory of the caller; returns how the
    /// solve of each system (B) ended. [`Self::solution`] then has statuses and initial defects, but
    /// no values and no slack.
    ///
    /// # Errors
    /// Those of [`Self::solve`], and [`Error::Shape`] if the memory has another length.
    pub fn solve_into(
        &mut self,
        problem: &Problem<'_, T>,
        mut solution: SolutionMut<'_, T>,
    ) -> Result<&[Status]> {
        self.check_shape(problem)?;
        solution.check("solution", &self.shape, 1)?;
        self.solved = false;
        self.solution.clear_values();
        self.engine.solve(problem, solution.reborrow(), &mut self.solution.status)?;
        let Solution { status, initial_defect, .. } = &mut self.solution;
        compare_with_initial_values(
            problem,
            &self.options,
            solution.values,
            status,
            initial_defect,
        );
        self.warn_of_lost_solutions();
        self.solved = true;
        Ok(&self.solution.status)
    }

    /// Returns the last solution; without values and slack before the first solve, and after one in
    /// memory of the caller.
    pub fn solution(&self) -> &Solution<T> {
        &self.solution
    }

    /// Returns the gradient of a scalar ℓ with respect to every input, from ∂ℓ/∂(solution), at the
    /// problem last solved: the vector-Jacobian product (adjoint, reverse mode). Systems that were
    /// not solved contribute zero, and so do those whose cotangent or gradients are not finite,
    /// which their [`status`](Gradients::status) tells; the others are as they would be without
    /// them. Where the finite gradients of several systems add up to more than the largest number,
    /// none of them contributes.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the problem's shape is not that of the
    /// workspace, [`Error::Shape`] if an array does not fit, [`Error::OutOfMemory`] if the first call
    /// cannot have the memory of the gradients, [`Error::Device`] if the device fails.
    pub fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
    ) -> Result<&Gradients<T>> {
        self.check_solved(problem)?;
        cotangent.check(&self.shape, 1)?;
        self.gradients.grow(&self.shape).map_err(|error| self.whole_need(error))?;
        let mut inputs = std::mem::take(&mut self.gradients.inputs);
        let mut weights = self.gradients.weights;
        let gradients = GradientsMut {
            inputs: inputs.as_mut().map(|gradient| Some(&mut gradient[..])),
            weights: Some(std::slice::from_mut(&mut weights)),
        };
        let outcome = self.vjp_into(problem, cotangent, gradients).map(drop);
        (self.gradients.inputs, self.gradients.weights) = (inputs, weights);
        if let Err(error) = outcome {
            self.gradients.clear();
            return Err(error);
        }
        Ok(&self.gradients)
    }

    /// Computes the gradients that have a place in memory of the caller, as [`Self::vjp`] does, and
    /// those alone; returns how each system (B) ended, as [`Gradients::status`] tells it. A system
    /// is left out if one of these gradients is not finite.
    ///
    /// C cotangents, one after the other, have C gradients with the same factor, and statuses (C, B). On the CPU
    /// those of few systems are computed at a time: of up to four, in the lanes that no system has, for which memory is
    /// allocated the first time. (Long systems, of which each is computed in chunks, are factored whole for that, where
    /// it saves time; the gradients may then differ by rounding from those of one cotangent.)
    ///
    /// # Errors
    /// Those of [`Self::vjp`], and [`Error::Shape`] if a place has another length than its input, as many times as
    /// there are cotangents.
    pub fn vjp_into(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        mut gradients: GradientsMut<'_, T>,
    ) -> Result<&[Status]> {
        self.check_solved(problem)?;
        let count = cotangent.count(&self.shape);
        cotangent.check(&self.shape, count)?;
        gradients.check(&self.shape, count)?;
        // What `gradients` returns belongs together.
        self.gradients.clear();
        let Solver { engine, shape, solution, in_gradients: given, gradients: own, .. } = self;
        let systems = count * shape.batch;
        resize("status", systems, given)?;
        resize("status", systems, &mut own.status)?;
        repeat(&solution.status, given);
        cotangent.report_slack(given);
        let mut asked = gradients.are_empty();
        if asked {
            cotangent.report(shape, given);
        }
        loop {
            engine.vjps(problem, cotangent, given, &mut gradients, &mut own.status)?;
            // Seldom more than once, twice where a system must be left out.
            if own.status == *given {
                return Ok(&self.gradients.status);
            }
            // A cotangent that is not finite makes every gradient so, also those that systems share.
            if std::mem::replace(&mut asked, true) || !cotangent.report(shape, given) {
                given.copy_from_slice(&own.status);
            }
        }
    }

    /// Returns the gradients of the last [`Self::vjp`]; before the first, and after a
    /// [`Self::vjp_into`], those of the inputs are empty.
    pub fn gradients(&self) -> &Gradients<T> {
        &self.gradients
    }

    /// Returns the directional derivative of the solution at the problem last solved, as the inputs
    /// move along `tangents`, each of its input's shape: the Jacobian-vector product (forward
    /// mode). An input without a tangent does not move. The `values` and `epsilon` of the result
    /// are derivatives: zero for systems that were not solved, NaN for those whose tangents or
    /// derivatives are not finite, as the `status` of the result tells. On a CUDA device, the first call of
    /// jvp, [`Self::inverse`], [`Self::residuals`] or [`Self::variances`] after a solve factors the
    /// matrix once more, and the first such call of all allocates memory.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the problem's shape is not that of the
    /// workspace, [`Error::Shape`] if an array does not fit, [`Error::OutOfMemory`], and
    /// [`Error::Device`] on a device.
    pub fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
    ) -> Result<&Solution<T>> {
        self.derive(|solver, derivative| solver.jvp_into(problem, tangents, derivative).map(drop))
    }

    /// Computes the directional derivative as [`Self::jvp`] does, in memory of the caller; returns how
    /// each system (B) ended. C tangents, one after the other, have C derivatives, and statuses (C, B), as
    /// [`Self::vjp_into`] has gradients of several cotangents; the memory tells how many there are.
    ///
    /// # Errors
    /// Those of [`Self::jvp`], and [`Error::Shape`] if the memory or a tangent has another length.
    pub fn jvp_into(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        mut derivative: SolutionMut<'_, T>,
    ) -> Result<&[Status]> {
        self.check_solved(problem)?;
        let shape = &self.shape;
        let count = derivative.count(shape);
        derivative.check("tangent", shape, count)?;
        check_tangents(tangents, shape, count)?;
        let (given, found) = (&self.solution.status, &mut self.derived.status);
        resize("status", count * shape.batch, found)?;
        self.engine.jvps(problem, tangents, given, derivative.reborrow())?;
        report_not_finite(derivative, shape, given, found, broken_tangent(tangents, shape));
        Ok(found)
    }

    /// Returns M⁻¹ q at the problem last solved, where M = AᵀW²A is the normal matrix that was
    /// factored and q has the layout of the solution, and its `epsilon`, if given, the entry of the
    /// slack. Second derivatives are made of this: with q = ∂ℓ/∂z it is the adjoint g that every gradient
    /// is made of. Systems that were not solved have zeros, and those whose q or result is not finite
    /// NaN, as the `status` of the result tells. On a CUDA device it may factor the matrix once more
    /// ([`Self::jvp`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the problem's shape is not that of the
    /// workspace, [`Error::Shape`] if q does not fit, [`Error::OutOfMemory`], and [`Error::Device`]
    /// on a device.
    pub fn inverse(
        &mut self,
        problem: &Problem<'_, T>,
        q: &Cotangent<'_, T>,
    ) -> Result<&Solution<T>> {
        self.derive(|solver, result| solver.inverse_into(problem, q, result).map(drop))
    }

    /// Computes M⁻¹ q as [`Self::inverse`] does, in memory of the caller; returns how each system (B)
    /// ended.
    ///
    /// # Errors
    /// Those of [`Self::inverse`], and [`Error::Shape`] if the memory has another length.
    pub fn inverse_into(
        &mut self,
        problem: &Problem<'_, T>,
        q: &Cotangent<'_, T>,
        mut result: SolutionMut<'_, T>,
    ) -> Result<&[Status]> {
        self.check_solved(problem)?;
        let shape = &self.shape;
        q.check(shape, 1)?;
        result.check("result", shape, 1)?;
        let (given, found) = (&self.solution.status, &mut self.derived.status);
        resize("status", shape.batch, found)?;
        self.engine.inverse(problem, q, given, result.reborrow())?;
        report_not_finite(result, shape, given, found, |system| q.broken(shape, system));
        Ok(found)
    }

    /// Lets `work` write to the memory of what is derived from the solution.
    fn derive(
        &mut self,
        work: impl FnOnce(&mut Self, SolutionMut<'_, T>) -> Result<()>,
    ) -> Result<&Solution<T>> {
        self.derived.grow().map_err(|error| self.whole_need(error))?;
        let [mut values, mut epsilon] = self.derived.take_values();
        let result = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
        let outcome = work(self, result);
        self.derived.put_values([values, epsilon]);
        outcome?;
        Ok(&self.derived)
    }

    /// Returns how well each system (B) satisfies its rows, at the problem last solved; NaN where a
    /// system was not solved.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the shape does not fit,
    /// [`Error::OutOfMemory`], and [`Error::Device`] on a device.
    pub fn residuals(&mut self, problem: &Problem<'_, T>) -> Result<&[Residuals]> {
        self.check_solved(problem)?;
        grow("residuals", self.shape.batch, &mut self.residuals)?;
        self.engine.residuals(problem, &self.solution.status, &mut self.residuals)?;
        Ok(&self.residuals)
    }

    /// Returns the marginal variances (B, N, K, Q) of the solution at the problem last solved: the
    /// diagonal of M⁻¹, M = AᵀW²A. If the right-hand sides have independent errors of standard
    /// deviation σ/W (W: the weight of the row, times its scale where rows are balanced), the
    /// variance of a value is σ² times the number returned. The numbers are NaN for a system that
    /// was not solved. They have the digits of the factor, which refinement does not improve. On a
    /// CUDA device, and for up to three long systems on the CPU, the first call after a solve may factor
    /// the matrix once more ([`Self::jvp`]), and the first of all allocates memory.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the shape does not fit,
    /// [`Error::OutOfMemory`], and [`Error::Device`] on a device.
    pub fn variances(&mut self, problem: &Problem<'_, T>) -> Result<&[T]> {
        self.check_solved(problem)?;
        let values = self.shape.solution().iter().product();
        grow("variances", values, &mut self.variances)?;
        self.engine.variances(problem, &self.solution.status, &mut self.variances)?;
        Ok(&self.variances)
    }

    /// Returns an estimate (B) of max |u − u_exact| over the states and points of each system, at
    /// the problem last solved: the distance from a solution of higher order, plus the rounding of
    /// u. That solution is made of balanced [`Smoothness::Hermite`] rows with two more derivatives,
    /// without slack, on the same grid; it costs another, larger solve, and its workspace is
    /// allocated by the first call. The estimate is NaN for a system of which either solve failed.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet, the solution lies in memory of the caller, the
    /// shape does not fit, or the solution carries (nearly) as many derivatives as possible already;
    /// [`Error::OutOfMemory`].
    pub fn error_estimate(&mut self, problem: &Problem<'_, T>) -> Result<&[f64]> {
        self.check_solved(problem)?;
        if self.solution.values.is_empty() {
            return Err(Error::argument("problem", "call `solve`: the solution is the caller's"));
        }
        let richer = problem
            .clone()
            .with_extra_derivatives(self.shape.extra_derivatives + REFERENCE_EXTRA)?;
        let reference = match &mut self.reference {
            Some(reference) => reference,
            none => {
                none.insert(Box::new(Reference::new(&self.device, richer.shape(), &self.options)?))
            }
        };
        let exact = reference.solver.solve(&richer)?;

        let q = self.shape.derivatives();
        let values = self.shape.points * self.shape.block();
        let systems = self.solution.values.chunks_exact(values);
        let exact_systems = exact.values.chunks_exact(values / q * (q + REFERENCE_EXTRA));
        for (system, (u, exact_u)) in systems.zip(exact_systems).enumerate() {
            let solved = self.solution.status[system].is_ok() && exact.status[system].is_ok();
            let (mut distance, mut largest) = (0.0_f64, 0.0_f64);
            for (u, exact_u) in u.iter().step_by(q).zip(exact_u.iter().step_by(q + REFERENCE_EXTRA))
            {
                distance = distance.max((u.to_double() - exact_u.to_double()).abs());
                largest = largest.max(u.to_double().abs());
            }
            let estimate = distance + largest * T::epsilon().to_double();
            reference.estimate[system] = if solved { estimate } else { f64::NAN };
        }
        Ok(&reference.estimate)
    }

    /// Says once that solutions miss their initial values, if some do.
    fn warn_of_lost_solutions(&mut self) {
        let defects = &self.solution.initial_defect;
        let lost = (0..defects.len()).filter(|&system| self.solution.is_lost(system)).count();
        if lost == 0 || self.warned {
            return;
        }
        self.warned = true;
        let worst = 100.0 * defects.iter().fold(0.0, |worst: f64, &defect| worst.max(defect));
        tracing::warn!(
            "{lost} of {} solutions miss their initial values, by up to {worst:.2} %: they grow too \
             much (the option follow_growth divides rows by the magnitude reached), or the steps are \
             too long",
            defects.len()
        );
    }

    /// Returns the error of memory that cannot be had for a result, which names the need of all.
    fn whole_need(&self, error: Error) -> Error {
        match error {
            Error::OutOfMemory { .. } => Error::OutOfMemory {
                what: SOLVER.into(),
                bytes: self.engine.bytes().saturating_add(self.shape.result_bytes::<T>()),
            },
            other => other,
        }
    }

    fn check_shape(&self, problem: &Problem<'_, T>) -> Result<()> {
        if *problem.shape() == self.shape {
            return Ok(());
        }
        Err(Error::argument("problem", self.shape.difference(problem.shape())))
    }

    fn check_solved(&self, problem: &Problem<'_, T>) -> Result<()> {
        self.check_shape(problem)?;
        if self.solved {
            return Ok(());
        }
        Err(Error::argument("problem", "call `solve` first"))
    }
}

mod initial;
