// The right-hand side AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az) + 2AᵀWẆ(β − Az) of the tangent, point by point.

#ifndef MECHANISTIC_TANGENT_CUH
#define MECHANISTIC_TANGENT_CUH

#include "team/rows.cuh"

template <Kind KIND>
struct Tangent {
    Rows<KIND> rows;
    const Sizes &sizes;
    const Team<KIND> team;
    const TeamTangent &tangents;
    const double *iterate;  // (unknowns) of the system: z

    // Shared memory of the team.
    double *z;              // (w+1, P): the points t .. t+w, point t in slot t mod (w+1)
    double *parts;          // (2, E, K): products of equation rows, and of their tangents, with z
    double *equation;       // (2, E): factors of the row and of its tangent in the sum
    double *pair, *triple;  // (2 or 3, K, rows): the same, of the rows that began at the last
    double *pair_tangent;   // points, the second times d(length)/length
    double *triple_tangent;
    double *coefficients;    // (E, K·Qc): tangents
    bool begun = false;      // whether a point was visited
    double d_mean_step = 0;  // tangent of ℓ
    double slack = 0;        // this thread's part of the slack's right-hand side

    __device__ Tangent(const Rows<KIND> &rows, const TeamTangent &tangents, char *memory)
        : rows(rows),
          sizes(rows.sizes),
          team(rows.team),
          tangents(tangents),
          z(array(memory, tangents.layout.z)),
          parts(array(memory, tangents.layout.parts)),
          equation(array(memory, tangents.layout.equation)),
          pair(array(memory, tangents.layout.pair)),
          triple(array(memory, tangents.layout.triple)),
          pair_tangent(array(memory, tangents.layout.pair_tangent)),
          triple_tangent(array(memory, tangents.layout.triple_tangent)),
          coefficients(array(memory, tangents.layout.coefficients)) {}

    __device__ double *point(int t) const { return z + sizes.slot(t) * sizes.block; }

    __device__ void load(int t) const {
#pragma unroll 1
        for (int i = team.rank; i < sizes.block; i += team.size) {
            point(t)[i] = t < sizes.points ? iterate[int64_t(t) * sizes.block + i] : 0;
        }
    }

    // Returns a value of a tangent, zero where the input does not move.
    __device__ double value(const Input &tangent, int t, int64_t index) const {
        if (!tangent.data) {
            return 0;
        }
        const int64_t offset = rows.begin_of(tangent) + t * tangent.time;
        return read(tangent.data, tangent.storage, offset + index);
    }
    __device__ double step(int t, int state) const {
        return value(tangents.steps, t, int64_t(state) * tangents.steps.state);
    }

    // Prepares for a sweep, before the first point.
    __device__ void start(int64_t system, const double *iterate) {
        this->iterate = iterate;
        begun = false;
        rows.start(system);
#pragma unroll 1
        for (int t = 0; t < sizes.bandwidth; ++t) {
            load(t);
        }
#pragma unroll 1
        for (int i = team.rank; i < 2 * sizes.states * rows.pair.rows; i += team.size) {
            pair[i] = pair_tangent[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; i < 3 * sizes.states * rows.triple.rows; i += team.size) {
            triple[i] = triple_tangent[i] = 0;
        }
        slack = 0;
    }

    // Adds the right-hand side at point t to x. Points are visited one after another.
    __device__ void add(int t, double *x) {
        const Problem &p = rows.problem;
        const int block = sizes.block, states = sizes.states, q = sizes.derivatives;
        const int given = sizes.equation_derivatives;
        load(t + sizes.bandwidth);
#pragma unroll 1
        for (int i = team.rank; i < p.equations * sizes.equation_columns; i += team.size) {
            coefficients[i] = value(tangents.coefficients, t, i);
        }
        rows.stage(t, !begun);
        begun = true;
        if (p.balanced && tangents.steps.data) {
            double sum = 0;
#pragma unroll 1
            for (int state = 0; state < sizes.step_states; ++state) {
                sum += step(min(t, sizes.points - 2), state);
            }
            d_mean_step = sum / sizes.step_states;
        }
#pragma unroll 1
        for (int index = team.rank; index < p.equations * states; index += team.size) {
            const int state = index - index / states * states;
            double sum = 0, d_sum = 0;
#pragma unroll 1
            for (int j = 0; j < given; ++j) {
                sum += rows.coefficients[index * given + j] * point(t)[state * q + j];
                d_sum += coefficients[index * given + j] * point(t)[state * q + j];
            }
            parts[index] = sum;
            parts[p.equations * states + index] = d_sum;
        }
        smooth(rows.pair, pair, pair_tangent);
        if (rows.triple.rows) {
            smooth(rows.triple, triple, triple_tangent);
        }
        team.sync();
#pragma unroll 1
        for (int e = team.rank; e < p.equations; e += team.size) {
            double defect = rows.rhs[e], d_defect = value(tangents.rhs, t, e);
#pragma unroll 1
            for (int state = 0; state < states; ++state) {
                defect -= parts[e * states + state];
                d_defect -= parts[(p.equations + e) * states + state];
            }
            const double d_weight = squared_weight_tangent(p.weight_equation, given - 1);
            equation[e] = rows.equation_weight * d_defect + d_weight * defect;
            equation[p.equations + e] = rows.equation_weight * defect;
        }
        team.sync();
#pragma unroll 1
        for (int i = team.rank; i < block; i += team.size) {
            const int state = sizes.by_derivatives.quotient(i), j = i - state * q;
            double sum = 0;
            if (j < given)
#pragma unroll 1
                for (int e = 0; e < p.equations; ++e) {
                    const int index = (e * states + state) * given + j;
                    sum += rows.coefficients[index] * equation[e] +
                           coefficients[index] * equation[p.equations + e];
                }
            if (rows.given(j)) {
                const int index = state * p.initial_derivatives + j;
                const double defect = rows.initial[index] - point(t)[i];
                sum += rows.initial_weight(j) * value(tangents.initial_values, t, index) +
                       squared_weight_tangent(p.weight_initial, j) * defect;
            }
            sum += scattered(rows.pair, pair, pair_tangent, state, j);
            if (rows.triple.rows) {
                sum += scattered(rows.triple, triple, triple_tangent, state, j);
            }
            x[i] += sum;
        }
    }

    // Returns the tangent of W², W being that of a row with this weight and highest derivative j.
    __device__ double squared_weight_tangent(double weight, int j) const {
        return weight * weight * 2 * rows.scale(j) * rows.scale_slope(j) * d_mean_step;
    }

    // Computes the terms of the smoothness rows that begin at this point.
    __device__ void smooth(const SharedTable &family, double *all, double *all_tangent) {
        const int q = sizes.derivatives, t = rows.t, count = sizes.states * family.rows;
        const bool exist = t + family.points <= sizes.points;
        const double weight = rows.problem.weight_smoothness * rows.problem.weight_smoothness;
        const double epsilon =
            rows.problem.slack ? iterate[int64_t(sizes.points) * sizes.block] : 0;
#pragma unroll 1
        for (int index = team.rank; index < count; index += team.size) {
            const int state = index / family.rows, row = index - state * family.rows;
            const double *length = rows.powers(family, 0, state);
            double sum = epsilon, slope = 0, d_length = 0;
#pragma unroll 1
            for (int point = 0; exist && point < family.points; ++point) {
                const double *c = family.table + row * family.columns + point * q;
                const double *values = this->point(t + point) + state * q;
#pragma unroll 1
                for (int j = 0; j < q; ++j) {
                    const double term = c[j] * length[j] * values[j];
                    sum += term;
                    slope += (j + family.shift) * term;
                }
                if (point > 0) {
                    d_length += step(t + point - 1, state);
                }
            }
            // The quotient length[0]/length[1] is 1/length: slopes have one power less than values.
            const double relative = exist ? d_length * length[0] / length[1] : 0;
            const double along = exist ? -weight * slope * relative : 0;
            const int place = t % family.points * count + index;
            all[place] = along;
            all_tangent[place] = exist ? -weight * sum * relative : 0;
            slack += along;
        }
    }

    // Returns what the smoothness rows that act on (t, state, j) add to the right-hand side there.
    __device__ double scattered(const SharedTable &family, const double *all,
                                const double *all_tangent, int state, int j) const {
        const int q = sizes.derivatives, count = sizes.states * family.rows;
        double sum = 0;
#pragma unroll 1
        for (int point = 0; point < family.points; ++point) {
            const int slot = (rows.t - point + family.points) % family.points;
            const int first = slot * count + state * family.rows;
            const double *c = family.table + point * q + j;
            double along = 0;
#pragma unroll 1
            for (int row = 0; row < family.rows; ++row) {
                along += c[row * family.columns] *
                         (all[first + row] + (j + family.shift) * all_tangent[first + row]);
            }
            sum += along * rows.powers(family, point, state)[j];
        }
        return sum;
    }
};

#endif
