//! The threads that work runs on.
//!
//! Where PyTorch computes on several threads of OpenMP, large solves that it calls run on these: when one
//! of PyTorch's operations is done, they do not sleep but turn in circles for some milliseconds, and threads
//! beside them would get a part of the processors only. One solve at a time has them. All other large work
//! runs on threads of this process: a child that was made by `fork` has none of its parent's, and whoever
//! waits for them waits forever. What is small runs on the thread that asks for it, where it costs no
//! hand-over.
//!
//! Work runs on at most as many threads as were set, or else as RAYON_NUM_THREADS or OMP_NUM_THREADS says
//! when the number is needed first (`torchrun` sets the latter), or else as there are processors; on the
//! threads of PyTorch, on no more than it computes on in the thread that calls. Its number bounds only these:
//! where PyTorch computes on one thread, there is no team to borrow, and large work runs on threads of this
//! process, on as many as `num_threads` says.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use mechanistic::{Error, Result, on_one_thread};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::errors::exception;
use crate::lent::Team;
use crate::process::PerProcess;

/// Number of threads that was set; 0 for what the environment or the machine says.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Number of threads that the environment or the machine says; 0 before anybody has asked.
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// The threads of this process, once they were needed.
static SHARED: PerProcess<Option<Arc<ThreadPool>>> = PerProcess::new();

/// Sets how many threads solves run on at most; 0 stands for what RAYON_NUM_THREADS or OMP_NUM_THREADS
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

/// Returns how many threads solves run on at most.
#[pyfunction]
pub fn num_threads() -> usize {
    let number = |of: &AtomicUsize| Some(of.load(Ordering::Relaxed)).filter(|&number| number > 0);
    number(&THREADS).or_else(|| number(&TOLD)).unwrap_or_else(|| {
        let told = told_threads().unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        TOLD.store(told, Ordering::Relaxed);
        told
    })
}

/// Runs `work` without the lock of the interpreter: on this thread alone if it is `small`; otherwise on a
/// `team` of several threads that PyTorch computes on, if nobody has borrowed it, or on the threads of this
/// process. `team` is 1 where PyTorch computes on one thread, and without PyTorch. `work` must not wait for
/// a mutex: a thread of this process that waits inside of it may have begun the work of another caller, who
/// holds that mutex.
pub fn run<R: Send>(
    py: Python<'_>,
    small: bool,
    team: usize,
    work: impl FnOnce() -> Result<R> + Send,
) -> PyResult<R> {
    py.detach(|| run_detached(small, team, work)).map_err(exception)
}

/// Runs `work` as [`run`] does, for a caller that has let go of the lock of the interpreter.
pub fn run_detached<R: Send>(
    small: bool,
    team: usize,
    work: impl FnOnce() -> Result<R> + Send,
) -> Result<R> {
    // Calls come from Python and XLA, which no thread of a pool runs while it is in it: work has no callbacks.
    debug_assert!(rayon::current_thread_index().is_none(), "a thread is in one pool at most");
    if small || num_threads() == 1 {
        on_one_thread(work)
    } else if let Some(team) = Team::borrow(team) {
        team.run(num_threads(), work).map_err(not_started)?
    } else {
        shared()?.install(work)
    }
}

/// Returns the threads of this process, which are started by the first call.
pub fn shared() -> Result<Arc<ThreadPool>> {
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

fn not_started(error: ThreadPoolBuildError) -> Error {
    Error::Device { doing: "starting threads".into(), message: error.to_string() }
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
