//! A pool of the memory of finished arrays, which the next ones use again.

use std::collections::HashMap;

use super::Array;
use crate::tensor::{Backend, layout};
use crate::{Real, Result};

/// A pool of free buffers, sorted by their length.
#[derive(Debug)]
pub(super) struct Pool<T: Real, B: Backend> {
    free: HashMap<usize, Vec<B::Buffer<T>>>,
}

impl<T: Real, B: Backend> Default for Pool<T, B> {
    fn default() -> Self {
        Pool { free: HashMap::new() }
    }
}

impl<T: Real, B: Backend> Pool<T, B> {
    /// Returns an array with arbitrary contents, all of which the caller overwrites.
    pub(super) fn take(&mut self, backend: &B, shape: &[usize]) -> Result<Array<T, B>> {
        let length = layout::size(shape);
        let known = self.free.get_mut(&length).and_then(Vec::pop);
        let buffer = known.map_or_else(|| backend.allocate(length), Ok)?;
        Ok(Array::from_parts(shape.to_vec(), buffer))
    }

    /// Returns an array of zeros.
    pub(super) fn zeros(&mut self, backend: &B, shape: &[usize]) -> Result<Array<T, B>> {
        let mut array = self.take(backend, shape)?;
        backend.clear(&mut array)?;
        Ok(array)
    }

    pub(super) fn give(&mut self, array: Array<T, B>) {
        self.free.entry(array.len()).or_default().push(array.into_buffer());
    }
}
