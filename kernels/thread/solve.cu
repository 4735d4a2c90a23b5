// Instances of the solve with half a system a thread; the contract is in thread/solve.cuh.

#include "thread/sizes.cuh"
#include "thread/solve.cuh"

#define KERNEL(K, Q)                                                    \
    extern "C" __global__ void __launch_bounds__(64, 1)                 \
        thread_solve_##K##_##Q(const __grid_constant__ ThreadSolve p) { \
        thread::solve<K, Q, thread::HalfTile>(p);                       \
    }

THREAD_SIZES(KERNEL)
