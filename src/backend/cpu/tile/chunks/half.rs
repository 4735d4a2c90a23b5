//! What a thread does with a half of a system in chunks, or with all of it: the sweeps over its parts.

use crate::backend::cpu::gradient::{GradientSink, Target, check_below};
use crate::backend::cpu::lanes::{LANES, Vector, work};
use crate::backend::cpu::layout::{Context, Cut, Layout};
use crate::backend::cpu::staging::{Source, TileSystems};
use crate::backend::cpu::sweep::Sweep;
use crate::backend::cpu::sweep::probe::Probes;
use crate::backend::cpu::tile::{Found, Scratch, SolutionSink, Tile, uncertainty};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::real::Values;
use crate::shape::ProblemShape;
use std::ops::Range;

/// A set of chunks and, after the last set, the tail.
pub struct Half<V> {
    /// First point.
    pub start: usize,
    pub parts: Vec<Part<V>>,
}

/// Chunks in the lanes, or the tail, which all lanes repeat.
pub struct Part<V> {
    pub layout: Layout,
    pub tile: Tile<V>,
    pub scratch: Scratch<V>,
    /// Where the lanes begin in arrays that begin with the half.
    places: TileSystems,
    eliminated: Option<Found<V>>,
    pub found: Report,
}

/// What has been found out about a part.
#[derive(Default)]
pub struct Report {
    /// Whether data are not finite or steps not positive.
    pub wrong: bool,
    /// Unknown of the system whose pivot broke down or is not certain, if one is.
    pub broken: Option<usize>,
    /// Share of the separators' probe in Σ M_ii x_i².
    pub probe: f64,
    /// Whether a result is not finite.
    pub overflow: bool,
}

/// Which vector over the unknowns is solved for.
#[derive(Clone, Copy, PartialEq)]
pub enum Which {
    Unknowns,
    Direction,
    Correction,
}

/// What is done with a half.
pub enum Task<'a> {
    /// Factorizes and substitutes forward.
    Eliminate,
    /// Brings a vector (N, K, Q) over the points where rows begin into the right-hand side, and
    /// substitutes it forward into the direction.
    Given(Values<'a>),
    /// Does the same with the right-hand side of the tangent.
    Tangents(Inputs<Source<'a>>),
    /// Substitutes forward the residual of this vector into the correction.
    Residual(Which),
    /// Substitutes backward in this vector, or in the correction, which is added to it.
    Back { which: Which, corrects: bool, sink: Sink<'a> },
}

/// Where the results of a sweep back go.
pub enum Sink<'a> {
    Nothing,
    Solution(SolutionSink<'a>),
    /// Gradients, and one if the system is solved, else zero.
    Gradient(GradientSink<'a>, f64),
}

impl<V: Vector> Half<V> {
    /// Allocates the parts of a system with this set of chunks.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(
        system: usize,
        shape: &ProblemShape,
        options: &Options,
        cut: &Cut,
        set: usize,
    ) -> Result<Self> {
        let start = set * LANES * cut.chunk.begun;
        let end = start + LANES * cut.chunk.begun;
        let part = |layout: Layout, at: usize, chunk: usize| -> Result<Part<V>> {
            let systems = TileSystems { first: system, count: 1, start: at, chunk };
            Ok(Part {
                tile: Tile::new(systems, &layout)?,
                scratch: Scratch::new(shape, options, &layout)?,
                layout,
                places: TileSystems { start: at - start, ..systems },
                eliminated: None,
                found: Report::default(),
            })
        };
        let mut parts = vec![part(cut.chunk, start, cut.chunk.begun)?];
        if set + 1 == cut.sets {
            parts.push(part(cut.tail, end, 0)?);
        }
        Ok(Half { start, parts })
    }

    #[inline(always)]
    fn run<const T: usize, const P: usize>(&mut self, context: &Context<'_>, mut task: Task<'_>) {
        for part in &mut self.parts {
            let layout = part.layout;
            let context = &Context { layout: &layout, ..*context };
            match &mut task {
                Task::Eliminate => part.eliminate::<T, P>(context),
                Task::Given(values) => {
                    let (rhs, systems) = (&mut part.scratch.rhs, part.tile.systems);
                    rhs.fill(V::default());
                    layout.solution_streams(systems, 0).load(*values, 0, layout.begun, rhs);
                    part.forward::<T, P>(context);
                }
                Task::Tangents(inputs) => {
                    let Part { tile, scratch, .. } = part;
                    tile.add_tangents(context, scratch, tile.systems, *inputs);
                    part.forward::<T, P>(context);
                }
                Task::Residual(which) => part.residual::<T, P>(context, *which),
                Task::Back { which, corrects, sink } => {
                    part.back::<T, P>(context, *which, *corrects, sink);
                }
            }
        }
    }
}

work! {
    /// A task and the half that it is for.
    pub OnHalf<'a, 'b; T: usize, P: usize> {
        context: &'a Context<'b>,
        half: &'a mut Half<V>,
        task: Task<'a>,
    }
    half.run::<T, P>(context, task)
}

impl<V: Vector> Part<V> {
    /// Returns a vector over the unknowns.
    #[inline(always)]
    pub fn vector(&mut self, which: Which) -> &mut Vec<V> {
        match which {
            Which::Unknowns => &mut self.tile.unknowns,
            Which::Direction => &mut self.scratch.direction,
            Which::Correction => &mut self.scratch.correction,
        }
    }

    #[inline(always)]
    fn eliminate<const T: usize, const P: usize>(&mut self, context: &Context<'_>) {
        let found = self.tile.eliminate::<T, P>(context, &mut self.scratch);
        let lanes = self.tile.systems.lanes();
        let wrong = found.data.to_array()[..lanes].iter().any(|lane| *lane != 0.0);
        self.found = Report { wrong, ..Report::default() };
        self.eliminated = Some(found);
        self.scratch.probes[1].clear();
    }

    #[inline(always)]
    fn forward<const T: usize, const P: usize>(&mut self, context: &Context<'_>) {
        let Part { tile, scratch, .. } = self;
        let Scratch { room, rhs, direction, .. } = scratch;
        sweep!(tile, context, room).forward::<T, P>(Some(rhs), None, direction);
    }

    #[inline(always)]
    fn residual<const T: usize, const P: usize>(&mut self, context: &Context<'_>, which: Which) {
        let Part { tile, scratch, .. } = self;
        let Scratch { room, rhs, direction, correction, .. } = scratch;
        let (x, given) = match which {
            Which::Unknowns => (&tile.unknowns, None),
            _ => (&*direction, Some(&rhs[..])),
        };
        sweep!(tile, context, room).forward::<T, P>(given, Some(x), correction);
    }

    #[inline(always)]
    fn back<const T: usize, const P: usize>(
        &mut self,
        context: &Context<'_>,
        which: Which,
        corrects: bool,
        sink: &mut Sink<'_>,
    ) {
        let mut x = std::mem::take(self.vector(which));
        let Part { layout, tile, scratch, places, found, .. } = self;
        let Scratch { room, correction, probes, whole, gradient, .. } = scratch;
        let mut sweep = sweep!(tile, context, room);
        let correction = corrects.then_some(&mut correction[..]);
        let probes = &mut match which {
            Which::Unknowns if !corrects => Probes { whole, of: probes },
            _ => Probes::none(),
        };
        match sink {
            Sink::Nothing => {
                let mut finish = |_: &mut Sweep<'_, V>, _: Range<usize>, _: &[V]| {};
                sweep.back::<T, P>(&mut x, correction, probes, &mut finish);
            }
            Sink::Solution(sink) => {
                let streams = layout.solution_streams(*places, sink.origin);
                let mut finish = |_: &mut Sweep<'_, V>, range: Range<usize>, x: &[V]| {
                    sink.store(layout, &streams, range, x);
                };
                sweep.back::<T, P>(&mut x, correction, probes, &mut finish);
                let mut finite = V::default();
                check_below(&x, sink.limit, &mut finite);
                found.overflow = finite.to_array().iter().any(|lane| *lane != 0.0);
            }
            Sink::Gradient(sink, live) => {
                let mut lanes = [0.0; LANES];
                lanes[..tile.systems.lanes()].fill(*live);
                gradient.begin(layout, V::from_array(lanes));
                let mut target = Target::new(layout, *places, sink);
                let z = &tile.unknowns;
                let mut finish = |sweep: &mut Sweep<'_, V>, range: Range<usize>, g: &[V]| {
                    sweep.room.points.load(sweep.context, sweep.systems, range.clone());
                    gradient.add_range::<T, P>(sweep, range, z, g, &mut target);
                };
                sweep.back::<T, P>(&mut x, correction, probes, &mut finish);
                let check = gradient.finish(layout, &mut target).to_array();
                found.overflow = check.iter().any(|lane| *lane != 0.0);
            }
        }
        if which == Which::Unknowns && !corrects {
            self.judge();
        }
        *self.vector(which) = x;
    }

    /// Judges the pivots by the probes.
    #[inline(always)]
    fn judge(&mut self) {
        let Part { layout, tile, scratch, eliminated, found, .. } = self;
        let [of_weakest, of_separators] =
            scratch.probes.each_ref().map(|probe| probe.sum_of_squares());
        let systems = tile.systems;
        found.probe = of_separators.to_array()[..systems.lanes()].iter().sum();
        let uncertainty = uncertainty(layout, of_weakest);
        let eliminated = eliminated.as_ref().expect("elimination comes first");
        found.broken = (0..systems.lanes()).find_map(|lane| {
            let unknown = eliminated.broken(lane, uncertainty)?;
            Some(systems.point(lane) * layout.block + unknown)
        });
    }
}
