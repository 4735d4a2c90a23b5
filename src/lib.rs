//! Batched, differentiable, step-parallel solver for linear ODEs, and Mechanistic Neural Networks.

mod error;
mod real;

pub mod backend;
pub mod discovery;
pub mod nn;
pub mod tape;

pub use error::{Error, Result};
pub use real::Real;
