//! The ODE solve as one node.

use super::operation::Operation;
use super::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Inputs, Options, ProblemShape, Real, Result, Solution};

/// The inputs of a solve; shapes as in [`ProblemBuilder`](crate::ProblemBuilder).
#[derive(Clone, Copy, Debug)]
pub struct Ode {
    /// B: systems in the batch.
    pub batch: usize,
    /// N: time points.
    pub points: usize,
    /// Coefficients (B or 1, N or 1, E, K, Qc), right-hand side (B or 1, N or 1, E), initial values
    /// (B or 1, I, K, J), and steps (B or 1, N−1 or 1\[, K or 1\]), which are positive;
    /// [`positive_steps`](crate::nn::positive_steps) makes them so.
    pub inputs: Inputs<Var>,
    /// Derivatives of the solution beyond the coefficients' columns
    /// ([`Problem::builder`](crate::Problem::builder)): 1 suits the default Hermite rows.
    pub extra_derivatives: usize,
}

/// One solve of the record, with the factor that its adjoint needs.
pub(super) struct Solve<T: Real, B: Backend> {
    solver: B::Solver<T>,
    shape: ProblemShape,
    options: Options,
}

impl<T: Real, B: Backend> std::fmt::Debug for Solve<T, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Solve").field(&self.shape).finish()
    }
}

impl<T: Real, B: Backend> Solve<T, B> {
    /// Whether its workspace fits.
    fn fits(&self, shape: &ProblemShape, options: &Options) -> bool {
        self.shape == *shape && self.options == *options
    }
}

impl<T: Real, B: Backend> Tape<T, B> {
    /// Solves a batch of linear ODEs; the solution (B, N, K, Q) holds u and all its derivatives.
    ///
    /// A system that cannot be solved has NaN there, its [`Status`](crate::Status) in
    /// [`Tape::ode_solution`] says why, and it contributes nothing to any gradient; keep it out of
    /// the loss by [`Tape::select`] with [`Tape::ode_solved`].
    ///
    /// # Errors
    /// As [`ProblemBuilder`](crate::ProblemBuilder) and [`Solver::new`](crate::Solver::new).
    pub fn solve_ode(&mut self, ode: &Ode, options: &Options) -> Result<Var> {
        let shapes = ode.inputs.try_map(|var| self.node(var).map(|node| node.value.shape()))?;
        let shape = ProblemShape::new(ode.batch, ode.points, shapes)?
            .with_extra_derivatives(ode.extra_derivatives)?;
        let inputs = ode.inputs.map(|var| var.index);
        let known = self.idle_solves.iter().position(|solve| solve.fits(&shape, options));
        let mut solve = match known {
            Some(known) => self.idle_solves.swap_remove(known),
            None => {
                let solver = self.backend.solver(&shape, options)?;
                Solve { solver, shape: shape.clone(), options: *options }
            }
        };
        let operation = Operation::Ode { inputs, solve: self.solves.len() };
        let solution = self.record(operation, shape.solution().to_vec(), |tape, _, y| {
            let arrays = inputs.map(|input| tape.array(input));
            tape.backend.solve(&mut solve.solver, arrays, y)
        })?;
        self.solves.push(solve);
        Ok(solution)
    }

    /// Adds the contribution of ∂ℓ/∂(solution) to the gradients of the inputs that have one.
    pub(super) fn propagate_ode(
        &mut self,
        inputs: Inputs<usize>,
        solve: usize,
        cotangent: &Array<T, B>,
        gradients: &mut [Option<Array<T, B>>],
    ) -> Result<()> {
        let arrays = inputs.map(|input| &self.nodes[input].value);
        let mut taken = Vec::new();
        // What is an input twice needs a second array.
        let mut own = inputs.try_map(|input| {
            let own = match gradients[input].take() {
                None if taken.contains(&input) => {
                    Some(self.pool.zeros(&self.backend, self.nodes[input].value.shape())?)
                }
                own => own,
            };
            if own.is_some() {
                taken.push(input);
            }
            Ok::<_, Error>(own)
        })?;
        let solver = &mut self.solves[solve].solver;
        let targets = own.as_mut().map(Option::as_mut);
        self.backend.solve_adjoint(solver, arrays, cotangent, targets)?;
        for (input, own) in inputs.zip(own) {
            match (&mut gradients[input], own) {
                (Some(sum), Some(own)) => {
                    self.backend.accumulate(&own, sum)?;
                    self.pool.give(own);
                }
                (none, Some(own)) => *none = Some(own),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// The solution behind a variable that [`Tape::solve_ode`] gave: values, shared slack and the
    /// status of each system.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other variable.
    pub fn ode_solution(&self, solution: Var) -> Result<&Solution<T>> {
        let node = self.node(solution)?;
        match node.operation {
            Operation::Ode { solve, .. } => B::solution(&self.solves[solve].solver, &node.value),
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
