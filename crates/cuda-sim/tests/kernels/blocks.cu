// What CUB and cooperative groups make of a block: long stretches of code nobody wrote by hand.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

// One block of 128 threads: sorts 512 keys, writes their inclusive sums and the sum of the keys
// modulo 16.
extern "C" __global__ void sort_and_scan(const unsigned* in, unsigned* sorted, unsigned* sums,
                                         unsigned* total) {
    using Sort = cub::BlockRadixSort<unsigned, 128, 4>;
    using Scan = cub::BlockScan<unsigned, 128>;
    using Reduce = cub::BlockReduce<unsigned, 128>;
    __shared__ union {
        typename Sort::TempStorage sort;
        typename Scan::TempStorage scan;
        typename Reduce::TempStorage reduce;
    } temporary;
    unsigned keys[4], part = 0;
    for (int i = 0; i < 4; i++) keys[i] = in[threadIdx.x * 4 + i];
    Sort(temporary.sort).Sort(keys);
    for (int i = 0; i < 4; i++) {
        sorted[threadIdx.x * 4 + i] = keys[i];
        part += keys[i] % 16;
    }
    __syncthreads();
    part = Reduce(temporary.reduce).Sum(part);
    if (threadIdx.x == 0) *total = part;
    __syncthreads();
    Scan(temporary.scan).InclusiveSum(keys, keys);
    for (int i = 0; i < 4; i++) sums[threadIdx.x * 4 + i] = keys[i];
}

// Tiles of 16 threads: sum and maximum of the tile, and among the threads of the warp with an odd
// value how many they are.
extern "C" __global__ void tiles(const int* in, int* sums, int* maxima, int* odd) {
    namespace cg = cooperative_groups;
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<16>(block);
    int i = block.thread_rank(), value = in[i];
    sums[i] = cg::reduce(tile, value, cg::plus<int>());
    maxima[i] = cg::reduce(tile, value, cg::greater<int>());
    odd[i] = 0;
    if (value % 2 != 0) odd[i] = cg::coalesced_threads().size();
}
