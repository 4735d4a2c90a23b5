//! Dense matrix products, batched over broadcast leading axes.

use rayon::prelude::*;

use super::layout::{Walk, broadcast_strides, contiguous, size};
use crate::Real;

/// Rows of the product that one task computes.
const ROWS: usize = 128;
/// Multiplications below which a product stays on one thread.
const SMALL: usize = 1 << 18;

/// A matrix of `rows` × `columns` in a slice; transposed when its strides say so.
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

    /// The transpose, without a move.
    fn t(self) -> Self {
        let [row, column] = self.strides;
        Matrix { data: self.data, rows: self.columns, columns: self.rows, strides: [column, row] }
    }

    /// `count` rows from `first` on.
    fn rows(self, first: usize, count: usize) -> Self {
        let data = &self.data[first * self.strides[0]..];
        Matrix { data, rows: count, ..self }
    }
}

/// The product of two matrices of this element type.
pub trait Gemm: Sized {
    /// c = a·b + beta·c with c of m × n, a of m × k, b of k × n at the given strides (row, column).
    ///
    /// # Safety
    /// Every element that the sizes and strides reach must lie in memory that the pointers may
    /// read (a, b) or write (c).
    #[allow(clippy::too_many_arguments)]
    unsafe fn gemm(
        size: [usize; 3],
        a: *const Self,
        stride_a: [usize; 2],
        b: *const Self,
        stride_b: [usize; 2],
        beta: Self,
        c: *mut Self,
    );
}

macro_rules! gemm {
    ($type:ty, $function:path) => {
        impl Gemm for $type {
            unsafe fn gemm(
                [m, k, n]: [usize; 3],
                a: *const Self,
                [ra, ca]: [usize; 2],
                b: *const Self,
                [rb, cb]: [usize; 2],
                beta: Self,
                c: *mut Self,
            ) {
                let step = |stride: usize| stride as isize;
                // SAFETY: passed on to the caller.
                unsafe {
                    $function(
                        m,
                        k,
                        n,
                        1.0,
                        a,
                        step(ra),
                        step(ca),
                        b,
                        step(rb),
                        step(cb),
                        beta,
                        c,
                        step(n),
                        1,
                    );
                }
            }
        }
    };
}
gemm!(f32, matrixmultiply::sgemm);
gemm!(f64, matrixmultiply::dgemm);

/// c = a·b, or c += a·b.
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
            T::gemm([a.rows, k, n], a_data, a.strides, b_data, b.strides, beta, c.as_mut_ptr());
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

/// One batched product: a (…, m, k) times b (…, k, n), the leading axes broadcast.
#[derive(Clone, Debug)]
pub struct Product {
    sizes: [usize; 3],
    /// Leading axes of the result, and the strides of a, b and the result over them.
    batch: Vec<usize>,
    strides: [Vec<usize>; 3],
}

impl Product {
    /// Shapes must have rank ≥ 2, equal k, and leading axes that broadcast to `batch`.
    pub fn new(a: &[usize], b: &[usize], batch: &[usize]) -> Self {
        let (lead_a, lead_b) = (&a[..a.len() - 2], &b[..b.len() - 2]);
        let (m, k, n) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
        if lead_b.is_empty() {
            // One matrix b for all: the leading axes of a are more rows.
            let rows = size(lead_a) * m;
            return Product { sizes: [rows, k, n], batch: vec![], strides: Default::default() };
        }
        let scaled = |lead: &[usize], by: usize| -> Vec<usize> {
            broadcast_strides(lead, batch).iter().map(|stride| stride * by).collect()
        };
        Product {
            sizes: [m, k, n],
            batch: batch.to_vec(),
            strides: [
                scaled(lead_a, m * k),
                scaled(lead_b, k * n),
                contiguous(batch).iter().map(|stride| stride * m * n).collect(),
            ],
        }
    }

    fn for_each(&self, mut one: impl FnMut([usize; 3])) {
        let [a, b, c] = &self.strides;
        let walk = Walk::new(&self.batch, [a, b, c]);
        walk.for_each(|start| {
            for r in 0..walk.run {
                one(std::array::from_fn(|i| start[i] + r * walk.strides[i]));
            }
        });
    }

    /// c = a·b.
    pub fn forward<T: Real>(&self, a: &[T], b: &[T], c: &mut [T]) {
        let [m, k, n] = self.sizes;
        self.for_each(|[i, j, l]| {
            let (a, b) = (Matrix::new(&a[i..], m, k), Matrix::new(&b[j..], k, n));
            product(a, b, &mut c[l..l + m * n], false);
        });
    }

    /// ga += gc·bᵀ, summed over the axes along which a repeats.
    pub fn adjoint_a<T: Real>(&self, b: &[T], gc: &[T], ga: &mut [T]) {
        let [m, k, n] = self.sizes;
        self.for_each(|[i, j, l]| {
            let (b, gc) = (Matrix::new(&b[j..], k, n), Matrix::new(&gc[l..], m, n));
            product(gc, b.t(), &mut ga[i..i + m * k], true);
        });
    }

    /// gb += aᵀ·gc, summed over the axes along which b repeats.
    pub fn adjoint_b<T: Real>(&self, a: &[T], gc: &[T], gb: &mut [T]) {
        let [m, k, n] = self.sizes;
        self.for_each(|[i, j, l]| {
            let (a, gc) = (Matrix::new(&a[i..], m, k), Matrix::new(&gc[l..], m, n));
            product(a.t(), gc, &mut gb[j..j + k * n], true);
        });
    }
}
