//! The rows that have to do with the state at one point.

use crate::Result;
use crate::memory::zeros;

/// The step whose defects belong to the rows of a point: the one to the point that is eliminated next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// The step from the point before.
    Before,
    /// The step to the point after.
    After,
    /// No step: all points beside it are eliminated.
    Neither,
}

impl Step {
    /// Returns the point that the step of point t begins at, if there is one.
    pub fn start(self, t: usize) -> Option<usize> {
        match self {
            Step::Before => t.checked_sub(1),
            Step::After => Some(t),
            Step::Neither => None,
        }
    }
}

/// The rows that have to do with the state u at one point: first those of the defects (D), then those that
/// are left of the points before (D), then those of the point's values (K ≤ D).
pub(super) struct Rows {
    d: usize,
    c: usize,
    /// Their parts over u, over the state that is eliminated next and the residual, then the first 2D columns
    /// of Qᵀ, which are those of the unit matrix at first: (3D, 4D + 1).
    pub along: Vec<f64>,
    /// The part over the coefficients of all but the values, which have none, (2D, c).
    pub across: Vec<f64>,
    pub count: usize,
    /// Whether the first rows are written: the defects of a step, or what is left at the other end.
    pub has_first: bool,
    /// Whether they have to do with another state that is eliminated next.
    pub has_next: bool,
}

impl Rows {
    /// Allocates the rows of a point with D variables and c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(d: usize, c: usize) -> Result<Self> {
        let what = "rows of the joint estimate";
        let (along, across) = (zeros(what, 3 * d * (4 * d + 1))?, zeros(what, 2 * d * c)?);
        Ok(Rows { d, c, along, across, count: 0, has_first: false, has_next: false })
    }

    /// Returns the number of columns of the parts along the trajectory.
    pub fn length(&self) -> usize {
        4 * self.d + 1
    }

    /// Begins a point, which has no defects and no values yet.
    pub fn begin(&mut self) {
        let (d, length) = (self.d, self.length());
        for (i, row) in self.along.chunks_exact_mut(length).take(2 * d).enumerate() {
            row[2 * d + 1..].fill(0.0);
            row[2 * d + 1 + i] = 1.0;
        }
        self.count = 2 * d;
        (self.has_first, self.has_next) = (false, false);
    }

    /// Adds the row of a measured value of state j, at this weighted distance from it.
    pub fn observe(&mut self, j: usize, weight: f64, residual: f64) {
        let (d, length) = (self.d, self.length());
        let row = &mut self.along[self.count * length..][..length];
        row.fill(0.0);
        (row[j], row[2 * d]) = (weight, residual);
        self.count += 1;
    }

    /// Returns the rows of the defects of a step, to be written: for each the derivatives with respect to u
    /// and to the state at the other end, and the residual (2D + 1), and those with respect to the
    /// coefficients (c).
    pub fn defects(&mut self) -> impl Iterator<Item = (&mut [f64], &mut [f64])> {
        self.has_next = true;
        self.first()
    }

    /// Writes what is left of the points at the other side, over u and the residuals (D, D + 1) and over the
    /// coefficients (D, c), where no step follows.
    pub fn join(&mut self, left: &[f64], across: &[f64]) {
        let (d, c) = (self.d, self.c);
        for (i, (along, own)) in self.first().enumerate() {
            along[..d].copy_from_slice(&left[i * (d + 1)..][..d]);
            along[d..2 * d].fill(0.0);
            along[2 * d] = left[i * (d + 1) + d];
            own.copy_from_slice(&across[i * c..][..c]);
        }
    }

    fn first(&mut self) -> impl Iterator<Item = (&mut [f64], &mut [f64])> {
        let (d, c, length) = (self.d, self.c, self.length());
        self.has_first = true;
        let along = self.along.chunks_exact_mut(length).map(move |row| &mut row[..2 * d + 1]);
        let mut across = &mut self.across[..];
        along.take(d).map(move |row| {
            let (own, rest) = std::mem::take(&mut across).split_at_mut(c);
            across = rest;
            (row, own)
        })
    }
}
