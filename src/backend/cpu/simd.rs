//! The choice of vector instructions: wider ones than the compiler may assume, where the machine
//! has them.
//!
//! The arithmetic is the same with and without (products and sums are rounded one by one, never
//! fused), so the results are bit-identical from machine to machine.

/// A computation that is run with or without wider vector instructions. It is a trait and not a
/// closure, because `run` must be marked `#[inline(always)]`, all the way down, so that it is
/// compiled once with and once without the wider instructions.
pub trait Work {
    /// Does the computation.
    fn run(self);
}

/// Runs `work` with AVX2 where the machine has it.
pub fn vectorized(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has been found to have the instructions.
        return unsafe { with_avx2(work) };
    }
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(work: impl Work) {
    work.run();
}
