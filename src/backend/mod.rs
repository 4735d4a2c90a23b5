//! The backends, which do the arithmetic: the CPU and CUDA. The rooms above do not know which
//! backend runs; the backends know nothing about networks or files.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod engine;
mod matrix;

use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

pub use cpu::growth::point_scales;
pub use device::{Device, DeviceName};
pub use engine::Engine;

/// Makes the engine of a device for problems of one shape, computing in `T`.
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
