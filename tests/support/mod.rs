//! What the integration tests share: problems, references, comparisons, backends.
#![allow(dead_code, unused_imports, unused_macros, reason = "every binary uses its own part")]

pub mod backends;
#[cfg(feature = "cuda")]
pub mod caller;
pub mod case;
pub mod close;
pub mod dense;
#[cfg(feature = "cuda")]
pub mod device_arrays;
#[cfg(feature = "cuda")]
pub mod driver;
pub mod known;
pub mod random;
pub mod results;
pub mod strided;
#[cfg(feature = "cuda")]
pub mod tape_agreement;
#[cfg(feature = "cuda")]
pub mod training;
