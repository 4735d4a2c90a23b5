//! Dense matrix products, batched over broadcast leading axes.

use std::any::TypeId;

use rayon::prelude::*;

use super::walk::Walk;
use crate::Real;
use crate::tensor::product::Product;

/// The number of rows of the product that one task computes.
const ROWS: usize = 128;
/// The number of multiplications below which a product stays on one thread.
const SMALL: usize = 1 << 18;

/// A matrix of `rows` × `columns` in a slice; its strides can make it a transpose.
#[derive(Clone, Copy)]
struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(data.len() >= rows * columns);
        Matrix { data, rows, columns, strides: [columns, 1] }
    }

    /// Returns the transpose, without moving an element.
    fn t(self) -> Self {
        let [row, column] = self.strides;
        Matrix { data: self.data, rows: self.columns, columns: self.rows, strides: [column, row] }
    }

    /// Returns `count` rows from row `first` on.
    fn rows(self, first: usize, count: usize) -> Self {
        let data = &self.data[first * self.strides[0]..];
        Matrix { data, rows: count, ..self }
    }
}

/// Computes c = a·b + beta·c with c of m × n, a of m × k, b of k × n at the given strides (row,
/// column).
///
/// # Safety
/// Every element that the sizes and strides reach must lie in memory that the pointers may read
/// (a, b) or write (c).
#[allow(clippy::too_many_arguments)]
unsafe fn gemm<T: Real>(
    [m, k, n]: [usize; 3],
    a: *const T,
    stride_a: [usize; 2],
    b: *const T,
    stride_b: [usize; 2],
    beta: T,
    c: *mut T,
) {
    let [ra, ca] = stride_a.map(|stride| stride as isize);
    let [rb, cb] = stride_b.map(|stride| stride as isize);
    let row = n as isize;
    let is = |other: TypeId| TypeId::of::<T>() == other;
    if is(TypeId::of::<f64>()) {
        let (a, b, c, beta) = (a.cast(), b.cast(), c.cast(), beta.to_double());
        // SAFETY: the caller's promise is passed on; T is f64.
        unsafe { matrixmultiply::dgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, beta, c, row, 1) }
    } else if is(TypeId::of::<f32>()) {
        let (a, b, c, beta) = (a.cast(), b.cast(), c.cast(), beta.to_double() as f32);
        // SAFETY: the caller's promise is passed on; T is f32.
        unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, beta, c, row, 1) }
    } else {
        unreachable!("`Real` is f32 or f64");
    }
}

/// Computes c = a·b, or c += a·b if `add`.
fn product<T: Real>(a: Matrix<T>, b: Matrix<T>, c: &mut [T], add: bool) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(b.rows == k && c.len() == m * n);
    if c.is_empty() {
        return;
    }
    let block = |a: Matrix<T>, c: &mut [T]| {
        let beta = if add { T::one() } else { T::zero() };
        // SAFETY: `Matrix::new` and `Matrix::rows` keep rows × columns within the slices, and the
        // length of c is a.rows × n.
        unsafe {
            let (a_data, b_data) = (a.data.as_ptr(), b.data.as_ptr());
            gemm([a.rows, k, n], a_data, a.strides, b_data, b.strides, beta, c.as_mut_ptr());
        }
    };
    if m * k * n <= SMALL {
        block(a, c);
    } else {
        c.par_chunks_mut(ROWS * n).enumerate().for_each(|(i, c)| {
            block(a.rows(i * ROWS, c.len() / n), c);
        });
    }
}

/// Calls `one` with the offsets of each pair of matrices and of their product.
fn for_each(product: &Product, mut one: impl FnMut([usize; 3])) {
    let [a, b, c] = &product.strides;
    let walk = Walk::new(&product.batch, [a, b, c]);
    walk.for_each(|start| {
        for r in 0..walk.run {
            one(std::array::from_fn(|i| start[i] + r * walk.strides[i]));
        }
    });
}

/// Computes c = a·b.
pub fn forward<T: Real>(shape: &Product, a: &[T], b: &[T], c: &mut [T]) {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (a, b) = (Matrix::new(&a[i..], m, k), Matrix::new(&b[j..], k, n));
        product(a, b, &mut c[l..l + m * n], false);
    });
}

/// Computes ga += gc·bᵀ, summed over the axes along which a is repeated.
pub fn adjoint_a<T: Real>(shape: &Product, b: &[T], gc: &[T], ga: &mut [T]) {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (b, gc) = (Matrix::new(&b[j..], k, n), Matrix::new(&gc[l..], m, n));
        product(gc, b.t(), &mut ga[i..i + m * k], true);
    });
}

/// Computes gb += aᵀ·gc, summed over the axes along which b is repeated.
pub fn adjoint_b<T: Real>(shape: &Product, a: &[T], gc: &[T], gb: &mut [T]) {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (a, gc) = (Matrix::new(&a[i..], m, k), Matrix::new(&gc[l..], m, n));
        product(a.t(), gc, &mut gb[j..j + k * n], true);
    });
}
