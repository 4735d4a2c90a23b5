//! The places of inputs in arrays with strides, as kernels take them.

use smallvec::SmallVec;

use crate::backend::cuda::bindings::BatchAxes;
use crate::shape::{Axis, Places};

/// The most axes of a batch that kernels tell apart.
const MOST_AXES: usize = 3;
/// The most values that an array reaches over, unless it is row-major: kernels count them with 32 bits.
const MOST_VALUES: usize = i32::MAX as usize;

/// The axes of a batch, the innermost first, along each of which every one of some inputs has places at equal
/// distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes {
    /// Lengths, 1 for one that there is not.
    extents: [usize; MOST_AXES],
}

impl Axes {
    /// Returns the axes that inputs at these places have, or nothing if they are too many for kernels, do not fit
    /// together, or the systems are too many.
    pub fn of<'a>(places: impl Iterator<Item = &'a Places>) -> Option<Self> {
        // Each ends where the outermost axis of some input ends, or one within it.
        let mut ends = SmallVec::<[usize; 8]>::new();
        for places in places {
            let mut end = 1;
            for axis in places.batch().iter().rev() {
                end *= axis.extent;
                ends.push(end);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        let mut before = 1;
        let mut extents = [1; MOST_AXES];
        let mut unknown = extents.iter_mut();
        for end in ends.into_iter().filter(|&end| end != 1) {
            // Inputs of several problems need not have axes of which one ends where another begins.
            *unknown.next().filter(|_| end % before == 0)? = end / before;
            before = end;
        }
        let axes = Axes { extents };
        (!axes.are_several() || before <= MOST_VALUES).then_some(axes)
    }

    /// Returns whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.extents[1] != 1
    }

    /// Returns the distances between the systems of an input along these axes.
    pub fn distances(&self, places: &Places) -> [usize; MOST_AXES] {
        let mut system = 1;
        let mut distances = [0; MOST_AXES];
        for (distance, &extent) in distances.iter_mut().zip(&self.extents) {
            *distance = if extent == 1 { 0 } else { places.of(system) };
            system *= extent;
        }
        distances
    }

    /// Returns the axes as a launch takes them whose first system has this number.
    pub fn for_launch(&self, first: usize) -> BatchAxes {
        // The quotient by the largest divisor is 0.
        const NONE: usize = 1 << 31;
        let inner =
            |axis: usize| if self.extents[axis + 1] == 1 { NONE } else { self.extents[axis] };
        let extents = [inner(0), inner(1)];
        // With 2^(s-1) < d <= 2^s, f = ⌈2^(31+s)/d⌉ has 32 bits and f·d exceeds 2^(31+s) by less than 2^s, so
        // that n·f / 2^(31+s) exceeds n/d by less than 1/d for n < 2³¹.
        let bits = extents.map(|extent| extent.next_power_of_two().trailing_zeros());
        let factor =
            |axis: usize| (1_u64 << (31 + bits[axis])).div_ceil(extents[axis] as u64) as u32;
        BatchAxes {
            first: first as i64,
            extents: extents.map(|extent| extent as u32),
            factors: [factor(0), factor(1)],
            shifts: bits.map(|bits| bits as i32 - 1),
            several: i32::from(self.are_several()),
            reserved: 0,
        }
    }
}

/// How kernels see an input at its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Systems lie side by side or are shared, each row-major and without gaps.
    Dense,
    /// Systems and points lie apart, the values of a point side by side.
    Strided,
    /// Not at all.
    No,
}

/// Returns how kernels see an input at these places, whose axis of points is the one of this number.
pub fn reading(places: &Places, points: usize) -> Reading {
    let inner = places.inner();
    let values: usize = inner.iter().map(|axis| axis.extent).product();
    let side_by_side = |axes: &[Axis]| {
        let mut next = 1;
        axes.iter().rev().all(|axis| {
            let fits = axis.extent == 1 || axis.stride == next;
            next *= axis.extent;
            fits
        })
    };
    let dense_batch = |batch: &[Axis]| match batch {
        [axis] => axis.extent == 1 || axis.stride == 0 || axis.stride == values,
        _ => false,
    };
    if places.dense() && dense_batch(places.batch()) {
        Reading::Dense
    } else if values == 0 || side_by_side(&inner[points + 1..]) && places.reach() <= MOST_VALUES {
        Reading::Strided
    } else {
        Reading::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places of one value for each system.
    fn places(axes: &[(usize, usize)]) -> Places {
        let axes = axes.iter().map(|&(extent, stride)| Axis { extent, stride });
        Places::new(axes, [Axis { extent: 1, stride: 0 }; 4])
    }

    #[test]
    fn launches_find_systems_along_the_axes() {
        let arrays = [
            places(&[(3, 0), (5, 1), (7, 5)]),
            places(&[(3, 7), (5, 0), (7, 1)]),
            places(&[(105, 1)]),
        ];
        let axes = Axes::of(arrays.iter()).unwrap();
        assert_eq!(axes.extents, [7, 5, 3]);
        let BatchAxes { first, extents, factors, shifts, several, .. } = axes.for_launch(3);
        assert_eq!((first, several), (3, 1));
        let divide = |n: u64, axis: usize| ((n * u64::from(factors[axis])) >> 32) >> shifts[axis];
        for array in &arrays {
            let distances = axes.distances(array).map(|distance| distance as u64);
            for system in 0..105 {
                let middle = divide(system, 0);
                let outer = divide(middle, 1);
                let indices = [
                    system - middle * u64::from(extents[0]),
                    middle - outer * u64::from(extents[1]),
                    outer,
                ];
                let place: u64 = indices.iter().zip(distances).map(|(i, s)| i * s).sum();
                assert_eq!(place as usize, array.of(system as usize));
            }
        }
        let two = Axes::of([places(&[(4, 1), (3, 4)])].iter()).unwrap();
        assert_eq!(two.distances(&places(&[(4, 1), (3, 4)])), [4, 1, 0]);
        assert!(two.are_several());
        let apart = [places(&[(4, 1), (6, 4)]), places(&[(6, 1), (4, 6)])];
        assert_eq!(Axes::of(apart.iter()), None, "24 systems, in fours and in sixes");
        let four = places(&[(2, 1), (2, 2), (2, 4), (2, 8)]);
        assert_eq!(Axes::of([four].iter()), None);
        assert!(!Axes::of([places(&[(105, 1)])].iter()).unwrap().are_several());
    }

    #[test]
    fn every_number_of_systems_is_divided() {
        for extent in [2, 3, 5, 7, 641, 65_535, 65_536, 65_537, (1 << 30) + 1, (1 << 31) - 1] {
            let axes = Axes { extents: [extent, 2, 1] };
            let BatchAxes { factors, shifts, .. } = axes.for_launch(0);
            let most = (1_u64 << 31) - 1;
            let extent = extent as u64;
            let around = (0..1000).map(|i| i * (most / 1000) / extent * extent);
            for n in around.flat_map(|n| [n, n.saturating_sub(1)]).chain([most]) {
                assert_eq!(((n * u64::from(factors[0])) >> 32) >> shifts[0], n / extent);
                assert_eq!(((n * u64::from(factors[1])) >> 32) >> shifts[1], 0);
            }
        }
    }
}
