// The residual AᵀW²(β − Az), which refinement solves for with the factor. No point needs another's,
// so that parts of a team have points of their own.

#ifndef MECHANISTIC_RESIDUAL_CUH
#define MECHANISTIC_RESIDUAL_CUH

#include "team/rows.cuh"

// With MEASURE, it also sums the squared weighted defects by family.
template <Kind KIND, bool MEASURE = false>
struct Residual {
    Rows<KIND> rows;
    const Sizes sizes;
    const Team<KIND> team;

    // Shared memory of the team.
    double *z;               // (w+1, P): the points t .. t+w, point t in slot t mod (w+1)
    double *parts;           // (E, K, or one more: odd): products of equation rows with one state
    double *equation;        // (E): w²(β − a·z)
    double *pair;            // (2, K, rows): the same, of the rows that began at the last points
    double *triple;          // (3, K, rows)
    double slack = 0;        // this thread's part of the sum of the smoothness defects
    bool data = true;        // whether β is the problem's, or zero
    double squares[4] = {};  // this thread's: equation, initial, smoothness, periodic

    // `memory` is that of the part of a team.
    __device__ Residual(const Rows<KIND> &rows, char *memory, const ResidualLayout &layout)
        : rows(rows),
          sizes(rows.sizes),
          team(rows.team),
          z(array(memory, layout.z)),
          parts(array(memory, layout.parts)),
          equation(array(memory, layout.equation)),
          pair(array(memory, layout.pair)),
          triple(array(memory, layout.triple)) {}

    // Calls put(t, i, value) with AᵀW²(β − Az) at the points from `from` to before `end`; β is zero
    // without `data`.
    template <class Put>
    __device__ void visit(int64_t system, const double *iterate, bool data, int from, int end,
                          Put put) {
        this->data = data;
        rows.start(system);
#pragma unroll 1
        for (int i = team.rank; i < 2 * sizes.states * rows.pair.rows; i += team.size) {
            pair[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; i < 3 * sizes.states * rows.triple.rows; i += team.size) {
            triple[i] = 0;
        }
        // The rows that begin at the points before reach that far.
        const int before = max(from - sizes.bandwidth, 0);
#pragma unroll 1
        for (int t = before; t < before + sizes.bandwidth; ++t) {
            load(iterate, t);
        }
#pragma unroll 1
        for (int t = before; t < end; ++t) {
            if (t == from) {
                slack = 0;
#pragma unroll
                for (double &square : squares) {
                    square = 0;
                }
            }
            add(t, t == before, iterate, [&](int i, double value) {
                if (t >= from) {
                    put(t, i, value);
                }
            });
            team.sync();
        }
    }

  private:
    __device__ void measure(int family, double square) {
        if (MEASURE) {
            squares[family] += square;
        }
    }

    __device__ double *point(int t) const { return z + sizes.slot(t) * sizes.block; }

    __device__ void load(const double *iterate, int t) const {
#pragma unroll 1
        for (int i = team.rank; i < sizes.block; i += team.size) {
            point(t)[i] = t < sizes.points ? iterate[int64_t(t) * sizes.block + i] : 0;
        }
    }

    // Calls put(i, value) with AᵀW²(β − Az) at point t. Points are visited one after another.
    template <class Put>
    __device__ void add(int t, bool first, const double *iterate, Put put) {
        const Problem &p = rows.problem;
        const int block = sizes.block, states = sizes.states, q = sizes.derivatives;
        load(iterate, t + sizes.bandwidth);
        rows.stage(t, first);
        const double epsilon = p.slack ? iterate[int64_t(sizes.points) * block] : 0;

        const int given = sizes.equation_derivatives;
#pragma unroll 1
        for (int index = team.rank; index < p.equations * states; index += team.size) {
            const int e = index / states, state = index - e * states;
            const double *a = rows.coefficients + index * given;
            double sum = 0;
#pragma unroll 1
            for (int j = 0; j < given; ++j) {
                sum += a[j] * point(t)[state * q + j];
            }
            parts[e * (states | 1) + state] = sum;
        }
        defects(rows.pair, pair, epsilon);
        if (rows.triple.rows) {
            defects(rows.triple, triple, epsilon);
        }
        team.sync();
#pragma unroll 1
        for (int e = team.rank; e < p.equations; e += team.size) {
            double sum = data ? rows.rhs[e] : 0;
#pragma unroll 1
            for (int state = 0; state < states; ++state) {
                sum -= parts[e * (states | 1) + state];
            }
            measure(0, sum * sum * rows.equation_weight);
            equation[e] = sum * rows.equation_weight;
        }
        team.sync();
#pragma unroll 1
        for (int i = team.rank; i < block; i += team.size) {
            const int state = sizes.by_derivatives.quotient(i), j = i - state * q;
            double sum = 0;
            if (j < given)
#pragma unroll 1
                for (int e = 0; e < p.equations; ++e) {
                    sum += rows.coefficients[(e * states + state) * given + j] * equation[e];
                }
            if (rows.given(j)) {
                const double target = data ? rows.initial[state * p.initial_derivatives + j] : 0.0;
                const double defect = target - point(t)[i];
                measure(1, defect * defect * rows.initial_weight(j));
                sum += rows.initial_weight(j) * defect;
            }
            sum += scattered(rows.pair, pair, state, j);
            if (rows.triple.rows) {
                sum += scattered(rows.triple, triple, state, j);
            }
            const double closing = rows.periodic(j);
            if (closing != 0) {
                const int64_t other = t == 0 ? sizes.points - 1 : 0;
                const double defect = iterate[other * block + i] - point(t)[i];
                measure(3, t == 0 ? closing * defect * defect : 0);
                sum += closing * defect;
            }
            put(i, sum);
        }
    }

    // Computes w²(β − a·z) of the smoothness rows that begin at this point.
    __device__ void defects(const SharedTable &family, double *all, double epsilon) {
        const int q = sizes.derivatives, t = rows.t;
        const int count = sizes.states * family.rows;
        const bool exist = t + family.points <= sizes.points;
        const double weight = rows.problem.weight_smoothness;
#pragma unroll 1
        for (int index = team.rank; index < count; index += team.size) {
            const int state = index / family.rows, row = index - state * family.rows;
            const double *length = rows.powers(family, 0, state);
            double sum = epsilon;
#pragma unroll 1
            for (int point = 0; point < family.points; ++point) {
                const double *c = family.table + row * family.columns + point * q;
                const double *values = this->point(t + point) + state * q;
#pragma unroll 1
                for (int j = 0; j < q; ++j) {
                    sum += c[j] * length[j] * values[j];
                }
            }
            const double defect = exist ? -weight * weight * sum : 0;
            slack += defect;
            measure(2, -defect * sum);
            all[t % family.points * count + index] = defect;
        }
    }

    // Returns what the smoothness rows that act on (t, state, j) add to the residual there.
    __device__ double scattered(const SharedTable &family, const double *all, int state,
                                int j) const {
        const int q = sizes.derivatives, count = sizes.states * family.rows;
        double sum = 0;
#pragma unroll 1
        for (int point = 0; point < family.points; ++point) {
            const int slot = (rows.t - point + family.points) % family.points;
            const double *defects = all + slot * count + state * family.rows;
            const double *c = family.table + point * q + j;
            double along = 0;
#pragma unroll 1
            for (int row = 0; row < family.rows; ++row) {
                along += c[row * family.columns] * defects[row];
            }
            sum += along * rows.powers(family, point, state)[j];
        }
        return sum;
    }
};

#endif
