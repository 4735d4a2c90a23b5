//! The triangular factor of a symmetric positive definite block tridiagonal matrix.
//!
//! The unknowns are n blocks of P values, and each block is coupled with its neighbors:
//!
//! ```text
//! M = | D_0  E_0            |        M = Rᵀ R,   row t of R:  R_tt  R_{t,t+1}
//!     | E_0ᵀ D_1  E_1       |
//!     |      E_1ᵀ D_2       |
//! ```
//!
//! M is never stored. A [`Window`] holds the rows of blocks t and t+1 as far as they are known when
//! block t is eliminated; the caller adds the terms that involve block t, and the window's first
//! block row is turned into row t of R.
//!
//! This is the factor of one system: of the separators between the chunks of a long one.

use crate::error::Result;
use crate::memory::zeros;

/// The sizes of a block tridiagonal matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandedShape {
    /// Number n of diagonal blocks.
    pub blocks: usize,
    /// Number P of rows of a block.
    pub block: usize,
}

impl BandedShape {
    /// Returns the number of columns of the window, 2P.
    fn window(&self) -> usize {
        2 * self.block
    }

    /// Returns the number of stored values of one block row of R, a trapezoid of P rows.
    fn row_values(&self) -> usize {
        trapezoid(self.window(), self.block) + self.block
    }
}

/// The pivot at which a factorization broke down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// Number t of the block.
    pub block: usize,
    /// Row of the pivot within the block.
    pub pivot: usize,
}

/// The rows of M that the elimination has reached: an upper triangle over blocks t and t+1.
pub struct Window {
    columns: usize,
    /// Entries, (columns, columns) row-major, of which only the upper triangle is used.
    entries: Vec<f64>,
}

impl Window {
    /// Makes a window of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &BandedShape) -> Result<Self> {
        let columns = shape.window();
        let entries = zeros("window of the factorization", columns.saturating_mul(columns))?;
        Ok(Window { columns, entries })
    }

    /// Adds `value` to M at the window's (row, column), row ≤ column.
    pub fn add(&mut self, row: usize, column: usize, value: f64) {
        debug_assert!(row <= column);
        self.entries[row * self.columns + column] += value;
    }
}

/// The factor R of M = RᵀR.
pub struct Factor {
    shape: BandedShape,
    /// Block rows of R. Row i of a block row holds the window columns from i on, with the reciprocal
    /// of the diagonal entry in place of the entry itself.
    values: Vec<f64>,
    /// Place where the factorization broke down, if it did.
    breakdown: Option<Breakdown>,
}

impl Factor {
    /// Allocates a factor of this shape.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: BandedShape) -> Result<Self> {
        let values = zeros("factor", shape.blocks.saturating_mul(shape.row_values()))?;
        Ok(Factor { values, breakdown: None, shape })
    }

    /// Returns the sizes of the matrix.
    pub fn shape(&self) -> &BandedShape {
        &self.shape
    }

    /// Returns where the factorization broke down, if it did. The numbers are then meaningless.
    pub fn breakdown(&self) -> Option<Breakdown> {
        self.breakdown
    }

    /// Factorizes M: for each block, `absorb(t, window)` adds the terms of M whose first block is t.
    pub fn factorize(&mut self, window: &mut Window, mut absorb: impl FnMut(usize, &mut Window)) {
        window.entries.fill(0.0);
        self.breakdown = None;
        for t in 0..self.shape.blocks {
            absorb(t, window);
            self.eliminate(t, window);
        }
    }

    /// Computes row t of R from the window's first block row, and moves the window on to block t+1:
    ///
    /// R_tj = R_tt⁻ᵀ M_tj,  then  M_jk −= R_tjᵀ R_tk for j, k > t.
    fn eliminate(&mut self, t: usize, window: &mut Window) {
        let (p, n) = (self.shape.block, window.columns);
        let row = &mut self.values[t * self.shape.row_values()..][..self.shape.row_values()];
        let at = |m: usize, k: usize| trapezoid(n, m) + k;

        for i in 0..p {
            for k in i..n {
                let mut sum = window.entries[i * n + k];
                for m in 0..i {
                    sum -= row[at(m, i)] * row[at(m, k)];
                }
                row[at(i, k)] = sum;
            }
            let place = Breakdown { block: t, pivot: i };
            let reciprocal = reciprocal_root(row[at(i, i)], place, &mut self.breakdown);
            row[at(i, i)] = reciprocal;
            for k in i + 1..n {
                row[at(i, k)] *= reciprocal;
            }
        }

        // The trailing entries are written to where they stand once block t has left the window.
        for j in p..n {
            for k in j..n {
                let mut sum = 0.0;
                for m in 0..p {
                    sum += row[at(m, j)] * row[at(m, k)];
                }
                window.entries[(j - p) * n + k - p] = window.entries[j * n + k] - sum;
            }
        }
        for j in 0..p {
            window.entries[j * n + p..(j + 1) * n].fill(0.0);
        }
        window.entries[p * n..].fill(0.0);
    }

    /// Solves M x = rhs in place, where `rhs` is (n, P).
    pub fn solve(&self, rhs: &mut [f64]) {
        for t in 0..self.shape.blocks {
            self.forward(t, rhs);
        }
        self.substitute(rhs);
    }

    /// Solves R x = v in place.
    pub fn substitute(&self, rhs: &mut [f64]) {
        for t in (0..self.shape.blocks).rev() {
            self.backward(t, rhs);
        }
    }

    /// Solves block t of Rᵀ v = rhs, in place, once the blocks before it are solved.
    fn forward(&self, t: usize, rhs: &mut [f64]) {
        let (p, n) = (self.shape.block, self.shape.window());
        let row = self.row(t);
        for i in 0..p {
            let mut sum = rhs[t * p + i];
            for m in 0..i {
                sum -= row[trapezoid(n, m) + i] * rhs[t * p + m];
            }
            rhs[t * p + i] = sum * row[trapezoid(n, i) + i];
        }
        for k in self.coupled_columns(t) {
            let mut sum = rhs[t * p + k];
            for m in 0..p {
                sum -= row[trapezoid(n, m) + k] * rhs[t * p + m];
            }
            rhs[t * p + k] = sum;
        }
    }

    /// Solves block t of R x = v, in place, once the blocks after it are solved.
    fn backward(&self, t: usize, rhs: &mut [f64]) {
        let (p, n) = (self.shape.block, self.shape.window());
        let row = self.row(t);
        for k in self.coupled_columns(t) {
            let solved = rhs[t * p + k];
            for m in 0..p {
                rhs[t * p + m] -= row[trapezoid(n, m) + k] * solved;
            }
        }
        for i in (0..p).rev() {
            let mut sum = rhs[t * p + i];
            for k in i + 1..p {
                sum -= row[trapezoid(n, i) + k] * rhs[t * p + k];
            }
            rhs[t * p + i] = sum * row[trapezoid(n, i) + i];
        }
    }

    /// Returns 1/R_ii for row i of block t.
    pub fn reciprocal(&self, t: usize, i: usize) -> f64 {
        self.row(t)[trapezoid(self.shape.window(), i) + i]
    }

    /// Returns block row t of R.
    fn row(&self, t: usize) -> &[f64] {
        &self.values[t * self.shape.row_values()..][..self.shape.row_values()]
    }

    /// Returns the window columns to the right of block t that stand for unknowns: the last block has
    /// no neighbor.
    fn coupled_columns(&self, t: usize) -> std::ops::Range<usize> {
        let p = self.shape.block;
        if t + 1 < self.shape.blocks { p..2 * p } else { p..p }
    }
}

/// Returns the offset, less the column, of row `row` in a packed trapezoid whose row i holds
/// columns i..n.
#[inline(always)]
fn trapezoid(n: usize, row: usize) -> usize {
    row * n - row * (row + 1) / 2
}

/// Returns 1/√pivot. A pivot that is not positive (or NaN, infinite, subnormal) is a breakdown: it
/// is recorded and replaced by one.
fn reciprocal_root(pivot: f64, place: Breakdown, breakdown: &mut Option<Breakdown>) -> f64 {
    if pivot > 0.0 && pivot.is_normal() {
        return 1.0 / pivot.sqrt();
    }
    breakdown.get_or_insert(place);
    1.0
}

#[cfg(test)]
mod tests;
