// Powers of two that bring the columns of WA to about the same size, whatever the unit of time:
// entries of derivative j are of the order step^j. They change no digit, and keep what is small
// apart from what is negligible (team/rotation.cuh).

#ifndef MECHANISTIC_EQUILIBRATION_CUH
#define MECHANISTIC_EQUILIBRATION_CUH

#include <stdint.h>

// Scales are at most two to this power, and at least its reciprocal.
constexpr int MOST_EXPONENT = 100;

// Binary exponent of a step, such that the scales of all derivatives are within bounds.
__device__ inline int exponent_of_step(double step, int derivatives) {
    const int most = MOST_EXPONENT / derivatives;
    return min(max(ilogb(step), -most), most);
}

// 2^exponent, for exponents within bounds.
__device__ inline double power_of_two(int exponent) {
    return __longlong_as_double(int64_t(exponent + 1023) << 52);
}

#endif
