// Squared defects, a system a thread; contract in thread/defects.cuh.

#include "thread/defects.cuh"
#include "thread/sizes.cuh"

#define KERNEL(K, Q)                                                        \
    extern "C" __global__ void __launch_bounds__(32, 1)                     \
        thread_defects_##K##_##Q(const __grid_constant__ ThreadDefects p) { \
        thread::defects<K, Q, thread::Tile>(p);                             \
    }

THREAD_SIZES(KERNEL)
