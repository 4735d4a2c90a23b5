// Instances of the solve with time cut into chunks, one a thread; the contract is in
// thread/solve.cuh and thread/separators.cuh.
//
//   grid    x = ceil(B·C/32) for C <= 32 chunks a system, else B
//   block   32 threads, or C, at most 256
//   shared  dynamic, for each warp: the rings of thread/stream.cuh, then for each lane places of
//           what it adds up, exchanges and knows of the separators (thread/tile.cuh)
//   reads, writes  also `spikes` and `separators` of the workspace

#include "thread/sizes.cuh"
#include "thread/solve.cuh"

#define KERNEL(K, Q)                                                          \
    extern "C" __global__ void __launch_bounds__(256, 1)                      \
        thread_chunk_solve_##K##_##Q(const __grid_constant__ ThreadSolve p) { \
        thread::solve<K, Q, thread::ChunkTile>(p);                            \
    }

THREAD_CHUNK_SIZES(KERNEL)
