//! Arrays that stay on a CUDA device, and solves on them that return before the device is done.
//!
//! [`Solver::on`](crate::Solver::on) is enough where problem and solution lie in the program's
//! memory. An array that is computed on the device before a solve, or used there after it, is
//! better left there:
//!
//! ```no_run
//! use mechanistic::cuda::{DeviceArray, DeviceSolver, Values};
//! use mechanistic::{Device, Inputs, Options, ProblemShape};
//!
//! // u'' + u = 0, u(0) = 0, u'(0) = 1 on [0, 1.6]: one system, 17 points.
//! let device = Device::cuda(0)?;
//! let gpu = device.gpu()?;
//! let array = |values: &[f64]| DeviceArray::from_host(gpu, "input", values);
//! let inputs = Inputs {
//!     coefficients: array(&[1.0, 0.0, 1.0])?,
//!     rhs: array(&[0.0])?,
//!     initial_values: array(&[0.0, 1.0])?,
//!     steps: array(&[0.1])?,
//! };
//! let axes = Inputs {
//!     coefficients: &[1, 1, 1, 1, 3][..],
//!     rhs: &[1, 1, 1],
//!     initial_values: &[1, 1, 1, 2],
//!     steps: &[1, 1],
//! };
//! let shape = ProblemShape::new(1, 17, axes)?;
//! let mut solver = DeviceSolver::<f64>::new(gpu, &shape, &Options::default())?;
//! let mut solution = DeviceArray::unwritten(gpu, "solution", 17 * 3)?;
//! solver.solve(inputs.as_ref().map(Values::from), &mut solution)?;
//! let mut values = [0.0; 17 * 3];
//! solution.copy_to_host("solution", &mut values)?;
//! # Ok::<(), mechanistic::Error>(())
//! ```
//!
//! A program that calls the driver itself, such as one with PyTorch in it, lends its own memory
//! ([`DeviceArray::lent`]) and has the work done in the order of its own stream
//! ([`CudaDevice::in_order_of`]), also while that is captured in a CUDA graph, after a first call of the same kind,
//! which may allocate. The solver's workspace is the library's, in a memory pool of its own.

pub use crate::backend::cuda::driver::device::CudaDevice;
pub use crate::backend::cuda::driver::images::{KernelImages, kernel_architectures, kernel_images};
pub use crate::backend::cuda::driver::memory::Buffer as DeviceArray;
pub use crate::backend::cuda::path::problem::Values;
pub use crate::backend::cuda::path::strides::Strides;
pub use crate::backend::cuda::solve::device_solver::DeviceSolver;
#[doc(hidden)]
pub use crate::backend::cuda::solve::paths::CudaPath;
pub use crate::backend::cuda::tensor::Cuda;
pub use crate::real::Resident;
