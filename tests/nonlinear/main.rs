//! Nonlinear ODEs: accuracy against a tight integrator, gradients against central differences,
//! the outcome of every system on its own.

#[cfg(feature = "cuda")]
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/driver.rs"]
mod driver;
mod odes;
mod reference;

mod accuracy;
mod gradients;
mod outcomes;
