//! Where arrays begin in the memory of a block and of its teams. Kernels are told, and know nothing
//! else of how that memory is laid out.

use super::plan::{Band, Kind, MOST_ROWS, Plan};
use crate::backend::cuda::bindings::{
    BandLayout, CovariancesLayout, GradientLayout, ResidualLayout, RowsLayout, TableLayout,
    TangentLayout, TeamLayout,
};

/// Places are counted in units of so many bytes.
const UNIT: usize = 16;

/// Deals out memory from its beginning on, in pieces that begin at multiples of [`UNIT`].
#[derive(Clone, Copy, Default)]
struct Arena {
    units: usize,
}

impl Arena {
    /// The place of so many values in double precision.
    fn take(&mut self, values: usize) -> u32 {
        let place = self.units;
        self.units = self.units.saturating_add(values.div_ceil(UNIT / 8));
        // `Plan::new` refuses what needs more.
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn bytes(self) -> usize {
        self.units.saturating_mul(UNIT)
    }
}

/// The memory of one kernel.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What all kernels of teams have.
    pub layout: TeamLayout,
    /// Bytes of a block, before those of its teams.
    pub common_bytes: usize,
    /// Bytes of a team.
    pub team_bytes: usize,
}

impl Band {
    fn layout(&self, arena: &mut Arena) -> BandLayout {
        let (p, w, c) = (self.block, self.bandwidth, self.border);
        BandLayout {
            window: arena.take(self.window_values()),
            reciprocals: arena.take(p),
            pivots: arena.take(p),
            wholes: arena.take(p),
            panel: arena.take(MOST_ROWS * MOST_ROWS),
            corner: arena.take(c * (c + 1)),
            corner_wholes: arena.take(c),
            x: arena.take(p),
            solved: arena.take(2 * (w + 1) * p),
            border: arena.take(2 * c),
            taken: arena.take(w * p),
        }
    }
}

impl Plan {
    /// Memory of the forward kernels.
    pub fn forward_memory(&self) -> Memory {
        let (layout, common, after) = self.solving();
        self.memory(layout, common, after)
    }

    /// Memory of the adjoint kernels: gradients take turns with what residuals need.
    pub fn adjoint_memory(&self) -> (Memory, GradientLayout) {
        let (mut layout, common, mut after) = self.solving();
        let (e, k, w, p) = (self.equations, self.states, self.bandwidth(), self.block());
        let over_time = |axis: usize, values: usize| if axis == 1 { values } else { 0 };
        let mut own = self.before_residual(&mut layout);
        let gradient = GradientLayout {
            z: own.take((w + 1) * p),
            g: own.take((w + 1) * p),
            parts: own.take(2 * e * (k | 1)),
            equation: own.take(2 * e),
            pair: own.take(k * self.pair_rows),
            triple: own.take(k * self.triple_rows),
            scales: own.take(e + self.initial),
            pending: own.take(self.step_states),
            handed_on: own.take(self.step_states),
            total_coefficients: own.take(over_time(self.coefficient_points, self.coefficients)),
            total_rhs: own.take(over_time(self.rhs_points, e)),
            total_steps: own.take(over_time(self.step_points, self.step_states)),
        };
        after.units = after.units.max(own.units);
        (self.memory(layout, common, after), gradient)
    }

    /// Memory of the tangent kernels: right-hand sides take turns with what residuals need.
    pub fn tangent_memory(&self) -> (Memory, TangentLayout) {
        let (mut layout, common, mut after) = self.solving();
        let (e, k) = (self.equations, self.states);
        let (pair, triple) = (2 * k * self.pair_rows, 3 * k * self.triple_rows);
        let mut own = self.before_residual(&mut layout);
        let tangent = TangentLayout {
            z: own.take((self.bandwidth() + 1) * self.block()),
            parts: own.take(2 * e * k),
            equation: own.take(2 * e),
            pair: own.take(pair),
            pair_tangent: own.take(pair),
            triple: own.take(triple),
            triple_tangent: own.take(triple),
            coefficients: own.take(self.coefficients),
        };
        after.units = after.units.max(own.units);
        (self.memory(layout, common, after), tangent)
    }

    /// Memory of the kernels of the defects.
    pub fn defects_memory(&self) -> Memory {
        let (mut layout, common) = self.common();
        let mut arena = self.rows(&mut layout);
        layout.band.x = arena.take(self.block());
        layout.residual = self.residual(&mut arena);
        self.memory(layout, common, arena)
    }

    /// Memory of the kernels of the variances.
    pub fn variances_memory(&self) -> (Memory, CovariancesLayout) {
        let (mut layout, common) = self.common();
        let (p, c) = (self.block(), self.border);
        let known = self.bandwidth() * p + c;
        let (pitch, own) = (known | 1, p.max(c));
        let mut arena = Arena::default();
        layout.notes = arena.take(2 * self.team_threads);
        let covariances = CovariancesLayout {
            window: arena.take(known * pitch),
            coupled: arena.take(p * pitch),
            across: arena.take(p * pitch),
            inverse: arena.take(own * (own | 1)),
        };
        (self.memory(layout, common, arena), covariances)
    }

    /// The largest memory that any kernel of this plan asks for.
    pub fn most_memory(&self) -> Memory {
        let after = match self.cold {
            true => vec![self.tangent_memory().0, self.defects_memory(), self.variances_memory().0],
            false => vec![self.adjoint_memory().0],
        };
        let forward = self.forward_memory();
        after.into_iter().fold(forward, |most, memory| Memory {
            team_bytes: most.team_bytes.max(memory.team_bytes),
            ..most
        })
    }

    /// Shared memory of a block with this memory.
    pub fn dynamic_shared(&self, memory: &Memory) -> usize {
        match self.kind {
            Kind::Warp | Kind::Block | Kind::Chunk => {
                memory.common_bytes + self.teams_of_block() * memory.team_bytes
            }
            Kind::Global => 0,
        }
    }

    /// Whether places that far can be told to a kernel.
    pub fn can_be_laid_out(&self) -> bool {
        self.most_memory().team_bytes / UNIT < u32::MAX as usize
    }

    /// Tables and sums of a block.
    fn common(&self) -> (TeamLayout, Arena) {
        let mut arena = Arena::default();
        let mut table = |rows: usize, points: usize| {
            let columns = if rows > 0 { points * self.derivatives } else { 0 };
            TableLayout {
                table: arena.take(rows * columns),
                gram: arena.take(columns * columns),
                sums: arena.take(columns),
            }
        };
        let (pair, triple) = (table(self.pair_rows, 2), table(self.triple_rows, 3));
        let shares = arena.take(if self.chunks > 1 { 2 * self.chunks } else { 0 });
        (TeamLayout { pair, triple, shares, ..TeamLayout::default() }, arena)
    }

    /// Notes and rows: what the memory of a team begins with.
    fn rows(&self, layout: &mut TeamLayout) -> Arena {
        let powers = self.step_states * self.derivatives;
        let mut arena = Arena::default();
        layout.notes = arena.take(2 * self.team_threads);
        layout.rows = RowsLayout {
            pair_powers: arena.take(2 * powers),
            triple_powers: arena.take(if self.triple_rows > 0 { 3 * powers } else { 0 }),
            lengths: arena.take(self.step_states),
            coefficients: arena.take(self.coefficients),
            rhs: arena.take(self.equations),
            initial: arena.take(self.initial),
        };
        arena
    }

    /// Rows, elimination and substitution; the system of the separators has the place of the chunk's.
    fn before_residual(&self, layout: &mut TeamLayout) -> Arena {
        let mut arena = self.rows(layout);
        let mut of_separators = arena;
        layout.band = self.band().layout(&mut arena);
        if self.chunks > 1 {
            layout.separators = self.separators().layout(&mut of_separators);
        }
        arena.units = arena.units.max(of_separators.units);
        arena
    }

    fn residual(&self, arena: &mut Arena) -> ResidualLayout {
        let (e, k) = (self.equations, self.states);
        ResidualLayout {
            z: arena.take((self.bandwidth() + 1) * self.block()),
            parts: arena.take(e * (k | 1)),
            equation: arena.take(e),
            pair: arena.take(2 * k * self.pair_rows),
            triple: arena.take(3 * k * self.triple_rows),
        }
    }

    /// What a refined solve has, of the block and of a team.
    fn solving(&self) -> (TeamLayout, Arena, Arena) {
        let (mut layout, common) = self.common();
        let mut arena = self.before_residual(&mut layout);
        layout.residual = self.residual(&mut arena);
        (layout, common, arena)
    }

    fn memory(&self, layout: TeamLayout, common: Arena, of_team: Arena) -> Memory {
        let team_bytes = self.spread(of_team.bytes());
        Memory { layout, common_bytes: common.bytes(), team_bytes }
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
}
