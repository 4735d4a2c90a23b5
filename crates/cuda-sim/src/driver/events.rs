//! Events of the driver API. Whoever asks for an event does the work before it. Times are those of
//! the simulation, not of a GPU.

use std::{
    ffi::c_uint,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    CuResult, Driver, Outcome,
    captures::{Capture, Tail},
    contexts::current,
    exports,
    handles::Handle,
    lock,
    queues::{self, Mark},
    streams::{Target, created, target},
    work::Work,
    write,
};

const DISABLE_TIMING: c_uint = 2;
const ALL_FLAGS: c_uint = 1 | DISABLE_TIMING | 4;
/// The flags `CU_EVENT_WAIT_EXTERNAL` and `CU_EVENT_RECORD_EXTERNAL`.
const EXTERNAL: c_uint = 1;

/// An event with the time or the place in a graph where it was last recorded.
pub(super) struct Event {
    pub(super) context: Handle,
    timing: bool,
    recorded: Mutex<Recorded>,
}

/// The last recording of an event.
#[derive(Clone)]
enum Recorded {
    Never,
    At(Mark),
    /// The event was recorded in a stream that was being captured.
    In(Arc<Capture>, Tail),
}

impl Event {
    /// Waits for the event, and returns when it completed.
    ///
    /// # Errors
    /// [`CuResult::CapturedEvent`] if the event only stands for a place in a graph.
    fn completed(&self, driver: &Driver) -> Outcome<Option<Instant>> {
        let recorded = lock(&self.recorded).clone();
        match recorded {
            Recorded::Never => Ok(None),
            Recorded::At(mark) => Ok(Some(mark.wait(driver))),
            Recorded::In(capture, _) => {
                capture.invalidate();
                Err(CuResult::CapturedEvent)
            }
        }
    }
}

fn record(event: Handle, stream: Handle, flags: c_uint) -> Outcome {
    let (driver, context) = current()?;
    let event = driver.events.get(event)?;
    if event.context != context.handle {
        return Err(CuResult::InvalidHandle);
    }
    *lock(&event.recorded) = match target(driver, &context, stream)? {
        Target::Now => Recorded::At(queues::mark(driver, &context, None)),
        Target::Stream(stream) => Recorded::At(queues::mark(driver, &context, Some(stream))),
        Target::Capture(_) if flags & EXTERNAL != 0 => {
            super::say("cuEventRecordWithFlags: event nodes of graphs are not supported");
            return Err(CuResult::NotSupported);
        }
        Target::Capture(capture) => {
            let tail = capture.tail(stream);
            Recorded::In(capture, tail)
        }
    };
    Ok(())
}

fn wait(stream: Handle, event: Handle, flags: c_uint) -> Outcome {
    let (driver, context) = current()?;
    let event = driver.events.get(event)?;
    let target = target(driver, &context, stream)?;
    let recorded = lock(&event.recorded).clone();
    match (target, recorded) {
        (_, Recorded::Never) => Ok(()),
        (Target::Now, Recorded::At(mark)) => {
            mark.wait(driver);
            Ok(())
        }
        (Target::Stream(stream), Recorded::At(mark)) => {
            queues::order(driver, &context, &stream, Work::Await(mark))
        }
        (Target::Capture(_), Recorded::At(_)) if flags & EXTERNAL != 0 => {
            super::say("cuStreamWaitEvent: event nodes of graphs are not supported");
            Err(CuResult::NotSupported)
        }
        (Target::Capture(capture), Recorded::At(_)) => {
            capture.invalidate();
            Err(CuResult::StreamCaptureIsolation)
        }
        (Target::Capture(capture), Recorded::In(of_event, tail)) => {
            if Arc::ptr_eq(&capture, &of_event) {
                capture.wait(stream, &tail);
                return Ok(());
            }
            capture.invalidate();
            of_event.invalidate();
            Err(CuResult::StreamCaptureMerge)
        }
        // The place in a graph that is already complete means nothing outside it.
        (Target::Now | Target::Stream(_), Recorded::In(of_event, _)) if of_event.ended() => {
            Err(CuResult::CapturedEvent)
        }
        // The stream joins the capture.
        (Target::Now | Target::Stream(_), Recorded::In(of_event, tail)) => {
            let joining = created(driver, &context, stream).map_err(|_| {
                of_event.invalidate();
                CuResult::StreamCaptureImplicit
            })?;
            of_event.wait(stream, &tail);
            *lock(&joining.capture) = Some(of_event);
            Ok(())
        }
    }
}

/// Waits for an event on the host.
fn wait_for(event: Handle) -> Outcome {
    let (driver, context) = current()?;
    driver.events.get(event)?.completed(driver)?;
    context.wait()
}

fn elapsed(milliseconds: *mut f32, start: Handle, end: Handle) -> Outcome {
    let (driver, context) = current()?;
    let (start, end) = (driver.events.get(start)?, driver.events.get(end)?);
    if !start.timing || !end.timing {
        return Err(CuResult::InvalidHandle);
    }
    let (Some(from), Some(to)) = (start.completed(driver)?, end.completed(driver)?) else {
        return Err(CuResult::InvalidHandle);
    };
    context.wait()?;
    let backwards = from.saturating_duration_since(to).as_secs_f32();
    let seconds = to.saturating_duration_since(from).as_secs_f32() - backwards;
    // SAFETY: the caller of the exported function vouches for `milliseconds`.
    unsafe { write(milliseconds, 1e3 * seconds) }
}

exports! {
    fn cuEventCreate(event: *mut Handle, flags: c_uint) {
        let (driver, context) = current()?;
        if flags & !ALL_FLAGS != 0 {
            return Err(CuResult::InvalidValue);
        }
        write(event, driver.events.insert(Event {
            context: context.handle,
            timing: flags & DISABLE_TIMING == 0,
            recorded: Mutex::new(Recorded::Never),
        }))
    }
    fn cuEventDestroy_v2(event: Handle) {
        current()?.0.events.remove(event).map(drop)
    }
    fn cuEventRecord(event: Handle, stream: Handle) {
        record(event, stream, 0)
    }
    fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: c_uint) {
        record(event, stream, flags)
    }
    fn cuEventQuery(event: Handle) {
        wait_for(event)
    }
    fn cuEventSynchronize(event: Handle) {
        wait_for(event)
    }
    fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle) {
        elapsed(milliseconds, start, end)
    }
    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: Handle, end: Handle) {
        elapsed(milliseconds, start, end)
    }
    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) {
        wait(stream, event, flags)
    }
}
