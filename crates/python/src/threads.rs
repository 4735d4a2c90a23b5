//! The threads that work runs on.
//!
//! Where PyTorch computes on threads of OpenMP, work runs on these too, and on no more: when one of
//! PyTorch's operations is done, they do not sleep but turn in circles for some milliseconds, and threads
//! beside them would get a part of the processors only. Elsewhere the threads are those of this process: a child that was made by
//! `fork` has none of its parent's, and whoever waits for them waits forever. What is small runs on the
//! thread that asks for it, where it costs no hand-over.
//!
//! Their number is what was set, or else what RAYON_NUM_THREADS or OMP_NUM_THREADS says when it is needed
//! first (`torchrun` sets the latter), or else that of the processors.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::errors::exception;
use crate::lent::{self, OpenMp};
use crate::process::PerProcess;

/// Number of threads that was set; 0 for what the environment or the machine says.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Number of threads that the environment or the machine says; 0 before anybody has asked.
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// The threads of this process, once they were needed.
static SHARED: PerProcess<Option<Arc<ThreadPool>>> = PerProcess::new();

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
pub fn num_threads() -> usize {
    let number = |of: &AtomicUsize| Some(of.load(Ordering::Relaxed)).filter(|&number| number > 0);
    number(&THREADS).or_else(|| number(&TOLD)).unwrap_or_else(|| {
        let told = told_threads().unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        TOLD.store(told, Ordering::Relaxed);
        told
    })
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
    let outcome = match OpenMp::here() {
        _ if small => lent::run_here(work),
        Some(openmp) => openmp.run(num_threads(), work),
        None => return shared()?.install(work).map_err(exception),
    };
    outcome.map_err(not_started)?.map_err(exception)
}

/// Returns the threads of this process, which are started by the first call.
pub fn shared() -> PyResult<Arc<ThreadPool>> {
    let mut shared = SHARED.lock();
    let threads = num_threads();
    if let Some(pool) = &*shared
        && pool.current_num_threads() == threads
    {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(not_started)?;
    Ok(shared.insert(Arc::new(pool)).clone())
}

fn not_started(error: ThreadPoolBuildError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// Returns the number of threads that the environment asks for, if it asks for one. Where
/// OMP_NUM_THREADS is a list, one number for each level of nesting, the first counts.
fn told_threads() -> Option<usize> {
    let told = |name| {
        let value = env::var(name).ok()?;
        let threads = value.split(',').next()?.trim().parse::<usize>().ok()?;
        (1..=MOST_THREADS).contains(&threads).then_some(threads)
    };
    told("RAYON_NUM_THREADS").or_else(|| told("OMP_NUM_THREADS"))
}
