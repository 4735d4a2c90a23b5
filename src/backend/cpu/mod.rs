//! The CPU backend, which is the default and the reference that others are tested against.
//!
//! [`engine`] spreads the batch over threads in tiles of a few systems; a [`tile`] solves and
//! differentiates its systems together, one in each lane; [`assembly`] turns the problem into
//! rows point by point, which [`gradient`], [`tangent`] and [`residual`] visit; [`banded`](crate::banded) factorizes
//! and substitutes.

pub mod assembly;
pub mod engine;
pub mod gradient;
pub mod growth;
pub mod inputs;
pub mod residual;
pub mod simd;
pub mod stencil;
pub mod tangent;
pub mod tensor;
pub mod tile;
