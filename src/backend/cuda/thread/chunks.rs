//! Time cut into chunks, one a thread: for long systems in batches too small to keep a GPU busy with
//! a system a thread (`kernels/thread_chunk_*.cu`).

use super::plan::TILE;

/// Most chunks of a system: the threads of a block, with all the registers there are.
const MOST: usize = 256;

/// C chunks of a system, a power of two; the first N mod C have a point more than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// log₂ C.
    pub bits: u32,
}

impl Chunks {
    /// Every possible number of chunks of at least two points.
    pub fn all(points: usize) -> impl Iterator<Item = Self> {
        (1..=MOST.ilog2()).map(|bits| Chunks { bits }).filter(move |c| 2 * c.count() <= points)
    }

    /// C.
    pub fn count(self) -> usize {
        1 << self.bits
    }

    /// Points of the longest of the chunks of N points.
    pub fn longest(self, points: usize) -> usize {
        points.div_ceil(self.count())
    }

    /// Warps of a block: all chunks of a system are in one.
    pub fn warps(self) -> usize {
        self.count().div_ceil(TILE)
    }
}
