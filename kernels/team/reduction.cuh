// What is left of M in a block row of the matrix of team/banded.cuh: M, less what the block rows
// before subtract from it.

#ifndef MECHANISTIC_REDUCTION_CUH
#define MECHANISTIC_REDUCTION_CUH

#include "team/strips.cuh"

template <Kind KIND>
struct Reduction {
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> &team;
    double *wholes;  // (P): diagonal of M

    // Computes all strips, whose part of M that is not the equations' is there. A thread has whole
    // columns of a strip, so that lanes read side by side, or all the same.
    template <class Of, class Source>
    __device__ void by_columns(const BlockRows &blocks, const Source &rows) const {
        constexpr int ROWS = Of::ROWS;
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        for_places<Of>(0, [&](const Strip &strip, int place) {
            const int first = strip.first, row = strip.row;
            double *a = blocks.now + row * pitch;
            const bool outermost = place < first + q, beyond = place >= q + p;
            const bool next = beyond && place < places.border;
            const int column = outermost || beyond ? -1 : place - q;
            double sum[ROWS] = {};
            if constexpr (Source::EQUATIONS) {
                add_equations<ROWS>(sum, first, row - first, column, place, rows);
            }
            const bool begun = place >= first && column < first + q;
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                if (begun && i < strip.count && (column < 0 || column >= row + i)) {
                    sum[i] += a[i * pitch + place];
                }
                if (i < strip.count && column == row + i) {
                    wholes[column] = sum[i];
                }
            }
            // These are the places of the columns in the block rows before, and the first row that
            // counts.
            const int other = next ? place - q - p : column < 0 ? place : column;
            int from = outermost ? p : first;
            if (next || column >= 0) {
                from = sizes.by_derivatives.multiple(other);
            }
            // The sum is Σ_m b(m, left + i) b(m, right) over the rows `from` ≤ m < p of a block row
            // b; no thread with this strip begins before `least`, so that all are at the same row
            // at the same time.
            double removed[ROWS] = {};
            auto remove = [&](const double *b, int left, int right, int least, int from) {
                const double *rows = b + least * pitch;
                add_products<ROWS>(removed, rows + left, pitch, rows + right, pitch, from - least,
                                   p - least, strip.count);
            };
            if (w == 1 && blocks.last) {
                remove(blocks.last, row, other, first, from);
            }
            if (w == 2 && blocks.last) {
                remove(blocks.last, q + p + row, column < 0 ? other : q + p + column, 0,
                       outermost || next ? from : 0);
            }
            if (blocks.before) {
                remove(blocks.before, row, other, first, next ? p : from);
            }
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                sum[i] -= removed[i];
            }
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                if (i < strip.count) {
                    a[i * pitch + place] = sum[i];
                }
            }
        });
    }

    // Computes the same by tiles, with tensor cores, in whole warps. The outermost columns are
    // complete already.
    template <class Source>
    __device__ void by_tiles(const BlockRows &blocks, const Source &rows) const {
        const int p = sizes.block, columns = places.width - sizes.derivatives;
        const int warp = team.rank / 32, warps = team.size / 32;
        int turn = 0;
#pragma unroll 1
        for (int top = 0; top < p; top += Tile::SIZE)
#pragma unroll 1
            for (int start = top; start < columns; start += Tile::SIZE) {
                if (turn == warp) {
                    tile(blocks, rows, top, start);
                }
                turn = turn + 1 == warps ? 0 : turn + 1;
            }
    }

  private:
    // Calls work(strip, place) for the places that the strips from number `from` on have, strip by
    // strip, the threads of the team side by side.
    template <class Of, class Work>
    __device__ void for_places(int from, Work work) const {
        const int q = sizes.derivatives;
        const int tasks = (sizes.states * Of::of_group(q) - from) * places.width;
#pragma unroll 1
        for (int task = team.rank; task < tasks; task += team.size) {
            const int number = places.by_width.quotient(task);
            const int place = task - number * places.width;
            const Strip strip = Of::get(sizes, from + number);
            if (place < strip.first + q || place >= q + strip.row) {
                work(strip, place);
            }
        }
    }

    // Computes the tile at row `top` and column `start`, counted from the first of R_tt on.
    template <class Source>
    __device__ void tile(const BlockRows &blocks, const Source &rows, int top, int start) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        const int columns = places.width - q, lane = team.rank % 32, term = lane % Tile::TERMS;
        const int i = top + lane / Tile::TERMS, j = start + lane / Tile::TERMS;

        Tile whole;
        const int given = sizes.equation_derivatives, all = sizes.equation_columns;
        const int count = rows.problem.equations;
        auto coefficient = [&](int column) {
            const int state = sizes.by_derivatives.quotient(column), other = column - state * q;
            return column < p && other < given ? Operand{state * given + other, 0, unsigned(count)}
                                               : Operand::nowhere();
        };
        const bool is_rhs = j == columns - 1;
        const Operand right = is_rhs ? Operand{0, 0, unsigned(count)} : coefficient(j);
        whole.add(rows.coefficients, all, coefficient(i), is_rhs ? rows.rhs : rows.coefficients,
                  is_rhs ? 1 : all, right, 0, count);

        Tile removed;
        // These are the columns in the block rows before; no row before `least` reaches them.
        const int least = sizes.by_derivatives.multiple(top);
        auto remove = [&](const double *b, const Operand &left, const Operand &right, int least) {
            removed.add(b, pitch, left, b, pitch, right, least, p);
        };
        auto outermost = [&](int column) {
            const int first = sizes.by_derivatives.multiple(column);
            return Operand{column, first, unsigned(p - first)};
        };
        auto inner = [&](int place) { return Operand{place, 0, unsigned(p)}; };
        const Operand own = i < p ? outermost(i) : Operand::nowhere();
        const Operand beyond = j < columns ? inner(q + j) : Operand::nowhere();
        if (w == 1 && blocks.last) {
            remove(blocks.last, own, j < p ? outermost(j) : beyond, least);
        }
        if (w == 2 && blocks.last) {
            remove(blocks.last, i < p ? inner(q + p + i) : Operand::nowhere(),
                   j < p       ? inner(q + p + j)
                   : j < 2 * p ? outermost(j - p)
                               : beyond,
                   0);
        }
        if (blocks.before) {
            remove(blocks.before, own,
                   j < p       ? outermost(j)
                   : j < w * p ? Operand::nowhere()
                               : beyond,
                   least);
        }

        double *a = blocks.now + i * pitch + q;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const int column = start + 2 * term + k;
            if (i < p && column >= i && column < columns) {
                double sum = whole.sums[k] * rows.equation_weight;
                if (column >= p || column < sizes.by_derivatives.multiple(i) + q) {
                    sum += a[column];
                }
                if (column == i) {
                    wholes[i] = sum;
                }
                sum -= removed.sums[k];
                a[column] = sum;
            }
        }
    }

    // Adds the equations' share of M, or of the right-hand side, between rows j .. j + ROWS of the
    // group that begins at `first`, and a column of R_tt, or another place.
    template <int ROWS, class Source>
    __device__ void add_equations(double (&sum)[ROWS], int first, int j, int column, int place,
                                  const Source &rows) const {
        const int given = sizes.equation_derivatives, all = sizes.equation_columns;
        const int count = rows.problem.equations;
        const double *left = rows.coefficients + sizes.by_derivatives.quotient(first) * given + j;
        const double *right = rows.rhs;
        if (column >= 0) {
            const int state = sizes.by_derivatives.quotient(column);
            const int other = column - state * sizes.derivatives;
            if (other >= given) {
                return;
            }
            right = rows.coefficients + state * given + other;
        } else if (place != places.stored) {
            return;
        }
        const int stride = column >= 0 ? all : 1;
        if (j + ROWS <= given) {
            add_products<ROWS>(sum, left, all, right, stride, 0, count, ROWS);
        } else {
            // The last of these rows have no coefficients.
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                double one[1] = {};
                if (j + i < given) {
                    add_products<1>(one, left + i, all, right, stride, 0, count, 1);
                }
                sum[i] = one[0];
            }
        }
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            sum[i] *= rows.equation_weight;
        }
    }
};

#endif
