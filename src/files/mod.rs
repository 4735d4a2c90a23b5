//! Problems, solutions and discoveries as safetensors files.
//!
//! Everything is written through [`atomic`]: a file is complete or it is not there.

pub mod atomic;
pub mod model;
pub mod problem;
pub(crate) mod tensors;
