// Matrix products, batched, with operands at any strides: the forward product and both adjoints.
//
//     c(l) = or += Σ_r a(l, r)·b(l, r)        l in `kept`, r in `reduced`
//
// a(l, r) is m × k, b(l, r) k × n, at the offsets that the walks give them and with their own row
// and column strides, so that a transpose is a matter of strides; c(l) is m × n, row-major.
// `reduced` is the part of the batch along which c repeats: the adjoint of a broadcast operand sums
// over it.
//
// A block computes a 64 × 64 tile of one c(l): for each r, slabs of 16 columns of a and 16 rows of
// b go to shared memory, and each thread keeps 4 × 4 results in registers. `splits` blocks share a
// tile when there are few of them: split s takes its share of the slabs and writes to c + s ·
// split_stride; then c is scratch, and tape/reduce.cu sums over the splits.
//
// Grid: x = splits · ceil(m/64) · ceil(n/64) · kept.size. Block: 256. Shared memory: static, 8.25
// KiB (f32) or 16.25 KiB (f64); its rows are padded so that neither stores nor loads conflict.
// Aliasing: c overlaps no operand. Determinism: the order of a sum depends on the sizes and
// `splits`.

#include "tape/tape.cuh"

namespace tape {

constexpr int TILE = 64;
constexpr int DEPTH = 16;
constexpr int SIDE = 16;          // threads along each side of a tile
constexpr int OWN = TILE / SIDE;  // rows and columns of a thread, SIDE apart

// A 64 × 16 slab of a matrix, as slab[depth][position]; zero beyond its edges. `position` and
// `depth` count from the matrix's beginning. Neighboring threads read along the shorter stride.
template <typename T, int ROW>
__device__ __forceinline__ void load(const T *__restrict__ matrix, int64_t position_stride,
                                     int64_t depth_stride, int64_t position, int64_t positions,
                                     int64_t depth, int64_t depths, T (&slab)[DEPTH][ROW]) {
    const bool along_depth = depth_stride <= position_stride;
#pragma unroll
    for (int part = 0; part < TILE * DEPTH / THREADS; ++part) {
        const int i = part * THREADS + threadIdx.x;
        const int p = along_depth ? i / DEPTH : i % TILE;
        const int d = along_depth ? i % DEPTH : i / TILE;
        const bool inside = position + p < positions && depth + d < depths;
        slab[d][p] =
            inside ? matrix[(position + p) * position_stride + (depth + d) * depth_stride] : T(0);
    }
}

template <typename T>
__device__ void matmul(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                       const MatMul &product) {
    // 32 lanes write 16 depths at 1 or 2 positions each: the row length keeps them in different
    // banks, which are 4 bytes wide.
    constexpr int ROW = sizeof(T) == 4 ? TILE + 2 : TILE + 1;
    __shared__ T slab_a[DEPTH][ROW];
    __shared__ T slab_b[DEPTH][ROW];

    const int64_t rows = (product.m + TILE - 1) / TILE, columns = (product.n + TILE - 1) / TILE;
    int64_t block = blockIdx.x;
    const int64_t split = block % product.splits;
    block /= product.splits;
    const int64_t column = block % columns * TILE;
    block /= columns;
    const int64_t row = block % rows * TILE;
    int64_t start[3];
    locate<0>(product.kept, block / rows, start);

    const int64_t slabs = (product.k + DEPTH - 1) / DEPTH;
    const int64_t all = slabs * product.reduced.size;
    const int64_t share = (all + product.splits - 1) / product.splits;
    const int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    T sum[OWN][OWN] = {};
    for (int64_t i = split * share; i < min(all, (split + 1) * share); ++i) {
        const int64_t r = i / slabs, depth = (i - r * slabs) * DEPTH;
        int64_t at[2];
        locate<1>(product.reduced, r, at);
        load(a + start[1] + at[0], product.a_row, product.a_column, row, product.m, depth,
             product.k, slab_a);
        load(b + start[2] + at[1], product.b_column, product.b_row, column, product.n, depth,
             product.k, slab_b);
        __syncthreads();
#pragma unroll 4
        for (int d = 0; d < DEPTH; ++d) {
            T left[OWN], right[OWN];
#pragma unroll
            for (int j = 0; j < OWN; ++j) {
                left[j] = slab_a[d][y + j * SIDE];
                right[j] = slab_b[d][x + j * SIDE];
            }
#pragma unroll
            for (int j = 0; j < OWN; ++j) {
#pragma unroll
                for (int l = 0; l < OWN; ++l) {
                    sum[j][l] += left[j] * right[l];
                }
            }
        }
        __syncthreads();
    }

    c += start[0] + split * product.split_stride;
#pragma unroll
    for (int j = 0; j < OWN; ++j) {
#pragma unroll
        for (int l = 0; l < OWN; ++l) {
            const int64_t at_row = row + y + j * SIDE, at_column = column + x + l * SIDE;
            if (at_row < product.m && at_column < product.n) {
                T &place = c[at_row * product.n + at_column];
                place = product.add != 0 ? place + sum[j][l] : sum[j][l];
            }
        }
    }
}

}  // namespace tape

using namespace tape;

// Two blocks on a multiprocessor at a time bound the registers to 128.
#define INSTANTIATE(T, NAME)                                          \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)          \
        matmul_##NAME(const T *a, const T *b, T *c, MatMul product) { \
        matmul(a, b, c, product);                                     \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)
