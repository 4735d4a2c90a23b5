// Solves small least-squares problems whose systems all have the same matrix, with its factor: what
// thread/solve.cuh does after a factorization, to the same bits. One launch of thread_solve makes
// the factor, for a system whose right-hand side is zero, so that the status it ends with is that
// of the matrix.
//
//   grid, block, shared  as for thread/solve.cuh
//   reads   the problem, `of_factor`, and in the workspace the factor of the first system; writes
//           solution (B, N, K, Q), epsilon (B) = 0, status (B), and in the workspace solution,
//           vector
//   aliasing  none of the arrays overlap
//
// All lanes of a warp read the same values of the factor, which stay in the caches.

#ifndef MECHANISTIC_THREAD_RESOLVE_CUH
#define MECHANISTIC_THREAD_RESOLVE_CUH

#include "thread/solve.cuh"

namespace thread {

// Computes vector = R⁻ᵀAᵀW²β.
template <int K, int Q, typename AnyTile>
__device__ void substitute_data(const ThreadProblem &common, Faults &faults) {
    constexpr int P = K * Q;
    const Problem &problem = common.problem;
    const AnyTile tile(common);
    Inputs<K, Q, false, AnyTile> inputs(tile);
    ForwardSubstitution<K, Q, AnyTile> substitution(tile);
    double length[K];
    double right[P] = {};
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        FactorRow<K, Q> row;
        if (tile.has(t)) {
            substitution.load(t, row);
        }
        const Scale<Q> scale = inputs.lengths(t, length);
        if (inputs.has_step(t)) {
            check_step(tile, t, length, faults);
        }
        const double equation_factor = problem.weight_equation * scale.equation(problem);
        inputs.equations(t, [&](int, const double (&c)[P], double b) {
            check_row(c, b, faults);
            add_to_right(right, c, b, equation_factor);
        });
        inputs.initial(t, [&](int i, double value) {
            faults.check(value, Faults::INITIAL_VALUES);
            add_to_right(right, i, value, problem.weight_initial * scale.power[i % Q]);
        });
        if (!tile.has(t)) {
            continue;
        }
        if (tile.meets(t)) {
            break;
        }
        double next[P] = {};
        substitution.step(t, row, right, next);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] = next[i];
        }
    }
    substitution.finish(right);
}

template <int K, int Q, typename AnyTile>
__device__ void resolve(const ThreadSolve &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;

    bool finite;
    {
        Faults faults;
        substitute_data<K, Q, AnyTile>(common, faults);
        const AnyTile tile(common);
        gather(tile, faults);
        SolutionSweep<K, Q, AnyTile> sweep(p, tile, false, common.problem.refinement == 0);
        const auto visit = [&](int t, const double (&x)[P]) { sweep.visit(t, x); };
        substitute_back<K, Q>(tile, visit);
        finite = sweep.finish();
        if (tile.leads_system()) {
            const Status own = verdict(faults, Pivots(), true, false, P);
            const bool broken = own.kind == STATUS_OK && p.of_factor->kind == STATUS_BREAKDOWN;
            p.status[tile.system(tile.lane)] = broken ? *p.of_factor : own;
        }
    }
    refine_solution<K, Q, AnyTile>(p, finite);
}

}  // namespace thread

#endif
