//! Memory of finished arrays, kept for the next ones.

use std::collections::HashMap;

use crate::Real;

/// Buffers by length.
#[derive(Debug)]
pub(super) struct Pool<T> {
    free: HashMap<usize, Vec<Vec<T>>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { free: HashMap::new() }
    }
}

impl<T: Real> Pool<T> {
    /// A buffer with arbitrary contents, all of which the caller overwrites.
    pub(super) fn take(&mut self, length: usize) -> Vec<T> {
        let known = self.free.get_mut(&length).and_then(Vec::pop);
        known.unwrap_or_else(|| vec![T::zero(); length])
    }

    /// A buffer of zeros.
    pub(super) fn zeros(&mut self, length: usize) -> Vec<T> {
        let mut buffer = self.take(length);
        buffer.fill(T::zero());
        buffer
    }

    pub(super) fn give(&mut self, buffer: Vec<T>) {
        self.free.entry(buffer.len()).or_default().push(buffer);
    }
}
