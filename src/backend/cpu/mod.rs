//! The CPU backend: the default everywhere, and the oracle for the others.
//!
//! [`engine`] spreads the batch over threads in tiles of a few systems; a [`tile`] solves and
//! differentiates its systems together, one in each lane; [`assembly`] turns the problem into
//! rows point by point, which [`gradient`], [`tangent`] and [`residual`] visit; [`banded`] factorizes
//! and substitutes.

pub mod assembly;
pub mod banded;
pub mod engine;
pub mod gradient;
pub mod inputs;
pub mod lanes;
pub mod residual;
pub mod simd;
pub mod stencil;
pub mod tangent;
pub mod tensor;
pub mod tile;

/// The processor of this machine: the backend of a [`Tape`](crate::tape::Tape) that names no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu;
