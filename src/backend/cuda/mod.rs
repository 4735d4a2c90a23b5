//! The CUDA backend: the same mathematics as the CPU backend in hand-written kernels (`kernels/`).
//!
//! [`device`] owns a GPU's context and stream and loads the embedded modules; [`memory`] holds
//! arrays there; [`bindings`] are the structures that kernels take, [`problem`] fills them;
//! [`launch`] is the only place that launches; a [`path`] is one way of solving a batch, [`paths`]
//! chooses one, `batch` cuts a batch into parts for it. [`engine`] solves problems of the host,
//! [`device_solver`] those that lie on the device. Paths solve and take gradients; `cold` is all else,
//! computed by a solver of its own.
//!
//! All work on a device goes through one stream, in the order in which it was asked for. Nothing
//! waits for the device unless the result is wanted on the host.

mod arguments;
mod batch;
pub mod bindings;
mod cold;
pub mod device;
pub mod device_solver;
pub mod engine;
pub mod launch;
pub mod memory;
pub mod path;
pub mod paths;
pub mod problem;
mod ranges;
mod results;
pub mod team;
pub mod tensor;
pub mod thread;

pub use device::CudaDevice;
pub use paths::CudaPath;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
