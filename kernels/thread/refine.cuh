// The residuals of a solution and their forward substitution, which are a step of refinement
// together with substitute_back.

#ifndef MECHANISTIC_THREAD_REFINE_CUH
#define MECHANISTIC_THREAD_REFINE_CUH

#include "thread/rows.cuh"
#include "thread/substitution.cuh"

namespace thread {

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

// Computes vector = R⁻ᵀ (b − M x), with b − M x = AᵀW²(β − Ax) if DATA, and b − M x = `given` −
// AᵀW²Ax otherwise, row by row, in double precision.
template <int K, int Q, typename AnyTile, bool DATA>
__device__ void substitute_residual(const ThreadProblem &common, double *of_iterate) {
    constexpr int P = K * Q;
    const Problem &problem = common.problem;
    const AnyTile tile(common);
    const auto blocks = [&](double *data) {
        return Workspace(here<AMPLE<P, AnyTile>>(tile), data, P);
    };

    tile.barrier();
    Inputs<K, Q, false, AnyTile> inputs(tile);
    ForwardSubstitution<K, Q, AnyTile> substitution(tile);
    double length[K];
    double x[P], y[P], residual[P];
    blocks(of_iterate).load(0, 0, y);
#pragma unroll
    for (int i = 0; i < P; ++i) {
        residual[i] = 0;
    }
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        const bool last = tile.last(t);
        FactorRow<K, Q> row;
        if (tile.has(t)) {
            substitution.load(t, row);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] = y[i];
            }
            if (!last && !tile.meets(t)) {
                load_following(tile, blocks(of_iterate), t, y);
            }
        }
        const Scale<Q> scale = inputs.lengths(t, length);
        const double equation_factor = problem.weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const double (&c)[P], double b) {
            double defect = DATA ? b : 0.0;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                defect -= c[i] * x[i];
            }
            defect *= equation_factor * equation_factor;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                residual[i] += c[i] * defect;
            }
        });
        inputs.initial(t, [&](int i, double value) {
            const double row_factor = problem.weight_initial * scale.power[i % Q];
            residual[i] += row_factor * row_factor * ((DATA ? value : 0.0) - x[i]);
        });
        if (!tile.has(t)) {
            continue;
        }
        if (!DATA) {
            double b[P];
            blocks(common.given).load(t, 0, b);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                residual[i] += b[i];
            }
        }
        if (tile.meets(t)) {
            break;
        }
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
        substitution.step(t, row, residual, next_residual);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            residual[i] = next_residual[i];
        }
    }
    substitution.finish(residual);
}

// Substitutes `vector` backward, to `direction` or, with `increase`, in addition to it.
template <int K, int Q, typename AnyTile>
__device__ void substitute_direction(const ThreadProblem &common, bool increase) {
    constexpr int P = K * Q;
    const AnyTile tile(common);
    Iterate<P, AnyTile> direction(tile, common.direction, increase);
    substitute_back<K, Q>(tile, [&](int t, const double (&x)[P]) {
        if (tile.has(t)) {
            double sum[P];
            direction.add(t, x, sum);
        }
    });
}

// Refines the solution of M x = `given`, where `vector` holds R⁻ᵀ of the right-hand side.
// `direction` is x without what the next backward substitution of `vector` adds; it is not used
// without refinement.
template <int K, int Q, typename AnyTile>
__device__ void refine_direction(const ThreadProblem &common) {
#pragma unroll 1
    for (int step = 0; step < common.problem.refinement; ++step) {
        substitute_direction<K, Q, AnyTile>(common, step > 0);
        substitute_residual<K, Q, AnyTile, false>(common, common.direction);
    }
}

}  // namespace thread

#endif
