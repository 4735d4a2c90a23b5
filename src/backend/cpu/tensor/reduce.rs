//! Sums and maxima along axes.

use super::CHUNK;
use super::walk::Walk;
use crate::tensor::layout::{broadcast_strides, contiguous};
use crate::{Real, threads};

/// Returns the sum of a slice, accumulated in f64.
pub fn sum_run<T: Real>(x: &[T]) -> T {
    T::of(sum_of(x, |x| x))
}

/// Returns the sum of f(x) over a slice: that of chunks in eight lanes, and then of pairs of sums, in
/// an order that only the length decides.
pub fn sum_of<T: Real>(x: &[T], f: impl Fn(f64) -> f64 + Copy + Sync) -> f64 {
    if x.len() > CHUNK {
        let chunks = x.len().div_ceil(CHUNK);
        let (left, right) = x.split_at(chunks / 2 * CHUNK);
        let (left, right) = threads::join(|| sum_of(left, f), || sum_of(right, f));
        return left + right;
    }
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x.to_double());
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f(x.to_double());
    }
    lanes.iter().sum()
}

/// Computes y += x, repeated along the axes in which x has length 1 (or which it lacks): the
/// adjoint of a sum, and broadcasting itself.
pub fn add_repeated<T: Real>(x: &[T], x_shape: &[usize], y: &mut [T], shape: &[usize]) {
    let repeat = broadcast_strides(x_shape, shape);
    let walk = Walk::new(shape, [&contiguous(shape), &repeat]);
    let [step_y, step_x] = walk.strides;
    walk.for_each(|[k, i]| {
        for r in 0..walk.run {
            y[k + r * step_y] += x[i + r * step_x];
        }
    });
}

/// Finds the largest element along the middle axis of (outer, length, inner), where NaN counts as
/// the largest, and the position where it is first attained.
pub fn max<T: Real>(
    x: &[T],
    [outer, length, inner]: [usize; 3],
    y: &mut [T],
    arguments: &mut [usize],
) {
    for o in 0..outer {
        for i in 0..inner {
            let at = |l: usize| x[(o * length + l) * inner + i];
            let mut best = 0;
            for l in 1..length {
                if at(l) > at(best) || (at(l).is_nan() && !at(best).is_nan()) {
                    best = l;
                }
            }
            y[o * inner + i] = at(best);
            arguments[o * inner + i] = best;
        }
    }
}

/// Adds gy to the elements at which the maximum was attained.
pub fn max_adjoint<T: Real>(
    gy: &[T],
    arguments: &[usize],
    [outer, length, inner]: [usize; 3],
    gx: &mut [T],
) {
    for o in 0..outer {
        for i in 0..inner {
            let l = arguments[o * inner + i];
            gx[(o * length + l) * inner + i] += gy[o * inner + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sum_is_the_same_on_any_number_of_threads() {
        let x: Vec<f64> = (0..5 * CHUNK + 7).map(|i| f64::from(i as u32).sin()).collect();
        let sum = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_run(&x)).to_bits()
        };
        let one = sum(1);
        assert!((f64::from_bits(one) - x.iter().sum::<f64>()).abs() < 1e-10);
        assert_eq!([sum(2), sum(3)], [one; 2]);
    }
}
