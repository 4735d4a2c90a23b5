//! The tape and the networks on it: values on every backend, gradients, agreement of the backends,
//! training.

#[cfg(feature = "cuda")]
mod agreement;
mod auxiliary;
mod gradients;
mod maps;
mod nn;
mod ode;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "cuda")]
mod training;
mod values;
