// Parameters of the solver kernels that work on small systems (thread/*.cu), beyond those of
// common/parameters.h, which explains letters and conventions. src/backend/cuda/bindings.rs is made
// from them.
//
// A tile is 32 consecutive systems, one a lane of each of the two warps of a block, which have half
// of its points each. The workspace is interleaved by tile: value v of point t of system s stands
// at
// ((s/32·N + t)·values + v)·32 + s%32.
//
// In chunk kernels, a tile is 32 consecutive chunks of the time axis: chunk c of C of system s is
// number C·s + c. The workspace is the same with chunks for systems and, for N, the points of the
// longest chunk. A span is so many consecutive chunks of a system, a power of two, as one block
// has: all C of them, or in span kernels fewer, so that the spans of a system are in several
// blocks.

#ifndef MECHANISTIC_THREAD_PARAMETERS_H
#define MECHANISTIC_THREAD_PARAMETERS_H

#include "common/parameters.h"

// Most derivatives of a state for which there are kernels.
#define THREAD_MOST_DERIVATIVES 4
#define THREAD_TABLE (2 * THREAD_MOST_DERIVATIVES * 2 * THREAD_MOST_DERIVATIVES)

// Smoothness rows on two points, by value, so that they are read from the constant bank.
typedef struct {
    double table[THREAD_TABLE];  // C: (rows, 2·Q)
    double gram[THREAD_TABLE];   // CᵀC: (2·Q, 2·Q)
} ThreadRows;

// Shared memory in which a warp stages one array of its 32 systems (thread/stream.cuh). Offsets are
// counted in doubles, from the begin of the warp's part.
typedef struct {
    int32_t values;       // of the first half of a system, or of the longest chunk: V
    int32_t late_values;  // of the second half: V
    int32_t slots;        // offset of the ring
    int32_t capacity;     // slots of a system in the ring, a power of two; 0 where there is no ring
    int32_t sums;         // offset of the sums over time of a gradient, (32, V|1)
    int32_t points;       // along the array's time axis: N, N − 1 or I
} ThreadRing;

// What the launches of span kernels tell each other: what a span has found out, which a join
// replaces by what the spans of its system have. The first three are the Pivots, the next two the
// Faults of common/verdict.cuh.
typedef struct {
    double weakest;
    int32_t weakest_unknown;
    int32_t lost_unknown;
    int32_t step;
    uint32_t inputs;
    double squares;  // what the span adds to the probe of the conditioning: thread/solve.cuh
    int32_t finite;  // whether its part of the solution is
    int32_t reserved;
} ThreadFindings;

// How time is cut into chunks (thread/chunk_*.cu, thread/span_*.cu).
typedef struct {
    int32_t bits;              // C = 1 << bits
    int32_t span_bits;         // chunks of a span: 1 << span_bits
    int32_t warp_values;       // doubles of shared memory of a warp, with chunks or without
    int32_t scratch;           // offset of the spikes in them
    double *spikes;            // (tiles, N, P·P, 32): column by column
    double *separators;        // (tiles, SEPARATOR_VALUES, 32): thread/reduction.cuh
    ThreadFindings *findings;  // (spans): of span kernels only
} ThreadChunks;

// The parameters that all these kernels take.
typedef struct {
    Problem problem;
    ThreadRows rows;
    ThreadRing coefficients;
    ThreadRing rhs;
    ThreadRing initial_values;
    ThreadRing steps;
    ThreadRing unknowns;  // solution, cotangent; in the same place as the inputs
    int32_t wide;         // whether an array that passes through the rings is stored in double
                          // precision: then their slots have 8 bytes, else 4, with one rounding
    int32_t one_factor;   // whether the factor of the first system is that of all; without chunks
    double *factor;       // (tiles, N, F, 32): rows of R, the reciprocals of its diagonal
    double *solution;     // (tiles, N, P, 32): z, not rounded
    double *vector;       // (tiles, N, P, 32): right-hand side while it is substituted
    double *given;        // (tiles, N, P, 32): what M x = given is solved for; with refinement only
    double *direction;    // (tiles, N, P, 32): x of that; with refinement only
    ThreadChunks chunks;
} ThreadProblem;

// The arrays of thread_solve.
typedef struct {
    ThreadProblem common;
    void *solution;           // (B, N, K, Q)
    void *epsilon;            // (B)
    Status *status;           // (B)
    const Status *of_factor;  // how the factorization ended: of thread_resolve only
} ThreadSolve;

// The arrays of thread_adjoint. Gradients of inputs that the batch shares are partial sums, one a
// tile (in chunk kernels one a system), `system` apart. In span kernels, so are the gradients of
// what all points share and those of the weights, one a span.
typedef struct {
    ThreadProblem common;
    const void *cotangent;  // (B, N, K, Q)
    const Status *status;   // (B)
    Output coefficients;
    Output rhs;
    Output initial_values;
    Output steps;
    Output weights;  // (tiles, 4), in chunk kernels (spans, 4)
} ThreadAdjoint;

#endif
