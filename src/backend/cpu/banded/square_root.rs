//! R from the weighted rows themselves, WA = QR, without forming M: the square-root information
//! filter.
//!
//! A [`RowStack`] holds the rows that begin at block t, and above them a triangle: what the blocks
//! before t have left over. Householder reflections turn the two into one triangle; its first P rows
//! are row t of R, the rest is carried to block t+1. The right-hand sides are one more column, so
//! that v = Qᵀβ of R x = v comes out block by block as well.
//!
//! RᵀR = AᵀW²A = M, and R has a positive diagonal: it is the factor that Cholesky computes, but its
//! errors grow with the condition number of WA and not with that of M, the square. (Bierman,
//! *Factorization Methods for Discrete Sequential Estimation*, 1977; Golub and Van Loan, *Matrix
//! Computations*, section 5.2.)

use super::{BandedShape, Breakdown, Factor, Origin, reciprocal_root, trapezoid};
use crate::backend::cpu::lanes::Packed;
use crate::error::Result;
use crate::solver::zeros;
use num_traits::{One, Zero};

/// Rows on their way into R, in the columns of a window at block t (blocks t .. t+w, then the
/// border) and one more for the right-hand side.
pub struct RowStack<S> {
    /// Columns of the window, without the right-hand side.
    window: usize,
    /// (window, window + 1): upper triangular, with a diagonal that is not negative.
    triangle: Vec<S>,
    /// (count, window + 1) in use.
    rows: Vec<S>,
    /// First column of each row, or an earlier one.
    first: Vec<usize>,
    count: usize,
    /// Squared norm of what the finished rows of R hold in each column.
    removed: Vec<S>,
    /// What a reflection subtracts, by column.
    projection: Vec<S>,
}

impl<S: Packed> RowStack<S> {
    /// Empty, with room for `rows` rows between two eliminations.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &BandedShape, rows: usize) -> Result<Self> {
        let window = shape.window();
        let (what, columns) = ("rows of the factorisation", window + 1);
        Ok(RowStack {
            window,
            triangle: zeros(what, window.saturating_mul(columns))?,
            rows: zeros(what, rows.saturating_mul(columns))?,
            first: zeros(what, rows)?,
            count: 0,
            removed: zeros(what, window)?,
            projection: zeros(what, columns)?,
        })
    }

    fn clear(&mut self) {
        self.triangle.fill(S::default());
        self.removed.fill(S::default());
        self.count = 0;
    }

    /// Adds a row with the given (column, value) and right-hand side.
    #[inline(always)]
    pub fn push(&mut self, entries: impl Iterator<Item = (usize, S)>, rhs: S) {
        let columns = self.window + 1;
        let row = &mut self.rows[self.count * columns..][..columns];
        row.fill(S::default());
        let mut first = self.window;
        for (column, value) in entries {
            row[column] = value;
            first = first.min(column);
        }
        row[self.window] = rhs;
        self.first[self.count] = first;
        self.count += 1;
    }

    /// Reflects column i of the rows into row i of the triangle.
    ///
    /// With α the triangle's entry, x the rows' entries, ν = √(α² + xᵀx), y = x/(α + ν) and
    /// τ = 1 + α/ν, each column (T, a) to the right becomes (f − T, a − f y), f = τ (T + yᵀa). That
    /// is the Householder reflection with its first row negated, so that ν ≥ 0 replaces α. Because
    /// α ≥ 0 too, nothing cancels. `skip` columns are zero and stay so.
    #[inline(always)]
    fn reflect(&mut self, i: usize, skip: std::ops::Range<usize>) {
        let columns = self.window + 1;
        let one = S::splat(S::Real::one());
        // Later rows are zero in this column.
        let count = self.first[..self.count].iter().rposition(|&first| first <= i);
        let rows = &mut self.rows[..count.map_or(0, |last| last + 1) * columns];
        let head = &mut self.triangle[i * columns..][..columns];

        let alpha = head[i];
        let mut squares = alpha * alpha;
        for row in rows.chunks_exact(columns) {
            squares += row[i] * row[i];
        }
        let norm = squares.sqrt();
        let divisor = one_for_zero(norm);
        let scale = one / (alpha + divisor);
        let tau = one + alpha / divisor;
        head[i] = norm;
        for row in rows.chunks_exact_mut(columns) {
            row[i] *= scale;
        }

        for range in [i + 1..skip.start.max(i + 1), skip.end.max(i + 1)..columns] {
            let projection = &mut self.projection[range.clone()];
            projection.copy_from_slice(&head[range.clone()]);
            for row in rows.chunks_exact(columns) {
                let y = row[i];
                for (sum, &value) in projection.iter_mut().zip(&row[range.clone()]) {
                    *sum += y * value;
                }
            }
            for (sum, value) in projection.iter_mut().zip(&mut head[range.clone()]) {
                *sum *= tau;
                *value = *sum - *value;
            }
            for row in rows.chunks_exact_mut(columns) {
                let y = row[i];
                for (value, &sum) in row[range.clone()].iter_mut().zip(&*projection) {
                    *value -= sum * y;
                }
            }
        }
    }

    /// Row i of the triangle is one of R from now on: its columns i ..= window, and the squared norm
    /// of column i of WA, that is M_ii.
    #[inline(always)]
    fn finish(&mut self, i: usize) -> (&[S], S) {
        let row = &self.triangle[i * (self.window + 1)..][i..=self.window];
        for (removed, &value) in self.removed[i..].iter_mut().zip(row) {
            *removed += value * value;
        }
        (row, self.removed[i])
    }
}

impl<S: Packed> Factor<S> {
    /// Clears the stack and forgets earlier breakdowns.
    pub fn restart_rows(&mut self, stack: &mut RowStack<S>) {
        stack.clear();
        self.begin(Origin::Rows);
    }

    /// Row t of R and block t of v = Qᵀβ from the stack, which then stands at block t+1.
    #[inline(always)]
    pub fn eliminate_rows(&mut self, t: usize, stack: &mut RowStack<S>, v: &mut [S::Double]) {
        let (p, w, n) = (self.shape.block, self.shape.bandwidth, self.shape.window());
        let first_border = self.shape.first_border();
        let group = p / self.shape.groups;
        for i in 0..n {
            // Row i has not met the groups after its own in block t+w.
            let met = if i < p { w * p + (i / group + 1) * group } else { first_border };
            stack.reflect(i, met..first_border);
        }
        stack.count = 0;
        for i in 0..p {
            let at = t * self.shape.row_values() + trapezoid(n, i) + i;
            self.finish_row(Breakdown { block: t, pivot: i }, at, i, stack, v);
        }
        stack.advance(p, first_border);
    }

    /// The border's triangle of R and its part of v, once all blocks are eliminated.
    #[inline(always)]
    pub fn eliminate_border_rows(&mut self, stack: &mut RowStack<S>, v: &mut [S::Double]) {
        let (c, n, block) = (self.shape.border, self.shape.window(), self.shape.blocks);
        for i in n - c..n {
            stack.reflect(i, n..n);
        }
        stack.count = 0;
        for i in 0..c {
            let at = block * self.shape.row_values() + trapezoid(c, i) + i;
            self.finish_row(Breakdown { block, pivot: i }, at, n - c + i, stack, v);
        }
    }

    /// Stores row `i` of the stack's triangle, the row of R at `place`, from `at` on.
    #[inline(always)]
    fn finish_row(
        &mut self,
        place: Breakdown,
        at: usize,
        i: usize,
        stack: &mut RowStack<S>,
        v: &mut [S::Double],
    ) {
        let unknown = place.block * self.shape.block + place.pivot;
        let (row, whole) = stack.finish(i);
        let squared = row[0] * row[0];
        let (breakdown, weakest) = (&mut self.breakdown, &mut self.weakest);
        let reciprocal = reciprocal_root(squared, whole, place, unknown, breakdown, weakest);
        let (row, rhs) = row.split_at(row.len() - 1);
        self.values[at..][..row.len()].copy_from_slice(row);
        self.values[at] = reciprocal;
        v[unknown] = rhs[0].widen();
    }
}

impl<S: Packed> RowStack<S> {
    /// Moves the window on by a block of `p` columns: its first p rows leave the triangle, p zero
    /// rows enter before the border.
    #[inline(always)]
    fn advance(&mut self, p: usize, first_border: usize) {
        let columns = self.window + 1;
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
        }
        for i in first_border - p..first_border {
            self.triangle[i * columns..(i + 1) * columns].fill(S::default());
            self.removed[i] = S::default();
        }
    }
}

/// The value, with one in the lanes where it is zero.
#[inline(always)]
fn one_for_zero<S: Packed>(mut value: S) -> S {
    for lane in 0..S::LANES {
        if value.lane(lane) == S::Real::zero() {
            value.set_lane(lane, S::Real::one());
        }
    }
    value
}
