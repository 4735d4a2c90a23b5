//! Arrays, and what a backend does with them: the primitives that the tape is made of.
//!
//! Nothing here computes. [`array`] and [`layout`] say how elements lie in memory, [`function`],
//! [`product`] and [`update`] name the operations, and [`backend`] is the seam that the CPU and CUDA
//! fill in.

pub mod array;
pub mod backend;
pub mod function;
pub mod layout;
pub mod product;
pub mod update;

pub use array::Array;
pub use backend::{Backend, Cpu};
