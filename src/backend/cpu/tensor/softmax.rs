//! The logarithm of the softmax along the last axis.

use crate::Real;

/// Computes y = x − ln Σ e^x for each row of `length` elements, shifted by the row's maximum so
/// that nothing overflows.
pub fn log_softmax<T: Real>(x: &[T], length: usize, y: &mut [T]) {
    for (x, y) in x.chunks_exact(length).zip(y.chunks_exact_mut(length)) {
        let top = x.iter().copied().fold(T::neg_infinity(), T::max);
        let sum: T = x.iter().map(|x| (*x - top).exp()).sum();
        let normalizer = top + sum.ln();
        for (x, y) in x.iter().zip(y) {
            *y = *x - normalizer;
        }
    }
}

/// Computes gx += gy − e^y Σ gy for each row.
pub fn log_softmax_adjoint<T: Real>(y: &[T], length: usize, gy: &[T], gx: &mut [T]) {
    let rows = y.chunks_exact(length).zip(gy.chunks_exact(length));
    for ((y, gy), gx) in rows.zip(gx.chunks_exact_mut(length)) {
        let total: T = gy.iter().copied().sum();
        for ((y, gy), gx) in y.iter().zip(gy).zip(gx) {
            *gx += *gy - y.exp() * total;
        }
    }
}
