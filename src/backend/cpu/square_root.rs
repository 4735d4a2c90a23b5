//! The factor R computed from the weighted rows themselves, WA = QR, without forming M: the
//! square-root information filter.
//!
//! A [`RowWindow`] holds the triangle that the rows seen so far make. Each further row is rotated
//! into it, one column after another. Once all rows that begin at block t are in, the triangle's
//! first P rows are row t of R; the rest is carried to block t+1. The right-hand sides are one more
//! column, so that v = Qᵀβ of R x = v comes out block by block as well.
//!
//! RᵀR = AᵀW²A = M, and R has a positive diagonal: it is the factor that Cholesky computes, but its
//! errors grow with the condition number of WA and not with that of M, the square.
//!
//! Rotations are used and not reflections, because the rows differ in size by many orders of
//! magnitude (ω, powers of the step), and a reflection mixes the rounding errors of the large ones
//! into the small: for u'' + u = 0 over 1000 steps of 0.01, computed in single precision, rotations
//! left an error of 6e-6 and reflections one of 8e-2. (Bierman, *Factorization Methods for
//! Discrete Sequential Estimation*, 1977; Golub and Van Loan, *Matrix Computations*, sections 5.1
//! and 5.2.)

use super::lanes::{Vector, work};
use super::layout::{Layout, triangle};
use super::pivots::{Pivot, Pivots};
use super::points::initial_rows;
use super::sweep::{Room, Sweep, slack_cost};
use crate::error::Result;
use crate::memory::zeros;

/// The triangle that the rows absorbed so far make, in the columns of a window at block t (blocks t
/// .. t+w, then the border) and one more for the right-hand side.
pub struct RowWindow<V> {
    /// Number n of columns without the right-hand side.
    columns: usize,
    /// First column of the border.
    border: usize,
    /// Triangle, (n, n + 1): upper triangular, with a diagonal that is not negative.
    triangle: Vec<V>,
    /// Which rows of the triangle are still zero.
    empty: Vec<bool>,
    /// Column from which on the blocks' columns are zero in the whole triangle; columns beyond the
    /// last block stay zero, and no row may end up there.
    extent: usize,
    /// Row that is being rotated into the triangle, (n + 1).
    row: Vec<V>,
    /// Squared norm of each column of the finished rows of R.
    removed: Vec<V>,
}

impl<V: Vector> RowWindow<V> {
    /// Makes an empty window.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let (what, n) = ("window of the factorization", layout.window());
        Ok(RowWindow {
            columns: n,
            border: n - layout.border,
            triangle: zeros(what, n.saturating_mul(n + 1))?,
            empty: zeros(what, n)?,
            extent: 0,
            row: zeros(what, n + 1)?,
            removed: zeros(what, n)?,
        })
    }

    fn clear(&mut self) {
        self.triangle.fill(V::default());
        self.removed.fill(V::default());
        self.empty.fill(true);
        self.extent = 0;
    }

    /// Sets an entry of the row that is to be rotated in next.
    #[inline(always)]
    fn set(&mut self, column: usize, value: V) {
        self.row[column] = value;
        if column < self.border {
            self.extent = self.extent.max(column + 1);
        }
    }

    /// Rotates the row that was set, with its right-hand side, into the triangle, from column `first`
    /// on. Of the rows that reach into block t+w, those of the first state come first, and so on.
    #[inline(always)]
    fn absorb(&mut self, first: usize, rhs: V) {
        let (n, extent) = (self.columns, self.extent);
        self.row[n] = rhs;
        for i in (first..extent).chain(first.max(self.border)..n) {
            let head = &mut self.triangle[i * (n + 1)..][..=n];
            let row = &mut self.row[..];
            let in_blocks = i.min(extent)..extent;
            let in_border = i.max(self.border)..n + 1;
            if std::mem::replace(&mut self.empty[i], false) {
                let one = V::splat(1.0);
                let sign = row[i].less(V::default(), -one, one);
                for k in in_blocks.chain(in_border) {
                    head[k] = sign * row[k];
                }
                break;
            }
            let (cosine, sine) = rotation(head[i], row[i]);
            for range in [in_blocks, in_border] {
                for (upper, lower) in head[range.clone()].iter_mut().zip(&mut row[range]) {
                    let (a, b) = (*upper, *lower);
                    *upper = (cosine * a).plus(sine, b);
                    *lower = (cosine * b).minus(sine, a);
                }
            }
        }
        self.row.fill(V::default());
    }

    /// Finishes row i of the triangle, which is a row of R from now on: its columns i .. n go to
    /// `stored`, with the reciprocal of the diagonal entry in place of that. Returns √M_ii, squared.
    #[inline(always)]
    fn finish(&mut self, i: usize, unknown: usize, pivots: &mut Pivots<V>, stored: &mut [V]) -> V {
        let row = &self.triangle[i * (self.columns + 1)..][i..self.columns];
        for (k, (stored, &value)) in stored.iter_mut().zip(row).enumerate() {
            *stored = value;
            self.removed[i + k] = self.removed[i + k].plus(value, value);
        }
        // Entries so small that rotations passed over them are lost, like others of their size.
        let squared = row[0] * row[0];
        let squared = squared.less(V::splat(NEGLIGIBLE), V::default(), squared);
        stored[0] = pivots.reciprocal_root(squared, self.removed[i], unknown);
        self.removed[i]
    }

    /// Moves the window on by a block of `p` columns: its first p rows leave the triangle, p zero
    /// rows enter before the border.
    #[inline(always)]
    fn advance(&mut self, p: usize) {
        let (columns, border) = (self.columns + 1, self.border);
        for i in p..border {
            let (from, to) = (i * columns, (i - p) * columns);
            for k in i..border {
                self.triangle[to + k - p] = self.triangle[from + k];
            }
            self.triangle[to + border - p..to + border].fill(V::default());
            for k in border..columns {
                self.triangle[to + k] = self.triangle[from + k];
            }
            self.removed[i - p] = self.removed[i];
            self.empty[i - p] = self.empty[i];
        }
        for i in border - p..border {
            self.triangle[i * columns..(i + 1) * columns].fill(V::default());
            self.removed[i] = V::default();
            self.empty[i] = true;
        }
        self.extent = self.extent.saturating_sub(p);
    }
}

/// Computes R of WA = QR, and v = QᵀWβ + R⁻ᵀ γα e_ε. `whole` gets the diagonal of M. Returns NaN in
/// the lanes whose data are not finite or whose steps not positive.
pub fn factorize<V: Vector>(
    sweep: Sweep<'_, V>,
    factor: &mut [V],
    window: &mut RowWindow<V>,
    pivots: &mut Pivots<V>,
    whole: &mut [V],
    v: &mut [V],
) -> V {
    let mut check = V::default();
    V::run(Factorize { sweep, factor, window, pivots, whole, v, check: &mut check });
    check
}

work! {
    Factorize<'a, 'b> {
        sweep: Sweep<'b, V>,
        factor: &'a mut [V],
        window: &'a mut RowWindow<V>,
        pivots: &'a mut Pivots<V>,
        whole: &'a mut [V],
        v: &'a mut [V],
        check: &'a mut V,
    }
    *check = factorize_inlined(sweep, factor, window, pivots, whole, v)
}

#[inline(always)]
fn factorize_inlined<V: Vector>(
    mut sweep: Sweep<'_, V>,
    factor: &mut [V],
    window: &mut RowWindow<V>,
    pivots: &mut Pivots<V>,
    whole: &mut [V],
    v: &mut [V],
) -> V {
    let (context, layout) = (sweep.context, sweep.context.layout);
    let (p, n, panel) = (layout.block, window.columns, layout.panel());
    let mut check = V::default();
    window.clear();
    sweep.room.points.begin(context, sweep.systems, sweep.scales);
    for range in layout.ranges() {
        sweep.room.points.load(context, sweep.systems, range.clone());
        check += sweep.room.points.check();
        for t in range {
            rotate_rows(&mut sweep, t, window);
            if t == layout.chain {
                break;
            }
            let row = &mut factor[t * layout.row_values()..][..layout.row_values()];
            let (triangle, panels) = row.split_at_mut(triangle(p));
            let mut at = 0;
            for i in 0..p {
                let unknown = t * p + i;
                // The row that is rotated next is room for the row that is finished.
                let mut stored = std::mem::take(&mut window.row);
                whole[unknown] = window.finish(i, unknown, pivots, &mut stored[..n - i]);
                triangle[at..][..p - i].copy_from_slice(&stored[..p - i]);
                panels[i * panel..][..panel].copy_from_slice(&stored[p - i..n - i]);
                stored.fill(V::default());
                window.row = stored;
                v[unknown] = window.triangle[i * (n + 1) + n];
                at += p - i;
            }
            window.advance(p);
        }
    }
    let border = &mut factor[layout.chain * layout.row_values()..];
    let mut at = 0;
    for i in 0..layout.border {
        let unknown = layout.first_border() + i;
        let stored = &mut border[at..][..layout.border - i];
        if i < layout.unpadded_border() {
            whole[unknown] = window.finish(window.border + i, unknown, pivots, stored);
        } else {
            whole[unknown] = V::splat(1.0);
            stored[0] = V::splat(1.0);
        }
        v[unknown] = window.triangle[(window.border + i) * (n + 1) + n];
        at += layout.border - i;
        if layout.slack == Some(unknown) {
            // The slack's linear cost only changes its own entry of v, because Rᵀ is lower triangular
            // and ε the last unknown.
            v[unknown] = v[unknown].plus(stored[0], V::splat(slack_cost(context)));
        }
    }
    check
}

/// Rotates the weighted rows that begin at point t into the window.
#[inline(always)]
fn rotate_rows<V: Vector>(sweep: &mut Sweep<'_, V>, t: usize, window: &mut RowWindow<V>) {
    let (context, layout) = (sweep.context, sweep.context.layout);
    let (weights, p, q) = (&context.options.weights, layout.block, layout.derivatives);
    let (chain, border) = (layout.chain, window.border);
    // The closing point is a part of the border.
    let column = |point: usize| if point == chain { border } else { (point - t) * p };
    let (zero, own) = (V::default(), column(t));
    if t + 1 < layout.points {
        sweep.update::<1>(layout, t);
    }
    let Room { points, smoothness, .. } = &mut *sweep.room;
    let scale = points.scale(context, t, layout.equation_derivatives - 1).value;
    let weight = V::splat(weights.equation) * scale;
    points.make_rows(layout, t, weight);
    for (row, b) in points.rows.chunks_exact(p).zip(points.rhs(layout, t)) {
        for (i, value) in row.iter().enumerate() {
            window.set(own + i, *value);
        }
        window.absorb(own, weight * *b);
    }
    if t < layout.given[0] {
        for (k, j, at) in initial_rows(layout) {
            let weight = V::splat(weights.initial) * points.scale(context, t, j).value;
            let value = points.initial[t * layout.states * layout.given[1] + at];
            window.set(own + k * q + j, weight);
            window.absorb(own + k * q + j, weight * value);
        }
    }
    if t == 0 && layout.closing {
        for i in (0..p).filter(|i| i % q + 1 < q) {
            window.set(i, V::splat(weights.periodic));
            window.set(border + i, V::splat(-weights.periodic));
            window.absorb(i, zero);
        }
    }
    let weight = V::splat(weights.smoothness) * points.point_scale(t);
    for (k, span) in layout.spans(t) {
        let (table, powers, _) = smoothness.rows(points, layout, t, k, span);
        for row in table.table() {
            for (i, value) in row.iter().enumerate() {
                let value = V::splat(*value) * powers[i % q] * weight;
                window.set(column(t + i / q) + k * q + i % q, value);
            }
            if let Some(slack) = layout.slack {
                window.set(border + slack - layout.first_border(), weight);
            }
            window.absorb(own + k * q, zero);
        }
    }
}

/// The number below which squares have lost digits: a sum above it has them all, as what its terms
/// lose by underflow is at most its last digit.
const NEGLIGIBLE: f64 = f64::MIN_POSITIVE;

/// Returns the cosine and the sine of the rotation that turns (a, b) into (√(a² + b²), 0). Where
/// both are so small that their squares lose digits (what cancellation leaves of a zero, say), b
/// passes for zero: a rotation by an inaccurate angle would spoil the rest of its rows.
#[inline(always)]
fn rotation<V: Vector>(a: V, b: V) -> (V, V) {
    let (zero, one, least) = (V::default(), V::splat(1.0), V::splat(NEGLIGIBLE));
    let squares = (a * a).plus(b, b);
    let a = squares.less(least, one, a);
    let b = squares.less(least, zero, b);
    let reciprocal = one / squares.less(least, one, squares).sqrt();
    (a * reciprocal, b * reciprocal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::lanes::{LANES, Portable};

    #[test]
    fn rotations_by_noise_leave_the_rows_alone() {
        let splat = <Portable as Vector>::splat;
        // The squares of 1e-160 and 2e-160 have no digits.
        let (cosine, sine) = rotation(splat(1e-160), splat(2e-160));
        assert_eq!((cosine.to_array(), sine.to_array()), ([1.0; LANES], [0.0; LANES]));
        let (cosine, sine) = rotation(splat(3.0), splat(-4.0));
        assert!((cosine.lane(0) - 0.6).abs() < 1e-15 && (sine.lane(0) + 0.8).abs() < 1e-15);
    }
}
