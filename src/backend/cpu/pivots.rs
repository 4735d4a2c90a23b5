//! The pivots of a factorization in lanes: where it breaks down, and which pivot is the weakest.

use super::lanes::{LANES, Vector};

/// What becomes of a pivot.
pub trait Pivot<V: Vector> {
    /// Returns 1/√pivot, where `whole` is the diagonal entry of M before anything was eliminated
    /// and `unknown` the number of the unknown.
    fn reciprocal_root(&mut self, pivot: V, whole: V, unknown: usize) -> V;
}

/// The record of the pivots of a factorization.
#[derive(Clone, Copy)]
pub struct Pivots<V> {
    /// Unknown whose pivot broke down first in each lane, if one did.
    pub broken: [Option<usize>; LANES],
    /// Largest ratio of a diagonal entry of M to the pivot that elimination has left of it.
    largest: V,
    /// Unknown with that ratio.
    pub weakest: V,
}

impl<V: Vector> Default for Pivots<V> {
    fn default() -> Self {
        Pivots { broken: [None; LANES], largest: V::default(), weakest: V::default() }
    }
}

impl<V: Vector> Pivots<V> {
    /// Replaces pivots that are not positive (or NaN, infinite, subnormal) by one, so that their
    /// lanes run on harmlessly.
    #[cold]
    #[inline(never)]
    fn mend(&mut self, pivot: [f64; LANES], unknown: usize) -> [f64; LANES] {
        let mut mended = pivot;
        for (lane, value) in mended.iter_mut().enumerate() {
            if !(*value > 0.0 && value.is_normal()) {
                self.broken[lane].get_or_insert(unknown);
                *value = 1.0;
            }
        }
        mended
    }
}

impl<V: Vector> Pivot<V> for Pivots<V> {
    #[inline(always)]
    fn reciprocal_root(&mut self, mut pivot: V, whole: V, unknown: usize) -> V {
        let least = V::splat(f64::MIN_POSITIVE);
        if !(least.all_less(pivot) && pivot.all_less(V::splat(f64::INFINITY))) {
            pivot = V::from_array(self.mend(pivot.to_array(), unknown));
        }
        // Neither root nor quotient waits for the other.
        let quotient = V::splat(1.0) / pivot;
        let reciprocal = pivot.sqrt() * quotient;
        let ratio = whole * quotient;
        self.weakest = self.largest.less(ratio, V::splat(unknown as f64), self.weakest);
        self.largest = self.largest.less(ratio, ratio, self.largest);
        reciprocal
    }
}

/// Pivots that are raised to a part of the diagonal entry of M, and to one where that is zero: what
/// they stand for is left small, and nothing breaks down.
pub struct Raised {
    /// Least part of its diagonal entry that a pivot counts as.
    pub least: f64,
}

impl<V: Vector> Pivot<V> for Raised {
    #[inline(always)]
    fn reciprocal_root(&mut self, pivot: V, whole: V, _: usize) -> V {
        let least = V::splat(self.least) * whole;
        let raised = least.less(pivot, pivot, least);
        let sound = V::default().less(least, raised, V::splat(1.0));
        V::splat(1.0) / sound.sqrt()
    }
}
