//! The CPU: the default, and the reference for every other backend.

pub mod tensor;
