//! The rows of one point: its data in lanes, and the equation and initial rows that they make.

use super::lanes::{LANES, Vector, unrolled};
use super::layout::{Context, Layout};
use super::staging::TileSystems;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::rows::RowScale;
use std::ops::Range;

/// The data of a tile's systems in lanes: those of all points of the steps and initial values, those
/// of a range of points of the coefficients and right-hand sides.
pub struct Points<V> {
    /// Coefficients, (points or 1, E, K, Qc).
    coefficients: Vec<V>,
    /// Right-hand sides, (points or 1, E).
    rhs: Vec<V>,
    /// Initial values, (I, K, J).
    pub initial: Vec<V>,
    /// Steps, (N−1 or 1, K or 1).
    steps: Vec<V>,
    /// Coefficients of one point in the columns of the unknowns, (E, P).
    pub rows: Vec<V>,
    /// Range of points that is loaded.
    range: Range<usize>,
    /// Factors of the rows that begin at each point, (N), or none where they are 1.
    scales: Vec<V>,
    /// One in the lanes that begin with the first point of their system, zero in the others.
    pub first: V,
}

/// The factor of a row, apart from its weight, and its derivative with respect to the mean step.
#[derive(Clone, Copy)]
pub struct Scale<V> {
    /// Factor.
    pub value: V,
    /// Derivative with respect to the mean over the states of the step, if it depends on it.
    pub slope: Option<V>,
}

impl<V: Vector> Points<V> {
    /// Allocates the lanes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let Inputs { coefficients, rhs, initial_values, steps } = layout.staged();
        Ok(Points {
            coefficients: zeros("coefficients", coefficients)?,
            rhs: zeros("right-hand sides", rhs)?,
            initial: zeros("initial values", initial_values)?,
            steps: zeros("steps", steps)?,
            rows: zeros("rows", layout.equations * layout.block)?,
            range: 0..0,
            scales: zeros("growth", layout.scaled_points)?,
            first: V::default(),
        })
    }

    /// Loads what does not depend on the range: all steps, the initial values, and what points
    /// share; and the factors of the rows that begin at each point.
    #[inline(always)]
    pub fn begin(&mut self, context: &Context<'_>, systems: TileSystems, scales: &[V]) {
        let (layout, inputs, widths) = (context.layout, &context.inputs, context.layout.widths);
        let steps = self.steps.len() / widths.steps;
        inputs.steps.load(systems, widths.steps, 0, steps, &mut self.steps);
        let initial = usize::from(!self.initial.is_empty());
        let width = widths.initial_values;
        inputs.initial_values.load(systems, width, 0, initial, &mut self.initial);
        if layout.inputs.coefficients.inner[0] == 0 {
            let to = &mut self.coefficients;
            inputs.coefficients.load(systems, widths.coefficients, 0, 1, to);
        }
        if layout.inputs.rhs.inner[0] == 0 {
            inputs.rhs.load(systems, widths.rhs, 0, 1, &mut self.rhs);
        }
        self.scales.copy_from_slice(scales);
        let mut first = [0.0; LANES];
        for (lane, first) in first.iter_mut().enumerate() {
            *first = f64::from(u8::from(systems.point(lane) == 0));
        }
        self.first = V::from_array(first);
        self.range = 0..0;
    }

    /// Loads the coefficients and right-hand sides of a range of points.
    #[inline(always)]
    pub fn load(&mut self, context: &Context<'_>, systems: TileSystems, range: Range<usize>) {
        let (layout, inputs, widths) = (context.layout, &context.inputs, context.layout.widths);
        let (first, count) = (range.start, range.len());
        if layout.inputs.coefficients.inner[0] > 0 {
            let to = &mut self.coefficients;
            inputs.coefficients.load(systems, widths.coefficients, first, count, to);
        }
        if layout.inputs.rhs.inner[0] > 0 {
            inputs.rhs.load(systems, widths.rhs, first, count, &mut self.rhs);
        }
        self.range = range;
    }

    /// Returns zero in the lanes whose data are finite and whose steps are positive, as far as they
    /// are loaded, NaN in the others.
    #[inline(always)]
    pub fn check(&self) -> V {
        let mut check = V::default();
        if self.range.start == 0 {
            check_finite(&self.initial, &mut check);
            check_finite(&self.steps, &mut check);
            for step in &self.steps {
                check = V::default().less(*step, check, V::splat(f64::NAN));
            }
        }
        check_finite(&self.coefficients, &mut check);
        check_finite(&self.rhs, &mut check);
        check
    }

    /// Returns the right-hand sides (E) of a loaded point.
    #[inline(always)]
    pub fn rhs(&self, layout: &Layout, t: usize) -> &[V] {
        let width = layout.widths.rhs;
        let shared = layout.inputs.rhs.inner[0] == 0;
        &self.rhs[if shared { 0 } else { (t - self.range.start) * width }..][..width]
    }

    /// Returns the steps (K or 1) from point t to t+1.
    #[inline(always)]
    pub fn steps(&self, layout: &Layout, t: usize) -> &[V] {
        of_step(&self.steps, layout, t)
    }

    /// Returns step t of state k.
    #[inline(always)]
    pub fn step(&self, layout: &Layout, t: usize, k: usize) -> V {
        let steps = self.steps(layout, t);
        steps[k.min(steps.len() - 1)]
    }

    /// Returns the factor of the rows that begin at point t.
    #[inline(always)]
    pub fn point_scale(&self, t: usize) -> V {
        self.scales.get(t).copied().unwrap_or(V::splat(1.0))
    }

    /// Returns the mean over the states of the step at point t, which the balance of its rows takes.
    #[inline(always)]
    pub fn mean_step(&self, layout: &Layout, t: usize) -> V {
        mean(self.steps(layout, t.min(layout.points - 2)))
    }

    /// Returns the factor of a row at point t whose highest derivative is `derivative`.
    #[inline(always)]
    pub fn scale(&self, context: &Context<'_>, t: usize, derivative: usize) -> Scale<V> {
        let point = self.point_scale(t);
        let RowScale { step, power } =
            RowScale::new(context.options, context.layout.points, t, derivative);
        if power == 0 {
            return Scale { value: point, slope: None };
        }
        let mean = mean(self.steps(context.layout, step));
        let mut below = point;
        for _ in 1..power {
            below = below * mean;
        }
        Scale { value: below * mean, slope: Some(V::splat(f64::from(power)) * below) }
    }

    /// Returns the weighted factor of the initial row of derivative j at point t, which is zero in
    /// lanes that begin later in their system.
    #[inline(always)]
    pub fn initial_weight(&self, context: &Context<'_>, t: usize, j: usize) -> V {
        V::splat(context.options.weights.initial) * self.first * self.scale(context, t, j).value
    }

    /// Writes the equation rows of a loaded point, multiplied by `factor`, into `rows`.
    #[inline(always)]
    pub fn make_rows(&mut self, layout: &Layout, t: usize, factor: V) {
        let (width, qc, q) =
            (layout.widths.coefficients, layout.equation_derivatives, layout.derivatives);
        let shared = layout.inputs.coefficients.inner[0] == 0;
        let start = if shared { 0 } else { (t - self.range.start) * width };
        let coefficients = &self.coefficients[start..][..width];
        for (row, c) in self.rows.chunks_exact_mut(q).zip(coefficients.chunks_exact(qc)) {
            for (row, c) in row.iter_mut().zip(c) {
                *row = factor * *c;
            }
            row[qc..].fill(V::default());
        }
    }

    /// Adds what the equation and initial rows of a loaded point add to M, (P, `n`), and to AᵀW²β,
    /// (P), all rows being multiplied by `factor` besides.
    #[inline(always)]
    pub fn absorb<const T: usize>(
        &mut self,
        context: &Context<'_>,
        t: usize,
        factor: V,
        matrix: &mut [V],
        n: usize,
        y: &mut [V],
    ) {
        let layout = context.layout;
        let p = layout.block;
        let matrix = &mut matrix[..n * n];
        self.absorb_rhs(context, t, factor, y);
        for i0 in (0..p).step_by(T) {
            for j0 in (i0..p).step_by(T) {
                add_products::<V, T>(&self.rows, p, [i0, j0], matrix, n);
            }
        }
        if t < layout.given[0] {
            for (k, j, _) in initial_rows(layout) {
                let weight = self.initial_weight(context, t, j) * factor;
                let unknown = k * layout.derivatives + j;
                matrix[unknown * n + unknown] += weight * weight;
            }
        }
    }

    /// Adds to AᵀW²β, (P), what [`absorb`](Self::absorb) does, with the weighted equation rows in `rows`.
    #[inline(always)]
    pub fn absorb_rhs(&mut self, context: &Context<'_>, t: usize, factor: V, y: &mut [V]) {
        let (layout, weights) = (context.layout, &context.options.weights);
        let scale = self.scale(context, t, layout.equation_derivatives - 1).value;
        let weight = V::splat(weights.equation) * scale * factor;
        self.make_rows(layout, t, weight);
        for (row, b) in self.rows.chunks_exact(layout.block).zip(self.rhs(layout, t)) {
            let b = weight * *b;
            for (y, c) in y.iter_mut().zip(row) {
                *y = y.plus(*c, b);
            }
        }
        if t < layout.given[0] {
            for (k, j, at) in initial_rows(layout) {
                let weight = self.initial_weight(context, t, j) * factor;
                let value = self.initial[t * layout.states * layout.given[1] + at];
                let unknown = k * layout.derivatives + j;
                y[unknown] = y[unknown].plus(weight * weight, value);
            }
        }
    }
}

impl<V: Vector> Points<V> {
    /// Does the same as [`absorb`](Self::absorb) with a block of P unknowns in registers, of which no index may
    /// be a variable.
    #[inline(always)]
    pub fn absorb_block<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        t: usize,
        block: &mut [[V; P]; P],
        y: &mut [V; P],
    ) {
        let (layout, weights) = (context.layout, &context.options.weights);
        let scale = self.scale(context, t, layout.equation_derivatives - 1).value;
        let weight = V::splat(weights.equation) * scale;
        self.make_rows(layout, t, weight);
        let mut products = [[V::default(); P]; P];
        for (row, b) in self.rows.as_chunks::<P>().0.iter().zip(self.rhs(layout, t)) {
            let b = weight * *b;
            unrolled!(i in 0..P => {
                y[i] = y[i].plus(row[i], b);
                for j in i..P {
                    products[i][j] = products[i][j].plus(row[i], row[j]);
                }
            });
        }
        unrolled!(i in 0..P => {
            for j in i..P {
                block[i][j] += products[i][j];
            }
        });
        if t < layout.given[0] {
            let (mut squared, mut values) = ([V::default(); P], [V::default(); P]);
            for (k, j, at) in initial_rows(layout) {
                let weight = self.initial_weight(context, t, j);
                squared[k * T + j] = weight * weight;
                values[k * T + j] = self.initial[t * layout.states * layout.given[1] + at];
            }
            unrolled!(i in 0..P => {
                if i % T < layout.given[1] {
                    block[i][i] += squared[i];
                    y[i] = y[i].plus(squared[i], values[i]);
                }
            });
        }
    }
}

/// Computes the tile at (i, j) of `matrix`, of `n` columns, plus aᵀa, a being row-major with `p`
/// columns.
#[inline(always)]
fn add_products<V: Vector, const T: usize>(
    a: &[V],
    p: usize,
    [i, j]: [usize; 2],
    matrix: &mut [V],
    n: usize,
) {
    let mut tile = [[V::default(); T]; T];
    for row in a.chunks_exact(p) {
        let x: &[V; T] = row[i..].first_chunk().expect("within the row");
        let y: &[V; T] = row[j..].first_chunk().expect("within the row");
        for i in 0..T {
            for j in 0..T {
                tile[i][j] = tile[i][j].plus(x[i], y[j]);
            }
        }
    }
    for (row, tile) in tile.iter().enumerate() {
        let to = &mut matrix[(i + row) * n + j..][..T];
        for (to, value) in to.iter_mut().zip(tile) {
            *to += *value;
        }
    }
}

/// Iterates over the initial rows of a point, as (state, derivative, place among them).
#[inline(always)]
pub fn initial_rows(layout: &Layout) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
    let [_, given] = layout.given;
    (0..layout.states).flat_map(move |k| (0..given).map(move |j| (k, j, k * given + j)))
}

/// Returns the values (K or 1) of step t in an array that is laid out as the steps.
#[inline(always)]
pub fn of_step<'a, V>(values: &'a [V], layout: &Layout, t: usize) -> &'a [V] {
    &values[t * layout.inputs.steps.inner[0]..][..layout.widths.steps]
}

/// Returns the mean of a step's values over the states.
#[inline(always)]
pub fn mean<V: Vector>(values: &[V]) -> V {
    let mut sum = values[0];
    for value in &values[1..] {
        sum += *value;
    }
    if values.len() == 1 { sum } else { sum / V::splat(values.len() as f64) }
}

/// Makes `check` NaN in the lanes where a value is not finite.
#[inline(always)]
fn check_finite<V: Vector>(values: &[V], check: &mut V) {
    // Four sums, so that an addition need not wait for the one before.
    let mut sums = [V::default(); 4];
    for values in values.chunks(4) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.plus(*value, V::default());
        }
    }
    *check += (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
