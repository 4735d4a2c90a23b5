// Solves small least-squares problems, half a system a thread: z = argmin ½‖W(Az − β)‖².
//
// One sweep over the time points forms M = AᵀW²A block by block, factorizes it and substitutes
// forward, in the first half of the points forward in time, in the second half backward, towards
// the point where the halves meet; one sweep away from it substitutes backward. A step of
// refinement repeats both sweeps with the factor and the residual AᵀW²(β − Az), computed row by row
// in double precision.
//
//   grid    x = ceil(B/32): a tile of 32 systems a block
//   block   64 threads
//   shared  dynamic, for each warp: the rings of thread/stream.cuh; then what the halves exchange
//           (thread/tile.cuh)
//   reads   the problem; writes solution (B, N, K, Q), epsilon (B) = 0, status (B), and in the
//           workspace factor, solution, vector
//   aliasing  none of the arrays overlap
//
// A system that cannot be solved gets NaN and a status; the others do not notice. No atomics: the
// same results in every run.

#ifndef MECHANISTIC_THREAD_SOLVE_CUH
#define MECHANISTIC_THREAD_SOLVE_CUH

#include "thread/cholesky.cuh"
#include "thread/refine.cuh"

namespace thread {

// Checks the step from point t to the next, if there is one.
template <int K, typename AnyTile>
__device__ void check_step(const AnyTile &tile, int t, const double (&length)[K], Faults &faults) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
        faults.check(length[k], Faults::STEPS);
        if (tile.sign() * length[k] <= 0) {
            faults.step = min(faults.step, tile.step_number(t));
        }
    }
}
// Checks the equation row Σ c z_t = b.
template <int P>
__device__ void check_row(const double (&c)[P], double b, Faults &faults) {
#pragma unroll
    for (int i = 0; i < P; ++i) {
        faults.check(c[i], Faults::COEFFICIENTS);
    }
    faults.check(b, Faults::RHS);
}

// The first sweep, which computes R and R⁻ᵀAᵀW²β.
template <int K, int Q, typename AnyTile>
__device__ void factorize(const ThreadProblem &common, Pivots &pivots, Faults &faults) {
    const Problem &problem = common.problem;
    const AnyTile tile(common);
    const Workspace factor = factor_of<K, Q>(tile);
    const Workspace vector(tile, common.vector, K * Q);
    const double weight_initial = problem.weight_initial;
    const double weight_smoothness = problem.weight_smoothness;

    Inputs<K, Q, false, AnyTile> inputs(tile);
    Separators<K, Q, AnyTile> separators(tile);
    Cholesky<K, Q> matrix;
    double length[K];
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        const bool last = tile.last(t);
        const Scale<Q> scale = inputs.lengths(t, length);
        if (inputs.has_step(t)) {
            check_step(tile, t, length, faults);
        }
        const double equation_factor = problem.weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const double (&c)[K *Q], double b) {
            check_row(c, b, faults);
            matrix.add_row(c, b, equation_factor);
        });
        inputs.initial(t, [&](int i, double value) {
            faults.check(value, Faults::INITIAL_VALUES);
            matrix.add_unit_row(i, value, weight_initial * scale.power[i % Q]);
        });
        if (!tile.has(t)) {
            continue;
        }
        if (tile.meets(t)) {
            break;  // its rows stay in the matrix
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

// Returns the least value of all threads of a span, or of both halves.
template <typename AnyTile, typename V>
__device__ V least(const AnyTile &tile, V value) {
    return tile.of_span(value, [](V a, V b) { return b < a ? b : a; });
}
// Makes known to each of these threads what all of them have found.
template <typename AnyTile>
__device__ void gather(const AnyTile &tile, Faults &faults) {
    faults.inputs =
        unsigned(tile.of_span(int64_t(faults.inputs), [](int64_t a, int64_t b) { return a | b; }));
    faults.step = int(least(tile, int64_t(faults.step)));
}
template <typename AnyTile>
__device__ void gather(const AnyTile &tile, Pivots &pivots, Faults &faults) {
    gather(tile, faults);
    pivots.lost_unknown = int(least(tile, int64_t(pivots.lost_unknown)));
    const double weakest = least(tile, pivots.weakest);
    const bool mine = pivots.weakest == weakest;
    pivots.weakest_unknown = int(least(tile, int64_t(mine ? pivots.weakest_unknown : INT_MAX)));
    pivots.weakest = weakest;
}

// A probe of the conditioning, which is solved for along with the first backward substitution: with
// x = R⁻¹e of the weakest pivot, that pivot is noise where ε Σ (R_ji x_i)² reaches the order of 1.
template <int K, int Q, typename AnyTile>
class Probe {
  public:
    static constexpr int P = K * Q;

    __device__ Probe(const AnyTile &tile, int weakest_unknown)
        : tile(tile), weakest_unknown(weakest_unknown) {}

    __device__ void begin(Separators<K, Q, AnyTile> &separators) {
        separators.probe(weakest_unknown, next, squares);
    }
    __device__ void separator(const Separators<K, Q, AnyTile> &separators) {
        separators.probe_result(next);
    }
    __device__ void point(int t, const FactorRow<K, Q> &row, bool last,
                          const Separators<K, Q, AnyTile> &separators) {
        double x[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = double(tile.point(t) * P + i == weakest_unknown);
        }
        separators.subtract_probe(t, x, squares);
        row.backward_with_squares(x, next, last, squares);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            next[i] = x[i];
        }
    }

    // Returns Σ (R_ji x_i)² of the whole system, or of a span of it.
    __device__ double sum() const {
        return tile.of_span(squares, [](double a, double b) { return a + b; });
    }

  private:
    const AnyTile &tile;
    const int weakest_unknown;
    double next[P];
    double squares = 0;
};

// Writes NaN for the systems that were not solved.
__device__ inline void erase_unsolved(const HalfTile &tile, bool solved, void *solution,
                                      int values) {
    unsigned unsolved = __ballot_sync(ALL_LANES, !solved && tile.holds(tile.lane));
    while (unsolved != 0) {
        const int lane = __ffs(int(unsolved)) - 1;
        unsolved &= unsolved - 1;
        const int64_t first = (tile.first + lane) * values;
        for (int i = thread_number(); i < values; i += 2 * LANES) {
            write(solution, tile.common.problem.results, first + i, double(NAN));
        }
    }
}
__device__ inline void erase_unsolved(const ChunkTile &tile, bool solved, void *solution,
                                      int values) {
    __syncthreads();  // any lane of the block may have written values of this chunk
    if (solved || !tile.holds(tile.lane)) {
        return;
    }
    const int64_t first = tile.system(tile.lane) * values;
    for (int i = tile.chunk; i < values; i += tile.chunks()) {
        write(solution, tile.common.problem.results, first + i, double(NAN));
    }
}

// Takes the solution, or a correction to it, point by point, the last one first; writes the result
// if there is no more to come.
template <int K, int Q, typename AnyTile>
class SolutionSweep {
  public:
    static constexpr int P = K * Q;

    __device__ SolutionSweep(const ThreadSolve &p, const AnyTile &tile, bool increase,
                             bool complete)
        : p(p),
          tile(tile),
          complete(complete),
          unrounded(tile, p.common.solution, increase),
          array(unknowns<P>(tile, p.solution)),
          out(array) {}

    __device__ void visit(int t, const double (&x)[P]) {
        if (tile.has(t)) {
            double z[P];
            unrounded.add(t, x, z);
            if (complete) {
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    finite &= is_finite(p.common.problem.results, z[i]);
                    out.put(tile.place(t) * P + i, z[i]);
                }
            }
        }
        if (complete) {
            out.release(p.solution, array.storage, array.between, tile.place(t) * P, P);
        }
    }

    // Writes the values that are left; returns whether all values of this lane are finite.
    __device__ bool finish() {
        if (complete) {
            out.close(p.solution, array.storage, array.between);
        }
        return finite;
    }

  private:
    const ThreadSolve &p;
    const AnyTile &tile;
    const bool complete;
    Iterate<P, AnyTile> unrounded;
    const Array<AnyTile> array;
    Stream<true, AnyTile> out;
    bool finite = true;
};

// Refines the solution, and makes known which systems are solved: those whose status says so, and
// of which all values are finite. `finite` says it of the values of this lane.
template <int K, int Q, typename AnyTile>
__device__ void refine_solution(const ThreadSolve &p, bool finite) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const int refinement = common.problem.refinement;
#pragma unroll 1
    for (int step = 1; step <= refinement; ++step) {
        substitute_residual<K, Q, AnyTile, true>(common, common.solution);
        const AnyTile tile(common);
        SolutionSweep<K, Q, AnyTile> sweep(p, tile, true, step == refinement);
        const auto visit = [&](int t, const double (&x)[P]) { sweep.visit(t, x); };
        substitute_back<K, Q>(tile, visit);
        finite = sweep.finish();
    }

    const AnyTile tile(common);
    const int64_t system = tile.system(tile.lane);
    finite = tile.of_span(int64_t(finite), [](int64_t a, int64_t b) { return a & b; }) != 0;
    tile.barrier();
    const bool determined = p.status[system].kind == STATUS_OK;
    const bool solved = determined && finite;
    tile.barrier();
    if (tile.leads_system()) {
        if (determined && !finite) {
            p.status[system].kind = STATUS_OVERFLOW;
        }
        write(p.epsilon, common.problem.results, system, solved ? 0.0 : double(NAN));
    }
    erase_unsolved(tile, solved, p.solution, int(common.problem.points) * P);
}

template <int K, int Q, typename AnyTile>
__device__ void solve(const ThreadSolve &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;

    bool finite;
    {
        Faults faults;
        Pivots pivots;
        factorize<K, Q, AnyTile>(common, pivots, faults);
        const AnyTile tile(common);
        gather(tile, pivots, faults);
        SolutionSweep<K, Q, AnyTile> sweep(p, tile, false, common.problem.refinement == 0);
        Probe<K, Q, AnyTile> probe(tile, pivots.weakest_unknown);
        const auto visit = [&](int t, const double (&x)[P]) { sweep.visit(t, x); };
        substitute_back<K, Q>(tile, visit, probe);
        finite = sweep.finish();
        const bool is_certain = certain(probe.sum());
        if (tile.leads_system()) {
            p.status[tile.system(tile.lane)] = verdict(faults, pivots, is_certain, false, P);
        }
    }
    refine_solution<K, Q, AnyTile>(p, finite);
}

}  // namespace thread

#endif
