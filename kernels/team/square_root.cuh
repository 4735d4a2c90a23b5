// The factor R of team/banded.cuh from the weighted rows themselves, WA = QR, without forming M:
// the square-root information filter. The CPU's counterpart: src/backend/cpu/banded/square_root.rs.
//
// The team's window holds the triangle that the rows so far have left over; the border's part of it
// is the corner. The rows that begin at block t are laid on a stack beside it and rotated into it
// (Givens): rows 0 .. P of the triangle are then row t of R, the rest is left to block t+1. The
// right-hand sides are one more column.
//
// Row r of the stack meets row h of the triangle in wave r + h, so that all rows of the stack are
// on their way at once and each meets what those before it have left: two barriers a wave.
//
// Columns are divided by their scales (team/equilibration.cuh), and R is multiplied by them on the
// way out.

#ifndef MECHANISTIC_SQUARE_ROOT_CUH
#define MECHANISTIC_SQUARE_ROOT_CUH

#include "team/banded.cuh"
#include "team/equilibration.cuh"
#include "team/rotation.cuh"

// Most rows that begin at one point.
__device__ inline int most_stacked_rows(const Problem &p, const Sizes &s) {
    const int initial = p.initial_points ? p.initial_derivatives : 0;
    const int periodic = p.periodic ? s.derivatives - 1 : 0;
    return p.equations + s.states * (initial + periodic + p.pair.rows + p.triple.rows);
}

template <Kind KIND>
struct RowStack {
    Banded<KIND> &banded;
    Rows<KIND> &rows;
    const Problem &problem;
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> team;

    const int in_blocks;  // columns, and rows of the triangle, in blocks t .. t+w
    const int columns;    // with the border; the right-hand side comes after them
    const int pitch;
    const int of_state;  // smoothness rows of a state
    const Divisor by_of_state;

    // Of the team.
    double *stack;    // (rows, pitch): equations; initial and periodic rows; smoothness by state
    double *cosines;  // (rows): of the rotations of a wave
    double *sines;    // (rows)
    double *scales;   // (columns): block t in slot t mod (w+1), then the border
    double *removed;  // (columns): squared norm of what the finished rows of R hold in each column

    // Rows of the point in turn.
    int initial_rows = 0;
    int unit_rows = 0;  // initial and periodic rows
    int count = 0;

    // `memory` has room for all of these.
    __device__ RowStack(Banded<KIND> &banded, Rows<KIND> &rows, double *memory)
        : banded(banded),
          rows(rows),
          problem(rows.problem),
          sizes(rows.sizes),
          places(banded.places),
          team(rows.team),
          in_blocks((sizes.bandwidth + 1) * sizes.block),
          columns(in_blocks + sizes.border),
          pitch((columns + 1) | 1),
          of_state(rows.pair.rows + rows.triple.rows),
          by_of_state(of_state) {
        const int most = most_stacked_rows(problem, sizes);
        stack = memory;
        cosines = stack + most * pitch;
        sines = cosines + most;
        scales = sines + most;
        removed = scales + columns;
    }

    // Before the first block.
    __device__ void start() {
        banded.start();
#pragma unroll 1
        for (int t = 0; t < sizes.bandwidth; ++t) {
            enter(t);
        }
        const int exponent = this->exponent(sizes.points - 2);
#pragma unroll 1
        for (int i = team.rank; i < sizes.border; i += team.size) {
            scales[in_blocks + i] = scale(exponent, i);
            removed[in_blocks + i] = 0;
        }
    }

    // Row t of R from the rows that begin at t, which must be staged, and what is left over.
    __device__ void eliminate(int t) {
        enter(t + sizes.bandwidth);
        team.sync();
        fill(t);
        rotate(t, 0);
        finish(t);
    }

    // The border's triangle of R and its part of the right-hand side, once all blocks are
    // eliminated.
    __device__ void eliminate_border(double *factor, double *substituted) {
        const int c = sizes.border, n = c + 1;
        if (sizes.closing) {
            fill(sizes.points - 1);
            rotate(sizes.points - 1, in_blocks);
        }
        double *corner = banded.corner;
#pragma unroll 1
        for (int row = team.rank; row < c; row += team.size) {
            double whole = removed[in_blocks + row];
#pragma unroll 1
            for (int m = 0; m <= row; ++m) {
                whole += corner[m * n + row] * corner[m * n + row];
            }
            const double pivot = pivot_of_root(corner[row * n + row]);
            banded.judged.judge(pivot, whole, sizes.blocks * sizes.block + row);
        }
        team.sync();
#pragma unroll 1
        for (int row = team.rank; row < c; row += team.size) {
            const double pivot = pivot_of_root(corner[row * n + row]);
            const double reciprocal = reciprocal_root(pivot) / scales[in_blocks + row];
            corner[row * n + row] = reciprocal;
            // The slack's cost, through Rᵀ: lower triangular, the slack last.
            if (row == sizes.closing) {
                corner[row * n + c] += reciprocal * problem.slack_cost;
            }
#pragma unroll 1
            for (int column = row + 1; column < c; ++column) {
                corner[row * n + column] *= scales[in_blocks + column];
            }
        }
        team.sync();
        banded.store_border(factor, substituted);
    }

  private:
    // Slot of a column of the window at block t.
    __device__ int slot(int t, int column) const {
        if (column >= in_blocks) {
            return column;
        }
        const int ahead = sizes.by_block.quotient(column);
        return (t + ahead) % (sizes.bandwidth + 1) * sizes.block + column - ahead * sizes.block;
    }

    // Of the mean step at point t.
    __device__ int exponent(int t) const {
        double sum = 0;
#pragma unroll 1
        for (int state = 0; state < sizes.step_states; ++state) {
            sum += rows.step(min(t, sizes.points - 2), state);
        }
        return exponent_of_step(sum / sizes.step_states, sizes.derivatives);
    }

    // Of a column; the slack's is 1.
    __device__ double scale(int exponent, int unknown) const {
        const int derivative = unknown - sizes.by_derivatives.multiple(unknown);
        return power_of_two(exponent * derivative);
    }

    // Block t comes into the window, with rows of zeros.
    __device__ void enter(int t) const {
        double *a = banded.block_row(t);
#pragma unroll 1
        for (int i = team.rank; i < sizes.block * places.pitch; i += team.size) {
            a[i] = 0;
        }
        const int exponent = this->exponent(t);
#pragma unroll 1
        for (int i = team.rank; i < sizes.block; i += team.size) {
            scales[slot(t, i)] = scale(exponent, i);
            removed[slot(t, i)] = 0;
        }
    }

    // A row of the triangle.
    struct Head {
        double *values;
        int diagonal;  // place of its diagonal entry
        int ahead;     // it is of block t + ahead
    };

    __device__ Head head(int t, int h) const {
        if (h >= in_blocks) {
            const int row = h - in_blocks;
            return {banded.corner + row * (sizes.border + 1), row, 0};
        }
        const int ahead = sizes.by_block.quotient(h), row = h - ahead * sizes.block;
        return {banded.block_row(t + ahead) + row * places.pitch, sizes.derivatives + row, ahead};
    }

    // Place of a column in row h of the triangle, which begins before it.
    __device__ int place(int h, const Head &head, int column) const {
        const int p = sizes.block, q = sizes.derivatives;
        if (column >= in_blocks) {
            return (h >= in_blocks ? 0 : places.border) + column - in_blocks;
        }
        const int block = sizes.by_block.quotient(column), i = column - block * p;
        const int distance = block - head.ahead;
        if (distance == 0) {
            return q + i;
        }
        return distance < sizes.bandwidth ? q + p + i : i;
    }

    // Where the columns of a row in blocks end, of all that is rotated into it too: smoothness rows
    // come state by state, and reach into the columns of theirs of the outermost block.
    __device__ int end(int row) const {
        const int smoothness = row - problem.equations - unit_rows;
        const int groups = smoothness < 0 ? 0 : by_of_state.quotient(smoothness) + 1;
        return sizes.bandwidth * sizes.block + groups * sizes.derivatives;
    }

    // Rotates the stack into the rows of the triangle from `first` on.
    __device__ void rotate(int t, int first) const {
        const int heads = columns - first;
#pragma unroll 1
        for (int wave = 0; wave < count + heads - 1; ++wave) {
            const int from = max(0, wave - heads + 1), to = min(count, wave + 1);
#pragma unroll 1
            for (int row = from + team.rank; row < to; row += team.size) {
                aim(t, row, first + wave - row);
            }
            team.sync();
#pragma unroll 1
            for (int row = from; row < to; ++row) {
                if (sines[row] != 0) {
                    turn(t, row, first + wave - row);
                }
            }
            team.sync();
        }
    }

    // The rotation of row h of the triangle, from its diagonal entry on, and a row of the stack.
    __device__ void aim(int t, int row, int h) const {
        const Head head = this->head(t, h);
        const bool absent = h < in_blocks && t + head.ahead >= sizes.blocks;
        const double entry = absent ? 0.0 : stack[row * pitch + h];
        const Rotation rotation(head.values[head.diagonal], entry);
        cosines[row] = rotation.c;
        sines[row] = rotation.s;
    }

    // Applies it to the columns behind.
    __device__ void turn(int t, int row, int h) const {
        const Head head = this->head(t, h);
        const double cosine = cosines[row], sine = sines[row];
        const int behind = max(end(row) - h - 1, 0);  // in blocks
        const int border = max(h + 1, in_blocks);
#pragma unroll 1
        for (int i = team.rank; i <= behind + columns - border; i += team.size) {
            const int column = i < behind ? h + 1 + i : border + i - behind;
            const int place = this->place(h, head, column);
            const double a = head.values[place], b = stack[row * pitch + column];
            head.values[place] = cosine * a + sine * b;
            stack[row * pitch + column] = cosine * b - sine * a;
        }
    }

    // Row t of R is complete.
    __device__ void finish(int t) const {
        const int p = sizes.block, q = sizes.derivatives;
        double *a = banded.block_row(t);
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size) {
            const int column = slot(t, row);
            const double pivot = pivot_of_root(a[row * places.pitch + q + row]);
            const double whole = removed[column] + squares_of(a, q + row, 0, row + 1);
            banded.judged.judge(pivot, whole, t * p + row);
            banded.reciprocals[row] = reciprocal_root(pivot) / scales[column];
        }
#pragma unroll 1
        for (int column = p + team.rank; column < columns; column += team.size) {
            const bool outermost = column >= sizes.bandwidth * p && column < in_blocks;
            const int i = column - sizes.bandwidth * p;
            const int at = outermost            ? i
                           : column < in_blocks ? q + column
                                                : places.border + column - in_blocks;
            removed[slot(t, column)] +=
                squares_of(a, at, outermost ? sizes.by_derivatives.multiple(i) : 0, p);
        }
        team.sync();
#pragma unroll 1
        for (int index = team.rank; index < p * places.stored; index += team.size) {
            const int row = places.by_stored.quotient(index), place = index - row * places.stored;
            int column = place - q;
            if (place >= places.border) {
                column = in_blocks + place - places.border;
            } else if (place < sizes.by_derivatives.multiple(row) + q) {
                column = sizes.bandwidth * p + place;
            } else if (place < q + row) {
                continue;
            }
            a[row * places.pitch + place] *= scales[slot(t, column)];
        }
        team.sync();
    }

    // Sum of the squares at a place over the rows from .. to of a block row.
    __device__ double squares_of(const double *a, int place, int from, int to) const {
        double sum = 0;
#pragma unroll 1
        for (int row = from; row < to; ++row) {
            sum += a[row * places.pitch + place] * a[row * places.pitch + place];
        }
        return sum;
    }

    // Lays the rows that begin at point t on the stack.
    __device__ void fill(int t) {
        initial_rows = t < problem.initial_points ? sizes.states * problem.initial_derivatives : 0;
        unit_rows = initial_rows;
        if (t == 0 && problem.periodic) {
            unit_rows += sizes.states * (sizes.derivatives - 1);
        }
        count = problem.equations + unit_rows + sizes.states * of_state;
        const int width = columns + 1;
#pragma unroll 1
        for (int index = team.rank; index < count * width; index += team.size) {
            const int row = index / width, column = index - row * width;
            stack[row * pitch + column] = column == columns
                                              ? right_hand_side(row)
                                              : entry(t, row, column) / scales[slot(t, column)];
        }
        team.sync();
    }

    __device__ double entry(int t, int row, int column) const {
        if (column >= in_blocks) {
            const int i = column - in_blocks;
            if (i == sizes.closing) {
                return slack(t, row);
            }
            const int distance = sizes.points - 1 - t;
            double value = distance <= sizes.bandwidth ? entry_at(row, distance, i) : 0.0;
            if (t == 0 && i == periodic_unknown(row)) {
                value -= problem.weight_periodic;
            }
            return value;
        }
        const int distance = sizes.by_block.quotient(column), i = column - distance * sizes.block;
        if (t + distance >= sizes.blocks) {
            return 0;
        }
        if (t == 0 && distance == 0 && i == periodic_unknown(row)) {
            return problem.weight_periodic;
        }
        return entry_at(row, distance, i);
    }

    // Entry at unknown i of point t + distance, but for periodic rows.
    __device__ double entry_at(int row, int distance, int i) const {
        const int state = sizes.by_derivatives.quotient(i), j = i - state * sizes.derivatives;
        if (row < problem.equations) {
            if (distance > 0 || j >= sizes.equation_derivatives) {
                return 0;
            }
            return rows.equation_factor * rows.coefficients[row * sizes.equation_columns +
                                                            state * sizes.equation_derivatives + j];
        }
        const int unit = row - problem.equations;
        if (unit < initial_rows) {
            const bool own = distance == 0 && j < problem.initial_derivatives &&
                             unit == state * problem.initial_derivatives + j;
            return own ? rows.initial_factor(j) : 0.0;
        }
        int r = unit - unit_rows - state * of_state;
        if (unit < unit_rows || r < 0 || r >= of_state) {
            return 0;
        }
        if (r < rows.pair.rows) {
            return smoothness(rows.pair, r, distance, state, j);
        }
        return smoothness(rows.triple, r - rows.pair.rows, distance, state, j);
    }

    __device__ double smoothness(const SharedTable &family, int row, int distance, int state,
                                 int j) const {
        if (distance >= family.points) {
            return 0;
        }
        const double c = family.table[row * family.columns + distance * sizes.derivatives + j];
        return problem.weight_smoothness * c * rows.powers(family, 0, state)[j];
    }

    // The unknown that a row makes periodic, or −1.
    __device__ int periodic_unknown(int row) const {
        const int r = row - problem.equations - initial_rows, q = sizes.derivatives;
        if (r < 0 || r >= unit_rows - initial_rows) {
            return -1;
        }
        const int state = r / (q - 1);
        return state * q + r - state * (q - 1);
    }

    __device__ double right_hand_side(int row) const {
        if (row < problem.equations) {
            return rows.equation_factor * rows.rhs[row];
        }
        const int unit = row - problem.equations;
        if (unit >= initial_rows) {
            return 0;
        }
        return rows.initial_factor(unit % problem.initial_derivatives) * rows.initial[unit];
    }

    __device__ double slack(int t, int row) const {
        const int r = row - problem.equations - unit_rows;
        if (r < 0) {
            return 0;
        }
        const int points = r % of_state < rows.pair.rows ? 2 : 3;
        return t + points <= sizes.points ? problem.weight_smoothness : 0.0;
    }
};

#endif
