//! Streams: queues of work. The work of a stream that was created waits until something waits for
//! it; that of the default streams is done at once.

use std::{
    ffi::{c_int, c_uint, c_void},
    sync::{Arc, Mutex},
};

use super::{
    CuResult, Driver, Outcome,
    captures::Capture,
    contexts::{Context, current},
    exports,
    handles::Handle,
    lock,
    queues::{Queue, finish, finish_all, submit},
    work::{HostFunction, Work},
    write,
};

/// The priorities of streams as a GPU has them: a lower number is more urgent.
pub(super) const LEAST_PRIORITY: c_int = 0;
pub(super) const GREATEST_PRIORITY: c_int = -5;

/// The handles of the special streams: the legacy default stream, also by its own name, and the
/// per-thread default stream.
const SPECIAL: std::ops::RangeInclusive<Handle> = 0..=2;
const NON_BLOCKING: c_uint = 1;

/// A stream that was created.
pub(super) struct Stream {
    pub(super) context: Handle,
    flags: c_uint,
    priority: c_int,
    /// Capture that the stream takes part in.
    pub(super) capture: Mutex<Option<Arc<Capture>>>,
    pub(super) queue: Queue,
}

impl Stream {
    /// Whether the legacy default stream and this one wait for each other.
    pub(super) fn is_blocking(&self) -> bool {
        self.flags & NON_BLOCKING == 0
    }
}

/// The target of work that is ordered into a stream.
pub(super) enum Target {
    /// The work is done on the device, now.
    Now,
    /// The work waits in the stream's queue.
    Stream(Arc<Stream>),
    /// The work goes into a graph that is being captured.
    Capture(Arc<Capture>),
}

/// Returns the target of work that is ordered into `stream`.
///
/// # Errors
/// [`CuResult::InvalidHandle`] unless it is a live stream of this context, and errors of captures.
pub(super) fn target(driver: &Driver, context: &Context, stream: Handle) -> Outcome<Target> {
    if SPECIAL.contains(&stream) {
        // The legacy stream waits for all blocking streams, which a capture cannot express.
        let blocks = |other: &Stream| other.is_blocking() && lock(&other.capture).is_some();
        if stream < 2 && driver.streams.all().iter().any(|other| blocks(other)) {
            return Err(CuResult::StreamCaptureImplicit);
        }
        if stream < 2 {
            finish_all(driver, |other| other.context == context.handle && other.is_blocking());
        }
        return Ok(Target::Now);
    }
    let stream = driver.streams.get(stream)?;
    if stream.context != context.handle {
        return Err(CuResult::InvalidHandle);
    }
    let capture = lock(&stream.capture).clone();
    Ok(match capture {
        Some(capture) => Target::Capture(capture),
        None => Target::Stream(stream),
    })
}

/// Returns the stream behind a handle that was created, not a special one.
pub(super) fn created(driver: &Driver, context: &Context, stream: Handle) -> Outcome<Arc<Stream>> {
    let stream = driver.streams.get(stream)?;
    if stream.context == context.handle { Ok(stream) } else { Err(CuResult::InvalidHandle) }
}

fn create(handle: *mut Handle, flags: c_uint, priority: c_int) -> Outcome {
    let (driver, context) = current()?;
    if flags & !NON_BLOCKING != 0 {
        return Err(CuResult::InvalidValue);
    }
    let stream = Stream {
        context: context.handle,
        flags,
        priority: priority.clamp(GREATEST_PRIORITY, LEAST_PRIORITY),
        capture: Mutex::default(),
        queue: Queue::default(),
    };
    // SAFETY: the caller of the exported function vouches for `handle`.
    unsafe { write(handle, driver.streams.insert(stream)) }
}

/// Waits for a stream.
pub(super) fn wait(stream: Handle) -> Outcome {
    let (driver, context) = current()?;
    match target(driver, &context, stream)? {
        Target::Now => context.wait(),
        Target::Stream(stream) => {
            finish(driver, &stream);
            context.wait()
        }
        Target::Capture(capture) => {
            capture.invalidate();
            Err(CuResult::StreamCaptureUnsupported)
        }
    }
}

exports! {
    fn cuStreamCreate(stream: *mut Handle, flags: c_uint) {
        create(stream, flags, LEAST_PRIORITY)
    }
    fn cuStreamCreateWithPriority(stream: *mut Handle, flags: c_uint, priority: c_int) {
        create(stream, flags, priority)
    }
    fn cuStreamDestroy_v2(stream: Handle) {
        let (driver, context) = current()?;
        let stream = created(driver, &context, stream).and_then(|_| driver.streams.remove(stream))?;
        if let Some(capture) = lock(&stream.capture).take() {
            capture.invalidate();
        }
        finish(driver, &stream);
        Ok(())
    }
    fn cuStreamSynchronize(stream: Handle) {
        wait(stream)
    }
    fn cuStreamQuery(stream: Handle) {
        wait(stream)
    }
    fn cuStreamGetPriority(stream: Handle, priority: *mut c_int) {
        let (driver, context) = current()?;
        if SPECIAL.contains(&stream) {
            return write(priority, LEAST_PRIORITY);
        }
        write(priority, created(driver, &context, stream)?.priority)
    }
    fn cuStreamGetFlags(stream: Handle, flags: *mut c_uint) {
        let (driver, context) = current()?;
        if SPECIAL.contains(&stream) {
            return write(flags, 0);
        }
        write(flags, created(driver, &context, stream)?.flags)
    }
    fn cuStreamGetCtx(stream: Handle, of: *mut Handle) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        write(of, context.handle)
    }
    fn cuStreamGetId(stream: Handle, id: *mut u64) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        write(id, stream as u64)
    }
    fn cuLaunchHostFunc(
        stream: Handle,
        function: Option<unsafe extern "C" fn(*mut c_void)>,
        argument: *mut c_void,
    ) {
        let function = function.ok_or(CuResult::InvalidValue)?;
        submit(stream, Work::Host(HostFunction::new(function, argument)))
    }
    fn cuStreamAddCallback(
        stream: Handle,
        callback: Option<unsafe extern "C" fn(Handle, u32, *mut c_void)>,
        argument: *mut c_void,
        _flags: c_uint,
    ) {
        let callback = callback.ok_or(CuResult::InvalidValue)?;
        // The callback is called now, after all earlier work; a capture cannot hold it.
        wait(stream)?;
        callback(stream, CuResult::Success as u32, argument);
        Ok(())
    }
}
