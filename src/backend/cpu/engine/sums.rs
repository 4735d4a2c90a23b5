//! The gradients of inputs, of which every group of tiles has its own part or sum.

use std::slice::ChunksMut;

use crate::backend::cpu::gradient::Place;
use crate::error::Result;
use crate::memory::zeros;
use crate::real::Real;
use crate::shape::InputLayout;

/// The places where the groups add up the gradient of one input.
pub(super) struct InputSums {
    /// Partial sums of an array that the systems share, (groups, values); empty if they do not.
    partial: Vec<f64>,
    /// Number of values of a group's part.
    chunk: usize,
    /// Whether all systems share the array, and not only what is in a group.
    shared: bool,
}

impl InputSums {
    pub fn new(
        input: InputLayout,
        group_systems: usize,
        groups: usize,
        is_sum: bool,
    ) -> Result<Self> {
        let shared = input.shared();
        if !is_sum {
            let chunk = group_systems * input.values;
            return Ok(InputSums { partial: Vec::new(), chunk, shared });
        }
        // Nothing is ever added to an empty array, but every group needs a part.
        let chunk = input.values.max(1);
        let partial = zeros("gradient of a shared input", groups * chunk)?;
        Ok(InputSums { partial, chunk, shared })
    }

    /// Returns the places of the groups: parts of the gradient if the systems have values of their
    /// own, else partial sums.
    pub fn places<'a, R: Real>(&'a mut self, gradient: Option<&'a mut [R]>) -> Places<'a, R> {
        match gradient {
            None => Places::Unwanted,
            Some(own) if self.partial.is_empty() => Places::Own(own.chunks_mut(self.chunk)),
            Some(_) => Places::Shared(self.partial.chunks_mut(self.chunk)),
        }
    }

    /// Adds the partial sums, in the order of the groups. Returns whether the sums are finite.
    pub fn total<R: Real>(&self, gradient: &mut [R]) -> bool {
        if self.partial.is_empty() {
            return true;
        }
        let mut finite = true;
        let groups = if self.shared { self.partial.len() / self.chunk } else { 1 };
        for (i, total) in gradient.iter_mut().enumerate() {
            *total = R::of(self.partial.iter().skip(i).step_by(self.chunk).take(groups).sum());
            finite &= total.is_finite();
        }
        finite
    }
}

/// The places of one input that are left for groups.
pub(super) enum Places<'a, R> {
    Unwanted,
    Own(ChunksMut<'a, R>),
    Shared(ChunksMut<'a, f64>),
}

impl<'a, R: Real> Places<'a, R> {
    /// Returns the place of the next group.
    pub fn next(&mut self) -> Place<'a> {
        const GROUPS: &str = "every group has a part";
        match self {
            Places::Unwanted => Place::Unwanted,
            Places::Own(parts) => Place::Own(R::values_mut(parts.next().expect(GROUPS))),
            Places::Shared(sums) => Place::Shared(sums.next().expect(GROUPS)),
        }
    }
}
