// Instances of the solve with a factor that is already there, half a system a thread; the contract
// is in thread/resolve.cuh.

#include "thread/resolve.cuh"
#include "thread/sizes.cuh"

#define KERNEL(K, Q)                                                      \
    extern "C" __global__ void __launch_bounds__(64, 1)                   \
        thread_resolve_##K##_##Q(const __grid_constant__ ThreadSolve p) { \
        thread::resolve<K, Q, thread::HalfTile>(p);                       \
    }

THREAD_SIZES(KERNEL)
