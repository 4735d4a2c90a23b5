// Instances of the gradients with half a system a thread; the contract is in thread/adjoint.cuh.

#include "thread/adjoint.cuh"
#include "thread/sizes.cuh"

#define KERNEL(K, Q)                                                        \
    extern "C" __global__ void __launch_bounds__(64, 1)                     \
        thread_adjoint_##K##_##Q(const __grid_constant__ ThreadAdjoint p) { \
        thread::adjoint<K, Q, thread::HalfTile>(p);                         \
    }

THREAD_SIZES(KERNEL)
