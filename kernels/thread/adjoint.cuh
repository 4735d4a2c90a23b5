// The gradients of small least-squares problems, half a system a thread: solves M g = z̄ with the
// factor of the solve, then computes for every row a with right-hand side β and factor f (its
// weight, times its scale if it is balanced), with r = f²(β − a·z),
//
//     ∂ℓ/∂β = f² a·g,   ∂ℓ/∂a = r g − f² (a·g) z,   ∂ℓ/∂f = 2 f (a·g)(β − a·z),
//
// and ∂ℓ/∂s by the chain rule. One sweep towards the point where the halves meet and one back;
// refinement repeats the two. The last sweep back leaves the gradients on its way.
//
//   grid    x = ceil(B/32): a tile of 32 systems a block
//   block   64 threads
//   shared  dynamic, for each warp: the rings of thread/stream.cuh; then what the halves exchange
//           (thread/tile.cuh)
//   reads   the problem, factor and solution in the workspace, cotangent (B, N, K, Q), status (B);
//           writes the gradients that are wanted, each of its input's shape; of inputs that the
//           batch shares, one partial sum a tile, in chunk kernels one a system; of the weights
//           (tiles, 4) or (B, 4); in the workspace vector, given, direction
//   aliasing  none of the arrays overlap
//
// Systems that were not solved contribute zero. No atomics: the same results in every run.

#ifndef MECHANISTIC_THREAD_ADJOINT_CUH
#define MECHANISTIC_THREAD_ADJOINT_CUH

#include "thread/refine.cuh"

namespace thread {

// Computes vector = R⁻ᵀ z̄; z̄ itself goes to `given` for refinement.
template <int K, int Q, typename AnyTile>
__device__ void substitute_cotangent(const ThreadAdjoint &p) {
    constexpr int P = K * Q;
    const AnyTile tile(p.common);
    const Workspace given(tile, p.common.given, P);
    Stream<false, AnyTile> cotangent(unknowns<P>(tile, p.cotangent));
    ForwardSubstitution<K, Q, AnyTile> substitution(tile);
    double carried[P] = {};
#pragma unroll 1
    for (int t = 0; t < tile.points(); ++t) {
        FactorRow<K, Q> row;
        if (tile.has(t)) {
            substitution.load(t, row);
        }
        const int place = tile.place(t) * P;
        cotangent.require(place, P, place, P, true);
        if (!tile.has(t)) {
            continue;
        }
        double v[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            v[i] = cotangent.get(place + i);
        }
        if (p.common.problem.refinement > 0) {
            given.store(t, 0, v);
        }
#pragma unroll
        for (int i = 0; i < P; ++i) {
            v[i] += carried[i];
            carried[i] = tile.meets(t) ? v[i] : 0;
        }
        if (tile.meets(t)) {
            break;
        }
        substitution.step(t, row, v, carried);
    }
    substitution.finish(carried);
    __syncwarp();  // inputs are staged in the same place
}

// The gradients of the weights.
struct WeightSums {
    double equation = 0;
    double initial = 0;
    double smoothness = 0;
};

// Computes dℓ/dlength of the smoothness rows of one state between two points with z and g.
template <int Q>
__device__ double smoothness_gradient(const ThreadRows &rows, int count, double length,
                                      double weight, const double (&z)[Q],
                                      const double (&z_next)[Q], const double (&g)[Q],
                                      const double (&g_next)[Q], double &weight_sum) {
    // The values and slopes of a row are those of its table times powers and derivatives of powers.
    double scaled[4][Q], slopes[4][Q];
    double power = 1, slope = 0;
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        scaled[0][j] = power * z[j];
        scaled[1][j] = power * z_next[j];
        scaled[2][j] = power * g[j];
        scaled[3][j] = power * g_next[j];
        slopes[0][j] = slope * z[j];
        slopes[1][j] = slope * z_next[j];
        slopes[2][j] = slope * g[j];
        slopes[3][j] = slope * g_next[j];
        slope = (j + 1) * power;
        power *= length;
    }
    double gradient = 0;
#pragma unroll 1
    for (int row = 0; row < count; ++row) {
        const double defect = -row_times(rows, row, scaled[0], scaled[1]);
        const double along = row_times(rows, row, scaled[2], scaled[3]);
        weight_sum += 2 * weight * along * defect;
        gradient += defect * row_times(rows, row, slopes[2], slopes[3]) -
                    along * row_times(rows, row, slopes[0], slopes[1]);
    }
    return weight * weight * gradient;
}

// Computes the gradients of the rows that begin at point t, while g is found point by point, the
// last one first.
template <int K, int Q, typename AnyTile>
class GradientSweep {
  public:
    static constexpr int P = K * Q;

    __device__ GradientSweep(const ThreadAdjoint &p, const AnyTile &tile, bool live)
        : p(p), problem(p.common.problem), tile(tile), live(live), inputs(tile) {
        inputs.coefficients.begin_gradient();
        inputs.rhs.begin_gradient();
        inputs.steps.begin_gradient();
    }

    // Takes what the last backward substitution adds to g_t.
    __device__ __forceinline__ void visit(int t, const double (&x)[P]) {
        const double before = d_mean;
        if (tile.scaled_before(t)) {
            d_mean = 0;
        }
        double z[P], g[P];
        if (tile.has(t)) {
            const AnyTile here = thread::here<AMPLE<P, AnyTile>>(tile);
            const Workspace solution(here, p.common.solution, P);
            const Workspace direction(here, p.common.direction, P);
            if (t + 1 == tile.own_points() && inputs.has_step(t)) {
                begin(t, solution, direction);
            }
            solution.load(t, 0, z);
            if (problem.refinement > 0) {
                direction.load(t, 0, g);
            }
#pragma unroll
            for (int i = 0; i < P; ++i) {
                g[i] = problem.refinement > 0 ? g[i] + x[i] : x[i];
            }
        }
        const Scale<Q> scale = inputs.lengths_back(t, length);
        equations(t, z, g, scale);
        initial(t, z, g, scale);
        smoothness(t, z, g, before);
        if (tile.has(t)) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                z_next[i] = z[i];
                g_next[i] = g[i];
            }
        }
    }

    // Writes the gradients that are left.
    __device__ void finish() {
        inputs.coefficients.end_gradient(p.coefficients);
        inputs.rhs.end_gradient(p.rhs);
        inputs.initial_values.end_gradient(p.initial_values);
        inputs.steps.end_gradient(p.steps);
        const double families[4] = {weights.equation, weights.initial, weights.smoothness, 0.0};
#pragma unroll
        for (int family = 0; family < 4; ++family) {
            const double sum = tile.group_sum(live ? families[family] : 0.0);
            if (tile.leads_group() && p.weights.data != nullptr) {
                write(p.weights.data, p.weights.storage, tile.group() * p.weights.system + family,
                      sum);
            }
        }
    }

  private:
    const ThreadAdjoint &p;
    const Problem &problem;
    const AnyTile &tile;
    const bool live;
    Inputs<K, Q, true, AnyTile> inputs;
    WeightSums weights;
    double z_next[P], g_next[P];
    double length[K];
    double d_mean = 0;  // of the mean step that scales balanced rows, where not yet passed on

    // Begins with the point that follows the last of this lane.
    __device__ void begin(int t, const Workspace &solution, const Workspace &direction) {
        double sum[P];
        load_following(tile, solution, t, z_next);
        Separators<K, Q, AnyTile>(tile).next_result(g_next);
        if (problem.refinement > 0) {
            load_following(tile, direction, t, sum);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                g_next[i] += sum[i];
            }
        }
    }

    __device__ double kept(double gradient) const { return live ? gradient : 0.0; }

    __device__ __forceinline__ void equations(int t, const double (&z)[P], const double (&g)[P],
                                              const Scale<Q> &scale) {
        const int width = problem.equation_derivatives;
        const int place = tile.place(t);
        const double factor = problem.weight_equation * scale.equation(problem);
        const double slope = problem.balanced
                                 ? problem.weight_equation * (width - 1) * scale.select(width - 2)
                                 : 0.0;
        const auto visit = [&](int e, const double (&c)[P], double b) {
            double defect = b, along = 0;
#pragma unroll
            for (int i = 0; i < P; ++i) {
                defect -= c[i] * z[i];
                along += c[i] * g[i];
            }
            const double residual = factor * factor * defect;
            const double d_rhs = factor * factor * along;
            const double d_factor = 2 * factor * along * defect;
            weights.equation += d_factor * scale.equation(problem);
            d_mean += d_factor * slope;
            double gradients[P];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                gradients[i] = kept(residual * g[i] - d_rhs * z[i]);
            }
            inputs.coefficients.template put_row<K, Q>(place, e * K * width, width, gradients);
            inputs.rhs.put(place, e, kept(d_rhs));
        };
        inputs.equations(t, visit, [&](int e) {
            inputs.coefficients.release(p.coefficients, place, e * K * width, K * width);
            inputs.rhs.release(p.rhs, place, e, 1);
        });
    }

    __device__ void initial(int t, const double (&z)[P], const double (&g)[P],
                            const Scale<Q> &scale) {
        const int given = problem.initial_derivatives;
        const int place = tile.place(t);
        inputs.initial(t, [&](int i, double value) {
            const int j = i % Q;
            const double factor = problem.weight_initial * scale.power[j];
            const double defect = value - z[i];
            const double d_factor = 2 * factor * g[i] * defect;
            weights.initial += d_factor * scale.power[j];
            if (problem.balanced && j > 0) {
                d_mean += d_factor * problem.weight_initial * j * scale.power[j > 0 ? j - 1 : 0];
            }
            inputs.initial_values.put(place, i / Q * given + j, kept(factor * factor * g[i]));
        });
        if (tile.earliest(t) < problem.initial_points) {
            inputs.initial_values.release(p.initial_values, place, 0, K * given);
        }
    }

    // `before` is d_mean without the rows of point t.
    __device__ void smoothness(int t, const double (&z)[P], const double (&g)[P], double before) {
        const bool each = problem.steps.state != 0;
        const int step = tile.step(t);
        if (inputs.has_step(t)) {
            const double d_step = tile.scaled_before(t) ? before : d_mean;
            double sum = each ? 0.0 : d_step;
#pragma unroll
            for (int k = 0; k < K; ++k) {
                const double gradient =
                    tile.sign() * smoothness_gradient<Q>(p.common.rows, problem.pair.rows,
                                                         length[k], problem.weight_smoothness,
                                                         state<Q>(z, k), state<Q>(z_next, k),
                                                         state<Q>(g, k), state<Q>(g_next, k),
                                                         weights.smoothness);
                sum += gradient;
                if (each) {
                    inputs.steps.put(step, k, kept(gradient + d_step / K));
                }
            }
            if (!each) {
                inputs.steps.put(step, 0, kept(sum));
            }
            if (!tile.scaled_before(t)) {
                d_mean = 0;
            }
        }
        if (!tile.meets(t)) {
            inputs.steps.release(p.steps, step, 0, each ? K : 1);
        }
    }
};

// The last sweep back.
template <int K, int Q, typename AnyTile>
__device__ void substitute_gradients(const ThreadAdjoint &p) {
    constexpr int P = K * Q;
    const AnyTile tile(p.common);
    const bool live = tile.holds(tile.lane) && p.status[tile.system(tile.lane)].kind == STATUS_OK;
    GradientSweep<K, Q, AnyTile> gradients(p, tile, live);
    // What is not inlined would have the sweep in memory.
    const auto visit = [&](int t, const double (&x)[P])
                           __attribute__((always_inline)) { gradients.visit(t, x); };
    substitute_back<K, Q>(tile, visit);
    gradients.finish();
}

template <int K, int Q, typename AnyTile>
__device__ void adjoint(const ThreadAdjoint &p) {
    substitute_cotangent<K, Q, AnyTile>(p);
    refine_direction<K, Q, AnyTile>(p.common);
    substitute_gradients<K, Q, AnyTile>(p);
}

}  // namespace thread

#endif
