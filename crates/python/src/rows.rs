//! The rows of the constraint matrix as tables, from which PyTorch computes second derivatives.

use mechanistic::rows::{RowFamily, pair_rows, triple_rows};
use pyo3::prelude::*;

use crate::options::SolveOptions;

/// A row family: (rows, points, shift, table). Row r is Σ table[r, p, j] length^(j + shift) z[t +
/// p, j], with the table (rows, points, Q) row-major.
type Table = (usize, usize, i32, Vec<f64>);

/// Returns the smoothness rows on two neighboring points, and those on three if there are any, for
/// solutions of this order.
#[pyfunction]
pub fn smoothness_rows(options: &SolveOptions, order: usize) -> (Table, Option<Table>) {
    let table = |family: RowFamily| (family.rows, family.points, family.shift, family.table());
    (table(pair_rows(&options.0, order)), triple_rows(&options.0, order).map(table))
}
