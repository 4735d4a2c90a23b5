//! Structured fuzzing of everything that reads what a user gives, on stable Rust.
//!
//! A [`Target`] makes inputs from random bytes, with the crate `arbitrary`, and says what must hold
//! of each of them. An input is made from its number alone ([`input`]), so that the number is
//! enough to run it again. Worker processes run them ([`worker`]); the [`campaign`] watches the
//! workers, so that an abort, a hang or memory beyond the limit is found and put down to its input,
//! and [`minimize`] makes a failing input small. Minimal inputs of faults that are mended lie in
//! the [`corpus`], which is replayed before anything else.
//!
//! Inputs are not guided by the coverage that they reach: that needs an instrumented, nightly
//! build. What they lack in guidance they have in structure: most inputs are nearly right.

pub mod campaign;
pub mod corpus;
pub mod entropy;
pub mod input;
pub mod kills;
pub mod minimize;
pub mod mutation;
pub mod replay;
pub mod targets;
pub mod worker;

pub use targets::Target;
