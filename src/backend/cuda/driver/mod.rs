//! The driver as this backend uses it: devices, memory, kernels, cuBLAS, named ranges.

pub mod cublas;
pub mod device;
pub mod kernel;
pub mod memory;
pub mod ranges;

pub use device::CudaDevice;
pub use memory::Buffer;
