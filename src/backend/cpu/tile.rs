//! A tile: eight systems that are solved and differentiated together, one in each lane.

use super::block::Window;
use super::cholesky;
use super::gradient::{Gradient, GradientSink, Target, check_below};
use super::growth::March;
use super::lanes::{LANES, Vector};
use super::layout::{Context, Layout};
use super::pivots::Pivots;
use super::points::Points;
use super::square_root::{self, RowWindow};
use super::staging::{Source, Streams, TileSystems};
use super::sweep::probe::{Probe, Probes};
use super::sweep::{Factor, Room, Sweep};
use super::tangent::{add_squared_defects, add_tangent};
use super::variances::{CovarianceWindow, variances};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::Options;
use crate::real::{Values, ValuesMut};
use crate::shape::ProblemShape;
use crate::solution::{Residuals, Status};
use std::ops::Range;

/// The buffers that tiles use one after another.
pub struct Scratch<V> {
    room: Room<V>,
    elimination: Elimination<V>,
    /// Diagonal of M, in the layout of the unknowns.
    whole: Vec<V>,
    /// Adjoint g or tangent ż, in the layout of the unknowns.
    direction: Vec<V>,
    /// Probe of the weakest pivot, and of parts of a system that of the separators.
    probes: [Probe<V>; 2],
    /// Right-hand side of M x = rhs.
    rhs: Vec<V>,
    /// Result of a step of refinement.
    correction: Vec<V>,
    gradient: Gradient<V>,
    /// Derivatives of the inputs.
    tangents: Points<V>,
    covariance: CovarianceWindow<V>,
    /// March that finds the growth of solutions, if rows are to follow it.
    march: Option<March<V>>,
}

/// The window into which rows are absorbed on their way into the factor.
enum Elimination<V> {
    /// The window of the normal matrix, for Cholesky.
    Cholesky(Window<V>),
    /// The window of the rows themselves, for the square root.
    SquareRoot(RowWindow<V>),
}

impl<V> Elimination<V> {
    /// Returns the window of the normal matrix.
    fn window(&self) -> &Window<V> {
        match self {
            Elimination::Cholesky(window) => window,
            Elimination::SquareRoot(_) => unreachable!("only what Cholesky factorizes is cut"),
        }
    }
}

impl<V: Vector> Scratch<V> {
    /// Allocates the buffers for tiles of this layout.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let unknowns = layout.unknowns();
        Ok(Scratch {
            room: Room::new(shape, (options, layout))?,
            elimination: match layout.square_root {
                false => Elimination::Cholesky(Window::new(
                    layout.window(),
                    layout.block.max(layout.border),
                )?),
                true => Elimination::SquareRoot(RowWindow::new(layout)?),
            },
            whole: zeros("factor", unknowns)?,
            direction: zeros("adjoint", unknowns)?,
            probes: [Probe::new(layout)?, Probe::new(layout)?],
            rhs: zeros("right-hand side", unknowns)?,
            correction: zeros("refinement", unknowns)?,
            gradient: Gradient::new(layout)?,
            tangents: Points::new(layout)?,
            covariance: CovarianceWindow::new(layout)?,
            march: options.follow_growth.then(|| March::new(layout)).transpose()?,
        })
    }
}

/// The place of the results (B, N, K, Q) and (B) of some consecutive systems.
pub struct SolutionSink<'a> {
    /// Number of the first system.
    pub origin: usize,
    /// Values, (systems, N, K, Q).
    pub values: ValuesMut<'a>,
    /// Shared slack, (systems), if it is wanted.
    pub epsilon: Option<ValuesMut<'a>>,
    /// Magnitude from which on a number is not finite in these arrays.
    pub limit: f64,
}

impl SolutionSink<'_> {
    /// Returns the places of the values before and after this one of a single system.
    fn halves(&mut self, middle: usize) -> [SolutionSink<'_>; 2] {
        let (origin, limit) = (self.origin, self.limit);
        let halves = self.values.split_at(middle);
        halves.map(|values| SolutionSink { origin, values, epsilon: None, limit })
    }

    /// Writes the values of a range of points from x, the unknowns.
    #[inline(always)]
    fn store<V: Vector>(
        &mut self,
        layout: &Layout,
        streams: &Streams,
        range: Range<usize>,
        x: &[V],
    ) {
        let (p, first, count) = (layout.block, range.start, range.len());
        streams.store(&mut self.values, first, count, &x[first * p..]);
    }

    /// Writes the slack, if there is one, and `instead` to all numbers of systems that were not
    /// solved.
    fn finish<V: Vector>(
        &mut self,
        layout: &Layout,
        systems: TileSystems,
        x: &[V],
        status: &[Status],
        instead: f64,
    ) {
        for (lane, system) in systems.range().enumerate() {
            let place = system - self.origin;
            let solved = status[place].is_ok();
            if let Some(to) = &mut self.epsilon {
                let epsilon = layout.slack.map_or(0.0, |slack| x[slack].lane(lane));
                to.fill(place..place + 1, if solved { epsilon } else { instead });
            }
            if !solved {
                let size = layout.values();
                self.values.fill(place * size..(place + 1) * size, instead);
            }
        }
    }
}

/// The factor and the solution of the systems of one tile.
pub struct Tile<V> {
    systems: TileSystems,
    /// Factor, empty where all systems of the batch have one.
    factor: Vec<V>,
    /// Unknown whose pivot broke down or is not certain in the factor, in each lane, if one is.
    broken: [Option<usize>; LANES],
    /// Unknowns, not rounded to the precision of the problem.
    unknowns: Vec<V>,
    /// Factors of the rows that begin at each point, (N), where they follow growth; else empty.
    scales: Vec<V>,
}

/// Makes a sweep over a tile's systems.
macro_rules! sweep {
    ($tile:expr, $context:expr, $room:expr) => {
        $crate::backend::cpu::sweep::Sweep {
            context: $context,
            systems: $tile.systems,
            factor: match $context.shared {
                Some(shared) => $crate::backend::cpu::sweep::Factor::Shared(&shared.values),
                None => $crate::backend::cpu::sweep::Factor::Own(&$tile.factor),
            },
            scales: &$tile.scales,
            room: $room,
        }
    };
}

/// What elimination has found out about the systems in the lanes.
struct Found<V> {
    /// Zero where the data are finite and the steps positive, else NaN.
    data: V,
    pivots: Pivots<V>,
}

impl<V: Vector> Found<V> {
    /// Returns the unknown whose pivot broke down in a lane, or is not certain, if one is, given its
    /// [`uncertainty`].
    fn broken(&self, lane: usize, uncertainty: V) -> Option<usize> {
        let weakest = self.pivots.weakest.unknown.lane(lane) as usize;
        let certain = is_certain(uncertainty.lane(lane));
        self.pivots.broken[lane].or((!certain).then_some(weakest))
    }
}

/// Returns whether a matrix whose weakest pivot is so uncertain, relative to it, does not count as
/// singular. NaN does.
fn is_certain(uncertainty: f64) -> bool {
    uncertainty < 1.0 / 16.0
}

impl<V: Vector> Tile<V> {
    /// Allocates a tile for the given systems, with a factor of its own.
    pub fn new(systems: TileSystems, layout: &Layout) -> Result<Self> {
        let factor = zeros("factor", layout.factor_values())?;
        Ok(Tile { factor, ..Tile::without_factor(systems, layout)? })
    }

    /// Allocates a tile that computes with the factor of another.
    pub fn without_factor(systems: TileSystems, layout: &Layout) -> Result<Self> {
        Ok(Tile {
            systems,
            scales: zeros("growth", layout.scaled_points)?,
            factor: Vec::new(),
            broken: [None; LANES],
            unknowns: zeros("solution", layout.unknowns())?,
        })
    }

    /// Returns the number of values, in lanes, of factor and solution.
    pub fn values(&self) -> usize {
        self.factor.len() + self.unknowns.len()
    }

    /// Multiplies the values of the factor, which is wrong then.
    #[cfg(test)]
    pub fn scale_factor(&mut self, by: f64) {
        self.factor.iter_mut().for_each(|value| *value = *value * V::splat(by));
    }

    /// Factorizes and substitutes forward, in one sweep forward in time that assembles the rows block
    /// by block. If rows follow growth, a march finds it before. The probe of the weakest pivot begins, its
    /// border being solved.
    #[inline(always)]
    fn eliminate<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
    ) -> Found<V> {
        let Scratch { room, elimination, whole, probes, march, .. } = scratch;
        if let Some(march) = march {
            march.point_scales(context, self.systems, room, &mut self.scales);
        }
        let mut pivots = Pivots::default();
        let Tile { systems, factor, unknowns: v, scales, .. } = self;
        let none = Factor::Own(&[]);
        let sweep = Sweep { context, systems: *systems, factor: none, scales, room };
        let data = match elimination {
            Elimination::Cholesky(window) => {
                cholesky::factorize::<V, T, P>(sweep, factor, window, &mut pivots, whole, v)
            }
            Elimination::SquareRoot(window) => {
                square_root::factorize(sweep, factor, window, &mut pivots, whole, v)
            }
        };
        let sweep = sweep!(self, context, room);
        let solve = |border: &mut [V]| sweep.border_backward(border);
        probes[0].begin(context.layout, pivots.weakest.unknown, whole, solve);
        Found { data, pivots }
    }

    /// Solves the tile's systems: elimination, or substitution forward where there is a factor already, that of
    /// all systems or the tile's, which was `kept`, and one sweep back that substitutes backward; refinement
    /// repeats the substitution for the residual.
    #[inline(always)]
    pub fn solve<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        kept: bool,
        sink: &mut SolutionSink<'_>,
        status: &mut [Status],
    ) {
        let (layout, systems) = (context.layout, self.systems);
        let found = match context.shared {
            None if !kept => Some(self.eliminate::<T, P>(context, scratch)),
            _ => None,
        };
        let mut z = std::mem::take(&mut self.unknowns);
        let Scratch { room, correction, probes: [probe, _], whole, .. } = scratch;
        let mut sweep = sweep!(self, context, room);
        let streams = layout.solution_streams(systems, sink.origin);
        let store = |_: &mut Sweep<'_, V>, range: Range<usize>, z: &[V]| {
            sink.store(layout, &streams, range, z);
        };
        let data = if let Some(found) = found {
            sweep.border_backward(&mut z[layout.first_border()..]);
            let mut probes = Probes { whole, of: std::slice::from_mut(probe) };
            sweep.substitute::<T, P>(None, &mut z, correction, &mut probes, store);
            let uncertainty = uncertainty(layout, probe.sum_of_squares());
            self.broken = std::array::from_fn(|lane| found.broken(lane, uncertainty));
            found.data
        } else {
            sweep.solve::<T, P>(None, &mut z, correction, store)
        };
        let broken = context.shared.map_or(self.broken, |shared| [shared.broken; LANES]);
        let mut finite = V::default();
        check_below(&z, sink.limit, &mut finite);

        for (lane, system) in systems.range().enumerate() {
            let wrong = if data.lane(lane) == 0.0 { None } else { input_status(context, system) };
            let block = layout.block;
            status[system - sink.origin] = match (wrong, broken[lane]) {
                (Some(wrong), _) => wrong,
                (None, Some(unknown)) => {
                    Status::Breakdown { point: unknown / block, pivot: unknown % block }
                }
                (None, None) if finite.lane(lane) != 0.0 => Status::Overflow,
                (None, None) => Status::Ok,
            };
        }
        sink.finish(layout, systems, &z, status, f64::NAN);
        self.unknowns = z;
    }

    /// Computes the gradients: solves M g = z̄, then adds every row's share to the gradients of its
    /// inputs. Systems whose shares are not finite are marked in `found`. Cotangents and gradients are those of
    /// `derived`, or of the tile's systems ([`Tile::derived`]).
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "what is derived, and where results go")]
    pub fn vjp<const T: usize, const P: usize>(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        derived: Option<TileSystems>,
        cotangent: [Values<'_>; 2],
        status: &[Status],
        found: &mut [Status],
        sink: &mut GradientSink<'_>,
    ) {
        let (layout, z) = (context.layout, &self.unknowns);
        let Scratch { room, direction: g, rhs, correction, gradient, .. } = scratch;
        let (origin, derived) = (sink.origin, self.derived(derived));
        let live = live(derived, status, origin);
        load_cotangent(layout, derived, cotangent, rhs);
        let mut target = Target::new(layout, derived, sink);
        let mut sweep = sweep!(self, context, room);
        gradient.begin(layout, live);
        sweep.solve::<T, P>(Some(rhs), g, correction, |sweep, range, g| {
            sweep.room.points.load(context, self.systems, range.clone());
            gradient.add_range::<T, P>(sweep, range, z, g, &mut target);
        });
        let check = gradient.finish(layout, &mut target);
        for (lane, system) in derived.range().enumerate() {
            if live.lane(lane) != 0.0 && check.lane(lane) != 0.0 {
                found[system - origin] = Status::Overflow;
            }
        }
    }

    /// Returns what the lanes of derivatives belong to, the tile's systems; or else what is `derived` of these,
    /// if there are several derivatives of fewer systems than there are lanes: those of the first derivative,
    /// those of the second and so on, as the lanes repeat the systems.
    #[inline(always)]
    fn derived(&self, derived: Option<TileSystems>) -> TileSystems {
        derived.unwrap_or(self.systems)
    }

    /// Computes the directional derivative ż from M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az). Tangents are those of
    /// `derived`, or of the tile's systems.
    #[inline(always)]
    pub fn jvp(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        derived: Option<TileSystems>,
        inputs: Inputs<Source<'_>>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let derived = self.derived(derived);
        self.add_tangents(context, scratch, derived, inputs);
        let Scratch { room, direction: x, rhs, correction, .. } = scratch;
        let sweep = &mut sweep!(self, context, room);
        self.solve_given(sweep, derived, rhs, x, correction, status, sink);
    }

    /// Computes the right-hand side AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az).
    #[inline(always)]
    fn add_tangents(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        derived: TileSystems,
        inputs: Inputs<Source<'_>>,
    ) {
        let Scratch { room, rhs, tangents, .. } = scratch;
        let moved = Context { inputs, ..*context };
        let mut sweep = sweep!(self, context, room);
        rhs.fill(V::default());
        sweep.room.points.begin(context, self.systems, &self.scales);
        tangents.begin(&moved, derived, &self.scales);
        for range in context.layout.ranges() {
            sweep.room.points.load(context, self.systems, range.clone());
            tangents.load(&moved, derived, range.clone());
            for t in range {
                add_tangent(&mut sweep, tangents, t, &self.unknowns, rhs);
            }
        }
    }

    /// Computes M⁻¹ q.
    #[inline(always)]
    pub fn inverse(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        q: [Values<'_>; 2],
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let Scratch { room, direction: x, rhs, correction, .. } = scratch;
        load_cotangent(context.layout, self.systems, q, rhs);
        let sweep = &mut sweep!(self, context, room);
        self.solve_given(sweep, self.systems, rhs, x, correction, status, sink);
    }

    /// Solves M x = rhs and writes x for what is `derived`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "buffers, and where results go")]
    fn solve_given(
        &self,
        sweep: &mut Sweep<'_, V>,
        derived: TileSystems,
        rhs: &[V],
        x: &mut [V],
        correction: &mut [V],
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let layout = sweep.context.layout;
        let streams = layout.solution_streams(derived, sink.origin);
        sweep.solve::<1, 0>(Some(rhs), x, correction, |_, range, x| {
            sink.store(layout, &streams, range, x);
        });
        sink.finish(layout, derived, x, status, 0.0);
    }

    /// Computes the diagonal of M⁻¹.
    #[inline(always)]
    pub fn variances(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let layout = context.layout;
        let Scratch { room, covariance, direction, .. } = scratch;
        variances(&mut sweep!(self, context, room), covariance, direction);
        let streams = layout.solution_streams(self.systems, sink.origin);
        sink.store(layout, &streams, 0..layout.points, direction);
        sink.finish(layout, self.systems, direction, status, f64::NAN);
    }

    /// Computes the norms of the weighted defects of every system, by family.
    #[inline(always)]
    pub fn residuals(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch<V>,
        status: &[Status],
        origin: usize,
        residuals: &mut [Residuals],
    ) {
        let sums = self.squared_defects(context, scratch);
        for (lane, system) in self.systems.range().enumerate() {
            let place = system - origin;
            residuals[place] = norms(sums.map(|sum| sum.lane(lane)), status[place]);
        }
    }

    /// Computes the sums of squares of the weighted defects, by family.
    #[inline(always)]
    fn squared_defects(&self, context: &Context<'_>, scratch: &mut Scratch<V>) -> [V; 4] {
        let mut sweep = sweep!(self, context, &mut scratch.room);
        let mut sums = [V::default(); 4];
        sweep.room.points.begin(context, self.systems, &self.scales);
        for range in context.layout.ranges() {
            sweep.room.points.load(context, self.systems, range.clone());
            for t in range {
                add_squared_defects(&mut sweep, t, &self.unknowns, &mut sums);
            }
        }
        sums
    }
}

/// Brings a vector over the unknowns, values (B, N, K, Q) and slack (B), into lanes.
fn load_cotangent<V: Vector>(
    layout: &Layout,
    systems: TileSystems,
    [values, epsilon]: [Values<'_>; 2],
    to: &mut [V],
) {
    to[layout.first_border()..].fill(V::default());
    layout.solution_streams(systems, 0).load(values, 0, layout.points, to);
    if let Some(slack) = layout.slack {
        let of_lane = |lane| epsilon.get(systems.system(lane)).unwrap_or(0.0);
        to[slack] = V::from_array(std::array::from_fn(of_lane));
    }
}

/// Returns one in the lanes that hold a solved system, zero in the others.
fn live<V: Vector>(systems: TileSystems, status: &[Status], origin: usize) -> V {
    let mut live = [0.0; LANES];
    for (lane, system) in systems.range().enumerate() {
        live[lane] = f64::from(u8::from(status[system - origin].is_ok()));
    }
    V::from_array(live)
}

/// Returns how uncertain the weakest pivot k of each lane is (relative to the diagonal of M): the matrix may be
/// singular to working precision though no pivot was lost. `sum` is Σ_i M_ii x_i² of the probe x = R⁻¹e_k.
///
/// The probe has xᵀMx = 1 and is large along the direction that M determines least. Rounding of M leaves
/// an uncertainty of about ε Σ_i M_ii x_i² in xᵀMx, rounding of the rows one of ε √(Σ_i M_ii x_i²) in
/// ‖WAx‖; where that reaches the order of 1, the pivot is noise.
#[inline(always)]
fn uncertainty<V: Vector>(layout: &Layout, sum: V) -> V {
    let epsilon = V::splat(f64::EPSILON);
    if layout.square_root { epsilon * sum.sqrt() } else { epsilon * sum }
}

/// Returns the norms whose squares are given, by family; NaN for a system that is not solved.
fn norms(squares: [f64; 4], status: Status) -> Residuals {
    let root = |square: f64| if status.is_ok() { square.sqrt() } else { f64::NAN };
    let [equation, initial, smoothness, periodic] = squares.map(root);
    Residuals { equation, initial, smoothness, periodic }
}

/// Returns what is wrong with the inputs of one system, or `None` if nothing is.
#[cold]
fn input_status(context: &Context<'_>, system: usize) -> Option<Status> {
    let first = |input: Source<'_>, wrong: fn(f64) -> bool| {
        let mut places = input.places.of_values(system);
        places.position(|place| input.values.get(place).is_some_and(wrong))
    };
    for (argument, input) in Inputs::NAMES.zip(context.inputs) {
        if first(input, |value| !value.is_finite()).is_some() {
            return Some(Status::NonFiniteInput { argument });
        }
    }
    let place = first(context.inputs.steps, |step| step <= 0.0)?;
    Some(Status::InvalidStep { step: place / context.layout.step_states })
}

pub mod chunks;
pub mod leader;

#[cfg(test)]
mod tests;
