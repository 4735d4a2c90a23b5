// The logarithm of the softmax along the last axis, and its adjoint.
//
//     log_softmax:          y = x − top − ln Σ e^(x − top), top = max x
//     log_softmax_adjoint:  gx += gy − e^y Σ gy
//
// All arrays are (rows, length).
//
// Grid: x = ceil(rows / (256 / lanes)). Block: 256; `lanes` neighboring threads (a power of two)
// share a row, of which each takes every lanes-th element. Shared memory: 2 KiB, static.
// Aliasing: y may be x; gx overlaps nothing.
// Determinism: sums in double, in an order that depends on length and lanes alone.

#include "tape/tape.cuh"

namespace tape {

struct Larger {
    __device__ double operator()(double a, double b) const { return fmax(a, b); }
};

// Returns the first lane's value, in all lanes.
__device__ __forceinline__ double share(double value, double *room, int lane) {
    __syncthreads();
    if (lane == 0) {
        room[threadIdx.x] = value;
    }
    __syncthreads();
    value = room[threadIdx.x - lane];
    __syncthreads();
    return value;
}

template <typename T>
__device__ void log_softmax(const T *x, T *y, int64_t rows, int64_t length, int32_t lanes) {
    __shared__ double room[THREADS];
    const int lane = threadIdx.x % lanes;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / lanes) + threadIdx.x / lanes;
    const int64_t start = row * length, end = row < rows ? start + length : start;

    double top = -INFINITY;
#pragma unroll 1
    for (int64_t i = start + lane; i < end; i += lanes) {
        top = fmax(top, double(x[i]));
    }
    top = share(fold(top, room, lane, lanes, 1, Larger()), room, lane);
    double sum = 0;
#pragma unroll 1
    for (int64_t i = start + lane; i < end; i += lanes) {
        sum += exp(T(x[i] - T(top)));
    }
    sum = share(fold(sum, room, lane, lanes, 1, Add()), room, lane);
    const T normalizer = T(top) + log(T(sum));
#pragma unroll 1
    for (int64_t i = start + lane; i < end; i += lanes) {
        y[i] = x[i] - normalizer;
    }
}

template <typename T>
__device__ void log_softmax_adjoint(const T *__restrict__ y, const T *__restrict__ gy,
                                    T *__restrict__ gx, int64_t rows, int64_t length,
                                    int32_t lanes) {
    __shared__ double room[THREADS];
    const int lane = threadIdx.x % lanes;
    const int64_t row = int64_t(blockIdx.x) * (THREADS / lanes) + threadIdx.x / lanes;
    const int64_t start = row * length, end = row < rows ? start + length : start;

    double sum = 0;
#pragma unroll 1
    for (int64_t i = start + lane; i < end; i += lanes) {
        sum += gy[i];
    }
    const T total = T(share(fold(sum, room, lane, lanes, 1, Add()), room, lane));
#pragma unroll 1
    for (int64_t i = start + lane; i < end; i += lanes) {
        gx[i] += gy[i] - exp(y[i]) * total;
    }
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, NAME)                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                   \
        log_softmax_##NAME(const T *x, T *y, int64_t rows, int64_t length, int32_t lanes) { \
        log_softmax(x, y, rows, length, lanes);                                             \
    }                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) log_softmax_adjoint_##NAME(       \
        const T *y, const T *gy, T *gx, int64_t rows, int64_t length, int32_t lanes) {      \
        log_softmax_adjoint(y, gy, gx, rows, length, lanes);                                \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)
