//! What a solve returns: the solution of a batch, how each system ended, how well it fits.

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
    /// The factorisation met a pivot that is not positive beyond rounding: the rows do not
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

impl Status {
    /// Whether the system was solved.
    pub fn is_ok(self) -> bool {
        self == Status::Ok
    }
}

/// The solution of a batch.
#[derive(Clone, Debug, Default)]
pub struct Solution<T> {
    /// (B, N, K, Q): u and all its derivatives. NaN for a system that was not solved.
    pub values: Vec<T>,
    /// (B): the shared slack ε; zeros if the formulation has none.
    pub epsilon: Vec<T>,
    /// (B): how each system ended.
    pub status: Vec<Status>,
}

impl<T: Real> Solution<T> {
    /// Room for the solution of a batch of this shape.
    pub(crate) fn allocate(shape: &ProblemShape) -> Result<Self> {
        Ok(Solution {
            values: zeros("solution", shape.solution().iter().product())?,
            epsilon: zeros("epsilon", shape.batch)?,
            status: zeros("status", shape.batch)?,
        })
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
