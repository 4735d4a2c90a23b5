//! Work on threads that somebody else lends for the time of one call: the thread that calls, or those of
//! OpenMP.

use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError, mpsc};

use pyo3::prelude::*;
use rayon::{ThreadBuilder, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::process::PerProcess;

/// `GOMP_parallel(work, data, threads, flags)`, which the libraries of GNU and of LLVM have: calls `work`
/// with `data` on so many threads, of which the one that calls is one, and returns when all have.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// The threads of OpenMP.
#[derive(Clone, Copy)]
pub struct OpenMp {
    parallel: Parallel,
    /// `omp_get_max_threads()`: how many threads the one that calls computes on.
    max_threads: unsafe extern "C" fn() -> c_int,
}

/// What lends the threads of OpenMP in this process. A child that was made by `fork` has none: its
/// parent's are gone, and OpenMP would wait for them.
static OPENMP: PerProcess<Option<OpenMp>> = PerProcess::new();

/// Lets large solves run on the threads of OpenMP, given the addresses of `GOMP_parallel` and of
/// `omp_get_max_threads`.
#[pyfunction]
pub fn use_openmp(parallel: NonZero<usize>, max_threads: NonZero<usize>) {
    // SAFETY: the caller in Python has looked up the functions of these names.
    let openmp = unsafe {
        OpenMp {
            parallel: std::mem::transmute::<usize, Parallel>(parallel.get()),
            max_threads: std::mem::transmute::<usize, unsafe extern "C" fn() -> c_int>(
                max_threads.get(),
            ),
        }
    };
    *OPENMP.lock() = Some(openmp);
}

impl OpenMp {
    /// Returns the threads of OpenMP, where it has some for the thread that calls.
    pub fn here() -> Option<Self> {
        OPENMP.lock().filter(|openmp| openmp.threads() > 1)
    }

    /// Returns how many threads it has for the one that calls, with this one.
    fn threads(self) -> usize {
        // SAFETY: the function has no conditions.
        usize::try_from(unsafe { (self.max_threads)() }).unwrap_or(1)
    }

    /// Runs `work` on its threads, of which the one that calls is one, and on at most so many.
    pub fn run<R: Send>(
        self,
        most: usize,
        work: impl FnOnce() -> R + Send,
    ) -> Result<R, ThreadPoolBuildError> {
        type Join<'a> = &'a (dyn Fn() + Sync);
        extern "C" fn call(join: *mut c_void) {
            // SAFETY: this is the address of `join` below, which is there until all threads have
            // returned.
            unsafe { (*join.cast::<Join<'_>>())() }
        }
        let threads = most.min(self.threads());
        let lend = |mut join: Join<'_>| {
            let threads = c_uint::try_from(threads).unwrap_or(c_uint::MAX);
            // SAFETY: `call` takes what it is given, and does not unwind.
            unsafe { (self.parallel)(call, (&raw mut join).cast(), threads, 0) }
        };
        run(threads, lend, work)
    }
}

/// Runs `work`, and the parallel loops in it, on the thread that calls.
pub fn run_here<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
    run(1, |join| join(), work)
}

/// Runs `work` in a pool of this many threads, which are those that `lend` calls its argument on. It
/// returns when all of them have.
fn run<R: Send>(
    threads: usize,
    lend: impl FnOnce(&(dyn Fn() + Sync)),
    work: impl FnOnce() -> R + Send,
) -> Result<R, ThreadPoolBuildError> {
    let (sender, receiver) = mpsc::channel::<ThreadBuilder>();
    let keep = move |place| sender.send(place).map_err(|_| io::ErrorKind::BrokenPipe.into());
    let pool = ThreadPoolBuilder::new().num_threads(threads).spawn_handler(keep).build()?;
    let mut outcome = None;
    let job = || outcome = Some(catch_unwind(AssertUnwindSafe(work)));
    let job: Box<dyn FnOnce() + Send + '_> = Box::new(job);
    // SAFETY: only the lifetime changes. The job is done before this function returns: a thread that
    // takes a place leaves it only when the pool has ended, which it does when the job is done; and the
    // places that `lend` has left are taken by this thread.
    let job: Box<dyn FnOnce() + Send> = unsafe { std::mem::transmute(job) };
    pool.spawn(job);
    // From now on the pool ends as soon as there is nothing to do.
    drop(pool);
    let places = Mutex::new(receiver);
    let next = || places.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
    let join = || {
        while let Ok(place) = next() {
            place.run();
        }
    };
    lend(&join);
    join();
    match outcome.expect("the job is done") {
        Ok(result) => Ok(result),
        Err(panic) => resume_unwind(panic),
    }
}
