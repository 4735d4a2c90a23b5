//! The rows of A for the systems of one tile, point by point, and their sums in M = AᵀW²A.

use super::inputs::TileSystems;
use super::stencil::{Stencil, integer_power};
use crate::banded::lanes::Packed;
use crate::banded::{BandedShape, Factor, RowWindow, Window};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::{Formulation, Options};
use crate::problem::Problem;
use crate::real::Real;
use crate::rows::{RowScale, pair_rows, triple_rows};
use crate::shape::{InputLayout, ProblemShape};
use num_traits::One;

/// The indices of the unknowns and of the inputs of one system. The unknowns are (z_0, ...,
/// z_{N−1}, ε), each z_t of P values; the banded matrix ends before the last point if the problem
/// is periodic: z_{N−1} is then the first part of the border, because it is coupled with z_0. In
/// both cases z_t begins at t·P.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Sizes of the normal matrix M.
    pub banded: BandedShape,
    /// Number of values of the solution, N·P.
    pub values: usize,
    /// Index of the slack ε, if there is one.
    pub slack: Option<usize>,
    /// Layout of the problem's arrays.
    pub inputs: Inputs<InputLayout>,
    /// Number of states with steps of their own, K or 1.
    pub step_states: usize,
    /// Number of points whose rows have factors of their own: N where they follow growth, else 0.
    pub scaled_points: usize,
}

impl Layout {
    /// Returns the layout of problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Self {
        let values = shape.points * shape.block();
        let slack = matches!(options.formulation, Formulation::SharedSlack { .. });
        let central = triple_rows(options, shape.order()).is_some();
        let closing = usize::from(options.periodic);
        Layout {
            banded: BandedShape {
                blocks: shape.points - closing,
                block: shape.block(),
                groups: shape.states(),
                bandwidth: if central { 2 } else { 1 },
                border: closing * shape.block() + usize::from(slack),
            },
            values,
            slack: slack.then_some(values),
            inputs: shape.layouts(),
            step_states: shape.steps[2],
            scaled_points: if options.follow_growth { shape.points } else { 0 },
        }
    }

    /// Returns ℓ, the mean over the states of step t in `data`, which is laid out as the steps.
    #[inline(always)]
    pub fn mean_step<S: Packed, T: Real>(&self, data: &[T], systems: TileSystems, t: usize) -> S {
        let mut sum: S = self.inputs.steps.gather(data, systems, [t, 0, 0]);
        for k in 1..self.step_states {
            sum += self.inputs.steps.gather(data, systems, [t, k, 0]);
        }
        if self.step_states == 1 {
            sum
        } else {
            sum / S::splat(S::Real::of(self.step_states as f64))
        }
    }

    /// Returns the window column of an unknown when block `t` is eliminated.
    #[inline(always)]
    pub fn column(&self, t: usize, unknown: usize) -> usize {
        let banded = self.banded.blocks * self.banded.block;
        if unknown < banded {
            unknown - t * self.banded.block
        } else {
            self.banded.first_border() + unknown - banded
        }
    }
}

/// The input that a row comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The row of equation e at point t.
    Equation { t: usize, e: usize },
    /// The row of initial value (i, k, j).
    Initial { i: usize, k: usize, j: usize },
    /// A smoothness row of state k over `steps` steps from step t on.
    Smoothness { t: usize, k: usize, steps: usize },
    /// A closing row of a periodic problem.
    Periodic,
}

/// A row of A: Σ values · z\[unknowns\] = rhs, which is multiplied by weight · scale.
pub struct Row<'r, S: Packed> {
    /// Input that the row comes from.
    pub source: Source,
    /// Row weight w.
    pub weight: S::Real,
    /// Factor that balances the row, times the factor of its point.
    pub scale: S,
    /// Derivative of the scale with respect to a step; `None` if it does not or the caller did not
    /// ask.
    pub scale_slope: Option<ScaleSlope<S>>,
    /// Unknowns that the row acts on, ascending.
    pub unknowns: &'r [usize],
    /// Entries of the row.
    pub values: &'r [S],
    /// Derivatives of the entries with respect to the length of the step(s); empty if the row
    /// does not depend on it or the caller did not ask.
    pub slopes: &'r [S],
    /// Right-hand side β.
    pub rhs: S,
}

/// The derivative of a row's scale with respect to ℓ, the mean over the states of one step.
#[derive(Clone, Copy)]
pub struct ScaleSlope<S> {
    /// Number of the step.
    pub step: usize,
    /// Derivative d scale/dℓ.
    pub slope: S,
}

impl Source {
    /// Returns the number of the row family, in the order of [`Weights`](crate::Weights).
    pub fn family(self) -> usize {
        match self {
            Source::Equation { .. } => 0,
            Source::Initial { .. } => 1,
            Source::Smoothness { .. } => 2,
            Source::Periodic => 3,
        }
    }
}

impl<S: Packed> Row<'_, S> {
    /// Returns the entry of W for this row, weight · scale.
    #[inline(always)]
    pub fn factor(&self) -> S {
        S::splat(self.weight) * self.scale
    }

    /// Returns a·z.
    #[inline(always)]
    pub fn dot(&self, z: &[S]) -> S {
        let mut sum = S::default();
        for (&unknown, &value) in self.unknowns.iter().zip(self.values) {
            sum += value * z[unknown];
        }
        sum
    }

    /// Computes z += factor · aᵀ.
    #[inline(always)]
    pub fn scatter(&self, factor: S, z: &mut [S]) {
        for (&unknown, &value) in self.unknowns.iter().zip(self.values) {
            z[unknown] += factor * value;
        }
    }
}

/// A visitor of rows. It is a trait and not a closure, because its method can always be inlined, as
/// the choice of vector instructions needs (module [`simd`](super::simd)).
pub trait RowVisitor<S: Packed> {
    /// Visits one row.
    fn visit(&mut self, row: &Row<'_, S>);
}

/// A visitor that adds rows to M, in the window at block `t`, and to AᵀW²β.
struct Absorb<'a, S: Packed> {
    t: usize,
    layout: &'a Layout,
    window: &'a mut Window<S>,
    rhs: &'a mut [S::Double],
}

impl<S: Packed> RowVisitor<S> for Absorb<'_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let squared = row.factor() * row.factor();
        for (i, (&unknown, &value)) in row.unknowns.iter().zip(row.values).enumerate() {
            let weighted = squared * value;
            self.rhs[unknown] += (weighted * row.rhs).widen();
            let window_row = self.window.row(self.layout.column(self.t, unknown));
            for (&unknown, &value) in row.unknowns[i..].iter().zip(&row.values[i..]) {
                window_row[self.layout.column(self.t, unknown)] += weighted * value;
            }
        }
    }
}

/// A visitor that rotates weighted rows into the window of the square-root factorization of block
/// `t`.
struct Rotate<'a, S: Packed> {
    t: usize,
    layout: &'a Layout,
    factor: &'a Factor<S>,
    window: &'a mut RowWindow<S>,
}

impl<S: Packed> RowVisitor<S> for Rotate<'_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let weight = row.factor();
        let columns = row.unknowns.iter().map(|&unknown| self.layout.column(self.t, unknown));
        let entries = columns.zip(row.values.iter().map(|&value| weight * value));
        self.factor.absorb_row(self.window, entries, weight * row.rhs);
    }
}

/// The buffers in which rows are made one after another.
pub struct RowBuffers<S: Packed> {
    pair: Stencil<S>,
    triple: Option<Stencil<S>>,
    unknowns: Vec<usize>,
    values: Vec<S>,
}

impl<S: Packed> RowBuffers<S> {
    /// Allocates the buffers for problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        let q = shape.derivatives();
        let slack = matches!(options.formulation, Formulation::SharedSlack { .. });
        let longest = (3 * q + 1).max(shape.block());
        Ok(RowBuffers {
            pair: Stencil::new(pair_rows(options, shape.order()), slack)?,
            triple: triple_rows(options, shape.order())
                .map(|family| Stencil::new(family, slack))
                .transpose()?,
            unknowns: zeros("row", longest)?,
            values: zeros("row", longest)?,
        })
    }
}

/// The problem, the options and the layout, which all tiles of a batch share.
#[derive(Clone, Copy)]
pub struct Context<'a, T> {
    /// Problem with its data.
    pub problem: &'a Problem<'a, T>,
    /// Options of the solve.
    pub options: &'a Options,
    /// Indices of unknowns and inputs.
    pub layout: &'a Layout,
}

/// Returns the factor of the rows that begin at point t, from the factors of all points, (N, lanes),
/// or none where they are 1.
#[inline(always)]
pub fn point_scale<S: Packed>(point_scales: &[f64], t: usize) -> S {
    let mut scale = S::splat(S::Real::one());
    for (lane, &of_lane) in point_scales.iter().skip(t * S::LANES).take(S::LANES).enumerate() {
        scale.set_lane(lane, S::Real::of(of_lane));
    }
    scale
}

/// A problem as the systems of one tile see it: data in `T`, rows in the precision of `S`.
pub struct Assembly<'a, S: Packed, T = <S as Packed>::Real> {
    context: Context<'a, T>,
    systems: TileSystems,
    /// Factors of the rows that begin at each point, (N, lanes); empty where they are 1.
    point_scales: &'a [f64],
    buffers: &'a mut RowBuffers<S>,
}

impl<'a, S: Packed, T: Real> Assembly<'a, S, T> {
    /// Makes the assembly of the problem of `context` for `systems`, whose rows that begin at point
    /// t are multiplied by `point_scales`, (N, lanes), or by 1 where that is empty.
    pub fn new(
        context: Context<'a, T>,
        systems: TileSystems,
        point_scales: &'a [f64],
        buffers: &'a mut RowBuffers<S>,
    ) -> Self {
        Assembly { context, systems, point_scales, buffers }
    }

    /// Adds to M and to AᵀW²β what the rows that begin at point t contribute. The window then holds
    /// all that the elimination of block t needs.
    #[inline(always)]
    pub fn absorb(&mut self, t: usize, window: &mut Window<S>, rhs: &mut [S::Double]) {
        let layout = self.context.layout;
        self.visit_point_rows(t, false, &mut Absorb { t, layout, window, rhs });
        let factor = S::splat(S::Real::of(self.context.options.weights.smoothness))
            * point_scale(self.point_scales, t);
        let squared = factor * factor;
        for (k, points) in self.smoothness_families() {
            let Some((length, stencil, unknowns)) = self.smoothness(t, k, points) else { continue };
            let columns = stencil.columns();
            let gram = stencil.gram(length);
            for (i, &unknown) in unknowns.iter().enumerate() {
                let window_row = window.row(layout.column(t, unknown));
                for (j, &unknown) in unknowns.iter().enumerate().skip(i) {
                    window_row[layout.column(t, unknown)] += squared * gram[i * columns + j];
                }
            }
        }
    }

    /// Rotates the weighted rows that begin at point t into the window, which then holds all that
    /// the elimination of block t needs.
    #[inline(always)]
    pub fn rotate(&mut self, t: usize, factor: &Factor<S>, window: &mut RowWindow<S>) {
        let layout = self.context.layout;
        self.visit_rows_of(t, false, &mut Rotate { t, layout, factor, window });
    }

    /// Shows all rows to `visitor`, point by point, with their slopes if `with_slopes`.
    #[inline(always)]
    pub fn visit_rows(&mut self, with_slopes: bool, visitor: &mut impl RowVisitor<S>) {
        for t in 0..self.context.problem.shape().points {
            self.visit_rows_of(t, with_slopes, visitor);
        }
    }

    /// Shows every row that begins at point t to `visitor`.
    #[inline(always)]
    pub fn visit_rows_of(&mut self, t: usize, with_slopes: bool, visitor: &mut impl RowVisitor<S>) {
        self.visit_point_rows(t, with_slopes, visitor);
        self.visit_smoothness_rows(t, with_slopes, visitor);
    }

    /// Shows the smoothness rows that begin at point t to `visitor`.
    #[inline(always)]
    pub fn visit_smoothness_rows(
        &mut self,
        t: usize,
        with_slopes: bool,
        visitor: &mut impl RowVisitor<S>,
    ) {
        let weight = S::Real::of(self.context.options.weights.smoothness);
        let point_scale: S = point_scale(self.point_scales, t);
        for (k, points) in self.smoothness_families() {
            let Some((length, stencil, unknowns)) = self.smoothness(t, k, points) else { continue };
            let columns = stencil.columns();
            if with_slopes {
                stencil.update_slopes(length);
            }
            stencil.update_values(length);
            for row in 0..stencil.rows() {
                let range = row * columns..(row + 1) * columns;
                visitor.visit(&Row {
                    source: Source::Smoothness { t, k, steps: points - 1 },
                    weight,
                    scale: point_scale,
                    scale_slope: None,
                    unknowns,
                    values: &stencil.values()[range.clone()],
                    slopes: if with_slopes { &stencil.slopes()[range] } else { &[] },
                    rhs: S::default(),
                });
            }
        }
    }

    /// Shows the equation and initial rows of point t to `visitor`, and the periodic rows with t =
    /// 0.
    #[inline(always)]
    pub fn visit_point_rows(
        &mut self,
        t: usize,
        with_slopes: bool,
        visitor: &mut impl RowVisitor<S>,
    ) {
        let (problem, layout, systems) = (self.context.problem, self.context.layout, self.systems);
        let (shape, inputs, data) = (problem.shape(), &layout.inputs, &problem.inputs);
        let (p, q, states) = (shape.block(), shape.derivatives(), shape.states());
        let weights = self.context.options.weights;
        let one = S::splat(S::Real::one());
        let point_scale: S = point_scale(self.point_scales, t);
        let mean_step = match self.context.options.balanced() {
            true => layout.mean_step(data.steps, systems, t.min(shape.points - 2)),
            false => one,
        };
        let scale = |derivative: usize| {
            let RowScale { step, power } =
                RowScale::new(self.context.options, shape.points, t, derivative);
            let slope = (with_slopes && power != 0).then(|| {
                let factor = S::splat(S::Real::of(f64::from(power)));
                let slope = factor * integer_power(mean_step, power - 1);
                ScaleSlope { step, slope: point_scale * slope }
            });
            (point_scale * integer_power(mean_step, power), slope)
        };
        let RowBuffers { unknowns, values, .. } = &mut *self.buffers;

        let columns = shape.equation_derivatives();
        let c = states * columns;
        for (k, of_state) in unknowns[..c].chunks_exact_mut(columns).enumerate() {
            for (j, unknown) in of_state.iter_mut().enumerate() {
                *unknown = t * p + k * q + j;
            }
        }
        let (equation_scale, equation_slope) = scale(shape.equation_order());
        for e in 0..shape.equations() {
            for (i, value) in values[..c].iter_mut().enumerate() {
                *value = inputs.coefficients.gather(data.coefficients, systems, [t, e, i]);
            }
            visitor.visit(&Row {
                source: Source::Equation { t, e },
                weight: S::Real::of(weights.equation),
                scale: equation_scale,
                scale_slope: equation_slope,
                unknowns: &unknowns[..c],
                values: &values[..c],
                slopes: &[],
                rhs: inputs.rhs.gather(data.rhs, systems, [t, e, 0]),
            });
        }

        let given = shape.initial_derivatives();
        if t < shape.initial_points() {
            for (k, j) in (0..states).flat_map(|k| (0..given).map(move |j| (k, j))) {
                let (initial_scale, initial_slope) = scale(j);
                visitor.visit(&Row {
                    source: Source::Initial { i: t, k, j },
                    weight: S::Real::of(weights.initial),
                    scale: initial_scale,
                    scale_slope: initial_slope,
                    unknowns: &[t * p + k * q + j],
                    values: &[one],
                    slopes: &[],
                    rhs: inputs.initial_values.gather(data.initial_values, systems, [t, k, j]),
                });
            }
        }

        if t == 0 && self.context.options.periodic {
            let last = (shape.points - 1) * p;
            for (k, j) in (0..states).flat_map(|k| (0..q - 1).map(move |j| (k, j))) {
                visitor.visit(&Row {
                    source: Source::Periodic,
                    weight: S::Real::of(weights.periodic),
                    scale: one,
                    scale_slope: None,
                    unknowns: &[k * q + j, last + k * q + j],
                    values: &[one, -one],
                    slopes: &[],
                    rhs: S::default(),
                });
            }
        }
    }

    /// Iterates over the smoothness families, as (state, number of points).
    fn smoothness_families(&self) -> impl Iterator<Item = (usize, usize)> + use<S, T> {
        let most = if self.buffers.triple.is_some() { 3 } else { 2 };
        (0..self.context.problem.shape().states())
            .flat_map(move |k| (2..=most).map(move |n| (k, n)))
    }

    /// Returns length, stencil and unknowns of the smoothness rows of state k on `points` points
    /// from t on, or `None` if the grid ends before.
    #[inline(always)]
    fn smoothness(
        &mut self,
        t: usize,
        k: usize,
        points: usize,
    ) -> Option<(S, &mut Stencil<S>, &[usize])> {
        let shape = self.context.problem.shape();
        if t + points > shape.points {
            return None;
        }
        let (p, q) = (shape.block(), shape.derivatives());
        let length = (t..t + points - 1)
            .map(|t| self.step(t, k))
            .reduce(|sum, step| sum + step)
            .expect("rows span at least one step");
        let RowBuffers { pair, triple, unknowns, .. } = &mut *self.buffers;
        let stencil = if points == 2 { pair } else { triple.as_mut()? };
        for point in 0..points {
            for j in 0..q {
                unknowns[point * q + j] = (t + point) * p + k * q + j;
            }
        }
        if let Some(slack) = self.context.layout.slack {
            unknowns[points * q] = slack;
        }
        let columns = stencil.columns();
        Some((length, stencil, &unknowns[..columns]))
    }

    /// Returns s\[t\] of state k.
    #[inline(always)]
    fn step(&self, t: usize, k: usize) -> S {
        let data = self.context.problem.inputs.steps;
        self.context.layout.inputs.steps.gather(data, self.systems, [t, k, 0])
    }
}
