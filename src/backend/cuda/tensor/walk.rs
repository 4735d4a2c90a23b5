//! The index spaces of the tape's kernels, made from shapes and strides.

use crate::backend::cuda::bindings::{TAPE_AXES, TAPE_OPERANDS, Walk};
use crate::error::{Error, Result};
use crate::tensor::layout;

impl Walk {
    /// Makes the walk over `shape`; each operand's strides have one entry per axis.
    ///
    /// # Errors
    /// [`Error::Argument`] when more than six axes remain after merging.
    pub fn new<const M: usize>(shape: &[usize], strides: [&[usize]; M]) -> Result<Self> {
        const { assert!(M <= TAPE_OPERANDS) };
        let merged = layout::merge(shape, strides);
        if merged.len() > TAPE_AXES {
            let axes = merged.len();
            let message = format!(
                "{axes} axes of {shape:?} are laid out independently, a CUDA device walks over at \
                 most {TAPE_AXES}"
            );
            return Err(Error::argument("shape", message));
        }
        let mut walk = Walk { axes: merged.len() as i64, ..Walk::default() };
        for (axis, (length, steps)) in merged.into_iter().enumerate() {
            walk.length[axis] = length as i64;
            for (operand, step) in steps.into_iter().enumerate() {
                walk.stride[operand][axis] = step as i64;
            }
        }
        walk.size = layout::size(shape) as i64;
        Ok(walk)
    }

    /// Returns the index after the furthest element that the walk reaches in an operand, which is 0
    /// if the walk is empty.
    pub fn reach(&self, operand: usize) -> usize {
        if self.size == 0 {
            return 0;
        }
        let axes = 0..self.axes as usize;
        let last: i64 = axes.map(|axis| (self.length[axis] - 1) * self.stride[operand][axis]).sum();
        last as usize + 1
    }

    /// Returns the step of an operand along the innermost axis, or `None` without axes or where the
    /// operand repeats.
    pub fn innermost(&self, operand: usize) -> Option<i64> {
        let last = (self.axes as usize).checked_sub(1)?;
        Some(self.stride[operand][last]).filter(|&stride| stride != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_knows_how_far_it_reaches() {
        let walk = Walk::new(&[2, 3], [&[3, 1], &[1, 5]]).unwrap();
        assert_eq!((walk.axes, walk.size, walk.reach(0), walk.reach(1)), (2, 6, 6, 12));
        assert_eq!((walk.innermost(0), walk.innermost(1)), (Some(1), Some(5)));
        let empty = Walk::new(&[2, 0], [&[0, 1]]).unwrap();
        assert_eq!((empty.size, empty.reach(0)), (0, 0));
        let one = Walk::new(&[1, 1], [&[7, 7]]).unwrap();
        assert_eq!((one.axes, one.size, one.reach(0)), (0, 1, 1));
        // Every second element along every axis: nothing merges.
        let strides: Vec<usize> = (0..7).map(|axis| 4_usize.pow(6 - axis)).collect();
        let message = Walk::new(&[2; 7], [&strides]).unwrap_err().to_string();
        assert!(message.contains("7 axes"), "{message}");
    }
}
