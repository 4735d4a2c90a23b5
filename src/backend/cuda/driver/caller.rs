//! The order between the work of this library and that of a program which calls the driver itself.

use std::ffi::c_void;

use cudarc::driver::result::{ctx, event, stream};
use cudarc::driver::sys::{self, CUevent_wait_flags};

use super::device::{CudaDevice, while_doing};
use crate::error::Result;

impl CudaDevice {
    /// Runs `work`, and has the device do what `work` asks for after all that `stream` was asked for
    /// before, and before all that it is asked for afterwards. `stream` is that of the program, such as
    /// PyTorch's current one; null stands for the default stream. Events order the streams on the device,
    /// and nothing waits in the program. While `stream` is captured in a CUDA graph, the graph gets the work
    /// too: solves and gradients of a [`DeviceSolver`](crate::cuda::DeviceSolver) between
    /// [lent arrays](crate::cuda::DeviceArray::lent) may be captured once the solver is made, what
    /// allocates memory or waits for the device may not. The calling thread's current context is the same afterwards.
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
        let _current = Current::saved();
        let theirs = stream.cast();
        let begin = self.context().new_event(None).map_err(&failed)?;
        // SAFETY: the event was just made, and the caller vouches for the stream.
        unsafe { event::record(begin.cu_event(), theirs) }.map_err(&failed)?;
        self.stream().wait(&begin).map_err(&failed)?;
        let outcome = work();
        // After a failure too: the device may have been asked for a part of the work.
        let end = self.stream().record_event(None).map_err(&failed)?;
        let default = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: as above.
        unsafe { stream::wait_event(theirs, end.cu_event(), default) }.map_err(&failed)?;
        outcome
    }
}

/// The context that was the calling thread's current one, and is so again when this is dropped.
struct Current(sys::CUcontext);

impl Current {
    fn saved() -> Self {
        // A driver that cannot tell has none to restore.
        Current(ctx::get_current().ok().flatten().unwrap_or(std::ptr::null_mut()))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: it was the thread's context when this was made, or is null, for none. If its owner has
        // destroyed it since, the driver says so and nothing changes.
        let _ = unsafe { ctx::set_current(self.0) };
    }
}
