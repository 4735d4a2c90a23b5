//! The memory that a solver of the CPU needs.

use crate::backend::cpu::growth::March;
use crate::backend::cpu::lanes::{LANES, Vector};
use crate::backend::cpu::layout::Layout;
use crate::error::Result;
use crate::memory::{SOLVER, ensure_first, total};
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::Status;

/// Returns the bytes of a solver of this shape, after checking that they can be had: without its
/// results, which may lie in memory of the caller, and which the error counts. `parts` are the
/// layouts of what is computed in lanes, each with the number of tiles and of the groups of these, `summed`
/// the number of values that a group adds up.
pub(super) fn ensure_memory<V: Vector, R: Real>(
    shape: &ProblemShape,
    parts: &[(Layout, [usize; 2])],
    summed: usize,
) -> Result<usize> {
    let lanes = LANES * size_of::<f64>();
    let mut counts = Vec::new();
    for (layout, [tiles, groups]) in parts {
        let (unknowns, window, p) = (layout.unknowns(), layout.window(), layout.block);
        let staged = layout.staged().into_iter().fold(0, usize::saturating_add);
        let march = if layout.scaled_points > 0 { March::<V>::values(layout) } else { 0 };
        let rows = layout.equations.saturating_mul(p);
        // One tile more makes the factor of all, with a group's buffers, and leaves it in numbers.
        let [one, same] = [layout.one_matrix, layout.same_matrix].map(usize::from);
        let (tiles, groups) = (tiles.saturating_add(one), groups.saturating_add(one));
        let factors = if layout.one_matrix { 1 } else { tiles };
        counts.extend([
            (factors.saturating_mul(layout.factor_values()), lanes),
            (one.saturating_mul(layout.factor_values()), size_of::<f64>()),
            (same.saturating_mul(layout.matrix_values()), size_of::<f64>()),
            (tiles.saturating_mul(unknowns), lanes),
            // The diagonal of M, the adjoint, its right-hand side and correction; the windows of the
            // factorization and of the variances, and the rows that go through them.
            (groups.saturating_mul(unknowns), 4 * lanes),
            (groups.saturating_mul(window.saturating_mul(window.saturating_add(p))), 2 * lanes),
            // The inputs, their tangents and gradients, in lanes, and the rows of a point.
            (groups.saturating_mul(staged), 3 * lanes),
            (groups.saturating_mul(rows), 2 * lanes),
            // What follows growth: the factors of the points, and the marches that find them.
            (
                tiles.saturating_add(groups.saturating_mul(2)).saturating_mul(layout.scaled_points),
                lanes,
            ),
            (groups.saturating_mul(march), lanes),
        ]);
    }
    let groups = parts.iter().map(|(_, [_, groups])| *groups).fold(0, usize::max);
    counts.extend([
        (groups.saturating_mul(summed), size_of::<f64>()),
        (shape.batch, 3 * size_of::<Status>()),
    ]);
    let bytes = total(&counts);
    ensure_first(SOLVER, bytes, shape.result_bytes::<R>())?;
    Ok(bytes)
}
