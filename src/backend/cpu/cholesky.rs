//! Cholesky's factorization of M = AᵀW²A = RᵀR, block by block as the rows come, with the forward
//! substitution on the way. M is never stored: a window holds what of it elimination has reached.

use super::block::{Window, first_row, pack, solve_transposed, subtract_transposed_times};
use super::chain;
use super::lanes::{Vector, work};
use super::layout::{Context, Layout, triangle};
use super::pivots::Pivots;
use super::sweep::{Room, Sweep, slack_cost};

/// Factorizes M and solves Rᵀ v = AᵀW²β + γα e_ε, the border's part included; of a part of a system
/// what is left over for the separators stays in the window and in v, and the border's part of the factor
/// is not used. `whole` gets the diagonal of M. Returns NaN in the lanes whose data are not finite or whose steps not positive.
pub fn factorize<V: Vector, const T: usize, const P: usize>(
    sweep: Sweep<'_, V>,
    factor: &mut [V],
    window: &mut Window<V>,
    pivots: &mut Pivots<V>,
    whole: &mut [V],
    v: &mut [V],
) -> V {
    let mut check = V::default();
    let check_mut = &mut check;
    V::run(Factorize::<V, T, P> { sweep, factor, window, pivots, whole, v, check: check_mut });
    check
}

work! {
    Factorize<'a, 'b; T: usize, P: usize> {
        sweep: Sweep<'b, V>,
        factor: &'a mut [V],
        window: &'a mut Window<V>,
        pivots: &'a mut Pivots<V>,
        whole: &'a mut [V],
        v: &'a mut [V],
        check: &'a mut V,
    }
    *check = factorize_inlined::<V, T, P>(sweep, factor, window, pivots, whole, v)
}

#[inline(always)]
fn factorize_inlined<V: Vector, const T: usize, const P: usize>(
    mut sweep: Sweep<'_, V>,
    factor: &mut [V],
    window: &mut Window<V>,
    pivots: &mut Pivots<V>,
    whole: &mut [V],
    v: &mut [V],
) -> V {
    let (context, layout) = (sweep.context, &sweep.context.layout.fixed::<T, P>());
    if P > 0 {
        return chain::factorize::<V, T, P>(&mut sweep, layout, factor, window, pivots, [whole, v]);
    }
    let fixed = &Context { layout, ..*context };
    let (p, q, chain, n) = (layout.block, layout.derivatives, layout.chain, layout.window());
    let outside = n - layout.border;
    let first = first_row(layout);
    let (rows, triangle_of_border) = factor.split_at_mut(chain * layout.row_values());
    let (v, border) = v.split_at_mut(layout.first_border());
    let mut check = V::default();

    window.clear();
    border.fill(V::default());
    if let Some(slack) = layout.slack {
        border[slack - v.len()] = V::splat(slack_cost(context));
    }
    if layout.closing {
        let squared = V::splat(context.options.weights.periodic.powi(2));
        for i in (0..p).filter(|i| i % q + 1 < q) {
            window.entries[i * n + i] += squared;
            window.entries[i * n + outside + i] -= squared;
            window.entries[(outside + i) * n + outside + i] += squared;
        }
    }
    sweep.room.points.begin(context, sweep.systems, sweep.scales);
    sweep.room.y[..outside].fill(V::default());
    for range in layout.ranges() {
        sweep.room.points.load(context, sweep.systems, range.clone());
        check += sweep.room.points.check();
        for t in range {
            let Room { points, y, .. } = &mut *sweep.room;
            let one = V::splat(1.0);
            points.absorb::<T>(fixed, t, one, &mut window.entries, n, &mut y[..p]);
            if t == chain {
                break;
            }
            absorb_smoothness::<V, T>(&mut sweep, layout, t, window);
            if layout.opening && t == 0 {
                window.open([n, p, outside]);
                border.copy_from_slice(&sweep.room.y[..p]);
                sweep.room.y.copy_within(p.., 0);
                sweep.room.y[p..].fill(V::default());
                continue;
            }
            window.factorize::<T>([n, p], t * p, first, pivots);
            if layout.opening {
                window.clear_remnants([n, p, outside]);
            }
            store(window, layout, &mut rows[t * layout.row_values()..]);
            whole[t * p..][..p].copy_from_slice(&window.whole[..p]);

            let (y, v) = (&mut sweep.room.y[..outside], &mut v[t * p..][..p]);
            v.copy_from_slice(&y[..p]);
            solve_transposed::<V, T>(&rows[t * layout.row_values()..][..triangle(p)], v);
            subtract_transposed_times(&window.rows[outside..], n, v, border);
            y.copy_within(p.., 0);
            subtract_transposed_times(&window.rows[p..], n, v, &mut y[..outside - p]);
            y[outside - p..].fill(V::default());
            window.advance::<T>([n, p, outside], first);
        }
    }

    if layout.closing {
        // The block after the chain is the closing point.
        window.fold([n, p, outside]);
        for (border, y) in border.iter_mut().zip(&sweep.room.y[..p]) {
            *border += *y;
        }
    }
    if layout.opening {
        // The separators come last, in a system of their own.
        if chain < layout.points {
            v[chain * p..].copy_from_slice(&sweep.room.y[..p]);
        }
        return check;
    }
    for i in outside + layout.unpadded_border()..n {
        window.entries[i * n + i] = V::splat(1.0);
    }
    window.factorize_border([n, outside], chain * p, pivots);
    whole[chain * p..].copy_from_slice(&window.whole[outside..]);
    pack(&window.rows, n, outside, n - outside, triangle_of_border);
    solve_transposed::<V, 1>(triangle_of_border, border);
    check
}

/// Writes the block row of R in the window to its place in the factor.
#[inline(always)]
fn store<V: Vector>(window: &Window<V>, layout: &Layout, to: &mut [V]) {
    let (p, n, panel) = (layout.block, layout.window(), layout.panel());
    let (triangle, panels) = to[..layout.row_values()].split_at_mut(triangle(p));
    let rows = &window.rows[..p * n];
    pack(rows, n, 0, p, triangle);
    for i in 0..p {
        panels[i * panel..][..panel].copy_from_slice(&rows[i * n..][n - panel..n]);
    }
    if layout.kept() > 0 {
        for (to, row) in panels[p * panel..].chunks_exact_mut(p).zip(rows.chunks_exact(n)) {
            to.copy_from_slice(&row[p..2 * p]);
        }
    }
}

/// Adds to M what the smoothness rows that begin at point t contribute.
#[inline(always)]
fn absorb_smoothness<V: Vector, const T: usize>(
    sweep: &mut Sweep<'_, V>,
    layout: &Layout,
    t: usize,
    window: &mut Window<V>,
) {
    if t + 1 == layout.points {
        return;
    }
    sweep.update::<T>(layout, t);
    let (p, q, n) = (layout.block, layout.derivatives, layout.window());
    let Room { points, smoothness, gram, .. } = &mut *sweep.room;
    for k in 0..layout.states {
        for (block, [a, b]) in [[0, 0], [0, 1], [1, 1]].into_iter().enumerate() {
            let gram = smoothness.block(k, block);
            window.add_block(n, [a * p + k * q, b * p + k * q], q, gram);
        }
    }
    if layout.bandwidth == 1 && layout.slack.is_none() {
        return;
    }
    let weight = V::splat(sweep.context.options.weights.smoothness) * points.point_scale(t);
    let squared = weight * weight;
    for (k, span) in layout.spans(t) {
        let (table, powers, _) = smoothness.rows(points, layout, t, k, span);
        if span == 3 {
            for (a, b) in (0..3).flat_map(|a| (a..3).map(move |b| (a, b))) {
                table.gram([a, b], powers, squared, gram);
                window.add_block(n, [a * p + k * q, b * p + k * q], q, gram);
            }
        }
        if let Some(slack) = layout.slack {
            let column = n - layout.border + slack - layout.first_border();
            for (point, j) in (0..span).flat_map(|point| (0..q).map(move |j| (point, j))) {
                let sum = table.column_sum(point, j, powers);
                let entry = &mut window.entries[(point * p + k * q + j) * n + column];
                *entry = entry.plus(squared, sum);
            }
            let entry = &mut window.entries[column * n + column];
            *entry = entry.plus(squared, V::splat(table.rows as f64));
        }
    }
}
