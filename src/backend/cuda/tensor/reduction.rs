//! Sums over some axes: which threads share them.

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::kernels::{THREADS, TapeKernels};
use crate::backend::cuda::bindings::{ReduceFunction, Reduction, Walk};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::tensor::layout::contiguous;
use crate::{Real, Result};

/// Threads that keep a device busy.
const BUSY_THREADS: usize = 1 << 16;
/// Blocks that keep a device busy.
const BUSY_BLOCKS: usize = 256;
/// Terms that a thread adds up at least before a sum is split over more threads, or blocks.
const TERMS: usize = 8;

/// An operand: its elements, and its strides over the index space of the terms.
pub struct Term<'a, E> {
    pub data: &'a CudaView<'a, E>,
    pub strides: &'a [usize],
}

/// What is summed.
pub struct Terms<'a, T> {
    pub function: ReduceFunction,
    pub g: Term<'a, T>,
    pub a: Option<Term<'a, T>>,
    pub b: Option<Term<'a, T>>,
    pub mask: Option<Term<'a, bool>>,
}

/// Where the sums go: the target repeats (stride 0) along the axes that are summed over.
pub struct Target<'a, 'v, T> {
    pub data: &'a mut CudaViewMut<'v, T>,
    pub offset: usize,
    pub strides: &'a [usize],
    /// Whether it is added to.
    pub add: bool,
}

/// target = or += the sums of the terms over an index space of this shape.
pub fn reduce<T: Real>(
    device: &Arc<CudaDevice>,
    kernels: &TapeKernels,
    shape: &[usize],
    terms: &Terms<'_, T>,
    target: Target<'_, '_, T>,
) -> Result<()> {
    let Terms { function, g, a, b, mask } = terms;
    let none = vec![0; shape.len()];
    let second = match (a, mask) {
        (Some(a), _) => a.strides,
        (_, Some(mask)) => mask.strides,
        _ => &none,
    };
    let third = b.as_ref().map_or(&none[..], |b| b.strides);
    let strides = [target.strides, g.strides, second, third];
    let of = |kept: bool| -> Result<Walk> {
        let axes: Vec<usize> =
            (0..shape.len()).filter(|&axis| (target.strides[axis] != 0) == kept).collect();
        let pick = |from: &[usize]| -> Vec<usize> { axes.iter().map(|&axis| from[axis]).collect() };
        let strides = strides.map(pick);
        Walk::new(&pick(shape), strides.each_ref().map(|strides| &strides[..]))
    };
    let (kept, reduced) = (of(true)?, of(false)?);
    let (sums, count) = (kept.size as usize, reduced.size as usize);
    let adjacent = match (reduced.innermost(1), kept.innermost(1)) {
        (Some(reduced), Some(kept)) => reduced < kept,
        (reduced, _) => reduced.is_some(),
    };
    let lanes = lanes(sums, count, adjacent);
    let splits = splits(sums, count, lanes);
    let reduction = Reduction {
        kept,
        reduced,
        offset: target.offset as i64,
        split_stride: 0,
        function: *function,
        lanes: lanes as i32,
        splits: 1,
        adjacent: i32::from(adjacent),
        add: i32::from(target.add),
        reserved: 0,
    };
    let (a, b) = (a.as_ref().map(|a| a.data), b.as_ref().map(|b| b.data));
    let mask = mask.as_ref().map(|mask| mask.data);
    if splits == 1 {
        return kernels.reduce(&reduction, g.data, a, b, mask, target.data);
    }

    // The scratch holds the sums of one split after those of another, without gaps.
    let lengths: Vec<usize> = (0..kept.axes as usize).map(|i| kept.length[i] as usize).collect();
    let (mut to_scratch, mut from_scratch) = (kept, kept);
    for (axis, stride) in contiguous(&lengths).into_iter().enumerate() {
        to_scratch.stride[0][axis] = stride as i64;
        from_scratch.stride[1][axis] = stride as i64;
    }
    let mut scratch = Buffer::<f64>::unwritten(device, "partial sums", sums * splits)?;
    let partial = Reduction {
        kept: to_scratch,
        offset: 0,
        split_stride: sums as i64,
        splits: splits as i32,
        add: 0,
        ..reduction
    };
    kernels.reduce(&partial, g.data, a, b, mask, &mut scratch.view_mut())?;
    let whole = Reduction {
        kept: from_scratch,
        reduced: Walk::new(&[splits], [&[0], &[sums]])?,
        function: ReduceFunction::Sum,
        lanes: self::lanes(sums, splits, false) as i32,
        adjacent: 0,
        ..reduction
    };
    kernels.reduce(&whole, &scratch.view(), None, None, None, target.data)
}

/// target += the sum of `splits` arrays of the target's length one after another; or =.
pub fn sum_splits<T: Real>(
    kernels: &TapeKernels,
    scratch: &CudaView<'_, T>,
    splits: usize,
    target: &mut CudaViewMut<'_, T>,
    add: bool,
) -> Result<()> {
    let sums = target.len();
    let reduction = Reduction {
        kept: Walk::new(&[sums], [&[1], &[1]])?,
        reduced: Walk::new(&[splits], [&[0], &[sums]])?,
        offset: 0,
        split_stride: 0,
        function: ReduceFunction::Sum,
        lanes: lanes(sums, splits, false) as i32,
        splits: 1,
        adjacent: 0,
        add: i32::from(add),
        reserved: 0,
    };
    kernels.reduce(&reduction, scratch, None, None, None, target)
}

/// How many threads of a block share each of `sums` sums of `terms` terms. Where neighboring
/// threads share a sum a warp at least does, as far as there are terms; where they have
/// neighboring sums there are as many of these in a block as a warp reads.
pub fn lanes(sums: usize, terms: usize, adjacent: bool) -> usize {
    let (least, most) = if adjacent {
        (terms.clamp(1, 32).next_power_of_two(), THREADS)
    } else {
        (1, THREADS / sums.clamp(1, 32).next_power_of_two())
    };
    let mut lanes = least;
    while lanes < most && sums.saturating_mul(lanes) < BUSY_THREADS && terms > TERMS * lanes {
        lanes *= 2;
    }
    lanes
}

/// How many blocks share each sum.
fn splits(sums: usize, terms: usize, lanes: usize) -> usize {
    let blocks = sums.div_ceil(THREADS / lanes).max(1);
    if blocks >= BUSY_BLOCKS / 2 {
        return 1;
    }
    BUSY_BLOCKS.div_ceil(blocks).min(terms / (lanes * 2 * TERMS)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_out_by_the_sizes() {
        // One sum of a million: whole blocks, many of them.
        assert_eq!((lanes(1, 1_000_000, true), splits(1, 1_000_000, 256)), (256, 244));
        // The columns of a tall matrix: neighboring sums, the rows split.
        assert_eq!(lanes(64, 100_000, false), 8);
        assert_eq!(splits(64, 100_000, 8), 128);
        // Many short sums: a thread each.
        assert_eq!((lanes(1_000_000, 3, false), splits(1_000_000, 3, 1)), (1, 1));
        // Three terms side by side.
        assert_eq!(lanes(10, 3, true), 4);
        assert_eq!((lanes(5, 0, true), splits(5, 0, 1), lanes(0, 5, false)), (1, 1, 1));
    }
}
