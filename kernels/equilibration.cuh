// Powers of two that bring the columns of WA to about the same size, whatever the unit of time:
// entries of derivative j are of the order step^j. They change no digit, and keep squares within the
// range of single precision.

#ifndef MECHANISTIC_EQUILIBRATION_CUH
#define MECHANISTIC_EQUILIBRATION_CUH

#include <stdint.h>

// Scales are at most two to this power, and at least its reciprocal.
constexpr int MOST_EXPONENT = 100;

// Binary exponent of a step, such that the scales of all derivatives are within bounds.
template <typename T> __device__ inline int exponent_of_step(T step, int derivatives)
{
    const int most = MOST_EXPONENT / derivatives;
    return min(max(ilogb(step), -most), most);
}

// 2^exponent, for exponents within bounds.
template <typename T> __device__ inline T power_of_two(int exponent);
template <> __device__ inline float power_of_two<float>(int exponent)
{
    return __int_as_float((exponent + 127) << 23);
}
template <> __device__ inline double power_of_two<double>(int exponent)
{
    return __longlong_as_double(int64_t(exponent + 1023) << 52);
}

#endif
