//! Arrays that stay on a CUDA device, and solves among them that do not wait for it.
//!
//! [`Solver::on`](crate::Solver::on) is enough where problem and solution lie in the program's
//! memory. What is computed on the device before or after a solve is better left there:
//!
//! ```no_run
//! use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
//! use mechanistic::{Inputs, Options, ProblemShape};
//!
//! // u'' + u = 0, u(0) = 0, u'(0) = 1 on [0, 1.6]: one system, 17 points.
//! let device = CudaDevice::get(0)?;
//! let array = |values: &[f64]| DeviceArray::from_host(&device, "input", values);
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
//! let mut solver = DeviceSolver::<f64>::new(&device, &shape, &Options::default())?;
//! let mut solution = DeviceArray::unwritten(&device, "solution", 17 * 3)?;
//! solver.solve(inputs.as_ref().map(Values::from), &mut solution)?;
//! let mut values = [0.0; 17 * 3];
//! solution.copy_to_host("solution", &mut values)?;
//! # Ok::<(), mechanistic::Error>(())
//! ```

pub use crate::backend::cuda::driver::device::{CudaDevice, kernel_architectures, kernel_modules};
pub use crate::backend::cuda::driver::memory::Buffer as DeviceArray;
pub use crate::backend::cuda::path::problem::Values;
pub use crate::backend::cuda::solve::device_solver::DeviceSolver;
#[doc(hidden)]
pub use crate::backend::cuda::solve::paths::CudaPath;
pub use crate::backend::cuda::tensor::Cuda;
