// Functions of one or two numbers, element by element, and the adjoint of those of one.
//
//     unary:          y[i] = f(x[i])                         x, y (n)
//     unary_adjoint:  gx[i] += gy[i] · f'(x[i])              x, y = f(x), gy, gx (n)
//     binary:         y[i] = f(a[i], b[i])                   y (walk.size), contiguous;
//                                                            a, b at strides 0 and 1 of the walk
//     select:         y[i] = mask[i] ? x[i] : otherwise[i]   mask, x, otherwise at strides 0, 1, 2
//
// The functions are those of src/tensor/function.rs; `number` is the c of scale and shift and the
// exponent of powf, `exponent` the n of powi. The adjoint of `binary` is in tape/reduce.cu, since
// it sums over the axes along which an operand repeats.
//
// Grid: x = ceil(n / 1024). Block: 256; a thread takes elements 256 apart, so that a warp's
// accesses to contiguous arrays are one after another. Shared memory: none. Aliasing: y may be x
// (not a, b, x of the strided kernels); gx overlaps nothing. Determinism: no element depends on
// another.

#include "tape/tape.cuh"

namespace tape {

constexpr double GELU_SCALE = 0.7978845608028654;  // √(2/π)
constexpr double GELU_CUBIC = 0.044715;

// Returns e^x / (1 + e^x) without overflow for large |x|.
template <typename T>
__device__ T sigmoid(T x) {
    const T decay = exp(-fabs(x));
    const T upper = T(1) / (T(1) + decay);
    return x >= T(0) ? upper : decay * upper;
}

// Returns max(x, 0) + ln(1 + e^−|x|), which is ln(1 + e^x).
template <typename T>
__device__ T softplus(T x) {
    const T rest = log1p(exp(-fabs(x)));
    return x > T(0) ? x + rest : rest;
}

template <typename T>
__device__ T gelu_tanh(T x) {
    return tanh(T(GELU_SCALE) * (x + T(GELU_CUBIC) * x * x * x));
}

// Returns xⁿ by repeated squaring.
template <typename T>
__device__ T powi(T x, int32_t n) {
    T power = 1;
    for (uint32_t rest = n < 0 ? 0u - uint32_t(n) : uint32_t(n); rest != 0; rest /= 2) {
        if (rest % 2 != 0) {
            power *= x;
        }
        x *= x;
    }
    return n < 0 ? T(1) / power : power;
}

template <typename T>
__device__ T value(int32_t function, T x, T number, int32_t exponent) {
    switch (function) {
        case UNARY_NEGATE:
            return -x;
        case UNARY_SCALE:
            return number * x;
        case UNARY_SHIFT:
            return x + number;
        case UNARY_RELU:
            return x <= T(0) ? T(0) : x;
        case UNARY_TANH:
            return tanh(x);
        case UNARY_SIGMOID:
            return sigmoid(x);
        case UNARY_SOFTPLUS:
            return softplus(x);
        case UNARY_GELU:
            return T(0.5) * x * (T(1) + gelu_tanh(x));
        case UNARY_SIN:
            return sin(x);
        case UNARY_COS:
            return cos(x);
        case UNARY_EXP:
            return exp(x);
        case UNARY_LN:
            return log(x);
        case UNARY_SQRT:
            return sqrt(x);
        case UNARY_SQUARE:
            return x * x;
        case UNARY_RECIPROCAL:
            return T(1) / x;
        case UNARY_POWI:
            return powi(x, exponent);
        default:
            return pow(x, number);
    }
}

template <typename T>
__device__ T slope(int32_t function, T x, T y, T number, int32_t exponent) {
    switch (function) {
        case UNARY_NEGATE:
            return T(-1);
        case UNARY_SCALE:
            return number;
        case UNARY_SHIFT:
            return T(1);
        case UNARY_RELU:
            return x > T(0) ? T(1) : T(0);
        case UNARY_TANH:
            return T(1) - y * y;
        case UNARY_SIGMOID:
            return y * (T(1) - y);
        case UNARY_SOFTPLUS:
            return sigmoid(x);
        case UNARY_GELU: {
            const T tanh = gelu_tanh(x);
            const T rise = T(GELU_SCALE) * (T(1) + T(3 * GELU_CUBIC) * x * x);
            return T(0.5) * (T(1) + tanh) + T(0.5) * x * (T(1) - tanh * tanh) * rise;
        }
        case UNARY_SIN:
            return cos(x);
        case UNARY_COS:
            return -sin(x);
        case UNARY_EXP:
            return y;
        case UNARY_LN:
            return T(1) / x;
        case UNARY_SQRT:
            return T(1) / (y + y);
        case UNARY_SQUARE:
            return x + x;
        case UNARY_RECIPROCAL:
            return -y * y;
        case UNARY_POWI:
            return T(exponent) * powi(x, exponent == INT32_MIN ? exponent : exponent - 1);
        default:
            return number * pow(x, number - T(1));
    }
}

template <typename T>
__device__ void unary(const T *x, T *y, int64_t n, int32_t function, double number,
                      int32_t exponent) {
    // The elements are taken one after another: the functions are long, and unrolled they would be
    // four times longer.
    const int64_t first = int64_t(blockIdx.x) * (THREADS * ITEMS) + threadIdx.x;
#pragma unroll 1
    for (int64_t i = first; i < min(n, first + THREADS * ITEMS); i += THREADS) {
        y[i] = value(function, x[i], T(number), exponent);
    }
}

template <typename T>
__device__ void unary_adjoint(const T *x, const T *y, const T *gy, T *gx, int64_t n,
                              int32_t function, double number, int32_t exponent) {
    const int64_t first = int64_t(blockIdx.x) * (THREADS * ITEMS) + threadIdx.x;
#pragma unroll 1
    for (int64_t i = first; i < min(n, first + THREADS * ITEMS); i += THREADS) {
        gx[i] += gy[i] * slope(function, x[i], y[i], T(number), exponent);
    }
}

template <typename T>
__device__ void binary(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ y,
                       const Walk &walk, int32_t function) {
    for_each(walk.size, [&](int64_t i) {
        int64_t at[2];
        locate<0>(walk, i, at);
        const T left = a[at[0]], right = b[at[1]];
        T result;
        switch (function) {
            case BINARY_ADD:
                result = left + right;
                break;
            case BINARY_SUBTRACT:
                result = left - right;
                break;
            case BINARY_MULTIPLY:
                result = left * right;
                break;
            default:
                result = left / right;
                break;
        }
        y[i] = result;
    });
}

template <typename T>
__device__ void select(const uint8_t *__restrict__ mask, const T *__restrict__ x,
                       const T *__restrict__ otherwise, T *__restrict__ y, const Walk &walk) {
    for_each(walk.size, [&](int64_t i) {
        int64_t at[3];
        locate<0>(walk, i, at);
        y[i] = mask[at[0]] != 0 ? x[at[1]] : otherwise[at[2]];
    });
}

}  // namespace tape

using namespace tape;

#define INSTANTIATE(T, NAME)                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS) unary_##NAME(                       \
        const T *x, T *y, int64_t n, int32_t function, double number, int32_t exponent) {     \
        unary(x, y, n, function, number, exponent);                                           \
    }                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                     \
        unary_adjoint_##NAME(const T *x, const T *y, const T *gy, T *gx, int64_t n,           \
                             int32_t function, double number, int32_t exponent) {             \
        unary_adjoint(x, y, gy, gx, n, function, number, exponent);                           \
    }                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                     \
        binary_##NAME(const T *a, const T *b, T *y, Walk walk, int32_t function) {            \
        binary(a, b, y, walk, function);                                                      \
    }                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                     \
        select_##NAME(const uint8_t *mask, const T *x, const T *otherwise, T *y, Walk walk) { \
        select(mask, x, otherwise, y, walk);                                                  \
    }

INSTANTIATE(float, f32)
INSTANTIATE(double, f64)
