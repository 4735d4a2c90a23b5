//! The cut of the time points into chunks with one thread each, for long systems in batches too
//! small to keep a GPU busy with two threads for each system (`kernels/thread/chunk_*.cu`); and the
//! spread of the chunks over blocks, for systems so long that one multiprocessor takes long
//! (`kernels/thread/span_*.cu`).

use super::plan::TILE;

/// The most threads of a block, with all the registers there are: the most chunks of a span, and the
/// most spans of a system.
const MOST_BITS: u32 = 8;
/// Logarithm of the threads of a warp.
const WARP_BITS: u32 = TILE.ilog2();

/// A number C of chunks of a system, a power of two; the first N mod C chunks have a point more
/// than the others. A span is so many consecutive chunks of a system as are in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Logarithm log₂ C.
    pub bits: u32,
    /// Logarithm of the chunks of a span, equal to `bits` if one block has the whole system.
    pub span_bits: u32,
}

impl Chunks {
    /// Makes 2^`bits` chunks that are all in one block.
    pub fn together(bits: u32) -> Self {
        Chunks { bits, span_bits: bits }
    }

    /// Makes 2^`bits` chunks in two spans at least: spans of a warp, a block each; or shorter ones that share
    /// a warp, to have two of them (few chunks, for tests); or longer ones where one block could not join
    /// their number.
    pub fn spread(bits: u32) -> Self {
        let span_bits = WARP_BITS.min(bits - 1).max(bits.saturating_sub(MOST_BITS));
        Chunks { bits, span_bits }
    }

    /// Iterates over every possible number of chunks in one block, of at least two points.
    pub fn all(points: usize) -> impl Iterator<Item = Self> {
        (1..=MOST_BITS).map(Self::together).filter(move |c| 2 * c.count() <= points)
    }

    /// Iterates over every possible number of chunks spread over blocks, of at least `least` points.
    pub fn all_spread(points: usize, least: usize) -> impl Iterator<Item = Self> {
        (2..=2 * MOST_BITS).map(Self::spread).filter(move |c| least * c.count() <= points)
    }

    /// Returns C, the number of chunks.
    pub fn count(self) -> usize {
        1 << self.bits
    }

    /// Returns the number of spans of a system.
    pub fn spans(self) -> usize {
        1 << (self.bits - self.span_bits)
    }

    /// Returns the number of points of the longest of the chunks of N = `points` points.
    pub fn longest(self, points: usize) -> usize {
        points.div_ceil(self.count())
    }

    /// Returns the number of warps of a block; all chunks of a span are in one block.
    pub fn warps(self) -> usize {
        (1usize << self.span_bits).div_ceil(TILE)
    }

    /// Returns the number of levels of the separators that one launch after the other goes through.
    pub fn levels(self) -> u32 {
        if self.spans() > 1 { self.bits + self.span_bits } else { self.bits }
    }
}
