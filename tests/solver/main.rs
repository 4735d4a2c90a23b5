//! The linear solver itself: convergence, misuse, reproducible results. What every backend must do
//! alike is in tests/conformance.

mod convergence;
mod inverse;
mod misuse;
mod one_matrix;
mod reproducible;
mod strides;
#[path = "../support/mod.rs"]
mod support;
