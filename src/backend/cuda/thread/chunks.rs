//! The cut of the time points into chunks with one thread each, for long systems in batches too
//! small to keep a GPU busy with one thread for each system (`kernels/thread/chunk_*.cu`).

use super::plan::TILE;

/// The most chunks of a system: the threads of a block, with all the registers there are.
const MOST: usize = 256;

/// A number C of chunks of a system, a power of two; the first N mod C chunks have a point more
/// than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Logarithm log₂ C.
    pub bits: u32,
}

impl Chunks {
    /// Iterates over every possible number of chunks of at least two points.
    pub fn all(points: usize) -> impl Iterator<Item = Self> {
        (1..=MOST.ilog2()).map(|bits| Chunks { bits }).filter(move |c| 2 * c.count() <= points)
    }

    /// Returns C, the number of chunks.
    pub fn count(self) -> usize {
        1 << self.bits
    }

    /// Returns the number of points of the longest of the chunks of N = `points` points.
    pub fn longest(self, points: usize) -> usize {
        points.div_ceil(self.count())
    }

    /// Returns the number of warps of a block; all chunks of a system are in one block.
    pub fn warps(self) -> usize {
        self.count().div_ceil(TILE)
    }
}
