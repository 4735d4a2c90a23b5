//! A batch of linear ODEs: borrowed arrays of checked shape.

mod builder;

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::shape::ProblemShape;

pub use builder::ProblemBuilder;

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

    /// Views an array of any rank that lies row-major and without gaps.
    ///
    /// # Errors
    /// [`Error::Argument`] for an array that lies otherwise (transposed, or a slice with gaps):
    /// `as_standard_layout` copies it into this form.
    #[cfg(feature = "ndarray")]
    pub fn of<S, D>(array: &'a ndarray::ArrayBase<S, D>) -> Result<Self>
    where
        S: ndarray::Data<Elem = T>,
        D: ndarray::Dimension,
    {
        let data = array.as_slice().ok_or_else(|| {
            let message = format!(
                "an array of shape {:?} does not lie row-major and without gaps; \
                 `as_standard_layout` copies it into this form",
                array.shape()
            );
            Error::argument("array", message)
        })?;
        Ok(View { shape: array.shape(), data })
    }
}

/// A batch of linear ODEs Σ_{k,j} c\[k,j\](t) u_k^(j)(t) = b(t) with initial values, on a grid.
#[derive(Clone, Debug)]
pub struct Problem<'a, T> {
    shape: ProblemShape,
    pub(crate) inputs: Inputs<&'a [T]>,
}

impl<'a, T> Problem<'a, T> {
    /// Begins a problem whose arrays are then given one by one.
    ///
    /// ```
    /// use mechanistic::{Problem, View};
    ///
    /// // u' + u = 0 from u(0) = 1 and u(0) = 2, on 11 points 0.1 apart.
    /// let problem = Problem::builder()
    ///     .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
    ///     .rhs(View::new(&[1, 1, 1], &[0.0]))
    ///     .initial_values(View::new(&[2, 1, 1, 1], &[1.0, 2.0]))
    ///     .steps(View::new(&[1, 1], &[0.1]))
    ///     .points(11)
    ///     .build()?;
    /// assert_eq!((problem.shape().batch(), problem.shape().points()), (2, 11));
    /// # Ok::<(), mechanistic::Error>(())
    /// ```
    pub fn builder() -> ProblemBuilder<'a, T> {
        ProblemBuilder::default()
    }

    /// Inputs that have this shape.
    pub(crate) fn from_parts(shape: &ProblemShape, inputs: Inputs<&'a [T]>) -> Self {
        Problem { shape: shape.clone(), inputs }
    }

    /// Turns this into the problem of a solution with `extra` derivatives beyond the order of the
    /// equation: Q = Qc + extra. [`Hermite`](crate::Smoothness::Hermite) rows need one or two to be of
    /// fourth order.
    ///
    /// # Errors
    /// Those of [`ProblemShape::with_extra_derivatives`].
    pub fn with_extra_derivatives(self, extra: usize) -> Result<Self> {
        Ok(Problem { shape: self.shape.with_extra_derivatives(extra)?, ..self })
    }

    /// Returns the sizes of the batch and of each input.
    pub fn shape(&self) -> &ProblemShape {
        &self.shape
    }
}

/// As many values as the shape asks for.
pub(crate) fn check_length(argument: &str, shape: &[usize], len: usize) -> Result<()> {
    let product = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    if product == Some(len) {
        return Ok(());
    }
    let message = format!("shape {shape:?} does not go with an array of {len} values");
    Err(Error::argument(argument, message))
}

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    #[test]
    fn arrays_with_gaps_are_refused() {
        let array = Array2::<f64>::zeros((3, 4));
        let view = View::of(&array).unwrap();
        assert_eq!((view.shape, view.data.len()), (&[3, 4][..], 12));
        let rows = array.slice(s![1.., ..]);
        assert_eq!(View::of(&rows).unwrap().shape, [2, 4]);
        for gaps in [array.t(), array.slice(s![.., ..2])] {
            let message = View::of(&gaps).unwrap_err().to_string();
            assert!(message.contains("as_standard_layout"), "{message}");
        }
    }
}
