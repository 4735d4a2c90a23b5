// Parameters of the team kernels, passed by value. Plain C: src/backend/cuda/team/parameters.rs
// mirrors these structures field by field, and a test compares sizes and offsets.

#ifndef MECHANISTIC_TEAM_PARAMETERS_H
#define MECHANISTIC_TEAM_PARAMETERS_H

#include "parameters.h"

// A problem, how its systems are dealt out to teams of threads, and their workspace.
//
// Team i works on the systems i, i + teams, i + 2·teams, ... The factor of a system is kept for the
// adjoint; the rest of the workspace is a team's own.
typedef struct {
    Problem problem;
    int64_t teams;          // of the launch
    int64_t factor_values;  // per system: N blocks of P·(w·P + Q + c), then the border, c·c
    int64_t unknowns;       // N·P, and one if there is slack
    int32_t team_threads;   // threads of a team: up to 32 in warp kernels, the block in the others
    int32_t team_bytes;     // shared memory of a team
    int32_t common_bytes;   // shared memory of a block, before that of its teams
    int32_t reserved;
    void *factor;        // (B, factor_values)
    void *substituted;   // (teams, unknowns): R⁻ᵀ of a right-hand side
    double *iterate;     // (teams, unknowns): what refinement improves
    void *window;        // (teams, window values), or null: in shared memory
} TeamPlan;

// What the forward kernels write.
typedef struct {
    void *values;    // (B, N, K, Q)
    void *epsilon;   // (B)
    Status *status;  // (B)
} TeamSolution;

// What the adjoint kernels read and write. An input that all systems share has a partial sum a
// team; the gradients of the weights always have.
typedef struct {
    const void *values;             // (B, N, K, Q)
    const void *epsilon;            // (B)
    const Status *status;           // (B)
    const void *cotangent;          // (B, N, K, Q)
    const void *epsilon_cotangent;  // (B), or null: zeros
    void *coefficients;             // (B or teams, N or 1, E, K, Qc)
    void *rhs;                      // (B or teams, N or 1, E)
    void *initial_values;           // (B or teams, I, K, J)
    void *steps;                    // (B or teams, N−1 or 1, K or 1)
    double *weights;                // (teams, 4): equation, initial, smoothness, periodic
} TeamAdjoint;

// What the tangent kernels read and write. Tangents of inputs have the layout of the inputs and are
// null where the input stands still.
typedef struct {
    const void *values;    // (B, N, K, Q)
    const void *epsilon;   // (B)
    const Status *status;  // (B)
    const void *coefficients;
    const void *rhs;
    const void *initial_values;
    const void *steps;
    void *d_values;   // (B, N, K, Q)
    void *d_epsilon;  // (B)
} TeamTangent;

#endif
