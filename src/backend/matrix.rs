//! What the matrix is made of that all systems of a batch share, so that its factor is kept while that stays.

use crate::error::Result;
use crate::memory::zeros;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The coefficients and steps of which the factor of all systems was made. With the options, which stay, they are
/// all that it depends on.
pub struct Matrix {
    /// Their values, row-major; empty before there is a factor.
    values: Vec<f64>,
}

impl Matrix {
    /// Allocates for problems of this shape.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &ProblemShape) -> Result<Self> {
        let layouts = shape.layouts();
        let count = layouts.coefficients.values + layouts.steps.values;
        let mut values = zeros("coefficients and steps", count)?;
        values.clear();
        Ok(Matrix { values })
    }

    /// Returns the number of values that there is room for.
    pub fn room(&self) -> usize {
        self.values.capacity()
    }

    /// Begins a solve: returns whether the factor is that of this problem, whose coefficients and steps are the same
    /// bit for bit. If it is not, there is no factor until one is [remembered](Self::remember).
    pub fn is_that_of<T: Real>(&mut self, problem: &Problem<'_, T>) -> bool {
        let made_of = self.values.iter().map(|value| value.to_bits());
        let same = !self.values.is_empty() && of(problem).map(f64::to_bits).eq(made_of);
        if !same {
            self.values.clear();
        }
        same
    }

    /// Notes that the factor is that of this problem.
    pub fn remember<T: Real>(&mut self, problem: &Problem<'_, T>) {
        self.values.extend(of(problem));
    }
}

/// Iterates over the coefficients and the steps that all systems share.
fn of<T: Real>(problem: &Problem<'_, T>) -> impl Iterator<Item = f64> {
    let arrays = problem.inputs.zip(problem.places.as_ref());
    [arrays.coefficients, arrays.steps].into_iter().flat_map(|(values, places)| {
        places.of_values(0).map(move |place| values[place].to_double())
    })
}
