//! Batched, differentiable, step-parallel solver for linear ODEs, and Mechanistic Neural Networks.

mod error;
mod real;

pub mod discovery;
pub mod io;

pub use error::{Error, Result};
pub use real::Real;
