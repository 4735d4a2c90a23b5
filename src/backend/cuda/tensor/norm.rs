//! The norm of gradients: it is computed on the device, and copied to the program while both go on.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaEvent, CudaView, PinnedHostSlice};

use super::kernels::TapeKernels;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::caller::Current;
use crate::backend::cuda::driver::device::{CudaDevice, while_doing};
use crate::{Real, Result};

/// The least number of elements that a block of the sum of squares takes.
const SHARE: usize = 2048;
/// The most blocks of the sum of squares of one array.
const MOST_BLOCKS: usize = 256;

/// The places in the program's memory that the device can write to while the program goes on. They
/// are kept, because making one waits for the device.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<Vec<Place>>>);

/// A place for one number.
struct Place {
    memory: ManuallyDrop<PinnedHostSlice<f64>>,
    /// Recorded after the copy to `memory`. The device does not track uses of memory by events, so
    /// nothing else tells when the number is there.
    copied: ManuallyDrop<CudaEvent>,
    device: Arc<CudaDevice>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Both go in the context that is current.
        let _current = Current::of(&self.device);
        // SAFETY: nothing uses them after this.
        unsafe {
            ManuallyDrop::drop(&mut self.memory);
            ManuallyDrop::drop(&mut self.copied);
        }
    }
}

impl Places {
    fn take(&self, device: &Arc<CudaDevice>) -> Result<Place> {
        if let Some(place) = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(place);
        }
        let failed = while_doing("allocating a place for the gradient's norm");
        let context = device.stream().context();
        // SAFETY: the device writes to it before it is read.
        let memory = unsafe { context.alloc_pinned(1) }.map_err(&failed)?;
        let copied = context.new_event(None).map_err(&failed)?;
        let (memory, copied) = (ManuallyDrop::new(memory), ManuallyDrop::new(copied));
        Ok(Place { memory, copied, device: device.clone() })
    }
}

/// A norm that the device computes.
#[derive(Clone)]
pub struct Norm(Arc<Pending>);

struct Pending {
    on_device: Buffer<f64>,
    /// Place of the number; `None` only while the norm is dropped.
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
    /// Computes the joint Euclidean norm of some arrays.
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
        let stream = device.stream();
        stream
            .memcpy_dtoh(&on_device.view(), &mut *place.memory)
            .and_then(|()| place.copied.record(stream))
            .map_err(while_doing("copying the gradient's norm from the device"))?;
        Ok(Norm(Arc::new(Pending { on_device, place: Some(place), places: places.clone() })))
    }

    /// Returns a view of the norm on the device.
    pub fn view(&self) -> CudaView<'_, f64> {
        self.0.on_device.view()
    }

    /// Returns the number; waits until the device has computed it.
    pub fn value(&self) -> Result<f64> {
        let place = self.0.place.as_ref().expect("it is there until it is dropped");
        let number = place.copied.synchronize().and_then(|()| place.memory.as_slice());
        Ok(number.map_err(while_doing("waiting for the gradient's norm"))?[0])
    }
}
