//! The gradients of inputs, of which every group of tiles has its own part or sum.

use std::ops::Range;
use std::slice::ChunksMut;

use smallvec::SmallVec;

use super::MOST_GROUPS;
use crate::backend::cpu::gradient::Place;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::real::Real;
use crate::shape::{InputLayout, Places, ProblemShape};

/// Returns the number of values that a group of so many systems adds up apart from the others.
pub(super) fn summed_values(
    shape: &ProblemShape,
    places: &Inputs<Places>,
    group_systems: usize,
) -> usize {
    let inputs = shape.layouts().zip(shape.partly_shared()).zip(places.as_ref()).into_iter();
    let values = inputs.map(|((input, partly), places)| {
        if partly {
            largest(&ranges(input, places, shape.batch, group_systems))
        } else if input.shared() {
            input.values
        } else {
            0
        }
    });
    values.fold(0, usize::saturating_add)
}

/// Returns the range of a gradient that the systems of each group have values in.
fn ranges(
    input: InputLayout,
    places: &Places,
    batch: usize,
    group_systems: usize,
) -> Vec<Range<usize>> {
    let group = |origin: usize| {
        let end = batch.min(origin.saturating_add(group_systems));
        let systems = (origin..end).map(|system| places.of(system));
        let [first, last] =
            systems.fold([usize::MAX, 0], |[first, last], at| [first.min(at), last.max(at)]);
        first..last + input.values
    };
    (0..batch).step_by(group_systems).map(group).collect()
}

fn largest(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0)
}

/// The places where the groups add up the gradient of one input.
pub(super) struct InputSums {
    /// Partial sums of an array that the systems share, (groups, values); empty if they do not.
    partial: Vec<f64>,
    /// Number of values of a group's part.
    chunk: usize,
    /// Whether all systems share the array, and not only what is in a group.
    shared: bool,
    /// Of an array that systems share partly, the number of values of a system, and the range of the gradient
    /// that each group adds up.
    partly: Option<(usize, Vec<Range<usize>>)>,
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
            return Ok(InputSums { partial: Vec::new(), chunk, shared, partly: None });
        }
        // Nothing is ever added to an empty array, but every group needs a part.
        let chunk = input.values.max(1);
        let partial = zeros("gradient of a shared input", groups * chunk)?;
        Ok(InputSums { partial, chunk, shared, partly: None })
    }

    /// Makes the sums of an array that systems share partly.
    pub fn partly(
        input: InputLayout,
        places: &Places,
        batch: usize,
        group_systems: usize,
    ) -> Result<Self> {
        let ranges = ranges(input, places, batch, group_systems);
        let chunk = largest(&ranges).max(1);
        let partial = zeros("gradient of a shared input", ranges.len() * chunk)?;
        Ok(InputSums { partial, chunk, shared: false, partly: Some((input.values, ranges)) })
    }

    /// Returns the parts of the groups: of the gradient if the systems have values of their own, else of the
    /// partial sums.
    pub fn parts<'a, R: Real>(
        &'a mut self,
        gradient: Option<&'a mut [R]>,
        places: &'a Places,
        group_systems: usize,
    ) -> Parts<'a, R> {
        let values = match gradient {
            None => PartValues::Unwanted,
            Some(own) if self.partial.is_empty() => PartValues::Own(own.chunks_mut(self.chunk)),
            Some(_) => PartValues::Shared(self.partial.chunks_mut(self.chunk)),
        };
        let ranges = self.partly.as_ref().map(|(_, ranges)| &ranges[..]);
        Parts { values, places, ranges, group_systems, group: 0 }
    }

    /// Adds the partial sums, in the order of the groups. Returns whether the sums are finite.
    pub fn total<R: Real>(&self, gradient: &mut [R]) -> bool {
        if self.partial.is_empty() {
            return true;
        }
        let mut finite = true;
        if let Some((values, ranges)) = &self.partly {
            for (system, gradient) in gradient.chunks_mut((*values).max(1)).enumerate() {
                // Where the sums of the groups that the values are in begin with these.
                let at = system * values;
                let begins = ranges.iter().enumerate().filter(|(_, range)| range.contains(&at));
                let begins: SmallVec<[usize; MOST_GROUPS]> =
                    begins.map(|(group, range)| group * self.chunk + (at - range.start)).collect();
                for (i, total) in gradient.iter_mut().enumerate() {
                    *total = R::of(begins.iter().map(|begin| self.partial[begin + i]).sum());
                    finite &= total.is_finite();
                }
            }
            return finite;
        }
        let groups = if self.shared { self.partial.len() / self.chunk } else { 1 };
        for (i, total) in gradient.iter_mut().enumerate() {
            *total = R::of(self.partial.iter().skip(i).step_by(self.chunk).take(groups).sum());
            finite &= total.is_finite();
        }
        finite
    }
}

/// The parts of one input's gradient that are left for groups.
pub(super) struct Parts<'a, R> {
    values: PartValues<'a, R>,
    /// Places of the systems in the whole gradient.
    places: &'a Places,
    /// Ranges of the gradient that the groups add up, if systems share it partly.
    ranges: Option<&'a [Range<usize>]>,
    group_systems: usize,
    /// Number of the next group.
    group: usize,
}

enum PartValues<'a, R> {
    Unwanted,
    Own(ChunksMut<'a, R>),
    Shared(ChunksMut<'a, f64>),
}

impl<'a, R: Real> Parts<'a, R> {
    /// Returns the part of the next group, and the place of the whole gradient at which it begins.
    pub fn next(&mut self) -> (usize, Place<'a>) {
        const GROUPS: &str = "every group has a part";
        let first = match self.ranges {
            Some(ranges) => ranges[self.group].start,
            None => self.places.of(self.group * self.group_systems),
        };
        self.group += 1;
        let place = match &mut self.values {
            PartValues::Unwanted => Place::Unwanted,
            PartValues::Own(parts) => Place::Own(R::values_mut(parts.next().expect(GROUPS))),
            PartValues::Shared(sums) => Place::Shared(sums.next().expect(GROUPS)),
        };
        (first, place)
    }
}
