//! The builder that makes a problem from its arrays, each given by its name.

use smallvec::SmallVec;

use super::{Problem, View, check_length};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::shape::{Axis, FIRST_INNER, Places, ProblemShape, inner_axes, leading_axes, row_major};

/// A builder that makes a [`Problem`] from its arrays, given one by one; [`Problem::builder`]
/// returns an empty one.
///
/// B and N are read off the axes that are not shared. Where every array is shared by all time
/// points, [`points`](Self::points) must say how many there are; [`batch`](Self::batch) is needed
/// only for several systems with the same inputs; it checks the shapes against the number.
/// Afterwards [`Problem::with_extra_derivatives`] makes the default rows of fourth order.
///
/// The batch may have several axes in place of one: every array then has as many leading axes as the
/// coefficients, each of full length or 1, and B is the product of the full lengths. An array may share some of
/// them and not others; its gradient has its own shape.
#[derive(Clone, Debug)]
pub struct ProblemBuilder<'a, T> {
    batch: Option<usize>,
    points: Option<usize>,
    coefficients: Option<View<'a, T>>,
    rhs: Option<View<'a, T>>,
    initial_values: Option<View<'a, T>>,
    steps: Option<View<'a, T>>,
}

impl<T> Default for ProblemBuilder<'_, T> {
    fn default() -> Self {
        ProblemBuilder {
            batch: None,
            points: None,
            coefficients: None,
            rhs: None,
            initial_values: None,
            steps: None,
        }
    }
}

impl<'a, T> ProblemBuilder<'a, T> {
    /// Sets B, the number of systems.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Sets N, the number of time points.
    pub fn points(mut self, points: usize) -> Self {
        self.points = Some(points);
        self
    }

    /// Sets the coefficients c, (B or 1, N or 1, E, K, Qc), with Qc = m + 1 for equations of order
    /// m.
    pub fn coefficients(mut self, coefficients: View<'a, T>) -> Self {
        self.coefficients = Some(coefficients);
        self
    }

    /// Sets the right-hand side b, (B or 1, N or 1, E).
    pub fn rhs(mut self, rhs: View<'a, T>) -> Self {
        self.rhs = Some(rhs);
        self
    }

    /// Sets the initial values u_k^(j) at the first I points for j < J, (B or 1, I, K, J) with J ≤
    /// Q; without this call, or with I·J = 0, there are no initial values.
    pub fn initial_values(mut self, initial_values: View<'a, T>) -> Self {
        self.initial_values = Some(initial_values);
        self
    }

    /// Sets the steps, the distances between neighboring time points, (B or 1, N−1 or 1\[, K or
    /// 1\]): positive, in the unit of time of the data.
    pub fn steps(mut self, steps: View<'a, T>) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Checks the arrays against each other and makes the problem.
    ///
    /// # Errors
    /// [`Error::Shape`] names the array that does not fit; [`Error::Argument`] names one that is missing
    /// or has not as many values as its shape asks for, and is for fewer than two points and for N that
    /// nothing tells; [`Error::OutOfMemory`] is for sizes beyond any memory.
    pub fn build(self) -> Result<Problem<'a, T>> {
        let given = |name: &str, view: Option<View<'a, T>>| {
            view.ok_or_else(|| Error::argument(name, "must be given"))
        };
        let coefficients = given("coefficients", self.coefficients)?;
        let states = coefficients.shape.iter().nth_back(1).copied().unwrap_or(1);
        let leading = coefficients.shape.len().saturating_sub(4).max(1);
        let none = [&vec![1; leading][..], &[0, states, 0]].concat();
        let (rhs, steps) = (given("rhs", self.rhs)?, given("steps", self.steps)?);
        let (given, of_initial) = match self.initial_values {
            Some(View { shape, strides, data }) => ((shape, strides), data),
            None => ((&none[..], None), &[][..]),
        };
        let data = Inputs {
            coefficients: coefficients.data,
            rhs: rhs.data,
            initial_values: of_initial,
            steps: steps.data,
        };
        let forms = Inputs {
            coefficients: (coefficients.shape, coefficients.strides),
            rhs: (rhs.shape, rhs.strides),
            initial_values: given,
            steps: (steps.shape, steps.strides),
        };
        let all = Inputs::NAMES.zip(forms.zip(data.map(<[T]>::len)));
        let axes =
            all.try_map(|(name, ((shape, strides), len))| axes_of(name, shape, strides, len))?;
        let shapes = forms.map(|(shape, _)| shape);
        let batch = leading_axes(self.batch, shapes)?;
        let points = match self.points.or_else(|| told_points(batch.len(), shapes)) {
            Some(points) => points,
            None => {
                // An array of the wrong rank tells no N either: that is what is said then.
                let initial_points = shapes.initial_values.get(batch.len()).copied().unwrap_or(0);
                ProblemShape::of_axes(&batch, initial_points.max(2), shapes)?;
                let message = "all inputs are shared by the time points: say how many there are";
                return Err(Error::argument("points", message));
            }
        };
        let shape = ProblemShape::of_axes(&batch, points, shapes)?;
        if forms.into_iter().all(|(_, strides)| strides.is_none()) {
            return Ok(Problem::from_parts(&shape, data));
        }
        let (shape, places) = strided(&batch, points, axes)?;
        Ok(Problem { shape, inputs: data, places })
    }
}

/// Returns the shape of a problem whose arrays have these axes, and where their values lie; the leading axes of the
/// batch are `batch`.
fn strided(
    batch: &[usize],
    points: usize,
    axes: Inputs<SmallVec<[Axis; 6]>>,
) -> Result<(ProblemShape, Inputs<Places>)> {
    // An axis that an array shares by a stride of 0 has length 1 in the shape of the problem.
    let axes = axes.zip(SHARABLE).map(|(mut axes, sharable)| {
        let sharable = axes.iter_mut().take(batch.len() + sharable);
        sharable.filter(|axis| axis.stride == 0).for_each(|axis| axis.extent = 1);
        axes
    });
    let extents = |axes: &SmallVec<[Axis; 6]>| axes.iter().map(|axis| axis.extent).collect();
    let shapes: Inputs<Vec<usize>> = axes.as_ref().map(extents);
    let shape = ProblemShape::of_axes(batch, points, shapes.as_ref().map(|axes| &axes[..]))?;
    let places = axes.zip(FIRST_INNER).map(|(axes, first)| {
        let (leading, inner) = axes.split_at(batch.len());
        let leading = leading.iter().zip(batch);
        let leading = leading.map(|(axis, &extent)| Axis { extent, ..*axis });
        Places::new(leading, inner_axes(first, inner))
    });
    Ok((shape, places))
}

/// Returns the shape of a problem of B = `batch` systems on N = `points` time points, and where its values lie, from
/// the shapes of the inputs' arrays and their strides, or `None` for an array that lies row-major.
///
/// # Errors
/// Those of [`ProblemBuilder::build`].
#[cfg(feature = "cuda")]
pub(crate) fn strided_inputs(
    batch: usize,
    points: usize,
    shapes: Inputs<&[usize]>,
    strides: Inputs<Option<&[isize]>>,
) -> Result<(ProblemShape, Inputs<Places>)> {
    let batch = leading_axes(Some(batch), shapes)?;
    ProblemShape::of_axes(&batch, points, shapes)?;
    let all = Inputs::NAMES.zip(shapes.zip(strides));
    let axes = all.try_map(|(name, (shape, strides))| match strides {
        Some(_) => axes_of(name, shape, strides, usize::MAX),
        None => Ok(row_major(shape)),
    })?;
    strided(&batch, points, axes)
}

/// How many of the axes of a system may be shared by a stride of 0: those of time and of the states of steps.
const SHARABLE: Inputs<usize> = Inputs { coefficients: 1, rhs: 1, initial_values: 0, steps: 2 };

/// Returns the axes of an array after checking that its values lie within the `len` of its data. Axes of length
/// 1 have the stride 0.
fn axes_of(
    argument: &str,
    shape: &[usize],
    strides: Option<&[isize]>,
    len: usize,
) -> Result<SmallVec<[Axis; 6]>> {
    let Some(strides) = strides else {
        check_length(argument, shape, len)?;
        return Ok(row_major(shape));
    };
    let wrong = |what: String| {
        let message = format!("shape {shape:?} with strides {strides:?}{what}");
        Error::argument(argument, message)
    };
    if strides.len() != shape.len() {
        return Err(wrong(": one for each axis is expected".into()));
    }
    if shape.contains(&0) {
        // There are no values that could lie somewhere.
        return Ok(row_major(shape));
    }
    let axis = |(&extent, &stride): (&usize, &isize)| match usize::try_from(stride) {
        _ if extent == 1 => Ok(Axis { extent, stride: 0 }),
        Ok(stride) => Ok(Axis { extent, stride }),
        Err(_) => Err(wrong(": a stride is negative".into())),
    };
    let axes: SmallVec<[Axis; 6]> = shape.iter().zip(strides).map(axis).collect::<Result<_>>()?;
    let last = axes.iter().try_fold(0usize, |last, axis: &Axis| {
        last.checked_add((axis.extent - 1).checked_mul(axis.stride)?)
    });
    if last.is_some_and(|last| last < len) {
        return Ok(axes);
    }
    let reach = last.map_or("more values than can be counted".to_owned(), |last| {
        format!("{} values", last.saturating_add(1))
    });
    Err(wrong(format!(" spans {reach}, the array has {len}")))
}

/// Returns N if it can be read off an array: off the first one whose axis of time, after the leading ones, is
/// not shared.
fn told_points(
    leading: usize,
    Inputs { coefficients, rhs, steps, .. }: Inputs<&[usize]>,
) -> Option<usize> {
    let points = |shape: &[usize]| shape.get(leading).copied().filter(|&points| points != 1);
    points(coefficients)
        .or_else(|| points(rhs))
        .or_else(|| points(steps).map(|steps| steps.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder<'a>() -> ProblemBuilder<'a, f64> {
        Problem::builder()
            .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
            .rhs(View::new(&[1, 1, 1], &[0.0]))
            .steps(View::new(&[1, 1], &[0.1]))
    }

    #[test]
    fn sizes_are_read_off_the_axes_that_are_not_shared() {
        let steps = View::new(&[1, 4], &[0.1; 4]);
        let initial_values = View::new(&[3, 1, 1, 1], &[1.0, 2.0, 3.0]);
        let problem = builder().steps(steps).initial_values(initial_values).build().unwrap();
        assert_eq!((problem.shape().batch(), problem.shape().points()), (3, 5));
        let rhs = View::new(&[2, 7, 1], &[0.0; 14]);
        let problem = builder().rhs(rhs).build().unwrap();
        assert_eq!((problem.shape().batch(), problem.shape().points()), (2, 7));
        let problem = builder().batch(2).points(9).build().unwrap();
        assert_eq!((problem.shape().batch(), problem.shape().points()), (2, 9));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named() {
        let message = |builder: ProblemBuilder<'_, f64>| builder.build().unwrap_err().to_string();
        assert!(message(builder()).starts_with("points: "));
        let vector = message(builder().steps(View::new(&[4], &[0.1; 4])));
        assert!(vector.starts_with("steps: expected shape (B or 1, N-1 or 1)"), "{vector}");
        assert_eq!(message(Problem::builder()), "coefficients: must be given");
        let rhs = View::new(&[2, 7, 1], &[0.0; 14]);
        let wrong = message(builder().rhs(rhs).points(5));
        assert!(wrong.starts_with("rhs: expected shape (B or 1, N or 1, E)"), "{wrong}");
        let short = message(builder().rhs(View::new(&[1, 5, 1], &[0.0; 4])));
        assert_eq!(short, "rhs: shape [1, 5, 1] does not go with an array of 4 values");
    }
}
