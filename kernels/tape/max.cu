// The largest element along an axis, and the adjoint.
//
//     max:          y[o][i] = max_l x[o][l][i],  arguments[o][i] = the first l that attains it
//     max_adjoint:  gx[o][arguments[o][i]][i] += gy[o][i]
//
// x (outer, length, inner), length ≥ 1; y, arguments (outer, inner). A NaN exceeds every number; of
// several NaNs the first counts.
//
// max. Grid: x = ceil(outer · inner / (256 / lanes)). Block: 256; `lanes` threads (a power of two)
// share an output: neighboring threads if inner = 1, otherwise threads 256 / lanes apart, so that
// a warp reads neighbors. Shared memory: 4 KiB, static. max_adjoint. Grid: x = ceil(outer · inner
// / 256). Block: 256. Aliasing: none. Determinism: the result does not depend on the order.

#include "tape/tape.cuh"

namespace tape {

template <typename T>
struct Best {
    T value;
    int64_t index;  // −1: nothing seen yet
};

template <typename T>
struct Better {
    __device__ Best<T> operator()(Best<T> a, Best<T> b) const {
        if (a.index < 0 || b.index < 0) {
            return a.index < 0 ? b : a;
        }
        const bool nan_a = isnan(a.value), nan_b = isnan(b.value);
        const bool same = (nan_a && nan_b) || a.value == b.value;
        const bool greater = b.value > a.value || (nan_b && !nan_a);
        return greater || (same && b.index < a.index) ? b : a;
    }
};

template <typename T>
__device__ void largest(const T *__restrict__ x, T *__restrict__ y, int64_t *__restrict__ arguments,
                        int64_t outer, int64_t length, int64_t inner, int32_t lanes) {
    __shared__ Best<T> room[THREADS];
    const int outputs = THREADS / lanes;
    const bool adjacent = inner == 1;
    const int lane = adjacent ? threadIdx.x % lanes : threadIdx.x / outputs;
    const int own = adjacent ? threadIdx.x / lanes : threadIdx.x % outputs;
    const int64_t k = int64_t(blockIdx.x) * outputs + own;
    Best<T> best = {T(0), -1};
    if (k < outer * inner) {
        const int64_t o = k / inner, i = k - o * inner;
        for (int64_t l = lane; l < length; l += lanes) {
            best = Better<T>()(best, Best<T>{x[(o * length + l) * inner + i], l});
        }
    }
    best = fold(best, room, lane, lanes, adjacent ? 1 : outputs, Better<T>());
    if (lane == 0 && k < outer * inner) {
        y[k] = best.value;
        arguments[k] = best.index;
    }
}

template <typename T>
__device__ void largest_adjoint(const T *__restrict__ gy, const int64_t *__restrict__ arguments,
                                T *__restrict__ gx, int64_t outer, int64_t length, int64_t inner) {
    const int64_t k = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (k < outer * inner) {
        const int64_t o = k / inner, i = k - o * inner;
        gx[(o * length + arguments[k]) * inner + i] += gy[k];
    }
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, NAME)                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS)                               \
        max_##NAME(const T *x, T *y, int64_t *arguments, int64_t outer, int64_t length, \
                   int64_t inner, int32_t lanes) {                                      \
        largest(x, y, arguments, outer, length, inner, lanes);                          \
    }                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS)                               \
        max_adjoint_##NAME(const T *gy, const int64_t *arguments, T *gx, int64_t outer, \
                           int64_t length, int64_t inner) {                             \
        largest_adjoint(gy, arguments, gx, outer, length, inner);                       \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)
