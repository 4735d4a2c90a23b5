// Cholesky factor R of a symmetric positive definite block-banded matrix M = RᵀR with a thin dense
// border, and substitution with it, by a team. The CPU's counterpart: src/backend/cpu/banded.rs.
//
//   M = | D_0  E_0            G_0 |    unknowns (z_0, ..., z_{n−1}, y): n blocks of P values, c in the
//       | E_0ᵀ D_1  E_1       G_1 |    border. Block t is coupled with t .. t+w, w = 1 or 2; the
//       |      E_1ᵀ D_2       G_2 |    coupling with t+w, called outermost, is block diagonal over
//       | G_0ᵀ G_1ᵀ G_2ᵀ      H   |    groups of Q rows.
//
// Row i of block row t of R is kept in w·P + Q + c places, whatever i: with g the group of i,
//
//   places 0 .. (g+1)·Q          outermost columns: R_{t,t+w} is zero beyond its row's group
//          Q+i .. Q+P            columns i .. P of R_tt, the diagonal entry as its reciprocal
//          Q+P .. Q+w·P          R_{t,t+1}, if w = 2
//          Q+w·P ..              border
//
// so that the two triangular parts fill one rectangle; only what lies in a group below the diagonal
// (places Q+gQ .. Q+i) is not used. In the team's window each row has one place more, for the
// right-hand side, which is thus substituted along with the factorisation.

#ifndef MECHANISTIC_BANDED_CUH
#define MECHANISTIC_BANDED_CUH

#include <cfloat>

#include "rows.cuh"

// Uncertainty of the weakest pivot, relative to it, from which on the matrix counts as singular.
constexpr double MOST_UNCERTAINTY = 1.0 / 16.0;

// Places of a row.
struct Places {
    int stored;   // w·P + Q + c
    int width;    // with the right-hand side
    int pitch;    // odd, so that rows lie in different banks
    int border;   // first place of the border
    Divisor by_stored, by_width;

    __device__ explicit Places(const Sizes &s)
        : stored(s.bandwidth * s.block + s.derivatives + s.border),
          width(stored + 1),
          pitch(width | 1),
          border(s.bandwidth * s.block + s.derivatives),
          by_stored(stored),
          by_width(width)
    {
    }
};

// Whether a pivot is positive and has all its digits.
template <class Real>
__device__ inline bool sound(Real pivot)
{
    const Real least = sizeof(Real) == 8 ? Real(DBL_MIN) : Real(FLT_MIN);
    return pivot >= least && isfinite(pivot);
}

// The pivot that elimination has reduced most relative to the diagonal of M, and the first that is
// not positive.
template <class Real>
struct Pivots {
    Real weakest = Real(INFINITY);
    int weakest_unknown = INT_MAX;
    int lost_unknown = INT_MAX;

    __device__ void judge(Real pivot, Real whole, int unknown)
    {
        if (!sound(pivot))
            lost_unknown = min(lost_unknown, unknown);
        const Real ratio = pivot / whole;
        if (ratio < weakest) {
            weakest = ratio;
            weakest_unknown = unknown;
        }
    }
    __device__ void merge(const Pivots &other)
    {
        lost_unknown = min(lost_unknown, other.lost_unknown);
        if (other.weakest < weakest ||
            (other.weakest == weakest && other.weakest_unknown < weakest_unknown)) {
            weakest = other.weakest;
            weakest_unknown = other.weakest_unknown;
        }
    }
};

// 1/√pivot, of one instead of a pivot that is not sound, so that the system runs on harmlessly.
template <class Real>
__device__ inline Real reciprocal_root(Real pivot)
{
    return Real(1) / sqrt(sound(pivot) ? pivot : Real(1));
}

template <class Real, Kind KIND>
struct Banded {
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> team;

    // Memory of the team.
    Real *window;       // (w+1, P, pitch): block rows t − w .. t, block t in slot t mod (w+1)
    Real *reciprocals;  // (P): of the diagonal of R_tt
    Real *pivots;       // (P): their squares' inverses
    Real *wholes;       // (P): diagonal of M
    Real *corner;       // (c, c+1): H and the border's right-hand side
    Real *corner_wholes;  // (c)
    Pivots<Real> judged;  // of this thread

    __device__ Banded(const Sizes &sizes, const Places &places, Team<KIND> team, Carver &memory)
        : sizes(sizes), places(places), team(team)
    {
        window = memory.take<Real>((sizes.bandwidth + 1) * sizes.block * places.pitch);
        reciprocals = memory.take<Real>(sizes.block);
        pivots = memory.take<Real>(sizes.block);
        wholes = memory.take<Real>(sizes.block);
        corner = memory.take<Real>(sizes.border * (sizes.border + 1));
        corner_wholes = memory.take<Real>(sizes.border);
    }

    // Block row t of the window.
    __device__ Real *block_row(int t) const
    {
        return window + (t % (sizes.bandwidth + 1)) * sizes.block * places.pitch;
    }

    // Before the first block.
    __device__ void start()
    {
        judged = Pivots<Real>();
#pragma unroll 1
        for (int i = team.rank; i < sizes.border * (sizes.border + 1); i += team.size)
            corner[i] = 0;
    }

    // Block row t of what is left of M and the right-hand side once the blocks before t are
    // eliminated. `rows` gives the entries of M by formula.
    template <class Source>
    __device__ void form(int t, const Source &rows)
    {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        Real *row_t = block_row(t);
        const int upper = triangle(p);

        // What couples a state with itself: in the diagonal block, and with the outermost block.
        const int own = triangle(q);
#pragma unroll 1
        for (int index = team.rank; index < sizes.states * (own + q * q); index += team.size) {
            const int state = index / (own + q * q), within = index - state * (own + q * q);
            const int first = state * q;
            if (within < own) {
                const int column = triangle_column(within), row = within - triangle(column);
                row_t[(first + row) * pitch + q + first + column] = rows.of_state(state, row, column);
            } else {
                const int row = sizes.by_derivatives.quotient(within - own);
                const int column = within - own - row * q;
                row_t[(first + row) * pitch + first + column] =
                    t + w < sizes.blocks ? rows.smoothness(w, state, row, column) : Real(0);
            }
        }
        team.sync();
        // Diagonal block, then border and right-hand side.
#pragma unroll 1
        for (int index = team.rank; index < upper + p * (sizes.border + 1); index += team.size) {
            if (index < upper) {
                const int column = triangle_column(index), row = index - triangle(column);
                Real sum = rows.equations(row, column);
                if (sizes.by_derivatives.multiple(column) <= row)
                    sum += row_t[row * pitch + q + column];
                if (row == column)
                    wholes[row] = sum;
                sum -= removed(t, row, column);
                row_t[row * pitch + q + column] = sum;
            } else {
                const int column = sizes.by_block.quotient(index - upper);
                const int row = index - upper - column * p;
                const int place = places.border + column;
                Real sum = rows.border(row, column);
                if (t > 0)
                    sum -= product(block_row(t - 1), w == 1 ? row : q + p + row, place,
                                   w == 1 ? sizes.by_derivatives.multiple(row) : 0);
                if (w == 2 && t > 1)
                    sum -= product(block_row(t - 2), row, place, sizes.by_derivatives.multiple(row));
                row_t[row * pitch + place] = sum;
            }
        }
        // Coupling with the next block, if that is not the outermost.
#pragma unroll 1
        for (int index = team.rank; w == 2 && index < p * p; index += team.size) {
            const int row = sizes.by_block.quotient(index), column = index - row * p;
            Real sum = t + 1 < sizes.blocks ? rows.coupling(1, row, column) : Real(0);
            if (t > 0)
                sum -= product(block_row(t - 1), q + p + row, column,
                               sizes.by_derivatives.multiple(column));
            row_t[row * pitch + q + p + column] = sum;
        }
        team.sync();
    }

    // What the elimination of the blocks before t takes off (row, column ≥ row) of D_t.
    __device__ Real removed(int t, int row, int column) const
    {
        const int p = sizes.block, q = sizes.derivatives;
        const int first = sizes.by_derivatives.multiple(column);
        if (sizes.bandwidth == 1)
            return t > 0 ? product(block_row(t - 1), row, column, first) : Real(0);
        Real sum = t > 0 ? product(block_row(t - 1), q + p + row, q + p + column, 0) : Real(0);
        if (t > 1)
            sum += product(block_row(t - 2), row, column, first);
        return sum;
    }

    // Σ_m a(m, i) a(m, k) over the rows m ≥ first of a block row. Downwards, so that lanes that
    // begin at different rows read the same one at the same time.
    __device__ Real product(const Real *a, int i, int k, int first) const
    {
        Real sum = 0;
#pragma unroll 4
        for (int m = sizes.block - 1; m >= first; --m)
            sum += a[m * places.pitch + i] * a[m * places.pitch + k];
        return sum;
    }

    // Row t of R from block row t of the window, group by group: a group's rows, less what the
    // groups above remove, then one row after another.
    __device__ void eliminate(int t)
    {
        const int p = sizes.block, q = sizes.derivatives, pitch = places.pitch;
        Real *a = block_row(t);
#pragma unroll 1
        for (int first = 0; first < p; first += q) {
            if (first > 0) {
#pragma unroll 1
                for (int index = team.rank; index < q * places.width; index += team.size) {
                    const int place = sizes.by_derivatives.quotient(index);
                    const int row = first + index - place * q;
                    if (place >= first + q && place < q + row)
                        continue;
                    const int start = place < first + q ? sizes.by_derivatives.multiple(place) : 0;
                    // Coupling with the outermost block is within groups at first.
                    Real sum = place < first ? Real(0) : a[row * pitch + place];
#pragma unroll 4
                    for (int m = first - 1; m >= start; --m)
                        sum -= a[m * pitch + q + row] * a[m * pitch + place];
                    a[row * pitch + place] = sum;
                }
                team.sync();
            }
#pragma unroll 1
            for (int row = first; row < first + q; ++row) {
                Real pivot = a[row * pitch + q + row];
#pragma unroll 1
                for (int m = first; m < row; ++m)
                    pivot -= a[m * pitch + q + row] * a[m * pitch + q + row];
                const Real reciprocal = reciprocal_root(pivot);
#pragma unroll 1
                for (int place = team.rank; place < places.width; place += team.size) {
                    if (place == q + row) {
                        pivots[row] = pivot;
                        reciprocals[row] = reciprocal;
                    } else if (place < first + q || place > q + row) {
                        Real sum = a[row * pitch + place];
#pragma unroll 1
                        for (int m = first; m < row; ++m)
                            sum -= a[m * pitch + q + row] * a[m * pitch + place];
                        a[row * pitch + place] = sum * reciprocal;
                    }
                }
                team.sync();
            }
        }
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size)
            judged.judge(pivots[row], wholes[row], t * p + row);
        // The border loses what this block takes.
        const int c = sizes.border;
#pragma unroll 1
        for (int index = team.rank; index < triangle(c + 1) - 1; index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            corner[row * (c + 1) + column] -= product(a, places.border + row, places.border + column, 0);
        }
    }

    // Stores block row t of R, and of R⁻ᵀ rhs.
    __device__ void store(int t, Real *factor, double *substituted) const
    {
        const int p = sizes.block, q = sizes.derivatives, pitch = places.pitch;
        const Real *a = block_row(t);
        Real *target = factor + int64_t(t) * p * places.stored;
#pragma unroll 1
        for (int index = team.rank; index < p * places.stored; index += team.size) {
            const int row = places.by_stored.quotient(index), place = index - row * places.stored;
            const bool unused = place < q + row && place >= q + sizes.by_derivatives.multiple(row);
            Real value = 0;
            if (!unused)
                value = place == q + row ? reciprocals[row] : a[row * pitch + place];
            target[index] = value;
        }
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size)
            substituted[int64_t(t) * p + row] = a[row * pitch + places.stored];
    }

    // The border's triangle of R and its part of the right-hand side, once all blocks are
    // eliminated.
    template <class Source>
    __device__ void eliminate_border(const Source &rows, Real *factor, double *substituted)
    {
        const int c = sizes.border, pitch = c + 1;
        team.sync();
#pragma unroll 1
        for (int index = team.rank; index < triangle(c + 1) - 1; index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            const Real whole = rows.border_corner(row, column);
            if (row == column)
                corner_wholes[row] = whole;
            corner[row * pitch + column] += whole;
        }
        team.sync();
#pragma unroll 1
        for (int row = 0; row < c; ++row) {
            const Real pivot = corner[row * pitch + row];
            const Real reciprocal = reciprocal_root(pivot);
            team.sync();
#pragma unroll 1
            for (int column = row + team.rank; column <= c; column += team.size) {
                if (column == row) {
                    judged.judge(pivot, corner_wholes[row], sizes.blocks * sizes.block + row);
                    corner[row * pitch + row] = reciprocal;
                } else {
                    corner[row * pitch + column] *= reciprocal;
                }
            }
            team.sync();
            // Of the rows below, upper triangle; each column is one thread's.
#pragma unroll 1
            for (int column = row + 1 + team.rank; column <= c; column += team.size)
#pragma unroll 1
                for (int below = row + 1; below <= min(column, c - 1); ++below)
                    corner[below * pitch + column] -=
                        corner[row * pitch + below] * corner[row * pitch + column];
            team.sync();
        }
        store_border(factor, substituted);
    }

    // Stores the border's triangle of R and its part of R⁻ᵀ rhs.
    __device__ void store_border(Real *factor, double *substituted) const
    {
        const int c = sizes.border, pitch = c + 1;
        Real *target = factor + int64_t(sizes.blocks) * sizes.block * places.stored;
#pragma unroll 1
        for (int index = team.rank; index < c * c; index += team.size) {
            const int row = index / c, column = index - row * c;
            target[index] = column < row ? Real(0) : corner[row * pitch + column];
        }
#pragma unroll 1
        for (int row = team.rank; row < c; row += team.size)
            substituted[int64_t(sizes.blocks) * sizes.block + row] = corner[row * pitch + c];
    }
};

#endif
