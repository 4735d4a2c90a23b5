//! The places of the values of a problem in its arrays, and the systems that are in the lanes of a
//! tile.

use crate::banded::lanes::Packed;
use crate::real::Real;
use crate::shape::{ProblemShape, stride};

/// The systems in the lanes of a tile, first ..= last; surplus lanes repeat the last one.
#[derive(Clone, Copy, Debug)]
pub struct TileSystems {
    /// System in lane 0.
    pub first: usize,
    /// Last system of the tile.
    pub last: usize,
}

impl TileSystems {
    /// Returns the system in a lane.
    #[inline(always)]
    pub fn system(self, lane: usize) -> usize {
        (self.first + lane).min(self.last)
    }

    /// Returns the range of the systems, without the repetitions in surplus lanes.
    pub fn range(self) -> std::ops::RangeInclusive<usize> {
        self.first..=self.last
    }
}

/// The strides of one input array, which are 0 along a shared axis.
#[derive(Clone, Copy, Debug)]
pub struct ArrayLayout {
    /// Number of values of one system (of all systems, if the batch axis is shared).
    pub values: usize,
    /// Stride between systems.
    pub system: usize,
    /// Strides of the other axes: (time, row, column).
    inner: [usize; 3],
}

impl ArrayLayout {
    fn new(batch: usize, values: usize, inner: [usize; 3]) -> Self {
        ArrayLayout { values, system: stride(batch, values), inner }
    }

    /// Returns whether all systems share the array.
    pub fn shared(&self) -> bool {
        self.system == 0
    }

    #[inline(always)]
    fn offset(&self, index: [usize; 3]) -> usize {
        index[0] * self.inner[0] + index[1] * self.inner[1] + index[2] * self.inner[2]
    }

    /// Returns the value at `index` for the system of each lane, in the precision of `S`.
    #[inline(always)]
    pub fn gather<S: Packed, T: Real>(
        &self,
        data: &[T],
        systems: TileSystems,
        index: [usize; 3],
    ) -> S {
        let offset = self.offset(index);
        if self.shared() {
            return S::splat(S::Real::of(data[offset].to_double()));
        }
        let mut values = S::default();
        for lane in 0..S::LANES {
            let value = data[systems.system(lane) * self.system + offset];
            values.set_lane(lane, S::Real::of(value.to_double()));
        }
        values
    }

    /// Adds the value of each live lane at `index` of its system; `data` begins with system
    /// `origin`.
    #[inline(always)]
    pub fn scatter_add<S: Packed>(
        &self,
        data: &mut [S::Real],
        origin: usize,
        systems: TileSystems,
        live: &[bool],
        index: [usize; 3],
        value: S,
    ) {
        let offset = self.offset(index);
        for (lane, system) in systems.range().enumerate() {
            if live[lane] {
                let place = if self.shared() { 0 } else { (system - origin) * self.system };
                data[place + offset] += value.lane(lane);
            }
        }
    }

    /// Returns the values of one system.
    pub fn of<'a, T>(&self, data: &'a [T], system: usize) -> &'a [T] {
        &data[system * self.system..][..self.values]
    }
}

/// The strides of all inputs of a problem.
#[derive(Clone, Copy, Debug)]
pub struct InputLayout {
    /// Layout of the coefficients, with the index (t, e, k·Qc + j).
    pub coefficients: ArrayLayout,
    /// Layout of the right-hand side, with the index (t, e, 0).
    pub rhs: ArrayLayout,
    /// Layout of the initial values, with the index (i, k, j).
    pub initial_values: ArrayLayout,
    /// Layout of the steps, with the index (t, k, 0).
    pub steps: ArrayLayout,
    /// Number of states with steps of their own, K or 1.
    pub step_states: usize,
}

impl InputLayout {
    /// Returns the layout of the inputs of problems of this shape.
    pub fn new(shape: &ProblemShape) -> Self {
        let [cb, cn, e, states, columns] = shape.coefficients;
        let c = states * columns;
        let [rb, rn, _] = shape.rhs;
        let [ib, i, k, j] = shape.initial_values;
        let [sb, sn, sk] = shape.steps;
        InputLayout {
            coefficients: ArrayLayout::new(cb, cn * e * c, [stride(cn, e * c), c, 1]),
            rhs: ArrayLayout::new(rb, rn * e, [stride(rn, e), 1, 0]),
            initial_values: ArrayLayout::new(ib, i * k * j, [k * j, j, 1]),
            steps: ArrayLayout::new(sb, sn * sk, [stride(sn, sk), stride(sk, 1), 0]),
            step_states: sk,
        }
    }

    /// Returns ℓ, the mean over the states of step t in `data`, which is laid out as the steps.
    #[inline(always)]
    pub fn mean_step<S: Packed, T: Real>(&self, data: &[T], systems: TileSystems, t: usize) -> S {
        let mut sum: S = self.steps.gather(data, systems, [t, 0, 0]);
        for k in 1..self.step_states {
            sum += self.steps.gather(data, systems, [t, k, 0]);
        }
        if self.step_states == 1 {
            sum
        } else {
            sum / S::splat(S::Real::of(self.step_states as f64))
        }
    }
}
