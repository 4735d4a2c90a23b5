//! Tiles of a product, whose sums stay in registers: all the arithmetic of a matrix product is here.

use std::any::Any;

use super::Matrix;
use super::vector::{Plain, Vector};
use crate::Real;

/// The most rows of a tile, and the most vectors side by side in one.
pub const MOST_ROWS: usize = 8;
pub const MOST_VECTORS: usize = 3;

/// The size of tiles that suits the machine, and the functions that compute them.
#[derive(Clone, Copy)]
pub struct Tile<T: 'static> {
    /// The most rows of a tile.
    rows: usize,
    /// The columns in the lanes of one vector.
    lanes: usize,
    /// The functions for tiles that are one vector wide, and two, and three.
    compute: [unsafe fn(Operands<T>); MOST_VECTORS],
    /// Tiles of vectors of half the width, of which a processor may compute two at a time.
    half: Option<&'static Tile<T>>,
}

/// The operand with the rows of tiles, one tile after another.
pub struct Narrow<'a, T> {
    pub numbers: &'a [T],
    pub rows: usize,
    pub depth: usize,
    /// The distances of neighbors: from row to row, and along the depth.
    pub strides: [usize; 2],
    /// The distance of the first row of a tile from that of the next.
    pub next: usize,
}

/// Where sums go: to the rows of a matrix, from the first element on.
pub struct Target<'a, T> {
    pub numbers: &'a mut [T],
    /// The distance of one row from the next.
    pub stride: usize,
    pub columns: usize,
    /// Whether they are added to what is there.
    pub add: bool,
}

/// What a function computes tiles of and where it writes them.
#[derive(Clone, Copy)]
struct Operands<T> {
    depth: usize,
    rows: usize,
    columns: usize,
    narrow: *const T,
    strides: [usize; 2],
    next: usize,
    wide: *const T,
    /// The distance of one row of the wide operand from the next.
    step: usize,
    /// Whether the wide operand has whole vectors.
    whole: bool,
    target: *mut T,
    stride: usize,
    add: bool,
}

impl<T: Real> Tile<T> {
    /// Returns all kinds of tiles that this machine can compute.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let tiles = available().filter_map(|tile| tile.downcast_ref().copied());
        tiles.flat_map(|tile: Self| [Some(tile), tile.half.copied()]).flatten().collect()
    }

    /// Returns the fastest kind of tiles of this machine for products with so many columns.
    pub fn fastest(columns: usize) -> Self {
        let tile = available().find_map(|tile| tile.downcast_ref::<Self>());
        let tile = tile.expect("`Real` is f32 or f64, and there are plain tiles of both");
        *tile.half.filter(|half| columns <= half.lanes).unwrap_or(tile)
    }

    /// Returns the most rows of a tile.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the columns in the lanes of one vector.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns the most columns of a tile.
    pub fn columns(&self) -> usize {
        self.lanes * MOST_VECTORS
    }

    /// Computes the sums of as many columns as a tile has, or fewer, for the rows of `narrow`: each is
    /// Σ narrow·wide over the depth in ascending order, from 0 on, each step rounded once. `wide`
    /// (depth, columns), of row-major order, may have more columns, so that it has whole vectors.
    pub fn compute(&self, narrow: Narrow<T>, wide: Matrix<T>, target: Target<T>) {
        let Narrow { numbers, rows, depth, strides, next } = narrow;
        let (vectors, step) = (target.columns.div_ceil(self.lanes), wide.strides[0]);
        let whole = wide.columns == vectors * self.lanes;
        assert!(rows > 0 && depth > 0 && wide.rows == depth);
        // What is furthest is read by the last tile, or by the one before, which has all rows.
        let (before, last) = ((rows - 1) / self.rows, (rows - 1) % self.rows);
        let last = before * next + last * strides[0];
        let before = before.checked_sub(1).map_or(0, |i| i * next + (self.rows - 1) * strides[0]);
        assert!(numbers.len() > last.max(before) + (depth - 1) * strides[1]);
        assert!((whole || wide.columns == target.columns) && wide.strides[1] == 1);
        assert!(wide.data.len() >= (depth - 1) * step + wide.columns);
        assert!(target.columns <= target.stride);
        assert!(target.numbers.len() >= (rows - 1) * target.stride + target.columns);
        let operands = Operands {
            depth,
            rows,
            columns: target.columns,
            narrow: numbers.as_ptr(),
            strides,
            next,
            wide: wide.data.as_ptr(),
            step,
            whole,
            target: target.numbers.as_mut_ptr(),
            stride: target.stride,
            add: target.add,
        };
        // SAFETY: the lengths are those that the function reads and writes, and `available` gives
        // only tiles whose instructions, and those of their halves, the machine has.
        unsafe { self.compute[vectors - 1](operands) }
    }
}

/// Returns the kinds of tiles, of both types of number, that this machine can compute, the fastest first.
fn available() -> impl Iterator<Item = &'static dyn Any> {
    #[cfg(target_arch = "x86_64")]
    let special = [
        (
            // The halves are vectors of 256 bits with the masks of AVX-512.
            is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"),
            [&x86::AVX512_F64 as &dyn Any, &x86::AVX512_F32],
        ),
        (
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            [&x86::AVX2_F64, &x86::AVX2_F32],
        ),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let special: [(bool, [&'static dyn Any; 2]); 0] = [];
    let plain: [&'static dyn Any; 2] = [&PLAIN_F64, &PLAIN_F32];
    special.into_iter().filter(|(has, _)| *has).flat_map(|(_, tiles)| tiles).chain(plain)
}

/// The tiles for machines of which nothing is known.
macro_rules! plain {
    ($name:ident of $number:ident) => {
        static $name: Tile<$number> = Tile {
            rows: 4,
            lanes: Plain::<$number>::LANES,
            compute: [
                compute::<Plain<$number>, 4, 1>,
                compute::<Plain<$number>, 4, 2>,
                compute::<Plain<$number>, 4, 3>,
            ],
            half: None,
        };
    };
}

plain!(PLAIN_F64 of f64);
plain!(PLAIN_F32 of f32);

/// Computes tiles of up to `ROWS` rows and of as many columns as `VECTORS` vectors have lanes, or fewer.
///
/// # Safety
/// The machine must have the instructions of V, and the memory must be as long as
/// [`Tile::compute`] says.
#[inline(always)]
unsafe fn compute<V: Vector, const ROWS: usize, const VECTORS: usize>(all: Operands<V::Number>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        for tile in 0..all.rows.div_ceil(ROWS) {
            let operands = Operands {
                rows: (all.rows - tile * ROWS).min(ROWS),
                narrow: all.narrow.add(tile * all.next),
                target: all.target.add(tile * ROWS * all.stride),
                ..all
            };
            if all.whole {
                sums::<V, ROWS, VECTORS, true>(operands);
            } else {
                sums::<V, ROWS, VECTORS, false>(operands);
            }
        }
    }
}

/// Computes a tile, where the wide operand has whole vectors, or not.
///
/// # Safety
/// As [`compute`].
#[inline(always)]
unsafe fn sums<V: Vector, const ROWS: usize, const VECTORS: usize, const WHOLE: bool>(
    operands: Operands<V::Number>,
) {
    use num_traits::Zero;
    let Operands { depth, rows, columns, narrow, strides, wide, step, target, stride, add, .. } =
        operands;
    let lanes = |j| if j + 1 < VECTORS { V::LANES } else { columns - j * V::LANES };
    // SAFETY: all offsets are within the lengths that the caller promises; rows that are too many
    // are the last one once more.
    unsafe {
        let narrow: [*const V::Number; ROWS] =
            std::array::from_fn(|i| narrow.add(i.min(rows - 1) * strides[0]));
        // The rows of the target are far from each other: they arrive while the sums are computed.
        for i in 0..rows {
            for j in 0..VECTORS {
                V::prefetch(target.wrapping_add(i * stride + j * V::LANES));
            }
        }
        let mut tile = [[V::splat(V::Number::zero()); VECTORS]; ROWS];
        for k in 0..depth {
            let wide = wide.add(k * step);
            let mut vectors = [V::splat(V::Number::zero()); VECTORS];
            for j in 0..VECTORS {
                let lanes = if WHOLE { V::LANES } else { lanes(j) };
                vectors[j] = V::load(wide.add(j * V::LANES), lanes);
            }
            for i in 0..ROWS {
                let number = V::splat(*narrow[i].add(k * strides[1]));
                for j in 0..VECTORS {
                    tile[i][j] = number.mul_add(vectors[j], tile[i][j]);
                }
            }
        }
        // All is read before anything is written: a row may begin where a vector written in part ends, which
        // the processor could not read before that is in the cache.
        for i in (0..ROWS).take(if add { rows } else { 0 }) {
            for j in 0..VECTORS {
                let target = target.add(i * stride + j * V::LANES);
                tile[i][j] = V::load(target, lanes(j)).plus(tile[i][j]);
            }
        }
        for i in (0..ROWS).take(rows) {
            for j in 0..VECTORS {
                tile[i][j].store(target.add(i * stride + j * V::LANES), lanes(j));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{MOST_ROWS, Operands, Tile};
    use crate::gemm::vector::{Vector, x86::*};

    macro_rules! tile {
        ($name:ident, $number:ident: $rows:expr, in $vector:ident, with $features:literal, $half:expr) => {
            pub static $name: Tile<$number> = {
                #[target_feature(enable = $features)]
                unsafe fn compute<const VECTORS: usize>(operands: Operands<$number>) {
                    // SAFETY: the caller's promise is passed on.
                    unsafe { super::compute::<$vector, { $rows }, VECTORS>(operands) }
                }
                let compute: [unsafe fn(Operands<$number>); 3] =
                    [compute::<1>, compute::<2>, compute::<3>];
                Tile { rows: $rows, lanes: <$vector as Vector>::LANES, compute, half: $half }
            };
        };
    }

    tile!(AVX512_F64, f64: MOST_ROWS, in Avx512F64, with "avx512f", Some(&HALF_F64));
    tile!(AVX512_F32, f32: MOST_ROWS, in Avx512F32, with "avx512f", Some(&HALF_F32));
    tile!(HALF_F64, f64: MOST_ROWS, in HalfF64, with "avx512f,avx512vl", None);
    tile!(HALF_F32, f32: MOST_ROWS, in HalfF32, with "avx512f,avx512vl", None);
    tile!(AVX2_F64, f64: 4, in Avx2F64, with "avx2,fma", None);
    tile!(AVX2_F32, f32: 4, in Avx2F32, with "avx2,fma", None);
}
