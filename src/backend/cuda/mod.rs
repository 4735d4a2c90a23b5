//! The CUDA backend: the same mathematics as the CPU backend in hand-written kernels (`kernels/`).
//!
//! Each of these modules imports only those named before it: [`bindings`] are the structures that
//! kernels take, made from the kernels' headers, and `arguments` lets them be passed to kernels;
//! [`driver`] owns devices, memory, kernels and the only launch of them; [`path`] is the interface
//! of a path, which is one way of solving a part of a batch; [`team`] and [`thread`] are the two
//! paths; [`solve`] chooses a path, cuts a batch into parts for it, and solves problems of the host
//! and of the device; [`tensor`] computes the primitives of the tape.
//!
//! All work on a device goes through one stream, in the order in which it was asked for. The
//! program waits for the device only when a result is wanted on the host.

mod arguments;
pub mod bindings;
pub mod driver;
pub mod path;
pub mod solve;
pub mod team;
pub mod tensor;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod thread;

pub use driver::CudaDevice;
pub use solve::paths::CudaPath;
