//! Copies of elements (strided copies, gather, scatter), and products with one Jacobian for each
//! row.

use super::walk::Walk;
use crate::Real;
use crate::tensor::layout::contiguous;

/// Computes y = the elements of x at `offset` + strides, as a contiguous array of `shape`:
/// permutations, slices, repeats.
pub fn copy_strided<T: Real>(
    x: &[T],
    offset: usize,
    strides: &[usize],
    y: &mut [T],
    shape: &[usize],
) {
    let walk = Walk::new(shape, [&contiguous(shape), strides]);
    let [step_y, step_x] = walk.strides;
    walk.for_each(|[k, i]| {
        let i = i + offset;
        if (step_y, step_x) == (1, 1) {
            y[k..k + walk.run].copy_from_slice(&x[i..i + walk.run]);
        } else {
            for r in 0..walk.run {
                y[k + r * step_y] = x[i + r * step_x];
            }
        }
    });
}

/// Adds the elements of the contiguous array y of `shape` to x at `offset` + strides: the adjoint
/// of [`copy_strided`].
pub fn add_strided<T: Real>(
    y: &[T],
    shape: &[usize],
    x: &mut [T],
    offset: usize,
    strides: &[usize],
) {
    let walk = Walk::new(shape, [&contiguous(shape), strides]);
    let [step_y, step_x] = walk.strides;
    walk.for_each(|[k, i]| {
        let i = i + offset;
        for r in 0..walk.run {
            x[i + r * step_x] += y[k + r * step_y];
        }
    });
}

/// Concatenates rows: y, read as (outer, a row), has in each row the rows of the inputs one after
/// another.
pub fn concat<'a, T: Real>(inputs: impl Iterator<Item = &'a [T]>, outer: usize, y: &mut [T]) {
    let row = y.len().checked_div(outer).unwrap_or(0);
    let mut start = 0;
    for x in inputs {
        let own = x.len().checked_div(outer).unwrap_or(0);
        for o in 0..outer {
            let to = o * row + start;
            y[to..to + own].copy_from_slice(&x[o * own..(o + 1) * own]);
        }
        start += own;
    }
}

/// Adds to gx its part of gy, which begins at element `start` of each row: the adjoint of
/// [`fn@concat`].
pub fn concat_adjoint<T: Real>(gy: &[T], outer: usize, start: usize, gx: &mut [T]) {
    let row = gy.len().checked_div(outer).unwrap_or(0);
    let own = gx.len().checked_div(outer).unwrap_or(0);
    for o in 0..outer {
        let from = &gy[o * row + start..][..own];
        let to = &mut gx[o * own..(o + 1) * own];
        to.iter_mut().zip(from).for_each(|(gx, gy)| *gx += *gy);
    }
}

/// Computes `y[o, m, :] = x[o, indices[m], :]` for x of shape (outer, length, inner).
pub fn gather<T: Real>(
    x: &[T],
    [outer, length, inner]: [usize; 3],
    indices: &[usize],
    y: &mut [T],
) {
    for o in 0..outer {
        for (m, &index) in indices.iter().enumerate() {
            let (from, to) = ((o * length + index) * inner, (o * indices.len() + m) * inner);
            y[to..to + inner].copy_from_slice(&x[from..from + inner]);
        }
    }
}

/// Computes `x[o, indices[m], :] += y[o, m, :]`: the adjoint of [`gather`].
pub fn scatter_add<T: Real>(
    y: &[T],
    [outer, length, inner]: [usize; 3],
    indices: &[usize],
    x: &mut [T],
) {
    for o in 0..outer {
        for (m, &index) in indices.iter().enumerate() {
            let (to, from) = ((o * length + index) * inner, (o * indices.len() + m) * inner);
            for (x, y) in x[to..to + inner].iter_mut().zip(&y[from..from + inner]) {
                *x += *y;
            }
        }
    }
}

/// Computes gx[r, :] += Jᵣᵀ gy[r, :] with the Jacobians J (rows, outputs, inputs).
pub fn rowwise_adjoint<T: Real>(gy: &[T], jacobian: &[T], outputs: usize, gx: &mut [T]) {
    if gy.is_empty() || gx.is_empty() {
        return;
    }
    let inputs = gx.len() / (gy.len() / outputs);
    for (r, gx) in gx.chunks_exact_mut(inputs).enumerate() {
        for o in r * outputs..(r + 1) * outputs {
            for (gx, slope) in gx.iter_mut().zip(&jacobian[o * inputs..(o + 1) * inputs]) {
                *gx += gy[o] * *slope;
            }
        }
    }
}
