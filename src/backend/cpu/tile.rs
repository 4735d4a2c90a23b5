//! A tile: as many systems as there are lanes, solved and differentiated together.

use super::assembly::{Assembly, Context, Layout, Row, RowBuffers, Source};
use super::banded::{Factor, Window};
use super::inputs::{ArrayLayout, InputLayout, TileSystems};
use super::lanes::Packed;
use crate::adjoint::{Cotangent, Tangents};
use crate::error::Result;
use crate::options::{Formulation, Options};
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solver::{Residuals, Status, zeros};
use num_traits::{Float, Zero};

/// Buffers that tiles use one after another.
pub struct Scratch<S: Packed> {
    window: Window<S>,
    rows: RowBuffers<S>,
    /// Adjoint g or tangent ż, in the layout of the unknowns.
    direction: Vec<S>,
    /// Right-hand side of a refinement step.
    correction: Vec<S>,
}

impl<S: Packed> Scratch<S> {
    /// For tiles of this layout.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let unknowns = layout.banded.unknowns();
        Ok(Scratch {
            window: Window::new(&layout.banded),
            rows: RowBuffers::new(shape, options),
            direction: zeros("adjoint", unknowns)?,
            correction: zeros("refinement", unknowns)?,
        })
    }
}

/// Where the gradients of some consecutive systems are added up, the first being `origin`.
pub struct GradientSink<'a, T> {
    /// First system of the batch-varying arrays.
    pub origin: usize,
    /// Of the coefficients.
    pub coefficients: &'a mut [T],
    /// Of the right-hand side.
    pub rhs: &'a mut [T],
    /// Of the initial values.
    pub initial_values: &'a mut [T],
    /// Of the steps.
    pub steps: &'a mut [T],
    /// Of the weights: equation, initial, smoothness, periodic.
    pub weights: &'a mut [T],
}

impl<T: Real> GradientSink<'_, T> {
    /// All zeros.
    pub fn clear(&mut self) {
        for sums in [
            &mut *self.coefficients,
            &mut *self.rhs,
            &mut *self.initial_values,
            &mut *self.steps,
            &mut *self.weights,
        ] {
            sums.fill(T::zero());
        }
    }
}

/// Where values of (B, N, K, Q) and (B) go, for some consecutive systems.
pub struct SolutionSink<'a, T> {
    /// First system.
    pub origin: usize,
    /// (systems, N, K, Q).
    pub values: &'a mut [T],
    /// (systems).
    pub epsilon: &'a mut [T],
}

/// The factor and the solution of the systems of one tile.
pub struct Tile<S: Packed> {
    systems: TileSystems,
    factor: Factor<S>,
    /// (z_0, ..., z_{N−1}, ε).
    unknowns: Vec<S>,
}

impl<S: Packed> Tile<S> {
    /// Room for the given systems.
    pub fn new(systems: TileSystems, layout: &Layout) -> Result<Self> {
        Ok(Tile {
            systems,
            factor: Factor::new(layout.banded)?,
            unknowns: zeros("solution", layout.banded.unknowns())?,
        })
    }

    /// Solves the tile's systems. One sweep forward in time assembles M block by block,
    /// factorises it and substitutes forward; one sweep back substitutes backward.
    #[inline(always)]
    pub fn solve(
        &mut self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        sink: &mut SolutionSink<'_, S::Real>,
        status: &mut [Status],
    ) {
        let Scratch { window, rows, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, rows);
        let z = &mut self.unknowns;
        let points = context.problem.shape().points;

        self.factor.restart(window);
        z.fill(S::default());
        add_slack_cost(context, z);
        for t in 0..points {
            assembly.absorb(t, window, z);
            if t < context.layout.banded.blocks {
                self.factor.eliminate(t, window);
                self.factor.forward(t, z);
            }
        }
        self.factor.eliminate_border(window);
        self.factor.check_conditioning(correction);
        self.factor.solve_border(z);
        for t in (0..context.layout.banded.blocks).rev() {
            self.factor.backward(t, z);
        }

        for _ in 0..context.options.refinement {
            correction.fill(S::default());
            add_slack_cost(context, correction);
            add_normal_residual(&mut assembly, points, z, RightHandSide::Data, correction);
            self.factor.solve(correction);
            for (value, &correction) in z.iter_mut().zip(&*correction) {
                *value += correction;
            }
        }
        self.report(context, sink, status);
    }

    /// Status of every system, then the solution: NaN where there is none.
    fn report(
        &self,
        context: Context<'_, S::Real>,
        sink: &mut SolutionSink<'_, S::Real>,
        status: &mut [Status],
    ) {
        for (lane, system) in self.systems.range().enumerate() {
            let finite = self.unknowns.iter().all(|value| value.lane(lane).is_finite());
            let breakdown = self.factor.breakdown()[lane];
            status[system - sink.origin] = input_status(context, system).unwrap_or_else(|| {
                match breakdown {
                    Some(place) => Status::Breakdown {
                        // The border of a periodic problem begins with the last point.
                        point: place.block + place.pivot / context.layout.banded.block,
                        pivot: place.pivot % context.layout.banded.block,
                    },
                    None if !finite => Status::Overflow,
                    None => Status::Ok,
                }
            });
        }
        self.scatter(context, &self.unknowns, S::Real::nan(), status, sink);
    }

    /// Writes lanes to their systems; `instead` for systems that were not solved.
    fn scatter(
        &self,
        context: Context<'_, S::Real>,
        unknowns: &[S],
        instead: S::Real,
        status: &[Status],
        sink: &mut SolutionSink<'_, S::Real>,
    ) {
        let size = context.layout.values;
        for (lane, system) in self.systems.range().enumerate() {
            let place = system - sink.origin;
            let values = &mut sink.values[place * size..][..size];
            let solved = status[place].is_ok();
            for (value, unknown) in values.iter_mut().zip(unknowns) {
                *value = if solved { unknown.lane(lane) } else { instead };
            }
            sink.epsilon[place] = match context.layout.slack {
                _ if !solved => instead,
                Some(slack) => unknowns[slack].lane(lane),
                None => S::Real::zero(),
            };
        }
    }

    /// Adjoint: solves M g = z̄ with the factor of the solve, then adds every row's share to the
    /// gradients of its inputs (formulas: module [`adjoint`](crate::adjoint)).
    #[inline(always)]
    pub fn vjp(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        cotangent: &Cotangent<'_, S::Real>,
        status: &[Status],
        sink: &mut GradientSink<'_, S::Real>,
    ) {
        let points = context.problem.shape().points;
        let Scratch { rows, direction: g, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, rows);
        let live = self.live(status, sink.origin);
        let live = &live[..S::LANES];

        self.gather_cotangent(context, cotangent, g);
        self.factor.solve(g);
        for _ in 0..context.options.refinement {
            self.gather_cotangent(context, cotangent, correction);
            add_normal_residual(&mut assembly, points, g, RightHandSide::Zero, correction);
            self.factor.solve(correction);
            for (value, &correction) in g.iter_mut().zip(&*correction) {
                *value += correction;
            }
        }

        let (z, systems, inputs) = (&self.unknowns, self.systems, context.layout.inputs);
        let mut weights = [S::default(); 4];
        for t in 0..points {
            assembly.visit_rows(t, true, |row| {
                let weight = S::splat(row.weight);
                let defect = row.rhs - row.dot(z);
                let along = row.dot(g);
                let residual = weight * weight * defect;
                let d_rhs = weight * weight * along;
                weights[row.source.family()] += (weight + weight) * along * defect;
                match row.source {
                    Source::Equation { t, e } => {
                        let origin = sink.origin;
                        inputs.rhs.scatter_add(sink.rhs, origin, systems, live, [t, e, 0], d_rhs);
                        for (i, &unknown) in row.unknowns.iter().enumerate() {
                            let value = residual * g[unknown] - d_rhs * z[unknown];
                            inputs.coefficients.scatter_add(
                                sink.coefficients,
                                origin,
                                systems,
                                live,
                                [t, e, i],
                                value,
                            );
                        }
                    }
                    Source::Initial { i, k, j } => inputs.initial_values.scatter_add(
                        sink.initial_values,
                        sink.origin,
                        systems,
                        live,
                        [i, k, j],
                        d_rhs,
                    ),
                    Source::Smoothness { t, k, steps } => {
                        let mut d_length = S::default();
                        for (&unknown, &slope) in row.unknowns.iter().zip(row.slopes) {
                            d_length += slope * (residual * g[unknown] - d_rhs * z[unknown]);
                        }
                        for t in t..t + steps {
                            let index = [t, k, 0];
                            let origin = sink.origin;
                            inputs
                                .steps
                                .scatter_add(sink.steps, origin, systems, live, index, d_length);
                        }
                    }
                    Source::Periodic => {}
                }
            });
        }
        for (sum, family) in sink.weights.iter_mut().zip(weights) {
            for lane in (0..systems.range().count()).filter(|&lane| live[lane]) {
                *sum += family.lane(lane);
            }
        }
    }

    /// Forward mode: M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az).
    #[inline(always)]
    pub fn jvp(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        tangents: &Tangents<'_, S::Real>,
        status: &[Status],
        sink: &mut SolutionSink<'_, S::Real>,
    ) {
        let points = context.problem.shape().points;
        let Scratch { rows, direction, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, rows);

        direction.fill(S::default());
        for t in 0..points {
            assembly.visit_rows(t, true, |row| self.add_tangent(context, tangents, row, direction));
        }
        correction.copy_from_slice(direction);
        self.factor.solve(direction);
        for step in 0..context.options.refinement {
            if step > 0 {
                correction.fill(S::default());
                for t in 0..points {
                    assembly.visit_rows(t, true, |row| {
                        self.add_tangent(context, tangents, row, correction)
                    });
                }
            }
            add_normal_residual(&mut assembly, points, direction, RightHandSide::Zero, correction);
            self.factor.solve(correction);
            for (value, &correction) in direction.iter_mut().zip(&*correction) {
                *value += correction;
            }
        }
        self.scatter(context, direction, S::Real::zero(), status, sink);
    }

    /// One row's share of AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az).
    #[inline(always)]
    fn add_tangent(
        &self,
        context: Context<'_, S::Real>,
        tangents: &Tangents<'_, S::Real>,
        row: &Row<'_, S>,
        sum: &mut [S],
    ) {
        let (z, systems, inputs) = (&self.unknowns, self.systems, context.layout.inputs);
        let gather = |array: &ArrayLayout, data: Option<&[S::Real]>, index| {
            data.map_or(S::default(), |data| array.gather(data, systems, index))
        };
        let squared = S::splat(row.weight * row.weight);
        let residual = squared * (row.rhs - row.dot(z));
        let mut d_defect = S::default();
        match row.source {
            Source::Equation { t, e } => {
                d_defect += gather(&inputs.rhs, tangents.rhs, [t, e, 0]);
                for (i, &unknown) in row.unknowns.iter().enumerate() {
                    let value = gather(&inputs.coefficients, tangents.coefficients, [t, e, i]);
                    d_defect -= value * z[unknown];
                    sum[unknown] += value * residual;
                }
            }
            Source::Initial { i, k, j } => {
                d_defect += gather(&inputs.initial_values, tangents.initial_values, [i, k, j]);
            }
            Source::Smoothness { t, k, steps } => {
                let d_length = (t..t + steps)
                    .map(|t| gather(&inputs.steps, tangents.steps, [t, k, 0]))
                    .fold(S::default(), |sum, step| sum + step);
                for (&unknown, &slope) in row.unknowns.iter().zip(row.slopes) {
                    let value = slope * d_length;
                    d_defect -= value * z[unknown];
                    sum[unknown] += value * residual;
                }
            }
            Source::Periodic => {}
        }
        row.scatter(squared * d_defect, sum);
    }

    /// Norms of the weighted defects of every system, by family.
    pub fn residuals(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        status: &[Status],
        origin: usize,
        residuals: &mut [Residuals],
    ) {
        let mut assembly = Assembly::new(context, self.systems, &mut scratch.rows);
        let mut squares = [S::default(); 4];
        for t in 0..context.problem.shape().points {
            assembly.visit_rows(t, false, |row| {
                let defect = S::splat(row.weight) * (row.rhs - row.dot(&self.unknowns));
                squares[row.source.family()] += defect * defect;
            });
        }
        for (lane, system) in self.systems.range().enumerate() {
            let solved = status[system - origin].is_ok();
            let [equation, initial, smoothness, periodic] = squares
                .map(|sum| if solved { sum.lane(lane).sqrt().to_double() } else { f64::NAN });
            residuals[system - origin] = Residuals { equation, initial, smoothness, periodic };
        }
    }

    fn gather_cotangent(
        &self,
        context: Context<'_, S::Real>,
        cotangent: &Cotangent<'_, S::Real>,
        g: &mut [S],
    ) {
        let size = context.layout.values;
        for lane in 0..S::LANES {
            let system = self.systems.system(lane);
            let values = &cotangent.values[system * size..][..size];
            for (g, &value) in g.iter_mut().zip(values) {
                g.set_lane(lane, value);
            }
            if let Some(slack) = context.layout.slack {
                let value = cotangent.epsilon.map_or(S::Real::zero(), |values| values[system]);
                g[slack].set_lane(lane, value);
            }
        }
    }

    /// Which lanes hold a solved system.
    fn live(&self, status: &[Status], origin: usize) -> [bool; 16] {
        let mut live = [false; 16];
        for (lane, system) in self.systems.range().enumerate() {
            live[lane] = status[system - origin].is_ok();
        }
        live
    }
}

/// β of the rows in a normal residual.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RightHandSide {
    Data,
    Zero,
}

/// sum += AᵀW²(β − Az), β = 0 where the system of equations is that of the adjoint.
#[inline(always)]
fn add_normal_residual<S: Packed>(
    assembly: &mut Assembly<'_, S>,
    points: usize,
    z: &[S],
    rhs: RightHandSide,
    sum: &mut [S],
) {
    for t in 0..points {
        assembly.visit_rows(t, false, |row| {
            let target = if rhs == RightHandSide::Data { row.rhs } else { S::default() };
            row.scatter(S::splat(row.weight * row.weight) * (target - row.dot(z)), sum);
        });
    }
}

/// The linear cost −γ·α·ε of the slack puts γα on the right-hand side of M (z, ε) = AᵀW²β + γα e_ε.
fn add_slack_cost<S: Packed>(context: Context<'_, S::Real>, sum: &mut [S]) {
    if let (Formulation::SharedSlack { gamma, alpha }, Some(slack)) =
        (context.options.formulation, context.layout.slack)
    {
        sum[slack] += S::splat(S::Real::of(gamma * alpha));
    }
}

/// What is wrong with the inputs of one system, if anything.
fn input_status<T: Real>(context: Context<'_, T>, system: usize) -> Option<Status> {
    let InputLayout { coefficients, rhs, initial_values, steps } = &context.layout.inputs;
    let problem = context.problem;
    for (argument, array, data) in [
        ("coefficients", coefficients, problem.coefficients),
        ("rhs", rhs, problem.rhs),
        ("initial_values", initial_values, problem.initial_values),
        ("steps", steps, problem.steps),
    ] {
        if array.of(data, system).iter().any(|value| !value.is_finite()) {
            return Some(Status::NonFiniteInput { argument });
        }
    }
    let states = problem.shape().steps[2];
    let place = steps.of(problem.steps, system).iter().position(|&step| step <= T::zero())?;
    Some(Status::InvalidStep { step: place / states })
}
