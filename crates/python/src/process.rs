//! State that belongs to one process.
//!
//! `fork` copies a mutex as it is at that moment: one that another thread of the parent holds stays
//! locked in the child, where nobody unlocks it. Each process therefore has a state of its own.

use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A state that a process begins with the default of.
pub struct PerProcess<S>(AtomicPtr<Owned<S>>);

struct Owned<S> {
    process: u32,
    state: Mutex<S>,
}

impl<S: Default + Send> PerProcess<S> {
    pub const fn new() -> Self {
        PerProcess(AtomicPtr::new(ptr::null_mut()))
    }

    /// Locks the state of this process. That of a parent process is left as it is, in memory that
    /// is not used again.
    pub fn lock(&'static self) -> MutexGuard<'static, S> {
        let process = process::id();
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: the pointer is null or comes from `Box::into_raw` below, and what it points to
            // is never freed once it is stored.
            if let Some(owned) = unsafe { current.as_ref() }
                && owned.process == process
            {
                return owned.state.lock().unwrap_or_else(PoisonError::into_inner);
            }
            let fresh = Box::into_raw(Box::new(Owned { process, state: Mutex::default() }));
            match self.0.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => current = fresh,
                Err(other) => {
                    // SAFETY: another thread was faster, and nobody else has seen this one.
                    drop(unsafe { Box::from_raw(fresh) });
                    current = other;
                }
            }
        }
    }
}
