//! Handles: opaque numbers that stand for the objects a caller made.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{CuResult, Outcome, lock};

/// A handle as it crosses the API. It is never dereferenced.
pub(super) type Handle = usize;

/// The next handle, which is shared by all tables and never counted back, so that a stale handle,
/// or one of another kind, is always recognized. Small numbers are left to the API's special
/// streams.
static NEXT: AtomicUsize = AtomicUsize::new(0x1000);

/// Returns a handle that no table has given out.
pub(super) fn fresh() -> Handle {
    NEXT.fetch_add(0x10, Ordering::Relaxed)
}

/// The live objects of one kind.
pub(super) struct Table<T>(Mutex<BTreeMap<Handle, Arc<T>>>);

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    pub(super) fn insert(&self, object: T) -> Handle {
        let handle = fresh();
        self.insert_as(handle, object);
        handle
    }

    pub(super) fn insert_as(&self, handle: Handle, object: T) {
        lock(&self.0).insert(handle, Arc::new(object));
    }

    pub(super) fn find(&self, handle: Handle) -> Option<Arc<T>> {
        lock(&self.0).get(&handle).cloned()
    }

    /// Returns the live object behind a handle.
    ///
    /// # Errors
    /// [`CuResult::InvalidHandle`] for anything but a live object of this kind.
    pub(super) fn get(&self, handle: Handle) -> Outcome<Arc<T>> {
        self.find(handle).ok_or(CuResult::InvalidHandle)
    }

    /// Returns the live object behind a handle, which is no longer valid afterwards.
    pub(super) fn remove(&self, handle: Handle) -> Outcome<Arc<T>> {
        lock(&self.0).remove(&handle).ok_or(CuResult::InvalidHandle)
    }

    /// Removes and returns all objects of which `unwanted` holds.
    pub(super) fn remove_if(&self, unwanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut entries = lock(&self.0);
        let handles: Vec<Handle> = entries
            .iter()
            .filter(|(_, object)| unwanted(object))
            .map(|(&handle, _)| handle)
            .collect();
        handles.iter().filter_map(|handle| entries.remove(handle)).collect()
    }

    /// Returns all live objects, in the order in which they were made.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).values().cloned().collect()
    }
}
