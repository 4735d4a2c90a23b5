//! Files: tables of time series in, equations, tensors and pictures out.
//!
//! Everything is written through [`atomic`]: a file is complete or it is not there.

pub mod atomic;
#[cfg(feature = "cli")]
pub mod csv;
#[cfg(feature = "cli")]
pub mod plot;
pub mod report;
