//! The triangular factor of a symmetric positive definite block-banded matrix with a thin dense
//! border.
//!
//! The unknowns are ordered (z_0, ..., z_{n-1}, y): n blocks of P values, then c border values.
//! Block t is coupled with blocks t .. t+w (w = bandwidth, 1 or 2) and with the border:
//!
//! ```text
//! M = | D_0  E_0            G_0 |        M = Rᵀ R,   row t of R:  R_tt  R_{t,t+1} .. R_{t,t+w}  R_{t,y}
//!     | E_0ᵀ D_1  E_1       G_1 |
//!     |      E_1ᵀ D_2       G_2 |
//!     | G_0ᵀ G_1ᵀ G_2ᵀ      H   |
//! ```
//!
//! M is never stored. A [`Window`] holds the rows of blocks t .. t+w and of the border as far as
//! they are known when block t is eliminated; the caller adds the terms that involve block t, and
//! the window's first block row is turned into row t of R.
//!
//! This is the factor of one system with a border of any width, as discovery has it (border: the
//! coefficients): along the border's columns, many numbers are computed on at once. Batches of ODEs
//! have thin borders and many systems, which `backend::cpu` computes on side by side.

use crate::error::Result;
use crate::gemm::{Matrix, product};
use crate::memory::zeros;

/// The number of border columns from which on the border's entries are too many for the fast
/// caches: what is added to them is collected then, and added as a product of matrices.
const WIDE: usize = 48;
/// The number of rows that are collected for it, and of rows of entries to which their product is
/// added at a time: those below the diagonal are not needed.
const COLLECTED: usize = 256;
const STRIP: usize = 128;

/// The sizes of a bordered block-banded matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandedShape {
    /// Number n of diagonal blocks.
    pub blocks: usize,
    /// Number P of rows of a block.
    pub block: usize,
    /// Number of groups of P/groups rows over which the outermost off-diagonal blocks are block
    /// diagonal; 1 where they are dense.
    pub groups: usize,
    /// Number w of off-diagonal blocks above each diagonal block.
    pub bandwidth: usize,
    /// Number c of border columns.
    pub border: usize,
}

impl BandedShape {
    /// Returns the number of unknowns, n·P + c.
    pub fn unknowns(&self) -> usize {
        self.blocks * self.block + self.border
    }

    /// Returns the number of columns of the window, (w+1)·P + c.
    pub fn window(&self) -> usize {
        self.first_border() + self.border
    }

    /// Returns the window column of the first border unknown.
    pub fn first_border(&self) -> usize {
        (self.bandwidth + 1) * self.block
    }

    /// Returns the number of stored values of one block row of R, a trapezoid of P rows.
    fn row_values(&self) -> usize {
        self.block * self.window() - self.block * (self.block - 1) / 2
    }

    /// Returns the number of stored values of the whole factor, or `None` if that overflows.
    pub fn factor_values(&self) -> Option<usize> {
        self.block.checked_mul(self.window())?;
        let triangle = self.border.checked_mul(self.border + 1)? / 2;
        self.blocks.checked_mul(self.row_values())?.checked_add(triangle)
    }

    /// Returns the number of values that a factor and a window take, saturated.
    pub fn values(&self) -> usize {
        let collected = (2 * COLLECTED + STRIP).saturating_mul(self.wide_border());
        let window = self.window().saturating_mul(self.window()).saturating_add(collected);
        self.factor_values().unwrap_or(usize::MAX).saturating_add(window)
    }

    /// Returns the number of border columns if they are many, else 0.
    fn wide_border(&self) -> usize {
        if self.border < WIDE { 0 } else { self.border }
    }

    /// Returns the first row of R (within a block row) that can be nonzero in a window column: the
    /// coupling with block t+w is block diagonal, and R_{t,t+w} = R_tt⁻ᵀ M_{t,t+w} fills only below
    /// it.
    fn first_row(&self, column: usize) -> usize {
        let outermost = self.bandwidth * self.block..self.first_border();
        let group = self.block / self.groups;
        if outermost.contains(&column) { (column - outermost.start) / group * group } else { 0 }
    }
}

/// The pivot at which a factorization broke down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakdown {
    /// Number t of the block; n stands for the border.
    pub block: usize,
    /// Row of the pivot within the block or the border.
    pub pivot: usize,
}

/// The rows of M that the elimination has reached: an upper triangle over the window columns, which
/// are blocks t .. t+w, then the border.
pub struct Window {
    columns: usize,
    /// Number of the columns that stand for blocks.
    first_border: usize,
    /// Entries, (columns, columns) row-major, of which only the upper triangle is used.
    entries: Vec<f64>,
    /// Rows r over the border columns whose ± rᵀr is not yet added to the entries, (m, c), and the
    /// same rows with this sign; only if the border is wide.
    rows: Vec<f64>,
    signed: Vec<f64>,
    /// Room for the products of some of these rows.
    strip: Vec<f64>,
}

impl Window {
    /// Makes a window of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &BandedShape) -> Result<Self> {
        let columns = shape.window();
        let what = "window of the factorization";
        let border = shape.wide_border();
        let room = || -> Result<Vec<f64>> {
            let mut values = zeros(what, COLLECTED * border)?;
            values.clear();
            Ok(values)
        };
        Ok(Window {
            columns,
            first_border: shape.first_border(),
            entries: zeros(what, columns.saturating_mul(columns))?,
            rows: room()?,
            signed: room()?,
            strip: zeros(what, STRIP * border)?,
        })
    }

    /// Adds `value` to M at the window's (row, column), row ≤ column.
    pub fn add(&mut self, row: usize, column: usize, value: f64) {
        debug_assert!(row <= column);
        self.entries[row * self.columns + column] += value;
    }

    /// Adds rᵀr to M for each of these `rows` r over the window's columns.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) if a product of matrices has not enough memory.
    pub fn add_squares(&mut self, rows: &[f64]) -> Result<()> {
        let n = self.columns;
        let wide = n - self.first_border >= WIDE;
        // The entries are read once for all rows: they may be more than the caches hold.
        for column in 0..if wide { self.first_border } else { n } {
            let entries = &mut self.entries[column * n + column..(column + 1) * n];
            for row in rows.chunks_exact(n).filter(|row| row[column] != 0.0) {
                let (value, others) = (row[column], &row[column..]);
                entries.iter_mut().zip(others).for_each(|(e, other)| *e += value * other);
            }
        }
        if wide {
            for row in rows.chunks_exact(n) {
                self.collect(&row[self.first_border..], 1.0)?;
            }
        }
        Ok(())
    }

    /// Adds `sign` · rᵀr to the border's entries, sooner or later, for the row r over its columns.
    fn collect(&mut self, row: &[f64], sign: f64) -> Result<()> {
        self.rows.extend_from_slice(row);
        self.signed.extend(row.iter().map(|value| sign * value));
        if self.rows.len() >= COLLECTED * row.len() { self.add_collected() } else { Ok(()) }
    }

    /// Adds what was collected to the border's entries.
    fn add_collected(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (n, c) = (self.columns, self.columns - self.first_border);
        let m = self.rows.len() / c;
        let (rows, signed) = (Matrix::new(&self.rows, m, c), Matrix::new(&self.signed, m, c));
        for first in (0..c).step_by(STRIP) {
            let (height, width) = (STRIP.min(c - first), c - first);
            let sums = &mut self.strip[..height * width];
            product(rows.columns(first, height).t(), signed.columns(first, width), sums, false)?;
            for (i, sums) in sums.chunks_exact(width).enumerate() {
                let row = self.first_border + first + i;
                let entries = &mut self.entries[row * n + row..(row + 1) * n];
                entries.iter_mut().zip(&sums[i..]).for_each(|(entry, sum)| *entry += sum);
            }
        }
        self.rows.clear();
        self.signed.clear();
        Ok(())
    }
}

/// The factor R of M = RᵀR.
pub struct Factor {
    shape: BandedShape,
    /// Number of the first possibly nonzero row of each window column.
    first_row: Vec<usize>,
    /// Block rows of R, then the border's triangle. Row i of a block row holds the window columns
    /// from i on, with the reciprocal of the diagonal entry in place of the entry itself.
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
        let values = zeros("factor", shape.factor_values().unwrap_or(usize::MAX))?;
        Ok(Factor {
            first_row: (0..shape.window()).map(|column| shape.first_row(column)).collect(),
            values,
            breakdown: None,
            shape,
        })
    }

    /// Returns the sizes of the matrix.
    pub fn shape(&self) -> &BandedShape {
        &self.shape
    }

    /// Returns where the factorization broke down, if it did. The numbers are then meaningless.
    pub fn breakdown(&self) -> Option<Breakdown> {
        self.breakdown
    }

    /// Factorizes M: for each block, `absorb(t, window)` adds the terms of M whose first block is
    /// t; with t = n, those of the border alone.
    ///
    /// # Errors
    /// Those of `absorb`, which end the work; there is no factor then.
    pub fn factorize(
        &mut self,
        window: &mut Window,
        mut absorb: impl FnMut(usize, &mut Window) -> Result<()>,
    ) -> Result<()> {
        window.entries.fill(0.0);
        window.rows.clear();
        window.signed.clear();
        self.breakdown = None;
        for t in 0..self.shape.blocks {
            absorb(t, window)?;
            self.eliminate(t, window)?;
        }
        absorb(self.shape.blocks, window)?;
        window.add_collected()?;
        self.eliminate_border(window);
        Ok(())
    }

    /// Computes row t of R from the window's first block row, and moves the window on to block t+1:
    ///
    /// R_tj = R_tt⁻ᵀ M_tj,  then  M_jk −= R_tjᵀ R_tk for j, k > t.
    fn eliminate(&mut self, t: usize, window: &mut Window) -> Result<()> {
        let (p, n, w) = (self.shape.block, window.columns, self.shape.bandwidth);
        let first_border = self.shape.first_border();
        let first_row = &self.first_row;
        let row = &mut self.values[t * self.shape.row_values()..][..self.shape.row_values()];
        let at = |m: usize, k: usize| trapezoid(n, m) + k;

        for i in 0..p {
            for k in i..first_border {
                let mut sum = window.entries[i * n + k];
                for m in first_row[k]..i {
                    sum -= row[at(m, i)] * row[at(m, k)];
                }
                row[at(i, k)] = sum;
            }
            // Along the border, many numbers are computed on at once.
            let (above, own) = row.split_at_mut(at(i, i));
            let own = &mut own[first_border - i..n - i];
            own.copy_from_slice(&window.entries[i * n + first_border..(i + 1) * n]);
            for m in 0..i {
                let (factor, other) = (above[at(m, i)], &above[at(m, first_border)..at(m, n)]);
                own.iter_mut().zip(other).for_each(|(sum, other)| *sum -= factor * other);
            }
            let place = Breakdown { block: t, pivot: i };
            let reciprocal = reciprocal_root(row[at(i, i)], place, &mut self.breakdown);
            row[at(i, i)] = reciprocal;
            for k in i + 1..n {
                row[at(i, k)] *= reciprocal;
            }
        }

        // The trailing entries are written to where they stand once block t has left the window.
        let moved = |column: usize| if column < first_border { column - p } else { column };
        for j in p..first_border {
            for k in j..first_border {
                let mut sum = 0.0;
                for m in first_row[j].max(first_row[k])..p {
                    sum += row[at(m, j)] * row[at(m, k)];
                }
                window.entries[moved(j) * n + moved(k)] = window.entries[j * n + k] - sum;
            }
            let (before, from) = window.entries.split_at_mut(j * n);
            let to = &mut before[moved(j) * n + first_border..(moved(j) + 1) * n];
            to.fill(0.0);
            for m in first_row[j]..p {
                let (factor, other) = (row[at(m, j)], &row[at(m, first_border)..at(m, n)]);
                to.iter_mut().zip(other).for_each(|(sum, other)| *sum += factor * other);
            }
            let from = &from[first_border..n];
            to.iter_mut().zip(from).for_each(|(sum, from)| *sum = from - *sum);
        }
        // The border does not move, and a wide border makes up most of the work.
        if self.shape.border >= WIDE {
            for m in 0..p {
                window.collect(&row[at(m, first_border)..at(m, n)], -1.0)?;
            }
        }
        let direct = if self.shape.border < WIDE { first_border..n } else { n..n };
        for j in direct {
            let entries = &mut window.entries[j * n + j..(j + 1) * n];
            for m in 0..p {
                let row = &row[at(m, j)..=at(m, n - 1)];
                let factor = row[0];
                entries.iter_mut().zip(row).for_each(|(entry, other)| *entry -= factor * *other);
            }
        }
        for j in 0..w * p {
            window.entries[j * n + w * p..j * n + first_border].fill(0.0);
        }
        for j in w * p..first_border {
            window.entries[j * n + j..(j + 1) * n].fill(0.0);
        }
        Ok(())
    }

    /// Computes the border's triangle of R, once all blocks are eliminated.
    fn eliminate_border(&mut self, window: &Window) {
        let (c, n) = (self.shape.border, window.columns);
        let first_border = self.shape.first_border();
        let triangle = &mut self.values[self.shape.blocks * self.shape.row_values()..];
        for i in 0..c {
            let (above, own) = triangle.split_at_mut(trapezoid(c, i) + i);
            let own = &mut own[..c - i];
            let entries = &window.entries[(first_border + i) * n + first_border..];
            own.copy_from_slice(&entries[i..c]);
            for m in 0..i {
                let other = &above[trapezoid(c, m) + i..trapezoid(c, m) + c];
                own.iter_mut().zip(other).for_each(|(sum, value)| *sum -= other[0] * value);
            }
            let place = Breakdown { block: self.shape.blocks, pivot: i };
            let pivot = triangle[trapezoid(c, i) + i];
            let reciprocal = reciprocal_root(pivot, place, &mut self.breakdown);
            triangle[trapezoid(c, i) + i] = reciprocal;
            for k in i + 1..c {
                triangle[trapezoid(c, i) + k] *= reciprocal;
            }
        }
    }

    /// Solves M x = rhs in place, where `rhs` is (z_0, ..., z_{n-1}, y).
    pub fn solve(&self, rhs: &mut [f64]) {
        for t in 0..self.shape.blocks {
            self.forward(t, rhs);
        }
        self.forward_border(rhs);
        self.substitute(rhs);
    }

    /// Solves R x = v in place.
    pub fn substitute(&self, rhs: &mut [f64]) {
        self.backward_border(rhs);
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
            let mut sum = rhs[self.unknown(t, k)];
            for m in self.first_row[k]..p {
                sum -= row[trapezoid(n, m) + k] * rhs[t * p + m];
            }
            rhs[self.unknown(t, k)] = sum;
        }
    }

    /// Solves the border's part of Rᵀ v = rhs, in place, after the last `forward`.
    fn forward_border(&self, rhs: &mut [f64]) {
        let c = self.shape.border;
        let y = &mut rhs[self.shape.blocks * self.shape.block..];
        let triangle = self.triangle();
        for i in 0..c {
            let mut sum = y[i];
            for m in 0..i {
                sum -= triangle[trapezoid(c, m) + i] * y[m];
            }
            y[i] = sum * triangle[trapezoid(c, i) + i];
        }
    }

    /// Solves the border's part of R x = v, in place, before the first `backward`.
    fn backward_border(&self, rhs: &mut [f64]) {
        let c = self.shape.border;
        let y = &mut rhs[self.shape.blocks * self.shape.block..];
        let triangle = self.triangle();
        for i in (0..c).rev() {
            let mut sum = y[i];
            for k in i + 1..c {
                sum -= triangle[trapezoid(c, i) + k] * y[k];
            }
            y[i] = sum * triangle[trapezoid(c, i) + i];
        }
    }

    /// Solves block t of R x = v, in place, once the border and the blocks after it are solved.
    fn backward(&self, t: usize, rhs: &mut [f64]) {
        let (p, n) = (self.shape.block, self.shape.window());
        let row = self.row(t);
        for k in self.coupled_columns(t) {
            let solved = rhs[self.unknown(t, k)];
            for m in self.first_row[k]..p {
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

    /// Returns the border's Schur complement H − GᵀM⁻¹G (M without its border), (c, c) row-major:
    /// the matrix that remains of the border once the blocks are eliminated.
    pub fn border_complement(&self) -> Vec<f64> {
        let c = self.shape.border;
        let triangle = self.triangle();
        let entry = |m: usize, k: usize| {
            let value = triangle[trapezoid(c, m) + k];
            // The reciprocal is stored in place of a diagonal entry.
            if m == k { 1.0 / value } else { value }
        };
        let mut complement = vec![0.0; c * c];
        for i in 0..c {
            let sums = &mut complement[i * c + i..(i + 1) * c];
            for m in 0..=i {
                let (factor, row) = (entry(m, i), &triangle[trapezoid(c, m) + i..][..c - i]);
                // The first of them is a reciprocal where m = i.
                sums[0] += factor * factor;
                let others = sums[1..].iter_mut().zip(&row[1..]);
                others.for_each(|(sum, value)| *sum += factor * value);
            }
            for k in i + 1..c {
                complement[k * c + i] = complement[i * c + k];
            }
        }
        complement
    }

    /// Returns the inverse of the border's Schur complement H − GᵀM⁻¹G (M without its border), (c,
    /// c) row-major: the border's part of the inverse matrix, i.e. the covariance of the border
    /// unknowns when the matrix holds inverse variances.
    pub fn border_inverse(&self) -> Vec<f64> {
        let c = self.shape.border;
        let triangle = self.triangle();
        // R⁻ᵀ of the border, whose rows are zero above the diagonal, row after row.
        let mut solved = vec![0.0; c * c];
        for i in 0..c {
            let (above, own) = solved.split_at_mut(i * c);
            own[i] = 1.0;
            for m in 0..i {
                let factor = triangle[trapezoid(c, m) + i];
                let other = &above[m * c..][..=m];
                own.iter_mut().zip(other).for_each(|(sum, value)| *sum -= factor * value);
            }
            let reciprocal = triangle[trapezoid(c, i) + i];
            own[..=i].iter_mut().for_each(|value| *value *= reciprocal);
        }
        // The inverse is R⁻¹R⁻ᵀ.
        let mut inverse = vec![0.0; c * c];
        for row in solved.chunks_exact(c.max(1)) {
            for (i, factor) in row.iter().enumerate().filter(|(_, factor)| **factor != 0.0) {
                let sums = &mut inverse[i * c..][..c];
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
            }
        }
        inverse
    }

    /// Returns 1/R_ii for row i of block t.
    pub fn reciprocal(&self, t: usize, i: usize) -> f64 {
        self.row(t)[trapezoid(self.shape.window(), i) + i]
    }

    /// Returns block row t of R.
    fn row(&self, t: usize) -> &[f64] {
        &self.values[t * self.shape.row_values()..][..self.shape.row_values()]
    }

    /// Returns the border's triangle of R.
    fn triangle(&self) -> &[f64] {
        &self.values[self.shape.blocks * self.shape.row_values()..]
    }

    /// Iterates over the window columns to the right of block t that stand for unknowns; the last
    /// blocks have fewer neighbors.
    fn coupled_columns(&self, t: usize) -> impl Iterator<Item = usize> + use<> {
        let p = self.shape.block;
        let neighbors = self.shape.bandwidth.min(self.shape.blocks - 1 - t);
        (p..(1 + neighbors) * p).chain(self.shape.first_border()..self.shape.window())
    }

    /// Returns the index in (z_0, ..., z_{n-1}, y) of the unknown in column `column` of the window
    /// at t.
    fn unknown(&self, t: usize, column: usize) -> usize {
        let first_border = self.shape.first_border();
        if column < first_border {
            t * self.shape.block + column
        } else {
            self.shape.blocks * self.shape.block + column - first_border
        }
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
