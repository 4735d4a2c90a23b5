//! Random problems and a dense f64 reference, shared by the integration tests.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod dense;
#[cfg(feature = "cuda")]
pub mod device_arrays;
pub mod random;
