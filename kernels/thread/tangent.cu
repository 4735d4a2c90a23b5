// Directional derivatives, a system a thread; contract in thread/tangent.cuh.

#include "thread/sizes.cuh"
#include "thread/tangent.cuh"

#define KERNEL(K, Q)                                                        \
    extern "C" __global__ void __launch_bounds__(32, THREAD_BLOCKS(K, Q))   \
        thread_tangent_##K##_##Q(const __grid_constant__ ThreadTangent p) { \
        thread::tangent<K, Q, thread::Tile>(p);                             \
    }

THREAD_SIZES(KERNEL)
