//! How teams of threads share a problem, and the memory they need. The sums here are those of the
//! kernels' own bookkeeping (kernels/team/rows.cuh, banded.cuh, substitution.cuh ...).

mod chunks;

use std::fmt;

use crate::backend::cuda::driver::device::Limits;
use crate::error::{Error, Result};
use crate::options::{Formulation, Options};
use crate::rows::{pair_rows, triple_rows};
use crate::shape::ProblemShape;

/// What a team is made of, and where its working set lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up to 32 threads of a warp; in shared memory.
    Warp,
    /// A block; in shared memory.
    Block,
    /// A block; in the workspace, in global memory.
    Global,
    /// Up to 32 threads of a warp with a chunk of the time points of their block's system; in
    /// shared memory.
    Chunk,
}

impl Kind {
    /// As in the kernels' names.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Warp => "warp",
            Kind::Block => "block",
            Kind::Global => "global",
            Kind::Chunk => "chunk",
        }
    }
}

/// Most warps of a block whose teams are within a warp.
const MOST_WARPS: usize = 4;
/// Most groups of systems, each with partial sums of the gradients of shared inputs and of the
/// weights: many times the teams that the largest device holds at once, so that the last ones of a
/// large batch do not run on an idle device.
const MOST_GROUPS: usize = 1 << 14;
/// Most memory for those sums, in values. A row of them is smaller than the factor of one system
/// unless there are many more equations than states, so that this matters only where a batch shares
/// very large inputs.
const MOST_PARTIAL_VALUES: usize = 1 << 25;
/// Groups of a batch even so: a batch that does not fit the memory is cut between groups.
const FEWEST_GROUPS: usize = 16;
/// Most values of an array of one system, which the kernels count with 32 bits.
const MOST_VALUES: usize = 1 << 30;
/// Most rows that are eliminated at once, as in kernels/team/banded.cuh.
const MOST_ROWS: usize = 4;
/// Alignment of the parts of the workspace.
const ALIGNMENT: usize = 256;

/// Sizes, and how they are dealt out.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    batch: usize,
    points: usize,
    states: usize,
    derivatives: usize,
    equations: usize,
    coefficients: usize,
    initial: usize,
    step_states: usize,
    /// N, or 1 where points share the input (N − 1 for steps).
    coefficient_points: usize,
    rhs_points: usize,
    step_points: usize,
    pair_rows: usize,
    triple_rows: usize,
    /// c, of which the closing point of a periodic problem.
    border: usize,
    closing: usize,
    slack: usize,
    /// What a team is.
    pub kind: Kind,
    /// Threads of a team.
    pub team_threads: usize,
    /// Warps of a block, if teams are within a warp.
    warps: usize,
    /// C: chunks of the time points, if a system is shared out; else 1.
    pub chunks: usize,
    /// Consecutive systems whose gradients of shared inputs one team adds up, or one block where the
    /// teams share a system.
    pub group: usize,
    /// Whether solves are followed by tangent, defects and variances, instead of gradients.
    cold: bool,
}

/// A block-banded matrix with a border: as in `kernels/team/banded.cuh`.
#[derive(Clone, Copy, Debug)]
struct Band {
    /// P.
    block: usize,
    /// Q.
    derivatives: usize,
    /// w.
    bandwidth: usize,
    /// c.
    border: usize,
}

impl Band {
    /// Stored places of a row of the factor.
    fn stored(&self) -> usize {
        self.bandwidth * self.block + self.derivatives + self.border
    }

    /// Places of a row of the window.
    fn width(&self) -> usize {
        self.stored() + 1
    }

    /// Of a block row in the factor: rows are odd, and it begins at a multiple of 16 bytes.
    fn block_values(&self) -> usize {
        self.block.saturating_mul(self.stored() | 1).next_multiple_of(2)
    }

    /// Of the window; substitution has two block rows of the factor in its place.
    fn window_values(&self) -> usize {
        let rows = (self.bandwidth + 1) * self.block;
        rows.saturating_mul(self.width() | 1).max(self.block_values().saturating_mul(2))
    }

    fn elimination_bytes(&self) -> usize {
        let (p, c) = (self.block, self.border);
        doubles([self.window_values(), p, p, p, MOST_ROWS * MOST_ROWS, c * (c + 1), c])
    }

    /// With substitution.
    fn bytes(&self) -> usize {
        let (p, w) = (self.block, self.bandwidth);
        self.elimination_bytes() + doubles([p, 2 * (w + 1) * p, 2 * self.border, w * p])
    }
}

/// Offsets of the parts of a workspace.
#[derive(Clone, Copy, Debug)]
pub struct Workspace {
    /// (B, factor values).
    pub factor: usize,
    /// (B, unknowns), f64.
    pub iterate: usize,
    /// (teams, unknowns), f64.
    pub substituted: usize,
    /// (teams, unknowns), f64.
    pub direction: usize,
    /// (teams, unknowns), f64.
    pub tangent_rhs: usize,
    /// (blocks, what the chunks exchange), f64.
    pub separators: usize,
    /// (teams, bytes of a block), if not in shared memory.
    pub memory: usize,
    /// All of it.
    pub bytes: usize,
}

/// Bytes of so many values, which are in double precision.
fn array(values: usize) -> usize {
    // Each array begins at a multiple of 16.
    (values * 8).next_multiple_of(16)
}

/// Bytes of arrays.
fn doubles<const N: usize>(values: [usize; N]) -> usize {
    values.into_iter().map(array).sum()
}

impl Plan {
    /// For problems of this shape. The groups depend on the shape alone, so that the sums over them
    /// do not depend on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] if one system has more values than the kernels can count.
    pub fn new(shape: &ProblemShape, options: &Options, limits: &Limits) -> Result<Self> {
        Self::with_purpose(shape, options, limits, false)
    }

    /// The same for solves that are followed by tangent, defects and variances, instead of
    /// gradients.
    ///
    /// # Errors
    /// As [`Self::new`].
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

    /// Teams as wide as a row of the window while that fits a warp, blocks beyond.
    fn choose(&mut self, batch: usize, limits: &Limits) {
        let width = self.band().width();
        if width <= 32 {
            // As many teams to a warp as it has room for.
            self.team_threads = 32 / (32 / width.max(8));
            let teams_of_warp = 32 / self.team_threads;
            let spread = batch.div_ceil(teams_of_warp).div_ceil(limits.multiprocessors);
            for warps in (1..=spread.clamp(1, MOST_WARPS)).rev() {
                self.warps = warps;
                if self.dynamic_shared(self.most_team_bytes()) <= limits.shared_memory {
                    return;
                }
            }
        }
        self.kind = Kind::Block;
        self.team_threads = match self.block() {
            ..=31 => 64,
            32..=63 => 128,
            _ => 256,
        };
        if self.dynamic_shared(self.most_team_bytes()) > limits.shared_memory {
            self.kind = Kind::Global;
        }
    }

    /// P.
    fn block(&self) -> usize {
        self.states * self.derivatives
    }

    /// w.
    fn bandwidth(&self) -> usize {
        if self.triple_rows > 0 { 2 } else { 1 }
    }

    /// n.
    fn blocks(&self) -> usize {
        if self.closing > 0 { self.points - 1 } else { self.points }
    }

    /// What a team eliminates.
    fn band(&self) -> Band {
        Band {
            block: self.block(),
            derivatives: self.derivatives,
            bandwidth: self.bandwidth(),
            border: self.border + if self.chunks > 1 { self.separator() } else { 0 },
        }
    }

    /// S: unknowns of a separator.
    fn separator(&self) -> usize {
        self.bandwidth() * self.block()
    }

    /// The system of the separators.
    fn separators(&self) -> Band {
        let s = self.separator();
        Band { block: s, derivatives: s, bandwidth: 1, border: self.border }
    }

    /// What the chunks of a system exchange: as in `kernels/team/separators.cuh`.
    pub fn separator_values(&self) -> usize {
        if self.chunks == 1 {
            return 0;
        }
        let (s, c) = (self.separator(), self.border);
        let record = s * (2 * s + c + 1) + (s + c) * (s + c + 1) + s + c;
        self.chunks * record + 3 * ((self.chunks - 1) * s + c)
    }

    /// N·P.
    pub fn values(&self) -> usize {
        self.points * self.block()
    }

    /// N·P, and one if there is slack.
    pub fn unknowns(&self) -> usize {
        self.values() + self.slack
    }

    /// Of one system.
    pub fn factor_values(&self) -> usize {
        let of_separators = (self.chunks - 1) * self.separators().block_values();
        let values = self.blocks() * self.band().block_values() + of_separators;
        (values + self.border * self.border).next_multiple_of(2)
    }

    /// Teams that a block has room for.
    pub fn teams_of_block(&self) -> usize {
        match self.kind {
            Kind::Warp => self.warps * (32 / self.team_threads),
            Kind::Chunk => self.chunks,
            Kind::Block | Kind::Global => 1,
        }
    }

    /// Systems that a block works on at once.
    pub fn systems_of_block(&self) -> usize {
        if self.chunks > 1 { 1 } else { self.teams_of_block() }
    }

    /// Threads of a block.
    pub fn block_threads(&self) -> usize {
        match self.kind {
            Kind::Warp => 32 * self.warps,
            Kind::Chunk => self.team_threads * self.chunks,
            Kind::Block | Kind::Global => self.team_threads,
        }
    }

    /// Shared memory of a block whose teams have so many bytes.
    pub fn dynamic_shared(&self, team_bytes: usize) -> usize {
        match self.kind {
            Kind::Warp | Kind::Block | Kind::Chunk => {
                self.common_bytes() + self.teams_of_block() * team_bytes
            }
            Kind::Global => 0,
        }
    }

    /// Memory of a block, before that of its teams.
    pub fn common_bytes(&self) -> usize {
        let table = |rows: usize, points: usize| {
            let columns = if rows > 0 { points * self.derivatives } else { 0 };
            doubles([rows * columns, columns * columns, columns])
        };
        let shares = if self.chunks > 1 { 2 * self.chunks } else { 0 };
        table(self.pair_rows, 2) + table(self.triple_rows, 3) + array(shares)
    }

    /// Notes and rows: what the memory of a team begins with.
    fn rows_bytes(&self) -> usize {
        let powers = self.step_states * self.derivatives;
        let triple = if self.triple_rows > 0 { 3 * powers } else { 0 };
        let values = [self.coefficients, self.equations, self.initial];
        doubles([2 * self.team_threads, 2 * powers, triple, self.step_states]) + doubles(values)
    }

    /// For elimination and substitution.
    fn solve_bytes(&self) -> usize {
        let separators = if self.chunks > 1 { self.separators().bytes() } else { 0 };
        self.band().bytes().max(separators)
    }

    fn residual_bytes(&self) -> usize {
        let (e, k) = (self.equations, self.states);
        let z = (self.bandwidth() + 1) * self.block();
        doubles([z, e * (k | 1), e, 2 * k * self.pair_rows, 3 * k * self.triple_rows])
    }

    /// A stride between teams at which their lanes fall into different banks.
    fn spread(&self, bytes: usize) -> usize {
        if !matches!(self.kind, Kind::Warp | Kind::Chunk) {
            return bytes;
        }
        // 128 bytes are all banks once.
        let lanes = (self.team_threads * 8).next_multiple_of(16) % 128;
        let offset = (lanes + 128 - bytes % 128) % 128;
        bytes + offset
    }

    fn gradient_bytes(&self) -> usize {
        let over_time = |axis: usize, values: usize| if axis == 1 { values } else { 0 };
        let (e, k) = (self.equations, self.states);
        let z = (self.bandwidth() + 1) * self.block();
        doubles([
            z,
            z,
            2 * e * (k | 1),
            2 * e,
            k * self.pair_rows,
            k * self.triple_rows,
            e + self.initial,
            self.step_states,
            self.step_states,
            over_time(self.coefficient_points, self.coefficients),
            over_time(self.rhs_points, e),
            over_time(self.step_points, self.step_states),
        ])
    }

    fn tangent_rows_bytes(&self) -> usize {
        let (e, k) = (self.equations, self.states);
        let z = (self.bandwidth() + 1) * self.block();
        let (pair, triple) = (2 * k * self.pair_rows, 3 * k * self.triple_rows);
        doubles([z, 2 * e * k, 2 * e, pair, pair, triple, triple, self.coefficients])
    }

    /// Memory of a team, if `others` take turns in what solves leave.
    fn team_bytes(&self, others: usize) -> usize {
        self.spread(self.rows_bytes() + self.solve_bytes() + self.residual_bytes().max(others))
    }

    /// Memory of a team, of the forward kernels.
    pub fn forward_bytes(&self) -> usize {
        self.team_bytes(0)
    }

    /// Of the adjoint kernels.
    pub fn adjoint_bytes(&self) -> usize {
        self.team_bytes(self.gradient_bytes())
    }

    /// Of the tangent kernels.
    pub fn tangent_bytes(&self) -> usize {
        self.team_bytes(self.tangent_rows_bytes())
    }

    /// Of the kernels of the defects.
    pub fn defects_bytes(&self) -> usize {
        self.spread(self.rows_bytes() + array(self.block()) + self.residual_bytes())
    }

    /// Of the kernels of the variances.
    pub fn variances_bytes(&self) -> usize {
        let (p, c) = (self.block(), self.border);
        let known = self.bandwidth() * p + c;
        let (pitch, own) = (known | 1, p.max(c));
        let values = [2 * self.team_threads, known * pitch, p * pitch, p * pitch, own * (own | 1)];
        self.spread(doubles(values))
    }

    fn most_team_bytes(&self) -> usize {
        let after = match self.cold {
            true => self.tangent_bytes().max(self.defects_bytes()).max(self.variances_bytes()),
            false => self.adjoint_bytes(),
        };
        self.forward_bytes().max(after)
    }

    /// Of a part of so many systems.
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
            Kind::Global => self.common_bytes() + self.most_team_bytes(),
            Kind::Warp | Kind::Block | Kind::Chunk => 0,
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

/// The sizes themselves, before anything is computed from them.
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
