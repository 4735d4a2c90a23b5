//! Arrays on the device. Allocation and release are ordered by the device's stream and come from
//! the driver's pool, so neither waits for anything.

use std::sync::Arc;

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaSlice, CudaView, CudaViewMut, DriverError};

use super::device::{CudaDevice, while_doing};
use super::ranges::range;
use crate::error::{Error, Result};
use crate::real::Resident;

/// A contiguous array on a device; freed when dropped, after everything that was asked for before.
/// Dropping it leaves its device's context the calling thread's current one: a program that calls
/// the driver itself makes its own current again.
pub struct Buffer<T: Resident> {
    /// At least one value, so that there always is an address.
    slice: CudaSlice<T>,
    len: usize,
    device: Arc<CudaDevice>,
}

impl<T: Resident> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.device.make_current();
    }
}

impl<T: Resident> Buffer<T> {
    /// Space for `len` values, which must be written before they are read. `what` is for the error.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the bytes asked for; the device stays usable.
    pub fn unwritten(device: &Arc<CudaDevice>, what: &str, len: usize) -> Result<Self> {
        let bytes = len.max(1).saturating_mul(size_of::<T>());
        let out_of_memory = || Error::OutOfMemory { what: format!("{what}, on the device"), bytes };
        if bytes > isize::MAX as usize {
            return Err(out_of_memory());
        }
        // SAFETY: a device representation has no invalid bit patterns, and kernels write before
        // they read.
        let allocate = || unsafe { device.stream().alloc::<T>(len.max(1)) };
        let is_full = |error: &DriverError| error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY;
        let mut allocated = allocate();
        if allocated.as_ref().is_err_and(is_full) {
            // The pool may hold freed pieces, none of them large enough.
            let doing = format!("freeing memory for {what}");
            device.trim().map_err(while_doing(&doing))?;
            allocated = allocate();
        }
        let slice = allocated.map_err(|error| {
            if is_full(&error) {
                out_of_memory()
            } else {
                while_doing(&format!("allocating {bytes} bytes for {what}"))(error)
            }
        })?;
        Ok(Buffer { slice, len, device: device.clone() })
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// As [`Self::unwritten`], or [`Error::Device`].
    pub fn zeros(device: &Arc<CudaDevice>, what: &str, len: usize) -> Result<Self> {
        let mut buffer = Self::unwritten(device, what, len)?;
        buffer.fill_zero(what)?;
        Ok(buffer)
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// As [`Self::unwritten`], or [`Error::Device`].
    pub fn from_host(device: &Arc<CudaDevice>, what: &str, values: &[T]) -> Result<Self> {
        let mut buffer = Self::unwritten(device, what, values.len())?;
        buffer.copy_from_host(what, values)?;
        Ok(buffer)
    }

    /// All bits zero.
    pub fn fill_zero(&mut self, what: &str) -> Result<()> {
        let doing = format!("clearing {what} on the device");
        self.device.stream().memset_zeros(&mut self.slice).map_err(while_doing(&doing))
    }

    /// Overwrites as many values as there are, from the first on.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are more than this array has, [`Error::Device`].
    pub fn copy_from_host(&mut self, what: &str, values: &[T]) -> Result<()> {
        self.check_room(what, values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        let doing = format!("copying {what} to the device");
        let _range = range(&doing);
        self.device.stream().memcpy_htod(values, &mut self.slice).map_err(while_doing(&doing))
    }

    /// Reads as many values as there is room for, from the first on, after waiting for what
    /// computes them.
    ///
    /// # Errors
    /// [`Error::Argument`] if this array has fewer, [`Error::Device`], also of earlier work.
    pub fn copy_to_host(&self, what: &str, values: &mut [T]) -> Result<()> {
        self.check_room(what, values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        let doing = format!("copying {what} from the device");
        let _range = range(&doing);
        self.device
            .stream()
            .memcpy_dtoh(&self.part(0, values.len()), values)
            .map_err(while_doing(&doing))?;
        self.device.synchronize()
    }

    /// A copy on the same device.
    ///
    /// # Errors
    /// As [`Self::unwritten`], or [`Error::Device`].
    pub fn duplicate(&self, what: &str) -> Result<Self> {
        let mut copy = Self::unwritten(&self.device, what, self.len)?;
        if self.len > 0 {
            let doing = format!("copying {what} on the device");
            let stream = self.device.stream();
            let copied = stream.memcpy_dtod(&self.view(), &mut copy.view_mut());
            copied.map_err(while_doing(&doing))?;
        }
        Ok(copy)
    }

    fn check_room(&self, what: &str, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("the array on the device has {} values, not {len}", self.len);
        Err(Error::argument(what, message))
    }

    /// All values.
    pub fn view(&self) -> CudaView<'_, T> {
        self.slice.slice(..self.len)
    }

    /// All values, to be written.
    pub fn view_mut(&mut self) -> CudaViewMut<'_, T> {
        let len = self.len;
        self.slice.slice_mut(..len)
    }

    /// `count` values from `start` on.
    pub(crate) fn part(&self, start: usize, count: usize) -> CudaView<'_, T> {
        self.slice.slice(start..start + count)
    }

    /// `count` values from `start` on, to be written.
    pub(crate) fn part_mut(&mut self, start: usize, count: usize) -> CudaViewMut<'_, T> {
        self.slice.slice_mut(start..start + count)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it lies.
    pub fn device(&self) -> &Arc<CudaDevice> {
        &self.device
    }
}
