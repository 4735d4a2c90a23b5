// Copies elements: strided copies, gather, and their adjoints.
//
//     copy:            y(i) = or += x(i)                      y, x at strides 0, 1 of the walk
//     gather:          y[o][m][i] = x[o][indices[m]][i]       x (outer, length, inner),
//                                                             y (outer, count, inner)
//     gather_adjoint:  gx[o][entries[d]][i] += Σ gy[o][m][i]  over those m that took entry d:
//                                                             m = order[s], ascending, for
//                                                             starts[d] ≤ s < starts[d + 1]
//
// copy serves permutations, slices, repeats, concatenation and the adjoints of sums. The adjoint of
// a view that repeats is in tape/reduce.cu. In gather_adjoint each entry of x that was taken at all
// is in `entries` (distinct) once, so no two threads write to one place.
//
// Grid: x = ceil(elements / 1024), the elements being those of y (copy, gather) or outer · distinct
// · inner (gather_adjoint). Block: 256; a thread takes elements 256 apart. Shared memory: none.
// Aliasing: x and y do not overlap. No element of y occurs twice in the walk.
// Determinism: every element is written by one thread; sums run in ascending order, in double.

#include "tape/tape.cuh"

namespace tape {

template <typename T>
__device__ void copy(const T *__restrict__ x, T *__restrict__ y, const Walk &walk, int32_t add) {
    for_each(walk.size, [&](int64_t i) {
        int64_t at[2];
        locate<0>(walk, i, at);
        const T moved = x[at[1]];
        y[at[0]] = add != 0 ? y[at[0]] + moved : moved;
    });
}

template <typename T>
__device__ void gather(const T *__restrict__ x, const int64_t *__restrict__ indices,
                       T *__restrict__ y, int64_t outer, int64_t length, int64_t inner,
                       int64_t count) {
    for_each(outer * count * inner, [&](int64_t at) {
        const int64_t row = at / inner, i = at - row * inner;
        const int64_t o = row / count, m = row - o * count;
        y[at] = x[(o * length + indices[m]) * inner + i];
    });
}

template <typename T>
__device__ void gather_adjoint(const T *__restrict__ gy, const int64_t *__restrict__ entries,
                               const int64_t *__restrict__ starts,
                               const int64_t *__restrict__ order, T *__restrict__ gx, int64_t outer,
                               int64_t length, int64_t inner, int64_t count, int64_t distinct) {
    for_each(outer * distinct * inner, [&](int64_t at) {
        const int64_t row = at / inner, i = at - row * inner;
        const int64_t o = row / distinct, d = row - o * distinct;
        double sum = 0;
        for (int64_t s = starts[d]; s < starts[d + 1]; ++s) {
            sum += gy[(o * count + order[s]) * inner + i];
        }
        gx[(o * length + entries[d]) * inner + i] += T(sum);
    });
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, NAME)                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS)                                        \
        copy_##NAME(const T *x, T *y, Walk walk, int32_t add) {                                  \
        copy(x, y, walk, add);                                                                   \
    }                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS)                                        \
        gather_##NAME(const T *x, const int64_t *indices, T *y, int64_t outer, int64_t length,   \
                      int64_t inner, int64_t count) {                                            \
        gather(x, indices, y, outer, length, inner, count);                                      \
    }                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS) gather_adjoint_##NAME(                 \
        const T *gy, const int64_t *entries, const int64_t *starts, const int64_t *order, T *gx, \
        int64_t outer, int64_t length, int64_t inner, int64_t count, int64_t distinct) {         \
        gather_adjoint(gy, entries, starts, order, gx, outer, length, inner, count, distinct);   \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)
