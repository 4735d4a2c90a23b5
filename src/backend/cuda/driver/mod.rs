//! The parts of the CUDA driver that this backend uses: devices, memory, kernels, cuBLAS, named
//! ranges.

pub mod caller;
pub mod cublas;
pub mod device;
pub mod images;
pub mod kernel;
pub mod memory;
pub mod pool;
pub mod ranges;

pub use device::CudaDevice;
pub use memory::Buffer;
