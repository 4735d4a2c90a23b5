//! Damped Gauss-Newton iterations of a batch of nonlinear ODEs on one grid.

use super::defects::{Defects, System};
use super::ode::{Evaluator, NonlinearOde};
use super::problem::{NonlinearProblem, part};
use super::{Convergence, NonlinearOptions};
use crate::memory::zeros;
use crate::threads;
use crate::{Device, Inputs, Problem, ProblemShape, Result, Solver, Status};

/// The most times that a step which raises the sum of squares is halved.
const HALVINGS: usize = 12;
/// The relative amount by which the sum of squares may rise, because of rounding.
const ROUNDING: f64 = 1e-12;
/// A change of a state is measured relative to the state's largest value, or relative to the
/// largest of all states if its own is smaller than this part of that one.
const SMALL_STATE: f64 = 1e-6;

/// The progress of the iterations of one system.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// Outcome of the iterations; `None` while they go on.
    pub outcome: Option<Convergence>,
    /// Number of linear solves that the system took part in.
    pub iterations: usize,
    /// Sum of squared defects of the trajectory.
    pub defects: f64,
}

/// The sizes, as in [`NonlinearShape`](super::NonlinearShape), of n consecutive points of the grid.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub batch: usize,
    pub points: usize,
    pub states: usize,
    /// Order m of the equation.
    pub order: usize,
    /// Q, the values of a state at a point.
    pub derivatives: usize,
    /// Extents of the steps, (B or 1, n−1 or 1).
    pub steps: [usize; 2],
}

impl Sizes {
    /// Returns P = K·Q, the values of a point.
    pub fn block(&self) -> usize {
        self.states * self.derivatives
    }

    /// Returns the number of values of a trajectory (B, n, K, Q).
    pub fn trajectory(&self) -> usize {
        self.batch * self.points * self.block()
    }

    /// Returns the number of columns of an equation, K·(m + 1).
    pub fn columns(&self) -> usize {
        self.states * (self.order + 1)
    }
}

/// The workspace of the iterations for grids of one number of points.
pub(super) struct Newton {
    pub sizes: Sizes,
    options: NonlinearOptions,
    defects: Defects,
    pub solver: Solver<f64>,
    pub grid: Grid,
    pub linearization: Linearization,
    /// Current trajectory, (B, n, K, Q).
    pub trajectory: Vec<f64>,
    /// Progress of each system, (B).
    pub progress: Vec<Progress>,
}

/// The inputs of the systems on the grid.
pub(super) struct Grid {
    /// Times, (B, n).
    pub times: Vec<f64>,
    /// Steps, (B or 1, n−1 or 1).
    pub steps: Vec<f64>,
    /// Initial values, (B, K, m).
    pub initial_values: Vec<f64>,
    extents: [usize; 2],
}

impl Grid {
    fn system<'a>(&'a self, problem: &'a NonlinearProblem<'_>, b: usize) -> System<'a> {
        let batch = problem.shape().batch;
        System {
            times: part(&self.times, batch, b),
            steps: part(&self.steps, self.extents[0], b),
            theta: problem.theta(b),
            initial_values: part(&self.initial_values, batch, b),
        }
    }
}

/// The linearized equations c·u = b at every point, with c = ∂F/∂u and b = c·u − F at the current
/// trajectory.
pub(super) struct Linearization {
    shape: ProblemShape,
    /// Coefficients c, (B, n, K, K, m + 1).
    pub coefficients: Vec<f64>,
    /// Right-hand sides b, (B, n, K).
    pub rhs: Vec<f64>,
}

impl Linearization {
    /// Returns the linearized batch as a problem for the linear solver.
    pub fn problem<'a>(&'a self, grid: &'a Grid) -> Problem<'a, f64> {
        let inputs = Inputs {
            coefficients: &self.coefficients[..],
            rhs: &self.rhs,
            initial_values: &grid.initial_values,
            steps: &grid.steps,
        };
        Problem::from_parts(&self.shape, inputs)
    }
}

impl Newton {
    pub fn new(device: &Device, sizes: Sizes, options: &NonlinearOptions) -> Result<Self> {
        let Sizes { batch, points, states, order, derivatives, steps } = sizes;
        let shape = ProblemShape::new(
            batch,
            points,
            Inputs {
                coefficients: &[batch, points, states, states, order + 1],
                rhs: &[batch, points, states],
                initial_values: &[batch, 1, states, order],
                steps: &steps,
            },
        )?
        .with_extra_derivatives(derivatives - (order + 1))?;
        Ok(Newton {
            solver: Solver::on(device, &shape, &options.linear)?,
            defects: Defects::new(&options.linear, states, order, derivatives),
            grid: Grid {
                times: zeros("times", batch * points)?,
                steps: zeros("steps", steps[0] * steps[1])?,
                initial_values: zeros("initial values", batch * states * order)?,
                extents: steps,
            },
            linearization: Linearization {
                shape,
                coefficients: zeros("linearization", batch * points * states * sizes.columns())?,
                rhs: zeros("linearization", batch * points * states)?,
            },
            trajectory: zeros("trajectory", sizes.trajectory())?,
            progress: zeros("progress", batch)?,
            options: *options,
            sizes,
        })
    }

    /// Iterates every system that has no outcome yet, from the current trajectory.
    ///
    /// # Errors
    /// Those of [`Solver::solve`].
    pub fn run<O: NonlinearOde>(&mut self, ode: &O, problem: &NonlinearProblem<'_>) -> Result<()> {
        self.judge_start(ode, problem);
        for _ in 0..self.options.max_iterations {
            if self.progress.iter().all(|progress| progress.outcome.is_some()) {
                return Ok(());
            }
            self.linearize(ode, problem);
            self.solve_linear()?;
            self.step(ode, problem);
        }
        for progress in &mut self.progress {
            progress.outcome.get_or_insert(Convergence::IterationLimit);
        }
        Ok(())
    }

    /// Computes the sums of squares at the start.
    fn judge_start<O: NonlinearOde>(&mut self, ode: &O, problem: &NonlinearProblem<'_>) {
        let (grid, defects) = (&self.grid, &self.defects);
        let stride = self.sizes.points * self.sizes.block();
        threads::share_with(
            self.trajectory.chunks(stride).zip(&mut self.progress).enumerate(),
            usize::MAX,
            || Evaluator::new(ode),
            |evaluator, (b, (z, progress))| {
                if progress.outcome.is_some() {
                    return;
                }
                progress.defects = defects.sum(evaluator, &grid.system(problem, b), z);
                if !progress.defects.is_finite() {
                    progress.outcome = Some(Convergence::NonFinite);
                }
            },
        );
    }

    /// Linearizes every system at its trajectory.
    pub fn linearize<O: NonlinearOde>(&mut self, ode: &O, problem: &NonlinearProblem<'_>) {
        let Sizes { points, states, .. } = self.sizes;
        let (columns, block) = (self.sizes.columns(), self.sizes.block());
        let grid = &self.grid;
        let coefficients = self.linearization.coefficients.chunks_mut(points * states * columns);
        let systems = coefficients.zip(self.linearization.rhs.chunks_mut(points * states));
        threads::share_with(
            self.trajectory.chunks(points * block).zip(systems).enumerate(),
            usize::MAX,
            || Evaluator::new(ode),
            |evaluator, (b, (z, (coefficients, rhs)))| {
                let system = grid.system(problem, b);
                let rows = coefficients.chunks_exact_mut(states * columns);
                let rows = rows.zip(rhs.chunks_exact_mut(states));
                for (t, (z, (c, b))) in z.chunks_exact(block).zip(rows).enumerate() {
                    evaluator.at(system.times[t], z, system.theta).linearize(c, b);
                }
            },
        );
    }

    /// Solves the linearized systems, all at once.
    ///
    /// # Errors
    /// Those of [`Solver::solve`].
    pub fn solve_linear(&mut self) -> Result<()> {
        let problem = self.linearization.problem(&self.grid);
        self.solver.solve(&problem)?;
        Ok(())
    }

    /// Moves the systems that have no outcome yet towards the last linear solution.
    fn step<O: NonlinearOde>(&mut self, ode: &O, problem: &NonlinearProblem<'_>) {
        let stride = self.sizes.points * self.sizes.block();
        let solution = self.solver.solution();
        let (grid, tolerance) = (&self.grid, self.options.tolerance);
        let (defects, sizes) = (&self.defects, &self.sizes);
        let found = solution.values.chunks(stride).zip(&solution.status);
        threads::share_with(
            self.trajectory.chunks_mut(stride).zip(found).zip(&mut self.progress).enumerate(),
            usize::MAX,
            || (Evaluator::new(ode), vec![0.0; stride]),
            |(evaluator, trial), (b, ((z, (target, status)), progress))| {
                if progress.outcome.is_some() {
                    return;
                }
                progress.iterations += 1;
                if *status != Status::Ok {
                    progress.outcome = Some(Convergence::LinearSolve(*status));
                    return;
                }
                let system = grid.system(problem, b);
                let mut sum = |z: &[f64]| defects.sum(evaluator, &system, z);
                if relative_change(z, target, sizes) <= tolerance {
                    z.copy_from_slice(target);
                    progress.defects = sum(z);
                    progress.outcome = Some(Convergence::Converged);
                } else {
                    damped_step(z, target, trial, progress, &mut sum);
                }
            },
        );
    }
}

/// Returns the largest change of a state, relative to its largest value.
fn relative_change(z: &[f64], target: &[f64], sizes: &Sizes) -> f64 {
    let of_state = |k: usize| {
        let at = k * sizes.derivatives;
        let pairs = z[at..].iter().zip(&target[at..]).step_by(sizes.block());
        pairs.fold((0.0_f64, 0.0_f64), |(change, size), (z, target)| {
            (change.max((target - z).abs()), size.max(target.abs()))
        })
    };
    let largest = (0..sizes.states).map(|k| of_state(k).1).fold(f64::MIN_POSITIVE, f64::max);
    let relative = (0..sizes.states).map(|k| {
        let (change, size) = of_state(k);
        change / size.max(SMALL_STATE * largest)
    });
    relative.fold(0.0, f64::max)
}

/// Returns z + α (target − z) with the first α of 1, ½, ¼, … that does not raise the sum of
/// squares.
fn damped_step(
    z: &mut [f64],
    target: &[f64],
    trial: &mut [f64],
    progress: &mut Progress,
    sum: &mut impl FnMut(&[f64]) -> f64,
) {
    let mut fraction = 1.0;
    let mut finite = false;
    for _ in 0..=HALVINGS {
        for ((trial, &z), &target) in trial.iter_mut().zip(z.iter()).zip(target) {
            *trial = if fraction == 1.0 { target } else { z + fraction * (target - z) };
        }
        let reached = sum(trial);
        finite |= reached.is_finite();
        if reached <= progress.defects * (1.0 + ROUNDING) {
            z.copy_from_slice(trial);
            progress.defects = reached;
            return;
        }
        fraction *= 0.5;
    }
    progress.outcome = Some(if finite { Convergence::Stalled } else { Convergence::NonFinite });
}
