//! The CPU backend: the default everywhere, and the oracle for the others.

pub mod banded;
pub mod lanes;
pub mod tensor;
