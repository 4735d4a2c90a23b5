//! The smoothness rows in the form in which the kernels take them.

use crate::backend::cuda::bindings::{THREAD_MOST_DERIVATIVES, THREAD_TABLE, ThreadRows};
use crate::rows::RowFamily;

impl ThreadRows {
    /// Makes the rows of a family on two points.
    ///
    /// # Panics
    /// Panics if the family has too many derivatives, or three points: there are no kernels for
    /// those.
    pub fn new(family: &RowFamily) -> Self {
        let columns = 2 * family.derivatives;
        assert!(family.points == 2 && family.derivatives <= THREAD_MOST_DERIVATIVES);
        let table = family.table();
        let padded = |values: &[f64]| {
            let mut padded = [0.0; THREAD_TABLE];
            padded[..values.len()].copy_from_slice(values);
            padded
        };
        ThreadRows { table: padded(&table), gram: padded(&gram(&table, columns)) }
    }
}

/// Returns CᵀC of C (rows, columns).
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
