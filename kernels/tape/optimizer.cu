// One step of an optimizer: the norm of the gradient, and the update of one parameter.
//
//     squares:        partials[block] = Σ g² over the block's share of g (n), in double
//     gradient_norm:  norm[0] = √(Σ partials (count))
//     sgd:            v ← momentum·v + g,  x ← x − rate·v
//     adam:           m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,
//                     x ← x − rate·(m/c₁ / (√(v/c₂) + ε) + decay·x)
//
// g is first scaled by limit/norm where the norm exceeds the limit. Where the norm is not finite,
// nothing is changed. Formulas and sources: src/tensor/update.rs.
//
// squares. Grid: x = the number of partials; block i takes elements i·256 + thread, a grid apart.
// gradient_norm. Grid: 1. sgd, adam. Grid: x = ceil(n / 256). Block: 256 for all.
// Shared memory: 2 KiB, static (squares, gradient_norm).
// Aliasing: none. Determinism: the order of the sums depends on n, the grid and count alone.

#include "tape/tape.cuh"

namespace tape {

template <typename T>
__device__ void squares(const T *__restrict__ g, int64_t n, double *__restrict__ partials) {
    __shared__ double room[THREADS];
    double sum = 0;
    const int64_t apart = int64_t(gridDim.x) * THREADS;
    for (int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x; i < n; i += apart) {
        sum += double(g[i]) * double(g[i]);
    }
    sum = fold(sum, room, threadIdx.x, THREADS, 1, Add());
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = sum;
    }
}

// Returns the factor of the gradient.
template <typename T>
__device__ T shrink(double norm, double limit) {
    return norm > limit ? T(limit / norm) : T(1);
}

template <typename T>
__device__ void sgd(T *__restrict__ x, T *__restrict__ v, const T *__restrict__ g, int64_t n,
                    const double *__restrict__ norm, const Update &update) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n || !isfinite(*norm)) {
        return;
    }
    v[i] = T(update.momentum) * v[i] + g[i] * shrink<T>(*norm, update.limit);
    x[i] -= T(update.rate) * v[i];
}

template <typename T>
__device__ void adam(T *__restrict__ x, T *__restrict__ first, T *__restrict__ second,
                     const T *__restrict__ gradient, int64_t n, const double *__restrict__ norm,
                     const Update &update) {
    const int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= n || !isfinite(*norm)) {
        return;
    }
    const T g = gradient[i] * shrink<T>(*norm, update.limit);
    const T beta1 = T(update.beta1), beta2 = T(update.beta2);
    const T m = beta1 * first[i] + (T(1) - beta1) * g;
    const T v = beta2 * second[i] + (T(1) - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    const T mean = m / T(update.correction1), square = v / T(update.correction2);
    x[i] -= T(update.rate) * (mean / (sqrt(square) + T(update.epsilon)) + T(update.decay) * x[i]);
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, NAME)                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS)                                      \
        squares_##NAME(const T *g, int64_t n, double *partials) {                              \
        squares(g, n, partials);                                                               \
    }                                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                                      \
        sgd_##NAME(T *x, T *v, const T *g, int64_t n, const double *norm, Update update) {     \
        sgd(x, v, g, n, norm, update);                                                         \
    }                                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS) adam_##NAME(                         \
        T *x, T *first, T *second, const T *g, int64_t n, const double *norm, Update update) { \
        adam(x, first, second, g, n, norm, update);                                            \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)

extern "C" __global__ void __launch_bounds__(THREADS)
    gradient_norm(const double *partials, int64_t count, double *norm) {
    __shared__ double room[THREADS];
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) {
        sum += partials[i];
    }
    sum = fold(sum, room, threadIdx.x, THREADS, 1, Add());
    if (threadIdx.x == 0) {
        *norm = sqrt(sum);
    }
}
