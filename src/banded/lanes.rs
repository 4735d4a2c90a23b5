//! Vectors of numbers in which several systems are computed side by side, one in each lane.
//!
//! The block algorithms are written once over [`Packed`]; a plain `f64` is one lane. The
//! arithmetic is element by element, so a system's result does not depend on its neighbors or on
//! how many lanes run.

use crate::real::Real;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// A number, or a fixed number of them, with element-wise arithmetic.
pub trait Packed:
    Copy
    + PartialEq
    + Default
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// Type of one lane.
    type Real: Real;
    /// Type of the same number of lanes in double precision.
    type Double: Packed<Real = f64, Double = Self::Double>;
    /// Number of lanes.
    const LANES: usize;
    /// Returns the same value in every lane.
    fn splat(value: Self::Real) -> Self;
    /// Returns the value of lane `index`.
    fn lane(&self, index: usize) -> Self::Real;
    /// Replaces the value of lane `index`.
    fn set_lane(&mut self, index: usize, value: Self::Real);
    /// Returns the square root of every lane.
    fn sqrt(self) -> Self;
    /// Returns the same values in double precision, exactly.
    fn widen(self) -> Self::Double;
}

/// The largest number of lanes of any [`Packed`].
pub const MOST_LANES: usize = 8;

/// `L` values that are computed on together, in vector registers where the machine has them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Pack<T, const L: usize>(pub [T; L]);

impl<T: Real, const L: usize> Default for Pack<T, L> {
    #[inline(always)]
    fn default() -> Self {
        Pack([T::zero(); L])
    }
}

macro_rules! element_wise {
    ($trait:ident $method:ident, $assign_trait:ident $assign_method:ident) => {
        element_wise!($trait $method);
        impl<T: Real, const L: usize> $assign_trait for Pack<T, L> {
            #[inline(always)]
            fn $assign_method(&mut self, other: Self) {
                *self = $trait::$method(*self, other);
            }
        }
    };
    ($trait:ident $method:ident) => {
        impl<T: Real, const L: usize> $trait for Pack<T, L> {
            type Output = Self;
            #[inline(always)]
            fn $method(mut self, other: Self) -> Self {
                for lane in 0..L {
                    self.0[lane] = $trait::$method(self.0[lane], other.0[lane]);
                }
                self
            }
        }
    };
}

element_wise!(Add add, AddAssign add_assign);
element_wise!(Sub sub, SubAssign sub_assign);
element_wise!(Mul mul, MulAssign mul_assign);
element_wise!(Div div);

impl<T: Real, const L: usize> Neg for Pack<T, L> {
    type Output = Self;
    #[inline(always)]
    fn neg(mut self) -> Self {
        for value in &mut self.0 {
            *value = -*value;
        }
        self
    }
}

impl<T: Real, const L: usize> Packed for Pack<T, L> {
    type Real = T;
    type Double = Pack<f64, L>;
    const LANES: usize = L;
    #[inline(always)]
    fn splat(value: T) -> Self {
        Pack([value; L])
    }
    #[inline(always)]
    fn lane(&self, index: usize) -> T {
        self.0[index]
    }
    #[inline(always)]
    fn set_lane(&mut self, index: usize, value: T) {
        self.0[index] = value;
    }
    #[inline(always)]
    fn sqrt(mut self) -> Self {
        for value in &mut self.0 {
            *value = value.sqrt();
        }
        self
    }
    #[inline(always)]
    fn widen(self) -> Pack<f64, L> {
        Pack(self.0.map(Real::to_double))
    }
}

macro_rules! one_lane {
    ($real:ty) => {
        impl Packed for $real {
            type Real = $real;
            type Double = f64;
            const LANES: usize = 1;
            #[inline(always)]
            fn splat(value: $real) -> Self {
                value
            }
            #[inline(always)]
            fn lane(&self, _: usize) -> $real {
                *self
            }
            #[inline(always)]
            fn set_lane(&mut self, _: usize, value: $real) {
                *self = value;
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$real>::sqrt(self)
            }
            #[inline(always)]
            fn widen(self) -> f64 {
                self.into()
            }
        }
    };
}

one_lane!(f32);
one_lane!(f64);
