// Directional derivatives in single precision; contract in thread_tangent.cuh.

#include "thread_tangent.cuh"
#include "thread_sizes.cuh"

#define KERNEL(K, Q)                                                                               \
    extern "C" __global__ void __launch_bounds__(32, 1)                                            \
        thread_tangent_f32_##K##_##Q(const __grid_constant__ ThreadTangent p) {                    \
        thread::tangent<float, K, Q, thread::Tile>(p);                                             \
    }

THREAD_SIZES(KERNEL)
