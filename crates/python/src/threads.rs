//! The threads that work runs on.
//!
//! A child process that was made by `fork` has none of its parent's threads, and whoever waits for
//! them waits forever. Threads are therefore those of this process; and what is small runs on the
//! thread that asks for it, where it costs no hand-over.
//!
//! Their number is what was set, or else what RAYON_NUM_THREADS or OMP_NUM_THREADS says when the
//! first large solve starts them (`torchrun` sets the latter), or else that of the processors.

use std::cell::OnceCell;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::exception;
use crate::process::PerProcess;

/// Number of threads that was set; 0 for what the environment or the machine says.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The threads of a process.
struct Threads {
    wanted: usize,
    pool: Arc<ThreadPool>,
}

static SHARED: PerProcess<Option<Threads>> = PerProcess::new();

thread_local! {
    /// A pool that consists of this thread alone.
    static ALONE: OnceCell<ThreadPool> = const { OnceCell::new() };
}

/// Sets how many threads solves run on; 0 stands for what RAYON_NUM_THREADS or OMP_NUM_THREADS
/// says, and for one on every processor without them.
#[pyfunction]
pub fn set_num_threads(threads: isize) -> PyResult<()> {
    let refused = |what| PyValueError::new_err(format!("threads: {what}, got {threads}"));
    let threads = usize::try_from(threads).map_err(|_| refused("must not be negative".into()))?;
    if threads > MOST_THREADS {
        return Err(refused(format!("at most {MOST_THREADS}")));
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
/// those of this process otherwise. It must not wait for a mutex: a thread that waits inside of it may
/// have begun the work of another caller there, who holds that mutex.
pub fn run<R: Send>(
    py: Python<'_>,
    small: bool,
    work: impl FnOnce() -> mechanistic::Result<R> + Send,
) -> PyResult<R> {
    py.detach(|| run_detached(small, work))
}

/// Runs `work` as [`run`] does, for a caller that has let go of the lock of the interpreter.
pub fn run_detached<R: Send>(
    small: bool,
    work: impl FnOnce() -> mechanistic::Result<R> + Send,
) -> PyResult<R> {
    let outcome = if small && ALONE.with(has_pool) { work() } else { shared()?.install(work) };
    outcome.map_err(exception)
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
    let mut shared = SHARED.lock();
    let wanted = THREADS.load(Ordering::Relaxed);
    if let Some(threads) = &*shared
        && threads.wanted == wanted
    {
        return Ok(threads.pool.clone());
    }
    let threads = if wanted == 0 { told_threads() } else { wanted };
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?);
    *shared = Some(Threads { wanted, pool: pool.clone() });
    Ok(pool)
}

/// Returns the number of threads that the environment asks for; 0 if it asks for none. Where
/// OMP_NUM_THREADS is a list, one number for each level of nesting, the first counts.
fn told_threads() -> usize {
    let told = |name| {
        let value = env::var(name).ok()?;
        let threads = value.split(',').next()?.trim().parse::<usize>().ok()?;
        (1..=MOST_THREADS).contains(&threads).then_some(threads)
    };
    told("RAYON_NUM_THREADS").or_else(|| told("OMP_NUM_THREADS")).unwrap_or(0)
}
