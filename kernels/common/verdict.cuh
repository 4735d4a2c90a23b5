// Decides how the solve of a system ended: whether its inputs were sound, and whether the pivots
// were positive and well determined. The CPU's counterpart is src/backend/cpu/tile.rs.

#ifndef MECHANISTIC_VERDICT_CUH
#define MECHANISTIC_VERDICT_CUH

#include <cfloat>
#include <climits>

#include "common/parameters.h"

// What is wrong with the inputs of a system: a bit for each input that is not finite, and the first
// step that is not positive.
struct Faults {
    static constexpr unsigned COEFFICIENTS = 1, RHS = 2, INITIAL_VALUES = 4, STEPS = 8;

    unsigned inputs = 0;
    int step = INT_MAX;

    // Checks a value of the input with this bit.
    __device__ void check(double value, unsigned input) { inputs |= isfinite(value) ? 0 : input; }
    // Adds what another thread has found.
    __device__ void merge(const Faults &other) {
        inputs |= other.inputs;
        step = min(step, other.step);
    }
};

// Returns whether a pivot is positive and has all its digits: whether its sign is 0 and its
// exponent is that of a normal number.
__device__ inline bool sound(double pivot) {
    return unsigned(__double2hiint(pivot)) - 0x00100000u < 0x7fe00000u;
}

// Returns 1/√pivot, or 1 for a pivot that is not sound, so that the system runs on harmlessly. The
// estimate y of 1/√x has some 20 bits; with e = 1 − x·y² it is 1/√x = y·(1 + e/2 + 3e²/8 + …).
__device__ inline double reciprocal_root(double pivot) {
    const double x = sound(pivot) ? pivot : 1.0;
    double estimate;
    asm("rsqrt.approx.ftz.f64 %0, %1;" : "=d"(estimate) : "d"(x));
    const double error = fma(-x * estimate, estimate, 1.0);
    return fma(estimate * error, fma(error, 0.375, 0.5), estimate);
}

// The pivot that elimination has reduced most relative to the diagonal of M, and the first pivot
// that is not sound, both by the numbers of their unknowns, t·P + row.
struct Pivots {
    double weakest = INFINITY;
    int weakest_unknown = 0;
    int lost_unknown = INT_MAX;

    __device__ void judge(double pivot, double whole, int unknown) {
        // The first one that is met: those after it may be lost by it.
        if (!sound(pivot) && lost_unknown == INT_MAX) {
            lost_unknown = unknown;
        }
        // Some 20 bits tell which ratio is the least.
        double reciprocal;
        asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(reciprocal) : "d"(whole));
        const double ratio = pivot * reciprocal;
        if (ratio < weakest) {
            weakest = ratio;
            weakest_unknown = unknown;
        }
    }
    // Adds the pivots that another thread has judged.
    __device__ void merge(const Pivots &other) {
        lost_unknown = min(lost_unknown, other.lost_unknown);
        if (other.weakest < weakest ||
            (other.weakest == weakest && other.weakest_unknown < weakest_unknown)) {
            weakest = other.weakest;
            weakest_unknown = other.weakest_unknown;
        }
    }
};

// The largest uncertainty of the weakest pivot, relative to it, with which the matrix does not
// count as singular.
constexpr double MOST_UNCERTAINTY = 1.0 / 16;

// Returns whether the weakest pivot is more than noise if roundings change it by `roundings` units.
// The comparison is written so that a NaN is noise.
__device__ inline bool certain(double roundings) {
    return DBL_EPSILON * roundings < MOST_UNCERTAINTY;
}

// Returns how the solve of a system ended whose blocks have `block` unknowns.
__device__ inline Status verdict(const Faults &faults, const Pivots &pivots, bool certain,
                                 bool overflow, int block) {
    if (faults.inputs != 0) {
        return {STATUS_NON_FINITE_INPUT, __ffs(int(faults.inputs)) - 1, 0};
    }
    if (faults.step != INT_MAX) {
        return {STATUS_INVALID_STEP, faults.step, 0};
    }
    const bool lost = pivots.lost_unknown != INT_MAX;
    if (lost || !certain) {
        const int unknown = lost ? pivots.lost_unknown : pivots.weakest_unknown;
        return {STATUS_BREAKDOWN, unknown / block, unknown % block};
    }
    return {overflow ? STATUS_OVERFLOW : STATUS_OK, 0, 0};
}

#endif
