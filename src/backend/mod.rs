//! Where the arithmetic is done. Above this seam nothing knows which backend runs; below it
//! nothing knows about networks or files.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod engine;

use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

pub use device::{Device, DeviceName};
pub use engine::Engine;

/// The engine of a device for problems of one shape, computing in `T`.
pub fn engine<T: Real>(
    device: &Device,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<dyn Engine<T>>> {
    match device {
        Device::Cpu => cpu::engine::new(shape, options),
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            cuda::solve::engine::new(device, shape, options, cuda::CudaPath::Auto)
        }
    }
}
