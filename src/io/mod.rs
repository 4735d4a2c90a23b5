//! Files: tables of time series in, equations, tensors and pictures out.
//!
//! Everything is written through [`atomic`]: a file is complete or it is not there.

pub mod atomic;
#[cfg(feature = "cli")]
pub mod csv;
pub mod model;
#[cfg(feature = "cli")]
pub mod plot;
pub mod problem;
pub mod report;
pub(crate) mod tensors;
