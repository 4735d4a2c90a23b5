//! Matrix products: cuBLAS or tiles multiply matrices, sums are taken where a matrix is too thin
//! for tiles.

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::kernels::{TILE, TapeKernels};
use super::reduction::{Target, Term, Terms, reduce, sum_splits};
use crate::Real;
use crate::backend::cuda::bindings::{MatMul, ReduceFunction, Walk};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::cublas::Gemm;
use crate::error::{Error, Result};
use crate::tensor::function::Side;
use crate::tensor::layout::Axes;
use crate::tensor::product::Product;

/// The number of rows or columns below which most of a tile would be empty.
const THIN: usize = 16;
/// The depth of a slab, as in the kernel.
const DEPTH: usize = 16;
/// The number of tiles that keep a device busy.
const BUSY_TILES: usize = 256;
/// The least number of slabs that a block multiplies before a tile is split over more blocks.
const SLABS: usize = 4;

/// A product with its strides: c (m, n) = a (m, k) · b (k, n) for every element of the batch.
struct Strided {
    sizes: [usize; 3],
    /// Strides of a, (row, column).
    a: [usize; 2],
    b: [usize; 2],
    /// Strides of c, a, b over the batch.
    batch: [Axes; 3],
}

impl Strided {
    /// Makes the strides of the product itself, or of an adjoint: gc·bᵀ for side A, aᵀ·gc for side
    /// B.
    fn new(product: &Product, adjoint: Option<Side>) -> Self {
        let [m, k, n] = product.sizes;
        let [a, b, c] = product.strides.clone();
        match adjoint {
            None => Strided { sizes: [m, k, n], a: [k, 1], b: [n, 1], batch: [c, a, b] },
            Some(Side::A) => Strided { sizes: [m, n, k], a: [n, 1], b: [1, n], batch: [a, c, b] },
            Some(Side::B) => Strided { sizes: [k, m, n], a: [1, k], b: [n, 1], batch: [b, a, c] },
        }
    }
    /// Returns the walk over the elements of the batch that c has, and the walk over those that are
    /// summed into one.
    fn walks(&self, product: &Product) -> Result<(Walk, Walk)> {
        let of = |kept: bool| -> Result<Walk> {
            let axes = 0..product.batch.len();
            let axes: Vec<usize> = axes.filter(|&i| (self.batch[0][i] != 0) == kept).collect();
            let pick = |from: &[usize]| -> Vec<usize> { axes.iter().map(|&i| from[i]).collect() };
            let strides = self.batch.each_ref().map(|strides| pick(strides));
            Walk::new(&pick(&product.batch), strides.each_ref().map(|strides| &strides[..]))
        };
        Ok((of(true)?, of(false)?))
    }

    /// Returns the transposed products as cuBLAS takes them in one call, or `None` for empty
    /// products, for products whose batch has no single stride or is summed over, and for sizes
    /// beyond 32 bits.
    fn gemm(&self, kept: &Walk, reduced: &Walk, add: bool) -> Option<Gemm> {
        let [m, k, n] = self.sizes;
        if k == 0 || kept.size == 0 || reduced.size != 1 || kept.axes > 1 {
            return None;
        }
        let (transposed_a, leading_a) = stored(self.a, m, k)?;
        let (transposed_b, leading_b) = stored(self.b, k, n)?;
        let small = |size: usize| i32::try_from(size).ok();
        let [stride_c, stride_a, stride_b] = [0, 1, 2].map(|operand| kept.stride[operand][0]);
        Some(Gemm {
            sizes: [small(n)?, small(m)?, small(k)?],
            transposed: [transposed_b, transposed_a],
            leading: [small(leading_b)?, small(leading_a)?, small(n)?],
            strides: [stride_b, stride_a, stride_c],
            batch: i32::try_from(kept.size).ok()?,
            add,
        })
    }
}

/// Returns whether a matrix with these strides is stored column by column instead of row by row,
/// and the distance between its columns or rows.
fn stored([row, column]: [usize; 2], rows: usize, columns: usize) -> Option<(bool, usize)> {
    match (row, column) {
        (leading, 1) if leading >= columns => Some((false, leading)),
        (1, leading) if leading >= rows => Some((true, leading)),
        _ => None,
    }
}

/// The environment variable that keeps products from cuBLAS, or demands it.
const VARIABLE: &str = "MECHANISTIC_CUBLAS";

/// Returns whether products on this device go to cuBLAS where it can be opened. They do unless the
/// environment variable is `off`; if it is `on`, cuBLAS must be there.
///
/// # Errors
/// [`Error::Argument`] if the variable has another value, [`Error::Device`] if cuBLAS must be there
/// and is not.
pub fn cublas_is_wanted(device: &CudaDevice) -> Result<bool> {
    match std::env::var(VARIABLE).unwrap_or_default().as_str() {
        "" => Ok(true),
        "off" => Ok(false),
        "on" if device.cublas().is_some() => Ok(true),
        "on" => Err(Error::Device {
            doing: format!("opening cuBLAS, which {VARIABLE}=on demands"),
            message:
                "this machine has none that can be opened (libcublas.so, or version 11, 12 or 13)"
                    .into(),
        }),
        other => Err(Error::argument(VARIABLE, format!("expected on or off, got `{other}`"))),
    }
}

/// The means of multiplication on a device: the tape's kernels and cuBLAS.
pub struct Products<'a> {
    pub device: &'a Arc<CudaDevice>,
    pub kernels: &'a TapeKernels,
    /// Whether cuBLAS multiplies where it can be opened.
    pub cublas: bool,
}

impl Products<'_> {
    /// Computes c = a·b, or for an adjoint c = gc·bᵀ or aᵀ·gc, summed over the batch where c
    /// repeats, or adds that to c.
    pub fn multiply<T: Real>(
        &self,
        product: &Product,
        adjoint: Option<(Side, bool)>,
        [a, b]: [&CudaView<'_, T>; 2],
        c: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let strided = Strided::new(product, adjoint.map(|(side, _)| side));
        let add = adjoint.is_some_and(|(_, add)| add);
        let [m, _, n] = strided.sizes;
        if m < THIN || n < THIN {
            return self.sum_products(product, &strided, add, [a, b], c);
        }
        let (kept, reduced) = strided.walks(product)?;
        if self.cublas
            && let Some(gemm) = strided.gemm(&kept, &reduced, add)
            && let Some(cublas) = self.device.cublas()
        {
            // Row by row read column by column is the transpose: cᵀ = bᵀ·aᵀ.
            return cublas.multiply(self.device, &gemm, b, a, c);
        }
        self.multiply_tiles(&strided, (kept, reduced), add, [a, b], c)
    }

    /// Computes every element of c as a sum over k.
    fn sum_products<T: Real>(
        &self,
        product: &Product,
        strided: &Strided,
        add: bool,
        [a, b]: [&CudaView<'_, T>; 2],
        c: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let [m, k, n] = strided.sizes;
        let over = |batch: &[usize], own: [usize; 3]| [batch, &own].concat();
        let shape = [&product.batch[..], &[m, n, k]].concat();
        let [batch_c, batch_a, batch_b] = &strided.batch;
        let terms = Terms {
            function: ReduceFunction::Product,
            g: Term { data: a, strides: &over(batch_a, [strided.a[0], 0, strided.a[1]]) },
            a: Some(Term { data: b, strides: &over(batch_b, [0, strided.b[1], strided.b[0]]) }),
            b: None,
            mask: None,
        };
        let strides = &over(batch_c, [n, 1, 0]);
        let target = Target { data: c, offset: 0, strides, add };
        reduce(self.device, self.kernels, &shape, &terms, target)
    }

    /// Computes tiles of c by this library's kernel.
    fn multiply_tiles<T: Real>(
        &self,
        strided: &Strided,
        (kept, reduced): (Walk, Walk),
        add: bool,
        [a, b]: [&CudaView<'_, T>; 2],
        c: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let [m, k, n] = strided.sizes;
        let tiles = m.div_ceil(TILE) * n.div_ceil(TILE) * kept.size as usize;
        let slabs = k.div_ceil(DEPTH) * reduced.size as usize;
        let splits = match tiles {
            1..BUSY_TILES => BUSY_TILES.div_ceil(tiles).min(slabs / SLABS).max(1),
            _ => 1,
        };
        let len = c.len();
        let matmul = MatMul {
            kept,
            reduced,
            m: m as i64,
            k: k as i64,
            n: n as i64,
            a_row: strided.a[0] as i64,
            a_column: strided.a[1] as i64,
            b_row: strided.b[0] as i64,
            b_column: strided.b[1] as i64,
            split_stride: 0,
            splits: 1,
            add: i32::from(add),
        };
        if splits == 1 {
            return self.kernels.matmul(&matmul, a, b, c);
        }
        // c is contiguous, so each split's result has c's own layout.
        let mut scratch = Buffer::<T>::unwritten(self.device, "partial products", len * splits)?;
        let matmul = MatMul { split_stride: len as i64, splits: splits as i32, add: 0, ..matmul };
        self.kernels.matmul(&matmul, a, b, &mut scratch.view_mut())?;
        sum_splits(self.kernels, &scratch.view(), splits, c, add)
    }
}
