// Parameters of the solver kernels, passed by value. From this header and the other ones, `cargo
// xtask bindings` makes their Rust side with the same comments, src/backend/cuda/bindings.rs.
//
// Letters: B systems, N points, K states, Qc values per state in an equation row, Q values per
// state in the solution, P = K·Q, E equations per point, I points with J given initial derivatives.

#ifndef MECHANISTIC_PARAMETERS_H
#define MECHANISTIC_PARAMETERS_H

#include <stdint.h>

// How the values of an input are stored; kernels compute in double precision whatever the storage.
enum Storage : int32_t { STORAGE_F32 = 0, STORAGE_F64 = 1, STORAGE_F16 = 2, STORAGE_BF16 = 3 };

// How the solve of a system can end.
enum StatusKind : int32_t {
    STATUS_OK = 0,
    STATUS_NON_FINITE_INPUT = 1,  // first: 0 coefficients, 1 rhs, 2 initial values, 3 steps
    STATUS_INVALID_STEP = 2,      // first: t of s_t
    STATUS_BREAKDOWN = 3,         // first: point t (N: the slack), second: row of the pivot
    STATUS_OVERFLOW = 4
};

// How the solve of one system ended, with what is to know about it.
typedef struct {
    int32_t kind;
    int32_t first;
    int32_t second;
} Status;

// The axes of a batch that has several, but for the outermost one, the innermost first: n < 2³¹ is
// divided by the extent of one as (n·factor >> 32) >> shift. Of one axis, `several` is 0.
typedef struct {
    int64_t first;  // number of the first system of this launch in the batch
    uint32_t extents[2];
    uint32_t factors[2];
    int32_t shifts[2];
    int32_t several;
    int32_t reserved;
} BatchAxes;

// One input array. Strides are counted in values and are 0 along a shared axis; the values of a
// point lie side by side. Where the batch has several axes, i is the index along the innermost one.
//   coefficients: system·i + time·t + (e·K + k)·Qc + j  rhs:   system·i + time·t + e
//   initial:      system·i + time·t + k·J + j           steps: system·i + time·t + state·k
typedef struct {
    const void *data;
    int64_t system;
    int64_t outer[2];  // along the axes of the batch outside of the innermost one
    int64_t time;
    int32_t state;
    int32_t each;    // values of a point; 0 where all points share them
    int32_t shared;  // whether all systems share the values
    int32_t dense;   // whether systems lie along one axis side by side, row-major without gaps
    int32_t storage;
    int32_t reserved;
} Input;

// The place of a gradient, with strides like those of an Input. Where the gradient is not wanted,
// data is null. Gradients that a group of systems shares are in double precision if there are
// several groups, whose sums are still to be added up.
typedef struct {
    void *data;
    int64_t system;
    int64_t time;
    int32_t state;
    int32_t storage;  // single or double
} Output;

// Smoothness rows of one state on 2 or 3 neighboring points: entry (row, point·Q + j) is
// table[row][point·Q + j] · length^(j + shift), length = the step, or the sum of both steps.
typedef struct {
    const double *table;
    int32_t rows;  // 0: there are none
    int32_t shift;
} RowTable;

// A problem: sizes, options, inputs. Every kernel of a plan takes it.
typedef struct {
    int64_t batch;                 // B of this launch
    int64_t points;                // N
    int32_t states;                // K
    int32_t derivatives;           // Q
    int32_t equation_derivatives;  // Qc <= Q
    int32_t equations;             // E
    int32_t initial_points;        // I
    int32_t initial_derivatives;   // J
    int32_t periodic;              // whether z[0,k,j] = z[N-1,k,j], j < Q - 1
    int32_t slack;                 // whether epsilon stands in every smoothness row
    int32_t balanced;    // whether equation rows are scaled by l^(Qc-1), initial rows by l^j
    int32_t results;     // Storage of all results and of cotangents: single or double
    int32_t refinement;  // steps with the residual beta - A z
    int32_t reserved;
    double slack_cost;  // gamma·alpha
    double weight_equation;
    double weight_initial;
    double weight_smoothness;
    double weight_periodic;
    RowTable pair;
    RowTable triple;
    const double *point_scales;  // (B, N): factors of the rows that begin at each point; null: 1
    BatchAxes axes;              // of the inputs
    Input coefficients;
    Input rhs;
    Input initial_values;
    Input steps;
} Problem;

// Where the sums of the columns of common/reduce.cu are written, in order: the first
// `targets[0].values` columns to target 0, and so on, those of another set of partial sums `set`
// values further. Columns of a target whose data is null are passed over.
typedef struct {
    void *data;
    int64_t values;
    int64_t set;
    int32_t storage;  // single or double
    int32_t reserved;
} SumTarget;

typedef struct {
    SumTarget targets[5];
} SumTargets;

#endif
