//! What a solve returns: the solution of a batch, how each system ended, how well it fits.

use std::fmt;

use crate::error::Result;
use crate::memory::zeros;
use crate::real::Real;
use crate::shape::ProblemShape;

/// How the solve of one system of the batch ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Solved.
    #[default]
    Ok,
    /// An input of this system is NaN or infinite.
    NonFiniteInput {
        /// Which one.
        argument: &'static str,
    },
    /// A step is zero or negative.
    InvalidStep {
        /// Number of the step, t in s_t.
        step: usize,
    },
    /// The factorization met a pivot that is not positive beyond rounding: the rows do not
    /// determine the solution (in this precision).
    Breakdown {
        /// Time point t of the pivot; N stands for the shared slack.
        point: usize,
        /// Row of the pivot within the P values of the point.
        pivot: usize,
    },
    /// The numbers overflowed: the inputs are finite, the solution is not.
    Overflow,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Ok => write!(f, "solved"),
            Status::NonFiniteInput { argument } => write!(f, "not all {argument} are finite"),
            Status::InvalidStep { step } => write!(f, "step {step} is not positive"),
            Status::Breakdown { point, pivot } => {
                write!(f, "the rows do not determine the solution (pivot {pivot} of point {point})")
            }
            Status::Overflow => write!(f, "the solution is not finite"),
        }
    }
}

impl Status {
    /// Whether the system was solved.
    pub fn is_ok(self) -> bool {
        self == Status::Ok
    }
}

/// The solution of a batch.
///
/// ```
/// use mechanistic::{Options, Problem, Solver, View};
///
/// // u' = u, u(0) = 1 on [0, 1].
/// let problem = Problem::builder()
///     .coefficients(View::new(&[1, 1, 1, 1, 2], &[-1.0, 1.0]))
///     .rhs(View::new(&[1, 1, 1], &[0.0]))
///     .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
///     .steps(View::new(&[1, 10], &[0.1; 10]))
///     .build()?
///     .with_extra_derivatives(1)?;
/// let mut solver = Solver::<f64>::new(problem.shape(), &Options::default())?;
/// let solution = solver.solve(&problem)?;
/// let (system, state) = (0, 0);
/// let u: Vec<f64> = solution.trajectory(system, state, 0).collect();
/// assert!((u[10] - f64::exp(1.0)).abs() < 1e-5);
/// assert!((solution.at(system, 10, state, 1) - u[10]).abs() < 1e-5); // u' = u
/// # Ok::<(), mechanistic::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Solution<T> {
    /// (B, N, K, Q): u and all its derivatives. NaN for a system that was not solved.
    pub values: Vec<T>,
    /// (B): the shared slack ε; zeros if the formulation has none.
    pub epsilon: Vec<T>,
    /// (B): how each system ended.
    pub status: Vec<Status>,
    /// (B, N, K, Q).
    shape: [usize; 4],
}

impl<T: Real> Solution<T> {
    /// Room for the solution of a batch of this shape.
    pub(crate) fn allocate(shape: &ProblemShape) -> Result<Self> {
        Ok(Solution {
            values: zeros("solution", shape.solution().iter().product())?,
            epsilon: zeros("epsilon", shape.batch)?,
            status: zeros("status", shape.batch)?,
            shape: shape.solution(),
        })
    }
}

impl<T: Copy> Solution<T> {
    /// Returns the extents of [`values`](Self::values), (B, N, K, Q).
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Returns the derivative of this number (0: u itself) of a state of a system at a time point.
    ///
    /// # Panics
    /// As indexing does, if one of the numbers is not below its extent in [`shape`](Self::shape).
    pub fn at(&self, system: usize, point: usize, state: usize, derivative: usize) -> T {
        let index = [system, point, state, derivative];
        let within = index.iter().zip(&self.shape).all(|(index, extent)| index < extent);
        assert!(within, "index {index:?} in a solution of shape {:?}", self.shape);
        let [_, n, k, q] = self.shape;
        self.values[((system * n + point) * k + state) * q + derivative]
    }

    /// Returns the derivative of this number (0: u itself) of a state of a system at all N time points.
    ///
    /// # Panics
    /// As indexing does, if one of the numbers is not below its extent in [`shape`](Self::shape).
    pub fn trajectory(
        &self,
        system: usize,
        state: usize,
        derivative: usize,
    ) -> impl ExactSizeIterator<Item = T> + '_ {
        (0..self.shape[1]).map(move |point| self.at(system, point, state, derivative))
    }

    /// Returns [`values`](Self::values) as an array of rank 4, (B, N, K, Q).
    #[cfg(feature = "ndarray")]
    pub fn array(&self) -> ndarray::ArrayView4<'_, T> {
        ndarray::ArrayView4::from_shape(self.shape, &self.values)
            .expect("as many as the shape says")
    }
}

/// Euclidean norms of the weighted defects W(Az − β) of one system, by row family.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Residuals {
    /// Of the equation rows.
    pub equation: f64,
    /// Of the initial-value rows.
    pub initial: f64,
    /// Of the smoothness rows.
    pub smoothness: f64,
    /// Of the periodic rows.
    pub periodic: f64,
}
