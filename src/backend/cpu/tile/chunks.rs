//! One long system, cut at separators into chunks of its time axis, which the lanes have instead of
//! systems.
//!
//! A chunk begins with a separator and ends before the next one. Its other points are eliminated as
//! those of any system, with the separator on the left in the border, and that on the right left
//! over. What remains of all chunks, and of the tail after the last separator, is a block tridiagonal
//! matrix over the separators, which is small.
//!
//! A very long system has two sets of chunks, and a thread for each half of it: what a thread does with one
//! is in [`half`], what ties them together here. How a system is cut depends on its length alone.

use super::{SolutionSink, input_status, is_certain, norms};
use crate::backend::cpu::gradient::{GradientSink, OtherSums};
use crate::backend::cpu::lanes::{LANES, Vector};
use crate::backend::cpu::layout::{Context, Cut};
use crate::backend::cpu::staging::{Source, TileSystems};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::real::Values;
use crate::shape::ProblemShape;
use crate::solution::{Residuals, Status};
use crate::threads;
use half::{Half, OnHalf, Part, Sink, Task, Which};
use separators::Separators;

/// A system in chunks.
pub struct Chunks<V> {
    system: usize,
    halves: Vec<Half<V>>,
    separators: Separators,
    /// What the second half adds up, if there is one.
    sums: OtherSums,
}

impl<V> Chunks<V> {
    /// Returns the number of sets of chunks, each with a thread of its own.
    pub fn sets(&self) -> usize {
        self.halves.len()
    }
}

impl<V: Vector> Chunks<V> {
    /// Allocates a system that is cut so.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(system: usize, shape: &ProblemShape, options: &Options, cut: &Cut) -> Result<Self> {
        let half = |set| Half::new(system, shape, options, cut, set);
        Ok(Chunks {
            system,
            halves: (0..cut.sets).map(half).collect::<Result<_>>()?,
            separators: Separators::new(cut.sets * LANES + 1, cut.chunk.block)?,
            sums: if cut.sets > 1 { OtherSums::new(&cut.chunk)? } else { OtherSums::default() },
        })
    }

    /// Returns the number of values, in lanes, of factor and solution.
    pub fn values(&self) -> usize {
        self.parts().map(|part| part.tile.values()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &Part<V>> {
        self.halves.iter().flat_map(|half| &half.parts)
    }

    /// Returns the first point of the second half.
    fn middle(&self, context: &Context<'_>) -> usize {
        self.halves.get(1).map_or(context.layout.points, |half| half.start)
    }

    /// Solves the system.
    #[inline(always)]
    pub fn solve<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        sink: &mut SolutionSink<'_>,
        status: &mut [Status],
    ) {
        let block = context.layout.block;
        self.each::<T, P>(context, [Task::Eliminate, Task::Eliminate]);
        self.separators.factorize(&self.halves);
        let broken = self.separators.begin_probe(&mut self.halves);
        let sinks = sink.halves(self.middle(context) * block).map(Sink::Solution);
        self.substitute::<T, P>(context, Which::Unknowns, sinks);

        let found = || self.parts().map(|part| &part.found);
        let of_separators = self.separators.sum_of_squares();
        let sum = found().fold(of_separators, |sum, found| sum + found.probe);
        let separator =
            broken.unwrap_or_else(|weakest| (!is_certain(f64::EPSILON * sum)).then_some(weakest));
        let wrong = found().any(|found| found.wrong);
        let wrong = if wrong { input_status(context, self.system) } else { None };
        let broken = found().find_map(|found| found.broken).or(separator);
        let broken = broken
            .map(|unknown| Status::Breakdown { point: unknown / block, pivot: unknown % block });
        let overflow = found().any(|found| found.overflow).then_some(Status::Overflow);
        status[self.system - sink.origin] = wrong.or(broken).or(overflow).unwrap_or(Status::Ok);
        self.finish(context, status, sink, f64::NAN);
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
        let live = status[place].is_ok();
        self.each::<T, P>(context, [cotangent[0]; 2].map(Task::Given));
        let middle = self.middle(context);
        let mut sums = std::mem::take(&mut self.sums);
        let sinks = sink.halves(context.layout, middle, &mut sums);
        self.substitute::<T, P>(
            context,
            Which::Direction,
            sinks.map(|sink| Sink::Gradient(sink, f64::from(u8::from(live)))),
        );
        if self.halves.len() > 1 {
            sink.add(&sums);
        }
        self.sums = sums;
        let overflow = self.parts().any(|part| part.found.overflow);
        if live && (overflow || !sink.sums_are_finite()) {
            found[place] = Status::Overflow;
        }
    }

    /// Computes the directional derivative, as [`Tile::jvp`](super::Tile::jvp) does.
    #[inline(always)]
    pub fn jvp<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        inputs: Inputs<Source<'_>>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        self.each::<T, P>(context, [inputs; 2].map(Task::Tangents));
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
        self.each::<T, P>(context, [q; 2].map(Task::Given));
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
        for Part { layout, tile, scratch, .. } in
            self.halves.iter_mut().flat_map(|half| &mut half.parts)
        {
            let sums = tile.squared_defects(&Context { layout, ..*context }, scratch);
            for (total, sum) in total.iter_mut().zip(sums) {
                *total += sum.to_array()[..tile.systems.lanes()].iter().sum::<f64>();
            }
        }
        let place = self.system - origin;
        residuals[place] = norms(total, status[place]);
    }

    /// Solves M x = rhs, where the halves have substituted forward, and writes x.
    #[inline(always)]
    fn solve_given<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
    ) {
        let sinks = sink.halves(self.middle(context) * context.layout.block).map(Sink::Solution);
        self.substitute::<T, P>(context, Which::Direction, sinks);
        self.finish(context, status, sink, 0.0);
    }

    fn finish(
        &self,
        context: &Context<'_>,
        status: &[Status],
        sink: &mut SolutionSink<'_>,
        instead: f64,
    ) {
        let system = TileSystems::whole(self.system, 1);
        sink.finish::<V>(context.layout, system, &[], status, instead);
    }

    /// Solves for the separators, substitutes backward and refines, as
    /// [`Sweep::substitute`](crate::backend::cpu::sweep::Sweep::substitute) does.
    #[inline(always)]
    fn substitute<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        which: Which,
        sinks: [Sink<'_>; 2],
    ) {
        let last = context.options.refinement();
        let mut sinks = Some(sinks);
        for step in 0..=last {
            let corrects = step > 0;
            if corrects {
                self.each::<T, P>(context, [Task::Residual(which), Task::Residual(which)]);
            }
            let solved = if corrects { Which::Correction } else { which };
            self.separators.solve(&mut self.halves, solved);
            let sinks = if step == last { sinks.take() } else { None };
            let sinks = sinks.unwrap_or([Sink::Nothing, Sink::Nothing]);
            self.each::<T, P>(context, sinks.map(|sink| Task::Back { which, corrects, sink }));
        }
    }

    /// Lets the halves do their tasks, on two threads if there are two.
    #[inline(always)]
    fn each<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        [first, second]: [Task<'_>; 2],
    ) {
        match &mut self.halves[..] {
            [only] => V::run(OnHalf::<V, T, P> { context, half: only, task: first }),
            [half, other] => {
                threads::join(
                    || V::run(OnHalf::<V, T, P> { context, half, task: first }),
                    || V::run(OnHalf::<V, T, P> { context, half: other, task: second }),
                );
            }
            _ => unreachable!("a system has one set of chunks or two"),
        }
    }
}

mod half;
mod separators;
