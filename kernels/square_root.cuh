// The factor R of banded.cuh from the weighted rows themselves, WA = QR, without forming M: the
// square-root information filter. The CPU's counterpart: src/backend/cpu/banded/square_root.rs.
//
// The rows that begin at block t are stacked under what the blocks before t have left over, a
// triangle in the team's window. Householder reflections turn the two into one triangle; its first P
// rows are row t of R, the rest is left to block t+1. The right-hand sides are one more column. With α
// the triangle's entry, x the stack's column, ν = √(α² + xᵀx), y = x/(α + ν) and τ = 1 + α/ν, every
// column (T, a) to the right becomes (f − T, a − f y), f = τ (T + yᵀa): the reflection with its first
// row negated, so that ν ≥ 0 replaces α, and nothing cancels because α ≥ 0. A column is one thread's,
// so that there is one barrier a reflection.

#ifndef MECHANISTIC_SQUARE_ROOT_CUH
#define MECHANISTIC_SQUARE_ROOT_CUH

#include "banded.cuh"

template <class Real, Kind KIND>
struct RowStack {
    Banded<Real, KIND> &banded;
    const Rows<Real, Real, KIND> &rows;
    const Problem &problem;
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> team;

    // (rows, pitch), columns: block t+w, block t, block t+1 if w = 2, border, right-hand side. First
    // the equations, then the others state by state, so that rows which are zero up to a group of
    // columns come last.
    Real *stack;
    int width, pitch;
    int of_state;  // rows of a state
    int given;     // of them initial rows

    __device__ RowStack(Banded<Real, KIND> &banded, const Rows<Real, Real, KIND> &rows, Real *stack)
        : banded(banded),
          rows(rows),
          problem(rows.problem),
          sizes(rows.sizes),
          places(banded.places),
          team(rows.team),
          stack(stack),
          width((sizes.bandwidth + 1) * sizes.block + sizes.border + 1),
          pitch(width | 1)
    {
    }

    // Before the first block.
    __device__ void start()
    {
        banded.start();
#pragma unroll 1
        for (int t = 0; t < sizes.bandwidth; ++t)
            enter(t);
    }

    // Row t of R from the rows that begin at t, which must be staged, and what is left over.
    __device__ void eliminate(int t)
    {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth;
        enter(t + w);
        fill(t);
#pragma unroll 1
        for (int i = team.rank; i < p; i += team.size)
            banded.wholes[i] = rows.diagonal(i, i);
        team.sync();
        // Column `places.width` is beyond all.
        const int border = (w + 1) * p - places.border;
#pragma unroll 1
        for (int row = 0; row < p; ++row) {
            const int group_end = sizes.by_derivatives.multiple(row) + q;
            const int count = problem.equations + group_end / q * of_state;
            reflect(banded.block_row(t) + row * places.pitch, q + row, p + row, count, [&](int place) {
                return place < group_end ? place : place > q + row ? place - q + p : -1;
            });
        }
        const int count = problem.equations + sizes.states * of_state;
#pragma unroll 1
        for (int ahead = 1; ahead <= w; ++ahead) {
            // Columns of block t + ahead: outermost, or behind those of block t.
            const int first = ahead == w ? 0 : 2 * p;
#pragma unroll 1
            for (int row = 0; row < p && t + ahead < sizes.blocks; ++row)
                reflect(banded.block_row(t + ahead) + row * places.pitch, q + row, first + row, count,
                        [&](int place) {
                            if (place >= places.border)
                                return place + border;
                            if (place > q + row && place < q + p)
                                return first + place - q;
                            return ahead < w && place >= q + p ? place - q - p : -1;
                        });
        }
        eliminate_border_columns(count);
        team.sync();
        const Real *a = banded.block_row(t);
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size) {
            const Real root = a[row * places.pitch + q + row], pivot = root * root;
            banded.pivots[row] = pivot;
            banded.reciprocals[row] = reciprocal_root(pivot);
            banded.judged.judge(pivot, banded.wholes[row], t * p + row);
        }
        team.sync();
    }

    // The border's triangle of R and its part of the right-hand side, once all blocks are eliminated.
    __device__ void eliminate_border(Real *factor, double *substituted)
    {
        const int c = sizes.border, n = c + 1;
        if (sizes.closing) {
            fill(sizes.points - 1);
            team.sync();
            eliminate_border_columns(problem.equations + sizes.states * of_state);
            team.sync();
        }
        Real *corner = banded.corner;
#pragma unroll 1
        for (int row = team.rank; row < c; row += team.size) {
            const Real root = corner[row * n + row], pivot = root * root;
            const Real reciprocal = reciprocal_root(pivot);
            banded.judged.judge(pivot, rows.border_corner(row, row), sizes.blocks * sizes.block + row);
            corner[row * n + row] = reciprocal;
            // The slack's cost, through Rᵀ: lower triangular, the slack last.
            if (row == sizes.closing)
                corner[row * n + c] += reciprocal * Real(problem.slack_cost);
        }
        team.sync();
        banded.store_border(factor, substituted);
    }

  private:
    // A block row of zeros.
    __device__ void enter(int t) const
    {
        Real *a = banded.block_row(t);
#pragma unroll 1
        for (int i = team.rank; i < sizes.block * places.pitch; i += team.size)
            a[i] = 0;
    }

    __device__ void eliminate_border_columns(int count) const
    {
        const int c = sizes.border, first = (sizes.bandwidth + 1) * sizes.block;
#pragma unroll 1
        for (int row = 0; row < c; ++row)
            reflect(banded.corner + row * (c + 1), row, first + row, count,
                    [&](int place) { return place > row && place <= c ? first + place : -1; });
    }

    // Reflects a column of the first `count` rows of the stack into a row of the triangle, whose
    // diagonal entry is at `diagonal`. column_of(place) is the stack's column of a place of that row,
    // or -1 if that place is zero, or done.
    template <class Columns>
    __device__ void reflect(Real *head, int diagonal, int column, int count, Columns column_of) const
    {
        const Real alpha = head[diagonal];
        Real squares = alpha * alpha;
#pragma unroll 4
        for (int r = 0; r < count; ++r)
            squares += stack[r * pitch + column] * stack[r * pitch + column];
        const Real norm = sqrt(squares), divisor = norm == 0 ? Real(1) : norm;
        const Real scale = Real(1) / (alpha + divisor), tau = Real(1) + alpha / divisor;
#pragma unroll 1
        for (int place = team.rank; place < places.width; place += team.size) {
            const int other = column_of(place);
            if (other < 0)
                continue;
            Real along = 0;
#pragma unroll 4
            for (int r = 0; r < count; ++r)
                along += stack[r * pitch + column] * stack[r * pitch + other];
            const Real factor = tau * (head[place] + scale * along);
            head[place] = factor - head[place];
#pragma unroll 4
            for (int r = 0; r < count; ++r)
                stack[r * pitch + other] -= factor * scale * stack[r * pitch + column];
        }
        team.sync();
        if (team.rank == 0)
            head[diagonal] = norm;
    }

    // Lays the rows that begin at point t on the stack.
    __device__ void fill(int t)
    {
        const bool first = t == 0 && problem.periodic;
        given = t < problem.initial_points ? problem.initial_derivatives : 0;
        of_state = given + problem.pair.rows + problem.triple.rows +
                   (first ? sizes.derivatives - 1 : 0);
        const int count = problem.equations + sizes.states * of_state;
#pragma unroll 1
        for (int index = team.rank; index < count * width; index += team.size) {
            const int row = index / width, column = index - row * width;
            stack[row * pitch + column] = entry(t, row, column);
        }
    }

    // Entry of the stack.
    __device__ Real entry(int t, int row, int column) const
    {
        const int p = sizes.block, w = sizes.bandwidth;
        if (column >= (w + 1) * p) {
            const int border = column - (w + 1) * p;
            if (border == sizes.border)
                return right_hand_side(row);
            if (border == sizes.closing)
                return slack(t, row);
            const int distance = sizes.points - 1 - t;
            Real sum = distance <= w ? entry_at(row, distance, border) : Real(0);
            if (t == 0 && periodic(row, border))
                sum -= Real(problem.weight_periodic);
            return sum;
        }
        const int region = column / p, distance = region == 0 ? w : region - 1;
        if (t + distance >= sizes.blocks)
            return 0;
        const int i = column - region * p;
        Real sum = entry_at(row, distance, i);
        if (t == 0 && distance == 0 && periodic(row, i))
            sum += Real(problem.weight_periodic);
        return sum;
    }

    // State and number within the state of a row that is none of the equations.
    __device__ int2 place_of(int row) const
    {
        const int state = (row - problem.equations) / of_state;
        return make_int2(state, row - problem.equations - state * of_state);
    }

    // Entry at unknown i of point t + distance, but for periodic rows.
    __device__ Real entry_at(int row, int distance, int i) const
    {
        const int state = sizes.by_derivatives.quotient(i), j = i - state * sizes.derivatives;
        if (row < problem.equations) {
            if (distance > 0 || j >= sizes.equation_derivatives)
                return 0;
            return rows.equation_factor *
                   rows.coefficients[row * sizes.equation_columns + state * sizes.equation_derivatives + j];
        }
        const int2 place = place_of(row);
        if (place.x != state)
            return 0;
        if (place.y < given)
            return distance == 0 && place.y == j ? rows.initial_factor(j) : Real(0);
        int r = place.y - given;
        if (r < rows.pair.rows)
            return smoothness(rows.pair, r, distance, state, j);
        r -= rows.pair.rows;
        return r < rows.triple.rows ? smoothness(rows.triple, r, distance, state, j) : Real(0);
    }

    __device__ Real smoothness(const SharedTable<Real> &family, int row, int distance, int state,
                               int j) const
    {
        if (distance >= family.points)
            return 0;
        const double c = family.table[row * family.columns + distance * sizes.derivatives + j];
        return Real(problem.weight_smoothness * c) * rows.powers(family, 0, state)[j];
    }

    // Whether a row is the periodic one of unknown i.
    __device__ bool periodic(int row, int i) const
    {
        if (row < problem.equations)
            return false;
        const int2 place = place_of(row);
        const int j = place.y - given - rows.pair.rows - rows.triple.rows;
        return j >= 0 && i == place.x * sizes.derivatives + j;
    }

    __device__ Real right_hand_side(int row) const
    {
        if (row < problem.equations)
            return rows.equation_factor * rows.rhs[row];
        const int2 place = place_of(row);
        return place.y < given ? rows.initial_factor(place.y) *
                                     rows.initial[place.x * problem.initial_derivatives + place.y]
                               : Real(0);
    }

    __device__ Real slack(int t, int row) const
    {
        if (row < problem.equations)
            return 0;
        const int r = place_of(row).y - given;
        const bool pair = r >= 0 && r < rows.pair.rows && t + 2 <= sizes.points;
        const bool triple = r >= rows.pair.rows && r < rows.pair.rows + rows.triple.rows &&
                            t + 3 <= sizes.points;
        return pair || triple ? Real(problem.weight_smoothness) : Real(0);
    }
};

#endif
