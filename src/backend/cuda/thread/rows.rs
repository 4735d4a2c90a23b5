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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Smoothness};
    use crate::rows::pair_rows;

    /// The second half of a system's points relies on this (`kernels/thread/tile.cuh`).
    #[test]
    fn rows_are_the_same_from_the_other_end() {
        for smoothness in [Smoothness::Taylor, Smoothness::TaylorHold, Smoothness::Hermite] {
            let options = Options { smoothness, ..Options::default() };
            for order in 1..THREAD_MOST_DERIVATIVES {
                let family = pair_rows(&options, order);
                let (q, columns) = (family.derivatives, 2 * family.derivatives);
                let gram = gram(&family.table(), columns);
                for (i, j) in (0..columns).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                    // The other point, and (−h)^(j + j') instead of h^(j + j').
                    let other = |i: usize| (i + q) % columns;
                    let sign = if (i % q + j % q) % 2 == 0 { 1.0 } else { -1.0 };
                    let mirrored = sign * gram[other(i) * columns + other(j)];
                    let difference = (gram[i * columns + j] - mirrored).abs();
                    assert!(difference < 1e-14, "{smoothness:?}, {order}, {i}, {j}");
                }
            }
        }
    }
}
