//! Dense matrix products, batched over broadcast leading axes.

use super::walk::Walk;
use crate::gemm::{self, Matrix};
use crate::tensor::product::Product;
use crate::{Real, Result};

/// Calls `one` with the offsets of each pair of matrices and of their product, until it fails.
fn for_each(product: &Product, mut one: impl FnMut([usize; 3]) -> Result<()>) -> Result<()> {
    let [a, b, c] = &product.strides;
    let walk = Walk::new(&product.batch, [a, b, c]);
    let mut outcome = Ok(());
    walk.for_each(|start| {
        for r in 0..walk.run {
            if outcome.is_ok() {
                outcome = one(std::array::from_fn(|i| start[i] + r * walk.strides[i]));
            }
        }
    });
    outcome
}

/// Computes c = a·b.
pub fn forward<T: Real>(shape: &Product, a: &[T], b: &[T], c: &mut [T]) -> Result<()> {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (a, b) = (Matrix::new(&a[i..], m, k), Matrix::new(&b[j..], k, n));
        gemm::product(a, b, &mut c[l..l + m * n], false)
    })
}

/// Computes ga = gc·bᵀ, or adds it to ga, summed over the axes along which a is repeated.
pub fn adjoint_a<T: Real>(
    shape: &Product,
    b: &[T],
    gc: &[T],
    ga: &mut [T],
    add: bool,
) -> Result<()> {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (b, gc) = (Matrix::new(&b[j..], k, n), Matrix::new(&gc[l..], m, n));
        gemm::product(gc, b.t(), &mut ga[i..i + m * k], add)
    })
}

/// Computes gb = aᵀ·gc, or adds it to gb, summed over the axes along which b is repeated.
pub fn adjoint_b<T: Real>(
    shape: &Product,
    a: &[T],
    gc: &[T],
    gb: &mut [T],
    add: bool,
) -> Result<()> {
    let [m, k, n] = shape.sizes;
    for_each(shape, |[i, j, l]| {
        let (a, gc) = (Matrix::new(&a[i..], m, k), Matrix::new(&gc[l..], m, n));
        gemm::product(a.t(), gc, &mut gb[j..j + k * n], add)
    })
}
