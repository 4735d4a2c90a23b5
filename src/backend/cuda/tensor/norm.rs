//! The gradient's norm: computed on the device, on its way to the program while both go on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaView, PinnedHostSlice};

use super::kernels::TapeKernels;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::device::{CudaDevice, while_doing};
use crate::{Real, Result};

/// Elements that a block of the sum of squares takes at least.
const SHARE: usize = 2048;
/// Blocks of the sum of squares of one array at most.
const MOST_BLOCKS: usize = 256;

/// Places in the program's memory that the device can write to while the program goes on: kept,
/// because making one waits for the device.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<Vec<Place>>>);

/// One of them.
struct Place {
    memory: PinnedHostSlice<f64>,
    device: Arc<CudaDevice>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.device.make_current();
    }
}

impl Places {
    fn take(&self, device: &Arc<CudaDevice>) -> Result<Place> {
        if let Some(place) = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(place);
        }
        // SAFETY: the device writes to it before it is read.
        let memory = unsafe { device.stream().context().alloc_pinned(1) }
            .map_err(while_doing("allocating a place for the gradient's norm"))?;
        Ok(Place { memory, device: device.clone() })
    }
}

/// A norm that the device computes.
#[derive(Clone)]
pub struct Norm(Arc<Pending>);

struct Pending {
    on_device: Buffer<f64>,
    /// `None` only while it is dropped.
    place: Option<Place>,
    places: Places,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The next to use it waits, on the device, for this copy.
        let mut places = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.extend(self.place.take());
    }
}

impl fmt::Debug for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Norm")
    }
}

impl Norm {
    /// The joint Euclidean norm of some arrays.
    pub fn new<T: Real>(
        device: &Arc<CudaDevice>,
        kernels: &TapeKernels,
        places: &Places,
        arrays: &[CudaView<'_, T>],
    ) -> Result<Self> {
        let blocks = |array: &CudaView<'_, T>| array.len().div_ceil(SHARE).min(MOST_BLOCKS);
        let count = arrays.iter().map(blocks).sum();
        let mut partials = Buffer::<f64>::unwritten(device, "sums of squares", count)?;
        let mut start = 0;
        for array in arrays {
            let end = start + blocks(array);
            kernels.squares(array, &mut partials.view_mut().slice_mut(start..end))?;
            start = end;
        }
        let mut on_device = Buffer::<f64>::unwritten(device, "the gradient's norm", 1)?;
        kernels.gradient_norm(&partials.view(), &mut on_device.view_mut())?;
        let mut place = places.take(device)?;
        device
            .stream()
            .memcpy_dtoh(&on_device.view(), &mut place.memory)
            .map_err(while_doing("copying the gradient's norm from the device"))?;
        Ok(Norm(Arc::new(Pending { on_device, place: Some(place), places: places.clone() })))
    }

    /// Where the device has it.
    pub fn view(&self) -> CudaView<'_, f64> {
        self.0.on_device.view()
    }

    /// Its number; waits until the device has come that far.
    pub fn value(&self) -> Result<f64> {
        let place = self.0.place.as_ref().expect("it is there until it is dropped");
        Ok(place.memory.as_slice().map_err(while_doing("waiting for the gradient's norm"))?[0])
    }
}
