//! Batched, differentiable, step-parallel solver for linear ODEs, and Mechanistic Neural Networks.

mod adjoint;
mod backend;
mod error;
mod options;
mod problem;
mod real;
mod shape;
mod solver;

pub mod discovery;
pub mod nn;
pub mod rows;
pub mod tape;

pub use adjoint::{Cotangent, Gradients, Tangents};
pub use error::{Error, Result};
pub use options::{Formulation, Options, Smoothness, Weights};
pub use problem::{Problem, View};
pub use real::Real;
pub use shape::ProblemShape;
pub use solver::{Residuals, Solution, Solver, Status};
