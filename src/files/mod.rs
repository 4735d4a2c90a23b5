//! Files: problems, solutions and checkpoints in the safetensors format, and text.
//!
//! Everything is written through [`atomic`]: a file is complete or it does not exist.

pub mod atomic;
pub mod problem;
pub(crate) mod tensors;
