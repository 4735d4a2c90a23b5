//! The ODE solve as one node.

use super::operation::Operation;
use super::{Array, Tape, Var};
use crate::{
    Cotangent, Error, Options, Problem, ProblemShape, Real, Result, Solution, Solver, View,
};

/// The inputs of a solve; shapes as in [`Problem::new`].
#[derive(Clone, Copy, Debug)]
pub struct Ode {
    /// B: systems in the batch.
    pub batch: usize,
    /// N: time points.
    pub points: usize,
    /// (B or 1, N or 1, E, K, Qc).
    pub coefficients: Var,
    /// (B or 1, N or 1, E).
    pub rhs: Var,
    /// (B or 1, I, K, J).
    pub initial_values: Var,
    /// (B or 1, N−1 or 1\[, K or 1\]), positive; [`positive_steps`](crate::nn::positive_steps) makes
    /// them so.
    pub steps: Var,
    /// Derivatives of the solution beyond the coefficients' columns
    /// ([`Problem::extended`]): 1 suits the default Hermite rows.
    pub extra_derivatives: usize,
}

/// One solve of the record, with the factor that its adjoint needs.
pub(super) struct Solve<T: Real> {
    solver: Solver<T>,
    options: Options,
    batch: usize,
    points: usize,
}

impl<T: Real> std::fmt::Debug for Solve<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Solve").field(self.solver.shape()).finish()
    }
}

impl<T: Real> Solve<T> {
    /// Whether its workspace fits.
    fn fits(&self, shape: &ProblemShape, options: &Options) -> bool {
        self.solver.shape() == shape && self.options == *options
    }

    /// Adds the contribution of ∂ℓ/∂(solution) to the gradients of the inputs that have one.
    pub(super) fn propagate(
        &mut self,
        inputs: [&Array<T>; 4],
        indices: [usize; 4],
        cotangent: &[T],
        gradients: &mut [Option<Vec<T>>],
    ) {
        let misfit = "shapes were checked when the solve was recorded";
        let extra = self.solver.shape().extra_derivatives;
        let problem = problem(self.batch, self.points, extra, inputs).expect(misfit);
        let cotangent = Cotangent { values: cotangent, epsilon: None };
        let found = self.solver.vjp(&problem, &cotangent).expect(misfit);
        let found = [&found.coefficients, &found.rhs, &found.initial_values, &found.steps];
        for (index, found) in indices.into_iter().zip(found) {
            if let Some(gradient) = &mut gradients[index] {
                gradient.iter_mut().zip(found).for_each(|(g, found)| *g += *found);
            }
        }
    }
}

fn problem<T: Real>(
    batch: usize,
    points: usize,
    extra: usize,
    inputs: [&Array<T>; 4],
) -> Result<Problem<'_, T>> {
    let [coefficients, rhs, initial_values, steps] =
        inputs.map(|array| View::new(array.shape(), array.data()));
    Problem::new(batch, points, coefficients, rhs, initial_values, steps)?.extended(extra)
}

impl<T: Real> Tape<T> {
    /// Solves a batch of linear ODEs; the solution (B, N, K, Q) holds u and all its derivatives.
    ///
    /// A system that cannot be solved has NaN there, its [`Status`](crate::Status) in
    /// [`Tape::ode_solution`] says why, and it contributes nothing to any gradient; keep it out of
    /// the loss by [`Tape::select`] with [`Tape::ode_solved`].
    ///
    /// # Errors
    /// As [`Problem::new`] and [`Solver::new`].
    pub fn solve_ode(&mut self, ode: &Ode, options: &Options) -> Result<Var> {
        let vars = [ode.coefficients, ode.rhs, ode.initial_values, ode.steps];
        for var in vars {
            self.node(var)?;
        }
        let inputs = vars.map(|var| var.index);
        let arrays = inputs.map(|input| &self.nodes[input].value);
        let problem = problem(ode.batch, ode.points, ode.extra_derivatives, arrays)?;
        let known = self.idle_solves.iter().position(|s| s.fits(problem.shape(), options));
        let mut solve = match known {
            Some(known) => self.idle_solves.swap_remove(known),
            None => Solve {
                solver: Solver::new(problem.shape(), options)?,
                options: *options,
                batch: ode.batch,
                points: ode.points,
            },
        };
        solve.solver.solve(&problem)?;
        let shape = problem.shape().solution().to_vec();
        self.solves.push(solve);
        let operation = Operation::Ode { inputs, solve: self.solves.len() - 1 };
        self.record(operation, shape, |tape, y| {
            let solve = tape.solves.last().expect("one was just recorded");
            y.copy_from_slice(&solve.solver.solution().values);
        })
    }

    /// The solution behind a variable that [`Tape::solve_ode`] gave: values, shared slack and the
    /// status of each system.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other variable.
    pub fn ode_solution(&self, solution: Var) -> Result<&Solution<T>> {
        match self.node(solution)?.operation {
            Operation::Ode { solve, .. } => Ok(self.solves[solve].solver.solution()),
            _ => Err(Error::argument("solution", "is not the result of `solve_ode`")),
        }
    }

    /// (B, 1, 1, 1): which systems were solved.
    ///
    /// # Errors
    /// As [`Tape::ode_solution`].
    pub fn ode_solved(&self, solution: Var) -> Result<Array<bool>> {
        let solved: Vec<bool> =
            self.ode_solution(solution)?.status.iter().map(|status| status.is_ok()).collect();
        Ok(Array::from_parts(vec![solved.len(), 1, 1, 1], solved))
    }
}
