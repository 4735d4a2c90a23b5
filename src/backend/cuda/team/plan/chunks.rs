//! The number of chunks that the time points are cut into, each for a team of a block, and the
//! estimate of whether that pays.

use super::{Kind, Plan};
use crate::backend::cuda::driver::device::Limits;
use crate::error::Result;
use crate::options::Options;
use crate::shape::ProblemShape;

/// The most threads of a block whose teams share a system, with 255 registers each.
const MOST_THREADS: usize = 256;
/// The least points of a chunk: the gain is what a chunk has more than two of them, and their
/// separator.
const LEAST_POINTS: usize = 8;

// What chunks cost, of a time point that is eliminated without: by counts of multiplications for one
// state after another, P³ and more for each. A chunk's separator is P more columns of R (P³/2 to
// substitute, P³/2 of the last block's share) and P² more of the border (P³/2): 1.5 more than the
// 1.2 P³ of a point. A separator is coupled with the next by a full block: 2.5 P³, with an instruction
// here and there. So 1 × 1000 × 3 × 1 (P = 6) in 16 chunks takes 2.2·63 + 2.5·15 = 176 points' time
// instead of 1000, with Hermite rows (P = 9) in 8 chunks 2.2·125 + 2.5·7 = 293, and 1 × 1000 × 8 × 2
// (P = 24) in the 7 chunks that fit the shared memory of an H100 2.2·143 + 2.5·6 = 330, where two halves
// take 500. In instructions
// on the simulated device, separators included, it is less: 1.1 of a point's at P = 6 and 9, 1.6 at
// P = 15, 1.7 at P = 24. So the model errs on the side of no chunks.
/// The time of a point of a chunk, relative to that of a point without chunks.
const SPIKES: f64 = 2.2;
/// The time of a separator, relative to that of a point without chunks.
const FULL: f64 = 2.5;
/// The bytes of shared memory that a block takes beside those that it asks for.
const BLOCK_OVERHEAD: usize = 1024;
/// The factor by which chunks must be faster by this model.
const PROMISE: f64 = 2.0;
/// The warp schedulers of a multiprocessor.
const SCHEDULERS: f64 = 4.0;
/// The number of warps that a scheduler serves as fast as one, because their operations in double
/// precision and reads of shared memory depend on each other and take some ten clocks.
const HIDDEN: f64 = 4.0;

impl Plan {
    /// Returns this plan with the time points in chunks, as many as take the least time by
    /// [`Self::time`], or `None` where there can be none: chunks are for teams of a warp, and there
    /// are at least two chunks of [`LEAST_POINTS`].
    pub fn chunked(&self, limits: &Limits) -> Option<Self> {
        (2..)
            .map_while(|chunks| self.with_chunks(chunks, limits))
            .min_by(|one, other| one.time(limits).total_cmp(&other.time(limits)))
    }

    /// Returns this plan with `chunks` chunks, if the points suffice and a block has room for them.
    pub fn with_chunks(&self, chunks: usize, limits: &Limits) -> Option<Self> {
        let mut plan = Plan { kind: Kind::Chunk, chunks, ..*self };
        plan.team_threads = plan.band().width().next_power_of_two().clamp(8, 32);
        let fits = chunks <= self.blocks() / LEAST_POINTS
            && chunks * plan.team_threads <= MOST_THREADS
            && plan.dynamic_shared(&plan.most_memory()) <= limits.shared_memory;
        fits.then_some(plan)
    }

    /// Makes the best plan for problems of this shape: teams, or teams with chunks of the time
    /// points where these take less time.
    pub fn best(shape: &ProblemShape, options: &Options, limits: &Limits) -> Result<Self> {
        let whole = Self::new(shape, options, limits)?;
        let chunked = whole.chunked(limits);
        let time = whole.time(limits);
        Ok(chunked.filter(|plan| plan.pays(time, limits)).unwrap_or(whole))
    }

    /// Returns whether these chunks promise to be worth more arithmetic and memory traffic than a
    /// solve that takes the time `whole`. They do not if they save little, which the model is too
    /// rough to tell.
    pub fn pays(&self, whole: f64, limits: &Limits) -> bool {
        PROMISE * self.time(limits) < whole
    }

    /// Returns the time of a solve, in units of the time of a warp for a time point of its system.
    pub fn time(&self, limits: &Limits) -> f64 {
        let multiprocessors = limits.multiprocessors as f64;
        let blocks = self.batch.div_ceil(self.systems_of_block()) as f64;
        let points = self.blocks() as f64;
        if !self.has_separators() {
            let warps = self.block_threads() as f64 / 32.0;
            let of_multiprocessor = (blocks / multiprocessors).max(1.0);
            let stretch = (of_multiprocessor * warps / (SCHEDULERS * HIDDEN)).max(1.0);
            // Two halves go at once. Warps share the work of a point besides; while its rows fit a warp, that
            // saves little: most of the time goes into waiting for one row after another.
            let sharing = if self.block() < 32 { self.chunks as f64 } else { warps };
            return stretch * points / sharing;
        }
        // Blocks that a multiprocessor holds at once, as all their threads take nearly all the
        // registers that MOST_THREADS of them can have. The others wait.
        let by_memory = limits.shared_memory_per_multiprocessor
            / (self.dynamic_shared(&self.most_memory()) + BLOCK_OVERHEAD);
        let resident = (MOST_THREADS / self.block_threads()).min(by_memory).max(1) as f64;
        let rounds = (blocks / (multiprocessors * resident)).ceil();
        let longest = (points / self.chunks as f64).ceil();
        rounds * (SPIKES * longest + FULL * (self.chunks - 1) as f64)
    }
}
