//! The gradients of the discrete solution of a nonlinear ODE, by the formulas in the documentation
//! of the module `nonlinear` (section Gradients), whose letters the comments here use.
//!
//! z̄ is the gradient that the caller gives, w̄ the solution of w̄ = z̄ + (∂Φ/∂z)ᵀ w̄. A sweep
//! applies (∂Φ/∂z)ᵀ in two steps: the adjoint of the linear solver gives the gradients of the
//! linearization, and [`pull_back`] those of what the linearization was computed from. Which
//! derivatives of F that takes is for `ode.rs`.

use super::Convergence;
use super::newton::{Newton, Sizes};
use super::ode::{EquationCotangent, Evaluator, NonlinearOde};
use super::problem::{NonlinearProblem, NonlinearShape};
use crate::memory::zeros;
use crate::threads;
use crate::{Cotangent, Gradients, Result, Status};

/// The most sweeps of the fixed-point iteration w̄ = z̄ + (∂Φ/∂z)ᵀ w̄ after the first, which starts
/// from w̄ = z̄.
const MOST_SWEEPS: usize = 50;
/// The largest change of w̄ by a sweep, relative to the largest value of w̄, at which a system is
/// done; the sweeps end when all systems are.
const TOLERANCE: f64 = 1e-13;

/// The gradients of a scalar ℓ with respect to every input of a nonlinear problem, each of the
/// input's own shape: along a shared axis the gradient is summed.
#[derive(Clone, Debug, Default)]
pub struct NonlinearGradients {
    /// Gradient with respect to the parameters θ, (B or 1, L).
    pub parameters: Vec<f64>,
    /// Gradient with respect to the initial values, (B or 1, K, m).
    pub initial_values: Vec<f64>,
    /// Gradient with respect to the steps, (B or 1, N−1 or 1); moving a step moves the times of all
    /// later points.
    pub steps: Vec<f64>,
    /// Change by the last sweep of the fixed-point iteration for each system, (B), relative to the
    /// largest value; it is above 1e-13 only if the undamped iteration hardly contracts.
    pub remainder: Vec<f64>,
    /// Outcome of each system, (B): [`NonFiniteInput`](Status::NonFiniteInput) if the system did
    /// not converge or its cotangent is not finite, [`Overflow`](Status::Overflow) if its gradients
    /// are not. A system with another status than [`Ok`](Status::Ok) contributes zero.
    pub status: Vec<Status>,
}

/// The workspace of the adjoint.
pub(super) struct Adjoint {
    shape: NonlinearShape,
    /// The cotangent w̄, (B, N, K, Q).
    cotangent: Vec<f64>,
    /// Gradient with respect to the arguments of F at every point, through the linearization: (B,
    /// N, K·(m + 1) + 1 + L), where a row has u, …, u^(m) of every state, then t, then θ.
    arguments: Vec<f64>,
    gradients: NonlinearGradients,
    /// Whether the solver's factor is that of the linearization at the solution.
    factorized: bool,
}

impl Adjoint {
    pub fn new(shape: &NonlinearShape, sizes: &Sizes) -> Result<Self> {
        let arguments = sizes.columns() + 1 + shape.parameters[1];
        Ok(Adjoint {
            cotangent: zeros("adjoint", sizes.trajectory())?,
            arguments: zeros("adjoint", sizes.batch * sizes.points * arguments)?,
            gradients: NonlinearGradients {
                parameters: zeros("gradients", shape.parameters.iter().product())?,
                initial_values: zeros("gradients", shape.initial_values.iter().product())?,
                steps: zeros("gradients", shape.steps.iter().product())?,
                remainder: zeros("gradients", sizes.batch)?,
                status: zeros("status", sizes.batch)?,
            },
            shape: shape.clone(),
            factorized: false,
        })
    }

    /// Notes that the solution has changed, so that the factor no longer belongs to it.
    pub fn forget(&mut self) {
        self.factorized = false;
    }

    /// Computes the gradients from z̄ = `given`, (B, N, K, Q).
    ///
    /// # Errors
    /// Those of the linear solver.
    pub fn run<O: NonlinearOde>(
        &mut self,
        ode: &O,
        problem: &NonlinearProblem<'_>,
        newton: &mut Newton,
        status: &[Convergence],
        given: &[f64],
    ) -> Result<&NonlinearGradients> {
        if !self.factorized {
            newton.linearize(ode, problem);
            newton.solve_linear()?;
            self.factorized = true;
        }
        let systems = given.chunks_exact(given.len() / status.len()).zip(status);
        for (own, (given, status)) in self.gradients.status.iter_mut().zip(systems) {
            *own = match (status.is_converged(), are_finite(given)) {
                (false, _) => Status::NonFiniteInput { argument: "the solution" },
                (true, false) => Status::NonFiniteInput { argument: "the cotangent" },
                (true, true) => Status::Ok,
            };
        }
        loop {
            self.sweep(ode, problem, newton, given)?;
            // Seldom more than once, twice where a system must be left out.
            if !self.find_overflow(&newton.sizes) {
                return Ok(&self.gradients);
            }
        }
    }

    /// Computes the gradients of the systems whose status is ok.
    fn sweep<O: NonlinearOde>(
        &mut self,
        ode: &O,
        problem: &NonlinearProblem<'_>,
        newton: &mut Newton,
        given: &[f64],
    ) -> Result<()> {
        self.load(given);
        let Newton { sizes, solver, grid, linearization, trajectory, .. } = newton;
        let linear = linearization.problem(grid);
        for sweep in 0.. {
            let cotangent = Cotangent { values: &self.cotangent, epsilon: None };
            let through = solver.vjp(&linear, &cotangent)?;
            let status = &mut self.gradients.status;
            for (own, linear) in status.iter_mut().zip(&through.status) {
                if own.is_ok() && !linear.is_ok() {
                    *own = Status::Overflow;
                }
            }
            let at = Solved { problem, sizes, times: &grid.times, trajectory, status };
            pull_back(ode, &at, through, &mut self.arguments);
            self.advance(given, sizes);
            let settled = self.gradients.remainder.iter().all(|&change| change <= TOLERANCE);
            if settled || sweep == MOST_SWEEPS {
                self.collect(through, sizes);
                break;
            }
        }
        Ok(())
    }

    /// Sets w̄ = z̄, or 0 for systems that are left out.
    fn load(&mut self, given: &[f64]) {
        self.cotangent.copy_from_slice(given);
        let status = &self.gradients.status;
        let stride = given.len() / status.len();
        for (w, status) in self.cotangent.chunks_exact_mut(stride).zip(status) {
            if !status.is_ok() {
                w.fill(0.0);
            }
        }
    }

    /// Sets the status of the systems because of which the gradients are not finite to overflow;
    /// returns whether there are any.
    fn find_overflow(&mut self, sizes: &Sizes) -> bool {
        let NonlinearGradients { parameters, initial_values, steps, status, .. } =
            &mut self.gradients;
        if [&*parameters, initial_values, steps].into_iter().all(|values| are_finite(values)) {
            return false;
        }
        let batch = status.len();
        let own = |values: &[f64], extents: &[usize], system: usize| {
            let size = if extents[0] == 1 { 0 } else { values.len() / batch };
            are_finite(&values[system * size..][..size])
        };
        let NonlinearShape { parameters: p, initial_values: i, steps: s, .. } = &self.shape;
        let (before, arguments) = (status.clone(), self.arguments.len() / batch);
        let width = self.arguments.len() / (batch * sizes.points);
        for (system, status) in status.iter_mut().enumerate().filter(|(_, s)| s.is_ok()) {
            // Of what is shared, the sums over the points of this system alone. Only parameters,
            // which come after the states and the time, are added up over the points.
            let arguments = &self.arguments[system * arguments..][..arguments];
            let sum = |argument: usize| arguments.iter().skip(argument).step_by(width).sum::<f64>();
            let finite = are_finite(arguments)
                && (sizes.columns() + 1..width).all(|argument| sum(argument).is_finite())
                && own(parameters, p, system)
                && own(initial_values, i, system)
                && own(steps, s, system);
            if !finite {
                *status = Status::Overflow;
            }
        }
        // Finite gradients whose sum is not.
        if *status == before {
            status.iter_mut().filter(|s| s.is_ok()).for_each(|s| *s = Status::Overflow);
        }
        *status != before
    }

    /// Replaces w̄ by z̄ + (∂Φ/∂z)ᵀ w̄ and records how much that changed it.
    fn advance(&mut self, given: &[f64], sizes: &Sizes) {
        let Sizes { points, order, derivatives, .. } = *sizes;
        let (block, stride) = (sizes.block(), points * sizes.block());
        let arguments = self.arguments.len() / (sizes.batch * points);
        for (b, status) in self.gradients.status.iter().enumerate() {
            self.gradients.remainder[b] = 0.0;
            if !status.is_ok() {
                self.cotangent[b * stride..][..stride].fill(0.0);
                continue;
            }
            let through = &self.arguments[b * points * arguments..][..points * arguments];
            let given = &given[b * stride..][..stride];
            // F does not depend on derivatives above its order, so that w̄ stays z̄ there.
            let updated = (0..stride).filter(|i| i % derivatives <= order).map(|i| {
                let (t, k, j) = (i / block, i % block / derivatives, i % derivatives);
                (i, given[i] + through[t * arguments + k * (order + 1) + j])
            });
            let w = &mut self.cotangent[b * stride..][..stride];
            let (mut change, mut size) = (0.0_f64, f64::MIN_POSITIVE);
            for (i, new) in updated.clone() {
                let difference = (new - w[i]).abs();
                // A NaN stays: `max` would drop it.
                if difference > change || difference.is_nan() {
                    change = difference;
                }
                size = size.max(new.abs());
            }
            let remainder = change / size;
            // A system whose sweeps have converged keeps its w̄ while others go on.
            if remainder.is_nan() || remainder > TOLERANCE {
                updated.for_each(|(i, new)| w[i] = new);
            }
            self.gradients.remainder[b] = remainder;
        }
    }

    /// Collects the gradients of the inputs from the last sweep: from the linear solver's
    /// gradients, and from those of the arguments of F.
    fn collect(&mut self, through: &Gradients<f64>, sizes: &Sizes) {
        let Sizes { batch, points, .. } = *sizes;
        let gradients = &mut self.gradients;
        gradients.parameters.fill(0.0);
        gradients.initial_values.fill(0.0);
        gradients.steps.copy_from_slice(&through.inputs.steps);
        let columns = sizes.columns();
        let stride = self.arguments.len() / batch;
        let initial = through.inputs.initial_values.len() / batch;
        for b in 0..batch {
            let own = |extent: usize| if extent == 1 { 0 } else { b };
            let rows = self.arguments[b * stride..][..stride].chunks_exact(stride / points);

            let l = self.shape.parameters[1];
            let sums = &mut gradients.parameters[own(self.shape.parameters[0]) * l..][..l];
            for row in rows.clone() {
                add(sums, &row[columns + 1..]);
            }

            let at = own(self.shape.initial_values[0]) * initial;
            let sums = &mut gradients.initial_values[at..][..initial];
            add(sums, &through.inputs.initial_values[b * initial..][..initial]);

            // A step moves all later times: t_n = t_0 + s_0 + … + s_{n−1}.
            let [extent, count] = self.shape.steps;
            let sums = &mut gradients.steps[own(extent) * count..][..count];
            let mut later = 0.0;
            for (t, row) in rows.enumerate().skip(1).rev() {
                later += row[columns];
                sums[if count == 1 { 0 } else { t - 1 }] += later;
            }
        }
    }
}

fn are_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// Adds values to sums, one to one.
fn add(sums: &mut [f64], values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// The batch and its solution, at which the equations are differentiated.
struct Solved<'a> {
    problem: &'a NonlinearProblem<'a>,
    sizes: &'a Sizes,
    /// Times, (B, N).
    times: &'a [f64],
    /// Trajectory, (B, N, K, Q).
    trajectory: &'a [f64],
    status: &'a [Status],
}

/// Computes the gradients with respect to the arguments (u, t, θ) of F at every point from
/// `through`, those with respect to the coefficients and right-hand sides of the linearization;
/// they are zero for systems that are left out.
fn pull_back<O: NonlinearOde>(
    ode: &O,
    at: &Solved<'_>,
    through: &Gradients<f64>,
    arguments: &mut [f64],
) {
    let Sizes { batch, points, states, .. } = *at.sizes;
    let (columns, block) = (at.sizes.columns(), at.sizes.block());
    let width = arguments.len() / (batch * points);
    let paths = at.trajectory.chunks(points * block).zip(at.times.chunks(points));
    let coefficients = through.inputs.coefficients.chunks(points * states * columns);
    let equations = coefficients.zip(through.inputs.rhs.chunks(points * states));
    threads::share_with(
        arguments.chunks_mut(points * width).zip(paths).zip(equations).enumerate(),
        usize::MAX,
        || Evaluator::new(ode),
        |evaluator, (b, ((arguments, (z, times)), (coefficients, rhs)))| {
            arguments.fill(0.0);
            if !at.status[b].is_ok() {
                return;
            }
            for (t, gradient) in arguments.chunks_exact_mut(width).enumerate() {
                evaluator.at(times[t], &z[t * block..][..block], at.problem.theta(b));
                for e in 0..states {
                    let row = t * states + e;
                    let given = EquationCotangent {
                        coefficients: &coefficients[row * columns..][..columns],
                        rhs: rhs[row],
                    };
                    evaluator.pull_back(e, &given, gradient);
                }
            }
        },
    );
}
