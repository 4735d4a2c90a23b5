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

// Whether a result is a number in the precision in which it is stored.
template <typename T> __device__ bool is_finite(const Tile &, T value) { return isfinite(value); }
__device__ inline bool is_finite(const ChunkTile &tile, double value) {
    return tile.results<double>() == STORAGE_F32 ? isfinite(float(value)) : isfinite(value);
}

// What is wrong with the inputs of one system.
struct InputFaults {
    static constexpr int COEFFICIENTS = 0, RHS = 1, INITIAL_VALUES = 2, STEPS = 3;

    int not_finite = 0;  // a bit for each input
    int invalid_step = -1;

    template <typename T> __device__ void check(T value, int input) {
        not_finite |= isfinite(value) ? 0 : 1 << input;
    }
};

template <typename T, int K, int Q, typename Factorisation, typename Where>
__device__ void factorise(const ThreadProblem &common, Pivots<T> &pivots, InputFaults &faults) {
    const Problem &problem = common.problem;
    const Where tile(common);
    const Workspace<T> factor(tile, common.factor, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, K * Q);
    const T weight_equation = T(problem.weight_equation);
    const T weight_initial = T(problem.weight_initial);
    const T weight_smoothness = T(problem.weight_smoothness);

    Inputs<T, K, Q, false, Where> inputs(tile);
    Separators<K, Q, Where> separators(tile);
    Factorisation matrix;
    T length[K];
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        const bool last = tile.last(t);
        inputs.lengths(t, length);
        if (inputs.has_step(t)) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                faults.check(length[k], InputFaults::STEPS);
                if (length[k] <= T(0) && faults.invalid_step < 0) {
                    faults.invalid_step = tile.point(t);
                }
            }
        }
        if (t == 0) {
            matrix.start(length);
        }
        const Scale<T, Q> scale = inputs.scale(length);
        const T equation_factor = weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const T(&c)[K * Q], T b) {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                faults.check(c[i], InputFaults::COEFFICIENTS);
            }
            faults.check(b, InputFaults::RHS);
            matrix.add_row(c, b, equation_factor);
        });
        inputs.initial(t, [&](int i, T value) {
            faults.check(value, InputFaults::INITIAL_VALUES);
            matrix.add_unit_row(i, value, weight_initial * scale.power[i % Q]);
        });
        if (!tile.has(t)) {
            continue;
        }
        if (!last) {
            matrix.add_smoothness(common.rows, length, weight_smoothness);
        }
        if (tile.separates(t)) {
            separators.start(matrix);
        } else {
            matrix.eliminate(tile.point(t), last, pivots);
            matrix.row.store(factor, t, last);
            vector.store(t, 0, matrix.right);
            separators.extend(t, last, matrix);
        }
        if (!last) {
            matrix.advance(common.rows, length, weight_smoothness);
        }
    }
    separators.finish(matrix, pivots);
}

// What all chunks of a system found becomes known to each.
template <typename T> __device__ void gather(const Tile &, Pivots<T> &, InputFaults &) {}
__device__ inline void gather(const ChunkTile &tile, Pivots<double> &pivots, InputFaults &faults) {
    constexpr int64_t NOWHERE = INT64_MAX;
    const auto least = [&](auto value) {
        return tile.of_system(value, [](auto a, auto b) { return b < a ? b : a; });
    };
    const auto place = [](int point, int row) { return int64_t(point) << 32 | row; };
    faults.not_finite = int(tile.of_system(int64_t(faults.not_finite),
                                           [](int64_t a, int64_t b) { return a | b; }));
    const int64_t step = least(faults.invalid_step < 0 ? NOWHERE : int64_t(faults.invalid_step));
    faults.invalid_step = step == NOWHERE ? -1 : int(step);

    const int64_t broken =
        least(pivots.broken_point < 0 ? NOWHERE : place(pivots.broken_point, pivots.broken_row));
    pivots.broken_point = broken == NOWHERE ? -1 : int(broken >> 32);
    pivots.broken_row = broken == NOWHERE ? 0 : int(broken);
    const double weakest = least(pivots.weakest);
    const int64_t weakest_place =
        least(pivots.weakest == weakest ? place(pivots.weakest_point, pivots.weakest_row) : NOWHERE);
    pivots.weakest = weakest;
    pivots.weakest_point = int(weakest_place >> 32);
    pivots.weakest_row = int(weakest_place);
}

template <typename T> constexpr T EPSILON = T(sizeof(T) == 8 ? 0x1p-52 : 0x1p-23);

// First backward substitution, and the probe of the conditioning along with it: with x = R⁻¹e of
// the weakest pivot, that pivot is noise where ε Σ (R_ji x_i)² (of rows: ε √Σ) reaches the order of
// 1.
template <typename T, int K, int Q, typename Where, typename Accept>
__device__ void substitute_back_and_probe(const Where &tile, Pivots<T> &pivots, bool from_rows,
                                          Accept accept) {
    constexpr int P = K * Q;
    const ThreadProblem &common = tile.common;
    const Workspace<T> factor(tile, common.factor, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, P);
    double next[P], next_probe[P], squares = 0;
    Separators<K, Q, Where> separators(tile);
    separators.solve(next);  // accept may write where inputs were staged
    separators.probe(pivots, next_probe, squares);
#pragma unroll 1
    for (int t = tile.points() - 1; t >= 0; --t) {
        const bool last = tile.last(t);
        double x[P], probe[P];
        if (tile.separates(t)) {
            separators.result(x);
            separators.probe_result(probe);
        } else if (tile.has(t)) {
            FactorRow<T, K, Q> row;
            row.load(factor, t, last);
            vector.load(t, 0, x);
            separators.subtract(t, x);
            row.backward(x, next, last);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                probe[i] = double(tile.point(t) == pivots.weakest_point && i == pivots.weakest_row);
            }
            separators.subtract_probe(t, probe, squares);
            row.backward_with_squares(probe, next_probe, last, squares);
        }
        accept(t, x);
        if (tile.has(t)) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                next[i] = x[i];
                next_probe[i] = probe[i];
            }
        }
    }
    squares = tile.of_system(squares, [](double a, double b) { return a + b; });
    // Written so that a NaN is a breakdown too.
    const double uncertainty = double(EPSILON<T>) * (from_rows ? sqrt(squares) : squares);
    if (pivots.broken_point < 0 && !(uncertainty < 1.0 / 16)) {
        pivots.broken_point = pivots.weakest_point;
        pivots.broken_row = pivots.weakest_row;
    }
}

template <typename T>
__device__ Status status_of(const InputFaults &faults, const Pivots<T> &pivots) {
    if (faults.not_finite != 0) {
        return {STATUS_NON_FINITE_INPUT, __ffs(faults.not_finite) - 1, 0};
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
__device__ void erase_unsolved(const Tile &tile, bool solved, void *data, int values) {
    T *solution = static_cast<T *>(data);
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
template <typename T>
__device__ void erase_unsolved(const ChunkTile &tile, bool solved, void *data, int values) {
    __syncthreads();  // any lane of the block may have written values of this chunk
    if (solved || !tile.holds(tile.lane)) {
        return;
    }
    const int64_t first = tile.system(tile.lane) * values;
    for (int i = tile.chunk; i < values; i += tile.chunks()) {
        write(data, tile.results<T>(), first + i, double(NAN));
    }
}

// Takes the solution or what is to be added to it, point by point, the last one first; writes the
// result if there is no more to come.
template <typename T, int K, int Q, typename Where> class SolutionSweep {
  public:
    static constexpr int P = K * Q;

    __device__ SolutionSweep(const ThreadSolve &p, const Where &tile, bool increase, bool complete)
        : p(p), tile(tile), increase(increase), complete(complete),
          unrounded(tile, p.common.solution, P), array(unknowns<T, P>(tile, p.solution)),
          out(array) {}

    __device__ void visit(int t, const double (&x)[P]) {
        if (tile.has(t)) {
            double z[P];
            add_to(unrounded, t, x, increase, z);
            if (complete) {
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    const T rounded = T(z[i]);
                    finite &= is_finite(tile, rounded);
                    out.at(t * P + i) = rounded;
                }
            }
        }
        if (complete) {
            out.release(p.solution, array.between, (tile.points() - t) * P);
        }
    }

    // Writes what is left; whether all values of this lane are numbers.
    __device__ bool finish() {
        if (complete) {
            out.close(p.solution, array.between);
        }
        return finite;
    }

  private:
    const ThreadSolve &p;
    const Where &tile;
    const bool increase, complete;
    const Workspace<double> unrounded;
    const Array<T, Where> array;
    Stream<T, true, Where> out;
    bool finite = true;
};

template <typename T, int K, int Q, typename Factorisation, typename Where>
__device__ void solve(const ThreadSolve &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const int refinement = common.problem.refinement;

    bool finite;
    {
        InputFaults faults;
        Pivots<T> pivots;
        factorise<T, K, Q, Factorisation, Where>(common, pivots, faults);
        const Where tile(common);
        gather(tile, pivots, faults);
        SolutionSweep<T, K, Q, Where> sweep(p, tile, false, refinement == 0);
        const auto visit = [&](int t, const double(&x)[P]) { sweep.visit(t, x); };
        substitute_back_and_probe<T, K, Q>(tile, pivots, Factorisation::FROM_ROWS, visit);
        finite = sweep.finish();
        if (tile.leads_system()) {
            p.status[tile.system(tile.lane)] = status_of(faults, pivots);
        }
    }
#pragma unroll 1
    for (int step = 1; step <= refinement; ++step) {
        substitute_residual<T, K, Q, Where, true>(common, common.solution);
        const Where tile(common);
        SolutionSweep<T, K, Q, Where> sweep(p, tile, true, step == refinement);
        const auto visit = [&](int t, const double(&x)[P]) { sweep.visit(t, x); };
        substitute_back<T, K, Q>(tile, visit);
        finite = sweep.finish();
    }

    const Where tile(common);
    const int64_t system = tile.system(tile.lane);
    finite = tile.of_system(int64_t(finite), [](int64_t a, int64_t b) { return a & b; }) != 0;
    tile.barrier();
    const bool determined = p.status[system].kind == STATUS_OK;
    const bool solved = determined && finite;
    tile.barrier();
    if (tile.leads_system()) {
        if (determined && !finite) {
            p.status[system].kind = STATUS_OVERFLOW;
        }
        write(p.epsilon, tile.template results<T>(), system, solved ? T(0) : T(NAN));
    }
    erase_unsolved<T>(tile, solved, p.solution, int(common.problem.points) * P);
}

}  // namespace thread

#endif
