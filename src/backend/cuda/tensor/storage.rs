//! The elements of an array: on the device, in the program's memory, or in both.

use std::sync::{Arc, OnceLock};

use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::error::{Error, Result};
use crate::real::Element;
use crate::tensor::Array;

/// What the errors call an array of the tape.
const WHAT: &str = "an array of the tape";

/// Elements that go to the device, or come from it, when they are first wanted there. Wherever they
/// are, they are the same. A clone shares the device's memory until one of the two is changed.
#[derive(Clone)]
pub struct Storage<E: Element> {
    len: usize,
    device: OnceLock<Arc<Buffer<E>>>,
    host: OnceLock<Array<E>>,
}

impl<E: Element> std::fmt::Debug for Storage<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = (self.device.get().is_some(), self.host.get().is_some());
        write!(f, "Storage({} elements, (device, host): {places:?})", self.len)
    }
}

impl<E: Element> Storage<E> {
    /// The program's array.
    pub fn from_host(array: Array<E>) -> Self {
        Storage { len: array.len(), device: OnceLock::new(), host: OnceLock::from(array) }
    }

    /// Room on the device, which must be written before it is read.
    pub fn unwritten(device: &Arc<CudaDevice>, len: usize) -> Result<Self> {
        let buffer = Arc::new(Buffer::unwritten(device, WHAT, len)?);
        Ok(Storage { len, device: OnceLock::from(buffer), host: OnceLock::new() })
    }

    /// Where the program can read it, as an array of this shape; waits for the device.
    pub fn host(&self, shape: &[usize]) -> Result<&Array<E>> {
        if let Some(array) = self.host.get() {
            return Ok(array);
        }
        let mut array = Array::full(shape, E::default())?;
        if let Some(buffer) = self.device.get() {
            buffer.copy_to_host(WHAT, array.data_mut())?;
        }
        Ok(self.host.get_or_init(|| array))
    }

    /// Where the program can change it.
    pub fn host_mut(&mut self, shape: &[usize]) -> Result<&mut [E]> {
        self.host(shape)?;
        self.device = OnceLock::new();
        Ok(self.host.get_mut().expect("it was just made").data_mut())
    }

    /// Where the device can read it.
    ///
    /// # Errors
    /// [`Error::Argument`] if it lies on another device, [`Error::OutOfMemory`],
    /// [`Error::Device`].
    pub fn read(&self, device: &Arc<CudaDevice>) -> Result<&Buffer<E>> {
        self.check_device(device)?;
        if let Some(buffer) = self.device.get() {
            return Ok(buffer);
        }
        let values = self.host.get().map_or(&[][..], Array::data);
        let buffer = Arc::new(Buffer::from_host(device, WHAT, values)?);
        Ok(self.device.get_or_init(|| buffer))
    }

    /// Where the device can change it.
    pub fn write(&mut self, device: &Arc<CudaDevice>) -> Result<&mut Buffer<E>> {
        self.read(device)?;
        self.host = OnceLock::new();
        let shared = self.device.get_mut().expect("it was just made");
        if Arc::get_mut(shared).is_none() {
            *shared = Arc::new(shared.duplicate(WHAT)?);
        }
        Ok(Arc::get_mut(shared).expect("it is the only one"))
    }

    fn check_device(&self, device: &CudaDevice) -> Result<()> {
        let lies_on = self.device.get().map(|buffer| buffer.device().ordinal());
        match lies_on.filter(|ordinal| *ordinal != device.ordinal()) {
            None => Ok(()),
            Some(other) => {
                let own = device.ordinal();
                let message = format!("lies on cuda:{other}, the tape computes on cuda:{own}");
                Err(Error::argument("array", message))
            }
        }
    }

    /// All zero, on the device.
    pub fn clear(&mut self, device: &Arc<CudaDevice>) -> Result<()> {
        self.check_device(device)?;
        let unique = self.device.get_mut().and_then(Arc::get_mut);
        match unique {
            Some(buffer) => buffer.fill_zero(WHAT)?,
            None => {
                let zeros = Buffer::zeros(device, WHAT, self.len)?;
                self.device = OnceLock::from(Arc::new(zeros));
            }
        }
        self.host = OnceLock::new();
        Ok(())
    }
}
