//! State that belongs to one process.
//!
//! `fork` copies a mutex as it is at that moment: one that another thread of the parent holds stays
//! locked in the child, where nobody unlocks it. Each process therefore has a state of its own.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io, ptr};

/// The flag of the Linux kernel for a process that was made by `fork` and runs its parent's program.
const PF_FORKNOEXEC: u32 = 0x40;

/// Returns whether this process may have been made by `fork` and run its parent's program: whether Linux
/// says so, or does not tell.
pub fn may_be_forked() -> bool {
    flags().is_none_or(|flags| flags & PF_FORKNOEXEC != 0)
}

/// Returns the flags of the first thread of this process: the ninth field of its state. The second, its
/// name, is in parentheses and may have spaces and parentheses itself. Systems that only imitate Linux's
/// say 0.
fn flags() -> Option<u32> {
    let state = fs::read("/proc/self/stat").ok()?;
    let name_end = state.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&state[name_end + 1..]).ok()?;
    // What is left begins with the third field.
    rest.split_whitespace().nth(9 - 3)?.parse().ok().filter(|&flags| flags != 0)
}

/// How many times `fork` has been called on the way from the process that loaded this module to the present one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Counts from now on how often `fork` is called: to ask the kernel for the number of the process each time
/// would take a good part of a small solve.
///
/// # Errors
/// That of `pthread_atfork`, if there is no memory.
pub fn count_forks() -> io::Result<()> {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function may be called in a child of a program with threads: it does nothing else than this.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Returns which process this is: another number than that of its parent, if it was made by `fork`.
pub fn generation() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

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
        let process = generation();
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
