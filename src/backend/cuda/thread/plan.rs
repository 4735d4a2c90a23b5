//! The plan of the thread path: the sizes of the workspace, and of the shared memory in which
//! inputs are staged.

use std::fmt;

use super::chunks::Chunks;
use crate::backend::cuda::bindings::{Status, ThreadFindings, ThreadRing, ThreadRows};
use crate::backend::cuda::driver::device::Limits;
use crate::backend::cuda::path::problem::WEIGHTS;
use crate::inputs::Inputs;
use crate::options::{Formulation, Options, Smoothness};
use crate::rows::pair_rows;
use crate::shape::ProblemShape;

/// The number of systems of a tile, which are the lanes of a warp.
pub const TILE: usize = 32;
/// The warps that have half of the time points each of the systems of a tile.
const HALVES: usize = 2;
/// The sizes (K, Q) for which there are kernels, as in `kernels/thread/sizes.cuh`.
const SIZES: [(usize, usize); 6] = [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (3, 2)];
/// The sizes (K, Q) for which there are kernels with chunks.
const CHUNK_SIZES: [(usize, usize); 4] = [(1, 2), (1, 3), (1, 4), (2, 2)];

// What a time point costs, as the simulator counts it (solve + gradient):
//
//     (K, Q)                                     (1, 3)       (2, 2)       (2, 3)
//     warp instructions, half a system a thread  3448         5758         8782
//     chunk a thread                             5037         9144
//     each level of the separators (a chunk's)   2286         3670
//
// In units of the first line: at most 5/3 for a chunk's point, 3/4 for a level. (A level was counted when its
// neighbors were read from global memory, and is cheaper now.)
// A warp moves 51 to 73 kB a point, half as much again with chunks, and a multiprocessor's share of
// the memory's bandwidth is about 10 bytes a clock: 1.5 units a warp; a third of that while all fits the
// second-level cache.

/// The warp schedulers of a multiprocessor, each of which issues one instruction a clock.
const SCHEDULERS: f64 = 4.0;
/// The bytes of a workspace that stays in the second-level cache, which has 40 MiB or more on
/// data-center GPUs.
const CACHE: usize = 32 << 20;
/// The most bytes of shared memory of a warp with halves of systems: with more, a multiprocessor has
/// hardly a warp a scheduler.
const MOST_SHARED: usize = 48 << 10;
/// The bytes of each system that a warp fetches at once (`kernels/thread/stream.cuh`).
const WINDOW: usize = 64;
/// The warps of a scheduler with which chunks spread over blocks keep it busy, without taking more
/// registers than there are.
const WARPS: usize = 2;
/// The fewest points of a chunk for which more chunks pay: with half as many, the points take less
/// time by two, and the separators have two levels more.
const LEAST_POINTS: usize = 4;
/// The time of a level of the separators in times of a point of a solve and its gradient, both for one
/// state and order 2 on an H100: with 128 chunks in one block, by estimates as those of docs/kernels.md, 1 × 1000
/// took 241 µs at 8 points a chunk and 1 × 10000 1274 µs at 79, so 14 µs a point and 18 µs a level. Both have become
/// faster since, a level more than a point.
const LEVEL: f64 = 1.2;
/// The time of a launch, some 3 µs, in times of a point.
const LAUNCH: f64 = 0.2;
/// The alignment of the arrays of the workspace, in bytes.
const ALIGNMENT: usize = 256;

/// The plan for problems of one shape: their sizes, and how they are dealt out to threads.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number N of time points.
    pub points: usize,
    /// Size (K, Q).
    pub size: (usize, usize),
    /// Number E of equations.
    pub equations: usize,
    /// Number of steps of refinement.
    pub refinement: usize,
    /// Chunks of the time axis, if it is cut so: then a thread holds a chunk, otherwise half a system.
    pub chunks: Option<Chunks>,
    /// Whether all systems have the same matrix, and one factor for all of them. The systems of one tile are
    /// factorized side by side, and need not wait for it. With chunks the systems are few: each waits as long for
    /// its neighbors as for a factor.
    pub one_factor: bool,
    /// Smoothness rows.
    pub rows: ThreadRows,
    /// Shared memory of the solve.
    pub forward: Staging,
    /// Shared memory of the adjoint.
    pub adjoint: Staging,
    /// Number of values of each input that all points of a system share, 0 for the others.
    pub still: Inputs<usize>,
}

/// The layout of the shared memory, in which warps stage inputs and unknowns and exchange values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    /// Ring of each input.
    pub inputs: Inputs<ThreadRing>,
    /// Ring of solution or cotangent.
    pub unknowns: ThreadRing,
    /// Place where the spikes of the chunks begin, in doubles.
    pub scratch: usize,
    /// Bytes of a warp.
    pub bytes: usize,
    /// Bytes in which the warps of a block exchange values.
    pub exchanged: usize,
}

/// The byte offsets of the arrays of the workspace, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Offset of R. One factor of all systems lies where any number of systems find it.
    pub factor: usize,
    /// Offset of the status with which making that one ended.
    pub of_factor: Option<usize>,
    /// Offset of z.
    pub solution: usize,
    /// Offset of the vector being substituted.
    pub vector: usize,
    /// Offset of the right-hand side of the adjoint, if the adjoint is refined.
    pub given: Option<usize>,
    /// Offset of the adjoint's result.
    pub direction: Option<usize>,
    /// Offset of the chunks' spikes.
    pub spikes: Option<usize>,
    /// Offset of the chunks' parts of their separators.
    pub separators: Option<usize>,
    /// Offset of what the spans have found out, if a system has several.
    pub findings: Option<usize>,
    /// Offset of the spans' sums of the gradients of what all points share, (spans, V).
    pub sums: Option<usize>,
    /// Bytes of the whole workspace.
    pub bytes: usize,
}

/// The way in which one input is staged.
#[derive(Clone, Copy)]
struct Staged {
    /// Number of values of a system, or of the longest chunk if time is cut so.
    values: usize,
    /// Number of values that each half of a system goes through, or the longest chunk.
    halves: [usize; HALVES],
    /// Number of values of a point.
    each: usize,
    /// Whether all lanes have the same values, so that nothing is staged but a gradient.
    shared: bool,
    /// Whether all points have the same values, so that they all stay in the ring.
    still: bool,
    /// Number of points along the time axis of the input.
    points: usize,
}

impl Staged {
    fn of(shape: &ProblemShape, chunks: Option<Chunks>) -> Inputs<Self> {
        shape.inputs().zip(shape.layouts()).map(|(axes, layout)| {
            let (points, still) = (axes[1], layout.values > 0 && layout.inner[0] == 0);
            let each = layout.values / points.max(1);
            let passing = Self::passing(shape, chunks, points, each);
            Staged {
                halves: if still { [passing.values; HALVES] } else { passing.halves },
                shared: if chunks.is_some() { still } else { layout.shared() },
                still,
                ..passing
            }
        })
    }

    /// Makes that of an array with `each` values for each of its `points` points.
    fn passing(shape: &ProblemShape, chunks: Option<Chunks>, points: usize, each: usize) -> Self {
        let longest = chunks.map_or(usize::MAX, |chunks| chunks.longest(shape.points));
        let values = points.min(longest).saturating_mul(each);
        // The second half has the point where the halves meet.
        let first = (shape.points - 1) / 2;
        let halves = match chunks {
            Some(_) => [values; HALVES],
            None => [points.min(first), points.saturating_sub(first)]
                .map(|half| half.saturating_mul(each)),
        };
        Staged { values, halves, each, shared: false, still: false, points }
    }

    /// Returns the bytes of a system in its ring: for all values and the padding that aligns them if
    /// they stay there, else for those of some points. A ring that suffices for values of 8 bytes
    /// does so for those of 4.
    fn capacity(&self) -> usize {
        let all = (self.values + 3).next_power_of_two() * 8;
        if self.still {
            all.max(2 * WINDOW)
        } else {
            // Two points and, as windows are fetched whole, another window, but not more than four
            // windows in all.
            (2 * self.each * 8 + WINDOW).next_power_of_two().clamp(2 * WINDOW, 4 * WINDOW)
        }
    }

    /// Returns what the kernels know of the array where it does not pass through a ring.
    fn without_ring(&self) -> ThreadRing {
        let [values, late_values] = self.halves.map(|values| values as i32);
        ThreadRing { values, late_values, points: self.points as i32, ..ThreadRing::default() }
    }
}

impl Staging {
    fn add_ring(&mut self, staged: &Staged) -> ThreadRing {
        let (slots, capacity) = (self.bytes / 8, staged.capacity());
        // Less than a sector aligns the values: 24 bytes, or 28 if they have 4.
        self.bytes += TILE * (capacity + 28);
        ThreadRing { slots: slots as i32, capacity: capacity as i32, ..staged.without_ring() }
    }

    fn add_sums(&mut self, ring: &mut ThreadRing, values: usize) {
        ring.sums = (self.bytes / 8) as i32;
        self.bytes += TILE * (values | 1) * 8;
    }

    fn new(shape: &ProblemShape, chunks: Option<Chunks>, gradients: bool) -> Self {
        let mut staging = Staging::default();
        let inputs = Staged::of(shape, chunks);
        let ring = |staging: &mut Staging, input: &Staged, wanted: bool| {
            if wanted && input.values > 0 { staging.add_ring(input) } else { input.without_ring() }
        };
        let unknowns = Staged::passing(shape, chunks, shape.points, shape.block());
        staging.unknowns = staging.add_ring(&unknowns);
        // They pass in sweeps in which the inputs do not: the inputs' rings lie in the same place.
        let unknowns_bytes = std::mem::take(&mut staging.bytes);
        staging.inputs = inputs.map(|input| {
            // The gradient of what the systems of a tile share is added up in its ring.
            let summed = gradients && chunks.is_none();
            let mut ring = ring(&mut staging, &input, summed || !input.shared);
            if gradients && input.still {
                staging.add_sums(&mut ring, input.values);
            }
            ring
        });
        staging.bytes = staging.bytes.max(unknowns_bytes);
        let p = shape.block();
        if let Some(chunks) = chunks {
            staging.scratch = staging.bytes / 8;
            let values = if gradients { 3 * p } else { exchanged(p).max(2 * p + p * p + upper(p)) };
            staging.bytes += TILE * values * 8;
            staging.exchanged = chunks.warps() * 8;
        } else {
            // A value of each half, and the places of `Separators` in kernels/thread/separators.cuh.
            let values = HALVES + if gradients { 3 * p } else { 4 * p + upper(p) };
            staging.exchanged = TILE * values * 8;
        }
        staging
    }
}

/// Returns the number of values that a separator with so many unknowns leaves to its neighbors
/// (`kernels/thread/reduction.cuh`).
fn exchanged(block: usize) -> usize {
    2 * upper(block) + block * block
}

/// Returns the number of values of an upper triangle.
fn upper(block: usize) -> usize {
    block * (block + 1) / 2
}

impl Plan {
    /// Makes the plan with one thread for half a system, if there are kernels for problems of this
    /// shape and a block has enough shared memory.
    pub fn new(shape: &ProblemShape, options: &Options, shared_memory: usize) -> Option<Self> {
        let plan = Self::with(shape, options, None)?;
        let of_warp = plan.forward.bytes.max(plan.adjoint.bytes);
        (of_warp <= MOST_SHARED && plan.most_bytes() <= shared_memory).then_some(plan)
    }

    /// Makes the plan with one thread for a chunk, if there are kernels for that and a block has
    /// enough shared memory.
    pub fn chunked(
        shape: &ProblemShape,
        options: &Options,
        chunks: Chunks,
        shared_memory: usize,
    ) -> Option<Self> {
        let plan = Self::with(shape, options, Some(chunks))?;
        (plan.most_bytes() <= shared_memory).then_some(plan)
    }

    fn with(shape: &ProblemShape, options: &Options, chunks: Option<Chunks>) -> Option<Self> {
        Self::takes(shape, options, chunks).then(|| Plan {
            points: shape.points,
            size: (shape.states(), shape.derivatives()),
            equations: shape.equations(),
            // The kernels compute in double precision, however values are stored.
            refinement: options.refinement(),
            chunks,
            one_factor: chunks.is_none()
                && shape.batch > TILE
                && shape.layouts().coefficients.shared()
                && shape.layouts().steps.shared(),
            rows: ThreadRows::new(&pair_rows(options, shape.order())),
            forward: Staging::new(shape, chunks, false),
            adjoint: Staging::new(shape, chunks, true),
            still: Inputs {
                // Every point has its own, also a single one.
                initial_values: 0,
                ..Staged::of(shape, chunks).map(|input| if input.still { input.values } else { 0 })
            },
        })
    }

    /// Makes the plan that takes the least time, with chunks or without.
    pub fn best(shape: &ProblemShape, options: &Options, limits: &Limits) -> Option<Self> {
        let whole = Plan::new(shape, options, limits.shared_memory);
        let chunked: Vec<Self> =
            Self::of_each(Chunks::all(shape.points), shape, options, limits).collect();
        // What as few warps would take with the chunks of a system in one block.
        let together = chunked
            .iter()
            .filter(|plan| plan.chunks.is_some_and(|chunks| Self::are_few(chunks, shape, limits)))
            .map(Self::latency)
            .fold(f64::INFINITY, f64::min);
        let best = Self::fastest(whole.into_iter().chain(chunked), shape.batch, limits)?;
        let least = together.min(best.latency());
        let spread = Self::spread(shape, options, limits, LEAST_POINTS)
            .filter(|spread| best.chunks.is_some() && spread.latency() < least);
        Some(spread.unwrap_or(best))
    }

    /// Returns whether these chunks of all systems give no scheduler more than two warps.
    fn are_few(chunks: Chunks, shape: &ProblemShape, limits: &Limits) -> bool {
        let most = WARPS * SCHEDULERS as usize * limits.multiprocessors * TILE;
        shape.batch.saturating_mul(chunks.count()) <= most
    }

    /// Makes the plan with chunks spread over blocks: as many chunks, of at least `least` points, as
    /// give every scheduler two warps.
    pub fn spread(
        shape: &ProblemShape,
        options: &Options,
        limits: &Limits,
        least: usize,
    ) -> Option<Self> {
        let few = |chunks: &Chunks| Self::are_few(*chunks, shape, limits);
        let chunks = Chunks::all_spread(shape.points, least).filter(few);
        Self::of_each(chunks, shape, options, limits).last()
    }

    /// Makes the plan with the best number of chunks in one block.
    pub fn best_of_chunks(
        shape: &ProblemShape,
        options: &Options,
        limits: &Limits,
    ) -> Option<Self> {
        let plans = Self::of_each(Chunks::all(shape.points), shape, options, limits);
        Self::fastest(plans, shape.batch, limits)
    }

    /// Iterates over the plans with each of these chunks, as far as there are any.
    fn of_each(
        chunks: impl Iterator<Item = Chunks>,
        shape: &ProblemShape,
        options: &Options,
        limits: &Limits,
    ) -> impl Iterator<Item = Self> {
        let plan = |chunks| Self::chunked(shape, options, chunks, limits.shared_memory);
        chunks.filter_map(plan)
    }

    /// Returns the plan that takes the least time, the first of several. Where every system has a
    /// multiprocessor of its own, that is the time of waiting.
    fn fastest(plans: impl Iterator<Item = Self>, batch: usize, limits: &Limits) -> Option<Self> {
        let time = |plan: &Self| match batch <= limits.multiprocessors {
            true => plan.latency(),
            false => plan.time(batch, limits.multiprocessors),
        };
        plans.min_by(|one, other| time(one).total_cmp(&time(other)))
    }

    /// Returns whether there are kernels for the problem, with chunks or without.
    fn takes(shape: &ProblemShape, options: &Options, chunks: Option<Chunks>) -> bool {
        let inputs = Staged::of(shape, chunks);
        // Within a tile the kernels count with 32 bits.
        let most = inputs.into_iter().map(|input| input.values).max().unwrap_or(0);
        let longest = chunks.map_or(shape.points, |chunks| chunks.longest(shape.points));
        let most = most.max(longest.saturating_mul(shape.block()));
        let unknowns = shape.points.saturating_mul(shape.block());
        let still = inputs.into_iter().filter(|input| input.still).map(|input| input.values);
        let sizes = if chunks.is_some() { &CHUNK_SIZES[..] } else { &SIZES[..] };
        sizes.contains(&(shape.states(), shape.derivatives()))
            && options.formulation == Formulation::LeastSquares
            && !options.periodic
            && !options.follow_growth
            && options.smoothness != Smoothness::TaylorCentral
            && most < (1 << 30) / TILE
            && unknowns < (1 << 30)
            && still.max().unwrap_or(0) <= MOST_SHARED / TILE / 8
    }

    /// Returns the time of a solve and its gradient, in units of the time in which a scheduler
    /// issues what a warp with half a system a thread needs for a time point: the longer of issuing all
    /// instructions, by the schedulers that have warps, and of moving all bytes.
    fn time(&self, batch: usize, multiprocessors: usize) -> f64 {
        let multiprocessors = multiprocessors as f64;
        let sharing = (self.tiles(batch) as f64 / (SCHEDULERS * multiprocessors)).max(1.0);
        let points = self.points as f64;
        let of_memory = if self.workspace(batch).bytes <= CACHE { 0.5 } else { 1.5 };
        let moving = of_memory * points * (batch as f64 / TILE as f64) / multiprocessors;
        match self.chunks {
            // Halves are not counted as faster than whole systems: where warps are few, waiting, which is not
            // in this time, eats what they gain.
            None => (sharing * points).max(moving),
            Some(chunks) => {
                // The warps of a system have one multiprocessor.
                let sharing = sharing.max(chunks.warps() as f64 / SCHEDULERS);
                let longest = chunks.longest(self.points) as f64;
                (sharing * (5.0 / 3.0 * longest + 0.75 * f64::from(chunks.bits))).max(1.5 * moving)
            }
        }
    }

    /// Returns the time of a solve and its gradient with chunks, in units of the time for a point of
    /// a chunk, where warps are so few that they do little but wait for memory.
    fn latency(&self) -> f64 {
        let Some(chunks) = self.chunks else { return self.points as f64 / HALVES as f64 };
        let launches = if chunks.spans() > 1 { LAUNCH * self.span_launches() as f64 } else { 0.0 };
        chunks.longest(self.points) as f64 + LEVEL * f64::from(chunks.levels()) + launches
    }

    /// Returns the launches of a solve and its gradient with chunks spread over blocks.
    fn span_launches(&self) -> usize {
        let (forward, adjoint) = super::spans::launches(self.refinement);
        forward + adjoint
    }

    /// Returns the most shared memory of a block of any launch.
    fn most_bytes(&self) -> usize {
        let of_sweeps = self.block_bytes(&self.forward).max(self.block_bytes(&self.adjoint));
        let of_joins = self.join_threads().map_or(0, |threads| self.join_bytes(threads));
        of_sweeps.max(of_joins)
    }

    /// Returns the threads of a block of a launch between those of spans, one for each span of a
    /// system, filled up to whole warps; `None` where a system is one span.
    pub fn join_threads(&self) -> Option<usize> {
        let spans = self.chunks.map_or(1, Chunks::spans);
        (spans > 1).then(|| spans.next_multiple_of(TILE))
    }

    /// Returns the shared memory of such a block.
    pub fn join_bytes(&self, threads: usize) -> usize {
        (threads / TILE + threads * exchanged(self.block())) * size_of::<f64>()
    }

    /// Returns the shared memory of a block with this staging.
    pub fn block_bytes(&self, staging: &Staging) -> usize {
        self.warps() * staging.bytes + staging.exchanged
    }

    /// Returns the number of warps of a block.
    fn warps(&self) -> usize {
        self.chunks.map_or(HALVES, Chunks::warps)
    }

    /// Returns the number of threads of a block.
    pub fn block_threads(&self) -> usize {
        TILE * self.warps()
    }

    /// Returns the number of blocks of a launch.
    pub fn blocks(&self, systems: usize) -> usize {
        self.tiles(systems) / self.chunks.map_or(1, Chunks::warps)
    }

    /// Returns the number of consecutive systems whose gradients of shared inputs are added up in
    /// the kernel.
    pub fn group(&self) -> usize {
        if self.chunks.is_some() { 1 } else { TILE }
    }

    /// Returns P, the values of a time point.
    pub fn block(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Returns F, the stored values of a block row of R. The diagonal block is a triangle; column k
    /// of the other block is zero above row ⌊k/Q⌋·Q.
    fn factor_values(&self) -> usize {
        let ((k, q), p) = (self.size, self.block());
        upper(p) + q * (k * p - q * k * (k - 1) / 2)
    }

    /// Returns the number of values that a chunk has of its separator, as in
    /// `kernels/thread/reduction.cuh`.
    fn separator_values(&self) -> usize {
        let p = self.block();
        2 * upper(p) + 3 * p * p + 7 * p
    }

    /// Returns V, the number of sums that a span has of the gradients of what all points share, those
    /// of the weights included.
    pub fn sums(&self) -> usize {
        self.still.into_iter().sum::<usize>() + WEIGHTS.values
    }

    /// Returns the number of tiles of `systems` systems.
    pub fn tiles(&self, systems: usize) -> usize {
        let lanes = self.chunks.map_or(1, Chunks::count);
        systems.saturating_mul(lanes).div_ceil(TILE)
    }

    /// Returns the workspace of `systems` systems.
    pub fn workspace(&self, systems: usize) -> Workspace {
        let longest = self.chunks.map_or(self.points, |chunks| chunks.longest(self.points));
        let lanes = self.tiles(systems).saturating_mul(TILE);
        let mut bytes = 0usize;
        let mut place = |count: usize, bytes_of_each: usize| {
            let offset = bytes;
            let end = bytes.saturating_add(count.saturating_mul(bytes_of_each));
            bytes = end.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
            offset
        };
        let spread = self.chunks.filter(|chunks| chunks.spans() > 1);
        let spans = spread.map(|chunks| lanes >> chunks.span_bits);
        let findings = spans.map(|spans| place(spans, size_of::<ThreadFindings>()));
        let sums = spans.map(|spans| place(spans, self.sums() * size_of::<f64>()));
        let double = size_of::<f64>();
        let factors = if self.one_factor { TILE } else { lanes };
        let factor = place(factors.saturating_mul(longest), self.factor_values() * double);
        let of_factor = self.one_factor.then(|| place(1, size_of::<Status>()));
        let mut array = |points: usize, bytes_of_point: usize| {
            place(lanes.saturating_mul(points), bytes_of_point)
        };
        let vector = self.block() * double;
        let (refined, chunked) = (self.refinement > 0, self.chunks.is_some());
        Workspace {
            factor,
            of_factor,
            solution: array(longest, vector),
            vector: array(longest, vector),
            given: refined.then(|| array(longest, vector)),
            direction: refined.then(|| array(longest, vector)),
            spikes: chunked.then(|| array(longest, self.block() * vector)),
            separators: chunked.then(|| array(1, self.separator_values() * double)),
            findings,
            sums,
            bytes,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (k, q) = self.size;
        let forward = self.block_bytes(&self.forward);
        let adjoint = self.block_bytes(&self.adjoint);
        let threads = self.block_threads();
        if let Some(chunks) = self.chunks {
            write!(
                f,
                "{}: a chunk of the time points a thread, {} chunks of up to {} points a system, \
                 {threads} a block, blocks of {k}·{q} in registers, Cholesky",
                if chunks.spans() > 1 { "span" } else { "chunk" },
                chunks.count(),
                chunks.longest(self.points)
            )?;
        } else {
            write!(
                f,
                "thread: half a system a thread, from each end, {threads} a block, blocks of {k}·{q} in \
                 registers, Cholesky"
            )?;
        }
        if self.one_factor {
            write!(f, ", one factor of all systems")?;
        }
        write!(f, "; {forward} + {adjoint} bytes of shared memory a block")
    }
}
