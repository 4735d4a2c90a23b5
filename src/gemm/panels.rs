//! The operands of a product, copied into panels in the order in which the tiles read them, and the
//! memory for it.

use std::cell::Cell;

use super::Matrix;
use crate::memory::zeros;
use crate::threads;
use crate::{Real, Result};

/// Copies the rows of a matrix into panels of `width` rows, one after another, which have the numbers of one
/// column side by side; the last may be narrower. Where there is room for more rows than the matrix has,
/// they are zero. At most so many other threads help.
pub fn pack<T: Real>(matrix: Matrix<T>, width: usize, panels: &mut [T], helpers: usize) {
    let columns = matrix.columns;
    threads::share(panels.chunks_mut(width * columns).enumerate(), helpers, |(i, panel)| {
        let width_here = panel.len() / columns;
        let first = i * width;
        let count = width_here.min(matrix.rows - first);
        pack_panel(matrix.rows(first, count), width_here, panel);
    });
}

fn pack_panel<T: Real>(matrix: Matrix<T>, width: usize, panel: &mut [T]) {
    /// The columns that are copied together, so that what is written stays in the cache.
    const COLUMNS: usize = 32;
    let [row, column] = matrix.strides;
    let whole = matrix.rows == width;
    if row == 1 && whole {
        for (k, panel) in panel.chunks_exact_mut(width).enumerate() {
            panel.copy_from_slice(&matrix.data[k * column..][..width]);
        }
        return;
    }
    for (c, panel) in panel.chunks_mut(COLUMNS * width).enumerate() {
        if !whole {
            panel.fill(T::zero());
        }
        for i in 0..matrix.rows {
            let numbers = matrix.data[i * row + c * COLUMNS * column..].iter().step_by(column);
            for (places, number) in panel.chunks_exact_mut(width).zip(numbers) {
                places[i] = *number;
            }
        }
    }
}

/// A line of the cache.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line {
    _numbers: [u64; 8],
}

thread_local! {
    /// The panels of the last product that this thread was asked for. A product takes the memory
    /// out of the cell while it runs: a thread that waits for others may be given another product,
    /// which then allocates its own.
    static PANELS: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// The most lines of the cache that a thread keeps between products: 64 MiB.
const MOST_KEPT: usize = 1 << 20;

/// Calls `f` with memory for `count` numbers, which the thread keeps for the next call, unless it is
/// very large.
pub fn with_memory<T: Real>(count: usize, f: impl FnOnce(&mut [T])) -> Result<()> {
    let lines = count.saturating_mul(size_of::<T>()).div_ceil(size_of::<Line>());
    let mut memory = PANELS.take();
    if memory.len() < lines {
        drop(memory);
        memory = zeros("panels of a matrix product", lines)?;
    }
    // SAFETY: T is f32 or f64, of which every pattern of bits is a number.
    let (_, numbers, _) = unsafe { memory.align_to_mut::<T>() };
    f(&mut numbers[..count]);
    if memory.len() <= MOST_KEPT {
        PANELS.set(memory);
    }
    Ok(())
}
