//! The product of two dense matrices.
//!
//! Each element of the product is the sum of blocks of `DEPTH` terms: within a block the terms are
//! added in order by fused multiply-add, from 0 on, and then the blocks are added up in order. That is
//! all that is ever rounded, whatever vectors the machine has, however the matrix is cut up and
//! however many threads there are, so that results are the same bit for bit everywhere.
//!
//! Operands that are read several times are copied into panels (Goto and van de Geijn, 2008), and one tile of
//! sums after another is computed in registers. The memory of the panels is kept.

mod panels;
mod tile;
mod vector;

use crate::threads;
use crate::{Real, Result};
use tile::{Narrow, Target, Tile};

/// The number of terms that are added up before they are added to the product.
const DEPTH: usize = 256;
/// The number of rows of the product beyond which a task has no more, so that its panels stay in the
/// cache.
const ROWS: usize = 128;
/// The number of times that panels must be read to be worth copying.
const READS: usize = 4;
/// The number of multiplications below which a product stays on one thread.
const SMALL: usize = 1 << 18;
/// The size of panels, in numbers, to which several blocks of terms are copied together.
const TOGETHER: usize = 1 << 20;

/// A matrix of `rows` × `columns` in a slice; its strides, of which one is 1, can make it a transpose.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// Makes a matrix of the numbers of a slice in row-major order.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(data.len() >= rows * columns);
        Matrix { data, rows, columns, strides: [columns, 1] }
    }

    /// Returns the transpose, without moving an element.
    pub fn t(self) -> Self {
        let [row, column] = self.strides;
        Matrix { data: self.data, rows: self.columns, columns: self.rows, strides: [column, row] }
    }

    /// Returns `count` rows from row `first` on.
    pub fn rows(self, first: usize, count: usize) -> Self {
        let data = &self.data[first * self.strides[0]..];
        Matrix { data, rows: count, ..self }
    }

    /// Returns `count` columns from column `first` on.
    pub fn columns(self, first: usize, count: usize) -> Self {
        self.t().rows(first, count).t()
    }
}

/// Computes c = a·b, or c += a·b if `add`, of row-major c.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) when there is no memory for the panels.
pub fn product<T: Real>(a: Matrix<T>, b: Matrix<T>, c: &mut [T], add: bool) -> Result<()> {
    product_in(Tile::fastest(b.columns), a, b, c, add)
}

/// Computes a product in tiles of the given kind.
fn product_in<T: Real>(
    tile: Tile<T>,
    a: Matrix<T>,
    b: Matrix<T>,
    c: &mut [T],
    add: bool,
) -> Result<()> {
    let (m, depth, n) = (a.rows, a.columns, b.columns);
    assert!(b.rows == depth && c.len() == m * n);
    if depth == 0 && !add {
        c.fill(T::zero());
    }
    if c.is_empty() || depth == 0 {
        return Ok(());
    }
    let large = m.saturating_mul(n).saturating_mul(depth) > SMALL;
    let helpers = if large { threads::available() - 1 } else { 0 };
    let plan = Plan::new(tile, m, b);
    let rows = if plan.packs_a { m.next_multiple_of(tile.rows()) } else { 0 };
    let width = if plan.packs_b { n.next_multiple_of(tile.lanes()) } else { 0 };
    let block = DEPTH * (TOGETHER / ((rows + width).max(1) * DEPTH)).max(1);
    panels::with_memory((rows + width) * block.min(depth), |memory| {
        for first in (0..depth).step_by(block) {
            let count = block.min(depth - first);
            let (a, b) = (a.columns(first, count), b.rows(first, count));
            let (panels_b, rest) = memory.split_at_mut(width * count);
            let panels_a = &mut rest[..rows * count];
            if plan.packs_b {
                panels::pack(b.t(), tile.columns(), panels_b, helpers);
            }
            if plan.packs_a {
                panels::pack(a, tile.rows(), panels_a, helpers);
            }
            let (panels_a, panels_b) = (&*panels_a, &*panels_b);
            let tasks = if helpers > 0 { 4 * (helpers + 1) } else { 1 };
            let rows = plan.rows_of_a_task(m, count, tasks);
            threads::share(c.chunks_mut(rows * n).enumerate(), helpers, |(i, c)| {
                let first_row = i * rows;
                let panels_a = if plan.packs_a { &panels_a[first_row * count..] } else { &[] };
                let a = Operand { matrix: a.rows(first_row, c.len() / n), panels: panels_a };
                let b = Operand { matrix: b, panels: panels_b };
                plan.multiply(a, b, c, add || first > 0);
            });
        }
    })
}

/// A matrix, and its panels if it was copied into such.
struct Operand<'a, T> {
    matrix: Matrix<'a, T>,
    panels: &'a [T],
}

/// How a product is cut up.
#[derive(Clone, Copy)]
struct Plan<T: Real> {
    tile: Tile<T>,
    /// Whether the operands are copied into panels.
    packs_a: bool,
    packs_b: bool,
}

impl<T: Real> Plan<T> {
    fn new(tile: Tile<T>, m: usize, b: Matrix<T>) -> Self {
        let packs_a = b.columns.div_ceil(tile.columns()) >= READS;
        // Vectors are read from numbers side by side.
        let packs_b = m.div_ceil(tile.rows()) >= READS || b.strides[1] != 1;
        Plan { tile, packs_a, packs_b }
    }

    /// Returns the number of rows that one task computes, of m, if there are to be so many tasks at least.
    fn rows_of_a_task(&self, m: usize, depth: usize, tasks: usize) -> usize {
        let height = self.tile.rows();
        let shared = m.div_ceil(tasks).next_multiple_of(height);
        shared.min(ROWS * DEPTH / depth.min(DEPTH) / height * height)
    }

    /// Computes c = a·b, or adds it to c.
    fn multiply(&self, a: Operand<T>, b: Operand<T>, c: &mut [T], add: bool) {
        let (height, width) = (self.tile.rows(), self.tile.columns());
        let (m, depth, n) = (a.matrix.rows, a.matrix.columns, b.matrix.columns);
        for first in (0..depth).step_by(DEPTH) {
            let count = DEPTH.min(depth - first);
            let add = add || first > 0;
            for j in (0..n).step_by(width) {
                let columns = width.min(n - j);
                let wide = if self.packs_b {
                    let lanes = columns.next_multiple_of(self.tile.lanes());
                    Matrix::new(&b.panels[j * depth..], depth, lanes)
                } else {
                    b.matrix.columns(j, columns)
                };
                let wide = wide.rows(first, count);
                let narrow = if self.packs_a {
                    let numbers = &a.panels[first * height..];
                    let (strides, next) = ([1, height], height * depth);
                    Narrow { numbers, rows: m, depth: count, strides, next }
                } else {
                    let Matrix { data: numbers, strides, .. } = a.matrix.columns(first, count);
                    Narrow { numbers, rows: m, depth: count, strides, next: height * strides[0] }
                };
                let target = Target { numbers: &mut c[j..], stride: n, columns, add };
                self.tile.compute(narrow, wide, target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns numbers that are not round.
    fn numbers<T: Real>(count: usize, seed: f64) -> Vec<T> {
        (0..count).map(|i| T::of((seed + i as f64).sin())).collect()
    }

    /// The product as the head of this file defines it.
    fn defined<T: Real>(a: Matrix<T>, b: Matrix<T>, c: &mut [T], add: bool) {
        let at = |m: &Matrix<T>, i: usize, j: usize| m.data[i * m.strides[0] + j * m.strides[1]];
        for i in 0..a.rows {
            for j in 0..b.columns {
                let block = |first: usize| {
                    let terms = first..(first + DEPTH).min(a.columns);
                    terms.fold(T::zero(), |sum, k| at(&a, i, k).mul_add(at(&b, k, j), sum))
                };
                let mut blocks = (0..a.columns).step_by(DEPTH).map(block);
                let c = &mut c[i * b.columns + j];
                if !add {
                    *c = blocks.next().unwrap_or(T::zero());
                }
                blocks.for_each(|block| *c += block);
            }
        }
    }

    fn every_tile_gives_the_product_as_defined<T: Real>() {
        let sizes = [
            [1, 1, 1],
            [3, 0, 2],
            [8, 5, 24],
            [9, 257, 25],
            [130, 70, 31],
            [300, 10, 3],
            [3, 600, 50],
            [65, 520, 67],
            // So many columns that a is copied into panels, with and without b.
            [20, 300, 100],
            [77, 20, 200],
            // So many rows and columns that blocks of the depth are packed one after another.
            [2, 600, 2100],
        ];
        for [m, k, n] in sizes {
            let (a, b) = (numbers::<T>(m * k, 1.0), numbers::<T>(k * n, 2.0));
            for transposed in [false, true] {
                let (a, b) = match transposed {
                    false => (Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
                    true => (Matrix::new(&a, k, m).t(), Matrix::new(&b, n, k).t()),
                };
                for add in [false, true] {
                    let start = numbers::<T>(m * n, 3.0);
                    let mut expected = start.clone();
                    defined(a, b, &mut expected, add);
                    for tile in Tile::all() {
                        for threads in [1, 3] {
                            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                            let mut c = start.clone();
                            pool.unwrap().install(|| product_in(tile, a, b, &mut c, add)).unwrap();
                            let of = format!("{} rows of {} lanes", tile.rows(), tile.lanes());
                            assert!(c == expected, "{m} × {k} × {n} in {of}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_tile_gives_the_same_bits_in_double_precision() {
        every_tile_gives_the_product_as_defined::<f64>();
    }

    #[test]
    fn every_tile_gives_the_same_bits_in_single_precision() {
        every_tile_gives_the_product_as_defined::<f32>();
    }
}
