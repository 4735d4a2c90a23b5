//! The ways of numbers between row-major arrays and lanes: eight streams, one for each lane's
//! system, are transposed eight values at a time, and converted between their stored form and
//! double precision.

use super::lanes::{LANES, Vector, prefetch, work};
use crate::inputs::Inputs;
use crate::real::{Real, Values, ValuesMut};
use crate::shape::{Axis, Places};

/// The systems in the lanes of a tile; surplus lanes repeat them. Or one system, of which
/// each lane has a chunk.
#[derive(Clone, Copy, Debug)]
pub struct TileSystems {
    /// System in lane 0.
    pub first: usize,
    /// Number of systems.
    pub count: usize,
    /// Point of the system at which lane 0 begins.
    pub start: usize,
    /// Number of points from one lane to the next; 0 if the lanes hold systems.
    pub chunk: usize,
}

impl TileSystems {
    /// Returns consecutive systems.
    pub fn whole(first: usize, count: usize) -> Self {
        TileSystems { first, count, start: 0, chunk: 0 }
    }

    /// Returns the system in a lane.
    #[inline(always)]
    pub fn system(self, lane: usize) -> usize {
        self.first + lane % self.count
    }

    /// Returns the point of its system at which a lane begins.
    #[inline(always)]
    pub fn point(self, lane: usize) -> usize {
        self.start + lane * self.chunk
    }

    /// Returns the range of the systems, without the repetitions in surplus lanes.
    pub fn range(self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }

    /// Returns whether the lanes hold parts of one system, its chunks or the tail after these.
    fn are_parts(self) -> bool {
        self.chunk > 0 || self.start > 0
    }

    /// Returns the number of lanes that are no repetitions.
    pub fn lanes(self) -> usize {
        if self.chunk > 0 { LANES } else { self.count }
    }
}

/// The places of the values of the lanes in an array.
#[derive(Clone, Copy)]
pub struct Streams {
    /// Place of each lane's first value.
    offsets: [usize; LANES],
    /// Distance from a point to the next; 0 if all points share their values.
    point: usize,
    /// Number of values of a point.
    width: usize,
    /// Distance to the values of the next tile of systems.
    next: usize,
    /// Number of lanes that are written.
    lanes: usize,
    /// Whether all lanes share their values; of parts of one system, whether its points do.
    shared: bool,
    /// Whether lanes may share values that are added up: not if they hold parts of one system, unless its points
    /// share them.
    pub summed: bool,
}

impl Streams {
    /// Returns the places of the systems' values in an array whose points are `point` apart and have `width`
    /// values each, given the place of each system; `shared` is whether all systems share the values.
    #[inline(always)]
    pub fn new(
        of_system: impl Fn(usize) -> usize,
        shared: bool,
        [point, width]: [usize; 2],
        systems: TileSystems,
    ) -> Self {
        let mut offsets = [0; LANES];
        for (lane, offset) in offsets.iter_mut().enumerate() {
            *offset = of_system(systems.system(lane)) + systems.point(lane) * point;
        }
        let parts = systems.are_parts();
        let shared = if parts { point == 0 } else { shared };
        let next = of_system(systems.first + LANES).wrapping_sub(of_system(systems.first));
        let lanes = systems.lanes();
        Streams { offsets, point, width, next, lanes, shared, summed: shared || !parts }
    }

    /// Reads `count` points from `first` on into `to`; zeros, if there are no values at all.
    pub fn load<V: Vector>(&self, values: Values<'_>, first: usize, count: usize, to: &mut [V]) {
        V::run(Load { streams: self, values, first, count, to });
    }

    #[inline(always)]
    fn load_from<V: Vector, S: Real>(
        &self,
        values: &[S],
        first: usize,
        count: usize,
        to: &mut [V],
    ) {
        let (start, len) = (first * self.point, count * self.width);
        let to = &mut to[..len];
        if values.is_empty() {
            to.fill(V::default());
            return;
        }
        if self.shared {
            let source = &values[self.offsets[0] + start..][..len];
            for (to, value) in to.iter_mut().zip(source) {
                *to = V::splat(value.to_double());
            }
            return;
        }
        let mut sources = [values; LANES];
        for lane in 0..LANES {
            sources[lane] = &values[self.offsets[lane] + start..][..len];
        }
        // A loop of its own for whole blocks: a choice within it would pass all values through memory.
        let (blocks, rest) = to.as_chunks_mut::<LANES>();
        for (i, to) in blocks.iter_mut().enumerate() {
            *to = read(&sources, i * LANES);
            self.prefetch(values, start + i * LANES);
        }
        if rest.is_empty() {
            return;
        }
        if len > LANES {
            // The last block overlaps the one before.
            to[len - LANES..].copy_from_slice(&read(&sources, len - LANES));
            return;
        }
        let mut rows = [V::default(); LANES];
        for (row, source) in rows.iter_mut().zip(sources) {
            let mut values = [0.0; LANES];
            for (value, source) in values.iter_mut().zip(source) {
                *value = source.to_double();
            }
            *row = V::from_array(values);
        }
        V::transpose(&mut rows);
        rest.copy_from_slice(&rows[..len]);
    }

    /// Reads `count` points from `first` on of systems with these axes into `to`, value by value.
    #[inline(always)]
    fn gather_from<V: Vector, S: Real>(
        &self,
        values: &[S],
        [time, a, b, c]: [Axis; 4],
        first: usize,
        count: usize,
        to: &mut [V],
    ) {
        let mut to = to[..count * self.width].iter_mut();
        for t in first..first + count {
            for i in 0..a.extent {
                for j in 0..b.extent {
                    let start = t * time.stride + i * a.stride + j * b.stride;
                    for (k, to) in (0..c.extent).zip(&mut to) {
                        let at = start + k * c.stride;
                        let value = |offset: usize| values[offset + at].to_double();
                        *to = V::from_array(self.offsets.map(value));
                    }
                }
            }
        }
    }

    /// Writes `count` points from `first` on, each lane to the place of its system.
    pub fn store<V: Vector>(
        &self,
        values: &mut ValuesMut<'_>,
        first: usize,
        count: usize,
        from: &[V],
    ) {
        V::run(Store { streams: self, values, first, count, from });
    }

    #[inline(always)]
    fn store_to<V: Vector, S: Real>(
        &self,
        values: &mut [S],
        first: usize,
        count: usize,
        from: &[V],
    ) {
        let len = count * self.width;
        let (from, start) = (&from[..len], first * self.point);
        let (blocks, rest) = from.as_chunks::<LANES>();
        for (i, block) in blocks.iter().enumerate() {
            self.write(values, start + i * LANES, block);
            self.prefetch(values, start + i * LANES);
        }
        if rest.is_empty() {
            return;
        }
        if let Some(block) = from.last_chunk::<LANES>() {
            // The last block overlaps the one before.
            self.write(values, start + len - LANES, block);
            return;
        }
        let rows = transposed(rest);
        for (row, offset) in rows.iter().zip(self.offsets).take(self.lanes) {
            let to = &mut values[offset + start..][..len];
            for (to, value) in to.iter_mut().zip(row.to_array()) {
                *to = S::of(value);
            }
        }
    }

    /// Writes eight values of each lane, `at` values after the first of its system.
    #[inline(always)]
    fn write<V: Vector, S: Real>(&self, values: &mut [S], at: usize, block: &[V; LANES]) {
        let mut rows = *block;
        V::transpose(&mut rows);
        for (row, offset) in rows.iter().zip(self.offsets).take(self.lanes) {
            let to = values[offset + at..].first_chunk_mut::<LANES>();
            *to.expect("within the values") = S::of_doubles(row.to_array());
        }
    }

    /// Asks for what the next tile reads or writes at the same place: its systems are read in turns, which
    /// machines do not foresee.
    #[inline(always)]
    fn prefetch<S>(&self, values: &[S], at: usize) {
        for offset in self.offsets {
            prefetch(values, offset.wrapping_add(self.next).wrapping_add(at));
        }
    }

    /// Adds to `count` points from `first` on: the sums over the lanes to values that all of them share, else
    /// each lane to those of its system, which others may share.
    pub fn add<V: Vector>(&self, sums: &mut [f64], first: usize, count: usize, from: &[V]) {
        V::run(Add { streams: self, sums, first, count, from });
    }

    #[inline(always)]
    fn add_to<V: Vector>(&self, sums: &mut [f64], first: usize, count: usize, from: &[V]) {
        let (start, len) = (first * self.point, count * self.width);
        if !self.shared {
            for (at, from) in (start..start + len).step_by(LANES).zip(from[..len].chunks(LANES)) {
                let rows = transposed(from);
                for (row, offset) in rows.iter().zip(self.offsets).take(self.lanes) {
                    let to = &mut sums[offset + at..][..from.len()];
                    for (to, value) in to.iter_mut().zip(row.to_array()) {
                        *to += value;
                    }
                }
            }
            return;
        }
        let to = &mut sums[self.offsets[0] + start..][..len];
        for (to, from) in to.chunks_mut(LANES).zip(from.chunks(LANES)) {
            let [a, b, c, d, e, f, g, h] = transposed(from);
            let sum = (((a + b) + (c + d)) + ((e + f) + (g + h))).to_array();
            for (to, value) in to.iter_mut().zip(sum) {
                *to += value;
            }
        }
    }
}

/// An input as the caller lends it.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The numbers.
    pub values: Values<'a>,
    /// Where they are those of which system.
    pub places: &'a Places,
}

impl<'a> Source<'a> {
    /// Returns the sources of inputs that lie at these places.
    pub fn of<R: Real>(inputs: Inputs<&'a [R]>, places: &'a Inputs<Places>) -> Inputs<Source<'a>> {
        inputs
            .zip(places.as_ref())
            .map(|(values, places)| Source { values: R::values(values), places })
    }

    /// Reads `count` points from `first` on, of `width` values each, into `to`; zeros, if there are no values at
    /// all.
    #[inline(always)]
    pub fn load<V: Vector>(
        self,
        systems: TileSystems,
        width: usize,
        first: usize,
        count: usize,
        to: &mut [V],
    ) {
        let Source { values, places } = self;
        let inner = places.inner();
        let of_system = |system| places.of(system);
        let streams = &Streams::new(of_system, places.shared(), [inner[0].stride, width], systems);
        match places.dense() {
            true => streams.load(values, first, count, to),
            false => V::run(Gather { streams, values, inner, first, count, to }),
        }
    }
}

work! {
    Gather<'a> {
        streams: &'a Streams,
        values: Values<'a>,
        inner: [Axis; 4],
        first: usize,
        count: usize,
        to: &'a mut [V],
    }
    match values {
        Values::Single(values) => streams.gather_from(values, inner, first, count, to),
        Values::Double(values) => streams.gather_from(values, inner, first, count, to),
    }
}

work! {
    Load<'a> {
        streams: &'a Streams,
        values: Values<'a>,
        first: usize,
        count: usize,
        to: &'a mut [V],
    }
    match values {
        Values::Single(values) => streams.load_from(values, first, count, to),
        Values::Double(values) => streams.load_from(values, first, count, to),
    }
}

work! {
    Store<'a, 'b> {
        streams: &'a Streams,
        values: &'a mut ValuesMut<'b>,
        first: usize,
        count: usize,
        from: &'a [V],
    }
    match values {
        ValuesMut::Single(values) => streams.store_to(values, first, count, from),
        ValuesMut::Double(values) => streams.store_to(values, first, count, from),
    }
}

work! {
    Add<'a> {
        streams: &'a Streams,
        sums: &'a mut [f64],
        first: usize,
        count: usize,
        from: &'a [V],
    }
    streams.add_to(sums, first, count, from)
}

/// Returns the eight values of each lane from `at` on.
#[inline(always)]
fn read<V: Vector, S: Real>(sources: &[&[S]; LANES], at: usize) -> [V; LANES] {
    let mut rows = [V::default(); LANES];
    for lane in 0..LANES {
        let row = sources[lane][at..].first_chunk::<LANES>().expect("within the values");
        rows[lane] = V::from_array(S::to_doubles(*row));
    }
    V::transpose(&mut rows);
    rows
}

/// Returns up to eight vectors, filled up with zeros, transposed.
#[inline(always)]
fn transposed<V: Vector>(from: &[V]) -> [V; LANES] {
    let mut rows = [V::default(); LANES];
    match from.first_chunk::<LANES>() {
        Some(from) => rows = *from,
        None => rows[..from.len()].copy_from_slice(from),
    }
    V::transpose(&mut rows);
    rows
}
