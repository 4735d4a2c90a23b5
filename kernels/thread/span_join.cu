// Instances of the launches between those of span kernels, which solve for the separators between
// the spans of a system: join_factorize after a factorization, join after a right-hand side alone.
// The mathematics is in thread/reduction.cuh, the order of launches in thread/spans.cuh.
//
//   grid    x = B, or ceil(B·C/32)·32/C for C < 32 chunks a system
//   block   a thread for each span of a system, at most 256, filled up to whole warps
//   shared  dynamic: 8 bytes a warp, and 8 bytes for each of the P(P + 1) + P² values that a thread
//           exchanges with its neighbors (thread/reduction.cuh)
//   reads, writes  `separators` of the workspace, join_factorize `findings` too

#include "thread/sizes.cuh"
#include "thread/spans.cuh"

#define KERNELS(K, Q)                                                              \
    extern "C" __global__ void __launch_bounds__(256, 1)                           \
        thread_join_factorize_##K##_##Q(const __grid_constant__ ThreadProblem p) { \
        thread::join_factorize<K, Q>(p);                                           \
    }                                                                              \
    extern "C" __global__ void __launch_bounds__(256, 1)                           \
        thread_join_##K##_##Q(const __grid_constant__ ThreadProblem p) {           \
        thread::join<K, Q>(p);                                                     \
    }

THREAD_CHUNK_SIZES(KERNELS)
