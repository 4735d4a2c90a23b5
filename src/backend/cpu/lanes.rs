//! Eight numbers that are computed on together, and the choice of the instructions that do it.
//!
//! Every algorithm of this backend is written once over [`Vector`] and compiled for each set of
//! instructions; [`choose`] takes the best that the machine has. The arithmetic is defined lane by
//! lane, with every `a + b·c` of [`plus`](Vector::plus) and [`minus`](Vector::minus) rounded once:
//! results are bit-identical from machine to machine, and a lane never feels its neighbors.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// The number of lanes of a [`Vector`].
pub const LANES: usize = 8;

/// What is left of a number that has decayed: 2^−600.
const REMNANT: f64 = f64::from_bits((1023 - 600) << 52);

/// Eight numbers in double precision, with arithmetic lane by lane.
pub trait Vector:
    Copy
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
{
    /// Whether code for blocks of the usual sizes, and for chains of small ones, is compiled besides that for
    /// any size. The bits of the results are the same.
    const SIZES: bool;

    /// Returns the same value in every lane.
    fn splat(value: f64) -> Self;
    /// Returns a vector of these values.
    fn from_array(values: [f64; LANES]) -> Self;
    /// Returns the values of the lanes.
    fn to_array(self) -> [f64; LANES];
    /// Returns self + a·b, rounded once.
    fn plus(self, a: Self, b: Self) -> Self;
    /// Returns self − a·b, rounded once.
    fn minus(self, a: Self, b: Self) -> Self;
    /// Returns the square roots.
    fn sqrt(self) -> Self;
    /// Returns the magnitudes.
    fn abs(self) -> Self;
    /// Returns, lane by lane, `yes` where self < other, else `no`.
    fn less(self, other: Self, yes: Self, no: Self) -> Self;
    /// Returns whether self < other in every lane.
    fn all_less(self, other: Self) -> bool;
    /// Transposes eight vectors: lane j of vector i becomes lane i of vector j.
    fn transpose(rows: &mut [Self; LANES]);
    /// Runs `work` with the instructions of this type.
    fn run(work: impl Work);

    /// Returns the value of a lane.
    #[inline(always)]
    fn lane(self, lane: usize) -> f64 {
        self.to_array()[lane]
    }

    /// Returns zero in place of values below 2^−600, which what decays along a long system would else
    /// become, and then subnormal, which machines compute with slowly.
    #[inline(always)]
    fn without_remnants(self) -> Self {
        self.abs().less(Self::splat(REMNANT), Self::default(), self)
    }

    /// Returns whether the values of all lanes are the same as those of `other`, and are numbers.
    #[inline(always)]
    fn same(self, other: Self) -> bool {
        // With gradual underflow only the difference of equal numbers is below the least number.
        (self - other).abs().all_less(Self::splat(f64::from_bits(1)))
    }
}

/// A computation that is compiled for one set of instructions. It is a trait and not a closure,
/// because `run` and all that it calls must be marked `#[inline(always)]`.
pub trait Work {
    /// Does the computation.
    fn run(self);
}

/// Declares a [`Work`]: lifetimes and constants, what it works with, and what it does. It is compiled
/// once for each type of vectors `V`, and not wherever it is wanted.
macro_rules! work {
    (
        $(#[$attribute:meta])*
        $visible:vis $name:ident<$($life:lifetime),* $(; $($constant:ident: $kind:ty),*)?>
        { $($field:ident: $type:ty),* $(,)? }
        $body:expr
    ) => {
        $(#[$attribute])*
        $visible struct $name<$($life,)* V $($(, const $constant: $kind)*)?> {
            $($visible $field: $type,)*
        }

        impl<$($life,)* V: $crate::backend::cpu::lanes::Vector $($(, const $constant: $kind)*)?>
            $crate::backend::cpu::lanes::Work for $name<$($life,)* V $($(, $constant)*)?>
        {
            #[inline(always)]
            fn run(self) {
                let $name { $($field,)* } = self;
                $body
            }
        }
    };
}
pub(super) use work;

/// Repeats a block for `i` in `0..n`, n being a constant of at most six, without a loop: what it does with
/// arrays of vectors stays in registers.
macro_rules! unrolled {
    ($i:ident in 0..$n:ident => $body:block) => {
        $crate::backend::cpu::lanes::unrolled!(@ $i $n $body 0 1 2 3 4 5);
        const { assert!($n <= 6) };
    };
    (@ $i:ident $n:ident $body:block $($at:literal)*) => {
        $(if $at < $n {
            let $i: usize = $at;
            $body
        })*
    };
}
pub(super) use unrolled;

/// Asks for the value at a place to be brought near; there need not be one.
#[inline(always)]
pub fn prefetch<S>(values: &[S], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: nothing is read, whatever the address, and all machines of this kind have the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(values.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}

/// Something that is made for one type of vectors.
pub trait Choice {
    /// What is made.
    type Output;
    /// Makes it for `V`.
    fn with<V: Vector>(self) -> Self::Output;
}

/// Makes something for the best vectors of this machine.
pub fn choose<C: Choice>(choice: C) -> C::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::Avx512::exists() {
            return choice.with::<x86::Avx512>();
        }
        if x86::Avx2::exists() {
            return choice.with::<x86::Avx2>();
        }
    }
    choice.with::<Portable>()
}

/// Makes something for each type of vectors that this machine has, the portable ones first.
#[cfg(test)]
pub fn choose_all<C: Choice + Copy>(choice: C) -> Vec<C::Output> {
    let mut made = vec![choice.with::<Portable>()];
    #[cfg(target_arch = "x86_64")]
    {
        if x86::Avx2::exists() {
            made.push(choice.with::<x86::Avx2>());
        }
        if x86::Avx512::exists() {
            made.push(choice.with::<x86::Avx512>());
        }
    }
    made
}

/// Implements the operators of a vector by expressions of two of them: closures need not be inlined, and what
/// they call then neither.
macro_rules! operators {
    ($type:ty: $($trait:ident $method:ident |$a:ident, $b:ident| $result:expr;)*) => {
        $(impl $trait for $type {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $result
            }
        })*
        impl AddAssign for $type {
            #[inline(always)]
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl SubAssign for $type {
            #[inline(always)]
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }
        impl Default for $type {
            #[inline(always)]
            fn default() -> Self {
                Self::splat(0.0)
            }
        }
    };
}

/// Eight numbers in whatever registers the compiler finds for them.
#[derive(Clone, Copy)]
pub struct Portable([f64; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(mut self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        for lane in 0..LANES {
            self.0[lane] = f(self.0[lane], other.0[lane]);
        }
        self
    }
}

operators! { Portable:
    Add add |a, b| a.zip(b, |a, b| a + b);
    Sub sub |a, b| a.zip(b, |a, b| a - b);
    Mul mul |a, b| a.zip(b, |a, b| a * b);
    Div div |a, b| a.zip(b, |a, b| a / b);
}

impl Neg for Portable {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Portable(self.0.map(|value| -value))
    }
}

impl Vector for Portable {
    /// Machines with x86-64 that have no AVX2 are few.
    const SIZES: bool = !cfg!(target_arch = "x86_64");
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Portable([value; LANES])
    }
    #[inline(always)]
    fn from_array(values: [f64; LANES]) -> Self {
        Portable(values)
    }
    #[inline(always)]
    fn to_array(self) -> [f64; LANES] {
        self.0
    }
    // Without an instruction for it, this is eight calls, which need not stand everywhere.
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn plus(mut self, a: Self, b: Self) -> Self {
        for lane in 0..LANES {
            self.0[lane] = a.0[lane].mul_add(b.0[lane], self.0[lane]);
        }
        self
    }
    #[inline(always)]
    fn minus(self, a: Self, b: Self) -> Self {
        self.plus(-a, b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Portable(self.0.map(f64::sqrt))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Portable(self.0.map(f64::abs))
    }
    #[inline(always)]
    fn less(self, other: Self, yes: Self, mut no: Self) -> Self {
        for lane in 0..LANES {
            if self.0[lane] < other.0[lane] {
                no.0[lane] = yes.0[lane];
            }
        }
        no
    }
    #[inline(always)]
    fn all_less(self, other: Self) -> bool {
        (0..LANES).all(|lane| self.0[lane] < other.0[lane])
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; LANES]) {
        let columns = *rows;
        for (i, row) in rows.iter_mut().enumerate() {
            for j in 0..LANES {
                row.0[j] = columns[j].0[i];
            }
        }
    }
    fn run(work: impl Work) {
        work.run();
    }
}

/// The vectors of x86-64. Their values exist only where [`choose`] has found the instructions, or a
/// test has: that is what makes the intrinsics sound.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512d);

    impl Avx512 {
        /// Returns whether the machine has the instructions.
        pub fn exists() -> bool {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && Avx2::exists()
        }
    }

    // SAFETY (here and below): the instructions exist, because `choose` takes a type only where they do.
    operators! { Avx512:
        Add add |a, b| unsafe { Avx512(_mm512_add_pd(a.0, b.0)) };
        Sub sub |a, b| unsafe { Avx512(_mm512_sub_pd(a.0, b.0)) };
        Mul mul |a, b| unsafe { Avx512(_mm512_mul_pd(a.0, b.0)) };
        Div div |a, b| unsafe { Avx512(_mm512_div_pd(a.0, b.0)) };
    }

    impl Neg for Avx512 {
        type Output = Self;
        #[inline(always)]
        fn neg(self) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_xor_pd(self.0, _mm512_set1_pd(-0.0))) }
        }
    }

    /// Returns quarters 0 and 2 of both. It is no closure, which need not be inlined where it is called, and
    /// what it calls then neither.
    #[inline(always)]
    fn even(a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: as above.
        unsafe { _mm512_shuffle_f64x2::<0x88>(a, b) }
    }

    /// Returns quarters 1 and 3 of both.
    #[inline(always)]
    fn odd(a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: as above.
        unsafe { _mm512_shuffle_f64x2::<0xdd>(a, b) }
    }

    impl Vector for Avx512 {
        const SIZES: bool = true;
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_set1_pd(value)) }
        }
        #[inline(always)]
        fn from_array(values: [f64; LANES]) -> Self {
            // SAFETY: as above, and the array has as many values as the register.
            unsafe { Avx512(_mm512_loadu_pd(values.as_ptr())) }
        }
        #[inline(always)]
        fn to_array(self) -> [f64; LANES] {
            // SAFETY: the array has as many values as the register.
            unsafe { std::mem::transmute(self.0) }
        }
        #[inline(always)]
        fn plus(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_fmadd_pd(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        fn minus(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_fnmadd_pd(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_sqrt_pd(self.0)) }
        }
        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: as above.
            unsafe { Avx512(_mm512_abs_pd(self.0)) }
        }
        #[inline(always)]
        fn less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let mask = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0);
                Avx512(_mm512_mask_blend_pd(mask, no.0, yes.0))
            }
        }
        #[inline(always)]
        fn all_less(self, other: Self) -> bool {
            // SAFETY: as above.
            unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0) == 0xff }
        }
        #[inline(always)]
        fn transpose(rows: &mut [Self; LANES]) {
            let [r0, r1, r2, r3, r4, r5, r6, r7] = rows.map(|row| row.0);
            // SAFETY: as above.
            *rows = unsafe {
                let (a0, a1) = (_mm512_unpacklo_pd(r0, r1), _mm512_unpackhi_pd(r0, r1));
                let (b0, b1) = (_mm512_unpacklo_pd(r2, r3), _mm512_unpackhi_pd(r2, r3));
                let (c0, c1) = (_mm512_unpacklo_pd(r4, r5), _mm512_unpackhi_pd(r4, r5));
                let (d0, d1) = (_mm512_unpacklo_pd(r6, r7), _mm512_unpackhi_pd(r6, r7));
                let (ab0, cd0) = (even(a0, b0), even(c0, d0));
                let (ab1, cd1) = (even(a1, b1), even(c1, d1));
                let (ab2, cd2) = (odd(a0, b0), odd(c0, d0));
                let (ab3, cd3) = (odd(a1, b1), odd(c1, d1));
                [
                    Avx512(even(ab0, cd0)),
                    Avx512(even(ab1, cd1)),
                    Avx512(even(ab2, cd2)),
                    Avx512(even(ab3, cd3)),
                    Avx512(odd(ab0, cd0)),
                    Avx512(odd(ab1, cd1)),
                    Avx512(odd(ab2, cd2)),
                    Avx512(odd(ab3, cd3)),
                ]
            };
        }
        fn run(work: impl Work) {
            #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
            fn inner(work: impl Work) {
                work.run();
            }
            assert!(Avx512::exists());
            // SAFETY: the machine has the instructions.
            unsafe { inner(work) }
        }
    }

    /// Two registers of AVX2.
    #[derive(Clone, Copy)]
    pub struct Avx2([__m256d; 2]);

    impl Avx2 {
        /// Returns whether the machine has the instructions.
        pub fn exists() -> bool {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        }
    }

    operators! { Avx2:
        Add add |a, b| unsafe {
            Avx2([_mm256_add_pd(a.0[0], b.0[0]), _mm256_add_pd(a.0[1], b.0[1])])
        };
        Sub sub |a, b| unsafe {
            Avx2([_mm256_sub_pd(a.0[0], b.0[0]), _mm256_sub_pd(a.0[1], b.0[1])])
        };
        Mul mul |a, b| unsafe {
            Avx2([_mm256_mul_pd(a.0[0], b.0[0]), _mm256_mul_pd(a.0[1], b.0[1])])
        };
        Div div |a, b| unsafe {
            Avx2([_mm256_div_pd(a.0[0], b.0[0]), _mm256_div_pd(a.0[1], b.0[1])])
        };
    }

    impl Neg for Avx2 {
        type Output = Self;
        #[inline(always)]
        fn neg(self) -> Self {
            // SAFETY: as above.
            unsafe {
                let sign = _mm256_set1_pd(-0.0);
                Avx2([_mm256_xor_pd(self.0[0], sign), _mm256_xor_pd(self.0[1], sign)])
            }
        }
    }

    /// Transposes a quarter of the matrix.
    #[inline(always)]
    fn transpose_four(rows: [__m256d; 4]) -> [__m256d; 4] {
        // SAFETY: as above.
        unsafe {
            let a = _mm256_unpacklo_pd(rows[0], rows[1]);
            let b = _mm256_unpackhi_pd(rows[0], rows[1]);
            let c = _mm256_unpacklo_pd(rows[2], rows[3]);
            let d = _mm256_unpackhi_pd(rows[2], rows[3]);
            [
                _mm256_permute2f128_pd::<0x20>(a, c),
                _mm256_permute2f128_pd::<0x20>(b, d),
                _mm256_permute2f128_pd::<0x31>(a, c),
                _mm256_permute2f128_pd::<0x31>(b, d),
            ]
        }
    }

    impl Vector for Avx2 {
        const SIZES: bool = true;
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: as above.
            unsafe { Avx2([_mm256_set1_pd(value); 2]) }
        }
        #[inline(always)]
        fn from_array(values: [f64; LANES]) -> Self {
            // SAFETY: the array has as many values as the registers.
            unsafe { std::mem::transmute(values) }
        }
        #[inline(always)]
        fn to_array(self) -> [f64; LANES] {
            // SAFETY: the array has as many values as the registers.
            unsafe { std::mem::transmute(self.0) }
        }
        #[inline(always)]
        fn plus(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                Avx2([
                    _mm256_fmadd_pd(a.0[0], b.0[0], self.0[0]),
                    _mm256_fmadd_pd(a.0[1], b.0[1], self.0[1]),
                ])
            }
        }
        #[inline(always)]
        fn minus(self, a: Self, b: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                Avx2([
                    _mm256_fnmadd_pd(a.0[0], b.0[0], self.0[0]),
                    _mm256_fnmadd_pd(a.0[1], b.0[1], self.0[1]),
                ])
            }
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: as above.
            unsafe { Avx2([_mm256_sqrt_pd(self.0[0]), _mm256_sqrt_pd(self.0[1])]) }
        }
        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: as above.
            unsafe {
                let sign = _mm256_set1_pd(-0.0);
                Avx2([_mm256_andnot_pd(sign, self.0[0]), _mm256_andnot_pd(sign, self.0[1])])
            }
        }
        #[inline(always)]
        fn less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let low = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0[0], other.0[0]);
                let high = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0[1], other.0[1]);
                Avx2([
                    _mm256_blendv_pd(no.0[0], yes.0[0], low),
                    _mm256_blendv_pd(no.0[1], yes.0[1], high),
                ])
            }
        }
        #[inline(always)]
        fn all_less(self, other: Self) -> bool {
            // SAFETY: as above.
            unsafe {
                let low = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0[0], other.0[0]);
                let high = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0[1], other.0[1]);
                _mm256_movemask_pd(_mm256_and_pd(low, high)) == 0xf
            }
        }
        #[inline(always)]
        fn transpose(rows: &mut [Self; LANES]) {
            let [r0, r1, r2, r3, r4, r5, r6, r7] = rows.map(|row| row.0);
            let a = transpose_four([r0[0], r1[0], r2[0], r3[0]]);
            let b = transpose_four([r0[1], r1[1], r2[1], r3[1]]);
            let c = transpose_four([r4[0], r5[0], r6[0], r7[0]]);
            let d = transpose_four([r4[1], r5[1], r6[1], r7[1]]);
            for i in 0..4 {
                rows[i] = Avx2([a[i], c[i]]);
                rows[4 + i] = Avx2([b[i], d[i]]);
            }
        }
        fn run(work: impl Work) {
            #[target_feature(enable = "avx2,fma")]
            fn inner(work: impl Work) {
                work.run();
            }
            assert!(Avx2::exists());
            // SAFETY: the machine has the instructions.
            unsafe { inner(work) }
        }
    }
}

#[cfg(test)]
mod tests;
