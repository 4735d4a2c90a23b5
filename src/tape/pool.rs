//! A pool of the memory of finished arrays, which the next ones use again.

use std::collections::HashMap;

use super::Array;
use crate::tensor::{Backend, layout};
use crate::{Real, Result};

/// A pool of free buffers, sorted by their length.
#[derive(Debug)]
pub(super) struct Pool<T: Real, B: Backend> {
    shelves: HashMap<usize, Shelf<B::Buffer<T>>>,
}

/// The buffers of one length.
#[derive(Debug)]
struct Shelf<E> {
    free: Vec<E>,
    /// The number of buffers that are in use and may be given back; there is room for them.
    taken: usize,
}

impl<T: Real, B: Backend> Default for Pool<T, B> {
    fn default() -> Self {
        Pool { shelves: HashMap::new() }
    }
}

impl<T: Real, B: Backend> Pool<T, B> {
    /// Returns an array with arbitrary contents, all of which the caller overwrites.
    pub(super) fn take(&mut self, backend: &B, shape: &[usize]) -> Result<Array<T, B>> {
        let length = layout::size(shape);
        let shelf = self.shelf(length);
        shelf.taken += 1;
        let buffer = match shelf.free.pop() {
            Some(buffer) => buffer,
            None => {
                shelf.free.reserve(shelf.taken);
                backend.allocate(length)?
            }
        };
        Ok(Array::from_parts(shape.into(), buffer))
    }

    /// Returns an array of zeros.
    pub(super) fn zeros(&mut self, backend: &B, shape: &[usize]) -> Result<Array<T, B>> {
        let mut array = self.take(backend, shape)?;
        backend.clear(&mut array)?;
        Ok(array)
    }

    pub(super) fn give(&mut self, array: Array<T, B>) {
        let shelf = self.shelf(array.len());
        shelf.taken = shelf.taken.saturating_sub(1);
        shelf.free.push(array.into_buffer());
    }

    /// Expects no more of the buffers that were taken: gradients may never come back.
    pub(super) fn all_is_given(&mut self) {
        self.shelves.values_mut().for_each(|shelf| shelf.taken = 0);
    }

    fn shelf(&mut self, length: usize) -> &mut Shelf<B::Buffer<T>> {
        self.shelves.entry(length).or_insert_with(|| Shelf { free: Vec::new(), taken: 0 })
    }
}
