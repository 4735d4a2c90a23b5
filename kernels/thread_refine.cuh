// Solution of M x = b with the factor at hand, and its refinement.

#ifndef MECHANISTIC_THREAD_REFINE_CUH
#define MECHANISTIC_THREAD_REFINE_CUH

#include "thread_factor.cuh"
#include "thread_rows.cuh"

namespace thread {

// Backward substitution of `vector`; accept(t, x) takes every block, the last point first.
template <typename T, int K, int Q, typename Accept>
__device__ void substitute_back(const ThreadProblem &common, const Tile &tile, Accept accept) {
    constexpr int P = K * Q;
    const int points = int(common.problem.points);
    const Workspace<T> factor(tile, common.factor, points, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, points, P);
    double next[P];
    __syncwarp();  // accept may write where inputs were staged
#pragma unroll 1
    for (int t = points - 1; t >= 0; --t) {
        const bool last = t + 1 == points;
        FactorRow<T, K, Q> row;
        double x[P];
        row.load(factor, t, last);
        vector.load(t, 0, x);
        row.backward(x, next, last);
        accept(t, x);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            next[i] = x[i];
        }
    }
}

// Block t of the iterate becomes x, or is increased by it.
template <int P>
__device__ void add_to(const Workspace<double> &iterate, int t, const double (&x)[P],
                       bool increase) {
    double sum[P];
    if (increase) {
        iterate.load(t, 0, sum);
    }
#pragma unroll
    for (int i = 0; i < P; ++i) {
        sum[i] = increase ? sum[i] + x[i] : x[i];
    }
    iterate.store(t, 0, sum);
}

// Adds AᵀW²(β − Ax) of the smoothness rows of one state between two points to the points'
// residuals.
template <int Q>
__device__ void add_smoothness_residual(const ThreadRows &rows, int count, double length,
                                        double factor, const double (&x)[Q], const double (&y)[Q],
                                        double (&residual_x)[Q], double (&residual_y)[Q]) {
    double power[Q], scaled_x[Q], scaled_y[Q], sum_x[Q], sum_y[Q];
    powers(length, power);
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        scaled_x[j] = power[j] * x[j];
        scaled_y[j] = power[j] * y[j];
        sum_x[j] = sum_y[j] = 0;
    }
#pragma unroll 1
    for (int row = 0; row < count; ++row) {
        const double defect = -row_times(rows, row, scaled_x, scaled_y);
#pragma unroll
        for (int j = 0; j < Q; ++j) {
            sum_x[j] += rows.table[row * 2 * Q + j] * defect;
            sum_y[j] += rows.table[row * 2 * Q + Q + j] * defect;
        }
    }
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        residual_x[j] += factor * factor * power[j] * sum_x[j];
        residual_y[j] += factor * factor * power[j] * sum_y[j];
    }
}

// vector = R⁻ᵀ (b − M x), with b − M x = AᵀW²(β − Ax) if DATA, else `given` − AᵀW²Ax;
// row by row, in double precision.
template <typename T, int K, int Q, bool DATA>
__device__ void substitute_residual(const ThreadProblem &common, const Tile &tile, T *shared,
                                    const Workspace<double> &iterate) {
    constexpr int P = K * Q;
    const Problem &problem = common.problem;
    const int points = int(problem.points);
    const Workspace<T> factor(tile, common.factor, points, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, points, P);
    const Workspace<double> given(tile, common.given, points, P);

    Inputs<T, K, Q, false> inputs(tile, common, shared);
    double length[K];
    double x[P], y[P], residual[P];
    iterate.load(0, 0, y);
#pragma unroll
    for (int i = 0; i < P; ++i) {
        residual[i] = 0;
    }
#pragma unroll 1
    for (int t = 0; t < points; ++t) {
        const bool last = t + 1 == points;
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = y[i];
        }
        if (!last) {
            T rounded[K];
            iterate.load(t + 1, 0, y);
            inputs.lengths(t, rounded);
#pragma unroll
            for (int k = 0; k < K; ++k) {
                length[k] = double(rounded[k]);
            }
        }
        const Scale<double, Q> scale = inputs.scale(length);
        const double equation_factor = problem.weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const T(&c)[P], T b) {
            double defect = DATA ? double(b) : 0.0;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                defect -= double(c[i]) * x[i];
            }
            defect *= equation_factor * equation_factor;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                residual[i] += double(c[i]) * defect;
            }
        });
        inputs.initial(t, [&](int i, T value) {
            const double row_factor = problem.weight_initial * scale.power[i % Q];
            residual[i] += row_factor * row_factor * ((DATA ? double(value) : 0.0) - x[i]);
        });
        double next_residual[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            next_residual[i] = 0;
        }
        if (!last) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                add_smoothness_residual<Q>(common.rows, problem.pair.rows, length[k],
                                           problem.weight_smoothness, state<Q>(x, k),
                                           state<Q>(y, k), state<Q>(residual, k),
                                           state<Q>(next_residual, k));
            }
        }
        if (!DATA) {
            double b[P];
            given.load(t, 0, b);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                residual[i] += b[i];
            }
        }
        FactorRow<T, K, Q> row;
        factor.load(t, 0, row.upper_values);
        row.forward(residual);
        vector.store(t, 0, residual);
        if (!last) {
            double carried[P];
            factor.load(t, Layout<K, Q>::UPPER, row.link_values);
            row.carry(residual, carried);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                residual[i] = next_residual[i] + carried[i];
            }
        }
    }
}

}  // namespace thread

#endif
