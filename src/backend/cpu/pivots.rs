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
    /// The weakest pivot of each lane.
    pub weakest: Weakest<V>,
}

/// The weakest pivot so far. A sweep copies it and so keeps it in registers, where the next pivot does not
/// wait for memory.
#[derive(Clone, Copy, Default)]
pub struct Weakest<V> {
    /// Largest ratio of a diagonal entry of M to the pivot that elimination has left of it.
    largest: V,
    /// Unknown with that ratio.
    pub unknown: V,
}

impl<V: Vector> Default for Pivots<V> {
    fn default() -> Self {
        Pivots { broken: [None; LANES], weakest: Weakest::default() }
    }
}

impl<V: Vector> Pivot<V> for Pivots<V> {
    #[inline(always)]
    fn reciprocal_root(&mut self, pivot: V, whole: V, unknown: usize) -> V {
        self.weakest.reciprocal_root(pivot, whole, unknown, &mut self.broken)
    }
}

impl<V: Vector> Weakest<V> {
    /// Returns 1/√pivot as a [`Pivot`] does, and tells which pivots broke down.
    #[inline(always)]
    pub fn reciprocal_root(
        &mut self,
        mut pivot: V,
        whole: V,
        unknown: usize,
        broken: &mut [Option<usize>; LANES],
    ) -> V {
        let least = V::splat(f64::MIN_POSITIVE);
        if !(least.all_less(pivot) && pivot.all_less(V::splat(f64::INFINITY))) {
            pivot = V::from_array(mended(pivot.to_array(), unknown, broken));
        }
        // Neither root nor quotient waits for the other.
        let quotient = V::splat(1.0) / pivot;
        let reciprocal = pivot.sqrt() * quotient;
        let ratio = whole * quotient;
        self.unknown = self.largest.less(ratio, V::splat(unknown as f64), self.unknown);
        self.largest = self.largest.less(ratio, ratio, self.largest);
        reciprocal
    }
}

/// Replaces pivots that are not positive (or NaN, infinite, subnormal) by one, so that their lanes run on
/// harmlessly.
#[cold]
#[inline(never)]
fn mended(
    mut pivot: [f64; LANES],
    unknown: usize,
    broken: &mut [Option<usize>; LANES],
) -> [f64; LANES] {
    for (value, broken) in pivot.iter_mut().zip(broken) {
        if !(*value > 0.0 && value.is_normal()) {
            broken.get_or_insert(unknown);
            *value = 1.0;
        }
    }
    pivot
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
