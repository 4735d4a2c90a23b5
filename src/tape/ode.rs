//! The solve of a batch of linear ODEs as one operation of a tape.

use super::operation::Operation;
use super::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::tensor::layout::Axes;
use crate::{Error, Inputs, Options, ProblemShape, Real, Result, Solution};

/// The inputs of [`Tape::solve_ode`]: the variables that define a batch of linear ODEs, in the
/// shapes of [`ProblemBuilder`](crate::ProblemBuilder).
#[derive(Clone, Copy, Debug)]
pub struct Ode {
    /// B: systems in the batch.
    pub batch: usize,
    /// N: time points.
    pub points: usize,
    /// Variables of the coefficients (B or 1, N or 1, E, K, Qc), the right-hand side (B or 1, N or
    /// 1, E), the initial values (B or 1, I, K, J), and the steps (B or 1, N−1 or 1\[, K or 1\]),
    /// which are positive; [`positive_steps`](crate::nn::positive_steps) makes them so.
    pub inputs: Inputs<Var>,
    /// Derivatives of the solution beyond the coefficients' columns
    /// ([`with_extra_derivatives`](crate::Problem::with_extra_derivatives)): 1 suits the default
    /// Hermite rows, 2 if the steps differ, as learned ones do.
    pub extra_derivatives: usize,
}

/// An ODE solve of the record, with the factor that its adjoint needs.
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
    /// Returns whether the workspace of this solve fits a problem of this shape and these options.
    fn fits(&self, shape: &ProblemShape, options: &Options) -> bool {
        self.shape == *shape && self.options == *options
    }
}

impl<T: Real, B: Backend> Tape<T, B> {
    /// Records the solve of a batch of linear ODEs; its value (B, N, K, Q) holds u and all its
    /// derivatives.
    ///
    /// ```
    /// use mechanistic::nn::{Optimizer, Parameters, Rule};
    /// use mechanistic::tape::{Array, Ode, Tape};
    /// use mechanistic::{Inputs, Options};
    ///
    /// // Fits c and k of u'' + c u' + k u = 0, u(0) = 1, u'(0) = 0 to data with c = 0.3, k = 4.
    /// let (n, h) = (101, 0.05_f64);
    /// let w = (4.0_f64 - 0.15 * 0.15).sqrt();
    /// let u = |t: f64| (-0.15 * t).exp() * ((w * t).cos() + 0.15 / w * (w * t).sin());
    /// let data: Vec<f64> = (0..n).map(|i| u(i as f64 * h)).collect();
    ///
    /// let mut parameters = Parameters::<f64>::new();
    /// let id = parameters.insert("k, c", Array::new([1, 1, 1, 1, 2], vec![3.5, 0.1])?)?;
    /// let mut optimizer = Optimizer::new(Rule::adam(), 0.02);
    /// let mut tape = Tape::new();
    /// for _ in 0..300 {
    ///     tape.clear();
    ///     let fitted = tape.parameter(&parameters, id)?;
    ///     let one = tape.constant(Array::full([1, 1, 1, 1, 1], 1.0)?);
    ///     let inputs = Inputs {
    ///         coefficients: tape.concat(&[fitted, one], 4)?, // of u, u', u''
    ///         rhs: tape.constant(Array::full([1, 1, 1], 0.0)?),
    ///         initial_values: tape.constant(Array::new([1, 1, 1, 2], vec![1.0, 0.0])?),
    ///         steps: tape.constant(Array::full([1, 1], h)?),
    ///     };
    ///     let ode = Ode { batch: 1, points: n, inputs, extra_derivatives: 1 };
    ///     let solution = tape.solve_ode(&ode, &Options::default())?;
    ///     let u = tape.slice(solution, 3, 0..1)?;
    ///     let target = tape.constant(Array::new([1, n, 1, 1], data.clone())?);
    ///     let loss = tape.mse(u, target)?;
    ///     let gradients = tape.backward(loss)?;
    ///     optimizer.step(&mut parameters, &gradients)?;
    /// }
    /// let found = parameters.get(id)?.data();
    /// assert!((found[0] - 4.0).abs() < 1e-2 && (found[1] - 0.3).abs() < 1e-2, "{found:?}");
    /// # Ok::<(), mechanistic::Error>(())
    /// ```
    ///
    /// A system that cannot be solved has NaN in the solution and contributes nothing to any
    /// gradient; its [`Status`](crate::Status) in [`Tape::ode_solution`] tells why.
    /// [`Tape::select`] with [`Tape::ode_solved`] keeps it out of the loss. A loss whose derivative
    /// is not finite makes gradients NaN here, as in every operation, which optimizers refuse.
    ///
    /// # Errors
    /// Those of [`ProblemBuilder::build`](crate::ProblemBuilder::build) and
    /// [`Solver::new`](crate::Solver::new).
    pub fn solve_ode(&mut self, ode: &Ode, options: &Options) -> Result<Var> {
        let shapes = ode.inputs.try_map(|var| self.node(var).map(|node| node.value.shape()))?;
        let shape = ProblemShape::new(ode.batch, ode.points, shapes)?
            .with_extra_derivatives(ode.extra_derivatives)?;
        let inputs = ode.inputs.map(|var| var.index);
        let own = self.solved;
        match self.solves[own..].iter().position(|solve| solve.fits(&shape, options)) {
            Some(known) => self.solves.swap(own, own + known),
            None => {
                let solver = self.backend.solver(&shape, options)?;
                self.solves.push(Solve { solver, shape: shape.clone(), options: *options });
                let last = self.solves.len() - 1;
                self.solves.swap(own, last);
            }
        }
        let mut value = self.pool.take(&self.backend, &shape.solution())?;
        let arrays = inputs.map(|input| &self.nodes[input].value);
        self.backend.solve(&mut self.solves[own].solver, arrays, &mut value)?;
        self.solved += 1;
        let differentiable = inputs.into_iter().any(|input| self.nodes[input].differentiable);
        Ok(self.push(Operation::Ode { inputs, solve: own }, value, differentiable))
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
        let mut taken = Axes::new();
        // A variable that is an input twice needs a second array.
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

    /// Returns the solution behind a variable that [`Tape::solve_ode`] returned: values, shared
    /// slack and the status of each system.
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

    /// Returns which systems were solved, as a mask (B, 1, 1, 1) for [`Tape::select`].
    ///
    /// # Errors
    /// Those of [`Tape::ode_solution`].
    pub fn ode_solved(&self, solution: Var) -> Result<Array<bool>> {
        let solved: Vec<bool> =
            self.ode_solution(solution)?.status.iter().map(|status| status.is_ok()).collect();
        Array::new([solved.len(), 1, 1, 1], solved)
    }
}
