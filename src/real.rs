//! The types of numbers: those that the library computes in, those that arrays are stored in, and
//! what else an array can hold.

use std::fmt::Debug;

#[cfg(feature = "cuda")]
use cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use half::{bf16, f16};

/// The form in which the numbers of an array are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of single precision.
    Bf16,
}

/// A number in one of the forms of [`Storage`]: inputs are stored in all of them, results in single
/// and double precision.
pub trait Stored: Resident {
    /// The form in which numbers of this type are stored.
    const STORAGE: Storage;
}

impl Stored for f32 {
    const STORAGE: Storage = Storage::F32;
}
impl Stored for f64 {
    const STORAGE: Storage = Storage::F64;
}
impl Stored for f16 {
    const STORAGE: Storage = Storage::F16;
}
impl Stored for bf16 {
    const STORAGE: Storage = Storage::Bf16;
}

/// A plain value that means the same in the memory of every device of this build.
#[cfg(feature = "cuda")]
pub trait Resident: DeviceRepr + ValidAsZeroBits + Plain {}
#[cfg(feature = "cuda")]
impl<E: DeviceRepr + ValidAsZeroBits + Plain> Resident for E {}
/// A plain value that means the same in the memory of every device of this build.
#[cfg(not(feature = "cuda"))]
pub trait Resident: Plain {}
#[cfg(not(feature = "cuda"))]
impl<E: Plain> Resident for E {}

/// A value without references or resources of its own.
pub trait Plain: Copy + Default + Send + Sync + 'static {}
impl<E: Copy + Default + Send + Sync + 'static> Plain for E {}

/// An element of an array: a number, a mask (`bool`) or an index (`usize`).
pub trait Element: Resident + PartialEq + Debug {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for bool {}
impl Element for usize {}

/// A type of number that the library computes in: `f32` or `f64`.
pub trait Real:
    num_traits::Float
    + Element
    + Stored
    + num_traits::NumAssign
    + std::iter::Sum
    + Default
    + std::fmt::Display
    + Send
    + Sync
    + 'static
{
    /// Name of the type in safetensors files and on the command line: `f32` or `f64`.
    const NAME: &'static str;
    /// Rounds a number to this type.
    fn of(value: f64) -> Self;
    /// Widens the number to `f64`, exactly.
    fn to_double(self) -> f64;
    /// Rounds numbers to this type.
    #[doc(hidden)]
    fn of_doubles<const N: usize>(values: [f64; N]) -> [Self; N];
    /// Widens the numbers to `f64`, exactly.
    #[doc(hidden)]
    fn to_doubles<const N: usize>(values: [Self; N]) -> [f64; N];
    /// Smallest magnitude that is not finite once it is rounded to this type.
    #[doc(hidden)]
    const LIMIT: f64;
    /// Returns the values with their type.
    #[doc(hidden)]
    fn values(values: &[Self]) -> Values<'_>;
    /// Returns the values with their type, to be written.
    #[doc(hidden)]
    fn values_mut(values: &mut [Self]) -> ValuesMut<'_>;
}

/// Values of an array in the form in which they are stored.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Single precision.
    Single(&'a [f32]),
    /// Double precision.
    Double(&'a [f64]),
}

impl Values<'_> {
    /// Returns the value at this place, if there is one.
    pub fn get(&self, at: usize) -> Option<f64> {
        match self {
            Values::Single(values) => values.get(at).map(|&value| value.into()),
            Values::Double(values) => values.get(at).copied(),
        }
    }
}

/// Values of an array that are written.
pub enum ValuesMut<'a> {
    /// Single precision.
    Single(&'a mut [f32]),
    /// Double precision.
    Double(&'a mut [f64]),
}

impl ValuesMut<'_> {
    /// Returns the values before a place, and those from it on, if there are any.
    pub fn split_at(&mut self, at: usize) -> [ValuesMut<'_>; 2] {
        match self {
            ValuesMut::Single(values) => {
                let at = at.min(values.len());
                <[_; 2]>::from(values.split_at_mut(at)).map(ValuesMut::Single)
            }
            ValuesMut::Double(values) => {
                let at = at.min(values.len());
                <[_; 2]>::from(values.split_at_mut(at)).map(ValuesMut::Double)
            }
        }
    }

    /// Sets the values of a range.
    pub fn fill(&mut self, range: std::ops::Range<usize>, value: f64) {
        match self {
            ValuesMut::Single(values) => values[range].fill(value as f32),
            ValuesMut::Double(values) => values[range].fill(value),
        }
    }
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
    #[inline(always)]
    fn of_doubles<const N: usize>(values: [f64; N]) -> [f32; N] {
        values.map(f32::of)
    }
    #[inline(always)]
    fn to_doubles<const N: usize>(values: [f32; N]) -> [f64; N] {
        values.map(f64::from)
    }
    // Half a unit in the last place above the largest finite number.
    const LIMIT: f64 = f32::MAX as f64 + (1_u128 << 103) as f64;
    fn values(values: &[f32]) -> Values<'_> {
        Values::Single(values)
    }
    fn values_mut(values: &mut [f32]) -> ValuesMut<'_> {
        ValuesMut::Single(values)
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
    #[inline(always)]
    fn of_doubles<const N: usize>(values: [f64; N]) -> [f64; N] {
        values
    }
    #[inline(always)]
    fn to_doubles<const N: usize>(values: [f64; N]) -> [f64; N] {
        values
    }
    const LIMIT: f64 = f64::INFINITY;
    fn values(values: &[f64]) -> Values<'_> {
        Values::Double(values)
    }
    fn values_mut(values: &mut [f64]) -> ValuesMut<'_> {
        ValuesMut::Double(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_least_number_that_rounds_to_infinity() {
        assert_eq!(f32::of(f32::LIMIT), f32::INFINITY);
        assert_eq!(f32::of(f32::LIMIT.next_down()), f32::MAX);
        assert_eq!(f64::of(f64::LIMIT), f64::INFINITY);
        assert_eq!(f64::of(f64::LIMIT.next_down()), f64::MAX);
    }
}
