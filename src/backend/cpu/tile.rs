//! A tile: as many systems as there are lanes, solved and differentiated together.

use super::assembly::{Assembly, Context, Layout, RowBuffers, point_scale};
use super::gradient::{GradientPass, GradientSink};
use super::growth::March;
use super::inputs::TileSystems;
use super::residual::{NormalResidual, RightHandSide, SquaredDefects};
use super::stencil::integer_power;
use super::tangent::TangentPass;
use crate::adjoint::{Cotangent, Tangents};
use crate::banded::lanes::{MOST_LANES, Packed};
use crate::banded::{CovarianceWindow, Factor, RowWindow, Window};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::{Formulation, Options};
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{Residuals, Status};
use num_traits::{Float, Zero};

/// The buffers that tiles use one after another.
pub struct Scratch<S: Packed> {
    elimination: Elimination<S>,
    /// Rows in the precision of the factorization.
    rows: RowBuffers<S>,
    /// Rows in double precision, for residuals and derivatives.
    exact_rows: RowBuffers<S::Double>,
    /// Adjoint g or tangent ż, in the layout of the unknowns.
    direction: Vec<S::Double>,
    /// Right-hand side of M x = rhs.
    rhs: Vec<S::Double>,
    /// Right-hand side and result of a step of refinement.
    correction: Vec<S::Double>,
    covariance: CovarianceWindow<S>,
    /// March that finds the growth of solutions, if rows are to follow it.
    march: Option<March<S::Double>>,
}

/// The window into which rows are absorbed on their way into the factor.
enum Elimination<S: Packed> {
    /// The window of the normal matrix, for Cholesky.
    Cholesky(Window<S>),
    /// The window of the rows themselves, for the square root.
    SquareRoot(RowWindow<S>),
}

impl<S: Packed> Scratch<S> {
    /// Allocates the buffers for tiles of this layout.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let unknowns = layout.banded.unknowns();
        Ok(Scratch {
            elimination: match options.square_root_in::<S::Real>() {
                false => Elimination::Cholesky(Window::new(&layout.banded)?),
                true => Elimination::SquareRoot(RowWindow::new(&layout.banded)?),
            },
            rows: RowBuffers::new(shape, options)?,
            exact_rows: RowBuffers::new(shape, options)?,
            direction: zeros("adjoint", unknowns)?,
            rhs: zeros("right-hand side", unknowns)?,
            correction: zeros("refinement", unknowns)?,
            covariance: CovarianceWindow::new(&layout.banded)?,
            march: options.follow_growth.then(|| March::new(shape, options)).transpose()?,
        })
    }
}

/// The place of the results (B, N, K, Q) and (B) of some consecutive systems.
pub struct SolutionSink<'a, T> {
    /// Number of the first system.
    pub origin: usize,
    /// Values, (systems, N, K, Q).
    pub values: &'a mut [T],
    /// Shared slack, (systems).
    pub epsilon: &'a mut [T],
}

/// The factor and the solution of the systems of one tile.
pub struct Tile<S: Packed> {
    /// The systems in the lanes.
    pub systems: TileSystems,
    factor: Factor<S>,
    /// Unknowns (z_0, ..., z_{N−1}, ε), not rounded to the precision of the problem, so that
    /// derivatives and residuals use every digit that refinement has recovered.
    unknowns: Vec<S::Double>,
    /// Factors of the rows that begin at each point, (N, lanes), where they follow growth; else
    /// empty.
    point_scales: Vec<f64>,
}

impl<S: Packed> Tile<S> {
    /// Allocates a tile for the given systems.
    pub fn new(systems: TileSystems, layout: &Layout) -> Result<Self> {
        Ok(Tile {
            systems,
            point_scales: zeros("growth", layout.scaled_points * S::LANES)?,
            factor: Factor::new(layout.banded)?,
            unknowns: zeros("solution", layout.banded.unknowns())?,
        })
    }

    /// Solves the tile's systems. If rows follow growth, a march finds it. One sweep forward in time assembles the rows block by block,
    /// factorizes and substitutes forward; one sweep back substitutes backward; refinement repeats
    /// the substitution for the residual.
    #[inline(always)]
    pub fn solve(
        &mut self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        sink: &mut SolutionSink<'_, S::Real>,
        status: &mut [Status],
    ) {
        let Scratch { elimination, rows, exact_rows, correction, march, .. } = scratch;
        if let Some(march) = march {
            march.point_scales(context, self.systems, &mut self.point_scales);
        }
        match elimination {
            Elimination::Cholesky(window) => self.factorize(context, rows, window),
            Elimination::SquareRoot(window) => self.factorize_rows(context, rows, window),
        }
        self.factor.check_conditioning(correction);
        let z = &mut self.unknowns;
        self.factor.backward_border(z);
        for t in (0..context.layout.banded.blocks).rev() {
            self.factor.backward(t, z);
        }

        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, exact_rows);
        for _ in 0..context.options.refinement_in::<S::Real>() {
            correction.fill(S::Double::default());
            if let Some(slack) = context.layout.slack {
                correction[slack] += slack_cost(context);
            }
            let data = RightHandSide::Data;
            assembly.visit_rows(false, &mut NormalResidual { z, rhs: data, sum: correction });
            self.factor.solve(correction);
            add(z, correction);
        }
        self.report(context, sink, status);
    }

    /// Computes R of M = RᵀR, and v of Rᵀv = AᵀW²β + γα e_ε, which goes into `unknowns`.
    #[inline(always)]
    fn factorize(
        &mut self,
        context: Context<'_, S::Real>,
        rows: &mut RowBuffers<S>,
        window: &mut Window<S>,
    ) {
        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, rows);
        let v = &mut self.unknowns;
        v.fill(S::Double::default());
        if let Some(slack) = context.layout.slack {
            v[slack] += slack_cost(context);
        }
        self.factor.restart(window);
        for t in 0..context.problem.shape().points {
            assembly.absorb(t, window, v);
            if t < context.layout.banded.blocks {
                self.factor.eliminate(t, window);
                self.factor.forward(t, v);
            }
        }
        self.factor.eliminate_border(window);
        self.factor.forward_border(v);
    }

    /// Computes R of WA = QR, and v = QᵀWβ + R⁻ᵀ γα e_ε, which goes into `unknowns`.
    #[inline(always)]
    fn factorize_rows(
        &mut self,
        context: Context<'_, S::Real>,
        rows: &mut RowBuffers<S>,
        window: &mut RowWindow<S>,
    ) {
        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, rows);
        let Layout { banded, slack, .. } = context.layout;
        let (problem, v) = (context.problem, &mut self.unknowns);
        let (q, systems) = (problem.shape().derivatives(), self.systems);
        let last_step = problem.shape().points - 2;
        let most = (MOST_EXPONENT / q as f64).floor().exp2();
        let point_scales = &self.point_scales;
        let scale = |t: usize, scales: &mut [S]| {
            // Entries of derivative j are of the order step^j, times the factor of the point;
            // entries of the slack are of the order 1.
            let step: S = context.layout.mean_step(problem.inputs.steps, systems, t.min(last_step));
            let length = power_of_two(step, most);
            let of_point: S = point_scale(point_scales, t);
            for (i, scale) in scales.iter_mut().enumerate() {
                *scale = of_point * integer_power(length, (i % q) as i32);
            }
        };
        self.factor.restart_rows(window, scale);
        for t in 0..problem.shape().points {
            assembly.rotate(t, &self.factor, window);
            if t < banded.blocks {
                self.factor.eliminate_rows(t, window, scale, v);
            }
        }
        self.factor.eliminate_border_rows(window, v);
        if let Some(slack) = *slack {
            // The slack's linear cost only changes the last entry of v, because Rᵀ is lower
            // triangular and ε the last unknown.
            v[slack] += self.factor.last_reciprocal() * slack_cost(context);
        }
    }

    /// Writes the status of every system, then the solution: NaN for a system that was not solved.
    fn report(
        &self,
        context: Context<'_, S::Real>,
        sink: &mut SolutionSink<'_, S::Real>,
        status: &mut [Status],
    ) {
        for (lane, system) in self.systems.range().enumerate() {
            let rounded = |value: &S::Double| S::Real::of(value.lane(lane));
            let finite = self.unknowns.iter().all(|value| rounded(value).is_finite());
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

    /// Writes the values of the lanes to their systems, and `instead` for systems that were not
    /// solved.
    fn scatter(
        &self,
        context: Context<'_, S::Real>,
        unknowns: &[S::Double],
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
                *value = if solved { S::Real::of(unknown.lane(lane)) } else { instead };
            }
            sink.epsilon[place] = match context.layout.slack {
                _ if !solved => instead,
                Some(slack) => S::Real::of(unknowns[slack].lane(lane)),
                None => S::Real::zero(),
            };
        }
    }

    /// Computes the gradients of the systems in `live` lanes: solves M g = z̄, then adds every row's
    /// share to the gradients of its inputs.
    #[inline(always)]
    pub fn vjp(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        cotangent: &Cotangent<'_, S::Real>,
        live: &[bool; MOST_LANES],
        sink: &mut GradientSink<'_, f64>,
    ) {
        let Scratch { exact_rows, direction: g, rhs, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, exact_rows);

        self.gather_cotangent(context, cotangent, rhs);
        self.solve_given(context, &mut assembly, rhs, g, correction);
        let mut pass = GradientPass {
            z: &self.unknowns,
            g,
            systems: self.systems,
            live,
            layout: context.layout,
            sink,
            weights: Default::default(),
        };
        assembly.visit_rows(true, &mut pass);
        for (sum, family) in pass.sink.weights.iter_mut().zip(pass.weights) {
            for lane in (0..S::LANES).filter(|&lane| live[lane]) {
                *sum += family.lane(lane);
            }
        }
    }

    /// Computes x = M⁻¹ rhs with the factor of the solve, refined as often as the solution was.
    #[inline(always)]
    fn solve_given(
        &self,
        context: Context<'_, S::Real>,
        assembly: &mut Assembly<'_, S::Double, S::Real>,
        rhs: &[S::Double],
        x: &mut [S::Double],
        correction: &mut [S::Double],
    ) {
        x.copy_from_slice(rhs);
        self.factor.solve(x);
        for _ in 0..context.options.refinement_in::<S::Real>() {
            correction.copy_from_slice(rhs);
            let zero = RightHandSide::Zero;
            let mut residual = NormalResidual { z: x, rhs: zero, sum: correction };
            assembly.visit_rows(false, &mut residual);
            self.factor.solve(correction);
            add(x, correction);
        }
    }

    /// Computes the directional derivative ż from M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az).
    #[inline(always)]
    pub fn jvp(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        tangents: &Tangents<'_, S::Real>,
        status: &[Status],
        sink: &mut SolutionSink<'_, S::Real>,
    ) {
        let Scratch { exact_rows, direction, rhs, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, exact_rows);
        rhs.fill(S::Double::default());
        let mut pass = TangentPass {
            z: &self.unknowns,
            tangents,
            systems: self.systems,
            layout: context.layout,
            sum: rhs,
        };
        assembly.visit_rows(true, &mut pass);
        self.solve_given(context, &mut assembly, rhs, direction, correction);
        self.scatter(context, direction, S::Real::zero(), status, sink);
    }

    /// Computes M⁻¹ q.
    #[inline(always)]
    pub fn inverse(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        q: &Cotangent<'_, S::Real>,
        status: &[Status],
        sink: &mut SolutionSink<'_, S::Real>,
    ) {
        let Scratch { exact_rows, direction, rhs, correction, .. } = scratch;
        let mut assembly = Assembly::new(context, self.systems, &self.point_scales, exact_rows);
        self.gather_cotangent(context, q, rhs);
        self.solve_given(context, &mut assembly, rhs, direction, correction);
        self.scatter(context, direction, S::Real::zero(), status, sink);
    }

    /// Computes the diagonal of M⁻¹.
    #[inline(always)]
    pub fn variances(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        status: &[Status],
        sink: &mut SolutionSink<'_, S::Real>,
    ) {
        let Scratch { covariance, direction, .. } = scratch;
        self.factor.variances(covariance, direction);
        self.scatter(context, direction, S::Real::nan(), status, sink);
    }

    /// Computes the norms of the weighted defects of every system, by family.
    pub fn residuals(
        &self,
        context: Context<'_, S::Real>,
        scratch: &mut Scratch<S>,
        status: &[Status],
        origin: usize,
        residuals: &mut [Residuals],
    ) {
        let mut assembly =
            Assembly::new(context, self.systems, &self.point_scales, &mut scratch.exact_rows);
        let mut defects = SquaredDefects { z: &self.unknowns, sums: Default::default() };
        assembly.visit_rows(false, &mut defects);
        for (lane, system) in self.systems.range().enumerate() {
            let solved = status[system - origin].is_ok();
            let [equation, initial, smoothness, periodic] =
                defects.sums.map(|sum| if solved { sum.lane(lane).sqrt() } else { f64::NAN });
            residuals[system - origin] = Residuals { equation, initial, smoothness, periodic };
        }
    }

    fn gather_cotangent(
        &self,
        context: Context<'_, S::Real>,
        cotangent: &Cotangent<'_, S::Real>,
        g: &mut [S::Double],
    ) {
        let size = context.layout.values;
        for lane in 0..S::LANES {
            let system = self.systems.system(lane);
            let values = &cotangent.values[system * size..][..size];
            for (g, &value) in g.iter_mut().zip(values) {
                g.set_lane(lane, value.to_double());
            }
            if let Some(slack) = context.layout.slack {
                let value = cotangent.epsilon.map_or(S::Real::zero(), |values| values[system]);
                g[slack].set_lane(lane, value.to_double());
            }
        }
    }

    /// Returns which lanes hold a solved system.
    pub fn live(&self, status: &[Status], origin: usize) -> [bool; MOST_LANES] {
        let mut live = [false; MOST_LANES];
        for (lane, system) in self.systems.range().enumerate() {
            live[lane] = status[system - origin].is_ok();
        }
        live
    }
}

/// Computes x += y.
#[inline(always)]
fn add<S: Packed>(x: &mut [S], y: &[S]) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Returns γα, which the linear cost −γ·α·ε of the slack adds to the line of ε in M (z, ε) = AᵀW²β
/// + γα e_ε.
fn slack_cost<T: Real, D: Packed<Real = f64>>(context: Context<'_, T>) -> D {
    match context.options.formulation {
        Formulation::SharedSlack { gamma, alpha } => D::splat(gamma * alpha),
        Formulation::LeastSquares => D::default(),
    }
}

/// The largest exponent of a scale: every precision can hold two to this power, up or down.
const MOST_EXPONENT: f64 = 100.0;

/// Returns the power of two below each lane's length, but at most `most` and at least its
/// reciprocal.
#[inline(always)]
fn power_of_two<S: Packed>(length: S, most: f64) -> S {
    const EXPONENT_BITS: u64 = f64::INFINITY.to_bits();
    let mut power = S::default();
    for lane in 0..S::LANES {
        let bits = length.lane(lane).to_double().to_bits() & EXPONENT_BITS;
        power.set_lane(lane, S::Real::of(f64::from_bits(bits).clamp(1.0 / most, most)));
    }
    power
}

/// Returns what is wrong with the inputs of one system, or `None` if nothing is.
fn input_status<T: Real>(context: Context<'_, T>, system: usize) -> Option<Status> {
    let (layouts, problem) = (&context.layout.inputs, context.problem);
    for (argument, (layout, data)) in Inputs::NAMES.zip(layouts.zip(problem.inputs)) {
        if layout.part(data, system, 1).iter().any(|value| !value.is_finite()) {
            return Some(Status::NonFiniteInput { argument });
        }
    }
    let steps = layouts.steps.part(problem.inputs.steps, system, 1);
    let place = steps.iter().position(|&step| step <= T::zero())?;
    Some(Status::InvalidStep { step: place / context.layout.step_states })
}

#[cfg(test)]
mod tests;
