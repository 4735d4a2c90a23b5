// Solution in single precision, Cholesky; contract in thread_solve.cuh.

#include "thread_solve.cuh"
#include "thread_sizes.cuh"

#define KERNEL(K, Q)                                                                               \
    extern "C" __global__ void __launch_bounds__(32, 1)                                            \
        thread_solve_f32_##K##_##Q(const __grid_constant__ ThreadSolve p) {                        \
        thread::solve<float, K, Q, thread::Cholesky<float, K, Q>, thread::Tile>(p);                \
    }

THREAD_SIZES(KERNEL)
