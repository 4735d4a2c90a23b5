//! A batch of linear ODEs as borrowed arrays whose shapes fit each other.

mod builder;

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::shape::{Places, ProblemShape};

pub use builder::ProblemBuilder;
#[cfg(feature = "cuda")]
pub(crate) use builder::strided_inputs;

/// A borrowed array: its shape, its values, and how these lie.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// Length of each axis.
    pub shape: &'a [usize],
    /// Distance from one value to the next along each axis, in values; `None` if the array lies row-major and
    /// without gaps.
    pub strides: Option<&'a [isize]>,
    /// The values, from the first one on: as many as the product of the axes if there are no strides, else
    /// as many as the axes reach.
    pub data: &'a [T],
}

impl<'a, T> View<'a, T> {
    /// Makes a view of a shape and its values, in row-major order; the number of values is checked where
    /// the view is used.
    pub fn new(shape: &'a [usize], data: &'a [T]) -> Self {
        View { shape, strides: None, data }
    }

    /// Makes a view of values that lie this far from each other along each axis, none of it negative; where
    /// the view is used, it is checked that they lie within `data`. Along an axis of the batch, of the points
    /// or of the states of steps, a stride of 0 shares the values, as an axis of length 1 does; the gradient
    /// has length 1 there.
    ///
    /// ```
    /// use mechanistic::{Options, Problem, Solver, View};
    ///
    /// // u' + c u = 0 for two systems, whose coefficients lie step first: (N, B) = (3, 2), each (1, u').
    /// let c = [1.0, 1.0, 2.0, 1.0, 1.5, 1.0, 2.5, 1.0, 2.0, 1.0, 3.0, 1.0];
    /// let problem = Problem::builder()
    ///     .coefficients(View::strided(&[2, 3, 1, 1, 2], &[2, 4, 2, 2, 1], &c))
    ///     .rhs(View::new(&[1, 1, 1], &[0.0]))
    ///     .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
    ///     .steps(View::new(&[1, 1], &[0.1]))
    ///     .build()?;
    /// let mut solver = Solver::new(problem.shape(), &Options::default())?;
    /// let solution = solver.solve(&problem)?;
    /// assert!(solution.at(0, 2, 0, 0) > solution.at(1, 2, 0, 0));
    /// # Ok::<(), mechanistic::Error>(())
    /// ```
    pub fn strided(shape: &'a [usize], strides: &'a [isize], data: &'a [T]) -> Self {
        View { shape, strides: Some(strides), data }
    }

    /// Makes a view of an `ndarray` array of any rank that lies without gaps, in any order of its axes.
    ///
    /// # Errors
    /// [`Error::Argument`] for an array that lies otherwise (a slice with gaps, or with an axis reversed):
    /// `as_standard_layout` copies it into row-major form.
    #[cfg(feature = "ndarray")]
    pub fn of<S, D>(array: &'a ndarray::ArrayBase<S, D>) -> Result<Self>
    where
        S: ndarray::Data<Elem = T>,
        D: ndarray::Dimension,
    {
        if let Some(data) = array.as_slice() {
            return Ok(View::new(array.shape(), data));
        }
        let reversed = array.strides().iter().any(|&stride| stride < 0);
        let data = array.as_slice_memory_order().filter(|_| !reversed).ok_or_else(|| {
            let message = format!(
                "an array of shape {:?} with strides {:?} has gaps or a reversed axis; \
                 `as_standard_layout` copies it into row-major form",
                array.shape(),
                array.strides()
            );
            Error::argument("array", message)
        })?;
        Ok(View::strided(array.shape(), array.strides(), data))
    }
}

/// A batch of linear ODEs Σ_{k,j} c\[k,j\](t) u_k^(j)(t) = b(t) with initial values, on a grid of
/// time points. Its arrays are borrowed, and their shapes fit each other.
#[derive(Clone, Debug)]
pub struct Problem<'a, T> {
    shape: ProblemShape,
    pub(crate) inputs: Inputs<&'a [T]>,
    /// Where the values lie in the inputs.
    pub(crate) places: Inputs<Places>,
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

    /// Makes a problem of this shape from its inputs, which lie row-major and whose lengths the caller has
    /// checked.
    pub(crate) fn from_parts(shape: &ProblemShape, inputs: Inputs<&'a [T]>) -> Self {
        Problem { shape: shape.clone(), inputs, places: shape.places() }
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

/// Checks that an array has as many values as its shape asks for.
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
        let transposed = array.t();
        let view = View::of(&transposed).unwrap();
        assert_eq!((view.shape, view.strides), (&[4, 3][..], Some(&[1, 4][..])));
        for gaps in [array.slice(s![.., ..2]), array.slice(s![..;-1, ..])] {
            let message = View::of(&gaps).unwrap_err().to_string();
            assert!(message.contains("as_standard_layout"), "{message}");
        }
    }
}
