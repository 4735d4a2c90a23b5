//! The threads that work runs on.
//!
//! A child process that was made by `fork` has none of its parent's threads, and whoever waits for
//! them waits forever. Threads are therefore those of this process; and what is small runs on the
//! thread that asks for it, where it costs no hand-over.

use std::cell::OnceCell;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::exception;

/// Number of threads that was set; 0 for as many as the machine has, or RAYON_NUM_THREADS says.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The threads of a process.
struct Threads {
    process: u32,
    wanted: usize,
    pool: Arc<ThreadPool>,
}

static SHARED: Mutex<Option<Threads>> = Mutex::new(None);

thread_local! {
    /// A pool that consists of this thread alone.
    static ALONE: OnceCell<ThreadPool> = const { OnceCell::new() };
}

/// Sets how many threads solves run on; 0 stands for one on every processor.
#[pyfunction]
pub fn set_num_threads(threads: usize) -> PyResult<()> {
    if threads > MOST_THREADS {
        let message = format!("threads: at most {MOST_THREADS}, got {threads}");
        return Err(PyValueError::new_err(message));
    }
    THREADS.store(threads, Ordering::Relaxed);
    Ok(())
}

/// More threads than this can only be a mistake.
const MOST_THREADS: usize = 4096;

/// Returns how many threads solves run on.
#[pyfunction]
pub fn num_threads() -> PyResult<usize> {
    Ok(shared()?.current_num_threads())
}

/// Runs `work` without the lock of the interpreter, on this thread alone if it is `small`, and on
/// those of this process otherwise.
pub fn run<R: Send>(
    py: Python<'_>,
    small: bool,
    work: impl FnOnce() -> mechanistic::Result<R> + Send,
) -> PyResult<R> {
    py.detach(|| {
        if small && ALONE.with(has_pool) {
            return Ok(work());
        }
        Ok(shared()?.install(work))
    })
    .and_then(|outcome| outcome.map_err(exception))
}

/// Makes this thread a pool of its own, so that parallel loops that it runs stay on it; returns
/// whether it is one.
fn has_pool(alone: &OnceCell<ThreadPool>) -> bool {
    if alone.get().is_none()
        && let Ok(pool) = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()
    {
        let _ = alone.set(pool);
    }
    alone.get().is_some()
}

/// Returns the threads of this process, which are started by the first call.
pub fn shared() -> PyResult<Arc<ThreadPool>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let (process, wanted) = (process::id(), THREADS.load(Ordering::Relaxed));
    if let Some(threads) = &*shared
        && (threads.process, threads.wanted) == (process, wanted)
    {
        return Ok(threads.pool.clone());
    }
    let pool = ThreadPoolBuilder::new().num_threads(wanted).build();
    let pool = Arc::new(pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?);
    let threads = Threads { process, wanted, pool: pool.clone() };
    if let Some(old) = shared.replace(threads)
        && old.process != process
    {
        // Its threads stayed with the parent process: there is nobody here to end them.
        std::mem::forget(old);
    }
    Ok(pool)
}
