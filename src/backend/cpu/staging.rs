//! The ways of numbers between row-major arrays and lanes: eight streams, one for each lane's
//! system, are transposed eight values at a time, and converted between their stored form and
//! double precision.

use super::lanes::{LANES, Vector, prefetch, work};
use crate::real::{Real, Values, ValuesMut};
use crate::shape::InputLayout;

/// The systems in the lanes of a tile; surplus lanes repeat the last one. Or one system, of which
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
        self.first + lane.min(self.count - 1)
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
    pub shared: bool,
}

impl Streams {
    /// Returns the places of the systems' values, `width` for each point, in an array that begins
    /// with system `origin`, and whose points are `point` apart.
    pub fn new(
        layout: &InputLayout,
        point: usize,
        width: usize,
        systems: TileSystems,
        origin: usize,
    ) -> Self {
        let mut offsets = [0; LANES];
        for (lane, offset) in offsets.iter_mut().enumerate() {
            *offset = (systems.system(lane) - origin) * layout.system + systems.point(lane) * point;
        }
        let shared = if systems.are_parts() { point == 0 } else { layout.shared() };
        let next = LANES * layout.system;
        Streams { offsets, point, width, next, lanes: systems.lanes(), shared }
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
            prefetch(values, offset + self.next + at);
        }
    }

    /// Adds the sums over the lanes to `count` points from `first` on of values that all lanes
    /// share.
    pub fn add<V: Vector>(&self, sums: &mut [f64], first: usize, count: usize, from: &[V]) {
        V::run(Add { streams: self, sums, first, count, from });
    }

    #[inline(always)]
    fn add_to<V: Vector>(&self, sums: &mut [f64], first: usize, count: usize, from: &[V]) {
        let to = &mut sums[self.offsets[0] + first * self.point..][..count * self.width];
        for (to, from) in to.chunks_mut(LANES).zip(from.chunks(LANES)) {
            let [a, b, c, d, e, f, g, h] = transposed(from);
            let sum = (((a + b) + (c + d)) + ((e + f) + (g + h))).to_array();
            for (to, value) in to.iter_mut().zip(sum) {
                *to += value;
            }
        }
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
