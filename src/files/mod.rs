//! Problems and solutions as safetensors files.
//!
//! Everything is written through [`atomic`]: a file is complete or it is not there.

pub mod atomic;
pub mod problem;
pub(crate) mod tensors;
