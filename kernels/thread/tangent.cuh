// Directional derivative of the solution of small least-squares problems, one system a thread:
//
//     M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az) + 2 AᵀWẆ(β − Az)
//
// (W varies where rows are balanced by the step). One sweep forward forms the right-hand side and
// substitutes, one sweep goes back; refinement repeats the two.
//
//   grid    x = ceil(B/32): a tile of 32 systems a block
//   block   32 threads
//   shared  dynamic: the rings of thread/stream.cuh
//   reads   the problem, the directions, factor and solution in the workspace, status (B); writes
//           tangent (B, N, K, Q), epsilon (B) = 0, and in the workspace vector, given, direction
//   aliasing  none of the arrays overlap
//
// Systems that were not solved get zero. No atomics: the same results in every run.

#ifndef MECHANISTIC_THREAD_TANGENT_CUH
#define MECHANISTIC_THREAD_TANGENT_CUH

#include "thread/refine.cuh"

namespace thread {

// A direction in which an input moves; zero where it stands still.
template <typename Where>
class Direction {
  public:
    __device__ Direction(const Where &tile, const Input &input, int time, const ThreadRing &ring)
        : moves(input.data != nullptr), values(tile, input, time, ring) {}

    __device__ void require(int t, int first, int count) {
        if (moves) {
            values.require(t, first, count);
        }
    }
    __device__ double get(int t, int i) { return moves ? values.get(t, i) : 0.0; }

  private:
    const bool moves;
    Values<false, Where> values;
};

// Adds the rows' share of one state between two points, whose step moves by d_length, to the
// right-hand sides of the points.
template <int Q>
__device__ void add_smoothness_tangent(const ThreadRows &rows, int count, double length,
                                       double d_length, double weight, const double (&z)[Q],
                                       const double (&z_next)[Q], double (&right)[Q],
                                       double (&right_next)[Q]) {
    double power[Q], slope[Q], scaled[2][Q], moved[2][Q];
    powers(length, power);
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        slope[j] = j > 0 ? d_length * j * power[j > 0 ? j - 1 : 0] : 0.0;
        scaled[0][j] = power[j] * z[j];
        scaled[1][j] = power[j] * z_next[j];
        moved[0][j] = slope[j] * z[j];
        moved[1][j] = slope[j] * z_next[j];
    }
    const double squared = weight * weight;
#pragma unroll 1
    for (int row = 0; row < count; ++row) {
        const double residual = -squared * row_times(rows, row, scaled[0], scaled[1]);
        const double d_residual = -squared * row_times(rows, row, moved[0], moved[1]);
#pragma unroll
        for (int j = 0; j < Q; ++j) {
            const double change = slope[j] * residual + power[j] * d_residual;
            right[j] += rows.table[row * 2 * Q + j] * change;
            right_next[j] += rows.table[row * 2 * Q + Q + j] * change;
        }
    }
}

// vector = R⁻ᵀ of the right-hand side; that itself goes to `given` for refinement.
template <int K, int Q, typename Where>
__device__ void substitute_directions(const ThreadTangent &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const Problem &problem = common.problem;
    const Where tile(common);
    const int width = problem.equation_derivatives;
    const Workspace solution(tile, common.solution, P);
    const Workspace given(tile, common.given, P);

    Inputs<K, Q, false, Where> inputs(tile);
    Direction<Where> d_coefficients(tile, p.coefficients, int(problem.coefficients.time),
                                    p.coefficients_ring);
    Direction<Where> d_rhs(tile, p.rhs, int(problem.rhs.time), p.rhs_ring);
    Direction<Where> d_initial(tile, p.initial_values, K * problem.initial_derivatives,
                               p.initial_values_ring);
    Direction<Where> d_steps(tile, p.steps, int(problem.steps.time), p.steps_ring);
    ForwardSubstitution<K, Q, Where> substitution(tile);

    double z[P], z_next[P], right[P], carried[P], length[K], d_length[K], d_mean = 0;
    solution.load(0, 0, z_next);
#pragma unroll
    for (int i = 0; i < P; ++i) {
        right[i] = carried[i] = 0;
    }
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        const bool last = tile.last(t);
        if (tile.has(t)) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                z[i] = z_next[i];
            }
            if (!last) {
                load_following(tile, solution, t, z_next);
            }
        }
        inputs.lengths(t, length);
        const bool each = problem.steps.state != 0;
        if (Where::CHUNKED || !last) {
            d_steps.require(t, 0, each ? K : 1);
        }
        if (inputs.has_step(t)) {
            d_mean = 0;
#pragma unroll
            for (int k = 0; k < K; ++k) {
                d_length[k] = each || k == 0 ? d_steps.get(t, k) : d_length[0];
                d_mean += d_length[k] / K;
            }
        }
        const Scale<Q> scale = inputs.scale(length);

        const double factor_e = problem.weight_equation * scale.equation(problem);
        const double d_factor_e = problem.balanced ? problem.weight_equation * (width - 1) *
                                                         scale.select(width - 2) * d_mean
                                                   : 0.0;
        const auto require = [&](int e) {
            if (e < problem.equations) {
                d_coefficients.require(t, e * K * width, K * width);
                d_rhs.require(t, e, 1);
            }
        };
        require(0);
        const auto visit = [&](int e, const double (&c)[P], double b) {
            double defect = b, d_defect = d_rhs.get(t, e), moved[P];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                const int j = i % Q;
                moved[i] = j < width ? d_coefficients.get(t, (e * K + i / Q) * width + j) : 0.0;
                defect -= c[i] * z[i];
                d_defect -= moved[i] * z[i];
            }
            const double residual = factor_e * factor_e * defect;
            const double along = factor_e * (factor_e * d_defect + 2 * d_factor_e * defect);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                right[i] += moved[i] * residual + c[i] * along;
            }
        };
        inputs.equations(t, visit, [&](int e) { require(e + 1); });

        const int given_derivatives = problem.initial_derivatives;
        if (t < problem.initial_points) {
            d_initial.require(t, 0, K * given_derivatives);
        }
        inputs.initial(t, [&](int i, double value) {
            const int j = i % Q;
            const double factor_i = problem.weight_initial * scale.power[j];
            const double d_factor_i =
                problem.balanced && j > 0
                    ? problem.weight_initial * j * scale.power[j > 0 ? j - 1 : 0] * d_mean
                    : 0.0;
            right[i] += factor_i * factor_i * d_initial.get(t, i / Q * given_derivatives + j) +
                        2 * factor_i * d_factor_i * (value - z[i]);
        });

        if (!tile.has(t)) {
            continue;
        }
        double right_next[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right_next[i] = 0;
        }
        if (!last) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                add_smoothness_tangent<Q>(common.rows, problem.pair.rows, length[k], d_length[k],
                                          problem.weight_smoothness, state<Q>(z, k),
                                          state<Q>(z_next, k), state<Q>(right, k),
                                          state<Q>(right_next, k));
            }
        }
        if (problem.refinement > 0) {
            given.store(t, 0, right);
        }
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] += carried[i];
            carried[i] = 0;
        }
        substitution.step(t, right, carried);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] = right_next[i];
        }
    }
    if (problem.refinement > 0) {
        add_to_next(tile, given, right);
    }
#pragma unroll
    for (int i = 0; i < P; ++i) {
        right[i] += carried[i];
    }
    substitution.finish(right);
}

template <int K, int Q, typename Where>
__device__ void tangent(const ThreadTangent &p) {
    constexpr int P = K * Q;
    const ThreadProblem &common = p.common;
    const int refinement = common.problem.refinement;

    substitute_directions<K, Q, Where>(p);
    refine_direction<K, Q, Where>(common);
    const Where tile(common);
    const Workspace direction(tile, common.direction, P);
    const bool live = p.status[tile.system(tile.lane)].kind == STATUS_OK;
    const Array<Where> array = unknowns<P>(tile, p.tangent);
    Stream<true, Where> out(array);
    substitute_back<K, Q>(tile, [&](int t, const double (&x)[P]) {
        if (tile.has(t)) {
            double sum[P];
            if (refinement > 0) {
                direction.load(t, 0, sum);
            }
#pragma unroll
            for (int i = 0; i < P; ++i) {
                out.put(t * P + i, !live ? 0.0 : refinement > 0 ? sum[i] + x[i] : x[i]);
            }
        }
        out.release(p.tangent, array.storage, array.between, (tile.points() - t) * P);
    });
    out.close(p.tangent, array.storage, array.between);
    if (tile.leads_system()) {
        write(p.epsilon, common.problem.results, tile.system(tile.lane), 0.0);
    }
}

}  // namespace thread

#endif
