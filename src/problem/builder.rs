//! The builder that makes a problem from its arrays, each given by its name.

use super::{Problem, View, check_length};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::shape::ProblemShape;

/// A builder that makes a [`Problem`] from its arrays, given one by one; [`Problem::builder`]
/// returns an empty one.
///
/// B and N are read off the axes that are not shared. Where every array is shared by all time
/// points, [`points`](Self::points) must say how many there are; [`batch`](Self::batch) is needed
/// only for several systems with the same inputs; it checks the shapes against the number.
/// Afterwards [`Problem::with_extra_derivatives`] makes the default rows of fourth order.
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
        let states = coefficients.shape.get(3).copied().unwrap_or(1);
        let none = [1, 0, states, 0];
        let initial_values = match self.initial_values {
            Some(View { shape, data }) => (shape, data),
            None => (&none[..], &[][..]),
        };
        let (rhs, steps) = (given("rhs", self.rhs)?, given("steps", self.steps)?);
        let inputs = Inputs {
            coefficients: (coefficients.shape, coefficients.data),
            rhs: (rhs.shape, rhs.data),
            initial_values,
            steps: (steps.shape, steps.data),
        };
        for (name, (shape, data)) in Inputs::NAMES.zip(inputs) {
            check_length(name, shape, data.len())?;
        }
        let shapes = inputs.map(|(shape, _)| shape);
        let batch = self.batch.unwrap_or_else(|| {
            shapes.into_iter().filter_map(|shape| shape.first()).copied().max().unwrap_or(1)
        });
        let points = match self.points.or_else(|| told_points(shapes)) {
            Some(points) => points,
            None => {
                // An array of the wrong rank tells no N either: that is what is said then.
                let initial_points = shapes.initial_values.get(1).copied().unwrap_or(0);
                ProblemShape::new(batch, initial_points.max(2), shapes)?;
                let message = "all inputs are shared by the time points: say how many there are";
                return Err(Error::argument("points", message));
            }
        };
        let shape = ProblemShape::new(batch, points, shapes)?;
        Ok(Problem::from_parts(&shape, inputs.map(|(_, data)| data)))
    }
}

/// Returns N if it can be read off an array: off the first one whose axis of time is not shared.
fn told_points(Inputs { coefficients, rhs, steps, .. }: Inputs<&[usize]>) -> Option<usize> {
    let points = |shape: &[usize]| shape.get(1).copied().filter(|&points| points != 1);
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
