//! Which lane holds which system, and how values of the inputs get into lanes and out of them.

use crate::banded::lanes::Packed;
use crate::real::Real;
use crate::shape::InputLayout;

/// The systems in the lanes of a tile: first ..= last; surplus lanes repeat the last one.
#[derive(Clone, Copy, Debug)]
pub struct TileSystems {
    /// System in lane 0.
    pub first: usize,
    /// Last system of the tile.
    pub last: usize,
}

impl TileSystems {
    /// System in a lane.
    #[inline(always)]
    pub fn system(self, lane: usize) -> usize {
        (self.first + lane).min(self.last)
    }

    /// The systems, one a lane, without repetitions.
    pub fn range(self) -> std::ops::RangeInclusive<usize> {
        self.first..=self.last
    }
}

impl InputLayout {
    #[inline(always)]
    fn offset(&self, index: [usize; 3]) -> usize {
        index[0] * self.inner[0] + index[1] * self.inner[1] + index[2] * self.inner[2]
    }

    /// The value at `index` of each lane's system, in the precision of `S`.
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

    /// Adds each live lane's value at `index` of its system; `data` begins with system `origin`.
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
}
