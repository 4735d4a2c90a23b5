// Solution in double precision, Cholesky; contract in thread_solve.cuh.

#include "thread_solve.cuh"
#include "thread_sizes.cuh"

#define KERNEL(K, Q)                                                                               \
    extern "C" __global__ void __launch_bounds__(32, 1)                                            \
        thread_solve_f64_##K##_##Q(const __grid_constant__ ThreadSolve p) {                        \
        thread::solve<double, K, Q, thread::Cholesky<double, K, Q>, thread::Tile>(p);              \
    }

THREAD_SIZES(KERNEL)
