//! Where arrays begin in the memory of a block and of its teams. Kernels are told, and know nothing
//! else of how that memory is laid out.
//!
//! The arrays of a layout have the names and sizes of the arrays of the kernel's structure that it
//! is for; which that is stands in `kernels/team/parameters.h`. An array is added in three places:
//! in that header (then `cargo xtask bindings`), at the structure in the kernel, and here. Arrays
//! that are never needed at the same time begin at the same place.

use super::plan::{Band, Kind, Plan};
use crate::backend::cuda::bindings::{
    BandLayout, CovariancesLayout, GradientLayout, ResidualLayout, RowsLayout, TableLayout,
    TangentLayout, TeamLayout,
};

/// Places are counted in units of so many bytes.
const UNIT: usize = 16;
/// The least points of a part of a team: the last part has the last step, which begins a point before.
const LEAST_POINTS: usize = 2;

/// Deals out memory from its beginning on, in pieces that begin at multiples of [`UNIT`].
#[derive(Clone, Copy, Default)]
struct Arena {
    units: usize,
}

impl Arena {
    /// Takes room for so many values in double precision, and returns its place in units.
    fn take(&mut self, values: usize) -> u32 {
        let place = self.units;
        self.units = self.units.saturating_add(values.div_ceil(UNIT / 8));
        // No array of a plan has more than 2³⁰ values, so that all of them end below 2³² units.
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Returns the number of bytes that were taken so far.
    fn bytes(self) -> usize {
        self.units.saturating_mul(UNIT)
    }
}

/// The memory that one kernel works in, in shared memory or, for global teams, in the workspace.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Places of the arrays that all kernels of teams may have.
    pub layout: TeamLayout,
    /// Number of bytes of the arrays of a block; those of its teams follow them.
    pub common_bytes: usize,
    /// Number of bytes from the memory of one team to that of the next.
    pub team_bytes: usize,
    /// Number of parts of a team that work on points side by side.
    pub parts: usize,
    /// Number of bytes from what one part has for that to what the next has.
    pub part_bytes: usize,
}

impl Band {
    /// Lays out what eliminating this matrix in strips of so many rows and substituting in it need.
    fn layout(&self, strip: usize, arena: &mut Arena) -> BandLayout {
        let (p, w, c) = (self.block, self.bandwidth, self.border);
        BandLayout {
            window: arena.take(self.window_values()),
            pivots: arena.take(p),
            wholes: arena.take(p),
            panel: arena.take(strip * strip),
            corner: arena.take(c * (c + 1)),
            corner_wholes: arena.take(c),
            given: arena.take(2 * p),
            beside: arena.take(2 * p),
            x: arena.take(2 * p),
            solved: arena.take(2 * (w + 1) * p),
            border: arena.take(2 * c),
            taken: arena.take(w * p),
        }
    }
}

impl Plan {
    /// Returns the memory of the kernels of the forward solve and of the defects.
    pub fn forward_memory(&self) -> Memory {
        self.solving(self.notes(), |_| ()).0
    }

    /// Returns the memory of the adjoint kernels.
    pub fn adjoint_memory(&self) -> (Memory, GradientLayout) {
        let (e, k, w, p) = (self.equations, self.states, self.bandwidth(), self.block());
        let over_time = |axis: usize, values: usize| if axis == 1 { values } else { 0 };
        let mut of_part = self.notes();
        let gradient = GradientLayout {
            rows: self.rows(&mut of_part),
            z: of_part.take((w + 1) * p),
            g: of_part.take((w + 1) * p),
            parts: of_part.take(2 * e * (k | 1)),
            equation: of_part.take(2 * e),
            pair: of_part.take(k * self.pair_rows),
            triple: of_part.take(k * self.triple_rows),
            scales: of_part.take(e + self.initial),
            pending: of_part.take(self.step_states),
            handed_on: of_part.take(self.step_states),
            total_coefficients: of_part.take(over_time(self.coefficient_points, self.coefficients)),
            total_rhs: of_part.take(over_time(self.rhs_points, e)),
            total_steps: of_part.take(over_time(self.step_points, self.step_states)),
        };
        (self.solving(of_part, |_| ()).0, gradient)
    }

    /// Returns the memory of the tangent kernels.
    pub fn tangent_memory(&self) -> (Memory, TangentLayout) {
        let (e, k) = (self.equations, self.states);
        let (pair, triple) = (2 * k * self.pair_rows, 3 * k * self.triple_rows);
        self.solving(self.notes(), |own| TangentLayout {
            z: own.take((self.bandwidth() + 1) * self.block()),
            parts: own.take(2 * e * k),
            equation: own.take(2 * e),
            pair: own.take(pair),
            pair_tangent: own.take(pair),
            triple: own.take(triple),
            triple_tangent: own.take(triple),
            coefficients: own.take(self.coefficients),
        })
    }

    /// Returns the memory of the kernels of the variances.
    pub fn variances_memory(&self) -> (Memory, CovariancesLayout) {
        let (layout, common) = self.common();
        let (p, c) = (self.block(), self.border);
        let known = self.bandwidth() * p + c;
        let pitch = known | 1;
        let mut arena = self.notes();
        let covariances = CovariancesLayout {
            window: arena.take(known * pitch),
            coupled: arena.take(p * pitch),
            across: arena.take(p * pitch),
            inverse: arena.take(c * (c + 1)),
        };
        let none = self.notes();
        (self.memory(layout, common, arena, none, none), covariances)
    }

    /// Returns the largest memory that any kernel of this plan asks for, with the layout of the
    /// forward kernels.
    pub fn most_memory(&self) -> Memory {
        let after = match self.cold {
            true => self.tangent_memory().0.team_bytes.max(self.variances_memory().0.team_bytes),
            false => self.adjoint_memory().0.team_bytes,
        };
        let forward = self.forward_memory();
        Memory { team_bytes: forward.team_bytes.max(after), ..forward }
    }

    /// Returns the bytes of shared memory of a block with this memory, which is none for global
    /// teams.
    pub fn dynamic_shared(&self, memory: &Memory) -> usize {
        match self.kind {
            Kind::Warp | Kind::Block | Kind::Chunk | Kind::Twisted => {
                memory.common_bytes + self.teams_of_block() * memory.team_bytes
            }
            Kind::Global => 0,
        }
    }

    /// Lays out the memory of a block: the tables of the rows, and the sums over its chunks or halves.
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
        // The memory of a team begins with its notes.
        (TeamLayout { pair, triple, shares, notes: 0, ..TeamLayout::default() }, arena)
    }

    /// Lays out what the memory of a team begins with: notes, by which its threads add up sums.
    fn notes(&self) -> Arena {
        let mut arena = Arena::default();
        arena.take(2 * self.team_threads);
        arena
    }

    /// Lays out what the rows of a point need.
    fn rows(&self, arena: &mut Arena) -> RowsLayout {
        let powers = self.step_states * self.derivatives;
        RowsLayout {
            pair_powers: arena.take(2 * powers),
            triple_powers: arena.take(if self.triple_rows > 0 { 3 * powers } else { 0 }),
            lengths: arena.take(self.step_states),
            coefficients: arena.take(self.coefficients),
            rhs: arena.take(self.equations),
            initial: arena.take(self.initial),
        }
    }

    /// Lays out what the residuals of a part of a team need.
    fn residual(&self, arena: &mut Arena) -> ResidualLayout {
        let (e, k) = (self.equations, self.states);
        ResidualLayout {
            rows: self.rows(arena),
            z: arena.take((self.bandwidth() + 1) * self.block()),
            parts: arena.take(e * (k | 1)),
            equation: arena.take(e),
            pair: arena.take(2 * k * self.pair_rows),
            triple: arena.take(3 * k * self.triple_rows),
        }
    }

    /// Lays out what a solve with refinement needs, and beside it `own`. What a part of the team needs
    /// for residuals, or ends with `of_part`, lies in the place of rows, elimination and substitution,
    /// since the two are never needed at the same time; so do the matrices of the chunk and of the
    /// separators.
    fn solving<T>(&self, mut of_part: Arena, own: impl FnOnce(&mut Arena) -> T) -> (Memory, T) {
        let (mut layout, common) = self.common();
        let start = self.notes();
        let mut arena = start;
        layout.rows = self.rows(&mut arena);
        let mut of_separators = arena;
        layout.band = self.band().layout(self.strip(), &mut arena);
        if self.has_separators() {
            layout.separators = self.separators().layout(self.strip(), &mut of_separators);
        }
        arena.units = arena.units.max(of_separators.units);
        let own = own(&mut arena);
        let mut of_residual = start;
        layout.residual = self.residual(&mut of_residual);
        of_part.units = of_part.units.max(of_residual.units);
        (self.memory(layout, common, arena, start, of_part), own)
    }

    /// Returns the memory with this layout, of which so much is taken, and by the first part of a team
    /// what lies between `start` and the end of `of_part`. There are as many parts as warps, but for
    /// those that would need more memory than there is, or points.
    fn memory(
        &self,
        layout: TeamLayout,
        common: Arena,
        of_team: Arena,
        start: Arena,
        of_part: Arena,
    ) -> Memory {
        let part_bytes = of_part.bytes() - start.bytes();
        let room = of_team.bytes() - start.bytes();
        let points = self.points / self.chunks;
        let warps = (self.team_threads / 32).min(points / LEAST_POINTS).max(1);
        let parts = (room / part_bytes.max(1)).clamp(1, warps);
        let of_parts = start.bytes().saturating_add(parts * part_bytes);
        let team_bytes = self.spread(of_team.bytes().max(of_parts));
        Memory { layout, common_bytes: common.bytes(), team_bytes, parts, part_bytes }
    }

    /// Returns the least distance between teams of this many bytes each at which the lanes of
    /// neighboring teams of a warp fall into different banks of shared memory.
    fn spread(&self, bytes: usize) -> usize {
        if !matches!(self.kind, Kind::Warp | Kind::Chunk) {
            return bytes;
        }
        // 128 bytes are all banks once; the lanes of a team use 8 bytes each, side by side.
        let lanes = (self.team_threads * 8).next_multiple_of(16) % 128;
        let offset = (lanes + 128 - bytes % 128) % 128;
        bytes + offset
    }
}
