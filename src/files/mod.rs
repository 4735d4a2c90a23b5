//! Problems and solutions as safetensors files, and the writing of files as a whole or not at all.
//!
//! Everything is written through [`atomic`]: a file is complete or it does not exist.

pub mod atomic;
pub mod problem;
pub(crate) mod tensors;
#[cfg(target_os = "linux")]
mod unnamed;
