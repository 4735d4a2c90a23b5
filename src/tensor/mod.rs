//! Arrays, and the primitives on them that a backend computes for the tape.
//!
//! Nothing in this module computes. [`mod@array`] and [`layout`] say how elements lie in memory,
//! [`function`], [`product`] and [`update`] name the operations, and [`backend`] is the interface
//! that the CPU and CUDA implement.

pub mod array;
pub mod backend;
pub mod function;
pub mod layout;
pub mod product;
pub mod update;

pub use array::Array;
pub use backend::{Backend, Cpu};
