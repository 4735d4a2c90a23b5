//! Dense row-major arrays in the memory of a backend.
//!
//! How an array keeps its elements is known to this file alone. What every backend can do with an
//! array is in the first block of functions, what needs the elements in the program's memory in the
//! second. Strides and broadcasting are in `layout.rs`.

use super::backend::{Backend, Cpu};
use super::layout::{self, Axes};
use crate::error::{Error, Result};
use crate::real::Element;

/// A dense array, contiguous and row-major, in the memory of its backend: the program's own memory,
/// unless another backend is named. An array of rank 0 is a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T: Element, B: Backend = Cpu> {
    shape: Axes,
    data: B::Buffer<T>,
}

impl<T: Element, B: Backend> Array<T, B> {
    /// Makes an array from a shape and its elements. Nothing is checked here: the caller knows that
    /// the buffer has as many elements as the shape says.
    pub(crate) fn from_parts(shape: Axes, data: B::Buffer<T>) -> Self {
        Array { shape, data }
    }

    /// Returns the length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        layout::size(&self.shape)
    }

    /// Returns whether the array has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements of a row, which is the length of the last axis, or 1 for a
    /// scalar.
    pub(crate) fn row(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Returns the elements where the backend keeps them.
    #[cfg(feature = "cuda")]
    pub(crate) fn buffer(&self) -> &B::Buffer<T> {
        &self.data
    }

    /// Returns the elements where the backend keeps them, to be changed.
    #[cfg(feature = "cuda")]
    pub(crate) fn buffer_mut(&mut self) -> &mut B::Buffer<T> {
        &mut self.data
    }

    /// Returns the elements and gives up the shape.
    pub(crate) fn into_buffer(self) -> B::Buffer<T> {
        self.data
    }
}

impl<T: Element> Array<T> {
    /// Makes an array of this shape from its elements in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of elements is not the product of the shape.
    pub fn new(shape: impl AsRef<[usize]>, data: Vec<T>) -> Result<Self> {
        let shape = Axes::from_slice(shape.as_ref());
        if checked_size(&shape) != Some(data.len()) {
            let message = format!("shape {shape:?} does not hold {} elements", data.len());
            return Err(Error::argument("array", message));
        }
        Ok(Array { shape, data })
    }

    /// Makes an array of rank 0 from its only element.
    pub fn scalar(value: T) -> Self {
        Array { shape: Axes::new(), data: vec![value] }
    }

    /// Makes an array of rank 1 from its elements.
    pub fn vector(data: impl Into<Vec<T>>) -> Self {
        let data = data.into();
        Array { shape: Axes::from_slice(&[data.len()]), data }
    }

    /// Returns the elements in row-major order.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// Returns the elements in row-major order, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Returns the elements, to be changed in place, together with the shape.
    pub(crate) fn parts_mut(&mut self) -> (&mut [T], &[usize]) {
        (&mut self.data, &self.shape)
    }

    /// Returns the elements in row-major order and gives up the shape.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// Makes an array of this shape with all elements equal.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the shape is too large to address.
    pub fn full(shape: impl AsRef<[usize]>, value: T) -> Result<Self> {
        let shape = Axes::from_slice(shape.as_ref());
        let size = checked_size(&shape).filter(|&n| {
            n.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok())
        });
        let out_of_memory = |bytes| Error::OutOfMemory { what: format!("array {shape:?}"), bytes };
        let size = size.ok_or_else(|| out_of_memory(usize::MAX))?;
        let mut data = Vec::new();
        data.try_reserve_exact(size).map_err(|_| out_of_memory(size * size_of::<T>()))?;
        data.resize(size, value);
        Ok(Array { shape, data })
    }
}

/// Returns the product of the lengths, or `None` when it overflows.
pub(crate) fn checked_size(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_must_hold_the_elements() {
        assert!(Array::new([2, 3], vec![0.0; 6]).is_ok());
        let message = Array::new([2, 3], vec![0.0; 5]).unwrap_err().to_string();
        assert_eq!(message, "array: shape [2, 3] does not hold 5 elements");
        assert!(Array::new([usize::MAX, 2], vec![0.0; 2]).is_err());
    }

    #[test]
    fn an_absurd_size_is_an_error() {
        assert!(matches!(Array::full([usize::MAX, 4], 0.0), Err(Error::OutOfMemory { .. })));
        assert!(matches!(Array::full([1 << 60], false), Err(Error::OutOfMemory { .. })));
    }
}
