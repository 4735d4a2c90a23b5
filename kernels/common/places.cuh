// The places of systems in arrays with strides.

#ifndef MECHANISTIC_PLACES_CUH
#define MECHANISTIC_PLACES_CUH

#include "common/parameters.h"

// Returns the place of the first value of a system of this launch in an input.
__device__ inline int64_t system_start(const Problem &problem, const Input &input, int64_t system) {
    const BatchAxes &axes = problem.axes;
    if (!axes.several || input.dense) {
        return system * input.system;
    }
    const uint32_t inner = uint32_t(axes.first) + uint32_t(system);
    const uint32_t middle = __umulhi(inner, axes.factors[0]) >> axes.shifts[0];
    const uint32_t outer = __umulhi(middle, axes.factors[1]) >> axes.shifts[1];
    // Inputs that do not lie row-major have places below 2³¹.
    return int((inner - middle * axes.extents[0]) * uint32_t(input.system) +
               (middle - outer * axes.extents[1]) * uint32_t(input.outer[0]) +
               outer * uint32_t(input.outer[1]));
}

#endif
