//! A batch of linear ODEs: borrowed arrays of checked shape.

use crate::error::{Error, Result};
use crate::shape::ProblemShape;

/// A dense row-major array that belongs to somebody else.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// Length of each axis.
    pub shape: &'a [usize],
    /// The values; as many as the product of the axes.
    pub data: &'a [T],
}

impl<'a, T> View<'a, T> {
    /// Puts the two together; the number of values is checked where the view is used.
    pub fn new(shape: &'a [usize], data: &'a [T]) -> Self {
        View { shape, data }
    }
}

/// A batch of linear ODEs Σ_{k,j} c\[k,j\](t) u_k^(j)(t) = b(t) with initial values, on a grid.
#[derive(Clone, Debug)]
pub struct Problem<'a, T> {
    shape: ProblemShape,
    pub(crate) coefficients: &'a [T],
    pub(crate) rhs: &'a [T],
    pub(crate) initial_values: &'a [T],
    pub(crate) steps: &'a [T],
}

impl<'a, T> Problem<'a, T> {
    /// `batch` B systems at `points` N time points. An axis of length 1 marked "or 1" is shared.
    ///
    /// * `coefficients` (B or 1, N or 1, E, K, Qc): c, with Qc = m + 1, m the order of the equation,
    /// * `rhs` (B or 1, N or 1, E): b,
    /// * `initial_values` (B or 1, I, K, J): u_k^(j) at the first I points for j < J ≤ Qc; I·J may
    ///   be 0,
    /// * `steps` (B or 1, N−1 or 1\[, K or 1\]): distances of the time points, positive, in the
    ///   unit of time of the data.
    ///
    /// # Errors
    /// [`Error::Shape`] names the array that does not fit.
    pub fn new(
        batch: usize,
        points: usize,
        coefficients: View<'a, T>,
        rhs: View<'a, T>,
        initial_values: View<'a, T>,
        steps: View<'a, T>,
    ) -> Result<Self> {
        for (name, view) in [
            ("coefficients", &coefficients),
            ("rhs", &rhs),
            ("initial_values", &initial_values),
            ("steps", &steps),
        ] {
            check_length(name, view)?;
        }
        let shape = ProblemShape::new(
            batch,
            points,
            coefficients.shape,
            rhs.shape,
            initial_values.shape,
            steps.shape,
        )?;
        Ok(Problem {
            shape,
            coefficients: coefficients.data,
            rhs: rhs.data,
            initial_values: initial_values.data,
            steps: steps.data,
        })
    }

    /// Coefficients, right-hand side, initial values and steps that have this shape.
    pub(crate) fn from_parts(shape: &ProblemShape, arrays: [&'a [T]; 4]) -> Self {
        let [coefficients, rhs, initial_values, steps] = arrays;
        Problem { shape: shape.clone(), coefficients, rhs, initial_values, steps }
    }

    /// The same problem for a solution with `extra` derivatives beyond the order of the equation:
    /// Q = Qc + extra. Hermite rows need one more to be of fourth order.
    ///
    /// # Errors
    /// Those of [`ProblemShape::extended`].
    pub fn extended(self, extra: usize) -> Result<Self> {
        Ok(Problem { shape: self.shape.extended(extra)?, ..self })
    }

    /// Sizes.
    pub fn shape(&self) -> &ProblemShape {
        &self.shape
    }
}

/// As many values as the shape asks for.
fn check_length<T>(argument: &str, view: &View<'_, T>) -> Result<()> {
    let product = view.shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    if product == Some(view.data.len()) {
        return Ok(());
    }
    let message =
        format!("shape {:?} does not go with an array of {} values", view.shape, view.data.len());
    Err(Error::argument(argument, message))
}
