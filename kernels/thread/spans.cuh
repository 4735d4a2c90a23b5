// Solves and gradients of systems whose chunks are spread over several blocks. What the kernels of
// chunks do in one launch, with barriers, takes a launch each here, wherever spans wait for each
// other:
//
//     solve      factorize, join_factorize, solution,
//                then for each refinement  residual, join, correction;  at last verdict
//     gradients  cotangent, join,
//                then for each refinement  direction, direction_residual, join;  at last gradients,
//                whose sums over the points `sum_partials` adds up over the spans
//
// A sweep forward ends with the levels of the cyclic reduction between the chunks of a span, a
// sweep back begins with them, and a join in between has the levels between spans
// (thread/reduction.cuh). What a span finds out about its system is in `findings`. The contracts of
// arrays are those of thread/solve.cuh and thread/adjoint.cuh.

#ifndef MECHANISTIC_THREAD_SPANS_CUH
#define MECHANISTIC_THREAD_SPANS_CUH

#include "thread/adjoint.cuh"
#include "thread/solve.cuh"

namespace thread {

__device__ inline void store(ThreadFindings &findings, const Pivots &pivots, const Faults &faults,
                             double squares) {
    findings.weakest = pivots.weakest;
    findings.weakest_unknown = pivots.weakest_unknown;
    findings.lost_unknown = pivots.lost_unknown;
    findings.step = faults.step;
    findings.inputs = faults.inputs;
    findings.squares = squares;
}
__device__ inline void load(const ThreadFindings &findings, Pivots &pivots, Faults &faults) {
    pivots.weakest = findings.weakest;
    pivots.weakest_unknown = findings.weakest_unknown;
    pivots.lost_unknown = findings.lost_unknown;
    faults.step = findings.step;
    faults.inputs = findings.inputs;
}

template <int K, int Q>
__device__ void factorize_span(const ThreadProblem &common) {
    Faults faults;
    Pivots pivots;
    factorize<K, Q, SpanTile>(common, pivots, faults);
    const SpanTile tile(common);
    gather(tile, pivots, faults);
    if (tile.in_span() == 0) {
        store(tile.findings(), pivots, faults, 0);
    }
}

// Factorizes the separators between spans, and solves for them; solves for the probe, too, once the
// weakest pivot is known, and tells the spans.
template <int K, int Q>
__device__ void join_factorize(const ThreadProblem &common) {
    const JoinTile tile(common);
    const Reduction<K, Q, JoinTile> reduction(tile);
    Faults faults;
    Pivots pivots;
    if (tile.exists()) {
        load(tile.findings(), pivots, faults);
    }
    reduction.factorize(pivots);
    gather(tile, pivots, faults);
    reduction.solve();
    double x[K * Q];
#pragma unroll
    for (int i = 0; i < K * Q; ++i) {
        x[i] = double(tile.eliminates() && tile.point(0) * K * Q + i == pivots.weakest_unknown);
    }
    const double squares = reduction.probe(x);
    if (tile.exists()) {
        store(tile.findings(), pivots, faults, squares);
    }
}

// Solves for the separators between spans with another right-hand side.
template <int K, int Q>
__device__ void join(const ThreadProblem &common) {
    const JoinTile tile(common);
    Reduction<K, Q, JoinTile>(tile).solve();
}

// The backward substitution with the probe of the conditioning if FIRST, else one that corrects the
// solution; the result is written if no refinement follows.
template <int K, int Q, bool FIRST>
__device__ void substitute_solution(const ThreadSolve &p, bool complete) {
    constexpr int P = K * Q;
    const SpanTile tile(p.common);
    SolutionSweep<K, Q, SpanTile> sweep(p, tile, !FIRST, complete);
    const auto visit = [&](int t, const double (&x)[P]) { sweep.visit(t, x); };
    double squares = 0;
    if constexpr (FIRST) {
        Probe<K, Q, SpanTile> probe(tile, tile.findings().weakest_unknown);
        substitute_back<K, Q>(tile, visit, probe);
        squares = probe.sum();
    } else {
        substitute_back<K, Q>(tile, visit);
    }
    const bool finite =
        tile.of_span(int64_t(sweep.finish()), [](int64_t a, int64_t b) { return a & b; }) != 0;
    if (tile.in_span() == 0) {
        tile.findings().squares += squares;
        tile.findings().finite = finite;
    }
}

// Decides how a system ended from what all its spans have found.
__device__ inline void decide(const ThreadSolve &p) {
    const Problem &problem = p.common.problem;
    const int block = problem.states * problem.derivatives;
    const SpanTile tile(p.common);
    const ThreadFindings *findings = &tile.findings() - (tile.chunk >> p.common.chunks.span_bits);
    double squares = 0;
    int64_t finite = 1;
    for (int span = tile.in_span(); span < tile.spans(); span += tile.span()) {
        squares += findings[span].squares;
        finite &= findings[span].finite;
    }
    squares = tile.of_span(squares, [](double a, double b) { return a + b; });
    finite = tile.of_span(finite, [](int64_t a, int64_t b) { return a & b; });
    Faults faults;
    Pivots pivots;
    load(*findings, pivots, faults);
    const Status status = verdict(faults, pivots, certain(squares), finite == 0, block);
    const bool solved = status.kind == STATUS_OK;
    if (tile.leads_system()) {
        const int64_t system = tile.system(tile.lane);
        p.status[system] = status;
        write(p.epsilon, problem.results, system, solved ? 0.0 : double(NAN));
    }
    erase_unsolved(tile, solved, p.solution, int(problem.points) * block);
}

}  // namespace thread

#endif
