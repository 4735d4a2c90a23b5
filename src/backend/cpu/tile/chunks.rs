//! One long system, cut at separators into chunks of its time axis, which the lanes have instead of
//! systems.
//!
//! A chunk begins with a separator and ends before the next one. Its other points are eliminated as
//! those of any system, with the separator on the left in the border, and that on the right left
//! over. What remains of all chunks, and of the tail after the last separator, is a block tridiagonal
//! matrix over the separators, which is small.

use super::{
    Scratch, SolutionSink, Tile, input_status, is_certain, norms, sum_of_squares, uncertainty,
};
use crate::backend::cpu::block::Window;
use crate::backend::cpu::gradient::{Gradient, GradientSink, Target, check_below};
use crate::backend::cpu::lanes::{LANES, Vector};
use crate::backend::cpu::layout::{Context, Layout};
use crate::backend::cpu::staging::TileSystems;
use crate::backend::cpu::sweep::{Residual, Sought, Sweep};
use crate::banded::{self, BandedShape, Factor};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::Options;
use crate::real::Values;
use crate::shape::ProblemShape;
use crate::solution::{Residuals, Status};
use std::ops::Range;

/// The number of separators: the first points of the chunks and of the tail.
const SEPARATORS: usize = LANES + 1;

/// A system in chunks.
pub struct Chunks<V> {
    system: usize,
    /// The chunks, and the tail, which all lanes repeat.
    parts: [Part<V>; 2],
    separators: Separators,
}

struct Part<V> {
    layout: Layout,
    tile: Tile<V>,
    scratch: Scratch<V>,
}

/// What is finished in a sweep back: the part, the range of its points, and the solution.
type Finished<'a, V> = (usize, Range<usize>, &'a [V]);

impl<V: Vector> Chunks<V> {
    /// Allocates a system that is cut as these layouts of chunks and tail say.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(
        system: usize,
        shape: &ProblemShape,
        options: &Options,
        [chunk, tail]: [Layout; 2],
    ) -> Result<Self> {
        let part = |layout: Layout, systems: TileSystems| -> Result<Part<V>> {
            let tile = Tile::new(systems, &layout)?;
            Ok(Part { scratch: Scratch::new(shape, options, &layout)?, tile, layout })
        };
        let chunks = TileSystems { first: system, count: 1, start: 0, chunk: chunk.begun };
        let after = TileSystems { start: LANES * chunk.begun, chunk: 0, ..chunks };
        Ok(Chunks {
            system,
            parts: [part(chunk, chunks)?, part(tail, after)?],
            separators: Separators::new(chunk.block)?,
        })
    }

    /// Returns the number of values, in lanes, of factor and solution.
    pub fn values(&self) -> usize {
        self.parts.iter().map(|part| part.tile.values()).sum()
    }

    /// Solves the system.
    #[inline(always)]
    pub fn solve<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        sink: &mut SolutionSink<'_>,
        status: &mut [Status],
    ) {
        let (layout, place) = (context.layout, self.system - sink.origin);
        let found = self.parts.each_mut().map(|Part { layout, tile, scratch }| {
            tile.eliminate::<T, P>(&Context { layout, ..*context }, scratch)
        });
        let [chunks, tail] = &self.parts;
        self.separators.factorize([chunks.remainder(), tail.remainder()]);
        let separator = self.broken_separator::<T, P>(context);
        let (mut wrong, mut broken) = (false, None);
        for (Part { layout, tile, scratch }, found) in self.parts.iter().zip(found) {
            let uncertainty = uncertainty(layout, &scratch.direction, &scratch.whole);
            for lane in 0..tile.systems.lanes() {
                let of_lane = |unknown| tile.systems.point(lane) * layout.block + unknown;
                wrong |= found.data.lane(lane) != 0.0;
                broken = broken.or(found.broken(lane, uncertainty).map(of_lane));
            }
        }
        let broken = broken.or(separator);

        let mut x = self.parts.each_mut().map(|part| std::mem::take(&mut part.tile.unknowns));
        self.separators.solve(self.parts.each_ref().map(|part| &part.layout), &mut x);
        self.substitute_and_store::<T, P>(context, false, &mut x, sink);
        let mut finite = V::default();
        for (part, x) in self.parts.iter_mut().zip(x) {
            check_below(&x, sink.limit, &mut finite);
            part.tile.unknowns = x;
        }

        let block = layout.block;
        let wrong = if wrong { input_status(context, self.system) } else { None };
        let broken = broken
            .map(|unknown| Status::Breakdown { point: unknown / block, pivot: unknown % block });
        let overflow = finite.to_array().iter().any(|lane| *lane != 0.0);
        let overflow = overflow.then_some(Status::Overflow);
        status[place] = wrong.or(broken).or(overflow).unwrap_or(Status::Ok);
        sink.finish::<V>(layout, TileSystems::whole(self.system, 1), &[], status, f64::NAN);
    }

    /// Computes the gradients.
    #[inline(always)]
    pub fn vjp<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        cotangent: [Values<'_>; 2],
        status: &[Status],
        found: &mut [Status],
        sink: &mut GradientSink<'_>,
    ) {
        let place = self.system - sink.origin;
        let live = f64::from(u8::from(status[place].is_ok()));
        for Part { tile, scratch, .. } in &mut self.parts {
            let mut lanes = [0.0; LANES];
            lanes[..tile.systems.lanes()].fill(live);
            scratch.gradient.begin(V::from_array(lanes));
        }
        self.load(cotangent[0]);
        let mut x = self.begin_given::<T, P>(context);
        let streams =
            self.parts.each_ref().map(|part| part.layout.streams(part.tile.systems, sink.origin));
        self.substitute::<T, P>(context, true, &mut x, |sweep, gradient, z, (part, range, g)| {
            sweep.room.points.load(sweep.context, sweep.systems, range.clone());
            let mut target = Target { sink, streams: streams[part] };
            gradient.add_range::<T, P>(sweep, range, z, g, &mut target);
        });
        for ((part, x), streams) in self.parts.iter_mut().zip(x).zip(streams) {
            let mut target = Target { sink, streams };
            let check = part.scratch.gradient.finish(&part.layout, &mut target).to_array();
            if live != 0.0 && check.iter().any(|lane| *lane != 0.0) {
                found[place] = Status::Overflow;
            }
            part.scratch.direction = x;
        }
        if live != 0.0 && !sink.sums_are_finite() {
            found[place] = Status::Overflow;
        }
    }

    /// Computes the directional derivative, as [`Tile::jvp`] does.
    #[inline(always)]
    pub fn jvp<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        inputs: Inputs<Values<'_>>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        for Part { layout, tile, scratch } in &mut self.parts {
            let context = &Context { layout, ..*context };
            tile.add_tangents(context, scratch, inputs);
        }
        self.solve_given::<T, P>(context, status, sink);
    }

    /// Computes M⁻¹ q.
    #[inline(always)]
    pub fn inverse<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        q: Values<'_>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        self.load(q);
        self.solve_given::<T, P>(context, status, sink);
    }

    /// Computes the norms of the weighted defects, by family.
    #[inline(always)]
    pub fn residuals(
        &mut self,
        context: &Context<'_>,
        status: &[Status],
        origin: usize,
        residuals: &mut [Residuals],
    ) {
        let mut total = [0.0; 4];
        for Part { layout, tile, scratch } in &mut self.parts {
            let sums = tile.squared_defects(&Context { layout, ..*context }, scratch);
            for (total, sum) in total.iter_mut().zip(sums) {
                *total += sum.to_array()[..tile.systems.lanes()].iter().sum::<f64>();
            }
        }
        let place = self.system - origin;
        residuals[place] = norms(total, status[place]);
    }

    /// Brings a vector (N, K, Q) over the points where rows begin into the right-hand sides.
    fn load(&mut self, values: Values<'_>) {
        for Part { layout, tile, scratch } in &mut self.parts {
            scratch.rhs.fill(V::default());
            layout.solution_streams(tile.systems, 0).load(
                values,
                0,
                layout.begun,
                &mut scratch.rhs,
            );
        }
    }

    /// Substitutes forward the right-hand sides, and solves the system of the separators. The vectors
    /// returned are those of the scratches.
    #[inline(always)]
    fn begin_given<const T: usize, const P: usize>(&mut self, context: &Context<'_>) -> [Vec<V>; 2] {
        let mut x = self.parts.each_mut().map(|part| std::mem::take(&mut part.scratch.direction));
        for (Part { layout, tile, scratch }, x) in self.parts.iter_mut().zip(&mut x) {
            let Scratch { room, rhs, .. } = scratch;
            let context = &Context { layout, ..*context };
            sweep!(tile, context, room).forward::<T, P>(Some(rhs), None, x);
        }
        self.separators.solve(self.parts.each_ref().map(|part| &part.layout), &mut x);
        x
    }

    /// Solves M x = rhs and writes x.
    #[inline(always)]
    fn solve_given<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let mut x = self.begin_given::<T, P>(context);
        self.substitute_and_store::<T, P>(context, true, &mut x, sink);
        for (part, x) in self.parts.iter_mut().zip(x) {
            part.scratch.direction = x;
        }
        let system = TileSystems::whole(self.system, 1);
        sink.finish::<V>(context.layout, system, &[], status, 0.0);
    }

    /// Substitutes as [`substitute`](Self::substitute) does, and writes x.
    #[inline(always)]
    fn substitute_and_store<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        given: bool,
        x: &mut [Vec<V>; 2],
        sink: &mut SolutionSink<'_>,
    ) {
        let streams = self
            .parts
            .each_ref()
            .map(|part| part.layout.solution_streams(part.tile.systems, sink.origin));
        self.substitute::<T, P>(context, given, x, |sweep, _, _, (part, range, x)| {
            sink.store(sweep.context.layout, &streams[part], range, x);
        });
    }

    /// Substitutes backward and refines, as [`Sweep::substitute`] does; the right-hand side is that
    /// of the scratch if it is `given`.
    #[inline(always)]
    fn substitute<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        given: bool,
        x: &mut [Vec<V>; 2],
        mut finish: impl FnMut(&mut Sweep<'_, V>, &mut Gradient<V>, &[V], Finished<'_, V>),
    ) {
        let Chunks { parts, separators, .. } = self;
        let last = context.options.refinement();
        for step in 0..=last {
            if step > 0 {
                for (Part { layout, tile, scratch }, x) in parts.iter_mut().zip(&*x) {
                    let Scratch { room, rhs, correction, .. } = scratch;
                    let residual = Some(Residual { x, data: !given });
                    let context = &Context { layout, ..*context };
                    let given = given.then_some(&rhs[..]);
                    sweep!(tile, context, room).forward::<T, P>(given, residual, correction);
                }
                let mut corrections =
                    parts.each_mut().map(|part| std::mem::take(&mut part.scratch.correction));
                let layouts = parts.each_ref().map(|part| &part.layout);
                separators.solve(layouts, &mut corrections);
                for (part, correction) in parts.iter_mut().zip(corrections) {
                    part.scratch.correction = correction;
                }
            }
            for (number, (Part { layout, tile, scratch }, x)) in
                parts.iter_mut().zip(&mut *x).enumerate()
            {
                let Scratch { room, correction, gradient, .. } = scratch;
                let context = &Context { layout, ..*context };
                let correction = (step > 0).then_some(&mut correction[..]);
                let z = &tile.unknowns;
                let mut finish = |sweep: &mut Sweep<'_, V>, range: Range<usize>, x: &[V]| {
                    if step == last {
                        finish(sweep, gradient, z, (number, range, x));
                    }
                };
                sweep!(tile, context, room).back::<T, P>(x, correction, None, &mut finish);
            }
        }
    }

    /// Returns the unknown whose pivot broke down among the separators, if one did, or else is not
    /// certain: as in a tile, x = R⁻¹e_k is found for the weakest pivot k. The probes that the elimination of
    /// the parts has begun are finished with it.
    #[inline(always)]
    fn broken_separator<const T: usize, const P: usize>(&mut self, context: &Context<'_>) -> Option<usize> {
        let Chunks { parts, separators, .. } = self;
        let (chunk, block) = (parts[0].layout.begun, context.layout.block);
        let unknown = |weakest: usize| weakest / block * chunk * block + weakest % block;
        let breakdown = separators.factor.breakdown();
        let breakdown = breakdown.map(|at| unknown(at.block * block + at.pivot));
        // After a breakdown only the other probes are finished; that of the separators is of no account.
        let weakest = if breakdown.is_none() { separators.begin_probe() } else { 0 };
        let mut sum = separators.sum_of_squares();
        for Part { layout, tile, scratch } in parts {
            let Scratch { room, correction: x, direction: probe, whole, .. } = scratch;
            x.fill(V::default());
            separators.scatter(layout, x);
            let context = &Context { layout, ..*context };
            let probes = Sought::Probes([x, probe]);
            sweep!(tile, context, room).backward::<T, P>(0..layout.chain, probes);
            let of_lanes = sum_of_squares(x, whole).to_array();
            sum += of_lanes[..tile.systems.lanes()].iter().sum::<f64>();
        }
        breakdown.or_else(|| (!is_certain(f64::EPSILON * sum)).then(|| unknown(weakest)))
    }
}

impl<V: Vector> Part<V> {
    /// Returns what elimination has left.
    fn remainder(&self) -> (&Layout, &Window<V>) {
        (&self.layout, self.scratch.elimination.window())
    }
}

/// The matrix over the separators, the rest of the system being eliminated.
struct Separators {
    factor: Factor,
    window: banded::Window,
    /// Right-hand side and solution.
    values: Vec<f64>,
    /// Diagonal of M.
    whole: Vec<f64>,
}

impl Separators {
    fn new(block: usize) -> Result<Self> {
        let shape = BandedShape { blocks: SEPARATORS, block, groups: 1, bandwidth: 1, border: 0 };
        Ok(Separators {
            window: banded::Window::new(&shape)?,
            factor: Factor::new(shape)?,
            values: zeros("separators", SEPARATORS * block)?,
            whole: zeros("separators", SEPARATORS * block)?,
        })
    }

    /// Factorizes what elimination has left of the chunks and of the tail.
    fn factorize<V: Vector>(&mut self, [chunks, tail]: [(&Layout, &Window<V>); 2]) {
        let Separators { factor, window, whole, .. } = self;
        let p = chunks.0.block;
        let absorbed = factor.factorize(window, |separator, to| {
            if separator == SEPARATORS {
                return Ok(());
            }
            let own = &mut whole[separator * p..][..p];
            let ((layout, left), lane) = match separator {
                LANES => (tail, 0),
                _ => (chunks, separator),
            };
            let (n, border) = (layout.window(), 2 * p);
            for i in 0..p {
                own[i] = left.whole_entry(n, border + i).lane(lane);
                for j in i..p {
                    to.add(i, j, left.entries[(border + i) * n + border + j].lane(lane));
                }
                if separator < LANES {
                    for j in 0..p {
                        to.add(i, p + j, left.entries[j * n + border + i].lane(lane));
                    }
                }
                if separator > 0 {
                    let (right, lane) = (chunks.1, separator - 1);
                    own[i] += right.whole_entry(n, i).lane(lane);
                    for j in i..p {
                        to.add(i, j, right.entries[i * n + j].lane(lane));
                    }
                }
            }
            Ok(())
        });
        debug_assert!(absorbed.is_ok());
    }

    /// Solves the system of the separators, whose right-hand sides forward substitution has left in
    /// x, and writes them there.
    #[inline(always)]
    fn solve<V: Vector>(&mut self, layouts: [&Layout; 2], x: &mut [Vec<V>; 2]) {
        let p = layouts[0].block;
        self.values.fill(0.0);
        for (part, (layout, x)) in layouts.into_iter().zip(&*x).enumerate() {
            let lanes = if part == 0 { 0..LANES } else { LANES..SEPARATORS };
            for (lane, separator) in lanes.enumerate() {
                for i in 0..p {
                    self.values[separator * p + i] += x[layout.first_border() + i].lane(lane);
                    if part == 0 {
                        self.values[(separator + 1) * p + i] += x[layout.chain * p + i].lane(lane);
                    }
                }
            }
        }
        self.factor.solve(&mut self.values);
        for (layout, x) in layouts.into_iter().zip(x) {
            self.scatter(layout, x);
        }
    }

    /// Writes the values of the separators to the places before and after the chain.
    #[inline(always)]
    fn scatter<V: Vector>(&self, layout: &Layout, x: &mut [V]) {
        let p = layout.block;
        let chunks = layout.chain < layout.points;
        for i in 0..p {
            let (mut left, mut right) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                let separator = if chunks { lane } else { LANES };
                left[lane] = self.values[separator * p + i];
                if chunks {
                    right[lane] = self.values[(separator + 1) * p + i];
                }
            }
            x[i] = V::from_array(left);
            if chunks {
                x[layout.chain * p + i] = V::from_array(right);
            }
            x[layout.first_border() + i] = V::from_array(left);
        }
    }

    /// Sets the values to R⁻¹e_k for the weakest pivot k, which is returned. Zero stands for those that
    /// have decayed: Σ M_ii x_i² is at least one.
    fn begin_probe(&mut self) -> usize {
        let p = self.factor.shape().block;
        let ratio = |k: usize| self.whole[k] * self.factor.reciprocal(k / p, k % p).powi(2);
        let weaker = |k: usize, other: usize| if ratio(other) > ratio(k) { other } else { k };
        let weakest = (0..self.whole.len()).fold(0, weaker);
        self.values.fill(0.0);
        self.values[weakest] = 1.0;
        self.factor.substitute(&mut self.values);
        for (x, whole) in self.values.iter_mut().zip(&self.whole) {
            if whole * *x * *x < f64::EPSILON.powi(4) {
                *x = 0.0;
            }
        }
        weakest
    }

    /// Returns Σ M_ii x_i² over the separators.
    fn sum_of_squares(&self) -> f64 {
        self.values.iter().zip(&self.whole).map(|(x, whole)| whole * x * x).sum()
    }
}
