//! Arrays on the device. Allocation and release are ordered by the device's stream and come from
//! the library's pool, so that neither waits for anything.

use std::mem::ManuallyDrop;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype, CUresult, cuMemcpy2DAsync_v2};
use cudarc::driver::{CudaSlice, CudaView, CudaViewMut, DevicePtr, DriverError};

use super::caller::Current;
use super::device::{CudaDevice, while_doing};
use super::ranges::range;
use crate::error::{Error, Result};
use crate::real::Resident;

/// A contiguous array on a device. It is freed when dropped, after all work that was asked of the
/// device before; the calling thread's current context stays what it is.
pub struct Buffer<T: Resident> {
    /// Memory on the device, for at least one value if it is the library's, so that there always is
    /// an address. It is dropped by hand, because a caller's must not be freed.
    slice: ManuallyDrop<CudaSlice<T>>,
    len: usize,
    /// Whether the memory is that of a caller, who frees it.
    lent: bool,
    device: Arc<CudaDevice>,
}

impl<T: Resident> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: nothing uses the slice after this.
        let slice = unsafe { ManuallyDrop::take(&mut self.slice) };
        if self.lent {
            slice.leak();
        } else {
            // cudarc frees in the context that is current, which may be another device's, or none
            // on a thread that never used one.
            let _current = Current::of(&self.device);
            drop(slice);
        }
    }
}

impl<T: Resident> Buffer<T> {
    /// Allocates space for `len` values, which must be written before they are read. `what` names
    /// the array in errors.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the bytes asked for; the device stays usable.
    pub fn unwritten(device: &Arc<CudaDevice>, what: &str, len: usize) -> Result<Self> {
        let bytes = len.max(1).saturating_mul(size_of::<T>());
        let out_of_memory = || Error::OutOfMemory { what: format!("{what}, on the device"), bytes };
        if bytes > isize::MAX as usize {
            return Err(out_of_memory());
        }
        let allocate = || device.allocate::<T>(len.max(1));
        let is_full = |error: &DriverError| error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY;
        let mut allocated = allocate();
        if allocated.as_ref().is_err_and(is_full) {
            // The pool may hold freed pieces, none of them large enough.
            device.trim()?;
            allocated = allocate();
        }
        let slice = allocated.map_err(|error| {
            if is_full(&error) {
                out_of_memory()
            } else {
                while_doing(&format!("allocating {bytes} bytes for {what}"))(error)
            }
        })?;
        Ok(Buffer { slice: ManuallyDrop::new(slice), len, lent: false, device: device.clone() })
    }

    /// Makes an array of `len` values in memory of the caller, such as that of a tensor of PyTorch,
    /// from its address on the device. Dropping it leaves the memory as it is. `what` names the
    /// array in errors; [`CudaDevice::in_order_of`] orders its uses with those of the caller.
    ///
    /// # Errors
    /// [`Error::Argument`] if the address is null though there are values, or is not a multiple of
    /// their size.
    ///
    /// # Safety
    /// The address must be that of `len` values of memory on this device, which stays allocated and
    /// which nothing else writes, nor reads if this is written, until the array is dropped and the
    /// device has done what it was asked for with it.
    pub unsafe fn lent(
        device: &Arc<CudaDevice>,
        what: &str,
        address: u64,
        len: usize,
    ) -> Result<Self> {
        if (address == 0 && len > 0) || !address.is_multiple_of(size_of::<T>() as u64) {
            let name = std::any::type_name::<T>();
            let message =
                format!("expected the address of {len} values of {name}, got {address:#x}");
            return Err(Error::argument(what, message));
        }
        // SAFETY: the caller vouches for the memory, and `drop` does not free it.
        let slice = unsafe { device.stream().upgrade_device_ptr(address, len) };
        Ok(Buffer { slice: ManuallyDrop::new(slice), len, lent: true, device: device.clone() })
    }

    /// Allocates `len` zeros.
    ///
    /// # Errors
    /// Those of [`Self::unwritten`], and [`Error::Device`] if the device fails.
    pub fn zeros(device: &Arc<CudaDevice>, what: &str, len: usize) -> Result<Self> {
        let mut buffer = Self::unwritten(device, what, len)?;
        buffer.fill_zero(what)?;
        Ok(buffer)
    }

    /// Allocates a copy of `values`.
    ///
    /// # Errors
    /// Those of [`Self::unwritten`], and [`Error::Device`] if the device fails.
    pub fn from_host(device: &Arc<CudaDevice>, what: &str, values: &[T]) -> Result<Self> {
        let mut buffer = Self::unwritten(device, what, values.len())?;
        buffer.copy_from_host(what, values)?;
        Ok(buffer)
    }

    /// Sets all bits to zero.
    pub fn fill_zero(&mut self, what: &str) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let doing = format!("clearing {what} on the device");
        self.device.stream().memset_zeros(&mut *self.slice).map_err(while_doing(&doing))
    }

    /// Overwrites this array with `values`, from the first one on.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are more than this array has, [`Error::Device`] if the device
    /// fails.
    pub fn copy_from_host(&mut self, what: &str, values: &[T]) -> Result<()> {
        self.check_room(what, values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        let doing = format!("copying {what} to the device");
        let _range = range(&doing);
        self.device.stream().memcpy_htod(values, &mut *self.slice).map_err(while_doing(&doing))
    }

    /// Reads as many values as `values` has room for, from the first one on, after waiting for the
    /// work that computes them.
    ///
    /// # Errors
    /// [`Error::Argument`] if this array has fewer, [`Error::Device`] if the device fails or
    /// earlier work has failed.
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

    /// Allocates a copy of this array on the same device.
    ///
    /// # Errors
    /// Those of [`Self::unwritten`], and [`Error::Device`] if the device fails.
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

    /// Overwrites this array with one of the same length on the same device.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths or the devices differ, [`Error::Device`] if the device
    /// fails.
    pub fn copy_from(&mut self, what: &str, other: &Self) -> Result<()> {
        self.check_same(what, other.len, &other.device)?;
        if other.is_empty() {
            return Ok(());
        }
        let stream = self.device.stream().clone();
        let copied = stream.memcpy_dtod(&other.view(), &mut self.view_mut());
        copied.map_err(while_doing(&format!("copying {what} on the device")))
    }

    fn check_same(&self, what: &str, len: usize, device: &CudaDevice) -> Result<()> {
        if len != self.len {
            return Err(Error::argument(what, format!("expected {len} values, got {}", self.len)));
        }
        if device.ordinal() != self.device.ordinal() {
            let message = format!("lies on {:?}, what is copied on {device:?}", self.device);
            return Err(Error::argument(what, message));
        }
        Ok(())
    }

    fn check_room(&self, what: &str, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("the array on the device has {} values, not {len}", self.len);
        Err(Error::argument(what, message))
    }

    /// Returns a view of all values.
    pub fn view(&self) -> CudaView<'_, T> {
        self.slice.slice(..self.len)
    }

    /// Returns a view of all values, to be written.
    pub fn view_mut(&mut self) -> CudaViewMut<'_, T> {
        let len = self.len;
        self.slice.slice_mut(..len)
    }

    /// Returns a view of `count` values from `start` on.
    pub(crate) fn part(&self, start: usize, count: usize) -> CudaView<'_, T> {
        self.slice.slice(start..start + count)
    }

    /// Returns a view of `count` values from `start` on, to be written.
    pub(crate) fn part_mut(&mut self, start: usize, count: usize) -> CudaViewMut<'_, T> {
        self.slice.slice_mut(start..start + count)
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the array has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the device that the array lies on.
    pub fn device(&self) -> &Arc<CudaDevice> {
        &self.device
    }
}

impl Buffer<i32> {
    /// Overwrites this array with the first four bytes of each value of another one on the same
    /// device, which has as many values.
    ///
    /// # Errors
    /// Those of [`Self::copy_from`].
    pub(crate) fn copy_first_words<S: Resident>(
        &mut self,
        what: &str,
        other: &Buffer<S>,
    ) -> Result<()> {
        const { assert!(size_of::<S>() >= size_of::<i32>(), "a value has four bytes") };
        self.check_same(what, other.len, &other.device)?;
        if other.is_empty() {
            return Ok(());
        }
        let failed = while_doing("copying numbers on the device");
        let stream = self.device.stream();
        stream.context().bind_to_thread().map_err(&failed)?;
        // A table whose first column is copied.
        let columns = CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: null(),
            srcDevice: other.slice.device_ptr(stream).0,
            srcArray: null_mut(),
            srcPitch: size_of::<S>(),
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: null_mut(),
            dstDevice: self.slice.device_ptr(stream).0,
            dstArray: null_mut(),
            dstPitch: size_of::<i32>(),
            WidthInBytes: size_of::<i32>(),
            Height: self.len,
        };
        // SAFETY: both arrays are as long as the structure says.
        let copied = unsafe { cuMemcpy2DAsync_v2(&raw const columns, stream.cu_stream()).result() };
        copied.map_err(&failed)
    }
}
