//! The floating-point types that the library computes in.

use crate::backend::{Element, Solvable};

/// `f32` or `f64`.
pub trait Real:
    num_traits::Float
    + Element
    + Solvable
    + num_traits::NumAssign
    + std::iter::Sum
    + Default
    + std::fmt::Debug
    + std::fmt::Display
    + Send
    + Sync
    + 'static
{
    /// Name as in safetensors and the command line: `f32`, `f64`.
    const NAME: &'static str;
    /// Rounds to this type.
    fn of(value: f64) -> Self;
    /// Widens to `f64`, exactly.
    fn to_double(self) -> f64;
}

impl Real for f32 {
    const NAME: &'static str = "f32";
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_double(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    const NAME: &'static str = "f64";
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_double(self) -> f64 {
        self
    }
}
