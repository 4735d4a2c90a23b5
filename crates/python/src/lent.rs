//! Work on threads that somebody else lends for the time of one call: those of OpenMP.

use std::ffi::{c_uint, c_void};
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, Once, PoisonError, mpsc};

use pyo3::prelude::*;
use rayon::{ThreadBuilder, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::process::{self, PerProcess};

/// `GOMP_parallel(work, data, team, flags)`, which the libraries of GNU and of LLVM have: calls `work`
/// with `data` on each thread of a team of this size, of which the one that calls is one, and returns when
/// all have returned.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// What lends the threads of OpenMP in this process, while nobody has borrowed them. Each thread that calls
/// has a team of its own, and two teams at once would be more threads than there are processors.
static OPENMP: PerProcess<Option<Parallel>> = PerProcess::new();

/// Lets large solves run on the threads of OpenMP, given the address of `GOMP_parallel`. A process that
/// was made by `fork` does not: OpenMP may have been in use before, and would wait for threads that only
/// the parent has. Only the first call counts: a second one, of a module that is loaded again, would make
/// a team that is borrowed free.
#[pyfunction]
pub fn use_openmp(parallel: NonZero<usize>) {
    static FIRST: Once = Once::new();
    if process::may_be_forked() {
        return;
    }
    FIRST.call_once(|| {
        // SAFETY: the caller in Python has looked up the function of this name, in a library that stays.
        let parallel = unsafe { std::mem::transmute::<usize, Parallel>(parallel.get()) };
        *OPENMP.lock() = Some(parallel);
    });
}

/// A team of threads of OpenMP. Nobody else borrows one before it is dropped.
pub struct Team {
    parallel: Parallel,
    threads: c_uint,
}

impl Team {
    /// Borrows a team of this many threads, of which the one that calls is one; returns nothing if there
    /// are no others, or somebody has borrowed them.
    pub fn borrow(threads: usize) -> Option<Self> {
        let threads = c_uint::try_from(threads).ok().filter(|&threads| threads > 1)?;
        let parallel = OPENMP.lock().take()?;
        Some(Team { parallel, threads })
    }

    /// Runs `work` on at most so many of its threads. OpenMP is always asked for all of them, because it
    /// ends and starts threads for a team of another size.
    pub fn run<R: Send>(
        &self,
        most: usize,
        work: impl FnOnce() -> R + Send,
    ) -> Result<R, ThreadPoolBuildError> {
        type Join<'a> = &'a (dyn Fn() + Sync);
        extern "C" fn call(join: *mut c_void) {
            // SAFETY: this is the address of `lend`'s `join`, which all threads only read. The lifetime, which
            // is shortened here, ends with this call, and `join` is there until all calls have returned.
            unsafe { (*join.cast::<Join<'_>>())() }
        }
        let lend = |mut join: Join<'_>| {
            // SAFETY: `use_openmp` was given this function. `join` is there until it returns, when all
            // threads have returned; they may call it at once, and do not unwind out of `call`.
            unsafe { (self.parallel)(call, (&raw mut join).cast(), self.threads, 0) }
        };
        run(most.min(self.threads as usize), lend, work)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        *OPENMP.lock() = Some(self.parallel);
    }
}

/// Runs `work` in a pool of this many threads, at least one: those that `lend` calls its argument on first,
/// or the one that calls, if they are fewer. The others do nothing. It returns when all have returned.
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
    // SAFETY: only the lifetime changes. What the job borrows is there until this function returns, and
    // the job is done before: a thread leaves its place only when the pool has ended, which does not
    // happen before the job is done; all places are taken, at last by this thread; and nothing from here
    // to there unwinds.
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
