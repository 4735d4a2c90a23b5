//! The plan of how teams of threads share a problem, and of the workspace that they need.

mod chunks;

use std::fmt;

use crate::backend::cuda::driver::device::Limits;
use crate::error::{Error, Result};
use crate::options::{Formulation, Options};
use crate::rows::{pair_rows, triple_rows};
use crate::shape::ProblemShape;

/// The kind of a team: what it is made of, and where its working set lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up to 32 threads of a warp, with their working set in shared memory.
    Warp,
    /// A block, with its working set in shared memory.
    Block,
    /// A block, with its working set in the workspace, in global memory.
    Global,
    /// Up to 32 threads of a warp with a chunk of the time points of their block's system, and
    /// their working set in shared memory.
    Chunk,
    /// Half of a block, from the first or the last time point of its system to the middle, with its
    /// working set in shared memory.
    Twisted,
}

impl Kind {
    /// Returns the name of the kind, as in the kernels' names.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Warp => "warp",
            Kind::Block => "block",
            Kind::Global => "global",
            Kind::Chunk => "chunk",
            Kind::Twisted => "twisted",
        }
    }
}

/// The most warps of a block whose teams are within a warp.
const MOST_WARPS: usize = 4;
/// The most groups of systems, each with partial sums of the gradients of shared inputs and of the
/// weights: many times the teams that the largest device holds at once, so that the last groups of
/// a large batch do not run on an idle device.
const MOST_GROUPS: usize = 1 << 14;
/// The most memory for the partial sums of all groups, in values. A row of them is smaller than the
/// factor of one system unless there are many more equations than states, so that this matters only
/// where a batch shares very large inputs.
const MOST_PARTIAL_VALUES: usize = 1 << 25;
/// The least number of groups of a batch, whatever their sums take: a batch that does not fit the
/// memory is cut between groups.
const FEWEST_GROUPS: usize = 16;
/// The most values of an array of one system, which the kernels count with 32 bits.
const MOST_VALUES: usize = 1 << 30;
/// The most rows of a strip, which are eliminated at once, in teams within a warp
/// (kernels/team/strips.cuh) and in whole warps (kernels/team/elimination.cuh).
const STRIP: usize = 4;
const STRIP_OF_WARPS: usize = 8;
/// The least P for which a system is shared by several warps if that fills the device: the places
/// of a block row are then some four for each thread of a block.
const LEAST_OF_WARPS: usize = 20;
/// The number of systems for each multiprocessor with which a warp for each fills the device: two
/// for each of its schedulers, as much as registers allow of blocks.
const FULL_WARPS: usize = 8;
/// The least points of a system that two teams share: one each, and one where they meet.
const LEAST_TWISTED: usize = 3;
/// The threads of each of them: three warps, which eliminate tiles of eight columns, few enough for a
/// multiprocessor to hold two pairs with 168 registers a thread.
const TWISTED_THREADS: usize = 96;
/// The least P for which more threads have something to do than those of two teams.
const LEAST_OF_LARGE: usize = 64;
/// The alignment of the parts of the workspace, in bytes.
const ALIGNMENT: usize = 256;

/// The plan for problems of one shape: their sizes, and how they are dealt out to threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    batch: usize,
    pub(super) points: usize,
    pub(super) states: usize,
    pub(super) derivatives: usize,
    pub(super) equations: usize,
    pub(super) coefficients: usize,
    pub(super) initial: usize,
    pub(super) step_states: usize,
    /// Number of time points of the coefficients: N, or 1 where points share the input.
    pub(super) coefficient_points: usize,
    pub(super) rhs_points: usize,
    pub(super) step_points: usize,
    pub(super) pair_rows: usize,
    pub(super) triple_rows: usize,
    /// Number c of border columns, with those of the closing point of a periodic problem.
    pub(super) border: usize,
    closing: usize,
    slack: usize,
    /// Kind of the teams.
    pub kind: Kind,
    /// Number of threads of a team.
    pub team_threads: usize,
    /// Number of warps of a block, if teams are within a warp.
    warps: usize,
    /// Number C of chunks of the time points, which is 1 if a system is not shared out, and 2 for
    /// halves.
    pub chunks: usize,
    /// Number of consecutive systems whose gradients of shared inputs one team adds up, or one
    /// block where the teams share a system.
    pub group: usize,
    /// Whether solves are followed by tangent, defects and variances, instead of gradients.
    pub(super) cold: bool,
}

/// The sizes of a block-banded matrix with a border, as in `kernels/team/banded.cuh`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// Block size P.
    pub block: usize,
    /// Number Q of derivatives.
    pub derivatives: usize,
    /// Bandwidth w.
    pub bandwidth: usize,
    /// Number c of border columns.
    pub border: usize,
}

impl Band {
    /// Returns the number of stored places of a row of the factor.
    fn stored(&self) -> usize {
        self.bandwidth * self.block + self.derivatives + self.border
    }

    /// Returns the number of places of a row of the window.
    fn width(&self) -> usize {
        self.stored() + 1
    }

    /// Returns the values of a block row in the factor: rows are odd, and it begins at a multiple
    /// of 16 bytes.
    fn block_values(&self) -> usize {
        self.block.saturating_mul(self.stored() | 1).next_multiple_of(2)
    }

    /// Returns the values of the window; substitution has two block rows of the factor in its
    /// place.
    pub fn window_values(&self) -> usize {
        let rows = (self.bandwidth + 1) * self.block;
        rows.saturating_mul(self.width() | 1).max(self.block_values().saturating_mul(2))
    }
}

/// The offsets of the parts of a workspace, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Workspace {
    /// Offset of the factors, (B, factor values).
    pub factor: usize,
    /// Offset of the iterates, (B, unknowns), f64.
    pub iterate: usize,
    /// Offset of the vectors being substituted, (teams, unknowns), f64.
    pub substituted: usize,
    /// Offset of the directions, (teams, unknowns), f64.
    pub direction: usize,
    /// Offset of the right-hand sides of the tangent, (teams, unknowns), f64.
    pub tangent_rhs: usize,
    /// Offset of the values that the chunks exchange, (blocks, separator values), f64.
    pub separators: usize,
    /// Offset of the teams' memory, (teams, bytes of a block), if that is not shared memory.
    pub memory: usize,
    /// Bytes of the whole workspace.
    pub bytes: usize,
}

impl Plan {
    /// Makes the plan for problems of this shape. The groups depend on the shape alone, so that the
    /// sums over them do not depend on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] if one system has more values than the kernels can count.
    pub fn new(shape: &ProblemShape, options: &Options, limits: &Limits) -> Result<Self> {
        Self::with_purpose(shape, options, limits, false)
    }

    /// Makes the plan for solves that are followed by tangent, defects and variances, instead of
    /// gradients.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn cold(shape: &ProblemShape, options: &Options, limits: &Limits) -> Result<Self> {
        Self::with_purpose(shape, options, limits, true)
    }

    fn with_purpose(
        shape: &ProblemShape,
        options: &Options,
        limits: &Limits,
        cold: bool,
    ) -> Result<Self> {
        check_counts(shape)?;
        let order = shape.order();
        let closing = if options.periodic { shape.block() } else { 0 };
        let slack = usize::from(matches!(options.formulation, Formulation::SharedSlack { .. }));
        let shared = |axis: usize, values: usize| if axis == 1 { values } else { 0 };
        let [cb, cn, e, k, qc] = shape.coefficients;
        let [rb, rn, _] = shape.rhs;
        let [ib, i, _, j] = shape.initial_values;
        let [sb, sn, sk] = shape.steps;
        let partial = shared(cb, cn.saturating_mul(e * k * qc))
            .saturating_add(shared(rb, rn.saturating_mul(e)))
            .saturating_add(shared(ib, i * k * j))
            .saturating_add(shared(sb, sn * sk))
            .saturating_add(4);
        let groups = (MOST_PARTIAL_VALUES / partial).clamp(FEWEST_GROUPS, MOST_GROUPS);
        let mut plan = Plan {
            batch: shape.batch,
            points: shape.points,
            states: k,
            derivatives: shape.derivatives(),
            equations: e,
            coefficients: e * k * qc,
            initial: k * j,
            step_states: sk,
            coefficient_points: cn,
            rhs_points: rn,
            step_points: sn,
            pair_rows: pair_rows(options, order).rows,
            triple_rows: triple_rows(options, order).map_or(0, |family| family.rows),
            border: closing + slack,
            closing,
            slack,
            kind: Kind::Warp,
            team_threads: 32,
            warps: 1,
            chunks: 1,
            group: shape.batch.div_ceil(groups),
            cold,
        };
        for (what, values) in [
            ("the rows of a time point", plan.band().window_values()),
            ("the border", plan.border * (plan.border + 1)),
        ] {
            check_count("coefficients", what, values)?;
        }
        plan.choose(shape.batch, limits);
        Ok(plan)
    }

    /// Chooses teams as wide as a row of the window while that fits a warp, and blocks beyond, or
    /// where large blocks of M give several warps something to do and the batch is too small to.
    fn choose(&mut self, batch: usize, limits: &Limits) {
        let width = self.band().width();
        let crowded = batch > FULL_WARPS * limits.multiprocessors;
        if width <= 32 && (self.block() < LEAST_OF_WARPS || crowded) {
            // As many teams to a warp as it has room for.
            self.team_threads = 32 / (32 / width.max(8));
            let teams_of_warp = 32 / self.team_threads;
            let spread = batch.div_ceil(teams_of_warp).div_ceil(limits.multiprocessors);
            for warps in (1..=spread.clamp(1, MOST_WARPS)).rev() {
                self.warps = warps;
                if self.dynamic_shared(&self.most_memory()) <= limits.shared_memory {
                    return;
                }
            }
        }
        self.kind = Kind::Block;
        self.team_threads = match self.block() {
            ..LEAST_OF_LARGE => 128,
            _ => 256,
        };
        if self.dynamic_shared(&self.most_memory()) > limits.shared_memory {
            self.kind = Kind::Global;
        } else if let Some(twisted) = self.twisted(limits) {
            *self = twisted;
        }
    }

    /// Returns this plan with two teams of a block for every system, one from the first point on and
    /// one from the last, which meet in the middle; or `None` where there are none: solves without a
    /// border, with rows on two points and blocks that are not too large.
    pub fn twisted(&self, limits: &Limits) -> Option<Self> {
        let plan = Plan { kind: Kind::Twisted, chunks: 2, team_threads: TWISTED_THREADS, ..*self };
        let fits = !self.cold
            && self.border == 0
            && self.bandwidth() == 1
            && self.points >= LEAST_TWISTED
            && self.block() < LEAST_OF_LARGE
            && plan.dynamic_shared(&plan.most_memory()) <= limits.shared_memory;
        fits.then_some(plan)
    }

    /// Returns P, the values of a time point.
    pub(super) fn block(&self) -> usize {
        self.states * self.derivatives
    }

    /// Returns w, the bandwidth.
    pub(super) fn bandwidth(&self) -> usize {
        if self.triple_rows > 0 { 2 } else { 1 }
    }

    /// Returns n, the number of diagonal blocks.
    fn blocks(&self) -> usize {
        if self.closing > 0 { self.points - 1 } else { self.points }
    }

    /// Returns the sizes of the matrix that a team eliminates.
    pub(super) fn band(&self) -> Band {
        Band {
            block: self.block(),
            derivatives: self.derivatives,
            bandwidth: self.bandwidth(),
            border: self.border + if self.has_separators() { self.separator() } else { 0 },
        }
    }

    /// Returns the most rows of a strip.
    pub(super) fn strip(&self) -> usize {
        match self.kind {
            Kind::Warp | Kind::Chunk => STRIP,
            Kind::Block | Kind::Global | Kind::Twisted => STRIP_OF_WARPS,
        }
    }

    /// Returns whether there are separators between the chunks.
    pub(super) fn has_separators(&self) -> bool {
        self.kind == Kind::Chunk
    }

    /// Returns S, the number of unknowns of a separator.
    fn separator(&self) -> usize {
        self.bandwidth() * self.block()
    }

    /// Returns the sizes of the matrix of the separators.
    pub(super) fn separators(&self) -> Band {
        let s = self.separator();
        Band { block: s, derivatives: s, bandwidth: 1, border: self.border }
    }

    /// Returns the number of values that the chunks of a system exchange, as in
    /// `kernels/team/separators.cuh`.
    pub fn separator_values(&self) -> usize {
        if !self.has_separators() {
            return 0;
        }
        let (s, c) = (self.separator(), self.border);
        let record = s * (2 * s + c + 1) + (s + c) * (s + c + 1) + s + c;
        self.chunks * record + 3 * ((self.chunks - 1) * s + c)
    }

    /// Returns N·P, the number of values of the solution.
    pub fn values(&self) -> usize {
        self.points * self.block()
    }

    /// Returns the number of unknowns, N·P, and one more if there is slack.
    pub fn unknowns(&self) -> usize {
        self.values() + self.slack
    }

    /// Returns the number of values of the factor of one system.
    pub fn factor_values(&self) -> usize {
        let separators = if self.has_separators() { self.chunks - 1 } else { 0 };
        let of_separators = separators * self.separators().block_values();
        let values = self.blocks() * self.band().block_values() + of_separators;
        (values + self.border * self.border).next_multiple_of(2)
    }

    /// Returns the number of teams that a block has room for.
    pub fn teams_of_block(&self) -> usize {
        match self.kind {
            Kind::Warp => self.warps * (32 / self.team_threads),
            Kind::Chunk | Kind::Twisted => self.chunks,
            Kind::Block | Kind::Global => 1,
        }
    }

    /// Returns the number of systems that a block works on at once.
    pub fn systems_of_block(&self) -> usize {
        if self.chunks > 1 { 1 } else { self.teams_of_block() }
    }

    /// Returns the number of threads of a block.
    pub fn block_threads(&self) -> usize {
        match self.kind {
            Kind::Warp => 32 * self.warps,
            Kind::Chunk | Kind::Twisted => self.team_threads * self.chunks,
            Kind::Block | Kind::Global => self.team_threads,
        }
    }

    /// Returns the workspace of a part of so many systems.
    pub fn workspace(&self, systems: usize) -> Workspace {
        let mut bytes = 0_usize;
        let mut part = |values: usize, size: usize| {
            let offset = bytes;
            let of_all = systems.saturating_mul(values).saturating_mul(size);
            let padded = of_all.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
            bytes = bytes.saturating_add(padded);
            offset
        };
        let memory = match self.kind {
            Kind::Global => {
                let most = self.most_memory();
                most.common_bytes.saturating_add(most.team_bytes)
            }
            Kind::Warp | Kind::Block | Kind::Chunk | Kind::Twisted => 0,
        };
        let of_tangents = if self.cold { self.unknowns() } else { 0 };
        Workspace {
            factor: part(self.factor_values(), 8),
            iterate: part(self.unknowns(), 8),
            substituted: part(self.unknowns(), 8),
            direction: part(self.unknowns(), 8),
            tangent_rhs: part(of_tangents, 8),
            separators: part(self.separator_values(), 8),
            memory: part(memory, 1),
            bytes,
        }
    }
}

/// Checks the sizes themselves, before anything is computed from them.
fn check_counts(shape: &ProblemShape) -> Result<()> {
    let [_, _, e, k, qc] = shape.coefficients;
    let [_, i, _, j] = shape.initial_values;
    let product =
        |sizes: &[usize]| sizes.iter().fold(1_usize, |product, &n| product.saturating_mul(n));
    // A smoothness row is on at most three points; the table with its products has (3Q)² values.
    let row = 3 * shape.derivatives().min(MOST_VALUES);
    let unknowns = product(&[shape.points, k, shape.derivatives()]).saturating_add(1);
    for (argument, what, values) in [
        ("coefficients", "the smoothness rows of a state", product(&[row, row + 1])),
        ("coefficients", "the unknowns of a system", unknowns),
        ("coefficients", "the equation rows of a time point", product(&[2, e, k, qc])),
        ("initial_values", "the initial values of a system", product(&[i, k, j])),
        ("steps", "the steps of a system", product(&[shape.points, shape.steps[2]])),
    ] {
        check_count(argument, what, values)?;
    }
    Ok(())
}

fn check_count(argument: &str, what: &str, values: usize) -> Result<()> {
    if values <= MOST_VALUES {
        return Ok(());
    }
    let message =
        format!("{what} have {values} values, at most {MOST_VALUES} are possible on a device");
    Err(Error::argument(argument, message))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Twisted {
            return write!(
                f,
                "two teams of {} threads a system, from both ends to the middle, P = {}, border 0, \
                 Cholesky, working in shared memory",
                self.team_threads,
                self.block(),
            );
        }
        if self.chunks > 1 {
            return write!(
                f,
                "team of {} threads a chunk, {} chunks of up to {} points a system, P = {}, border \
                 {}, Cholesky, working in shared memory",
                self.team_threads,
                self.chunks,
                self.blocks().div_ceil(self.chunks),
                self.block(),
                self.border,
            );
        }
        let place = if self.kind == Kind::Global { "global" } else { "shared" };
        write!(
            f,
            "team of {} threads a system, {} to a block, P = {}, border {}, Cholesky, working in \
             {place} memory",
            self.team_threads,
            self.teams_of_block(),
            self.block(),
            self.border,
        )
    }
}
