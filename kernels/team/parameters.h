// Parameters of the team kernels, passed by value; src/backend/cuda/bindings.rs is made from them.

#ifndef MECHANISTIC_TEAM_PARAMETERS_H
#define MECHANISTIC_TEAM_PARAMETERS_H

#include "common/parameters.h"

// Where arrays begin in the memory of a block or of a team, in units of 16 bytes: the host lays
// them out (src/backend/cuda/team/layout.rs) and says nothing of arrays that a kernel does not use.
// What each holds stands at the structure that works with it.

// Of one row family: team/rows.cuh, SharedTable.
typedef struct {
    uint32_t table, gram, sums;
} TableLayout;

// team/rows.cuh, Rows.
typedef struct {
    uint32_t pair_powers, triple_powers, lengths, coefficients, rhs, initial;
} RowsLayout;

// A block-banded matrix: team/banded.cuh, Banded, and team/substitution.cuh, Substitution.
typedef struct {
    uint32_t window, pivots, wholes, panel, corner, corner_wholes;
    uint32_t given, beside, x, solved, border, taken;
} BandLayout;

// team/residual.cuh, Residual.
typedef struct {
    RowsLayout rows;
    uint32_t z, parts, equation, pair, triple;
} ResidualLayout;

// team/gradient.cuh, Gradient.
typedef struct {
    RowsLayout rows;
    uint32_t z, g, parts, equation, pair, triple, scales, pending, handed_on;
    uint32_t total_coefficients, total_rhs, total_steps;
} GradientLayout;

// team/tangent_rows.cuh, Tangent.
typedef struct {
    uint32_t z, parts, equation, pair, pair_tangent, triple, triple_tangent, coefficients;
} TangentLayout;

// team/variances.cu, Covariances.
typedef struct {
    uint32_t window, coupled, across, inverse;
} CovariancesLayout;

// What all team kernels have.
typedef struct {
    TableLayout pair, triple;  // of the block
    uint32_t shares;           // of the block, where teams share a system: (C, 2), for sums over C
    uint32_t notes;            // of the team, as all below: (team, 2), for sums over the team
    RowsLayout rows;
    BandLayout band;          // of the system, or of a chunk
    BandLayout separators;    // in chunk kernels, in the same place: of their system
    ResidualLayout residual;  // of the team's first part, in the same place
} TeamLayout;

// A problem, how its systems are dealt out to teams of threads, and their workspace.
//
// Team i, or block i in chunk and twisted kernels, whose teams share a system, works on the systems
// i·group .. (i+1)·group, one after another. Factor and iterate are kept for the adjoint; the rest
// of the workspace is a team's own, or a block's where its teams share a system: then (teams, …)
// below means (blocks, …).
typedef struct {
    Problem problem;
    int64_t group;             // systems of a team, or of a block whose teams share them
    int64_t factor_values;     // per system: n blocks of P·(w·P + Q + c), in chunk kernels the C−1
                               // of the separators, then the border, c·c
    int64_t unknowns;          // N·P, and one if there is slack
    int64_t team_bytes;        // memory of a team
    int64_t separator_values;  // C records, 3 vectors
    int64_t common_bytes;      // memory of a block, before that of its teams
    int64_t part_bytes;    // from what residual and gradient have of a team's part to the next's
    int32_t team_threads;  // of a team: up to 32 within a warp, else of the block, or of half of it
    int32_t chunks;        // C of a system, each a team of its block; 1 where teams share none
    int32_t parts;         // of a team, which work on points side by side: warps, or the team
    TeamLayout layout;     // of the memory of a block and of a team
    double *factor;        // (B, factor_values), R of M = RᵀR
    double *iterate;       // (B, unknowns): the solution with all its digits
    double *substituted;   // (teams, unknowns): R⁻ᵀ of a right-hand side
    double *direction;     // (teams, unknowns): adjoint, tangent or M⁻¹q; in the forward solve the
                           // diagonal of M
    double *tangent_rhs;   // (teams, unknowns), of the tangent kernels only
    double *separators;    // (blocks, separator_values), of chunk kernels only: team/separators.cuh
    void *memory;  // (teams, common and team bytes) of global kernels; else in shared memory
} TeamPlan;

// The arrays that the forward kernels write.
typedef struct {
    void *values;    // (B, N, K, Q)
    void *epsilon;   // (B)
    Status *status;  // (B)
} TeamSolution;

// The arrays that the adjoint kernels read and write.
typedef struct {
    const Status *status;           // (B)
    const void *cotangent;          // (B, N, K, Q)
    const void *epsilon_cotangent;  // (B), or null: zeros
    // Of an input with a batch axis, row i is the gradient of system i; of a shared input, the sum
    // of team i (or block i) over its systems.
    Output coefficients;
    Output rhs;
    Output initial_values;
    Output steps;
    Output weights;  // (teams, 4): equation, initial, smoothness, periodic
    GradientLayout layout;
} TeamAdjoint;

// The kernels of the structures below read factor and iterate of a solve of their own. Beside the
// statuses of that solve they are given those of the solve whose solution the caller has, which
// other kernels may have computed, with different roundings where a pivot is hardly determined.

// The arrays that the tangent kernels read and write. Tangents of inputs have the layout of the
// inputs; for an input that does not move they are null, and with q none of them is read.
typedef struct {
    const Status *status;      // (B), of the caller's solve
    const Status *own_status;  // (B)
    const void *q;             // (B, N, K, Q), or null: right-hand sides in place of the tangent's
    const void *q_epsilon;     // (B), their entries of the slack, or null: zeros
    Input coefficients;
    Input rhs;
    Input initial_values;
    Input steps;
    void *d_values;   // (B, N, K, Q): the tangent, or M⁻¹q
    void *d_epsilon;  // (B)
    TangentLayout layout;
} TeamTangent;

// The arrays that the kernels of the defects read and write.
typedef struct {
    const Status *status;      // (B), of the caller's solve
    const Status *own_status;  // (B)
    double *sums;  // (B, 4): squared weighted defects, equation, initial, smoothness, periodic
} TeamDefects;

// The arrays that the kernels of the variances read and write.
typedef struct {
    const Status *status;      // (B), of the caller's solve
    const Status *own_status;  // (B)
    void *values;              // (B, N, K, Q): the diagonal of M⁻¹
    CovariancesLayout layout;
} TeamVariances;

#endif
