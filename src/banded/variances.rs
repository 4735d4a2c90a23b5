//! The diagonal of Σ = M⁻¹ from R, without the rest of the inverse: selected inversion (Takahashi,
//! Fagan and Chin, 1973).
//!
//! RΣ = R⁻ᵀ is lower triangular with the diagonal 1/R_ii, which gives row i of Σ from the rows below:
//!
//! ```text
//! Σ_ik = −1/R_ii Σ_{m>i} R_im Σ_mk   (k > i),        Σ_ii = 1/R_ii (1/R_ii − Σ_{m>i} R_im Σ_mi).
//! ```
//!
//! The sums run over the nonzeros R_im of row i, so a window of Σ that moves backward in time is
//! enough.

use super::{BandedShape, Factor, trapezoid};
use crate::banded::lanes::Packed;
use crate::error::Result;
use crate::memory::zeros;

/// The covariances Σ among the blocks t .. t+w and the border.
pub struct CovarianceWindow<S: Packed> {
    columns: usize,
    /// Entries, (columns, columns), symmetric.
    entries: Vec<S::Double>,
}

impl<S: Packed> CovarianceWindow<S> {
    /// Makes a window of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &BandedShape) -> Result<Self> {
        let columns = shape.window();
        let entries = zeros("covariance window", columns.saturating_mul(columns))?;
        Ok(CovarianceWindow { columns, entries })
    }

    /// Completes row and column i of Σ, those after them being known, from row i of R: the window
    /// columns from i on, with the reciprocal in place of the diagonal entry. Returns Σ_ii.
    #[inline(always)]
    fn complete(&mut self, i: usize, row: &[S]) -> S::Double {
        let n = self.columns;
        let reciprocal = row[0].widen();
        for k in i + 1..n {
            let mut sum = S::Double::default();
            for (m, value) in (i + 1..n).zip(&row[1..]) {
                sum += value.widen() * self.entries[m * n + k];
            }
            self.entries[i * n + k] = -(reciprocal * sum);
            self.entries[k * n + i] = -(reciprocal * sum);
        }
        let mut sum = reciprocal;
        for (m, value) in (i + 1..n).zip(&row[1..]) {
            sum -= value.widen() * self.entries[m * n + i];
        }
        self.entries[i * n + i] = reciprocal * sum;
        self.entries[i * n + i]
    }

    /// Moves the window back by a block of `p` columns: the last block before the border leaves it.
    #[inline(always)]
    fn retreat(&mut self, p: usize, first_border: usize) {
        let n = self.columns;
        for i in (p..first_border).rev() {
            for k in (p..first_border).rev() {
                self.entries[i * n + k] = self.entries[(i - p) * n + k - p];
            }
            for k in first_border..n {
                self.entries[i * n + k] = self.entries[(i - p) * n + k];
                self.entries[k * n + i] = self.entries[k * n + i - p];
            }
        }
    }
}

impl<S: Packed> Factor<S> {
    /// Computes the diagonal of M⁻¹, in the layout of the unknowns.
    #[inline(always)]
    pub fn variances(&self, window: &mut CovarianceWindow<S>, variances: &mut [S::Double]) {
        let (c, p, n) = (self.shape.border, self.shape.block, self.shape.window());
        let first_border = self.shape.first_border();
        let banded = self.shape.blocks * p;
        window.entries.fill(S::Double::default());
        for i in (0..c).rev() {
            let row = &self.triangle()[trapezoid(c, i) + i..][..c - i];
            variances[banded + i] = window.complete(first_border + i, row);
        }
        for t in (0..self.shape.blocks).rev() {
            for i in (0..p).rev() {
                let row = &self.row(t)[trapezoid(n, i) + i..][..n - i];
                variances[t * p + i] = window.complete(i, row);
            }
            window.retreat(p, first_border);
        }
    }
}
