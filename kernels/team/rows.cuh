// The rows of A as a team sees them, point by point: loads of the inputs, and the entries of
// M = AᵀW²A and AᵀW²β by formula.
//
// Smoothness rows of a state on the points t .. t+p are C · diag(h^(j + shift)), so that they
// contribute h^(j + shift) h^(j' + shift) (CᵀC)(point, j; point', j') to M. CᵀC is computed once a
// block. The powers of a step that does not exist are zero, and so no formula asks where it is.
// Where rows follow the growth of the solution, the factor of those that begin at a point is part
// of W, and of the powers.

#ifndef MECHANISTIC_ROWS_CUH
#define MECHANISTIC_ROWS_CUH

#include "common/places.cuh"
#include "common/storage.cuh"
#include "common/verdict.cuh"
#include "team/team.cuh"

// The sizes that follow from those of the problem.
struct Sizes {
    int points, states, derivatives, block;      // N, K, Q, P = K·Q
    int equation_derivatives, equation_columns;  // Qc, K·Qc
    int step_states;                             // K, or 1 where the states share the steps
    int bandwidth;                               // w: 1, or 2 with rows on three points
    int closing;                                 // P where z_{N−1} is in the border, else 0
    int border;                                  // c: closing, and one for the slack
    int blocks;                                  // n: N, or N − 1 where periodic
    int spikes;  // of a chunk (team/separators.cuh): columns that come first in the border; else 0
    int first, end;  // the blocks that the team eliminates, from `first` to the one before `end`
    int ahead;       // from one to the next: 1, or −1 from the last point to the first
    Divisor by_derivatives, by_equation_derivatives, by_block;

    __device__ explicit Sizes(const Problem &p)
        : points(int(p.points)),
          states(p.states),
          derivatives(p.derivatives),
          block(p.states * p.derivatives),
          equation_derivatives(p.equation_derivatives),
          equation_columns(p.states * p.equation_derivatives),
          step_states(p.steps.state ? p.states : 1),
          bandwidth(p.triple.rows ? 2 : 1),
          closing(p.periodic ? p.states * p.derivatives : 0),
          border(closing + p.slack),
          blocks(int(p.points) - p.periodic),
          spikes(0),
          first(0),
          end(blocks),
          ahead(1),
          by_derivatives(p.derivatives),
          by_equation_derivatives(p.equation_derivatives),
          by_block(p.states * p.derivatives) {}

    // Returns the slot of a point among w + 1.
    __device__ int slot(int t) const {
        return bandwidth == 1 ? int(unsigned(t) % 2) : int(unsigned(t) % 3);
    }

    // Returns the first block of a chunk; `separator` returns the first block of the separator that
    // ends it.
    __device__ int chunk(int k, int chunks) const { return int(int64_t(k) * blocks / chunks); }
    __device__ int separator(int k, int chunks) const { return chunk(k + 1, chunks) - bandwidth; }

    // Returns the sizes that a chunk has.
    __device__ Sizes of_chunk(int k, int chunks) const {
        Sizes sizes = *this;
        sizes.spikes = bandwidth * block;
        sizes.border += sizes.spikes;
        sizes.first = chunk(k, chunks);
        sizes.end = k + 1 < chunks ? separator(k, chunks) : blocks;
        return sizes;
    }

    // Returns the sizes where rows are on two points and there is no border, as constants.
    __device__ Sizes without_border() const {
        Sizes sizes = *this;
        sizes.bandwidth = 1;
        sizes.closing = sizes.border = 0;
        sizes.blocks = sizes.end = sizes.points;
        return sizes;
    }

    // Returns the sizes that one half of a system has: the first eliminates from the first point to
    // the middle, and that last, the second from the last point to the one after the middle.
    __device__ Sizes of_half(int half) const {
        Sizes sizes = *this;
        const int middle = blocks / 2;
        if (half == 0) {
            sizes.blocks = sizes.end = middle + 1;
        } else {
            sizes.first = blocks - 1;
            sizes.end = middle;
            sizes.ahead = -1;
        }
        return sizes;
    }

    // Returns the sizes of the system of the separators.
    __device__ Sizes separators(int chunks) const {
        Sizes sizes = *this;
        sizes.states = sizes.bandwidth = 1;
        sizes.block = sizes.derivatives = bandwidth * block;
        sizes.blocks = sizes.end = chunks - 1;
        sizes.by_block = sizes.by_derivatives = Divisor(sizes.block);
        return sizes;
    }
};

// Returns length^exponent by repeated multiplication; the exponents are small.
__device__ inline double power(double length, int exponent) {
    const double base = exponent < 0 ? 1.0 / length : length;
    double product = 1;
#pragma unroll 1
    for (int i = abs(exponent); i > 0; --i) {
        product *= base;
    }
    return product;
}

// The table of one row family, in the shared memory of a block.
struct SharedTable {
    int rows, points, shift, columns;  // columns = points·Q
    const double *table;               // C (rows, columns)
    const double *gram;                // w_s² CᵀC (columns, columns)
    const double *sums;                // w_s² Σ_rows C (columns): products with the slack's ones

    // By all threads of the block. Made in one piece: what is changed later stays in memory.
    __device__ static SharedTable filled(char *memory, const TableLayout &layout,
                                         const RowTable &source, int points, int derivatives,
                                         double weight) {
        const int rows = source.rows, columns = rows ? points * derivatives : 0;
        double *table = array(memory, layout.table);
        double *gram = array(memory, layout.gram);
        double *sums = array(memory, layout.sums);
#pragma unroll 1
        for (int i = threadIdx.x; i < rows * columns; i += blockDim.x) {
            table[i] = source.table[i];
        }
        __syncthreads();
#pragma unroll 1
        for (int i = threadIdx.x; i < columns * (columns + 1); i += blockDim.x) {
            const int a = i / columns - 1, b = i % columns;
            double sum = 0;
#pragma unroll 1
            for (int row = 0; row < rows; ++row) {
                sum += (a < 0 ? 1.0 : table[row * columns + a]) * table[row * columns + b];
            }
            (a < 0 ? sums : gram + a * columns)[b] = weight * weight * sum;
        }
        __syncthreads();
        return {rows, points, source.shift, columns, table, gram, sums};
    }
};

// The rows of one system, at the points that the team visits one after another.
template <Kind KIND>
struct Rows {
    static constexpr bool EQUATIONS = true;
    const Problem &problem;
    const Sizes sizes;
    const Team<KIND> team;
    const SharedTable pair, triple;
    int64_t system = 0;
    Faults faults;

    // Whether points are visited from the last to the first, which takes the step before them too.
    bool backward = false;

    // Of the point last staged.
    int t = 0;
    double point_scale = 1;      // factor of the rows that begin here
    double mean_step = 1;        // ℓ, or 1 where rows are not balanced
    double equation_factor = 1;  // W of equation rows
    double equation_weight = 1;  // W²

    // Shared memory of the team.
    double *pair_powers;    // (2, steps' K, Q): h^(j + shift) of the last two steps, scaled
    double *triple_powers;  // (3, steps' K, Q): of the last three sums of two steps, scaled
    double *lengths;        // (steps' K): steps of the point last staged
    double *coefficients;   // (E, K·Qc)
    double *rhs;            // (E)
    double *initial;        // (K, J)

    __device__ Rows(const Problem &problem, const Sizes &sizes, Team<KIND> team, SharedTable pair,
                    SharedTable triple, char *memory, const RowsLayout &layout)
        : problem(problem),
          sizes(sizes),
          team(team),
          pair(pair),
          triple(triple),
          pair_powers(array(memory, layout.pair_powers)),
          triple_powers(array(memory, layout.triple_powers)),
          lengths(array(memory, layout.lengths)),
          coefficients(array(memory, layout.coefficients)),
          rhs(array(memory, layout.rhs)),
          initial(array(memory, layout.initial)) {}

    // Prepares for a sweep that begins at a chunk, with the rows that reach into it.
    __device__ void approach(int first) {
#pragma unroll 1
        for (int t = max(first - sizes.bandwidth, 0); t < first; ++t) {
            stage(t, true);
            team.sync();
        }
    }

    // Prepares for a sweep, before the first point.
    __device__ void start(int64_t system) {
        this->system = system;
        const int powers = sizes.step_states * sizes.derivatives;
#pragma unroll 1
        for (int i = team.rank; i < 2 * powers; i += team.size) {
            pair_powers[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; triple.rows && i < 3 * powers; i += team.size) {
            triple_powers[i] = 0;
        }
        team.sync();
    }

    // Loads what the rows that begin at point t need. All threads must have finished with point t −
    // 1.
    __device__ void stage(int t, bool first) {
        this->t = t;
        const Problem &p = problem;
        point_scale = p.point_scales ? p.point_scales[system * p.points + t] : 1.0;
        const int64_t of_coefficients = begin_of(p.coefficients) + t * p.coefficients.time;
        const int64_t of_rhs = begin_of(p.rhs) + t * p.rhs.time;
        const int entries = first || p.coefficients.time ? p.equations * sizes.equation_columns : 0;
        const int sides = first || p.rhs.time ? p.equations : 0;
        if (p.coefficients.storage == p.rhs.storage) {
            take({coefficients, p.coefficients, of_coefficients, entries, Faults::COEFFICIENTS},
                 {rhs, p.rhs, of_rhs, sides, Faults::RHS});
        } else {
            take({coefficients, p.coefficients, of_coefficients, entries, Faults::COEFFICIENTS});
            take({rhs, p.rhs, of_rhs, sides, Faults::RHS});
        }
        if (t < p.initial_points) {
            const int64_t offset = begin_of(p.initial_values) + t * p.initial_values.time;
            take({initial, p.initial_values, offset, p.states * p.initial_derivatives,
                  Faults::INITIAL_VALUES});
        }
        const int powers = sizes.step_states * sizes.derivatives;
#pragma unroll 1
        for (int i = team.rank; i < powers; i += team.size) {
            const int state = sizes.by_derivatives.quotient(i), j = i - state * sizes.derivatives;
            // The last point has no step of its own: its rows are scaled by the step before it.
            const bool known = !first && !p.steps.time;
            const double step =
                known ? lengths[state] : this->step(min(t, sizes.points - 2), state);
            if (!known) {
                lengths[state] = step;
            }
            pair_powers[(t % 2) * powers + i] =
                t < sizes.points - 1 ? point_scale * power(step, j + pair.shift) : 0.0;
            if (backward) {
                const double scale =
                    p.point_scales ? p.point_scales[system * p.points + t - 1] : 1.0;
                pair_powers[((t - 1) % 2) * powers + i] =
                    scale * power(known ? step : this->step(t - 1, state), j + pair.shift);
            }
            if (triple.rows) {
                triple_powers[(t % 3) * powers + i] =
                    t < sizes.points - 2
                        ? point_scale * power(step + (known ? step : this->step(t + 1, state)),
                                              j + triple.shift)
                        : 0.0;
            }
        }
        team.sync();
        mean_step = 1;
        if (p.balanced) {
            double sum = 0;
#pragma unroll 1
            for (int state = 0; state < sizes.step_states; ++state) {
                sum += lengths[state];
            }
            mean_step = sum / sizes.step_states;
        }
        equation_factor = p.weight_equation * scale(sizes.equation_derivatives - 1);
        equation_weight = equation_factor * equation_factor;
    }

    // Returns the place of the system's first value in an input, or in the tangent of one.
    __device__ int64_t begin_of(const Input &input) const {
        return system_start(problem, input, system);
    }

    // Returns s[t] of a state.
    __device__ double step(int t, int state) {
        const Input &steps = problem.steps;
        const int64_t index = begin_of(steps) + t * steps.time + int64_t(state) * steps.state;
        const double step = checked(steps, index, Faults::STEPS);
        if (step <= 0) {
            faults.step = min(faults.step, steps.time ? t : 0);
        }
        return step;
    }

    // Returns the powers of the length of a state's rows that began `back` points ago.
    __device__ const double *powers(const SharedTable &family, int back, int state) const {
        const double *all = family.points == 2 ? pair_powers : triple_powers;
        const int slot = (t - back + family.points) % family.points;
        return all +
               (slot * sizes.step_states + (sizes.step_states > 1 ? state : 0)) * sizes.derivatives;
    }

    // Returns the factor of an equation or initial row whose highest derivative is j, without its
    // weight; and the derivative of that factor with respect to ℓ.
    __device__ double scale(int j) const { return point_scale * power(mean_step, j); }
    __device__ double scale_slope(int j) const { return point_scale * j * power(mean_step, j - 1); }

    // Returns W of the initial row of derivative j, at points that have one.
    __device__ double initial_factor(int j) const { return problem.weight_initial * scale(j); }
    __device__ double initial_weight(int j) const { return initial_factor(j) * initial_factor(j); }

    // Returns whether there is an initial value of derivative j at the point.
    __device__ bool given(int j) const {
        return t < problem.initial_points && j < problem.initial_derivatives;
    }

    // Returns the smoothness part of M between (t, j) and (t + distance, other) of a state; the
    // distance may be negative.
    __device__ double smoothness(int distance, int state, int j, int other) const {
        return smoothness(pair, distance, state, j, other) +
               (triple.rows ? smoothness(triple, distance, state, j, other) : 0.0);
    }

    __device__ double smoothness(const SharedTable &family, int distance, int state, int j,
                                 int other) const {
        const int q = sizes.derivatives;
        double sum = 0;
#pragma unroll 1
        for (int point = max(-distance, 0); point + max(distance, 0) < family.points; ++point) {
            const double *length = powers(family, point, state);
            const double gram =
                family.gram[(point * q + j) * family.columns + (point + distance) * q + other];
            sum += length[j] * length[other] * gram;
        }
        return sum;
    }

    // Returns M between (t, row) and (t, column): the equations' part, and that of the other rows,
    // which couple a state with itself only.
    __device__ double diagonal(int row, int column) const {
        const int state = sizes.by_derivatives.quotient(row);
        const bool own = state == sizes.by_derivatives.quotient(column);
        const int first = state * sizes.derivatives;
        return equations(row, column) + (own ? of_state(state, row - first, column - first) : 0.0);
    }

    __device__ double equations(int row, int column) const {
        const int state = sizes.by_derivatives.quotient(row);
        const int other_state = sizes.by_derivatives.quotient(column);
        const int j = row - state * sizes.derivatives;
        const int other = column - other_state * sizes.derivatives;
        if (j >= sizes.equation_derivatives || other >= sizes.equation_derivatives) {
            return 0;
        }
        const double *a = coefficients + state * sizes.equation_derivatives + j;
        const double *b = coefficients + other_state * sizes.equation_derivatives + other;
        double sum = 0;
#pragma unroll 4
        for (int e = 0; e < problem.equations; ++e) {
            sum += a[e * sizes.equation_columns] * b[e * sizes.equation_columns];
        }
        return sum * equation_weight;
    }

    __device__ double of_state(int state, int j, int other) const {
        double sum = smoothness(0, state, j, other);
        if (j == other) {
            if (given(j)) {
                sum += initial_weight(j);
            }
            sum += periodic(j);
        }
        return sum;
    }

    // Returns M between (t, row) and (t + distance, column), for another point.
    __device__ double coupling(int distance, int row, int column) const {
        const int state = sizes.by_derivatives.quotient(row);
        const int first = state * sizes.derivatives;
        if (column < first || column >= first + sizes.derivatives) {
            return 0;
        }
        return smoothness(distance, state, row - first, column - first);
    }

    // Returns what the periodic rows add to the diagonal of the first and the last point.
    __device__ double periodic(int j) const {
        const bool closes = problem.periodic && (t == 0 || t == sizes.points - 1);
        return closes && j < sizes.derivatives - 1
                   ? problem.weight_periodic * problem.weight_periodic
                   : 0.0;
    }

    // Returns M between (t, row) and border column `column`; for column c, what initial values add
    // to AᵀW²β at (t, row).
    __device__ double border(int row, int column) const {
        const int state = sizes.by_derivatives.quotient(row);
        const int j = row - state * sizes.derivatives;
        if (column == sizes.border) {
            if (!given(j)) {
                return 0;
            }
            return initial_weight(j) * initial[state * problem.initial_derivatives + j];
        }
        if (column == sizes.closing) {
            return slack(pair, state, j) + (triple.rows ? slack(triple, state, j) : 0.0);
        }
        const int distance = sizes.points - 1 - t;
        double sum = distance <= sizes.bandwidth ? coupling(distance, row, column) : 0.0;
        if (t == 0 && row == column) {
            sum -= periodic(j);
        }
        return sum;
    }

    __device__ double slack(const SharedTable &family, int state, int j) const {
        double sum = 0;
#pragma unroll 1
        for (int point = 0; point < family.points; ++point) {
            sum += powers(family, point, state)[j] * family.sums[point * sizes.derivatives + j];
        }
        return sum;
    }

    // Returns AᵀW²β at (t, row).
    __device__ double right_hand_side(int row) const {
        const int state = sizes.by_derivatives.quotient(row), j = row - state * sizes.derivatives;
        double sum = 0;
        if (j < sizes.equation_derivatives) {
            const double *column = coefficients + state * sizes.equation_derivatives + j;
#pragma unroll 4
            for (int e = 0; e < problem.equations; ++e) {
                sum += column[e * sizes.equation_columns] * rhs[e];
            }
        }
        return sum * equation_weight + border(row, sizes.border);
    }

    // Returns M, or AᵀW²β for column c, between the border unknowns `row` ≤ `column`. The last
    // point must be staged.
    __device__ double border_corner(int row, int column) const {
        if (row < sizes.closing && column == sizes.border) {
            return right_hand_side(row);
        }
        if (row < sizes.closing) {
            return column < sizes.closing ? diagonal(row, column) : border(row, column);
        }
        if (column == sizes.border) {
            return problem.slack_cost;
        }
        const double rows = double(problem.states) * (double(pair.rows) * (sizes.points - 1) +
                                                      double(triple.rows) * (sizes.points - 2));
        return problem.weight_smoothness * problem.weight_smoothness * rows;
    }

    // Returns, for the judgment of pivots, the diagonal of M and the number of an unknown.
    __device__ static double whole(int, double diagonal) { return diagonal; }
    __device__ static double border_whole(int, double diagonal) { return diagonal; }
    __device__ int unknown(int t, int row) const { return t * sizes.block + row; }

  private:
    // Values of an input from `offset` on, where they go, and the input's bit among the faults.
    struct Taken {
        double *target;
        const Input &input;
        int64_t offset;
        int count;
        unsigned bit;
    };

    // Takes values of an input, after setting its bit among the faults if they are not all finite.
    __device__ void take(const Taken &values) { take(values, Taken{values.target, values.input}); }
    // Does so for two inputs with the same storage.
    __device__ void take(const Taken &one, const Taken &other) {
        switch (one.input.storage) {
            case STORAGE_F64:
                take<double>(one, other);
                break;
            case STORAGE_F32:
                take<float>(one, other);
                break;
            default:
                take_checked(one);
                take_checked(other);
        }
    }
    __device__ void take_checked(const Taken &values) {
#pragma unroll 1
        for (int i = team.rank; i < values.count; i += team.size) {
            values.target[i] = checked(values.input, values.offset + i, values.bit);
        }
    }

    // The same with a known storage: loads wait for each other in groups.
    template <class T>
    __device__ void take(const Taken &one, const Taken &other) {
        constexpr int TOGETHER = 4;
        const T *source = static_cast<const T *>(one.input.data) + one.offset;
        // Its values are numbered after those of the first input.
        const T *after = static_cast<const T *>(other.input.data) + other.offset - one.count;
        double *target_after = other.target - one.count;
        const int count = one.count + other.count;
#pragma unroll 1
        for (int first = team.rank; first < count; first += TOGETHER * team.size) {
            T values[TOGETHER];
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                // Beyond the last value it is loaded again: a condition would let the compiler
                // check and store each value before it loads the next.
                const int i = min(first + k * team.size, count - 1);
                values[k] = (i < one.count ? source : after)[i];
            }
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                const int i = first + k * team.size;
                if (i < count) {
                    faults.check(values[k], i < one.count ? one.bit : other.bit);
                    (i < one.count ? one.target : target_after)[i] = values[k];
                }
            }
        }
    }

    // Returns a value of an input, after setting the input's bit among the faults if it is not
    // finite.
    __device__ double checked(const Input &input, int64_t index, unsigned bit) {
        const double value = read(input.data, input.storage, index);
        faults.check(value, bit);
        return value;
    }
};

#endif
