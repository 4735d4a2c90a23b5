// Adds every row's share to the gradients of its inputs, point by point from the last to the first.
// Each part of a team has points of its own, and hands on to the next what belongs to its first
// step.
// With M g = z̄, factor W = weight·scale and defect β − a·z, each row has
//
//   ∂ℓ/∂β = W² a·g,   ∂ℓ/∂a = W² (defect g − (a·g) z),   ∂ℓ/∂W = 2 W (a·g) defect,
//
// and lengths and scales pass their derivatives on to the steps (src/adjoint.rs has the
// derivation).

#ifndef MECHANISTIC_GRADIENT_CUH
#define MECHANISTIC_GRADIENT_CUH

#include "team/rows.cuh"

template <Kind KIND>
struct Gradient {
    Rows<KIND> rows;
    const Sizes sizes;
    const Team<KIND> team;
    const TeamAdjoint &outputs;
    const double *iterate;    // (unknowns) of the system: z
    const double *direction;  // (unknowns): g of the border, once it is known
    int64_t place = 0;        // of the team in sums over systems
    bool add = false;         // whether these sums were begun
    int top = -1;             // the first point that was visited, once one was

    // Shared memory of the part of a team.
    double *z, *g;  // (w+1, P): of the points t .. t+w, point t in slot t mod (w+1)
    double
        *parts;  // (2, E, K, or one more: odd): products of equation rows with one state of z and g
    double *equation;            // (2, E): W² defect, W² a·g
    double *pair;                // (K, rows): derivative with respect to the length of the rows
    double *triple;              // (K, rows)
    double *scales;              // (E + K·J): derivative with respect to ℓ through the rows' scales
    double *pending;             // (steps' K): of the step after t, so far
    double *handed_on;           // (steps' K): for the first step of the next part
    double *total_coefficients;  // (E, K, Qc): sums over time, if the input has no time axis
    double *total_rhs;           // (E)
    double *total_steps;         // (steps' K)
    double weights[4] = {};      // this thread's: equation, initial, smoothness, periodic

    __device__ Gradient(const Rows<KIND> &rows, const TeamAdjoint &outputs, char *memory)
        : rows(rows),
          sizes(rows.sizes),
          team(rows.team),
          outputs(outputs),
          z(array(memory, outputs.layout.z)),
          g(array(memory, outputs.layout.g)),
          parts(array(memory, outputs.layout.parts)),
          equation(array(memory, outputs.layout.equation)),
          pair(array(memory, outputs.layout.pair)),
          triple(array(memory, outputs.layout.triple)),
          scales(array(memory, outputs.layout.scales)),
          pending(array(memory, outputs.layout.pending)),
          handed_on(array(memory, outputs.layout.handed_on)),
          total_coefficients(array(memory, outputs.layout.total_coefficients)),
          total_rhs(array(memory, outputs.layout.total_rhs)),
          total_steps(array(memory, outputs.layout.total_steps)) {}

    __device__ double *slot(double *ring, int t) const {
        return ring + sizes.slot(t) * sizes.block;
    }

    // The values of a gradient from one on; data is null if it is not wanted.
    struct Target {
        void *data;
        int storage;
        int64_t first;
    };

    // Returns the place of the gradient of an input of this system, from `offset` on.
    __device__ Target target(const Output &output, const Input &input, int64_t offset) const {
        return {output.data, output.storage,
                (input.shared ? place : rows.system) * output.system + offset};
    }

    // Stores a value, or adds it to the value that other systems of the team left there.
    __device__ void put(const Target &target, int64_t index, const Input &input,
                        double value) const {
        if (!target.data) {
            return;
        }
        if (input.shared && add) {
            value += read(target.data, target.storage, target.first + index);
        }
        write(target.data, target.storage, target.first + index, value);
    }

    // Prepares for a sweep, before the last point.
    __device__ void start(int64_t system, const double *iterate, const double *direction) {
        const Problem &p = rows.problem;
        this->iterate = iterate;
        this->direction = direction;
        top = -1;
        rows.start(system);
#pragma unroll 1
        for (int i = team.rank; !p.coefficients.time && i < p.equations * sizes.equation_columns;
             i += team.size) {
            total_coefficients[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; !p.rhs.time && i < p.equations; i += team.size) {
            total_rhs[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; i < sizes.step_states; i += team.size) {
            pending[i] = handed_on[i] = 0;
            if (!p.steps.time) {
                total_steps[i] = 0;
            }
        }
    }

    // Visits the rows of the points from `from` to before `end`, once z and g are there.
    __device__ void visit(int from, int end) {
        load(end, min(end + sizes.bandwidth, sizes.points));
#pragma unroll 1
        for (int t = end - 1; t >= from; --t) {
            visit(t);
        }
    }

    // Visits the rows that begin at point t, after those of the points behind it.
    __device__ void visit(int t) {
        const Problem &p = rows.problem;
        const int states = sizes.states, q = sizes.derivatives, given = sizes.equation_derivatives;
        load(t, t + 1);
        rows.stage(t, top < 0);
        top = max(top, t);
        const double *z_t = slot(z, t), *g_t = slot(g, t);

#pragma unroll 1
        for (int index = team.rank; index < p.equations * states; index += team.size) {
            const int e = index / states, state = index - e * states;
            double along_z = 0, along_g = 0;
#pragma unroll 1
            for (int j = 0; j < given; ++j) {
                const double a = rows.coefficients[index * given + j];
                along_z += a * z_t[state * q + j];
                along_g += a * g_t[state * q + j];
            }
            parts[e * (states | 1) + state] = along_z;
            parts[(p.equations + e) * (states | 1) + state] = along_g;
        }
        lengths(rows.pair, pair);
        if (rows.triple.rows) {
            lengths(rows.triple, triple);
        }
        initial();
        if (t == 0 && p.periodic) {
            const double *z_last = iterate + int64_t(sizes.points - 1) * sizes.block;
            const double *g_last = direction + int64_t(sizes.points - 1) * sizes.block;
#pragma unroll 1
            for (int i = team.rank; i < sizes.block; i += team.size) {
                if (i - sizes.by_derivatives.multiple(i) < q - 1) {
                    weights[3] +=
                        2 * p.weight_periodic * (g_t[i] - g_last[i]) * (z_last[i] - z_t[i]);
                }
            }
        }
        team.sync();
        equations();
        team.sync();
        const int count = p.equations * sizes.equation_columns;
        const Target target =
            this->target(outputs.coefficients, p.coefficients, t * outputs.coefficients.time);
#pragma unroll 1
        for (int index = team.rank; index < count; index += team.size) {
            const int group = sizes.by_equation_derivatives.quotient(index);
            const int j = index - group * given, e = group / states;
            const int i = (group - e * states) * q + j;
            const double value = equation[e] * g_t[i] - equation[p.equations + e] * z_t[i];
            if (p.coefficients.time) {
                put(target, index, p.coefficients, value);
            } else {
                total_coefficients[index] += value;
            }
        }
        steps();
    }

    // Loads z and g of the points `from` .. `end`.
    __device__ void load(int from, int end) const {
        team.sync();
#pragma unroll 1
        for (int t = from; t < end; ++t)
#pragma unroll 1
            for (int i = team.rank; i < sizes.block; i += team.size) {
                slot(z, t)[i] = iterate[int64_t(t) * sizes.block + i];
                slot(g, t)[i] = direction[int64_t(t) * sizes.block + i];
            }
    }

    // Completes step t, once point t was visited, which is the part's first, and the part before
    // has visited its points and left `handed_on` there.
    __device__ void close(int t, const double *handed_on) {
#pragma unroll 1
        for (int state = team.rank; state < sizes.step_states; state += team.size) {
            step(t, state, pending[state] + (t == 0 ? 0 : handed_on[state]));
        }
    }

    // Adds up the sums over time and over the parts, by the first of them; of_part(array, part)
    // returns the same array of another part.
    template <class OfPart>
    __device__ void finish(int parts, OfPart of_part) {
        const Problem &p = rows.problem;
        auto sum = [&](double *total, int index) {
            double sum = total[index];
#pragma unroll 1
            for (int part = 1; part < parts; ++part)
                sum += of_part(total, part)[index];
            return sum;
        };
        const Target coefficients = target(outputs.coefficients, p.coefficients, 0);
#pragma unroll 1
        for (int i = team.rank; !p.coefficients.time && i < p.equations * sizes.equation_columns;
             i += team.size) {
            put(coefficients, i, p.coefficients, sum(total_coefficients, i));
        }
        const Target rhs = target(outputs.rhs, p.rhs, 0);
#pragma unroll 1
        for (int i = team.rank; !p.rhs.time && i < p.equations; i += team.size) {
            put(rhs, i, p.rhs, sum(total_rhs, i));
        }
#pragma unroll 1
        for (int state = team.rank; !p.steps.time && state < sizes.step_states;
             state += team.size) {
            put(target(outputs.steps, p.steps, 0), state, p.steps, sum(total_steps, state));
        }
    }

    // Writes zeros for a system that was not solved.
    __device__ void zero(int64_t system) {
        const Problem &p = rows.problem;
        rows.system = system;
        clear(outputs.coefficients, p.coefficients, p.coefficients.time ? sizes.points : 1,
              p.equations * sizes.equation_columns);
        clear(outputs.rhs, p.rhs, p.rhs.time ? sizes.points : 1, p.equations);
        clear(outputs.initial_values, p.initial_values, p.initial_points,
              p.states * p.initial_derivatives);
        clear(outputs.steps, p.steps, p.steps.time ? sizes.points - 1 : 1, sizes.step_states);
    }

  private:
    __device__ void clear(const Output &output, const Input &input, int64_t points,
                          int values) const {
        if (input.shared && add) {
            return;
        }
        const Target first = target(output, input, 0);
#pragma unroll 1
        for (int64_t i = team.rank; i < points * values; i += team.size) {
            put(first, i, input, 0);
        }
    }

    // Computes the derivatives of smoothness rows with respect to their length.
    __device__ void lengths(const SharedTable &family, double *slopes) {
        const int q = sizes.derivatives, t = rows.t;
        const bool exist = t + family.points <= sizes.points;
        const double weight = rows.problem.weight_smoothness;
        const int64_t slack = int64_t(sizes.points) * sizes.block;
        const double z_slack = rows.problem.slack ? iterate[slack] : 0;
        const double g_slack = rows.problem.slack ? direction[slack] : 0;
#pragma unroll 1
        for (int index = team.rank; index < sizes.states * family.rows; index += team.size) {
            const int state = index / family.rows, row = index - state * family.rows;
            const double *length = rows.powers(family, 0, state);
            double along_z = z_slack, along_g = g_slack, slope_z = 0, slope_g = 0;
#pragma unroll 1
            for (int point = 0; exist && point < family.points; ++point) {
                const double *c = family.table + row * family.columns + point * q;
                const double *z_p = slot(z, t + point) + state * q;
                const double *g_p = slot(g, t + point) + state * q;
#pragma unroll 1
                for (int j = 0; j < q; ++j) {
                    const double a = c[j] * length[j], slope = (j + family.shift) * a;
                    along_z += a * z_p[j];
                    along_g += a * g_p[j];
                    slope_z += slope * z_p[j];
                    slope_g += slope * g_p[j];
                }
            }
            if (!exist) {
                slopes[index] = 0;
                continue;
            }
            // The quotient length[0]/length[1] is 1/length: slopes have one power less than values.
            slopes[index] =
                weight * weight * (-along_z * slope_g - along_g * slope_z) * length[0] / length[1];
            weights[2] -= 2 * weight * along_g * along_z;
        }
    }

    __device__ void initial() {
        const Problem &p = rows.problem;
        const int given = p.initial_derivatives, t = rows.t;
#pragma unroll 1
        for (int index = team.rank; index < p.states * given; index += team.size) {
            double slope = 0;
            if (t < p.initial_points) {
                const int state = index / given, j = index - state * given;
                const int i = state * sizes.derivatives + j;
                const double defect = rows.initial[index] - slot(z, t)[i];
                const double along = slot(g, t)[i], scale = rows.scale(j);
                const double d_scale = 2 * p.weight_initial * scale * along * defect;
                put(target(outputs.initial_values, p.initial_values, int64_t(t) * p.states * given),
                    index, p.initial_values, rows.initial_weight(j) * along);
                weights[1] += d_scale * scale;
                slope = d_scale * p.weight_initial * rows.scale_slope(j);
            }
            scales[p.equations + index] = slope;
        }
    }

    __device__ void equations() {
        const Problem &p = rows.problem;
        const int order = sizes.equation_derivatives - 1;
        const double scale = rows.scale(order);
#pragma unroll 1
        for (int e = team.rank; e < p.equations; e += team.size) {
            double defect = rows.rhs[e], along = 0;
#pragma unroll 1
            for (int state = 0; state < sizes.states; ++state) {
                defect -= parts[e * (sizes.states | 1) + state];
                along += parts[(p.equations + e) * (sizes.states | 1) + state];
            }
            equation[e] = rows.equation_weight * defect;
            equation[p.equations + e] = rows.equation_weight * along;
            if (p.rhs.time) {
                put(target(outputs.rhs, p.rhs, rows.t * outputs.rhs.time), e, p.rhs,
                    rows.equation_weight * along);
            } else {
                total_rhs[e] += rows.equation_weight * along;
            }
            const double d_scale = 2 * p.weight_equation * scale * along * defect;
            weights[0] += d_scale * scale;
            scales[e] = d_scale * p.weight_equation * rows.scale_slope(order);
        }
    }

    // Writes the gradients of the steps. Step t + 1 is complete once point t was visited, because a
    // triple of rows at t reaches no further.
    __device__ void steps() {
        const Problem &p = rows.problem;
        const int t = rows.t, last = sizes.points - 1;
#pragma unroll 1
        for (int state = team.rank; state < sizes.states; state += team.size) {
            add_up(pair + state * rows.pair.rows, rows.pair.rows);
            if (rows.triple.rows) {
                add_up(triple + state * rows.triple.rows, rows.triple.rows);
            }
        }
        team.sync();
#pragma unroll 1
        for (int state = team.rank; state < sizes.step_states; state += team.size) {
            double scale = 0;
#pragma unroll 1
            for (int i = 0; p.balanced && i < p.equations + p.states * p.initial_derivatives; ++i) {
                scale += scales[i];
            }
            scale /= sizes.step_states;
            const double two = of_state(pair, rows.pair.rows, state) + scale;
            const double three = of_state(triple, rows.triple.rows, state);
            // The rows of the last point are scaled by the last step.
            if (t >= last - 1) {
                pending[state] += two;
                continue;
            }
            if (t == top) {
                handed_on[state] = three;
            } else {
                step(t + 1, state, pending[state] + three);
            }
            pending[state] = two + three;
        }
    }

    // Writes the sum of some values into the place of the first.
    __device__ static void add_up(double *values, int count) {
#pragma unroll 1
        for (int i = 1; i < count; ++i) {
            values[0] += values[i];
        }
    }

    // Returns the sum over the rows of a state, or of all states where they share the steps.
    __device__ double of_state(const double *slopes, int rows, int state) const {
        if (sizes.step_states > 1 || rows == 0) {
            return rows ? slopes[state * rows] : 0;
        }
        double sum = 0;
#pragma unroll 1
        for (int i = 0; i < sizes.states; ++i) {
            sum += slopes[i * rows];
        }
        return sum;
    }

    __device__ void step(int t, int state, double value) {
        const Input &steps = rows.problem.steps;
        if (steps.time) {
            put(target(outputs.steps, steps, t * outputs.steps.time), state, steps, value);
        } else {
            total_steps[state] += value;
        }
    }
};

#endif
