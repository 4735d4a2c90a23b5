//! The product of two narrow panels, whose sums stay in registers: all the arithmetic of a matrix
//! product is here.

use std::any::Any;

use super::vector::{Plain, Vector};
use crate::Real;

/// The largest number of sums of a tile.
pub const LARGEST: usize = 8 * 48;

/// A tile of sums, of the size that suits the machine, and the function that computes them.
#[derive(Clone, Copy)]
pub struct Tile<T> {
    /// Rows of the tile: numbers of a narrow panel at each depth.
    pub rows: usize,
    /// Columns of the tile, which lie in the lanes of vectors: numbers of a wide panel.
    pub columns: usize,
    compute: unsafe fn(usize, *const T, *const T, *mut T),
}

impl<T: Real> Tile<T> {
    /// Returns all tiles that this machine can compute.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        available().filter_map(|tile| tile.downcast_ref().copied()).collect()
    }

    /// Returns the fastest tile of this machine.
    pub fn fastest() -> Self {
        let tile = available().find_map(|tile| tile.downcast_ref().copied());
        tile.expect("`Real` is f32 or f64, and there are plain tiles of both")
    }

    /// Computes `sums` (rows, columns), where each is Σ narrow·wide over the depth in ascending
    /// order, from 0 on, each step rounded once. The panels are (depth, rows) and (depth, columns).
    pub fn compute(&self, narrow: &[T], wide: &[T], sums: &mut [T]) {
        let depth = narrow.len() / self.rows;
        assert_eq!(narrow.len(), depth * self.rows);
        assert_eq!(wide.len(), depth * self.columns);
        assert_eq!(sums.len(), self.rows * self.columns);
        // SAFETY: the lengths are those that the function reads and writes, and `available` gives
        // only tiles whose instructions the machine has.
        unsafe { (self.compute)(depth, narrow.as_ptr(), wide.as_ptr(), sums.as_mut_ptr()) }
    }
}

/// Returns the tiles of both types of number that this machine can compute, the fastest first.
fn available() -> impl Iterator<Item = &'static dyn Any> {
    #[cfg(target_arch = "x86_64")]
    let special = [
        (is_x86_feature_detected!("avx512f"), [&x86::AVX512_F64 as &dyn Any, &x86::AVX512_F32]),
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

static PLAIN_F64: Tile<f64> = Tile { rows: 4, columns: 8, compute: sums::<Plain<f64>, 4, 2> };
static PLAIN_F32: Tile<f32> = Tile { rows: 4, columns: 8, compute: sums::<Plain<f32>, 4, 2> };

/// Computes a tile of `ROWS` rows and of as many columns as `VECTORS` vectors have lanes.
///
/// # Safety
/// The machine must have the instructions of V, and the memory must be as long as
/// [`Tile::compute`] says.
#[inline(always)]
unsafe fn sums<V: Vector, const ROWS: usize, const VECTORS: usize>(
    depth: usize,
    narrow: *const V::Number,
    wide: *const V::Number,
    sums: *mut V::Number,
) {
    use num_traits::Zero;
    let columns = VECTORS * V::LANES;
    // SAFETY: all offsets are within the lengths that the caller promises.
    unsafe {
        let mut tile = [[V::splat(V::Number::zero()); VECTORS]; ROWS];
        for k in 0..depth {
            let wide = wide.add(k * columns);
            let mut vectors = [V::splat(V::Number::zero()); VECTORS];
            for j in 0..VECTORS {
                vectors[j] = V::load(wide.add(j * V::LANES));
            }
            for i in 0..ROWS {
                let number = V::splat(*narrow.add(k * ROWS + i));
                for j in 0..VECTORS {
                    tile[i][j] = number.mul_add(vectors[j], tile[i][j]);
                }
            }
        }
        for i in 0..ROWS {
            for j in 0..VECTORS {
                tile[i][j].store(sums.add(i * columns + j * V::LANES));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};

    use super::{Tile, sums};

    macro_rules! tile {
        ($name:ident, $number:ident: $rows:literal by $vectors:literal of $lanes:literal
         in $vector:ident, with $features:literal) => {
            pub static $name: Tile<$number> = {
                #[target_feature(enable = $features)]
                unsafe fn compute(k: usize, a: *const $number, b: *const $number, c: *mut $number) {
                    // SAFETY: the caller's promise is passed on.
                    unsafe { sums::<$vector, $rows, $vectors>(k, a, b, c) }
                }
                Tile { rows: $rows, columns: $vectors * $lanes, compute }
            };
        };
    }

    tile!(AVX512_F64, f64: 8 by 3 of 8 in __m512d, with "avx512f");
    tile!(AVX512_F32, f32: 8 by 3 of 16 in __m512, with "avx512f");
    tile!(AVX2_F64, f64: 4 by 3 of 4 in __m256d, with "avx2,fma");
    tile!(AVX2_F32, f32: 4 by 3 of 8 in __m256, with "avx2,fma");
}
