//! The places of an input's values in the array that the caller lends.

use smallvec::SmallVec;

/// An axis of an array: its length, and the distance from one value along it to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Axis {
    pub extent: usize,
    pub stride: usize,
}

/// The places of the values of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Axes of the batch, outermost first, at least one; a stride of 0 is that of an axis that the input
    /// shares.
    batch: SmallVec<[Axis; 2]>,
    /// Axes of a system: time, then up to three of what a point has.
    inner: [Axis; 4],
    /// Whether the values of a system lie row-major and without gaps.
    dense: bool,
}

impl Places {
    /// Returns the places of an array with these axes. Neighboring axes of the batch become one where the
    /// places allow it, so that few are left.
    pub fn new(batch: impl IntoIterator<Item = Axis>, inner: [Axis; 4]) -> Self {
        let mut merged = SmallVec::<[Axis; 2]>::new();
        for axis in batch.into_iter().filter(|axis| axis.extent != 1) {
            match merged.last_mut() {
                Some(outer) if outer.stride == axis.extent * axis.stride => {
                    *outer = Axis { extent: outer.extent * axis.extent, ..axis };
                }
                _ => merged.push(axis),
            }
        }
        if merged.is_empty() {
            merged.push(Axis { extent: 1, stride: 0 });
        }
        let mut next = 1;
        let is_empty = inner.iter().any(|axis| axis.extent == 0);
        let dense = is_empty
            || inner.iter().rev().all(|axis| {
                let fits = axis.extent == 1 || axis.stride == next;
                next *= axis.extent;
                fits
            });
        Places { batch: merged, inner, dense }
    }

    /// Returns the place of a system's first value.
    #[inline(always)]
    pub fn of(&self, system: usize) -> usize {
        let [outermost, inner @ ..] = &self.batch[..] else { return 0 };
        let (mut place, mut rest) = (0, system);
        for axis in inner.iter().rev() {
            place += rest % axis.extent * axis.stride;
            rest /= axis.extent;
        }
        place + rest * outermost.stride
    }

    /// Iterates over the places of a system's values, in row-major order.
    pub fn of_values(&self, system: usize) -> impl Iterator<Item = usize> + use<> {
        let [a, b, c, d] = self.inner;
        let along =
            |axis: Axis, start: usize| (0..axis.extent).map(move |i| start + i * axis.stride);
        along(a, self.of(system))
            .flat_map(move |start| along(b, start))
            .flat_map(move |start| along(c, start))
            .flat_map(move |start| along(d, start))
    }

    /// Returns whether all systems share the values.
    #[inline(always)]
    pub fn shared(&self) -> bool {
        self.batch.len() == 1 && self.batch[0].stride == 0
    }

    /// Returns the axes of the batch, outermost first.
    #[cfg(feature = "cuda")]
    pub fn batch(&self) -> &[Axis] {
        &self.batch
    }

    /// Returns whether other places have axes of the same lengths and share along the same ones.
    #[cfg(feature = "cuda")]
    pub fn is_like(&self, other: &Self) -> bool {
        let systems =
            |places: &Self| places.batch.iter().map(|axis| axis.extent).product::<usize>();
        let lengths = |places: &Self| places.inner.map(|axis| axis.extent);
        // Systems from which on a stride is another one: along each axis, the first system beyond the axes within.
        let mut within = SmallVec::<[usize; 8]>::from_slice(&[1]);
        for places in [self, other] {
            let mut end = 1;
            for axis in places.batch.iter().rev() {
                end *= axis.extent;
                within.push(end);
            }
        }
        lengths(self) == lengths(other)
            && systems(self) == systems(other)
            && within
                .into_iter()
                .filter(|&system| system < systems(self))
                .all(|system| (self.of(system) == 0) == (other.of(system) == 0))
    }

    /// Returns the number of values of a system.
    #[cfg(feature = "cuda")]
    pub fn values(&self) -> usize {
        self.inner.iter().map(|axis| axis.extent).product()
    }

    /// Returns how many values lie from the first one to the last one.
    #[cfg(feature = "cuda")]
    pub fn reach(&self) -> usize {
        let axes = || self.batch.iter().chain(&self.inner);
        if axes().any(|axis| axis.extent == 0) {
            return 0;
        }
        let along = axes().map(|axis| (axis.extent - 1).saturating_mul(axis.stride));
        along.fold(1, usize::saturating_add)
    }

    /// Returns the axes of a system.
    #[inline(always)]
    pub fn inner(&self) -> [Axis; 4] {
        self.inner
    }

    /// Returns whether the values of a system lie row-major and without gaps.
    #[inline(always)]
    pub fn dense(&self) -> bool {
        self.dense
    }
}

/// Returns the axes of an array of this shape that lies row-major and without gaps. Those of length 1, along
/// which values are shared, have the stride 0, and so have all axes of an array without values.
pub(crate) fn row_major(shape: &[usize]) -> SmallVec<[Axis; 6]> {
    let mut next = usize::from(!shape.contains(&0));
    let mut axes: SmallVec<[Axis; 6]> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let stride = if extent == 1 { 0 } else { next };
            next = next.saturating_mul(extent);
            Axis { extent, stride }
        })
        .collect();
    axes.reverse();
    axes
}
