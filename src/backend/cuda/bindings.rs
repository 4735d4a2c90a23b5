//! The structures that kernels take, and the numbers in them: `kernels/**/*.h`.
//!
//! Written by `cargo xtask bindings`; do not edit. The comments are those of the headers.

pub const TAPE_AXES: usize = 6;
pub const TAPE_OPERANDS: usize = 4;
pub const THREAD_MOST_DERIVATIVES: usize = 4;
pub const THREAD_TABLE: usize = 64;
pub const STORAGE_F32: Storage = 0;
pub const STORAGE_F64: Storage = 1;
pub const STORAGE_F16: Storage = 2;
pub const STORAGE_BF16: Storage = 3;
/// How the values of an input are stored; kernels compute in double precision whatever the storage.
pub type Storage = i32;

pub const STATUS_OK: StatusKind = 0;
/// first: 0 coefficients, 1 rhs, 2 initial values, 3 steps
pub const STATUS_NON_FINITE_INPUT: StatusKind = 1;
/// first: t of s_t
pub const STATUS_INVALID_STEP: StatusKind = 2;
/// first: point t (N: the slack), second: row of the pivot
pub const STATUS_BREAKDOWN: StatusKind = 3;
pub const STATUS_OVERFLOW: StatusKind = 4;
/// How the solve of a system can end.
pub type StatusKind = i32;

/// How the solve of one system ended, with what is to know about it.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub kind: i32,
    pub first: i32,
    pub second: i32,
}

/// The axes of a batch that has several, but for the outermost one, the innermost first: n < 2³¹ is
/// divided by the extent of one as (n·factor >> 32) >> shift. Of one axis, `several` is 0.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct BatchAxes {
    /// number of the first system of this launch in the batch
    pub first: i64,
    pub extents: [u32; 2usize],
    pub factors: [u32; 2usize],
    pub shifts: [i32; 2usize],
    pub several: i32,
    pub reserved: i32,
}

/// One input array. Strides are counted in values and are 0 along a shared axis; the values of a
/// point lie side by side. Where the batch has several axes, i is the index along the innermost one.
/// coefficients: system·i + time·t + (e·K + k)·Qc + j  rhs:   system·i + time·t + e
/// initial:      system·i + time·t + k·J + j           steps: system·i + time·t + state·k
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Input {
    pub data: *const ::core::ffi::c_void,
    pub system: i64,
    /// along the axes of the batch outside of the innermost one
    pub outer: [i64; 2usize],
    pub time: i64,
    pub state: i32,
    /// values of a point; 0 where all points share them
    pub each: i32,
    /// whether all systems share the values
    pub shared: i32,
    /// whether systems lie along one axis side by side, row-major without gaps
    pub dense: i32,
    pub storage: i32,
    pub reserved: i32,
}

/// The place of a gradient, with strides like those of an Input. Where the gradient is not wanted,
/// data is null. Gradients that a group of systems shares are in double precision if there are
/// several groups, whose sums are still to be added up.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Output {
    pub data: *mut ::core::ffi::c_void,
    pub system: i64,
    pub time: i64,
    pub state: i32,
    /// single or double
    pub storage: i32,
}

/// Smoothness rows of one state on 2 or 3 neighboring points: entry (row, point·Q + j) is
/// table[row][point·Q + j] · length^(j + shift), length = the step, or the sum of both steps.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RowTable {
    pub table: *const f64,
    /// 0: there are none
    pub rows: i32,
    pub shift: i32,
}

/// A problem: sizes, options, inputs. Every kernel of a plan takes it.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Problem {
    /// B of this launch
    pub batch: i64,
    /// N
    pub points: i64,
    /// K
    pub states: i32,
    /// Q
    pub derivatives: i32,
    /// Qc <= Q
    pub equation_derivatives: i32,
    /// E
    pub equations: i32,
    /// I
    pub initial_points: i32,
    /// J
    pub initial_derivatives: i32,
    /// whether z[0,k,j] = z[N-1,k,j], j < Q - 1
    pub periodic: i32,
    /// whether epsilon stands in every smoothness row
    pub slack: i32,
    /// whether equation rows are scaled by l^(Qc-1), initial rows by l^j
    pub balanced: i32,
    /// Storage of all results and of cotangents: single or double
    pub results: i32,
    /// steps with the residual beta - A z
    pub refinement: i32,
    pub reserved: i32,
    /// gamma·alpha
    pub slack_cost: f64,
    pub weight_equation: f64,
    pub weight_initial: f64,
    pub weight_smoothness: f64,
    pub weight_periodic: f64,
    pub pair: RowTable,
    pub triple: RowTable,
    /// (B, N): factors of the rows that begin at each point; null: 1
    pub point_scales: *const f64,
    /// of the inputs
    pub axes: BatchAxes,
    pub coefficients: Input,
    pub rhs: Input,
    pub initial_values: Input,
    pub steps: Input,
}

/// Where the sums of the columns of common/reduce.cu are written, in order: the first
/// `targets[0].values` columns to target 0, and so on, those of another set of partial sums `set`
/// values further. Columns of a target whose data is null are passed over.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct SumTarget {
    pub data: *mut ::core::ffi::c_void,
    pub values: i64,
    pub set: i64,
    /// single or double
    pub storage: i32,
    pub reserved: i32,
}

#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct SumTargets {
    pub targets: [SumTarget; 5usize],
}

/// An index space and the places of its elements in each operand: element (i_0, …, i_{axes−1}) of
/// operand m is at Σ i_a · stride[m][a]. Row-major: the last axis varies fastest. Axes beyond `axes`
/// do not exist; without axes there is one element.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct Walk {
    pub length: [i64; 6usize],
    pub stride: [[i64; 6usize]; 4usize],
    /// product of the lengths
    pub size: i64,
    pub axes: i64,
}

#[repr(i32)]
/// The function f that a Reduction sums.
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub enum ReduceFunction {
    /// g
    Sum = 0,
    /// -g
    Negated = 1,
    /// g·a
    Product = 2,
    /// g/a
    Quotient = 3,
    /// -g·a/b², which is gy·∂(a/b)/∂b
    Denominator = 4,
    /// g where the mask holds
    Held = 5,
    /// g where it does not
    NotHeld = 6,
}

/// target(k) = or += Σ_r f(g, a, b at k and r), k in `kept`, r in `reduced`; see tape/reduce.cu.
/// Operands: 0 target, 1 g, 2 a, 3 b.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct Reduction {
    pub kept: Walk,
    pub reduced: Walk,
    /// of the target's first element
    pub offset: i64,
    /// between the results of two splits in the target
    pub split_stride: i64,
    pub function: ReduceFunction,
    /// threads that share a sum: a power of two, at most 256
    pub lanes: i32,
    /// blocks that share a sum
    pub splits: i32,
    /// 1: neighboring threads share a sum; 0: they have neighboring sums
    pub adjacent: i32,
    /// 1: target += , 0: target =
    pub add: i32,
    pub reserved: i32,
}

#[repr(i32)]
/// A function of one number, which `tape/elementwise.cu` applies to an array.
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub enum UnaryFunction {
    Negate = 0,
    Scale = 1,
    Shift = 2,
    Relu = 3,
    Tanh = 4,
    Sigmoid = 5,
    Softplus = 6,
    Gelu = 7,
    Sin = 8,
    Cos = 9,
    Exp = 10,
    Ln = 11,
    Sqrt = 12,
    Square = 13,
    Reciprocal = 14,
    Powi = 15,
    Powf = 16,
}

#[repr(i32)]
/// A function of two numbers, which `tape/elementwise.cu` applies to two arrays.
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub enum BinaryFunction {
    Add = 0,
    Subtract = 1,
    Multiply = 2,
    Divide = 3,
}

/// A batch of products; see tape/matmul.cu. Operands of the walks: 0 c, 1 a, 2 b.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct MatMul {
    pub kept: Walk,
    pub reduced: Walk,
    pub m: i64,
    pub k: i64,
    pub n: i64,
    /// strides within a matrix
    pub a_row: i64,
    /// strides within a matrix
    pub a_column: i64,
    pub b_row: i64,
    pub b_column: i64,
    /// between the results of two splits in c
    pub split_stride: i64,
    /// blocks that share a tile of c
    pub splits: i32,
    /// 1: c += , 0: c =
    pub add: i32,
}

/// The numbers of one step of an optimizer; see tape/optimizer.cu.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct Update {
    /// The norm of the gradient at which it is clipped: a gradient with a larger norm is scaled by
    /// limit/norm; may be infinite.
    pub limit: f64,
    pub rate: f64,
    pub momentum: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub correction1: f64,
    pub correction2: f64,
    pub decay: f64,
}

/// Of one row family: team/rows.cuh, SharedTable.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct TableLayout {
    pub table: u32,
    pub gram: u32,
    pub sums: u32,
}

/// team/rows.cuh, Rows.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct RowsLayout {
    pub pair_powers: u32,
    pub triple_powers: u32,
    pub lengths: u32,
    pub coefficients: u32,
    pub rhs: u32,
    pub initial: u32,
}

/// A block-banded matrix: team/banded.cuh, Banded, and team/substitution.cuh, Substitution.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct BandLayout {
    pub window: u32,
    pub pivots: u32,
    pub wholes: u32,
    pub panel: u32,
    pub corner: u32,
    pub corner_wholes: u32,
    pub given: u32,
    pub beside: u32,
    pub x: u32,
    pub solved: u32,
    pub border: u32,
    pub taken: u32,
}

/// team/residual.cuh, Residual.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct ResidualLayout {
    pub rows: RowsLayout,
    pub z: u32,
    pub parts: u32,
    pub equation: u32,
    pub pair: u32,
    pub triple: u32,
}

/// team/gradient.cuh, Gradient.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct GradientLayout {
    pub rows: RowsLayout,
    pub z: u32,
    pub g: u32,
    pub parts: u32,
    pub equation: u32,
    pub pair: u32,
    pub triple: u32,
    pub scales: u32,
    pub pending: u32,
    pub handed_on: u32,
    pub total_coefficients: u32,
    pub total_rhs: u32,
    pub total_steps: u32,
}

/// team/tangent_rows.cuh, Tangent.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TangentLayout {
    pub z: u32,
    pub parts: u32,
    pub equation: u32,
    pub pair: u32,
    pub pair_tangent: u32,
    pub triple: u32,
    pub triple_tangent: u32,
    pub coefficients: u32,
}

/// team/variances.cu, Covariances.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct CovariancesLayout {
    pub window: u32,
    pub coupled: u32,
    pub across: u32,
    pub inverse: u32,
}

/// What all team kernels have.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default)]
pub struct TeamLayout {
    /// of the block
    pub pair: TableLayout,
    /// of the block
    pub triple: TableLayout,
    /// of the block, where teams share a system: (C, 2), for sums over C
    pub shares: u32,
    /// of the team, as all below: (team, 2), for sums over the team
    pub notes: u32,
    pub rows: RowsLayout,
    /// of the system, or of a chunk
    pub band: BandLayout,
    /// in chunk kernels, in the same place: of their system
    pub separators: BandLayout,
    /// of the team's first part, in the same place
    pub residual: ResidualLayout,
}

/// A problem, how its systems are dealt out to teams of threads, and their workspace.
///
/// Team i, or block i in chunk and twisted kernels, whose teams share a system, works on the systems
/// i·group .. (i+1)·group, one after another. Factor and iterate are kept for the adjoint; the rest
/// of the workspace is a team's own, or a block's where its teams share a system: then (teams, …)
/// below means (blocks, …).
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamPlan {
    pub problem: Problem,
    /// systems of a team, or of a block whose teams share them
    pub group: i64,
    /// per system: n blocks of P·(w·P + Q + c), in chunk kernels the C−1
    /// of the separators, then the border, c·c
    pub factor_values: i64,
    /// N·P, and one if there is slack
    pub unknowns: i64,
    /// memory of a team
    pub team_bytes: i64,
    /// C records, 3 vectors
    pub separator_values: i64,
    /// memory of a block, before that of its teams
    pub common_bytes: i64,
    /// from what residual and gradient have of a team's part to the next's
    pub part_bytes: i64,
    /// of a team: up to 32 within a warp, else of the block, or of half of it
    pub team_threads: i32,
    /// C of a system, each a team of its block; 1 where teams share none
    pub chunks: i32,
    /// of a team, which work on points side by side: warps, or the team
    pub parts: i32,
    /// of the memory of a block and of a team
    pub layout: TeamLayout,
    /// (B, factor_values), R of M = RᵀR
    pub factor: *mut f64,
    /// (B, unknowns): the solution with all its digits
    pub iterate: *mut f64,
    /// (teams, unknowns): R⁻ᵀ of a right-hand side
    pub substituted: *mut f64,
    /// (teams, unknowns): adjoint, tangent or M⁻¹q; in the forward solve the
    /// diagonal of M
    pub direction: *mut f64,
    /// (teams, unknowns), of the tangent kernels only
    pub tangent_rhs: *mut f64,
    /// (blocks, separator_values), of chunk kernels only: team/separators.cuh
    pub separators: *mut f64,
    /// (teams, common and team bytes) of global kernels; else in shared memory
    pub memory: *mut ::core::ffi::c_void,
}

/// The arrays that the forward kernels write.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamSolution {
    /// (B, N, K, Q)
    pub values: *mut ::core::ffi::c_void,
    /// (B)
    pub epsilon: *mut ::core::ffi::c_void,
    /// (B)
    pub status: *mut Status,
}

/// The arrays that the adjoint kernels read and write.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamAdjoint {
    /// (B)
    pub status: *const Status,
    /// (B, N, K, Q)
    pub cotangent: *const ::core::ffi::c_void,
    /// (B), or null: zeros
    pub epsilon_cotangent: *const ::core::ffi::c_void,
    /// Of an input with a batch axis, row i is the gradient of system i; of a shared input, the sum
    /// of team i (or block i) over its systems.
    pub coefficients: Output,
    pub rhs: Output,
    pub initial_values: Output,
    pub steps: Output,
    /// (teams, 4): equation, initial, smoothness, periodic
    pub weights: Output,
    pub layout: GradientLayout,
}

/// The arrays that the tangent kernels read and write. Tangents of inputs have the layout of the
/// inputs; for an input that does not move they are null, and with q none of them is read.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamTangent {
    /// (B), of the caller's solve
    pub status: *const Status,
    /// (B)
    pub own_status: *const Status,
    /// (B, N, K, Q), or null: right-hand sides in place of the tangent's
    pub q: *const ::core::ffi::c_void,
    /// (B), their entries of the slack, or null: zeros
    pub q_epsilon: *const ::core::ffi::c_void,
    pub coefficients: Input,
    pub rhs: Input,
    pub initial_values: Input,
    pub steps: Input,
    /// (B, N, K, Q): the tangent, or M⁻¹q
    pub d_values: *mut ::core::ffi::c_void,
    /// (B)
    pub d_epsilon: *mut ::core::ffi::c_void,
    pub layout: TangentLayout,
}

/// The arrays that the kernels of the defects read and write.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamDefects {
    /// (B), of the caller's solve
    pub status: *const Status,
    /// (B)
    pub own_status: *const Status,
    /// (B, 4): squared weighted defects, equation, initial, smoothness, periodic
    pub sums: *mut f64,
}

/// The arrays that the kernels of the variances read and write.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct TeamVariances {
    /// (B), of the caller's solve
    pub status: *const Status,
    /// (B)
    pub own_status: *const Status,
    /// (B, N, K, Q): the diagonal of M⁻¹
    pub values: *mut ::core::ffi::c_void,
    pub layout: CovariancesLayout,
}

/// Smoothness rows on two points, by value, so that they are read from the constant bank.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadRows {
    /// C: (rows, 2·Q)
    pub table: [f64; 64usize],
    /// CᵀC: (2·Q, 2·Q)
    pub gram: [f64; 64usize],
}

/// Shared memory in which a warp stages one array of its 32 systems (thread/stream.cuh). Offsets are
/// counted in doubles, from the begin of the warp's part.
#[repr(C)]
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct ThreadRing {
    /// of the first half of a system, or of the longest chunk: V
    pub values: i32,
    /// of the second half: V
    pub late_values: i32,
    /// offset of the ring
    pub slots: i32,
    /// slots of a system in the ring, a power of two; 0 where there is no ring
    pub capacity: i32,
    /// offset of the sums over time of a gradient, (32, V|1)
    pub sums: i32,
    /// along the array's time axis: N, N − 1 or I
    pub points: i32,
}

/// What the launches of span kernels tell each other: what a span has found out, which a join
/// replaces by what the spans of its system have. The first three are the Pivots, the next two the
/// Faults of common/verdict.cuh.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadFindings {
    pub weakest: f64,
    pub weakest_unknown: i32,
    pub lost_unknown: i32,
    pub step: i32,
    pub inputs: u32,
    /// what the span adds to the probe of the conditioning: thread/solve.cuh
    pub squares: f64,
    /// whether its part of the solution is
    pub finite: i32,
    pub reserved: i32,
}

/// How time is cut into chunks (thread/chunk_*.cu, thread/span_*.cu).
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadChunks {
    /// C = 1 << bits
    pub bits: i32,
    /// chunks of a span: 1 << span_bits
    pub span_bits: i32,
    /// doubles of shared memory of a warp, with chunks or without
    pub warp_values: i32,
    /// offset of the spikes in them
    pub scratch: i32,
    /// (tiles, N, P·P, 32): column by column
    pub spikes: *mut f64,
    /// (tiles, SEPARATOR_VALUES, 32): thread/reduction.cuh
    pub separators: *mut f64,
    /// (spans): of span kernels only
    pub findings: *mut ThreadFindings,
}

/// The parameters that all these kernels take.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadProblem {
    pub problem: Problem,
    pub rows: ThreadRows,
    pub coefficients: ThreadRing,
    pub rhs: ThreadRing,
    pub initial_values: ThreadRing,
    pub steps: ThreadRing,
    /// solution, cotangent; in the same place as the inputs
    pub unknowns: ThreadRing,
    /// whether an array that passes through the rings is stored in double
    /// precision: then their slots have 8 bytes, else 4, with one rounding
    pub wide: i32,
    /// whether the factor of the first system is that of all; without chunks
    pub one_factor: i32,
    /// (tiles, N, F, 32): rows of R, the reciprocals of its diagonal
    pub factor: *mut f64,
    /// (tiles, N, P, 32): z, not rounded
    pub solution: *mut f64,
    /// (tiles, N, P, 32): right-hand side while it is substituted
    pub vector: *mut f64,
    /// (tiles, N, P, 32): what M x = given is solved for; with refinement only
    pub given: *mut f64,
    /// (tiles, N, P, 32): x of that; with refinement only
    pub direction: *mut f64,
    pub chunks: ThreadChunks,
}

/// The arrays of thread_solve.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadSolve {
    pub common: ThreadProblem,
    /// (B, N, K, Q)
    pub solution: *mut ::core::ffi::c_void,
    /// (B)
    pub epsilon: *mut ::core::ffi::c_void,
    /// (B)
    pub status: *mut Status,
    /// how the factorization ended: of thread_resolve only
    pub of_factor: *const Status,
}

/// The arrays of thread_adjoint. Gradients of inputs that the batch shares are partial sums, one a
/// tile (in chunk kernels one a system), `system` apart. In span kernels, so are the gradients of
/// what all points share and those of the weights, one a span.
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct ThreadAdjoint {
    pub common: ThreadProblem,
    /// (B, N, K, Q)
    pub cotangent: *const ::core::ffi::c_void,
    /// (B)
    pub status: *const Status,
    pub coefficients: Output,
    pub rhs: Output,
    pub initial_values: Output,
    pub steps: Output,
    /// (tiles, 4), in chunk kernels (spans, 4)
    pub weights: Output,
}
