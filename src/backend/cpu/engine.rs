//! The engine of the CPU: it spreads the tiles of a batch over threads, and adds up the gradients
//! that they share.

use super::assembly::{Context, Layout};
use super::gradient::GradientSink;
use super::growth::March;
use super::inputs::TileSystems;
use super::simd::{Work, vectorized};
use super::tile::{Scratch, SolutionSink, Tile};
use crate::adjoint::{Cotangent, Gradients, Tangents, report_tangent};
use crate::backend::engine::{Engine, of_precision};
use crate::banded::lanes::{MOST_LANES, Pack, Packed};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::{ensure, zeros};
use crate::options::{Options, Weights};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::{InputLayout, ProblemShape};
use crate::solution::{Residuals, Solution, Status};
use rayon::prelude::*;
use std::any::{Any, TypeId};

/// The number of lanes of a wide tile: two AVX2 registers of f64, one of f32.
const WIDE: usize = MOST_LANES;
/// The number of systems from which on wide tiles are faster than one system at a time.
const WIDE_BATCH: usize = 3;
/// The most groups of tiles; each group has its own sum of the gradients of shared inputs.
const MOST_GROUPS: usize = 64;
/// The most memory for the sums of the groups, in values.
const MOST_PARTIAL_VALUES: usize = 1 << 23;

/// Makes the engine of the CPU for problems of one shape.
pub fn new<T: Real>(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<T>>> {
    of_precision(|| single(shape, options), || double(shape, options))
}

fn single(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<f32>>> {
    of_width(shape, options)
}

fn double(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<f64>>> {
    of_width(shape, options)
}

fn of_width<T: Real>(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<T>>> {
    if shape.batch < WIDE_BATCH {
        Ok(Box::new(Batch::<Pack<T, 1>>::new(shape, options)?))
    } else {
        Ok(Box::new(Batch::<Pack<T, WIDE>>::new(shape, options)?))
    }
}

/// A group of consecutive tiles that run one after another on one thread.
struct Group<S: Packed> {
    /// Number of the first system.
    origin: usize,
    tiles: Vec<Tile<S>>,
    scratch: Scratch<S>,
}

/// The solve of the systems of a group.
struct SolveGroup<'a, S: Packed> {
    context: Context<'a, S::Real>,
    group: &'a mut Group<S>,
    sink: SolutionSink<'a, S::Real>,
    status: &'a mut [Status],
}

impl<S: Packed> Work for SolveGroup<'_, S> {
    #[inline(always)]
    fn run(mut self) {
        for tile in &mut self.group.tiles {
            tile.solve(self.context, &mut self.group.scratch, &mut self.sink, self.status);
        }
    }
}

/// The sum of the gradients of a group, or a search for the systems that are to blame for it.
struct VjpGroup<'a, S: Packed> {
    context: Context<'a, S::Real>,
    group: &'a mut Group<S>,
    cotangent: &'a Cotangent<'a, S::Real>,
    status: &'a [Status],
    /// Statuses that are set to overflow where the shares of a system in what is shared are not
    /// finite by themselves. Then the gradients are of no use.
    blamed: Option<&'a mut [Status]>,
    sink: GradientSink<'a, f64>,
}

impl<S: Packed> Work for VjpGroup<'_, S> {
    #[inline(always)]
    fn run(self) {
        let VjpGroup { context, group, cotangent, status, mut blamed, mut sink } = self;
        sink.clear();
        for tile in &group.tiles {
            let live = tile.live(status, sink.origin);
            // All systems of the tile at once, or one after the other.
            for lane in 0..if blamed.is_some() { S::LANES } else { 1 } {
                let mut taken = live;
                if blamed.is_some() {
                    taken = std::array::from_fn(|other| other == lane && live[lane]);
                    sink.clear_shared(context.layout);
                }
                tile.vjp(context, &mut group.scratch, cotangent, &taken, &mut sink);
                if let Some(blamed) = &mut blamed
                    && !sink.shared_are_finite::<S::Real>(context.layout)
                {
                    blamed[tile.systems.system(lane) - sink.origin] = Status::Overflow;
                }
            }
        }
    }
}

/// The directional derivatives of a group.
struct JvpGroup<'a, S: Packed> {
    context: Context<'a, S::Real>,
    group: &'a mut Group<S>,
    tangents: &'a Tangents<'a, S::Real>,
    status: &'a [Status],
    sink: SolutionSink<'a, S::Real>,
}

impl<S: Packed> Work for JvpGroup<'_, S> {
    #[inline(always)]
    fn run(mut self) {
        for tile in &self.group.tiles {
            let scratch = &mut self.group.scratch;
            tile.jvp(self.context, scratch, self.tangents, self.status, &mut self.sink);
        }
    }
}

/// The products M⁻¹ q of a group.
struct InverseOfGroup<'a, S: Packed> {
    context: Context<'a, S::Real>,
    group: &'a mut Group<S>,
    q: &'a Cotangent<'a, S::Real>,
    status: &'a [Status],
    sink: SolutionSink<'a, S::Real>,
}

impl<S: Packed> Work for InverseOfGroup<'_, S> {
    #[inline(always)]
    fn run(mut self) {
        for tile in &self.group.tiles {
            let scratch = &mut self.group.scratch;
            tile.inverse(self.context, scratch, self.q, self.status, &mut self.sink);
        }
    }
}

/// The variances of the systems of a group.
struct VariancesOfGroup<'a, S: Packed> {
    context: Context<'a, S::Real>,
    group: &'a mut Group<S>,
    status: &'a [Status],
    sink: SolutionSink<'a, S::Real>,
}

impl<S: Packed> Work for VariancesOfGroup<'_, S> {
    #[inline(always)]
    fn run(mut self) {
        for tile in &self.group.tiles {
            tile.variances(self.context, &mut self.group.scratch, self.status, &mut self.sink);
        }
    }
}

/// All tiles of a batch, in groups. The grouping depends on the shape alone and not on the number
/// of threads, and so the results do not depend on the number of threads either.
pub struct Batch<S: Packed> {
    options: Options,
    layout: Layout,
    groups: Vec<Group<S>>,
    /// Number of systems of a group; the last group may have fewer.
    group_systems: usize,
    gradients: Gradients<f64>,
    sums: GradientSums<f64>,
    /// Gradients in the precision of the problem; empty if that is double.
    rounded: Gradients<S::Real>,
    /// Tangent, M⁻¹ q or variances, whichever was computed last.
    derived: Solution<S::Real>,
    residuals: Vec<Residuals>,
}

impl<S: Packed> Batch<S> {
    fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        let layout = Layout::new(shape, options);
        let shared: usize = layout
            .inputs
            .into_iter()
            .filter_map(|input| input.shared().then_some(input.values))
            .sum();
        let tiles = shape.batch.div_ceil(S::LANES);
        let most_groups = (MOST_PARTIAL_VALUES / shared.max(1)).clamp(1, MOST_GROUPS);
        let group_systems = tiles.div_ceil(most_groups) * S::LANES;
        let count = shape.batch.div_ceil(group_systems);
        ensure_memory::<S>(shape, &layout, [tiles, count])?;

        let mut groups = Vec::with_capacity(count);
        for origin in (0..shape.batch).step_by(group_systems) {
            let end = (origin + group_systems).min(shape.batch);
            let tiles = (origin..end)
                .step_by(S::LANES)
                .map(|first| {
                    let systems = TileSystems { first, last: (first + S::LANES).min(end) - 1 };
                    Tile::new(systems, &layout)
                })
                .collect::<Result<_>>()?;
            let scratch = Scratch::new(shape, options, &layout)?;
            groups.push(Group { origin, tiles, scratch });
        }

        Ok(Batch {
            rounded: match TypeId::of::<S::Real>() == TypeId::of::<f64>() {
                true => Gradients::default(),
                false => Gradients::zeros(shape)?,
            },
            gradients: Gradients::zeros(shape)?,
            sums: GradientSums {
                inputs: layout
                    .inputs
                    .try_map(|input| InputSums::new(input, group_systems, count))?,
                weights: zeros("gradient of weights", 4 * count)?,
            },
            derived: Solution::allocate(shape)?,
            residuals: zeros("residuals", shape.batch)?,
            options: *options,
            groups,
            group_systems,
            layout,
        })
    }
}

/// What the groups add up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sums {
    /// The gradients of all systems.
    OfAll,
    /// Those of one system after the other, to find the systems whose shares overflow.
    OfEach,
}

impl<S: Packed> Batch<S> {
    /// Adds up the gradients, each group its own and then all groups what they share.
    fn sum_gradients(
        &mut self,
        problem: &Problem<'_, S::Real>,
        cotangent: &Cotangent<'_, S::Real>,
        status: &[Status],
        what: Sums,
    ) {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let (sums, gradients) = (&mut self.sums, &mut self.gradients);
        let Inputs { coefficients, rhs, initial_values, steps } = sums
            .inputs
            .as_mut()
            .zip(gradients.inputs.as_mut())
            .map(|(sums, gradient)| sums.sinks(gradient));
        (
            &mut self.groups,
            status.par_chunks(self.group_systems),
            gradients.status.par_chunks_mut(self.group_systems),
            (coefficients, rhs, initial_values, steps),
            sums.weights.par_chunks_mut(4),
        )
            .into_par_iter()
            .for_each(|(group, status, found, inputs, weights)| {
                let inputs = Inputs::from(<[_; 4]>::from(inputs));
                let sink = GradientSink { origin: group.origin, inputs, weights };
                let blamed = (what == Sums::OfEach).then_some(found);
                vectorized(VjpGroup { context, group, cotangent, status, blamed, sink });
            });
        for (sums, gradient) in sums.inputs.as_ref().zip(gradients.inputs.as_mut()) {
            sums.total(gradient);
        }
        let family = |index: usize| {
            sums.weights.iter().skip(index).step_by(4).map(|value| value.to_double()).sum()
        };
        gradients.weights = Weights {
            equation: family(0),
            initial: family(1),
            smoothness: family(2),
            periodic: family(3),
        };
    }
}

impl<S: Packed> Engine<S::Real> for Batch<S> {
    fn plan(&self) -> Plan {
        let tiles: usize = self.groups.iter().map(|group| group.tiles.len()).sum();
        let factor = self.layout.banded.factor_values().unwrap_or(usize::MAX);
        let of_tile = factor.saturating_add(self.layout.banded.unknowns());
        let factorization = match self.options.square_root_in::<S::Real>() {
            true => "square-root",
            false => "Cholesky",
        };
        Plan {
            device: "cpu".into(),
            path: format!(
                "block-banded {factorization} factor, {} systems at a time in {tiles} tiles, {} groups of \
                 tiles over {} threads",
                S::LANES,
                self.groups.len(),
                rayon::current_num_threads()
            ),
            parts: 1,
            forward_launches: 0,
            adjoint_launches: 0,
            workspace_bytes: of_tile.saturating_mul(tiles).saturating_mul(size_of::<S>()),
        }
    }

    fn solve(
        &mut self,
        problem: &Problem<'_, S::Real>,
        solution: &mut Solution<S::Real>,
    ) -> Result<()> {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let chunk = self.group_systems;
        (
            &mut self.groups,
            solution.values.par_chunks_mut(chunk * self.layout.values),
            solution.epsilon.par_chunks_mut(chunk),
            solution.status.par_chunks_mut(chunk),
        )
            .into_par_iter()
            .for_each(|(group, values, epsilon, status)| {
                let sink = SolutionSink { origin: group.origin, values, epsilon };
                vectorized(SolveGroup { context, group, sink, status });
            });
        Ok(())
    }

    fn vjp(
        &mut self,
        problem: &Problem<'_, S::Real>,
        cotangent: &Cotangent<'_, S::Real>,
        status: &[Status],
    ) -> Result<&Gradients<S::Real>> {
        self.gradients.status.copy_from_slice(status);
        self.sum_gradients(problem, cotangent, status, Sums::OfAll);
        let gradients = rounded(&mut self.gradients, &mut self.rounded);
        if !gradients.find_overflow(problem.shape(), status) {
            self.sum_gradients(problem, cotangent, status, Sums::OfEach);
            // The tape takes the gradients as they are, whatever the status.
            self.sum_gradients(problem, cotangent, status, Sums::OfAll);
            let gradients = rounded(&mut self.gradients, &mut self.rounded);
            if gradients.status == status {
                gradients.overflow_in_sum();
            }
        }
        Ok(self.gradients())
    }

    fn gradients(&self) -> &Gradients<S::Real> {
        match (&self.gradients as &dyn Any).downcast_ref() {
            Some(same) => same,
            None => &self.rounded,
        }
    }

    fn jvp(
        &mut self,
        problem: &Problem<'_, S::Real>,
        tangents: &Tangents<'_, S::Real>,
        status: &[Status],
    ) -> Result<&Solution<S::Real>> {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let chunk = self.group_systems;
        (
            &mut self.groups,
            status.par_chunks(chunk),
            self.derived.values.par_chunks_mut(chunk * self.layout.values),
            self.derived.epsilon.par_chunks_mut(chunk),
        )
            .into_par_iter()
            .for_each(|(group, status, values, epsilon)| {
                let sink = SolutionSink { origin: group.origin, values, epsilon };
                vectorized(JvpGroup { context, group, tangents, status, sink });
            });
        report_tangent(&mut self.derived, tangents, problem.shape(), status);
        Ok(&self.derived)
    }

    fn inverse(
        &mut self,
        problem: &Problem<'_, S::Real>,
        q: &Cotangent<'_, S::Real>,
        status: &[Status],
    ) -> Result<&Solution<S::Real>> {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let chunk = self.group_systems;
        (
            &mut self.groups,
            status.par_chunks(chunk),
            self.derived.values.par_chunks_mut(chunk * self.layout.values),
            self.derived.epsilon.par_chunks_mut(chunk),
        )
            .into_par_iter()
            .for_each(|(group, status, values, epsilon)| {
                let sink = SolutionSink { origin: group.origin, values, epsilon };
                vectorized(InverseOfGroup { context, group, q, status, sink });
            });
        self.derived.status.copy_from_slice(status);
        Ok(&self.derived)
    }

    fn variances(
        &mut self,
        problem: &Problem<'_, S::Real>,
        status: &[Status],
    ) -> Result<&[S::Real]> {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let chunk = self.group_systems;
        (
            &mut self.groups,
            status.par_chunks(chunk),
            self.derived.values.par_chunks_mut(chunk * self.layout.values),
            self.derived.epsilon.par_chunks_mut(chunk),
        )
            .into_par_iter()
            .for_each(|(group, status, values, epsilon)| {
                let sink = SolutionSink { origin: group.origin, values, epsilon };
                vectorized(VariancesOfGroup { context, group, status, sink });
            });
        Ok(&self.derived.values)
    }

    fn residuals(
        &mut self,
        problem: &Problem<'_, S::Real>,
        status: &[Status],
    ) -> Result<&[Residuals]> {
        let context = Context { problem, options: &self.options, layout: &self.layout };
        let chunk = self.group_systems;
        (&mut self.groups, status.par_chunks(chunk), self.residuals.par_chunks_mut(chunk))
            .into_par_iter()
            .for_each(|(group, status, residuals)| {
                for tile in &group.tiles {
                    let scratch = &mut group.scratch;
                    tile.residuals(context, scratch, status, group.origin, residuals);
                }
            });
        Ok(&self.residuals)
    }
}

/// Checks that the memory for a solver of this shape can be had, its solution included.
fn ensure_memory<S: Packed>(
    shape: &ProblemShape,
    layout: &Layout,
    [tiles, groups]: [usize; 2],
) -> Result<()> {
    let Layout { banded, inputs, .. } = layout;
    let (wide, unknowns) = (size_of::<S::Double>(), banded.unknowns());
    let solution = shape.batch.saturating_mul(layout.values);
    let gradients = inputs.into_iter().map(|input| input.total(shape.batch));
    let gradients = gradients.fold(0, usize::saturating_add);
    let shared = inputs.into_iter().filter(|input| input.shared()).map(|input| input.values);
    let shared = shared.fold(0, usize::saturating_add);
    let scales = tiles.saturating_mul(layout.scaled_points).saturating_mul(S::LANES);
    let march = if layout.scaled_points > 0 { March::<S::Double>::values(shape) } else { 0 };
    let rounded = if size_of::<S::Real>() < 8 { gradients } else { 0 };
    ensure(
        "the solver, its solution and gradients",
        &[
            (tiles.saturating_mul(banded.factor_values().unwrap_or(usize::MAX)), size_of::<S>()),
            (tiles.saturating_mul(unknowns), wide),
            // The adjoint, its right-hand side and correction; the windows of the factor.
            (groups.saturating_mul(unknowns), 3 * wide),
            (groups.saturating_mul(banded.window().saturating_mul(banded.window())), 2 * wide),
            (gradients.saturating_add(groups.saturating_mul(shared)), 8),
            // What follows growth: the factors of the points, and the marches that find them.
            (scales, 8),
            (groups.saturating_mul(march), wide),
            // The solution, and its tangent or variances.
            (solution.saturating_mul(2).saturating_add(rounded), size_of::<S::Real>()),
            (shape.batch, 4 * size_of::<Status>() + size_of::<Residuals>()),
        ],
    )
}

/// The sums themselves where `T` is double, else rounded into `room`: many small shares of either
/// sign are added up, which single precision cannot do.
fn rounded<'a, T: Real>(
    sums: &'a mut Gradients<f64>,
    room: &'a mut Gradients<T>,
) -> &'a mut Gradients<T> {
    if TypeId::of::<T>() == TypeId::of::<f64>() {
        return (sums as &mut dyn Any).downcast_mut().expect("T is f64");
    }
    for (values, sums) in room.inputs.as_mut().zip(sums.inputs.as_ref()) {
        for (value, &sum) in values.iter_mut().zip(sums) {
            *value = T::of(sum);
        }
    }
    room.weights = sums.weights;
    room.status.copy_from_slice(&sums.status);
    room
}

/// The gradients as the groups add them up.
struct GradientSums<T> {
    inputs: Inputs<InputSums<T>>,
    /// Gradient of the weights by each group, (groups, 4).
    weights: Vec<T>,
}

/// The places where the groups add up the gradient of one input: each group in its own part of the
/// result if the systems have their own values, in a partial sum of its own if they share them.
struct InputSums<T> {
    /// Partial sums of a shared array, (groups, values); empty if the array is not shared.
    partial: Vec<T>,
    /// Number of values of a group's part.
    chunk: usize,
}

impl<T: Real> InputSums<T> {
    fn new(input: InputLayout, group_systems: usize, groups: usize) -> Result<Self> {
        if input.values == 0 {
            // Nothing is ever added to an empty array, but every group needs a part.
            return Ok(InputSums { partial: zeros("gradient", groups)?, chunk: 1 });
        }
        if input.shared() {
            let partial = zeros("gradient of a shared input", groups * input.values)?;
            return Ok(InputSums { partial, chunk: input.values });
        }
        Ok(InputSums { partial: Vec::new(), chunk: group_systems * input.values })
    }

    /// Returns the parts of the groups.
    fn sinks<'a>(&'a mut self, gradient: &'a mut [T]) -> rayon::slice::ChunksMut<'a, T> {
        let sums = if self.partial.is_empty() { gradient } else { &mut self.partial[..] };
        sums.par_chunks_mut(self.chunk)
    }

    /// Adds the partial sums, in the order of the groups.
    fn total(&self, gradient: &mut [T]) {
        if self.partial.is_empty() {
            return;
        }
        gradient.fill(T::zero());
        for partial in self.partial.chunks_exact(self.chunk) {
            for (sum, &value) in gradient.iter_mut().zip(partial) {
                *sum += value;
            }
        }
    }
}
