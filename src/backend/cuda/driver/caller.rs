//! The order between the work of this library and that of a program which calls the driver itself.

use std::ffi::c_void;

use cudarc::driver::result::{ctx, event, stream};
use cudarc::driver::sys::{
    self, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT,
    CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE,
};

use super::device::{CudaDevice, while_doing};
use crate::error::Result;

impl CudaDevice {
    /// Runs `work`, after which the calling thread's current context is what it was before: what this
    /// library asks of the driver makes its own context current.
    pub fn in_context<R>(&self, work: impl FnOnce() -> R) -> R {
        let _current = Current::of(self);
        work()
    }

    /// Returns whether a stream of the program is captured in a CUDA graph.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    ///
    /// # Safety
    /// That of [`Self::in_order_of`].
    pub unsafe fn is_captured(&self, stream: *mut c_void) -> Result<bool> {
        let _current = Current::of(self);
        // SAFETY: the caller vouches for the stream.
        let status = unsafe { stream::is_capturing(stream.cast()) };
        let status = status.map_err(while_doing("asking whether a stream is captured"))?;
        Ok(status != CU_STREAM_CAPTURE_STATUS_NONE)
    }

    /// Runs `work`, and has the device do what `work` asks for after all that `stream` was asked for
    /// before, and before all that it is asked for afterwards. `stream` is that of a program which
    /// calls the driver itself, such as PyTorch's current one; null stands for the default stream.
    /// Events order the streams on the device, and nothing waits in the program. The calling
    /// thread's current context is the same afterwards.
    ///
    /// While `stream` is captured in a CUDA graph, the graph gets the work too. Solves and gradients
    /// of a [`DeviceSolver`](crate::cuda::DeviceSolver) that is there already, among
    /// [lent arrays](crate::cuda::DeviceArray::lent), may be captured; what allocates memory or waits
    /// for the device may not. Nothing else may use the device through this library meanwhile, as
    /// the graph would get that too, and the solver must live as long as the graph.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Device`](crate::Error::Device) if the device fails.
    ///
    /// # Safety
    /// `stream` must be null or a stream of the device's primary context, and must not be destroyed
    /// before this returns.
    pub unsafe fn in_order_of<R>(
        &self,
        stream: *mut c_void,
        work: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let failed = while_doing("ordering the work with that of the caller's stream");
        // Dropped after the events, which are destroyed in the device's context.
        let _current = Current::of(self);
        let theirs = stream.cast();
        let begin = self.context().new_event(None).map_err(&failed)?;
        // SAFETY: the event was just made, and the caller vouches for the stream.
        unsafe { event::record(begin.cu_event(), theirs) }.map_err(&failed)?;
        self.stream().wait(&begin).map_err(&failed)?;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // After a failure too: the device may have been asked for a part of the work.
        let ordered = self.stream().record_event(None).and_then(|end| {
            // SAFETY: as above.
            unsafe { stream::wait_event(theirs, end.cu_event(), CU_EVENT_WAIT_DEFAULT) }
        });
        let result = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ordered.map_err(&failed)?;
        Ok(result)
    }
}

/// The time during which a context is the calling thread's current one. When this is dropped, the one
/// before is so again.
#[must_use]
pub(crate) struct Current {
    before: sys::CUcontext,
}

impl Current {
    /// Leaves the present context current, for what makes another one current.
    pub(crate) fn saved() -> Self {
        // A driver that cannot tell has none to restore.
        Current { before: ctx::get_current().ok().flatten().unwrap_or(std::ptr::null_mut()) }
    }

    /// Makes the context of a device current.
    pub(crate) fn of(device: &CudaDevice) -> Self {
        let current = Current::saved();
        let context = device.context();
        // SAFETY: the context lives as long as the device.
        context.record_err(unsafe { ctx::set_current(context.cu_ctx()) });
        current
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: it was the thread's context when this was made, or is null, for none. If its owner has
        // destroyed it since, the driver says so and nothing changes.
        let _ = unsafe { ctx::set_current(self.before) };
    }
}
