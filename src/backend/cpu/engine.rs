//! The engine of the CPU: it spreads the tiles of a batch over threads, and adds up the gradients
//! that they share.

use super::gradient::GradientSink;
use super::lanes::{Choice, LANES, Vector, choose, work};
use super::layout::{Context, Layout};
use super::staging::{Source, TileSystems};
use super::tile::chunks::Chunks;
use super::tile::leader::{Leader, SharedFactor, lead};
use super::tile::{Scratch, SolutionSink, Tile};
use crate::adjoint::{Cotangent, GradientsMut, Tangents, overflow_in_sum};
use crate::backend::engine::{Engine, each_jvp, each_vjp, of_precision};
use crate::backend::matrix::Matrix;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::{Options, Weights};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::{Real, Values};
use crate::shape::{InputLayout, Places, ProblemShape};
use crate::solution::{Residuals, SolutionMut, Status};
use crate::threads;

use memory::ensure_memory;
use run::run;
use several::Several;
use sums::{InputSums, Parts, summed_values};
use uncut::Uncut;

/// The most groups of tiles; each group has its own sum of the gradients of shared inputs.
const MOST_GROUPS: usize = 64;
/// The most memory for the sums of the groups, in values.
const MOST_PARTIAL_VALUES: usize = 1 << 23;

/// Makes the engine of the CPU for problems of one shape.
pub fn new<T: Real>(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<T>>> {
    of_precision(|| single(shape, options), || double(shape, options))
}

fn single(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<f32>>> {
    choose(New { shape, options, real: std::marker::PhantomData })
}

fn double(shape: &ProblemShape, options: &Options) -> Result<Box<dyn Engine<f64>>> {
    choose(New { shape, options, real: std::marker::PhantomData })
}

/// A new engine for arrays of `R`.
struct New<'a, R> {
    shape: &'a ProblemShape,
    options: &'a Options,
    real: std::marker::PhantomData<R>,
}

impl<R: Real> Choice for New<'_, R> {
    type Output = Result<Box<dyn Engine<R>>>;
    fn with<V: Vector>(self) -> Self::Output {
        Ok(Box::new(Batch::<V, R>::new(self.shape, self.options, true)?))
    }
}

/// A group of consecutive systems that are computed on by one thread.
struct Group<V> {
    /// Number of the first system.
    origin: usize,
    members: Members<V>,
}

enum Members<V> {
    /// Tiles of systems, one after another.
    Tiles(Vec<Tile<V>>, Box<Scratch<V>>),
    /// One long system.
    Chunks(Box<Chunks<V>>),
}

impl<V> Group<V> {
    /// Returns whether one system of the group is work for two threads.
    fn has_work_for_two(&self) -> bool {
        matches!(&self.members, Members::Chunks(chunks) if chunks.sets() == 2)
    }
}

/// What is done with the tiles of a group.
enum Task<'a> {
    /// Whether with the factors that the tiles have kept, if each has its own.
    Solve(bool, SolutionSink<'a>, &'a mut [Status]),
    /// With what is derived of the systems, if that is not a derivative of each.
    Vjp(Option<TileSystems>, [Values<'a>; 2], &'a [Status], &'a mut [Status], GradientSink<'a>),
    Jvp(Option<TileSystems>, Inputs<Source<'a>>, &'a [Status], SolutionSink<'a>),
    Inverse([Values<'a>; 2], &'a [Status], SolutionSink<'a>),
    Variances(&'a [Status], SolutionSink<'a>),
    Residuals(&'a [Status], &'a mut [Residuals]),
}

work! {
    /// A task and the group that it is for.
    GroupTask<'a> { context: &'a Context<'a>, group: &'a mut Group<V>, task: Task<'a> }
    run_task(context, group, task)
}

/// Chooses the instance of a function of (T, P) for the blocks of a layout: tiles of T, and P unknowns if the
/// layout is plain and code is compiled for so many, else 0.
macro_rules! of_size {
    ($run:ident, $vector:ident, $layout:expr) => {{
        let layout: &Layout = $layout;
        match (layout.tile, if layout.plain() { layout.block } else { 0 }) {
            (2, 2) if $vector::SIZES => $run::<$vector, 2, 2>,
            (2, 4) if $vector::SIZES => $run::<$vector, 2, 4>,
            (2, 6) if $vector::SIZES => $run::<$vector, 2, 6>,
            (3, 3) if $vector::SIZES => $run::<$vector, 3, 3>,
            (3, 6) if $vector::SIZES => $run::<$vector, 3, 6>,
            (2, _) if $vector::SIZES => $run::<$vector, 2, 0>,
            (3, _) if $vector::SIZES => $run::<$vector, 3, 0>,
            (4, _) if $vector::SIZES => $run::<$vector, 4, 0>,
            _ => $run::<$vector, 1, 0>,
        }
    }};
}

/// Does what is wanted seldom for blocks of any size, and the rest for blocks of one size.
#[inline(always)]
fn run_task<V: Vector>(context: &Context<'_>, group: &mut Group<V>, task: Task<'_>) {
    let Group { origin, members } = group;
    let (tiles, scratch) = match members {
        Members::Tiles(tiles, scratch) => (tiles, &mut **scratch),
        Members::Chunks(chunks) => {
            let run = of_size!(run_chunks, V, context.layout);
            return run(context, *origin, chunks, task);
        }
    };
    match task {
        Task::Solve(..) | Task::Vjp(..) => {
            let run = of_size!(run_tiles, V, context.layout);
            run(context, tiles, scratch, task);
        }
        Task::Jvp(derived, inputs, status, mut sink) => {
            for tile in tiles {
                tile.jvp(context, scratch, derived, inputs, status, &mut sink);
            }
        }
        Task::Inverse(q, status, mut sink) => {
            for tile in tiles {
                tile.inverse(context, scratch, q, status, &mut sink);
            }
        }
        Task::Variances(status, mut sink) => {
            for tile in tiles {
                tile.variances(context, scratch, status, &mut sink);
            }
        }
        Task::Residuals(status, residuals) => {
            for tile in tiles {
                tile.residuals(context, scratch, status, *origin, residuals);
            }
        }
    }
}

/// Solves or differentiates tiles whose blocks are computed on in tiles of T; unless P is 0, the layout is
/// plain, and blocks have P unknowns.
fn run_tiles<V: Vector, const T: usize, const P: usize>(
    context: &Context<'_>,
    tiles: &mut [Tile<V>],
    scratch: &mut Scratch<V>,
    task: Task<'_>,
) {
    V::run(RunTiles::<V, T, P> { context, tiles, scratch, task });
}

/// Does a task with a long system whose blocks are computed on in tiles of T, and have P unknowns unless P is
/// 0.
fn run_chunks<V: Vector, const T: usize, const P: usize>(
    context: &Context<'_>,
    origin: usize,
    chunks: &mut Chunks<V>,
    task: Task<'_>,
) {
    V::run(RunChunks::<V, T, P> { context, origin, chunks, task });
}

work! {
    RunChunks<'a; T: usize, P: usize> {
        context: &'a Context<'a>,
        origin: usize,
        chunks: &'a mut Chunks<V>,
        task: Task<'a>,
    }
    match task {
        Task::Solve(_, mut sink, status) => chunks.solve::<T, P>(context, &mut sink, status),
        Task::Vjp(_, cotangent, status, found, mut sink) => {
            sink.clear();
            chunks.vjp::<T, P>(context, cotangent, status, found, &mut sink);
        }
        Task::Jvp(_, inputs, status, mut sink) => {
            chunks.jvp::<T, P>(context, inputs, status, &mut sink);
        }
        Task::Inverse([q, _], status, mut sink) => {
            chunks.inverse::<T, P>(context, q, status, &mut sink);
        }
        Task::Residuals(status, residuals) => {
            chunks.residuals(context, status, origin, residuals);
        }
        Task::Variances(..) => unreachable!("variances are those of whole systems"),
    }
}

work! {
    RunTiles<'a; T: usize, P: usize> {
        context: &'a Context<'a>,
        tiles: &'a mut [Tile<V>],
        scratch: &'a mut Scratch<V>,
        task: Task<'a>,
    }
    match task {
        Task::Solve(kept, mut sink, status) => {
            for tile in tiles {
                tile.solve::<T, P>(context, scratch, kept, &mut sink, status);
            }
        }
        Task::Vjp(derived, cotangent, status, found, mut sink) => {
            sink.clear();
            for tile in tiles {
                tile.vjp::<T, P>(context, scratch, derived, cotangent, status, found, &mut sink);
            }
        }
        _ => unreachable!("other tasks do not depend on T"),
    }
}

/// All tiles of a batch, in groups. The grouping depends on the shape alone and not on the number
/// of threads, and so the results do not depend on the number of threads either.
struct Batch<V, R> {
    options: Options,
    layout: Layout,
    /// What the matrix of all systems is made of, if they have the same.
    matrix: Option<Matrix>,
    /// What makes the factor of all systems, if they have one.
    leader: Option<Box<Leader<V>>>,
    groups: Vec<Group<V>>,
    /// Number of systems of a group; the last group may have fewer.
    group_systems: usize,
    sums: Inputs<InputSums>,
    /// Places of the systems in gradients and tangents.
    places: Inputs<Places>,
    /// Gradient of the weights by each group, (groups, 4).
    weights: Vec<f64>,
    /// What factorizes systems in chunks once more, uncut, for their variances and for several derivatives:
    /// made when these are wanted.
    uncut: Option<Box<Uncut<V, R>>>,
    /// What several derivatives of few systems need: made when these are wanted.
    several: Option<Box<Several>>,
    /// Memory of the solver without results.
    bytes: usize,
    real: std::marker::PhantomData<R>,
}

/// The most systems that are cut into chunks, one after another. Each then takes an eighth of the time of a
/// tile, which has up to eight systems, times what a point costs more for the coupling with the separator: up
/// to two for large blocks, of which four systems take as long as a tile, and 1.4 for the smallest.
const MOST_CUT: usize = 3;

impl<V: Vector, R: Real> Batch<V, R> {
    /// Allocates the tiles, or the chunks of few long systems if these may be cut.
    fn new(shape: &ProblemShape, options: &Options, may_cut: bool) -> Result<Self> {
        let layout = Layout::new(shape, options);
        let cut = if may_cut && shape.batch <= MOST_CUT { layout.cut() } else { None };
        let places = shape.places();
        let tiles = shape.batch.div_ceil(LANES);
        let summed = |group_systems| summed_values(shape, &places, group_systems);
        let least = summed(tiles.div_ceil(MOST_GROUPS) * LANES);
        let most_groups = (MOST_PARTIAL_VALUES / least.max(1)).clamp(1, MOST_GROUPS);
        let group_systems = if cut.is_some() { 1 } else { tiles.div_ceil(most_groups) * LANES };
        let count = shape.batch.div_ceil(group_systems);
        let parts = match cut {
            Some(cut) => vec![(cut.chunk, [cut.sets * count; 2]), (cut.tail, [count; 2])],
            None => vec![(layout, [tiles, count])],
        };
        let bytes = ensure_memory::<V, R>(shape, &parts, summed(group_systems))?;

        let mut groups = Vec::with_capacity(count);
        for origin in (0..shape.batch).step_by(group_systems) {
            let members = match cut {
                Some(cut) => Members::Chunks(Box::new(Chunks::new(origin, shape, options, &cut)?)),
                None => {
                    let end = (origin + group_systems).min(shape.batch);
                    let tile = |first| {
                        let systems = TileSystems::whole(first, LANES.min(end - first));
                        match layout.one_matrix {
                            true => Tile::without_factor(systems, &layout),
                            false => Tile::new(systems, &layout),
                        }
                    };
                    let tiles = (origin..end).step_by(LANES).map(tile).collect::<Result<_>>()?;
                    Members::Tiles(tiles, Box::new(Scratch::new(shape, options, &layout)?))
                }
            };
            groups.push(Group { origin, members });
        }

        let leader = || Leader::new(shape, options, &layout).map(Box::new);
        let leader = layout.one_matrix.then(leader).transpose()?;
        let has_matrix = layout.same_matrix && cut.is_none();
        let matrix = has_matrix.then(|| Matrix::new(shape)).transpose()?;
        // Systems add up the gradients of what they share, chunks those of what their points share.
        let cut = cut.is_some();
        let is_sum = |input: &InputLayout| {
            input.shared() && shape.batch > 1 || input.values == 0 || cut && input.inner[0] == 0
        };
        let mut is_sum = layout.inputs.as_ref().map(is_sum);
        is_sum.initial_values |= cut;
        let sums = layout.inputs.zip(is_sum).zip(shape.partly_shared().zip(places.as_ref()));
        Ok(Batch {
            sums: sums.try_map(|((input, is_sum), (partly, places))| match partly {
                true => InputSums::partly(input, places, shape.batch, group_systems),
                false => InputSums::new(input, group_systems, count, is_sum),
            })?,
            places,
            weights: zeros("gradient of weights", 4 * count)?,
            uncut: None,
            several: None,
            real: std::marker::PhantomData,
            options: *options,
            matrix,
            leader,
            groups,
            group_systems,
            layout,
            bytes,
        })
    }

    fn is_cut(&self) -> bool {
        matches!(self.groups.first(), Some(Group { members: Members::Chunks(_), .. }))
    }
}

/// Returns the factor of all systems, if they have one.
fn shared<V>(leader: &Option<Box<Leader<V>>>) -> Option<&SharedFactor> {
    leader.as_ref().map(|leader| &leader.factor)
}

/// Returns the parts of a solution that belong to groups of `systems` systems.
fn sinks<'a, R: Real>(
    layout: &Layout,
    systems: usize,
    solution: SolutionMut<'a, R>,
) -> impl Iterator<Item = SolutionSink<'a>> {
    let SolutionMut { values, epsilon } = solution;
    let values = values.chunks_mut(systems * layout.values());
    let mut epsilon = epsilon.map(|epsilon| epsilon.chunks_mut(systems));
    values.enumerate().map(move |(group, values)| SolutionSink {
        origin: group * systems,
        values: R::values_mut(values),
        epsilon: epsilon.as_mut().and_then(Iterator::next).map(R::values_mut),
        limit: R::LIMIT,
    })
}

impl<V: Vector, R: Real> Engine<R> for Batch<V, R> {
    fn plan(&self) -> Plan {
        let (mut tiles, mut sets) = (0, 0);
        let made_of = self.matrix.as_ref().map_or(0, |matrix| matrix.room().div_ceil(LANES));
        let mut values = made_of + self.leader.as_ref().map_or(0, |leader| leader.values());
        for group in &self.groups {
            match &group.members {
                Members::Tiles(of_group, _) => {
                    tiles += of_group.len();
                    values += of_group.iter().map(Tile::values).sum::<usize>();
                }
                Members::Chunks(chunks) => {
                    sets = chunks.sets();
                    values += chunks.values();
                }
            }
        }
        let parts = match tiles {
            0 => format!("a system at a time in {} chunks", sets * LANES),
            _ => format!("{LANES} systems at a time in {tiles} tiles"),
        };
        let factorization = match self.layout.square_root {
            true => "square-root",
            false => "Cholesky",
        };
        let whose = if self.leader.is_some() { " of all systems" } else { "" };
        Plan {
            device: "cpu".into(),
            path: format!(
                "block-banded {factorization} factor{whose}, {parts}, {} groups over {} threads",
                self.groups.len(),
                threads::available()
            ),
            parts: 1,
            forward_launches: 0,
            adjoint_launches: 0,
            workspace_bytes: values * size_of::<V>(),
        }
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn solve(
        &mut self,
        problem: &Problem<'_, R>,
        solution: SolutionMut<'_, R>,
        status: &mut [Status],
    ) -> Result<()> {
        let systems = self.group_systems;
        if let Some(uncut) = &mut self.uncut {
            uncut.current = false;
        }
        let kept = self.matrix.as_mut().is_some_and(|matrix| matrix.is_that_of(problem));
        if let (false, Some(leader)) = (kept, &mut self.leader) {
            let (options, layout) = (&self.options, &self.layout);
            let inputs = Source::of(problem.inputs, &problem.places);
            let context = &Context { inputs, options, layout, shared: None };
            of_size!(lead, V, layout)(context, leader);
        }
        let tasks = sinks(&self.layout, systems, solution)
            .zip(status.chunks_mut(systems))
            .map(|(sink, status)| Task::Solve(kept, sink, status));
        let shared = shared(&self.leader);
        run((&self.options, &self.layout, shared), &mut self.groups, problem, tasks);
        if let (false, Some(matrix)) = (kept, &mut self.matrix) {
            matrix.remember(problem);
        }
        Ok(())
    }

    fn vjp(
        &mut self,
        problem: &Problem<'_, R>,
        cotangent: &Cotangent<'_, R>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, R>,
        found: &mut [Status],
    ) -> Result<()> {
        let is_cut = self.is_cut();
        let Batch { sums, layout, leader, groups, .. } = self;
        let places = &self.places;
        let systems = self.group_systems;
        let GradientsMut { inputs, weights: of_weights } = gradients;
        found.copy_from_slice(status);
        let cotangent = [R::values(cotangent.values), R::values(cotangent.epsilon.unwrap_or(&[]))];
        let given = sums.as_mut().zip(inputs.as_mut()).zip(places.as_ref());
        let mut parts = given
            .map(|((sums, gradient), places)| sums.parts(gradient.as_deref_mut(), places, systems));
        let weigh = of_weights.is_some();
        let tasks = (status.chunks(systems).zip(found.chunks_mut(systems)))
            .zip(self.weights.chunks_mut(4))
            .enumerate()
            .map(|(group, ((status, found), weights))| {
                let parts = parts.as_mut().map(Parts::next);
                let (first, inputs) = (parts.as_ref().map(|part| part.0), parts.map(|part| part.1));
                let (origin, limit) = (group * systems, R::LIMIT);
                let share_limit = if is_cut { f64::INFINITY } else { limit };
                let weights = weigh.then_some(weights);
                let sink =
                    GradientSink { origin, inputs, places, first, weights, limit, share_limit };
                Task::Vjp(None, cotangent, status, found, sink)
            });
        run((&self.options, layout, shared(leader)), groups, problem, tasks);

        let mut finite = true;
        for (sums, gradient) in sums.as_ref().zip(inputs.as_mut()) {
            if let Some(gradient) = gradient {
                finite &= sums.total(gradient);
            }
        }
        if let Some(of_weights) = of_weights {
            let family = |index: usize| self.weights.iter().skip(index).step_by(4).sum();
            let weights = [0, 1, 2, 3].map(family);
            finite &= weights.iter().all(|weight: &f64| weight.is_finite());
            let [equation, initial, smoothness, periodic] = weights;
            of_weights[0] = Weights { equation, initial, smoothness, periodic };
        }
        if !finite && *found == *status {
            overflow_in_sum(found);
        }
        Ok(())
    }

    fn jvp(
        &mut self,
        problem: &Problem<'_, R>,
        tangents: &Tangents<'_, R>,
        status: &[Status],
        derivative: SolutionMut<'_, R>,
    ) -> Result<()> {
        let systems = self.group_systems;
        let inputs = Source::of(tangents.map(|tangent| tangent.unwrap_or(&[])), &self.places);
        let tasks = sinks(&self.layout, systems, derivative)
            .zip(status.chunks(systems))
            .map(|(sink, status)| Task::Jvp(None, inputs, status, sink));
        let shared = shared(&self.leader);
        run((&self.options, &self.layout, shared), &mut self.groups, problem, tasks);
        Ok(())
    }

    fn vjps(
        &mut self,
        problem: &Problem<'_, R>,
        cotangents: &Cotangent<'_, R>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, R>,
        found: &mut [Status],
    ) -> Result<()> {
        // Gradients of weights are sums over all lanes.
        if gradients.weights.is_none()
            && let Some(batch) =
                self.with_free_lanes(problem, status, cotangents.count(problem.shape()))?
        {
            return batch.vjps_in_lanes(problem, cotangents, status, gradients, found);
        }
        each_vjp(self, problem, cotangents, status, gradients, found)
    }

    fn jvps(
        &mut self,
        problem: &Problem<'_, R>,
        tangents: &Tangents<'_, R>,
        status: &[Status],
        derivatives: SolutionMut<'_, R>,
    ) -> Result<()> {
        if let Some(batch) =
            self.with_free_lanes(problem, status, derivatives.count(problem.shape()))?
        {
            return batch.jvps_in_lanes(problem, tangents, status, derivatives);
        }
        each_jvp(self, problem, tangents, status, derivatives)
    }

    fn inverse(
        &mut self,
        problem: &Problem<'_, R>,
        q: &Cotangent<'_, R>,
        status: &[Status],
        result: SolutionMut<'_, R>,
    ) -> Result<()> {
        let systems = self.group_systems;
        let q = [R::values(q.values), R::values(q.epsilon.unwrap_or(&[]))];
        let tasks = sinks(&self.layout, systems, result)
            .zip(status.chunks(systems))
            .map(|(sink, status)| Task::Inverse(q, status, sink));
        let shared = shared(&self.leader);
        run((&self.options, &self.layout, shared), &mut self.groups, problem, tasks);
        Ok(())
    }

    fn variances(
        &mut self,
        problem: &Problem<'_, R>,
        status: &[Status],
        variances: &mut [R],
    ) -> Result<()> {
        if self.is_cut() {
            let Uncut { batch, status: solved, .. } = self.uncut(problem, Some(&mut *variances))?;
            // The factor of whole systems may break down where that of their chunks did not.
            for (solved, given) in solved.iter_mut().zip(status) {
                *solved = if given.is_ok() { *solved } else { *given };
            }
            return batch.variances(problem, solved, variances);
        }
        let systems = self.group_systems;
        let results = SolutionMut { values: variances, epsilon: None };
        let tasks = sinks(&self.layout, systems, results)
            .zip(status.chunks(systems))
            .map(|(sink, status)| Task::Variances(status, sink));
        let shared = shared(&self.leader);
        run((&self.options, &self.layout, shared), &mut self.groups, problem, tasks);
        Ok(())
    }

    fn residuals(
        &mut self,
        problem: &Problem<'_, R>,
        status: &[Status],
        residuals: &mut [Residuals],
    ) -> Result<()> {
        let systems = self.group_systems;
        let tasks = status
            .chunks(systems)
            .zip(residuals.chunks_mut(systems))
            .map(|(status, residuals)| Task::Residuals(status, residuals));
        let shared = shared(&self.leader);
        run((&self.options, &self.layout, shared), &mut self.groups, problem, tasks);
        Ok(())
    }
}

mod memory;
mod run;
mod several;
mod sums;
#[cfg(test)]
mod tests;
mod uncut;
