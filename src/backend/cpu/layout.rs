//! The sizes of the problems of a batch and of their factors, and what all tiles of it share.

use super::lanes::LANES;
use super::staging::{Source, Streams, TileSystems};
use super::tile::leader::SharedFactor;
use crate::inputs::Inputs;
use crate::options::{Formulation, Options};
use crate::rows::triple_rows;
use crate::shape::{InputLayout, ProblemShape};

/// The largest Q that kernels are compiled for: blocks of larger Q are computed on value by value.
const MOST_TILE: usize = 4;
/// The number of values of coefficients that are brought into lanes at once.
const STAGED_VALUES: usize = 1024;
/// The most tiles that factorize a matrix each for themselves though all systems have the same: they need not
/// wait for the one that does it for all.
const MOST_FACTORS: usize = 2;
/// The least number of points of a chunk of a system, and of one of two sets of chunks, so that a second
/// thread pays.
const SHORTEST_CHUNK: usize = 12;
const SHORTEST_OF_TWO: usize = 128;

/// The indices of the unknowns and of the inputs of one system.
///
/// The unknowns are a chain of blocks z_0, z_1, ..., which are eliminated one after another, and a
/// border, which is coupled with all of them: the closing point z_{N−1} if the problem is periodic,
/// and the slack ε. Because the closing point comes first in the border, z_t begins at t·P in any
/// case, and ε at N·P. The border ends with padding up to a whole number of tiles.
///
/// The factor R of M = RᵀR has a block row for each block of the chain: the triangle R_tt, P·(P+1)/2
/// values with reciprocals on the diagonal; then P rows of `panel` values, which are R_ty for the
/// border, after R_{t,t+1} .. R_{t,t+w} if the coupling is stored. Where rows tie two points only,
/// M_{t,t+1} = E_t is a function of the step, and R_tt⁻ᵀE_t need not be stored. The triangle of the
/// border comes last. Where the factor serves further right-hand sides and R_{t,t+1} is not stored, a block row
/// ends with it nevertheless, P·P values, for their substitution.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// N.
    pub points: usize,
    /// K.
    pub states: usize,
    /// Q.
    pub derivatives: usize,
    /// P = K·Q.
    pub block: usize,
    /// E.
    pub equations: usize,
    /// Qc.
    pub equation_derivatives: usize,
    /// I and J.
    pub given: [usize; 2],
    /// Number of the block after the last one of the chain.
    pub chain: usize,
    /// Whether the last point closes a period.
    pub closing: bool,
    /// Whether the first point is in the border.
    pub opening: bool,
    /// Number of points at which rows begin: of a chunk, all but the last.
    pub begun: usize,
    /// Number of values of the solution of a whole system.
    pub system_values: usize,
    /// Index of the slack ε, if there is one.
    pub slack: Option<usize>,
    /// Number w of later blocks that a block is coupled with.
    pub bandwidth: usize,
    /// Number of unknowns in the border.
    pub border: usize,
    /// Whether R_{t,t+1} .. R_{t,t+w} are stored.
    pub stored: bool,
    /// Whether R comes from the rows and not from M.
    pub square_root: bool,
    /// Whether several systems all have the same M, so that a factor serves further right-hand sides for as long
    /// as coefficients and steps stay. A single system shares nothing: its coefficients may be new every time.
    pub same_matrix: bool,
    /// Whether they also have one factor for all of them.
    pub one_matrix: bool,
    /// Edge T of the tiles that blocks are computed on in: Q, or 1 where Q is large.
    pub tile: usize,
    /// Layout of the problem's arrays.
    pub inputs: Inputs<InputLayout>,
    /// Number of values of each input at a point; of initial values, at all points.
    pub widths: Inputs<usize>,
    /// Number of states with steps of their own, K or 1.
    pub step_states: usize,
    /// Number of points that are brought into lanes at once.
    pub stage: usize,
    /// Number of points whose rows have factors of their own: N where they follow growth, else 0.
    pub scaled_points: usize,
}

impl Layout {
    /// Returns the layout of problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Self {
        let (points, states, derivatives) = (shape.points, shape.states(), shape.derivatives());
        let tile = if derivatives <= MOST_TILE { derivatives } else { 1 };
        let slack = matches!(options.formulation, Formulation::SharedSlack { .. });
        let closing = usize::from(options.periodic);
        let central = triple_rows(options, shape.order()).is_some();
        let square_root = options.square_root();
        let unpadded = closing * shape.block() + usize::from(slack);
        let row = states * shape.equation_derivatives();
        let coefficients = shape.equations() * row;
        let inputs = shape.layouts();
        // Rows that follow growth depend on the solution, and rotations of rows take the right-hand side along.
        let same_matrix = shape.batch > 1
            && inputs.coefficients.shared()
            && inputs.steps.shared()
            && !options.follow_growth
            && !square_root;
        Layout {
            points,
            states,
            derivatives,
            block: shape.block(),
            equations: shape.equations(),
            equation_derivatives: shape.equation_derivatives(),
            given: [shape.initial_points(), shape.initial_derivatives()],
            chain: points - closing,
            closing: options.periodic,
            opening: false,
            begun: points,
            system_values: points * shape.block(),
            slack: slack.then_some(points * shape.block()),
            bandwidth: if central { 2 } else { 1 },
            border: unpadded.next_multiple_of(tile),
            stored: central || square_root,
            square_root,
            same_matrix,
            one_matrix: same_matrix && shape.batch > MOST_FACTORS * LANES,
            tile,
            inputs,
            widths: Inputs {
                coefficients,
                rhs: shape.equations(),
                initial_values: shape.initial_points() * states * shape.initial_derivatives(),
                steps: shape.steps[2],
            },
            step_states: shape.steps[2],
            stage: (STAGED_VALUES / coefficients).clamp(1, 32),
            scaled_points: if options.follow_growth { points } else { 0 },
        }
    }

    /// Returns whether the blocks form a chain of pairs without a border, so that all sizes of a block step
    /// follow from Q and K.
    pub fn plain(&self) -> bool {
        self.border == 0 && !self.stored
    }

    /// Returns this layout with constants in place of what is known when a sweep is compiled: that
    /// tiles have the edge T, which is Q unless it is 1; and, unless P is 0, that blocks have P unknowns and
    /// the layout is [`plain`](Self::plain), or that of a part of a system with such a layout.
    #[inline(always)]
    pub fn fixed<const T: usize, const P: usize>(&self) -> Self {
        let mut fixed = *self;
        if T > 1 {
            fixed.derivatives = T;
        }
        if P > 0 {
            fixed.states = P / T;
            fixed.block = P;
            fixed.bandwidth = 1;
            fixed.border = if fixed.opening { P } else { 0 };
            fixed.stored = false;
            fixed.slack = None;
            fixed.closing = false;
            if P == T {
                fixed.step_states = 1;
                fixed.widths.steps = 1;
            }
        }
        fixed
    }

    /// Returns how a long system is cut at separators, or `None` if such systems are not to be cut.
    ///
    /// A chunk has a separator, which is in the border, its own points, which are the chain, and the
    /// next separator, where no rows begin. The tail has a separator and at least one point more.
    pub fn cut(&self) -> Option<Cut> {
        let points = self.points.checked_sub(2)?;
        let least = |length: usize| length.max(self.given[0]);
        let sets = if points / (2 * LANES) >= least(SHORTEST_OF_TWO) { 2 } else { 1 };
        let chunk = points / (sets * LANES);
        let possible = self.plain() && self.scaled_points == 0;
        if !possible || chunk < least(SHORTEST_CHUNK) {
            return None;
        }
        let (opening, same_matrix) = (true, false);
        let part = Layout { opening, border: self.block, same_matrix, ..*self };
        let tail = self.points - sets * LANES * chunk;
        let tail = Layout { points: tail, chain: tail, begun: tail, ..part };
        let chunk = Layout { points: chunk + 1, chain: chunk, begun: chunk, ..part };
        Some(Cut { sets, chunk, tail: tail.without_initial_values() })
    }

    fn without_initial_values(mut self) -> Self {
        self.given[0] = 0;
        self.widths.initial_values = 0;
        self
    }

    /// Returns the number of values in lanes of each input of a tile: all steps and initial values, and
    /// of coefficients and right-hand sides those of the points that are brought into lanes at once.
    pub fn staged(&self) -> Inputs<usize> {
        let counts = [self.stage, self.stage, 1, self.points - 1];
        let shared = self.inputs.map(|input| input.inner[0] == 0);
        let points = Inputs::from(counts).zip(shared);
        points
            .map(|(count, shared)| if shared { 1 } else { count })
            .zip(self.widths)
            .map(|(count, width)| count.saturating_mul(width))
    }

    /// Returns the number of values of the solution, N·P.
    pub fn values(&self) -> usize {
        self.points * self.block
    }

    /// Returns the index of the first unknown of the border.
    #[inline(always)]
    pub fn first_border(&self) -> usize {
        if self.closing { self.chain * self.block } else { self.points * self.block }
    }

    /// Returns the number of unknowns of the border that are no padding.
    pub fn unpadded_border(&self) -> usize {
        self.values() + usize::from(self.slack.is_some()) - self.first_border()
    }

    /// Returns the number of unknowns, padding included.
    pub fn unknowns(&self) -> usize {
        self.first_border().saturating_add(self.border)
    }

    /// Returns the number of columns of the window, (w+1)·P and the border.
    #[inline(always)]
    pub fn window(&self) -> usize {
        (self.bandwidth + 1) * self.block + self.border
    }

    /// Returns the number of columns of the panel of a block row.
    #[inline(always)]
    pub fn panel(&self) -> usize {
        self.border + if self.stored { self.bandwidth * self.block } else { 0 }
    }

    /// Returns the number of values of R_{t,t+1} that a block row ends with, P·P or none.
    #[inline(always)]
    pub fn kept(&self) -> usize {
        if self.same_matrix && !self.stored { self.block.saturating_mul(self.block) } else { 0 }
    }

    /// Returns the number of values of a block row of the factor.
    #[inline(always)]
    pub fn row_values(&self) -> usize {
        triangle(self.block) + self.block * self.panel() + self.kept()
    }

    /// Returns the number of values of the factor, saturated.
    pub fn factor_values(&self) -> usize {
        let border = self.border.saturating_mul(self.border + 1) / 2;
        let row = self.block.saturating_mul(self.block.saturating_add(1)) / 2;
        let row = row.saturating_add(self.block.saturating_mul(self.panel()));
        let row = row.saturating_add(self.kept());
        self.chain.saturating_mul(row).saturating_add(border)
    }

    /// Returns the number of values that the matrix is made of if all systems have the same, saturated.
    pub fn matrix_values(&self) -> usize {
        self.inputs.coefficients.values.saturating_add(self.inputs.steps.values)
    }

    /// Iterates over the smoothness rows that begin at point t: (state, number of points).
    #[inline(always)]
    pub fn spans(&self, t: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (kinds, left) = (self.bandwidth, self.points - t);
        let all = (0..self.states * kinds).map(move |i| (i / kinds, 2 + i % kinds));
        all.filter(move |(_, span)| *span <= left)
    }

    /// Iterates over the points where rows begin in ranges that are brought into lanes together.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> + use<> {
        let (points, stage) = (self.begun, self.stage);
        (0..points.div_ceil(stage)).map(move |i| i * stage..points.min((i + 1) * stage))
    }

    /// Returns the number of values of each input from one point to the next, zero where points share them.
    /// Initial values are those of the system, not of a point where a chunk of it begins.
    pub fn strides(&self) -> Inputs<usize> {
        Inputs { initial_values: 0, ..self.inputs.map(|input| input.inner[0]) }
    }

    /// Returns the places of the solutions (N, K, Q) of some systems in an array that begins with system
    /// `origin`.
    pub fn solution_streams(&self, systems: TileSystems, origin: usize) -> Streams {
        let of_system = |system| (system - origin) * self.system_values;
        Streams::new(of_system, false, [self.block, self.block], systems)
    }
}

/// How a long system is cut at separators.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Number of sets of chunks, with one in each lane.
    pub sets: usize,
    /// Layout of the chunks.
    pub chunk: Layout,
    /// Layout of the tail after the last chunk.
    pub tail: Layout,
}

/// Returns the number of values of a triangle of `size` rows.
#[inline(always)]
pub const fn triangle(size: usize) -> usize {
    size * (size + 1) / 2
}

/// The problem, the options and the layout, which all tiles of a batch share.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Arrays of the problem.
    pub inputs: Inputs<Source<'a>>,
    /// Options of the solve.
    pub options: &'a Options,
    /// Indices of unknowns and inputs.
    pub layout: &'a Layout,
    /// Factor of all systems, once it is made, if they have one.
    pub shared: Option<&'a SharedFactor>,
}
