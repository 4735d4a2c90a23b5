//! Nonlinear ODEs: accuracy against a tight integrator, gradients against central differences,
//! the outcome of every system on its own.

mod odes;
mod reference;

mod accuracy;
mod gradients;
mod outcomes;
