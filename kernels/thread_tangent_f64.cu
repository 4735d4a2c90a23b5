// Directional derivatives in double precision; contract in thread_tangent.cuh.

#include "thread_tangent.cuh"
#include "thread_sizes.cuh"

#define KERNEL(K, Q)                                                                               \
    extern "C" __global__ void __launch_bounds__(32, 1)                                            \
        thread_tangent_f64_##K##_##Q(const __grid_constant__ ThreadTangent p) {                    \
        thread::tangent<double, K, Q, thread::Tile>(p);                                            \
    }

THREAD_SIZES(KERNEL)
