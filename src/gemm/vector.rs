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

    /// Returns `count` numbers from `from` on, followed by zeros.
    ///
    /// # Safety
    /// There must be that many of them, which must not be more than `LANES`.
    unsafe fn load(from: *const Self::Number, count: usize) -> Self;

    /// Writes the first `count` numbers from `to` on.
    ///
    /// # Safety
    /// There must be room for that many of them, which must not be more than `LANES`.
    unsafe fn store(self, to: *mut Self::Number, count: usize);

    /// Returns self·b + c, rounded once.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;

    /// Returns self + b.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn plus(self, b: Self) -> Self;

    /// Asks for the line of the cache at `at`, which need not be memory at all.
    ///
    /// # Safety
    /// As [`Vector::splat`].
    unsafe fn prefetch(at: *const Self::Number);
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
    unsafe fn load(from: *const T, count: usize) -> Self {
        let mut numbers = [T::zero(); 4];
        // SAFETY: the caller's promise.
        unsafe { from.copy_to_nonoverlapping(numbers.as_mut_ptr(), count) }
        Plain(numbers)
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T, count: usize) {
        // SAFETY: as above.
        unsafe { to.copy_from_nonoverlapping(self.0.as_ptr(), count) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const T) {}
}

#[cfg(target_arch = "x86_64")]
pub mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    macro_rules! vector {
        ($type:ident($register:ident) of $lanes:literal $number:ident:
         $splat:ident, $load:ident, $store:ident, $mul_add:ident, $add:ident,
         some: $mask:ident, |$from:ident, $some:ident| $load_some:expr, $store_some:ident) => {
            #[derive(Clone, Copy)]
            pub struct $type($register);

            impl Vector for $type {
                type Number = $number;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: $number) -> Self {
                    // SAFETY: the caller knows that the machine has the instruction.
                    unsafe { $type($splat(x)) }
                }
                #[inline(always)]
                unsafe fn load($from: *const $number, count: usize) -> Self {
                    // SAFETY: as above; the numbers are there and need no alignment, and lanes that
                    // are not among them are not read.
                    unsafe {
                        if count == Self::LANES {
                            return $type($load($from));
                        }
                        let $some = $mask(count);
                        $type($load_some)
                    }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $number, count: usize) {
                    // SAFETY: as above.
                    unsafe {
                        if count == Self::LANES {
                            return $store(to, self.0);
                        }
                        $store_some(to, $mask(count), self.0);
                    }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: the caller knows that the machine has the instruction.
                    unsafe { $type($mul_add(self.0, b.0, c.0)) }
                }
                #[inline(always)]
                unsafe fn plus(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $type($add(self.0, b.0)) }
                }
                #[inline(always)]
                unsafe fn prefetch(at: *const $number) {
                    // SAFETY: every x86-64 has the instruction, which never faults.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
                }
            }
        };
    }

    /// The masks of the first `count` lanes: a bit for each, or all bits of each.
    #[inline(always)]
    unsafe fn bits_8(count: usize) -> __mmask8 {
        (1 << count) - 1
    }
    #[inline(always)]
    unsafe fn bits_16(count: usize) -> __mmask16 {
        (1 << count) - 1
    }
    #[inline(always)]
    unsafe fn lanes_4(count: usize) -> __m256i {
        // SAFETY: the machine has AVX2.
        unsafe {
            _mm256_cmpgt_epi64(_mm256_set1_epi64x(count as i64), _mm256_set_epi64x(3, 2, 1, 0))
        }
    }
    #[inline(always)]
    unsafe fn lanes_8(count: usize) -> __m256i {
        // SAFETY: as above.
        unsafe {
            let numbers = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), numbers)
        }
    }

    vector!(Avx2F64(__m256d) of 4 f64: _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd,
            _mm256_fmadd_pd, _mm256_add_pd, some: lanes_4,
            |from, some| _mm256_maskload_pd(from, some), _mm256_maskstore_pd);
    vector!(Avx2F32(__m256) of 8 f32: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
            _mm256_fmadd_ps, _mm256_add_ps, some: lanes_8,
            |from, some| _mm256_maskload_ps(from, some), _mm256_maskstore_ps);
    // Half of the lanes of AVX-512, with its 32 registers and its masks, which make reading and writing a part of
    // a vector cheap.
    vector!(HalfF64(__m256d) of 4 f64: _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd,
            _mm256_fmadd_pd, _mm256_add_pd, some: bits_8,
            |from, some| _mm256_maskz_loadu_pd(some, from), _mm256_mask_storeu_pd);
    vector!(HalfF32(__m256) of 8 f32: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
            _mm256_fmadd_ps, _mm256_add_ps, some: bits_8,
            |from, some| _mm256_maskz_loadu_ps(some, from), _mm256_mask_storeu_ps);
    vector!(Avx512F64(__m512d) of 8 f64: _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd,
            _mm512_fmadd_pd, _mm512_add_pd, some: bits_8,
            |from, some| _mm512_maskz_loadu_pd(some, from), _mm512_mask_storeu_pd);
    vector!(Avx512F32(__m512) of 16 f32: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
            _mm512_fmadd_ps, _mm512_add_ps, some: bits_16,
            |from, some| _mm512_maskz_loadu_ps(some, from), _mm512_mask_storeu_ps);
}
