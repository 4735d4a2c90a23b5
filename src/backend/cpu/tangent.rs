//! The share of every row in the right-hand side of M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az), and the
//! norms of the rows' defects. Both are wanted seldom, and compiled for one size of blocks.

use super::lanes::Vector;
use super::points::{Points, Scale, initial_rows};
use super::sweep::{Room, Sweep, dot, scale_values};

/// Adds the shares of the rows that begin at point t to `sum`, in the layout of the unknowns, given
/// the solution z and, in `tangents`, the derivatives of the inputs. The data of t are loaded in both.
#[inline(always)]
pub fn add_tangent<V: Vector>(
    sweep: &mut Sweep<'_, V>,
    tangents: &mut Points<V>,
    t: usize,
    z: &[V],
    sum: &mut [V],
) {
    let (context, layout) = (sweep.context, sweep.context.layout);
    let (weights, p, q) = (&context.options.weights, layout.block, layout.derivatives);
    let one = V::splat(1.0);
    if t + 1 < layout.points {
        sweep.update::<1>(layout, t);
    }
    let Room { points, smoothness, scaled, .. } = &mut *sweep.room;
    points.make_rows(layout, t, one);
    tangents.make_rows(layout, t, one);
    let d_mean = tangents.mean_step(layout, t);
    let of_factor = |scale: Scale<V>| scale.slope.map_or(V::default(), |slope| slope * d_mean);

    let weight = V::splat(weights.equation);
    let scale = points.scale(context, t, layout.equation_derivatives - 1);
    let (factor, d_factor) = (weight * scale.value, weight * of_factor(scale));
    let (squared, d_squared) = (factor * factor, (factor + factor) * d_factor);
    let own = &z[t * p..][..p];
    let rows = points.rows.chunks_exact(p).zip(points.rhs(layout, t));
    let d_rows = tangents.rows.chunks_exact(p).zip(tangents.rhs(layout, t));
    for ((row, b), (d_row, d_b)) in rows.zip(d_rows) {
        let defect = *b - dot(row, own);
        let d_defect = *d_b - dot(d_row, own);
        let (along, residual) = ((squared * d_defect).plus(d_squared, defect), squared * defect);
        for (i, sum) in sum[t * p..][..p].iter_mut().enumerate() {
            *sum = sum.plus(row[i], along).plus(d_row[i], residual);
        }
    }
    if t < layout.given[0] {
        for (k, j, at) in initial_rows(layout) {
            let at = t * layout.states * layout.given[1] + at;
            let weight = V::splat(weights.initial) * points.first;
            let scale = points.scale(context, t, j);
            let (factor, d_factor) = (weight * scale.value, weight * of_factor(scale));
            let unknown = t * p + k * q + j;
            let defect = points.initial[at] - z[unknown];
            sum[unknown] = sum[unknown]
                .plus(factor * factor, tangents.initial[at])
                .plus((factor + factor) * d_factor, defect);
        }
    }

    let weight = V::splat(weights.smoothness) * points.point_scale(t);
    let squared = weight * weight;
    let slack = layout.slack.map_or(V::default(), |slack| z[slack]);
    let (of_z, rest) = scaled.split_at_mut(3 * q);
    let (of_d, rest) = rest.split_at_mut(3 * q);
    let (along_z, along_d) = rest.split_at_mut(3 * q);
    for (k, span) in layout.spans(t) {
        let (table, powers, reciprocal) = smoothness.rows(points, layout, t, k, span);
        let n = span * q;
        let mut d_length = V::default();
        for t in t..t + span - 1 {
            d_length += tangents.step(layout, t, k);
        }
        let relative = d_length * reciprocal;
        scale_values(&z[t * p + k * q..], p, powers, &mut of_z[..n]);
        for i in 0..n {
            of_d[i] = table.exponent::<V>(i % q) * relative * of_z[i];
        }
        along_z[..n].fill(V::default());
        along_d[..n].fill(V::default());
        table.apply::<V, 1>(&of_z[..n], slack, &mut along_z[..n]);
        let [_, d_sum] = table.apply::<V, 1>(&of_d[..n], V::default(), &mut along_d[..n]);
        for i in 0..n {
            let along = along_d[i].plus(table.exponent::<V>(i % q) * relative, along_z[i]);
            let unknown = (t + i / q) * p + k * q + i % q;
            sum[unknown] = sum[unknown].minus(squared * powers[i % q], along);
        }
        if let Some(slack) = layout.slack {
            sum[slack] = sum[slack].minus(squared, d_sum);
        }
    }
}

/// Adds the squares of the weighted defects w(a·z − β) of the rows that begin at point t to the sums
/// of their families: equation, initial, smoothness, periodic.
#[inline(always)]
pub fn add_squared_defects<V: Vector>(
    sweep: &mut Sweep<'_, V>,
    t: usize,
    z: &[V],
    sums: &mut [V; 4],
) {
    let (context, layout) = (sweep.context, sweep.context.layout);
    let (weights, p, q) = (&context.options.weights, layout.block, layout.derivatives);
    if t + 1 < layout.points {
        sweep.update::<1>(layout, t);
    }
    let Room { points, smoothness, scaled, .. } = &mut *sweep.room;
    let scale = points.scale(context, t, layout.equation_derivatives - 1).value;
    let weight = V::splat(weights.equation) * scale;
    points.make_rows(layout, t, weight);
    for (row, b) in points.rows.chunks_exact(p).zip(points.rhs(layout, t)) {
        let defect = weight * *b - dot(row, &z[t * p..][..p]);
        sums[0] = sums[0].plus(defect, defect);
    }
    if t < layout.given[0] {
        for (k, j, at) in initial_rows(layout) {
            let weight = points.initial_weight(context, t, j);
            let value = points.initial[t * layout.states * layout.given[1] + at];
            let defect = weight * (value - z[t * p + k * q + j]);
            sums[1] = sums[1].plus(defect, defect);
        }
    }
    if t == 0 && layout.closing {
        for i in (0..p).filter(|i| i % q + 1 < q) {
            let defect = V::splat(weights.periodic) * (z[i] - z[layout.first_border() + i]);
            sums[3] = sums[3].plus(defect, defect);
        }
    }
    let weight = V::splat(weights.smoothness) * points.point_scale(t);
    let slack = layout.slack.map_or(V::default(), |slack| z[slack]);
    let (of_z, along) = scaled.split_at_mut(3 * q);
    for (k, span) in layout.spans(t) {
        let (table, powers, _) = smoothness.rows(points, layout, t, k, span);
        let n = span * q;
        scale_values(&z[t * p + k * q..], p, powers, &mut of_z[..n]);
        let [squares, _] = table.apply::<V, 1>(&of_z[..n], slack, &mut along[..n]);
        sums[2] = sums[2].plus(weight * weight, squares);
    }
}
