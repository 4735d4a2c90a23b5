// Sums over some axes of a function of up to three strided arrays.
//
//     target(k) = or += Σ_r f(g(k, r), a(k, r), b(k, r))     k in `kept`, r in `reduced`
//
// with f from ReduceFunction (tape/parameters.h). It serves sums, the adjoints of add, subtract,
// multiply, divide and select with broadcasting, the adjoint of a view, products with one matrix a
// row, and matrix products that are too thin for the tiles of tape/matmul.cu. Element (k, r) of
// every array lies at Σ strides of `kept` + Σ strides of `reduced`; where a mask is used, it takes
// the place of a.
//
// A sum is shared by `lanes` threads of a block and by `splits` blocks; each thread adds up every
// lanes-th element of its split in double, then the lanes are folded. Split s writes to
// target + s · split_stride; with more than one split the target is scratch, and a second launch
// sums over the splits.
//
// Grid: x = splits · ceil(kept.size / (256 / lanes)). Block: 256. Shared memory: 2 KiB, static.
// adjacent = 1: neighboring threads have neighboring r, for arrays whose fastest axis is reduced;
// adjacent = 0: neighboring k, for the others. Either way a warp reads neighbors.
// Aliasing: the target overlaps no operand, and no element of it occurs twice in `kept`.
// Determinism: the order of a sum depends on the sizes, lanes and splits alone.

#include "tape/tape.cuh"

namespace tape {

template <typename T>
__device__ __forceinline__ T term(int32_t function, const T *__restrict__ g,
                                  const T *__restrict__ a, const T *__restrict__ b,
                                  const uint8_t *__restrict__ mask, const int64_t (&at)[3]) {
    switch (function) {
        case REDUCE_SUM:
            return g[at[0]];
        case REDUCE_NEGATED:
            return -g[at[0]];
        case REDUCE_PRODUCT:
            return g[at[0]] * a[at[1]];
        case REDUCE_QUOTIENT:
            return g[at[0]] / a[at[1]];
        case REDUCE_DENOMINATOR:
            return -(g[at[0]] * (a[at[1]] / b[at[2]] / b[at[2]]));
        case REDUCE_HELD:
            return mask[at[1]] != 0 ? g[at[0]] : T(0);
        default:
            return mask[at[1]] == 0 ? g[at[0]] : T(0);
    }
}

template <typename T, typename Target>
__device__ void reduce(const T *__restrict__ g, const T *__restrict__ a, const T *__restrict__ b,
                       const uint8_t *__restrict__ mask, Target *__restrict__ target,
                       const Reduction &reduction) {
    __shared__ double room[THREADS];
    const int lanes = reduction.lanes, sums = THREADS / lanes;
    const bool adjacent = reduction.adjacent != 0;
    const int lane = adjacent ? threadIdx.x % lanes : threadIdx.x / sums;
    const int own = adjacent ? threadIdx.x / lanes : threadIdx.x % sums;
    const int64_t split = blockIdx.x % reduction.splits;
    const int64_t k = int64_t(blockIdx.x / reduction.splits) * sums + own;

    double sum = 0;
    int64_t place = 0;
    if (k < reduction.kept.size) {
        int64_t start[4];
        locate<0>(reduction.kept, k, start);
        place = reduction.offset + split * reduction.split_stride + start[0];
        const int64_t share = (reduction.reduced.size + reduction.splits - 1) / reduction.splits;
        const int64_t end = min(reduction.reduced.size, (split + 1) * share);
        for (int64_t r = split * share + lane; r < end; r += lanes) {
            int64_t at[3];
            locate<1>(reduction.reduced, r, at);
#pragma unroll
            for (int m = 0; m < 3; ++m) {
                at[m] += start[m + 1];
            }
            sum += term(reduction.function, g, a, b, mask, at);
        }
    }
    sum = fold(sum, room, lane, lanes, adjacent ? 1 : sums, Add());
    if (lane == 0 && k < reduction.kept.size) {
        const double before = reduction.add != 0 ? double(target[place]) : 0.0;
        target[place] = Target(before + sum);
    }
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, TARGET, NAME)                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS)                             \
        NAME(const T *g, const T *a, const T *b, const uint8_t *mask, TARGET *target, \
             Reduction reduction) {                                                   \
        reduce(g, a, b, mask, target, reduction);                                     \
    }

INSTANTIATE(float, float, reduce_f32)
INSTANTIATE(double, double, reduce_f64)
// Instances whose splits are in double, and the instances that add them up.
INSTANTIATE(float, double, reduce_f32_splits)
INSTANTIATE(double, float, reduce_splits_f32)
