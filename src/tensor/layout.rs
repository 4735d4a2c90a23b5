//! Shapes and strides of dense arrays.

use smallvec::SmallVec;

/// One number for each axis, such as a shape or strides: up to six lie in place, so that handling
/// them allocates nothing.
pub type Axes = SmallVec<[usize; 6]>;
/// The axes of an index space, each with its length and the strides of M operands.
pub type Strided<const M: usize> = SmallVec<[(usize, [usize; M]); 6]>;

/// Returns the number of elements of an array of this shape.
pub fn size(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Returns the strides, in elements, of a contiguous row-major array.
pub fn contiguous(shape: &[usize]) -> Axes {
    let mut strides = Axes::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Returns the common shape of two arrays by NumPy's rule of broadcasting (aligned at the last
/// axis, an axis of length 1 repeats), or `None` where they do not fit.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Axes> {
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

/// Returns the strides with which a contiguous array of shape `from` is read as one of shape `to`:
/// zero along the axes that repeat. `from` must broadcast to `to`.
pub fn broadcast_strides(from: &[usize], to: &[usize]) -> Axes {
    let missing = to.len() - from.len();
    let own = contiguous(from);
    let mut strides = Axes::from_elem(0, to.len());
    for axis in 0..from.len() {
        if from[axis] == to[missing + axis] {
            strides[missing + axis] = own[axis];
        }
    }
    strides
}

/// Returns the axes of an index space that M strided operands share, outermost first, each with its
/// length and the operands' strides. Neighboring axes are merged where every operand allows it;
/// axes of length 1 are left out.
pub fn merge<const M: usize>(shape: &[usize], strides: [&[usize]; M]) -> Strided<M> {
    let mut axes = Strided::new();
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
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[3, 1, 5], &[4, 1]), Some(Axes::from_slice(&[3, 4, 5])));
        assert_eq!(broadcast(&[], &[2]), Some(Axes::from_slice(&[2])));
        assert_eq!(broadcast(&[0], &[1]), Some(Axes::from_slice(&[0])));
        assert_eq!(broadcast(&[3], &[2]), None);
    }
}
