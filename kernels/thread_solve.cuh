// Solution of small least-squares problems, one system a thread: z = argmin ½‖W(Az − β)‖².
//
// One sweep forward in time forms M = AᵀW²A block by block, factorises it and substitutes forward;
// one sweep back substitutes backward. A step of refinement repeats both sweeps with the factor and
// the residual AᵀW²(β − Az), computed row by row in double precision.
//
//   grid    x = ceil(B/32): a tile of 32 systems a block
//   block   32 threads
//   shared  dynamic: the rings of thread_stream.cuh
//   reads   the problem; writes solution (B, N, K, Q), epsilon (B) = 0, status (B), and in the
//           workspace factor, solution, vector
//   aliasing  none of the arrays overlap
//
// A system that cannot be solved gets NaN and a status; the others do not notice. No atomics: the
// same results in every run.

#ifndef MECHANISTIC_THREAD_SOLVE_CUH
#define MECHANISTIC_THREAD_SOLVE_CUH

#include "thread_cholesky.cuh"
#include "thread_refine.cuh"
#include "thread_square_root.cuh"

namespace thread {

// What is wrong with the inputs of one system.
struct InputFaults {
    bool coefficients = false;
    bool rhs = false;
    bool initial_values = false;
    bool steps = false;
    int invalid_step = -1;
};

template <typename T, int K, int Q, typename Factorisation>
__device__ void factorise(const ThreadProblem &common, const Tile &tile, T *shared,
                          Pivots<T> &pivots, InputFaults &faults) {
    const Problem &problem = common.problem;
    const int points = int(problem.points);
    const Workspace<T> factor(tile, common.factor, points, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, points, K * Q);
    const T weight_equation = T(problem.weight_equation);
    const T weight_initial = T(problem.weight_initial);
    const T weight_smoothness = T(problem.weight_smoothness);

    Inputs<T, K, Q, false> inputs(tile, common, shared);
    Factorisation matrix;
    T length[K];
#pragma unroll 1
    for (int t = 0; t < points; ++t) {
        const bool last = t + 1 == points;
        if (!last) {
            inputs.lengths(t, length);
#pragma unroll
            for (int k = 0; k < K; ++k) {
                faults.steps |= !isfinite(length[k]);
                if (length[k] <= T(0) && faults.invalid_step < 0) {
                    faults.invalid_step = t;
                }
            }
        }
        const Scale<T, Q> scale = inputs.scale(length);
        const T equation_factor = weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const T(&c)[K * Q], T b) {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                faults.coefficients |= !isfinite(c[i]);
            }
            faults.rhs |= !isfinite(b);
            matrix.add_row(c, b, equation_factor);
        });
        inputs.initial(t, [&](int i, T value) {
            faults.initial_values |= !isfinite(value);
            matrix.add_unit_row(i, value, weight_initial * scale.power[i % Q]);
        });
        if (!last) {
            matrix.add_smoothness(common.rows, length, weight_smoothness);
        }
        matrix.eliminate(t, last, pivots);
        matrix.row.store(factor, t, last);
        vector.store(t, 0, matrix.right);
        if (!last) {
            matrix.advance(common.rows, length, weight_smoothness);
        }
    }
}

template <typename T> constexpr T EPSILON = T(sizeof(T) == 8 ? 0x1p-52 : 0x1p-23);

// First backward substitution, and the probe of the conditioning along with it: with x = R⁻¹e of
// the weakest pivot, that pivot is noise where ε Σ (R_ji x_i)² (of rows: ε √Σ) reaches the order of
// 1.
template <typename T, int K, int Q, typename Accept>
__device__ void substitute_back_and_probe(const ThreadProblem &common, const Tile &tile,
                                          Pivots<T> &pivots, bool from_rows, Accept accept) {
    constexpr int P = K * Q;
    const int points = int(common.problem.points);
    const Workspace<T> factor(tile, common.factor, points, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, points, P);
    double next[P], next_probe[P], squares = 0;
    __syncwarp();  // accept may write where inputs were staged
#pragma unroll 1
    for (int t = points - 1; t >= 0; --t) {
        const bool last = t + 1 == points;
        FactorRow<T, K, Q> row;
        double x[P], probe[P];
        row.load(factor, t, last);
        vector.load(t, 0, x);
        row.backward(x, next, last);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            probe[i] = double(t == pivots.weakest_point && i == pivots.weakest_row);
        }
        row.backward_with_squares(probe, next_probe, last, squares);
        accept(t, x);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            next[i] = x[i];
            next_probe[i] = probe[i];
        }
    }
    // Written so that a NaN is a breakdown too.
    const double uncertainty = double(EPSILON<T>) * (from_rows ? sqrt(squares) : squares);
    if (pivots.broken_point < 0 && !(uncertainty < 1.0 / 16)) {
        pivots.broken_point = pivots.weakest_point;
        pivots.broken_row = pivots.weakest_row;
    }
}

template <typename T>
__device__ Status status_of(const InputFaults &faults, const Pivots<T> &pivots) {
    if (faults.coefficients) {
        return {STATUS_NON_FINITE_INPUT, 0, 0};
    }
    if (faults.rhs) {
        return {STATUS_NON_FINITE_INPUT, 1, 0};
    }
    if (faults.initial_values) {
        return {STATUS_NON_FINITE_INPUT, 2, 0};
    }
    if (faults.steps) {
        return {STATUS_NON_FINITE_INPUT, 3, 0};
    }
    if (faults.invalid_step >= 0) {
        return {STATUS_INVALID_STEP, faults.invalid_step, 0};
    }
    if (pivots.broken_point >= 0) {
        return {STATUS_BREAKDOWN, pivots.broken_point, pivots.broken_row};
    }
    return {STATUS_OK, 0, 0};
}

// Values of the systems that were not solved.
template <typename T>
__device__ void erase_unsolved(const Tile &tile, bool solved, T *solution, int values) {
    unsigned unsolved = __ballot_sync(~0u, !solved && tile.holds(tile.lane));
    while (unsolved != 0) {
        const int lane = __ffs(int(unsolved)) - 1;
        unsolved &= unsolved - 1;
        T *system = solution + (tile.first + lane) * values;
        for (int i = tile.lane; i < values; i += LANES) {
            system[i] = T(NAN);
        }
    }
}

template <typename T, int K, int Q, typename Factorisation>
__device__ void solve(const ThreadSolve &p) {
    extern __shared__ double dynamic_shared[];
    T *shared = reinterpret_cast<T *>(dynamic_shared);
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const int points = int(common.problem.points);
    const int refinement = common.problem.refinement;
    const Tile tile(common.problem.batch);
    const Workspace<double> unrounded(tile, common.solution, points, P);
    T *const solution = static_cast<T *>(p.solution);

    InputFaults faults;
    Pivots<T> pivots;
    factorise<T, K, Q, Factorisation>(common, tile, shared, pivots, faults);

    bool finite = true;
    Stream<T, true> out(
        Array<T>(tile, common.unknowns, shared, p.solution, STORAGE<T>, points * P));
    const auto write = [&](int t, const double(&z)[P]) {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            const T rounded = T(z[i]);
            finite &= bool(isfinite(rounded));
            out.at(t * P + i) = rounded;
        }
        out.release(solution, (points - t) * P);
    };
    substitute_back_and_probe<T, K, Q>(common, tile, pivots, Factorisation::FROM_ROWS,
                                       [&](int t, const double(&z)[P]) {
                                           unrounded.store(t, 0, z);
                                           if (refinement == 0) {
                                               write(t, z);
                                           }
                                       });
    Status status = status_of(faults, pivots);
#pragma unroll 1
    for (int step = 1; step <= refinement; ++step) {
        substitute_residual<T, K, Q, true>(common, tile, shared, unrounded);
        substitute_back<T, K, Q>(common, tile, [&](int t, const double(&correction)[P]) {
            double z[P];
            unrounded.load(t, 0, z);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                z[i] += correction[i];
            }
            unrounded.store(t, 0, z);
            if (step == refinement) {
                write(t, z);
            }
        });
    }
    out.close(solution);

    if (status.kind == STATUS_OK && !finite) {
        status.kind = STATUS_OVERFLOW;
    }
    const bool solved = status.kind == STATUS_OK;
    if (tile.holds(tile.lane)) {
        p.status[tile.system(tile.lane)] = status;
        static_cast<T *>(p.epsilon)[tile.system(tile.lane)] = solved ? T(0) : T(NAN);
    }
    erase_unsolved(tile, solved, solution, points * P);
}

}  // namespace thread

#endif
