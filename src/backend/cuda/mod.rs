//! The CUDA backend: the same mathematics as the CPU backend in hand-written kernels (`kernels/`).
//!
//! [`device`] owns a GPU's context and stream and loads the embedded modules; [`memory`] holds
//! arrays there; [`parameters`] mirrors the structures that kernels take; [`launch`] is the only
//! place that launches; a [`path`] is one way of solving a batch.
//!
//! All work on a device goes through one stream, in the order in which it was asked for. Nothing
//! waits for the device unless the result is wanted on the host.

pub mod device;
pub mod launch;
pub mod memory;
pub mod parameters;
pub mod path;
pub mod tensor;
#[cfg(test)]
pub mod testing;

pub use tensor::Cuda;
