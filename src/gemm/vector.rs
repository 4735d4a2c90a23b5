//! Vectors of numbers, as wide as a register of the machine.

use crate::Real;

/// A vector of numbers. Whichever its width, an operation on it is that on each number, so that
/// results do not depend on it.
pub trait Vector: Copy {
    /// The type of its numbers.
    type Number: Real;
    /// How many they are.
    const LANES: usize;

    /// Returns a vector of equal numbers.
    ///
    /// # Safety
    /// The machine must have the instructions of this type, here and in what follows.
    unsafe fn splat(x: Self::Number) -> Self;

    /// Returns the numbers from `from` on.
    ///
    /// # Safety
    /// There must be `LANES` of them.
    unsafe fn load(from: *const Self::Number) -> Self;

    /// Writes the numbers from `to` on.
    ///
    /// # Safety
    /// There must be room for `LANES` of them.
    unsafe fn store(self, to: *mut Self::Number);

    /// Returns self·b + c, rounded once.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

/// Four numbers for machines of which nothing is known; the compiler finds what vectors there are.
#[derive(Clone, Copy)]
pub struct Plain<T>([T; 4]);

impl<T: Real> Vector for Plain<T> {
    type Number = T;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: T) -> Self {
        Plain([x; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller's promise; an array is aligned as its elements are.
        Plain(unsafe { from.cast::<[T; 4]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: as above.
        unsafe { to.cast::<[T; 4]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        ($type:ident of $lanes:literal $number:ident:
         $splat:ident, $load:ident, $store:ident, $mul_add:ident) => {
            impl Vector for $type {
                type Number = $number;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: $number) -> Self {
                    // SAFETY: the caller knows that the machine has the instruction.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $number) -> Self {
                    // SAFETY: as above; the numbers are there and need no alignment.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $number) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: the caller knows that the machine has the instruction.
                    unsafe { $mul_add(self, b, c) }
                }
            }
        };
    }

    vector!(__m256d of 4 f64: _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd);
    vector!(__m256 of 8 f32: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
    vector!(__m512d of 8 f64: _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd);
    vector!(__m512 of 16 f32: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
}
