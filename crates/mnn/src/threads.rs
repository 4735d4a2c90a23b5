//! The threads that compute.

use mechanistic::ensure_memory;
use rayon::ThreadPoolBuilder;

/// The variable with which users set the number of threads, here and in every program of rayon.
const THREADS: &str = "RAYON_NUM_THREADS";
/// Memory of a thread that does nothing yet, in bytes.
const STACK: usize = 2 << 20;
/// Memory without which nothing is begun, in bytes: the system's library takes small pieces for what threads
/// have of their own, and aborts the program where there are none.
const LEAST: usize = 1 << 20;
/// The most threads that can be asked for, for each processor of the machine.
const MOST_THREADS_PER_PROCESSOR: usize = 4;

/// Ends the program with a message where there is hardly memory for it.
pub fn ensure_room() {
    if Vec::<u8>::new().try_reserve_exact(LEAST).is_err() {
        crate::tell(format_args!("mnn: the program: {LEAST} bytes of memory cannot be had"));
        std::process::exit(2);
    }
}

/// Starts the threads that compute: as many as are asked for, as far as that makes sense and the
/// system lets us have them; a note says where it does not.
pub fn start_threads() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = MOST_THREADS_PER_PROCESSOR * processors;
    let asked = std::env::var(THREADS).ok().and_then(|text| text.parse().ok());
    let wanted = asked.filter(|&count| count > 0).unwrap_or(processors);
    if wanted > most {
        crate::tell(format_args!(
            "mnn: {THREADS} is {wanted}; {most} threads are started, as {processors} processors \
             have no use for more"
        ));
    }
    let count = wanted.min(most);
    let startable = can_start(count);
    let started = if startable {
        ThreadPoolBuilder::new().num_threads(count).build_global()
    } else {
        ensure_room();
        crate::tell("mnn: no more threads can be started, one computes");
        ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()
    };
    // Whoever has started threads in this process before has chosen their number.
    let _ = started;
}

/// Returns whether so many threads can be started and leave some memory to compute in. The pool that
/// stays is begun but once, and if it fails the first parallel computation panics; so others are
/// started before, and are waited for until they are gone and have left their memory to those that
/// stay.
fn can_start(count: usize) -> bool {
    if ensure_memory("threads", &[(count, STACK)]).is_err() {
        return false;
    }
    let mut threads = Vec::new();
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .spawn_handler(|thread| {
            threads.push(std::thread::Builder::new().spawn(|| thread.run())?);
            Ok(())
        })
        .build();
    let startable = pool.is_ok();
    drop(pool);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    startable
}
