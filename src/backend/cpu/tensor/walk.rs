//! The walk over an index space that several strided operands share.

use std::ops::Range;

use crate::tensor::layout::{Axes, Strided, merge};

/// A walk over an index space in row-major order, with the offset of each of M strided operands.
///
/// Neighboring axes are merged where every operand allows it, so that the innermost run is as
/// long as possible.
#[derive(Clone, Debug)]
pub struct Walk<const M: usize> {
    outer: Strided<M>,
    /// Length of the innermost run.
    pub run: usize,
    /// Step of each operand within a run.
    pub strides: [usize; M],
}

impl<const M: usize> Walk<M> {
    /// Plans the walk over `shape`; each operand's strides have one entry per axis.
    pub fn new(shape: &[usize], strides: [&[usize]; M]) -> Self {
        let mut axes = merge(shape, strides);
        let (run, strides) = axes.pop().unwrap_or((1, [1; M]));
        Walk { outer: axes, run, strides }
    }

    /// Returns the number of runs.
    fn count(&self) -> usize {
        self.outer.iter().map(|&(length, _)| length).product()
    }

    /// Calls `run` with the offsets at which each innermost run begins.
    pub fn for_each(&self, run: impl FnMut([usize; M])) {
        self.for_each_of(0..self.count(), run);
    }

    /// Calls `run` with the offsets at which each of these innermost runs begins.
    pub fn for_each_of(&self, runs: Range<usize>, mut run: impl FnMut([usize; M])) {
        if self.run == 0 {
            return;
        }
        let mut counter = Axes::from_elem(0, self.outer.len());
        let mut offsets = [0; M];
        let mut left = runs.start;
        for (counter, &(length, steps)) in counter.iter_mut().zip(&self.outer).rev() {
            *counter = left % length.max(1);
            left /= length.max(1);
            for m in 0..M {
                offsets[m] += steps[m] * *counter;
            }
        }
        for _ in runs {
            run(offsets);
            for axis in (0..self.outer.len()).rev() {
                let (length, steps) = self.outer[axis];
                counter[axis] += 1;
                for m in 0..M {
                    offsets[m] += steps[m];
                }
                if counter[axis] < length {
                    break;
                }
                counter[axis] = 0;
                for m in 0..M {
                    offsets[m] -= steps[m] * length;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::layout::contiguous;

    #[test]
    fn a_walk_visits_a_transposed_array_in_order() {
        let (shape, transposed) = ([3, 2], [1, 3]);
        let walk = Walk::new(&shape, [&contiguous(&shape), &transposed]);
        let mut seen = Vec::new();
        walk.for_each(|[_, start]| {
            seen.extend((0..walk.run).map(|i| start + i * walk.strides[1]));
        });
        assert_eq!(seen, [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_walk_in_parts_is_the_whole_walk() {
        let (shape, permuted) = ([4, 3, 2], [1, 4, 12]);
        let walk = Walk::new(&shape, [&contiguous(&shape), &permuted]);
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        walk.for_each(|start| whole.push(start));
        for part in [0..1, 1..7, 7..walk.count()] {
            walk.for_each_of(part, |start| parts.push(start));
        }
        assert!(whole.len() == walk.count() && whole.len() > 7);
        assert_eq!(parts, whole);
    }

    #[test]
    fn contiguous_axes_merge_into_one_run() {
        let shape = [2, 3, 4];
        let walk = Walk::new(&shape, [&contiguous(&shape), &contiguous(&shape)]);
        assert_eq!(walk.run, 24);
    }

    #[test]
    fn an_empty_axis_is_never_visited() {
        let shape = [2, 0, 3];
        Walk::new(&shape, [&contiguous(&shape)]).for_each(|_| panic!("visited"));
    }
}
