//! The result of a solve: the solution of a batch, how each system ended, and how well each one
//! fits its rows.

use std::fmt;

use crate::error::{Error, Result};
use crate::memory::{grow, zeros};
use crate::real::Real;
use crate::shape::ProblemShape;

/// The outcome of the solve of one system of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The system was solved.
    #[default]
    Ok,
    /// An input of this system is NaN or infinite, or the cotangent or tangent that a derivative
    /// starts from.
    NonFiniteInput {
        /// Name of the input.
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
        /// Time point t of the pivot; N stands for the shared slack. Where a system is eliminated from both ends
        /// or in chunks (on a GPU, and long ones on the CPU), it is another one than from one end to the other.
        point: usize,
        /// Row of the pivot within the P values of the point.
        pivot: usize,
    },
    /// The numbers overflowed: the inputs are finite, the solution, gradient or tangent is not.
    Overflow,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Ok => write!(f, "solved"),
            Status::NonFiniteInput { argument } => {
                write!(f, "not all values of {argument} are finite")
            }
            Status::InvalidStep { step } => write!(f, "step {step} is not positive"),
            Status::Breakdown { point, pivot } => {
                write!(
                    f,
                    "the rows do not determine the solution (pivot {pivot} of point {point}); too \
                     few initial values, a highest derivative without coefficient, or numbers whose \
                     squares are too large or too small?"
                )
            }
            Status::Overflow => write!(f, "the numbers overflow, the result is not finite"),
        }
    }
}

impl Status {
    /// Returns whether the system was solved.
    pub fn is_ok(self) -> bool {
        self == Status::Ok
    }
}

/// The solution of a batch: the values of u and its derivatives, the shared slack and the status of
/// every system.
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
    /// Values of u and all its derivatives, (B, N, K, Q); NaN for a system that was not solved.
    pub values: Vec<T>,
    /// The shared slack ε of each system, (B); zeros if the formulation has none.
    pub epsilon: Vec<T>,
    /// Outcome of the solve of each system, (B).
    pub status: Vec<Status>,
    /// Part of its initial values that the solution of each system misses, (B): the largest over the
    /// states k of max_j h^j |z\[0,k,j\] − v\[k,j\]| over max_j h^j |v\[k,j\]|, or over 1e-4
    /// max_{t,j} h^j |z\[t,k,j\]| where that is more; h is the mean first step. It is zero where
    /// initial values are not to be met exactly: with values at several points, or of more
    /// derivatives than the equation leaves open, with more equations than states, with a weight
    /// below those of the other rows, or if the problem is periodic; and NaN for a system that was
    /// not solved.
    pub initial_defect: Vec<f64>,
    /// Extents of `values`, (B, N, K, Q).
    shape: [usize; 4],
}

impl<T: Real> Solution<T> {
    /// Returns the solution of a batch of this shape without values and slack, which lie in other
    /// memory or are made by [`grow`](Self::grow).
    pub(crate) fn without_values(shape: &ProblemShape) -> Result<Self> {
        Ok(Solution {
            values: Vec::new(),
            epsilon: Vec::new(),
            status: zeros("status", shape.batch)?,
            initial_defect: zeros("initial defect", shape.batch)?,
            shape: shape.solution(),
        })
    }

    /// Takes values and slack out.
    pub(crate) fn take_values(&mut self) -> [Vec<T>; 2] {
        [std::mem::take(&mut self.values), std::mem::take(&mut self.epsilon)]
    }

    /// Puts values and slack back that were taken out.
    pub(crate) fn put_values(&mut self, [values, epsilon]: [Vec<T>; 2]) {
        (self.values, self.epsilon) = (values, epsilon);
    }

    /// Leaves no values and no slack, but their memory.
    pub(crate) fn clear_values(&mut self) {
        self.values.clear();
        self.epsilon.clear();
    }

    /// Allocates values and slack, unless they are there.
    pub(crate) fn grow(&mut self) -> Result<()> {
        grow("solution", self.shape.iter().product(), &mut self.values)?;
        grow("epsilon", self.shape[0], &mut self.epsilon)
    }
}

/// Memory of the caller for a solution or its derivative.
#[derive(Debug)]
pub struct SolutionMut<'a, T> {
    /// Values of u and all its derivatives, (B, N, K, Q).
    pub values: &'a mut [T],
    /// The shared slack ε of each system, (B), if it is wanted.
    pub epsilon: Option<&'a mut [T]>,
}

impl<T: Real> SolutionMut<'_, T> {
    /// Lends the memory once more.
    pub(crate) fn reborrow(&mut self) -> SolutionMut<'_, T> {
        SolutionMut { values: self.values, epsilon: self.epsilon.as_deref_mut() }
    }

    /// Checks that the memory is that of so many solutions of this shape; `what` names it in errors.
    pub(crate) fn check(&self, what: &str, shape: &ProblemShape, count: usize) -> Result<()> {
        let epsilon = self.epsilon.as_deref();
        let of_epsilon = || format!("epsilon of {what}");
        check_lengths(what, of_epsilon, self.values, epsilon, shape, count)
    }

    /// Returns the number of solutions of this shape that there is memory for.
    pub(crate) fn count(&self, shape: &ProblemShape) -> usize {
        count(self.values, shape)
    }

    /// Lends the memory of some of several solutions of this shape.
    pub(crate) fn part(
        &mut self,
        shape: &ProblemShape,
        range: std::ops::Range<usize>,
    ) -> SolutionMut<'_, T> {
        SolutionMut {
            values: &mut self.values[places(&range, shape.solution().iter().product())],
            epsilon: self.epsilon.as_deref_mut().map(|x| &mut x[places(&range, shape.batch)]),
        }
    }
}

/// Returns how many solutions of this shape the values are, at least one.
pub(crate) fn count<T>(values: &[T], shape: &ProblemShape) -> usize {
    (values.len() / shape.solution().iter().product::<usize>()).max(1)
}

/// Returns the places of a range of parts of this length.
pub(crate) fn places(range: &std::ops::Range<usize>, len: usize) -> std::ops::Range<usize> {
    range.start * len..range.end * len
}

/// Returns how a shape begins that is wanted so many times.
pub(crate) fn times(count: usize) -> String {
    if count == 1 { String::new() } else { format!("{count} times ") }
}

/// Checks the lengths of values and slack in the layouts of so many solutions of this shape; `what` and
/// `of_epsilon` are their names in errors.
pub(crate) fn check_lengths<T>(
    what: &str,
    of_epsilon: impl Fn() -> String,
    values: &[T],
    epsilon: Option<&[T]>,
    shape: &ProblemShape,
    count: usize,
) -> Result<()> {
    // Errors are written out only where there are any: nothing else allocates.
    let refuse = |argument: String, one: String, len: usize| {
        Err(Error::Shape { argument, expected: times(count) + &one, actual: vec![len] })
    };
    let all = |one: usize| one.saturating_mul(count);
    if values.len() != all(shape.solution().iter().product()) {
        let one = format!("(B, N, K, Q) = {:?}", shape.solution());
        return refuse(what.into(), one, values.len());
    }
    match epsilon {
        Some(epsilon) if epsilon.len() != all(shape.batch) => {
            refuse(of_epsilon(), format!("(B) = ({})", shape.batch), epsilon.len())
        }
        _ => Ok(()),
    }
}

impl<T> Solution<T> {
    /// The part of its initial values that a solution may miss before it counts as lost.
    pub const MOST_INITIAL_DEFECT: f64 = 1e-3;

    /// Returns whether a system was solved, but its solution is not that of the initial-value
    /// problem: it misses the initial values by more than
    /// [`MOST_INITIAL_DEFECT`](Self::MOST_INITIAL_DEFECT). Either the solution grows so much that
    /// least squares gives up its small beginning
    /// ([`Options::follow_growth`](crate::Options::follow_growth) finds it), or the steps are too
    /// long. Growth that only makes up for an earlier decay is not
    /// noticed.
    ///
    /// # Panics
    /// Panics if `system` is not below B.
    pub fn is_lost(&self, system: usize) -> bool {
        self.initial_defect[system] > Self::MOST_INITIAL_DEFECT
    }
}

impl<T: Copy> Solution<T> {
    /// Returns the extents of [`values`](Self::values), (B, N, K, Q); zeros where they are in memory
    /// of the caller, or nothing was solved.
    pub fn shape(&self) -> [usize; 4] {
        if self.values.is_empty() { [0; 4] } else { self.shape }
    }

    /// Returns u_k^(j) of one system at one time point, for state k and derivative j (0: u itself).
    ///
    /// # Panics
    /// Panics if one of the numbers is not below its extent in [`shape`](Self::shape).
    pub fn at(&self, system: usize, point: usize, state: usize, derivative: usize) -> T {
        let index = [system, point, state, derivative];
        let shape = self.shape();
        let within = index.iter().zip(&shape).all(|(index, extent)| index < extent);
        assert!(within, "index {index:?} in a solution of shape {shape:?}");
        let [_, n, k, q] = shape;
        self.values[((system * n + point) * k + state) * q + derivative]
    }

    /// Returns u_k^(j) of one system at all N time points, for state k and derivative j (0: u
    /// itself).
    ///
    /// # Panics
    /// Panics if one of the numbers is not below its extent in [`shape`](Self::shape).
    pub fn trajectory(
        &self,
        system: usize,
        state: usize,
        derivative: usize,
    ) -> impl ExactSizeIterator<Item = T> + '_ {
        (0..self.shape()[1]).map(move |point| self.at(system, point, state, derivative))
    }

    /// Returns [`values`](Self::values) as an array of rank 4, (B, N, K, Q).
    #[cfg(feature = "ndarray")]
    pub fn array(&self) -> ndarray::ArrayView4<'_, T> {
        ndarray::ArrayView4::from_shape(self.shape(), &self.values)
            .expect("as many as the shape says")
    }
}

/// The Euclidean norms of the weighted defects W(Az − β) of one system, one for each row family.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Residuals {
    /// Norm of the defects of the equation rows.
    pub equation: f64,
    /// Norm of the defects of the initial-value rows.
    pub initial: f64,
    /// Norm of the defects of the smoothness rows.
    pub smoothness: f64,
    /// Norm of the defects of the periodic rows.
    pub periodic: f64,
}
