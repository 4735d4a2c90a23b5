//! The solver of a batch of nonlinear ODEs: the start, the iterations over the whole grid, and the
//! outcome of every system.

use super::adjoint::{Adjoint, NonlinearGradients};
use super::newton::{Newton, Progress, Sizes};
use super::ode::NonlinearOde;
use super::problem::{NonlinearProblem, NonlinearShape, part};
use super::sweep::Sweep;
use crate::memory::zeros;
use crate::{Device, Error, Formulation, Options, Result, Status};

/// The outcome of the iterations of one system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Convergence {
    /// The iterations converged: the last one changed the system by no more than the tolerance.
    #[default]
    Converged,
    /// The system was still changing after the last iteration allowed.
    IterationLimit,
    /// The iterations stalled: no fraction of a step lowers the sum of squares, though the step
    /// exceeds the tolerance. The grid is too coarse for the solution, or the tolerance is below
    /// the rounding.
    Stalled,
    /// A linearized system could not be solved.
    LinearSolve(Status),
    /// A value of F or of the trajectory is NaN or infinite: an input is, the solution blows up, or
    /// F is not defined at the trajectory.
    NonFinite,
}

impl Convergence {
    /// Returns whether the iterations converged, so that there is a solution.
    pub fn is_converged(self) -> bool {
        self == Convergence::Converged
    }
}

/// The options of a nonlinear solve: everything about it that is not data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonlinearOptions {
    /// Options of the linear solves. The default is Hermite rows; shared slack and periodic rows
    /// are not possible.
    pub linear: Options,
    /// Number of derivatives carried beyond the order m of the equation: Q = m + 1 + extra. Hermite
    /// rows are of fourth order with 1, the default.
    pub extra_derivatives: usize,
    /// Largest number of iterations over a window, and over the whole grid.
    pub max_iterations: usize,
    /// Tolerance of the iterations: a system is done when an iteration changes no state by more
    /// than this part of the state's largest value. Convergence is quadratic, so what remains after
    /// that iteration is mostly far less.
    pub tolerance: f64,
    /// Number of points of a window of the start, at least 2. An odd number is better: an even
    /// number of steps cancels what Hermite rows leave of an alternating highest derivative.
    pub window: usize,
}

impl Default for NonlinearOptions {
    fn default() -> Self {
        NonlinearOptions {
            linear: Options::default(),
            extra_derivatives: 1,
            max_iterations: 50,
            tolerance: 1e-9,
            window: 17,
        }
    }
}

impl NonlinearOptions {
    fn check(&self) -> Result<()> {
        if self.linear.formulation != Formulation::LeastSquares {
            let message = "must be least squares for a nonlinear equation";
            return Err(Error::argument("linear.formulation", message));
        }
        if self.linear.periodic {
            let message = "is not possible for a nonlinear equation";
            return Err(Error::argument("linear.periodic", message));
        }
        if self.max_iterations == 0 {
            return Err(Error::argument("max_iterations", "there must be at least one"));
        }
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            let message = format!("must be finite and positive, got {}", self.tolerance);
            return Err(Error::argument("tolerance", message));
        }
        if self.window < 2 {
            let message = format!("needs at least two points, got {}", self.window);
            return Err(Error::argument("window", message));
        }
        Ok(())
    }
}

/// The solution of a batch of nonlinear ODEs: the trajectory of every system and how its iterations
/// ended.
#[derive(Clone, Debug, Default)]
pub struct NonlinearSolution {
    /// Values of u and its derivatives, (B, N, K, Q) with Q = m + 1 + extra; NaN for a system that
    /// did not converge.
    pub values: Vec<f64>,
    /// Outcome of the iterations of each system, (B).
    pub status: Vec<Convergence>,
    /// Number of iterations of each system over the whole grid, (B); each is one linear solve.
    pub iterations: Vec<usize>,
    /// Number of iterations of each system over the windows of the start, all windows together,
    /// (B); zeros after [`NonlinearSolver::solve_from`].
    pub window_iterations: Vec<usize>,
    /// Euclidean norm of all weighted defects of each system at its solution, (B): those of the
    /// equation, which the iterations make as small as the smoothness rows allow, those of the
    /// initial and of the smoothness rows. A norm far above those of other systems, or that on a
    /// finer grid, says that the grid is too coarse for the solution. NaN for a system that did not
    /// converge.
    pub defects: Vec<f64>,
}

/// A solver for batches of one equation and one shape: it holds the plan and the workspace.
pub struct NonlinearSolver<O> {
    ode: O,
    shape: NonlinearShape,
    newton: Newton,
    sweep: Option<Sweep>,
    adjoint: Adjoint,
    solution: NonlinearSolution,
    solved: bool,
}

impl<O: NonlinearOde> NonlinearSolver<O> {
    /// Makes a solver for problems of this shape whose linear solves run on the CPU, and allocates
    /// its workspace.
    ///
    /// # Errors
    /// [`Error::Shape`] for parameters or initial values that do not fit the equation,
    /// [`Error::Argument`] for an impossible option, [`Error::OutOfMemory`] if the workspace
    /// cannot be had.
    pub fn new(ode: O, shape: &NonlinearShape, options: &NonlinearOptions) -> Result<Self> {
        Self::on(&Device::Cpu, ode, shape, options)
    }

    /// Makes a solver whose linear solves run on `device`; F is evaluated on the CPU.
    ///
    /// # Errors
    /// Those of [`Self::new`], and [`Error::Device`] if the device fails.
    pub fn on(
        device: &Device,
        ode: O,
        shape: &NonlinearShape,
        options: &NonlinearOptions,
    ) -> Result<Self> {
        options.check()?;
        shape.check(&ode)?;
        let sizes = Sizes {
            batch: shape.batch,
            points: shape.points,
            states: ode.states(),
            order: ode.order(),
            derivatives: ode.order().saturating_add(1).saturating_add(options.extra_derivatives),
            steps: shape.steps,
        };
        let newton = Newton::new(device, sizes, options)?;
        Ok(NonlinearSolver {
            sweep: Sweep::new(device, &sizes, options)?,
            adjoint: Adjoint::new(shape, &sizes)?,
            solution: NonlinearSolution {
                values: zeros("solution", sizes.trajectory())?,
                status: zeros("status", shape.batch)?,
                iterations: zeros("iterations", shape.batch)?,
                window_iterations: zeros("iterations", shape.batch)?,
                defects: zeros("defects", shape.batch)?,
            },
            newton,
            ode,
            shape: shape.clone(),
            solved: false,
        })
    }

    /// Returns the shape of the problems that this solver was made for.
    pub fn shape(&self) -> &NonlinearShape {
        &self.shape
    }

    /// Returns the extents of a trajectory, (B, N, K, Q).
    pub fn trajectory_shape(&self) -> [usize; 4] {
        let Sizes { batch, points, states, derivatives, .. } = self.newton.sizes;
        [batch, points, states, derivatives]
    }

    /// Solves all systems of the batch from a trajectory that is made window by window. The
    /// [`Convergence`] of each system tells how its iterations ended; a system that cannot be
    /// solved leaves the others as they would be without it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the problem's shape is not that of the workspace, [`Error::Device`]
    /// if the device fails.
    pub fn solve(&mut self, problem: &NonlinearProblem<'_>) -> Result<&NonlinearSolution> {
        self.load(problem)?;
        match &mut self.sweep {
            Some(sweep) => sweep.run(&self.ode, problem, &mut self.newton)?,
            None => self.newton.hold(),
        }
        self.iterate(problem)
    }

    /// Solves all systems of the batch from the given `trajectory`, (B, N, K, Q). It need not
    /// satisfy the equation or the initial values; derivatives beyond order m must be there but do
    /// not matter.
    ///
    /// # Errors
    /// [`Error::Argument`] if the problem's shape is not that of the workspace, [`Error::Shape`] if
    /// the trajectory does not fit, [`Error::Device`] if the device fails.
    pub fn solve_from(
        &mut self,
        problem: &NonlinearProblem<'_>,
        trajectory: &[f64],
    ) -> Result<&NonlinearSolution> {
        self.check_trajectory("trajectory", trajectory)?;
        self.load(problem)?;
        self.newton.trajectory.copy_from_slice(trajectory);
        self.iterate(problem)
    }

    /// Returns the last solution.
    pub fn solution(&self) -> &NonlinearSolution {
        &self.solution
    }

    /// Returns the gradients of a scalar ℓ with respect to parameters, initial values and steps,
    /// from ∂ℓ/∂(solution) (B, N, K, Q), at the problem last solved: the vector-Jacobian product
    /// (the [module](super) has the formulas). Systems that did not converge contribute
    /// zero, and so do those whose cotangent or gradients are not finite
    /// ([`NonlinearGradients::status`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was solved yet or the problem's shape is not that of the
    /// workspace, [`Error::Shape`] if the cotangent does not fit, [`Error::Device`] if the device
    /// fails.
    pub fn vjp(
        &mut self,
        problem: &NonlinearProblem<'_>,
        cotangent: &[f64],
    ) -> Result<&NonlinearGradients> {
        self.check_shape(problem)?;
        if !self.solved {
            let message = "it must be solved before it can be differentiated";
            return Err(Error::argument("problem", message));
        }
        self.check_trajectory("cotangent", cotangent)?;
        let (newton, status) = (&mut self.newton, &self.solution.status);
        self.adjoint.run(&self.ode, problem, newton, status, cotangent)
    }

    /// Copies the grid and the initial values into the workspace.
    fn load(&mut self, problem: &NonlinearProblem<'_>) -> Result<()> {
        self.check_shape(problem)?;
        let (batch, points) = (self.shape.batch, self.shape.points);
        let grid = &mut self.newton.grid;
        grid.steps.copy_from_slice(problem.steps);
        for (b, times) in grid.times.chunks_exact_mut(points).enumerate() {
            problem.times(b, times);
        }
        let given = grid.initial_values.len() / batch;
        for (b, values) in grid.initial_values.chunks_exact_mut(given).enumerate() {
            let extent = self.shape.initial_values[0];
            values.copy_from_slice(part(problem.initial_values, extent, b));
        }
        self.newton.progress.fill(Progress::default());
        self.solved = false;
        Ok(())
    }

    /// Iterates over the whole grid and collects the results.
    fn iterate(&mut self, problem: &NonlinearProblem<'_>) -> Result<&NonlinearSolution> {
        for (progress, iterations) in
            self.newton.progress.iter_mut().zip(&mut self.solution.window_iterations)
        {
            *iterations = std::mem::take(&mut progress.iterations);
        }
        self.newton.run(&self.ode, problem)?;
        self.adjoint.forget();

        self.solution.values.copy_from_slice(&self.newton.trajectory);
        let stride = self.solution.values.len() / self.shape.batch;
        for (b, progress) in self.newton.progress.iter().enumerate() {
            let status = progress.outcome.expect("every system ends somehow");
            self.solution.status[b] = status;
            self.solution.iterations[b] = progress.iterations;
            self.solution.defects[b] = progress.defects.sqrt();
            if !status.is_converged() {
                self.solution.defects[b] = f64::NAN;
                self.solution.values[b * stride..(b + 1) * stride].fill(f64::NAN);
            }
        }
        self.solved = true;
        Ok(&self.solution)
    }

    fn check_shape(&self, problem: &NonlinearProblem<'_>) -> Result<()> {
        if *problem.shape() == self.shape {
            return Ok(());
        }
        let message = format!(
            "the solver was made for {:?}, the problem is {:?}",
            self.shape,
            problem.shape()
        );
        Err(Error::argument("problem", message))
    }

    fn check_trajectory(&self, argument: &str, values: &[f64]) -> Result<()> {
        if values.len() == self.solution.values.len() {
            return Ok(());
        }
        Err(Error::Shape {
            argument: argument.into(),
            expected: format!("(B, N, K, Q) = {:?}", self.trajectory_shape()),
            actual: vec![values.len()],
        })
    }
}
