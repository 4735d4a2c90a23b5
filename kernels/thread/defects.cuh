// Squared weighted defects ‖W(Az − β)‖² of small least-squares problems by family of rows, one
// system a thread: one sweep forward, row by row in double precision.
//
//   grid    x = ceil(B/32): a tile of 32 systems a block
//   block   32 threads
//   shared  dynamic: the rings of thread/stream.cuh
//   reads   the problem, the solution in the workspace, status (B); writes sums (B, 4): equation,
//           initial, smoothness, periodic (0); NaN for systems that were not solved
//   aliasing  none of the arrays overlap

#ifndef MECHANISTIC_THREAD_DEFECTS_CUH
#define MECHANISTIC_THREAD_DEFECTS_CUH

#include "thread/factor.cuh"
#include "thread/rows.cuh"

namespace thread {

// Σ (a·(x, y))² of the smoothness rows of one state between two points.
template <int Q>
__device__ double smoothness_squares(const ThreadRows &rows, int count, double length,
                                     const double (&x)[Q], const double (&y)[Q]) {
    double power[Q], scaled_x[Q], scaled_y[Q], sum = 0;
    powers(length, power);
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        scaled_x[j] = power[j] * x[j];
        scaled_y[j] = power[j] * y[j];
    }
#pragma unroll 1
    for (int row = 0; row < count; ++row) {
        const double defect = row_times(rows, row, scaled_x, scaled_y);
        sum += defect * defect;
    }
    return sum;
}

template <int K, int Q, typename Where>
__device__ void defects(const ThreadDefects &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const Problem &problem = common.problem;
    const Where tile(common);
    const Workspace solution(tile, common.solution, P);
    Inputs<K, Q, false, Where> inputs(tile);

    double equation = 0, initial = 0, smoothness = 0;
    double z[P], z_next[P], length[K];
    solution.load(0, 0, z_next);
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        inputs.lengths(t, length);
        if (tile.has(t)) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                z[i] = z_next[i];
            }
        }
        if (inputs.has_step(t)) {
            load_following(tile, solution, t, z_next);
#pragma unroll
            for (int k = 0; k < K; ++k) {
                smoothness += smoothness_squares<Q>(common.rows, problem.pair.rows, length[k],
                                                    state<Q>(z, k), state<Q>(z_next, k));
            }
        }
        const Scale<Q> scale = inputs.scale(length);
        inputs.equations(t, [&](int, const double (&c)[P], double b) {
            double defect = b;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                defect -= c[i] * z[i];
            }
            defect *= scale.equation(problem);
            equation += defect * defect;
        });
        inputs.initial(t, [&](int i, double value) {
            const double defect = scale.power[i % Q] * (value - z[i]);
            initial += defect * defect;
        });
    }

    const int64_t system = tile.system(tile.lane);
    const bool solved = p.status[system].kind == STATUS_OK;
    const double families[4] = {problem.weight_equation * problem.weight_equation * equation,
                                problem.weight_initial * problem.weight_initial * initial,
                                problem.weight_smoothness * problem.weight_smoothness * smoothness,
                                0.0};
#pragma unroll
    for (int family = 0; family < 4; ++family) {
        const double sum =
            tile.of_system(families[family], [](double a, double b) { return a + b; });
        if (tile.leads_system()) {
            p.sums[system * 4 + family] = solved ? sum : double(NAN);
        }
    }
}

}  // namespace thread

#endif
