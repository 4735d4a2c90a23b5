//! Gradients of the discrete solution (formulas in the module's documentation).

use rayon::prelude::*;

use super::Convergence;
use super::newton::{Newton, Sizes};
use super::ode::{EquationCotangent, Evaluator, NonlinearOde};
use super::problem::{NonlinearProblem, NonlinearShape};
use crate::memory::zeros;
use crate::{Cotangent, Gradients, Result};

/// Most sweeps of w̄ = z̄ + (∂Φ/∂z)ᵀ w̄.
const MOST_SWEEPS: usize = 50;
/// A sweep that changes w̄ by less than this part of it is the last.
const TOLERANCE: f64 = 1e-13;

/// Gradient of ℓ with respect to every input, each of the input's own shape: along a shared axis
/// the gradient is summed.
#[derive(Clone, Debug, Default)]
pub struct NonlinearGradients {
    /// Of θ, (B or 1, L).
    pub parameters: Vec<f64>,
    /// Of the initial values, (B or 1, K, m).
    pub initial_values: Vec<f64>,
    /// Of the steps, (B or 1, N−1 or 1); moving a step moves the times of all later points.
    pub steps: Vec<f64>,
    /// (B): what the last sweep of the fixed-point iteration still changed, relative to its
    /// largest value; above 1e-13 only if the undamped iteration hardly contracts.
    pub remainder: Vec<f64>,
}

/// Workspace of the adjoint.
pub(super) struct Adjoint {
    shape: NonlinearShape,
    /// w̄ (B, N, K, Q)
    cotangent: Vec<f64>,
    /// Through the linearization to the arguments (u, t, θ) of F: (B, N, K·(m + 1) + 1 + L)
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
            },
            shape: shape.clone(),
            factorized: false,
        })
    }

    /// The solution has changed.
    pub fn forget(&mut self) {
        self.factorized = false;
    }

    /// The gradients from z̄ = `given` (B, N, K, Q).
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
        self.load(given, status);
        let Newton { sizes, solver, grid, linearization, trajectory, .. } = newton;
        let linear = linearization.problem(grid);
        for sweep in 0.. {
            let cotangent = Cotangent { values: &self.cotangent, epsilon: None };
            let through = solver.vjp(&linear, &cotangent)?;
            let at = Solved { problem, sizes, times: &grid.times, trajectory, status };
            pull_back(ode, &at, through, &mut self.arguments);
            self.advance(given, status, sizes);
            let settled = self.gradients.remainder.iter().all(|&change| change <= TOLERANCE);
            if settled || sweep == MOST_SWEEPS {
                self.collect(through, sizes);
                break;
            }
        }
        Ok(&self.gradients)
    }

    /// w̄ = z̄, or 0 for systems without a solution.
    fn load(&mut self, given: &[f64], status: &[Convergence]) {
        self.cotangent.copy_from_slice(given);
        let stride = given.len() / status.len();
        for (w, status) in self.cotangent.chunks_exact_mut(stride).zip(status) {
            if !status.is_converged() {
                w.fill(0.0);
            }
        }
    }

    /// w̄ = z̄ + (∂Φ/∂z)ᵀ w̄ and how much that changed.
    fn advance(&mut self, given: &[f64], status: &[Convergence], sizes: &Sizes) {
        let Sizes { points, order, derivatives, .. } = *sizes;
        let (block, stride) = (sizes.block(), points * sizes.block());
        let arguments = self.arguments.len() / (sizes.batch * points);
        for (b, status) in status.iter().enumerate() {
            self.gradients.remainder[b] = 0.0;
            if !status.is_converged() {
                continue;
            }
            let through = &self.arguments[b * points * arguments..][..points * arguments];
            let given = &given[b * stride..][..stride];
            // F does not depend on derivatives above its order.
            let moved = (0..stride).filter(|i| i % derivatives <= order).map(|i| {
                let (t, k, j) = (i / block, i % block / derivatives, i % derivatives);
                (i, given[i] + through[t * arguments + k * (order + 1) + j])
            });
            let w = &mut self.cotangent[b * stride..][..stride];
            let (mut change, mut size) = (0.0_f64, f64::MIN_POSITIVE);
            for (i, new) in moved.clone() {
                let difference = (new - w[i]).abs();
                if difference > change || difference.is_nan() {
                    change = difference;
                }
                size = size.max(new.abs());
            }
            let remainder = change / size;
            // A settled system stays as it is while others go on.
            if remainder.is_nan() || remainder > TOLERANCE {
                moved.for_each(|(i, new)| w[i] = new);
            }
            self.gradients.remainder[b] = remainder;
        }
    }

    /// From the last sweep: the linear solver's gradients, and those of the arguments of F.
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

            // t_n = t_0 + s_0 + … + s_{n−1}.
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

fn add(sums: &mut [f64], values: &[f64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Where the batch is differentiated.
struct Solved<'a> {
    problem: &'a NonlinearProblem<'a>,
    sizes: &'a Sizes,
    /// (B, N)
    times: &'a [f64],
    /// (B, N, K, Q)
    trajectory: &'a [f64],
    status: &'a [Convergence],
}

/// From the gradients of the linearization to those of the arguments (u, t, θ) of F, at every
/// point; zero for systems without a solution.
fn pull_back<O: NonlinearOde>(
    ode: &O,
    at: &Solved<'_>,
    through: &Gradients<f64>,
    arguments: &mut [f64],
) {
    let Sizes { batch, points, states, .. } = *at.sizes;
    let (columns, block) = (at.sizes.columns(), at.sizes.block());
    let width = arguments.len() / (batch * points);
    (
        arguments.par_chunks_mut(points * width),
        at.trajectory.par_chunks(points * block),
        at.times.par_chunks(points),
        through.inputs.coefficients.par_chunks(points * states * columns),
        through.inputs.rhs.par_chunks(points * states),
    )
        .into_par_iter()
        .enumerate()
        .for_each_init(
            || Evaluator::new(ode),
            |evaluator, (b, (arguments, z, times, coefficients, rhs))| {
                arguments.fill(0.0);
                if !at.status[b].is_converged() {
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
