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

use super::block::{Entry, solve_transposed};
use super::lanes::Vector;
use super::layout::{Layout, triangle};
use super::sweep::{Sweep, with_numbers};
use crate::error::Result;
use crate::memory::zeros;

/// The entries of Σ among the blocks t .. t+w and the border, and a block row of R.
pub struct CovarianceWindow<V> {
    columns: usize,
    /// Entries, (columns, columns), symmetric.
    entries: Vec<V>,
    /// Columns of a block row of R, (columns, P).
    row: Vec<V>,
}

impl<V: Vector> CovarianceWindow<V> {
    /// Makes a window of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let (what, columns) = ("covariance window", layout.window());
        Ok(CovarianceWindow {
            columns,
            entries: zeros(what, columns.saturating_mul(columns))?,
            row: zeros(what, columns.saturating_mul(layout.block))?,
        })
    }

    /// Completes row and column i of Σ, those after them being known, from row i of R: its columns
    /// from i on, the reciprocal in place of the diagonal entry. Returns Σ_ii.
    #[inline(always)]
    fn complete(&mut self, i: usize, value: impl Fn(&[V], usize) -> V) -> V {
        let n = self.columns;
        let reciprocal = value(&self.row, i);
        for k in i + 1..n {
            let mut sum = V::default();
            for m in i + 1..n {
                sum = sum.plus(value(&self.row, m), self.entries[m * n + k]);
            }
            self.entries[i * n + k] = -(reciprocal * sum);
            self.entries[k * n + i] = -(reciprocal * sum);
        }
        let mut sum = reciprocal;
        for m in i + 1..n {
            sum = sum.minus(value(&self.row, m), self.entries[m * n + i]);
        }
        self.entries[i * n + i] = reciprocal * sum;
        self.entries[i * n + i]
    }

    /// Moves the window back by a block of `p` columns: the last block before the border leaves it.
    #[inline(always)]
    fn retreat(&mut self, p: usize, border: usize) {
        let n = self.columns;
        for i in (p..border).rev() {
            for k in (p..border).rev() {
                self.entries[i * n + k] = self.entries[(i - p) * n + k - p];
            }
            for k in border..n {
                self.entries[i * n + k] = self.entries[(i - p) * n + k];
                self.entries[k * n + i] = self.entries[k * n + i - p];
            }
        }
    }

    /// Lets the first block of the window be a copy of the closing point, with which the border
    /// begins.
    #[inline(always)]
    fn copy_closing(&mut self, p: usize, border: usize) {
        let n = self.columns;
        for i in 0..p {
            for k in 0..p {
                self.entries[i * n + k] = self.entries[(border + i) * n + border + k];
            }
            for k in border..n {
                self.entries[i * n + k] = self.entries[(border + i) * n + k];
                self.entries[k * n + i] = self.entries[k * n + border + i];
            }
        }
    }
}

/// Computes the diagonal of M⁻¹, in the layout of the unknowns.
#[inline(always)]
pub fn variances<V: Vector>(
    sweep: &mut Sweep<'_, V>,
    window: &mut CovarianceWindow<V>,
    variances: &mut [V],
) {
    with_numbers!(sweep.factor, |factor| variances_of(sweep, factor, window, variances));
}

#[inline(always)]
fn variances_of<V: Vector>(
    sweep: &mut Sweep<'_, V>,
    factor: &[impl Entry<V>],
    window: &mut CovarianceWindow<V>,
    variances: &mut [V],
) {
    let layout = sweep.context.layout;
    let (c, p, n, panel) = (layout.border, layout.block, layout.window(), layout.panel());
    let border = n - c;
    sweep.room.points.begin(sweep.context, sweep.systems, sweep.scales);
    window.entries.fill(V::default());
    let of_border = &factor[layout.chain * layout.row_values()..];
    for i in (0..c).rev() {
        let row = &of_border[triangle(c) - triangle(c - i)..];
        let value = |_: &[V], column: usize| row[column - border - i].lanes();
        variances[layout.first_border() + i] = window.complete(border + i, value);
    }
    if layout.closing {
        window.copy_closing(p, border);
        window.retreat(p, border);
    }
    for t in (0..layout.chain).rev() {
        let row = &factor[t * layout.row_values()..][..layout.row_values()];
        let (r, panels) = row.split_at(triangle(p));
        // R_{t,t+1}, which is R_tt⁻ᵀE_t if it is not stored.
        window.row.fill(V::default());
        for i in 0..p {
            for (j, value) in panels[i * panel..][..panel].iter().enumerate() {
                window.row[(n - panel + j) * p + i] = value.lanes();
            }
        }
        if !layout.stored && t + 1 < layout.points {
            sweep.update::<1>(layout, t);
            let q = layout.derivatives;
            for (k, j) in (0..layout.states).flat_map(|k| (0..q).map(move |j| (k, j))) {
                let column = &mut window.row[(p + k * q + j) * p..][..p];
                let e = sweep.room.smoothness.block(k, 1);
                for i in 0..q {
                    column[k * q + i] = e[i * q + j];
                }
                solve_transposed::<V, 1>(r, column);
            }
        }
        for i in (0..p).rev() {
            let at = triangle(p) - triangle(p - i);
            let value = |row: &[V], column: usize| match column < p {
                true => r[at + column - i].lanes(),
                false => row[column * p + i],
            };
            variances[t * p + i] = window.complete(i, value);
        }
        window.retreat(p, border);
    }
}
