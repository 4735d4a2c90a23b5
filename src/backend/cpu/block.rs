//! Elimination and substitution of one block, in register tiles of T×T.
//!
//! A triangle R is packed by rows, each from its diagonal entry on, in whose place its reciprocal
//! stands. All sizes are multiples of T; T is Q, or 1 where Q is large, so that the groups of Q
//! columns in which a coupling E_t begins are whole tiles.

use super::lanes::Vector;
use super::layout::{Layout, triangle};
use super::pivots::Pivot;

/// A number of a factor: one for each lane, or one that all lanes share.
pub trait Entry<V>: Copy {
    /// Whether all lanes share it, and with it the factor: then it is that of whole systems, and was made
    /// before, pivots and all.
    const SHARED: bool;

    /// Returns the number in lanes.
    fn lanes(self) -> V;
}

impl<V: Vector> Entry<V> for V {
    const SHARED: bool = false;

    #[inline(always)]
    fn lanes(self) -> V {
        self
    }
}

impl<V: Vector> Entry<V> for f64 {
    const SHARED: bool = true;

    #[inline(always)]
    fn lanes(self) -> V {
        V::splat(self)
    }
}

/// Returns the T values from `at` on.
#[inline(always)]
pub fn load<V: Copy, const T: usize>(values: &[V], at: usize) -> [V; T] {
    *values[at..].first_chunk().expect("within the values")
}

/// Returns the T×T values from (row, column) on of a matrix with `n` columns.
#[inline(always)]
fn tile<V: Vector, const T: usize>(
    matrix: &[V],
    n: usize,
    row: usize,
    column: usize,
) -> [[V; T]; T] {
    let mut tile = [[V::default(); T]; T];
    for i in 0..T {
        tile[i] = load(matrix, (row + i) * n + column);
    }
    tile
}

#[inline(always)]
fn put<V: Vector, const T: usize>(
    matrix: &mut [V],
    n: usize,
    row: usize,
    column: usize,
    tile: &[[V; T]; T],
) {
    for i in 0..T {
        matrix[(row + i) * n + column..][..T].copy_from_slice(&tile[i]);
    }
}

/// Computes tile −= Σ_m a\[m, i..\]ᵀ a\[m, j..\] over these rows m of a matrix with `n` columns.
#[inline(always)]
fn subtract_products<V: Vector, const T: usize>(
    tile: &mut [[V; T]; T],
    a: &[V],
    n: usize,
    rows: std::ops::Range<usize>,
    i: usize,
    j: usize,
) {
    for m in rows {
        let x: [V; T] = load(a, m * n + i);
        let y: [V; T] = load(a, m * n + j);
        for i in 0..T {
            for j in 0..T {
                tile[i][j] = tile[i][j].minus(x[i], y[j]);
            }
        }
    }
}

/// Solves Rᵀ v = y in place, R being a packed triangle.
#[inline(always)]
pub fn solve_transposed<V: Vector, const T: usize>(r: &[impl Entry<V>], y: &mut [V]) {
    let p = y.len();
    for i0 in (0..p).step_by(T) {
        let mut v: [V; T] = load(y, i0);
        let mut at = i0;
        for m in 0..i0 {
            let row: [_; T] = load(r, at);
            for i in 0..T {
                v[i] = v[i].minus(row[i].lanes(), y[m]);
            }
            at += p - m - 1;
        }
        for i in 0..T {
            let row = &r[at..][..T - i];
            v[i] = v[i] * row[0].lanes();
            for k in i + 1..T {
                v[k] = v[k].minus(row[k - i].lanes(), v[i]);
            }
            at += p - i0 - i;
        }
        y[i0..][..T].copy_from_slice(&v);
    }
}

/// Solves R x = y in place, R being a packed triangle. Each x_i is made of two sums, from the last
/// column on, so that an addition need not wait for the one before; their bits do not depend on T.
#[inline(always)]
pub fn solve_upper<V: Vector, const T: usize>(r: &[impl Entry<V>], y: &mut [V]) {
    let p = y.len();
    for i0 in (0..p).step_by(T).rev() {
        let (x, later) = y[i0..].split_at_mut(T);
        let mut at = triangle(p) - triangle(p - i0);
        let (mut rows, mut sums) = ([at; T], [[V::default(); 2]; T]);
        for i in 0..T {
            rows[i] = at;
            let row = &r[at + T - i..][..later.len()];
            let [mut even, mut odd] = [x[i], V::default()];
            for (row, later) in row.rchunks_exact(2).zip(later.rchunks_exact(2)) {
                even = even.minus(row[1].lanes(), later[1]);
                odd = odd.minus(row[0].lanes(), later[0]);
            }
            sums[i] = [even, odd];
            if later.len() % 2 == 1 {
                sums[i] = [odd, even.minus(row[0].lanes(), later[0])];
            }
            at += p - i0 - i;
        }
        for i in (0..T).rev() {
            let row = &r[rows[i]..][..T - i];
            for k in (i + 1..T).rev() {
                let sum = &mut sums[i][(T - 1 - k) % 2];
                *sum = sum.minus(row[k - i].lanes(), x[k]);
            }
            x[i] = (sums[i][0] + sums[i][1]) * row[0].lanes();
        }
    }
}

/// Computes y −= a x, a being row-major with as many rows as y has values, `n` values apart.
#[inline(always)]
pub fn subtract_times<V: Vector>(a: &[impl Entry<V>], n: usize, x: &[V], y: &mut [V]) {
    if x.is_empty() {
        return;
    }
    for (i, y) in y.iter_mut().enumerate() {
        for (a, x) in a[i * n..][..x.len()].iter().zip(x) {
            *y = y.minus(a.lanes(), *x);
        }
    }
}

/// Computes y −= aᵀ x, a being row-major with as many rows as x has values, `n` values apart.
#[inline(always)]
pub fn subtract_transposed_times<V: Vector>(a: &[impl Entry<V>], n: usize, x: &[V], y: &mut [V]) {
    let len = y.len();
    if len == 0 {
        return;
    }
    for (i, x) in x.iter().enumerate() {
        for (y, a) in y.iter_mut().zip(&a[i * n..][..len]) {
            *y = y.minus(a.lanes(), *x);
        }
    }
}

/// Computes y −= aᵀ x for the coupling a of a block with the next, (P, P): row i reaches up to the last of the
/// Q columns of its state, because a coupling is block diagonal over the states, and R_tt⁻ᵀ fills it only below.
#[inline(always)]
pub fn subtract_transposed_coupling<V: Vector, const T: usize>(
    a: &[impl Entry<V>],
    q: usize,
    x: &[V],
    y: &mut [V],
) {
    let p = x.len();
    for j0 in (0..p).step_by(T) {
        let mut sums: [V; T] = load(y, j0);
        for i in j0 / q * q..p {
            let row: [_; T] = load(a, i * p + j0);
            for j in 0..T {
                sums[j] = sums[j].minus(row[j].lanes(), x[i]);
            }
        }
        y[j0..][..T].copy_from_slice(&sums);
    }
}

/// The rows of M that elimination has reached, an upper triangle over the columns of the blocks t ..
/// t+w and of the border. Its methods are told the number n of columns, which may be a constant.
pub struct Window<V> {
    /// Entries, (n, n), of which the upper triangle is used.
    pub entries: Vec<V>,
    /// Rows t of R, (P, n).
    pub rows: Vec<V>,
    /// What elimination has subtracted from each diagonal entry (n).
    removed: Vec<V>,
    /// Diagonal entries of M (n), in the columns that are eliminated next.
    pub whole: Vec<V>,
}

/// A diagonal block of M that is left, and what elimination has subtracted from its diagonal.
pub struct Left<'a, V> {
    /// Upper triangle, (P, P).
    pub block: &'a [V],
    /// What was subtracted from the diagonal, (P).
    pub removed: &'a [V],
}

impl<V: Vector> Window<V> {
    /// Makes a window with these numbers of columns and of rows that are eliminated at once.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(columns: usize, block: usize) -> crate::Result<Self> {
        let zeros = |count| crate::memory::zeros("window of the factorization", count);
        Ok(Window {
            entries: zeros(columns.saturating_mul(columns))?,
            rows: zeros(block.saturating_mul(columns))?,
            removed: zeros(columns)?,
            whole: zeros(columns)?,
        })
    }

    /// Sets M to zero.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.entries.fill(V::default());
        self.removed.fill(V::default());
    }

    /// Computes the rows of R of the first `p` unknowns: R_ii, and R_ij = R_ii⁻ᵀ M_ij in the later
    /// columns. `first` tells the first row of R that is not zero in the tile at a column, `unknown`
    /// is the number of the first unknown.
    #[inline(always)]
    pub fn factorize<const T: usize>(
        &mut self,
        [n, p]: [usize; 2],
        unknown: usize,
        first: impl Fn(usize) -> usize,
        pivots: &mut impl Pivot<V>,
    ) {
        let (matrix, rows) = (&self.entries[..n * n], &mut self.rows[..p * n]);
        let whole = &mut self.whole[..p];
        for (i, whole) in whole.iter_mut().enumerate() {
            *whole = matrix[i * n + i] + self.removed[i];
        }
        for i0 in (0..p).step_by(T) {
            let mut diagonal: [[V; T]; T] = tile(matrix, n, i0, i0);
            subtract_products(&mut diagonal, rows, n, 0..i0, i0, i0);
            for i in 0..T {
                let at = i0 + i;
                let reciprocal = pivots.reciprocal_root(diagonal[i][i], whole[at], unknown + at);
                diagonal[i][i] = reciprocal;
                for j in i + 1..T {
                    diagonal[i][j] = diagonal[i][j] * reciprocal;
                }
                for k in i + 1..T {
                    for j in k..T {
                        diagonal[k][j] = diagonal[k][j].minus(diagonal[i][k], diagonal[i][j]);
                    }
                }
            }
            put(rows, n, i0, i0, &diagonal);
            for j0 in (i0 + T..n).step_by(T) {
                let first = first(j0);
                if first > i0 {
                    put(rows, n, i0, j0, &[[V::default(); T]; T]);
                    continue;
                }
                let mut other: [[V; T]; T] = tile(matrix, n, i0, j0);
                subtract_products(&mut other, rows, n, first..i0, i0, j0);
                for i in 0..T {
                    for j in 0..T {
                        other[i][j] = other[i][j] * diagonal[i][i];
                    }
                    for k in i + 1..T {
                        for j in 0..T {
                            other[k][j] = other[k][j].minus(diagonal[i][k], other[i][j]);
                        }
                    }
                }
                put(rows, n, i0, j0, &other);
            }
        }
    }

    /// Subtracts from M what the elimination of the first `p` unknowns takes away, and moves the
    /// window on by them: the blocks move to the front, zeros enter before the border, which begins
    /// at column `border`.
    #[inline(always)]
    pub fn advance<const T: usize>(
        &mut self,
        [n, p, border]: [usize; 3],
        first: impl Fn(usize) -> usize,
    ) {
        let (matrix, rows) = (&mut self.entries[..n * n], &self.rows[..p * n]);
        let removed = &mut self.removed[..n];
        let moved = |column: usize| if column < border { column - p } else { column };
        for j in (p..n).step_by(T) {
            for k in (j..n).step_by(T) {
                let mut entries: [[V; T]; T] = tile(matrix, n, j, k);
                if j == k {
                    for i in 0..T {
                        removed[moved(j) + i] = removed[j + i] + entries[i][i];
                    }
                }
                let first = first(j).max(first(k));
                subtract_products(&mut entries, rows, n, first..p, j, k);
                if j == k {
                    for i in 0..T {
                        removed[moved(j) + i] -= entries[i][i];
                    }
                }
                put(matrix, n, moved(j), moved(k), &entries);
            }
        }
        let zero = V::default();
        for j in 0..border - p {
            matrix[j * n + border - p..][..p].fill(zero);
        }
        for j in border - p..border {
            matrix[j * n + j..(j + 1) * n].fill(zero);
            removed[j] = zero;
        }
    }

    /// Adds a block (q, q) of a Gram matrix to M at (row, column).
    #[inline(always)]
    pub fn add_block(&mut self, n: usize, [row, column]: [usize; 2], q: usize, block: &[V]) {
        let (matrix, block) = (&mut self.entries[..n * n], &block[..q * q]);
        for i in 0..q {
            let to = &mut matrix[(row + i) * n + column..][..q];
            for j in 0..q {
                to[j] += block[i * q + j];
            }
        }
    }

    /// Adds the first `p` unknowns to those from column `border` on, which are the same: what is
    /// coupled with the ones is coupled with the others.
    #[inline(always)]
    pub fn fold(&mut self, [n, p, border]: [usize; 3]) {
        for i in 0..p {
            for j in i..p {
                let (own, other) = (border + i, border + j);
                let crossed = self.entries[i * n + other] + self.entries[j * n + own];
                let sum = self.entries[i * n + j] + crossed;
                self.entries[own * n + other] += sum;
                if i == j {
                    // Elimination alone has coupled the two.
                    let removed = self.removed[i] - crossed;
                    self.removed[own] += removed;
                }
            }
            for other in border + p..n {
                let value = self.entries[i * n + other];
                self.entries[(border + i) * n + other] += value;
            }
        }
    }

    /// Moves the first `p` unknowns to the border, which begins at column `border` and is still
    /// zero, and the window on by a block.
    #[inline(always)]
    pub fn open(&mut self, [n, p, border]: [usize; 3]) {
        let entries = &mut self.entries;
        for i in 0..p {
            for j in 0..p {
                entries[(border + i) * n + border + j] = entries[i * n + j];
                entries[i * n + j] = entries[(p + i) * n + p + j];
                entries[i * n + border + j] = entries[j * n + p + i];
            }
        }
        for i in 0..p {
            entries[i * n + p..i * n + border].fill(V::default());
            entries[(p + i) * n + p..(p + i) * n + border].fill(V::default());
        }
    }

    /// Replaces what elimination has left by a block, the border, and the coupling between the two, all of
    /// P·P values, where P is the number of rows that are eliminated at once.
    #[inline(always)]
    pub fn leave(&mut self, [block, border]: [Left<'_, V>; 2], spike: &[V]) {
        let p = block.removed.len();
        let n = 3 * p;
        for i in 0..p {
            let row = i * p..(i + 1) * p;
            self.entries[i * n..][..p].copy_from_slice(&block.block[row.clone()]);
            self.entries[i * n + 2 * p..][..p].copy_from_slice(&spike[row.clone()]);
            self.entries[(2 * p + i) * n + 2 * p..][..p].copy_from_slice(&border.block[row]);
        }
        self.removed[..p].copy_from_slice(block.removed);
        self.removed[2 * p..].copy_from_slice(border.removed);
    }

    /// Replaces what is left of the couplings with the border, from column `border` on, by zeros.
    #[inline(always)]
    pub fn clear_remnants(&mut self, [n, p, border]: [usize; 3]) {
        for row in self.rows[..p * n].chunks_exact_mut(n) {
            for value in &mut row[border..] {
                *value = value.without_remnants();
            }
        }
    }

    /// Returns a diagonal entry of M, with what elimination has subtracted from it.
    pub fn whole_entry(&self, n: usize, i: usize) -> V {
        self.entries[i * n + i] + self.removed[i]
    }

    /// Computes the triangle of R that belongs to the border, the columns from `border` on, into the
    /// first rows of `rows`.
    #[inline(always)]
    pub fn factorize_border(
        &mut self,
        [n, border]: [usize; 2],
        unknown: usize,
        pivots: &mut impl Pivot<V>,
    ) {
        for i in border..n {
            self.whole[i] = self.entries[i * n + i] + self.removed[i];
        }
        let (matrix, rows, whole) =
            (&self.entries[border * n..], &mut self.rows[..], &self.whole[border..]);
        for i in 0..n - border {
            let (above, row) = rows.split_at_mut(i * n);
            for j in i..n - border {
                let mut sum = matrix[i * n + border + j];
                for above in above.chunks_exact(n) {
                    sum = sum.minus(above[border + i], above[border + j]);
                }
                row[border + j] = sum;
            }
            let reciprocal = pivots.reciprocal_root(row[border + i], whole[i], unknown + i);
            row[border + i] = reciprocal;
            for value in &mut row[border + i + 1..n] {
                *value = *value * reciprocal;
            }
        }
    }
}

/// Packs the triangle of `p` rows of a matrix with `n` columns that begins in column `first`.
#[inline(always)]
pub fn pack<V: Vector>(rows: &[V], n: usize, first: usize, p: usize, triangle: &mut [V]) {
    let mut at = 0;
    for i in 0..p {
        triangle[at..][..p - i].copy_from_slice(&rows[i * n + first..][i..p]);
        at += p - i;
    }
}

/// The first row of R that is not zero in the tile at a column of the window: the outermost coupling
/// of a block is block diagonal over the states, and R_tt⁻ᵀ fills it only below.
#[inline(always)]
pub fn first_row(layout: &Layout) -> impl Fn(usize) -> usize + Copy + use<> {
    let (p, q) = (layout.block, layout.derivatives);
    let (start, end) = (layout.bandwidth * p, (layout.bandwidth + 1) * p);
    move |column| if (start..end).contains(&column) { (column - start) / q * q } else { 0 }
}
