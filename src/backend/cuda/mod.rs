//! The CUDA backend: the same mathematics as the CPU backend in hand-written kernels (`kernels/`).
//!
//! One way down, each folder importing only those before it: [`driver`] owns devices, memory, kernels
//! and the only launch; [`bindings`] are the structures that kernels take; [`path`] says what one way
//! of solving a part of a batch is given and returns; [`team`] and [`thread`] are the two ways;
//! [`solve`] chooses one, cuts a batch into parts for it, and solves problems of the host and of the
//! device; [`tensor`] computes the primitives of the tape.
//!
//! All work on a device goes through one stream, in the order in which it was asked for. Nothing
//! waits for the device unless the result is wanted on the host.

mod arguments;
pub mod bindings;
pub mod driver;
pub mod path;
pub mod solve;
pub mod team;
pub mod tensor;
#[cfg(test)]
pub mod testing;
pub mod thread;

pub use driver::CudaDevice;
pub use solve::paths::CudaPath;
