//! Arrays of Python by their addresses.

use std::sync::Arc;

use mechanistic::cuda::{CudaDevice, DeviceArray, Resident};
use mechanistic::{Error, Result};

/// An array of Python: the address of its first number and how many there are. The module `lib`
/// says who vouches for both.
#[derive(Clone, Copy)]
pub struct Address(pub usize);

impl Address {
    /// Returns the array to read, of `count` numbers.
    pub fn read<'a, T>(self, count: usize) -> Result<&'a [T]> {
        if count == 0 {
            return Ok(&[]);
        }
        self.check::<T>()?;
        // SAFETY: the caller, in Python or XLA, keeps the array alive during the call and has made it
        // of the shape that `count` was computed from; the address was just checked.
        Ok(unsafe { std::slice::from_raw_parts(self.0 as *const T, count) })
    }

    /// Returns the array to write, of `count` numbers.
    pub fn write<'a, T>(self, count: usize) -> Result<&'a mut [T]> {
        if count == 0 {
            return Ok(&mut []);
        }
        self.check::<T>()?;
        // SAFETY: as above; the caller has made the array for this call, so that nobody else has
        // it.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0 as *mut T, count) })
    }

    /// Returns the address, or nothing for 0, which stands for an array that is not wanted.
    pub fn given(self) -> Option<Self> {
        (self.0 != 0).then_some(self)
    }

    /// Refuses addresses that no array of numbers of this type can have.
    fn check<T>(self) -> Result<()> {
        if self.0 == 0 || !self.0.is_multiple_of(align_of::<T>()) {
            let message = format!(
                "expected the address of an array of {}, got {:#x}",
                std::any::type_name::<T>(),
                self.0
            );
            return Err(Error::argument("address", message));
        }
        Ok(())
    }
}

/// Returns the array of `len` numbers at an address on a CUDA device.
pub fn lent<T: Resident>(
    gpu: &Arc<CudaDevice>,
    what: &str,
    address: usize,
    len: usize,
) -> Result<DeviceArray<T>> {
    // SAFETY: the caller in Python has made the array of the shape that `len` was computed from. It
    // keeps it during the call, and what uses its memory after that is later in the order of the
    // stream, to which the work belongs.
    unsafe { DeviceArray::lent(gpu, what, address as u64, len) }
}
