//! The structures that the kernels take by value: field by field those of
//! `kernels/thread/parameters.h`.

use std::ffi::c_void;

use cudarc::driver::DeviceRepr;

use crate::backend::cuda::parameters::{Output, Problem, Status};
use crate::rows::RowFamily;

/// Most derivatives Q of a state for which there are kernels.
pub const MOST_DERIVATIVES: usize = 4;
/// Values of a table of smoothness rows.
pub const TABLE: usize = 4 * MOST_DERIVATIVES * MOST_DERIVATIVES;

/// Smoothness rows on two points.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadRows {
    /// C: (rows, 2·Q).
    pub table: [f64; TABLE],
    /// CᵀC: (2·Q, 2·Q).
    pub gram: [f64; TABLE],
}

/// Shared memory in which a warp stages one array.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadRing {
    /// V of one system.
    pub values: i32,
    /// Offset of the ring, in doubles.
    pub slots: i32,
    /// Slots of a system, a power of two; 0 where there is no ring.
    pub capacity: i32,
    /// Offset of the sums over time, in doubles.
    pub sums: i32,
    /// Along the array's time axis.
    pub points: i32,
}

/// How time is cut into chunks.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadChunks {
    /// log₂ C.
    pub bits: i32,
    /// Doubles of shared memory of a warp.
    pub warp_values: i32,
    /// Offset of the spikes in them.
    pub scratch: i32,
    /// 0.
    pub reserved: i32,
    /// (tiles, N, P·P, 32).
    pub spikes: *mut f64,
    /// (tiles, SEPARATOR_VALUES, 32).
    pub separators: *mut f64,
}

/// What all kernels of the path take.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadProblem {
    /// Sizes, options, inputs.
    pub problem: Problem,
    /// Smoothness rows.
    pub rows: ThreadRows,
    /// Staging of the inputs.
    pub coefficients: ThreadRing,
    /// See there.
    pub rhs: ThreadRing,
    /// See there.
    pub initial_values: ThreadRing,
    /// See there.
    pub steps: ThreadRing,
    /// Staging of solution, cotangent.
    pub unknowns: ThreadRing,
    /// Whether slots have 8 bytes, else 4.
    pub wide: i32,
    /// 0.
    pub reserved: i32,
    /// (tiles, N, F, 32).
    pub factor: *mut f64,
    /// (tiles, N, P, 32).
    pub solution: *mut f64,
    /// (tiles, N, P, 32).
    pub vector: *mut f64,
    /// (tiles, N, P, 32), with refinement only.
    pub given: *mut f64,
    /// (tiles, N, P, 32), with refinement only.
    pub direction: *mut f64,
    /// Read by the kernels of chunks only.
    pub chunks: ThreadChunks,
}

/// Of `thread_solve`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadSolve {
    /// See there.
    pub common: ThreadProblem,
    /// (B, N, K, Q).
    pub solution: *mut c_void,
    /// (B).
    pub epsilon: *mut c_void,
    /// (B).
    pub status: *mut Status,
}

/// Of `thread_adjoint`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadAdjoint {
    /// See there.
    pub common: ThreadProblem,
    /// (B, N, K, Q).
    pub cotangent: *const c_void,
    /// (B).
    pub status: *const Status,
    /// Gradients; of inputs that the batch shares one partial sum a tile, or a system where time
    /// is cut, `system` apart.
    pub coefficients: Output,
    /// See there.
    pub rhs: Output,
    /// See there.
    pub initial_values: Output,
    /// See there.
    pub steps: Output,
    /// (tiles, 4), or (B, 4) where time is cut.
    pub weights: Output,
}

// SAFETY: plain C structures, the same on both sides (checked by the test below); the pointers are
// addresses of the device and are never followed here.
unsafe impl DeviceRepr for ThreadSolve {}
unsafe impl DeviceRepr for ThreadAdjoint {}

impl ThreadRows {
    /// Of a family on two points.
    ///
    /// # Panics
    /// If the family has more derivatives, or three points: there are no kernels for that.
    pub fn new(family: &RowFamily) -> Self {
        let columns = 2 * family.derivatives;
        assert!(family.points == 2 && family.derivatives <= MOST_DERIVATIVES);
        let table = family.table();
        let padded = |values: &[f64]| {
            let mut padded = [0.0; TABLE];
            padded[..values.len()].copy_from_slice(values);
            padded
        };
        ThreadRows { table: padded(&table), gram: padded(&gram(&table, columns)) }
    }
}

/// CᵀC of C (rows, columns).
fn gram(table: &[f64], columns: usize) -> Vec<f64> {
    let mut gram = vec![0.0; columns * columns];
    for row in table.chunks_exact(columns) {
        for i in 0..columns {
            for j in 0..columns {
                gram[i * columns + j] += row[i] * row[j];
            }
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::parameters::testing::{check_layout, layout};

    #[test]
    fn structures_are_those_of_the_kernels() {
        let mut expected = vec![
            ("THREAD_MOST_DERIVATIVES".to_owned(), MOST_DERIVATIVES),
            ("THREAD_TABLE".to_owned(), TABLE),
        ];
        expected.extend(layout!(ThreadRows: table, gram));
        expected.extend(layout!(ThreadRing: values, slots, capacity, sums, points));
        expected.extend(layout!(ThreadChunks:
            bits, warp_values, scratch, reserved, spikes, separators,
        ));
        expected.extend(layout!(ThreadProblem:
            problem, rows, coefficients, rhs, initial_values, steps, unknowns, wide, reserved,
            factor, solution, vector, given, direction, chunks,
        ));
        expected.extend(layout!(ThreadSolve: common, solution, epsilon, status));
        expected.extend(layout!(ThreadAdjoint:
            common, cotangent, status, coefficients, rhs, initial_values, steps, weights,
        ));
        check_layout("thread/parameters.h", &expected);
    }
}
