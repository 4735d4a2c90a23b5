//! Shapes, strides, and the walk over an index space that several strided operands share.

/// Number of elements of an array of this shape.
pub fn size(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Strides, in elements, of a contiguous row-major array.
pub fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The shape that NumPy's rule gives two shapes together: aligned at the last axis, an axis of
/// length 1 repeats. `None` where they do not fit.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let axis = |shape: &[usize], i: usize| match (i + shape.len()).checked_sub(rank) {
        Some(own) => shape[own],
        None => 1,
    };
    (0..rank)
        .map(|i| match (axis(a, i), axis(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Strides with which a contiguous array of shape `from` is read as one of shape `to`: zero along
/// the axes that repeat. `from` must broadcast to `to`.
pub fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let missing = to.len() - from.len();
    let own = contiguous(from);
    let mut strides = vec![0; to.len()];
    for axis in 0..from.len() {
        if from[axis] == to[missing + axis] {
            strides[missing + axis] = own[axis];
        }
    }
    strides
}

/// A walk over an index space in row-major order, with the offset of each of M strided operands.
///
/// Neighbouring axes are merged where every operand allows it, so that the innermost run is as
/// long as possible.
#[derive(Clone, Debug)]
pub struct Walk<const M: usize> {
    outer: Vec<(usize, [usize; M])>,
    /// Length of the innermost run.
    pub run: usize,
    /// Step of each operand within a run.
    pub strides: [usize; M],
}

impl<const M: usize> Walk<M> {
    /// Walks over `shape`; each operand's strides have one entry per axis.
    pub fn new(shape: &[usize], strides: [&[usize]; M]) -> Self {
        let mut axes: Vec<(usize, [usize; M])> = Vec::with_capacity(shape.len());
        for (axis, &length) in shape.iter().enumerate() {
            let step = strides.map(|of| of[axis]);
            if length == 1 {
                continue;
            }
            match axes.last_mut() {
                Some((merged, last)) if (0..M).all(|m| last[m] == step[m] * length) => {
                    *merged *= length;
                    *last = step;
                }
                _ => axes.push((length, step)),
            }
        }
        let (run, strides) = axes.pop().unwrap_or((1, [1; M]));
        Walk { outer: axes, run, strides }
    }

    /// Calls `run` with the offsets at which each innermost run begins.
    pub fn for_each(&self, mut run: impl FnMut([usize; M])) {
        if self.run == 0 || self.outer.iter().any(|&(length, _)| length == 0) {
            return;
        }
        let mut counter = vec![0; self.outer.len()];
        let mut offsets = [0; M];
        loop {
            run(offsets);
            let mut axis = self.outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
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

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[3, 1, 5], &[4, 1]), Some(vec![3, 4, 5]));
        assert_eq!(broadcast(&[], &[2]), Some(vec![2]));
        assert_eq!(broadcast(&[0], &[1]), Some(vec![0]));
        assert_eq!(broadcast(&[3], &[2]), None);
    }

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
