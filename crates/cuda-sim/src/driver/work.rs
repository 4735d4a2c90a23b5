//! An operation on the device, which waits in the queue of a stream, or is kept by a graph and run
//! at every launch of it.

use std::{
    ffi::c_void,
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{
    Driver, Outcome,
    contexts::Context,
    copies::{Copy, Fill},
    cublas::Multiply,
    graphs::Replay,
    launches::Launch,
    lock,
    queues::Mark,
};
use crate::faults::Operation;

/// An operation that can be ordered into a stream.
#[derive(Clone)]
pub(super) enum Work {
    Copy(Copy),
    Fill(Fill),
    Launch(Launch),
    /// A matrix product of cuBLAS.
    Product(Arc<dyn Multiply>),
    Host(HostFunction),
    /// The begin of the life of an allocation node of a graph.
    Allocate(u64),
    /// The freeing of an allocation.
    Free(u64),
    /// The nodes of a graph.
    Graph(Replay),
    /// The noting of the time at which an event is reached.
    Stamp(Arc<OnceLock<Instant>>),
    /// The waiting for an event of another stream.
    Await(Mark),
}

impl Work {
    /// Returns the work as it waits in a queue: with what the host may overwrite meanwhile.
    pub(super) fn delayed(self, driver: &Driver) -> Self {
        match self {
            Work::Copy(copy) => Work::Copy(copy.delayed(driver)),
            other => other,
        }
    }
}

/// A function on the host, and its argument.
#[derive(Clone, Copy)]
pub(super) struct HostFunction {
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
}

// SAFETY: whoever passes a host function agrees that the driver calls it on any thread.
unsafe impl Send for HostFunction {}
// SAFETY: whoever passes a host function agrees that the driver shares it between threads.
unsafe impl Sync for HostFunction {}

impl HostFunction {
    pub(super) fn new(function: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) -> Self {
        Self { function, argument }
    }
}

/// Checks what a driver checks when work is ordered: injected failures, and addresses of copies.
pub(super) fn admit(driver: &Driver, context: &Context, work: &Work) -> Outcome {
    if context.has_failed() {
        return Ok(());
    }
    match work {
        Work::Copy(copy) => copy.admit(driver),
        Work::Fill(fill) => fill.admit(driver),
        Work::Launch(launch) => launch.admit(driver, context),
        Work::Product(_) => driver.faults.check(Operation::Launch),
        Work::Free(address) => driver.allocations.announce_free(driver, *address),
        Work::Graph(graph) => graph.admit(driver, context),
        Work::Host(_) | Work::Allocate(_) | Work::Stamp(_) | Work::Await(_) => Ok(()),
    }
}

/// Does the work, unless a kernel has ended all work in the context.
pub(super) fn run(driver: &Driver, context: &Context, work: &Work) -> Outcome {
    // The time of an event is noted even then, so that nobody waits for it in vain.
    if context.has_failed() && !matches!(work, Work::Stamp(_)) {
        return Ok(());
    }
    // A host function may take as long as it wants, so that it does not keep others from the
    // device; the nodes of a graph and the work of another stream come one by one.
    let _one_at_a_time = match work {
        Work::Host(_) | Work::Graph(_) | Work::Await(_) => None,
        _ => Some(lock(&driver.work)),
    };
    match work {
        Work::Graph(graph) => graph.run(driver, context),
        Work::Await(mark) => {
            mark.wait(driver);
            Ok(())
        }
        Work::Stamp(reached) => {
            reached.get_or_init(Instant::now);
            Ok(())
        }
        Work::Product(product) => {
            product.run(driver, context);
            Ok(())
        }
        Work::Copy(copy) => copy.run(driver),
        Work::Fill(fill) => fill.run(driver),
        Work::Launch(launch) => launch.run(driver, context),
        Work::Host(HostFunction { function, argument }) => {
            // SAFETY: the contract of cuLaunchHostFunc.
            unsafe { function(*argument) };
            Ok(())
        }
        Work::Allocate(address) => driver.allocations.begin_life(*address),
        Work::Free(address) => driver.allocations.free(driver, *address),
    }
}
