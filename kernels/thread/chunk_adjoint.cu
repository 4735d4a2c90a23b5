// Gradients with time cut into chunks, one a thread; contract in thread/adjoint.cuh and
// thread/separators.cuh.
//
//   grid    x = ceil(B·C/32) for C <= 32 chunks a system, else B
//   block   32 threads, or C, at most 256
//   shared  dynamic, for each warp: the rings of thread/stream.cuh, then the places of its lanes
//   for
//           what they add up, exchange and know of the separators (thread/tile.cuh)
//   reads, writes  also `spikes` and `separators` of the workspace, made by the solve

#include "thread/adjoint.cuh"
#include "thread/sizes.cuh"

#define KERNEL(K, Q)                                                              \
    extern "C" __global__ void __launch_bounds__(256, 1)                          \
        thread_chunk_adjoint_##K##_##Q(const __grid_constant__ ThreadAdjoint p) { \
        thread::adjoint<K, Q, thread::ChunkTile>(p);                              \
    }

THREAD_CHUNK_SIZES(KERNEL)
