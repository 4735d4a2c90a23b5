//! The factor R computed from the weighted rows themselves, WA = QR, without forming M: the
//! square-root information filter.
//!
//! A [`RowWindow`] holds the triangle that the rows seen so far make. Each further row is rotated
//! into it, one column after another. Once all rows that begin at block t are in, the triangle's
//! first P rows are row t of R; the rest is carried to block t+1. The right-hand sides are one more
//! column, so that v = Qᵀβ of R x = v comes out block by block as well.
//!
//! RᵀR = AᵀW²A = M, and R has a positive diagonal: it is the factor that Cholesky computes, but its
//! errors grow with the condition number of WA and not with that of M, the square.
//!
//! Rotations are used and not reflections, because the rows differ in size by many orders of
//! magnitude (ω, powers of the step), and a reflection mixes the rounding errors of the large ones
//! into the small. For u'' + u = 0 over 1000 steps of 0.01 in single precision, rotations leave an
//! error of 6e-6, and reflections left one of 8e-2 when tried. (Bierman, *Factorization Methods for
//! Discrete Sequential Estimation*, 1977; Golub and Van Loan, *Matrix Computations*, sections 5.1
//! and 5.2.)

use super::{BandedShape, Breakdown, Factor, Origin, reciprocal_root, trapezoid};
use crate::banded::lanes::Packed;
use crate::error::Result;
use crate::memory::zeros;
use num_traits::{Float, One, Zero};

/// The triangle that the rows absorbed so far make, in the columns of a window at block t (blocks t
/// .. t+w, then the border) and one more for the right-hand side.
///
/// Columns are divided by powers of two of about the size of their entries on the way in, and R is
/// multiplied by them on the way out: that changes no digit, and keeps squares within the range of
/// single precision whatever the unit of time.
pub struct RowWindow<S> {
    /// Number n of columns without the right-hand side.
    columns: usize,
    /// Triangle, (n, n + 1): upper triangular, with a diagonal that is not negative.
    triangle: Vec<S>,
    /// Which rows of the triangle are still zero.
    empty: Vec<bool>,
    /// Column from which on the blocks' columns are zero in the whole triangle; columns beyond the
    /// last block stay zero, and no row may end up there.
    extent: usize,
    /// Row that is being rotated into the triangle, (n + 1).
    row: Vec<S>,
    /// Squared norm of each column of the finished rows of R.
    removed: Vec<S>,
    /// Scale of each column.
    scales: Vec<S>,
}

impl<S: Packed> RowWindow<S> {
    /// Makes an empty window.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &BandedShape) -> Result<Self> {
        let (what, n) = ("window of the factorization", shape.window());
        Ok(RowWindow {
            columns: n,
            triangle: zeros(what, n.saturating_mul(n + 1))?,
            empty: zeros(what, n)?,
            extent: 0,
            row: zeros(what, n + 1)?,
            removed: zeros(what, n)?,
            scales: zeros(what, n)?,
        })
    }

    /// Finishes row i of the triangle, which is a row of R from now on: its columns i .. n go to
    /// `stored`. Returns its diagonal entry and the norm of column i of WA, that is √M_ii, both
    /// squared and scaled.
    #[inline(always)]
    fn finish(&mut self, i: usize, stored: &mut [S]) -> (S, S) {
        let row = &self.triangle[i * (self.columns + 1)..][i..self.columns];
        for (k, (stored, &value)) in (i..).zip(stored.iter_mut().zip(row)) {
            *stored = value * self.scales[k];
            self.removed[k] += value * value;
        }
        // Entries so small that rotations passed over them are lost, like others of their size.
        let mut squared = row[0] * row[0];
        for lane in 0..S::LANES {
            if squared.lane(lane) < negligible::<S>() {
                squared.set_lane(lane, S::Real::zero());
            }
        }
        (squared, self.removed[i])
    }

    /// Moves the window on by a block of `p` columns: its first p rows leave the triangle, p zero
    /// rows enter before the border.
    #[inline(always)]
    fn advance(&mut self, p: usize, first_border: usize) {
        let columns = self.columns + 1;
        for i in p..first_border {
            let (from, to) = (i * columns, (i - p) * columns);
            for k in i..first_border {
                self.triangle[to + k - p] = self.triangle[from + k];
            }
            self.triangle[to + first_border - p..to + first_border].fill(S::default());
            for k in first_border..columns {
                self.triangle[to + k] = self.triangle[from + k];
            }
            self.removed[i - p] = self.removed[i];
            self.empty[i - p] = self.empty[i];
            self.scales[i - p] = self.scales[i];
        }
        for i in first_border - p..first_border {
            self.triangle[i * columns..(i + 1) * columns].fill(S::default());
            self.removed[i] = S::default();
            self.empty[i] = true;
        }
        self.extent = self.extent.saturating_sub(p);
    }
}

impl<S: Packed> Factor<S> {
    /// Empties the window and forgets earlier breakdowns. `scale(t, scales)` sets the scales of
    /// block t's columns, powers of two; with t = n, those of the border.
    #[inline(always)]
    pub fn restart_rows(&mut self, window: &mut RowWindow<S>, scale: impl Fn(usize, &mut [S])) {
        let (blocks, border) = window.scales.split_at_mut(self.shape.first_border());
        for (t, scales) in blocks.chunks_exact_mut(self.shape.block).enumerate() {
            scale(t, scales);
        }
        scale(self.shape.blocks, border);
        window.triangle.fill(S::default());
        window.removed.fill(S::default());
        window.empty.fill(true);
        window.extent = 0;
        self.begin(Origin::Rows);
    }

    /// Rotates a weighted row into the window, given its (column, value) and right-hand side. Of
    /// the rows that reach into block t+w, those of the first group come first, and so on.
    #[inline(always)]
    pub fn absorb_row(
        &self,
        window: &mut RowWindow<S>,
        entries: impl Iterator<Item = (usize, S)>,
        rhs: S,
    ) {
        let (n, first_border) = (window.columns, self.shape.first_border());
        let mut first = n;
        window.row.fill(S::default());
        for (column, value) in entries {
            window.row[column] = value / window.scales[column];
            first = first.min(column);
            if column < first_border {
                window.extent = window.extent.max(column + 1);
            }
        }
        window.row[n] = rhs;

        let extent = window.extent;
        for i in (first..extent).chain(first.max(first_border)..n) {
            let head = &mut window.triangle[i * (n + 1)..][..=n];
            let row = &mut window.row[..];
            let in_blocks = i.min(extent)..extent;
            let in_border = i.max(first_border)..n + 1;
            if std::mem::replace(&mut window.empty[i], false) {
                let sign = sign(row[i]);
                for k in in_blocks.chain(in_border) {
                    head[k] = sign * row[k];
                }
                return;
            }
            let (cosine, sine) = rotation(head[i], row[i]);
            for range in [in_blocks, in_border] {
                for (upper, lower) in head[range.clone()].iter_mut().zip(&mut row[range]) {
                    let (a, b) = (*upper, *lower);
                    *upper = cosine * a + sine * b;
                    *lower = cosine * b - sine * a;
                }
            }
        }
    }

    /// Computes row t of R and block t of v = Qᵀβ from the window, and moves the window on to block
    /// t+1. `scale` sets the scales of a block's columns as for
    /// [`restart_rows`](Self::restart_rows).
    #[inline(always)]
    pub fn eliminate_rows(
        &mut self,
        t: usize,
        window: &mut RowWindow<S>,
        scale: impl Fn(usize, &mut [S]),
        v: &mut [S::Double],
    ) {
        let n = self.shape.window();
        for i in 0..self.shape.block {
            let at = t * self.shape.row_values() + trapezoid(n, i) + i;
            self.finish_row(Breakdown { block: t, pivot: i }, at, i, window, v);
        }
        let (p, first_border) = (self.shape.block, self.shape.first_border());
        window.advance(p, first_border);
        let entered = t + 1 + self.shape.bandwidth;
        if entered < self.shape.blocks {
            scale(entered, &mut window.scales[first_border - p..first_border]);
        }
    }

    /// Computes the border's triangle of R and its part of v, once all blocks are eliminated.
    #[inline(always)]
    pub fn eliminate_border_rows(&mut self, window: &mut RowWindow<S>, v: &mut [S::Double]) {
        let (c, block) = (self.shape.border, self.shape.blocks);
        for i in 0..c {
            let at = block * self.shape.row_values() + trapezoid(c, i) + i;
            let row = self.shape.first_border() + i;
            self.finish_row(Breakdown { block, pivot: i }, at, row, window, v);
        }
    }

    /// Stores row `i` of the window's triangle, the row of R at `place`, from `at` on.
    #[inline(always)]
    fn finish_row(
        &mut self,
        place: Breakdown,
        at: usize,
        i: usize,
        window: &mut RowWindow<S>,
        v: &mut [S::Double],
    ) {
        let unknown = place.block * self.shape.block + place.pivot;
        let stored = &mut self.values[at..][..window.columns - i];
        let (squared, whole) = window.finish(i, stored);
        let (breakdown, weakest) = (&mut self.breakdown, &mut self.weakest);
        let reciprocal = reciprocal_root(squared, whole, place, unknown, breakdown, weakest);
        stored[0] = reciprocal / window.scales[i];
        v[unknown] = window.triangle[i * (window.columns + 1) + window.columns].widen();
    }
}

/// Returns the number below which squares have lost digits.
#[inline(always)]
fn negligible<S: Packed>() -> S::Real {
    S::Real::min_positive_value() / S::Real::epsilon()
}

/// Returns the cosine and the sine of the rotation that turns (a, b) into (√(a² + b²), 0). Where
/// both are so small that their squares lose digits (what cancellation leaves of a zero, say), b
/// passes for zero: a rotation by an inaccurate angle would spoil the rest of its rows.
#[inline(always)]
fn rotation<S: Packed>(mut a: S, mut b: S) -> (S, S) {
    let mut squares = a * a + b * b;
    for lane in 0..S::LANES {
        if squares.lane(lane) < negligible::<S>() {
            squares.set_lane(lane, S::Real::one());
            a.set_lane(lane, S::Real::one());
            b.set_lane(lane, S::Real::zero());
        }
    }
    let reciprocal = S::splat(S::Real::one()) / squares.sqrt();
    (a * reciprocal, b * reciprocal)
}

/// Returns −1 in the lanes where the value is negative, 1 in the others.
#[inline(always)]
fn sign<S: Packed>(value: S) -> S {
    let mut sign = S::splat(S::Real::one());
    for lane in 0..S::LANES {
        if value.lane(lane) < S::Real::zero() {
            sign.set_lane(lane, -S::Real::one());
        }
    }
    sign
}
