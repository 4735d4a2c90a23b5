// Squared defects with time cut into chunks, one a thread; contract in thread_defects.cuh and
// thread_separators.cuh.
//
//   grid    x = ceil(B·C/32) for C <= 32 chunks a system, else B
//   block   32 threads, or C, at most 256
//   shared  dynamic, for each warp: the rings of thread_stream.cuh, then the places of its lanes for
//           what they add up, exchange and know of the separators (thread_tile.cuh)

#include "thread_defects.cuh"
#include "thread_sizes.cuh"

#define KERNEL(K, Q)                                                                               \
    extern "C" __global__ void __launch_bounds__(256, 1)                                           \
        thread_chunk_defects_##K##_##Q(const __grid_constant__ ThreadDefects p) {                  \
        thread::defects<K, Q, thread::ChunkTile>(p);                                               \
    }

THREAD_CHUNK_SIZES(KERNEL)
