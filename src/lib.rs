//! Solves large batches of linear ODEs at once, every time step in parallel and differentiably,
//! and trains Mechanistic Neural Networks: networks whose layers emit such ODEs.
//!
//! # The problem
//!
//! Each system of a batch is Σ_{k,j} c\[k,j\](t) u_k^(j)(t) = b(t) on a grid of time points. The
//! unknowns are u and all its derivatives at every point; they satisfy, in the least-squares
//! sense, the equation at every point, the initial values, and smoothness rows between
//! neighboring points (module [`rows`]). All these conditions are the rows of a matrix A with the
//! right-hand sides β and the weights W, and the unknowns z minimize ½‖W(Az − β)‖². The normal
//! matrix M = AᵀW²A is block-banded, so time and memory are linear in the number of points, and all
//! systems of the batch are solved side by side.
//!
//! # Letters
//!
//! | letter | meaning |
//! |---|---|
//! | `B` | systems in the batch |
//! | `N` | time points |
//! | `K` | states (dimensions of the state u) |
//! | `Q` = order + 1 | values of a state at a point: u, u', ..., u^(order) |
//! | `Qc` = m + 1 ≤ Q | how many of these values occur in the equation, whose order is m |
//! | `P` = K·Q | values of a point |
//! | `E` | equations per point |
//! | `I`, `J` | points with initial values, and how many derivatives are given there |
//!
//! Arrays are dense and row-major, unless an input is lent with strides ([`View::strided`]):
//!
//! | array | shape |
//! |---|---|
//! | coefficients | (B or 1, N or 1, E, K, Qc) |
//! | rhs | (B or 1, N or 1, E) |
//! | initial values | (B or 1, I, K, J) |
//! | steps | (B or 1, N−1 or 1\[, K or 1\]) |
//! | solution | (B, N, K, Q) |
//!
//! An axis of length 1 is shared; its gradient is the sum over the axis. In place of the axis of the batch,
//! inputs may have several ([`ProblemBuilder`]), and share some of them and not others.
//!
//! # Parts
//!
//! * [`Problem`] → [`Solver`] → [`Solution`], with [`Solver::vjp`] and [`Solver::jvp`] for
//!   derivatives: the solver alone.
//! * [`nonlinear`]: nonlinear ODEs by Gauss-Newton iterations, each one a batched linear solve.
//! * [`tape`] and [`nn`]: the solve as one node of a reverse-mode tape, layers, optimizers.
//! * [`discovery`]: time series in, governing equations out.
//! * [`files`] reads and writes files.
//!
//! # Source
//!
//! *Mechanistic Neural Networks for Scientific Machine Learning* (arXiv:2402.13077), referred to as
//! "the paper"; its section 3 describes the solver, section 5.1 the discovery of equations.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// The unit tests share cases with the integration tests, which name the library.
#[cfg(test)]
extern crate self as mechanistic;

mod adjoint;
mod backend;
mod banded;
mod error;
mod gemm;
mod inputs;
mod memory;
mod options;
mod plan;
mod problem;
mod real;
mod shape;
mod solution;
mod solver;
mod tensor;
mod threads;

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod discovery;
pub mod files;
pub mod nn;
pub mod nonlinear;
pub mod rows;
pub mod tape;

pub use adjoint::{Cotangent, Gradients, GradientsMut, Tangents};
pub use backend::{Device, DeviceName, point_scales};
pub use error::{Error, Result};
pub use inputs::Inputs;
#[doc(hidden)]
pub use memory::ensure as ensure_memory;
pub use options::{Factorization, Formulation, Options, RowScaling, Smoothness, Weights};
pub use plan::Plan;
pub use problem::{Problem, ProblemBuilder, View};
pub use real::{Real, Storage, Stored};
pub use shape::ProblemShape;
pub use solution::{Residuals, Solution, SolutionMut, Status};
pub use solver::Solver;
pub use tensor::{Backend, Cpu};
pub use threads::on_one_thread;
