//! An operation on the device, which is run now, or kept by a graph and run at every launch of it.

use std::ffi::c_void;

use super::{
    Driver, Outcome,
    contexts::{Context, current},
    copies::{Copy, Fill},
    handles::Handle,
    launches::Launch,
    lock,
    streams::{Target, target},
};

/// An operation that can be ordered into a stream.
#[derive(Clone)]
pub(super) enum Work {
    Copy(Copy),
    Fill(Fill),
    Launch(Launch),
    Host(HostFunction),
    /// The begin of the life of an allocation node of a graph.
    Allocate(u64),
    /// The freeing of an allocation.
    Free(u64),
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

/// Orders work into a stream of the current context.
pub(super) fn submit(stream: Handle, work: Work) -> Outcome {
    let (driver, context) = current()?;
    match target(driver, &context, stream)? {
        Target::Device => run(driver, &context, &work),
        Target::Capture(capture) => capture.record(stream, work),
    }
}

/// Does the work, unless a kernel has ended all work in the context.
pub(super) fn run(driver: &Driver, context: &Context, work: &Work) -> Outcome {
    if context.has_failed() {
        return Ok(());
    }
    // A host function may take as long as it wants, so that it does not keep others from the
    // device.
    let _one_at_a_time = match work {
        Work::Host(_) => None,
        _ => Some(lock(&driver.work)),
    };
    match work {
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
