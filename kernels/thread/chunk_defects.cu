// Squared defects with time cut into chunks, one a thread; contract in thread/defects.cuh and
// thread/separators.cuh.
//
//   grid    x = ceil(B·C/32) for C <= 32 chunks a system, else B
//   block   32 threads, or C, at most 256
//   shared  dynamic, for each warp: the rings of thread/stream.cuh, then the places of its lanes
//   for
//           what they add up, exchange and know of the separators (thread/tile.cuh)

#include "thread/defects.cuh"
#include "thread/sizes.cuh"

#define KERNEL(K, Q)                                                              \
    extern "C" __global__ void __launch_bounds__(256, 1)                          \
        thread_chunk_defects_##K##_##Q(const __grid_constant__ ThreadDefects p) { \
        thread::defects<K, Q, thread::ChunkTile>(p);                              \
    }

THREAD_CHUNK_SIZES(KERNEL)
