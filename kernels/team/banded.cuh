// Cholesky factor R of a symmetric positive definite block-banded matrix M = RᵀR with a thin dense
// border, computed by a team. The CPU's counterpart is src/banded/mod.rs.
//
//   M = | D_0  E_0            G_0 |
//       | E_0ᵀ D_1  E_1       G_1 |
//       |      E_1ᵀ D_2       G_2 |
//       | G_0ᵀ G_1ᵀ G_2ᵀ      H   |
//
// The unknowns are (z_0, ..., z_{n−1}, y): n blocks of P values, then c values of the border. Block
// t is coupled with the blocks t .. t+w (w = 1 or 2) and with the border. The coupling with block
// t+w, called the outermost, is block diagonal over groups of Q rows.
//
// Row i of block row t of R is kept in w·P + Q + c places, whatever i: with g the group of i,
//
//   places 0 .. (g+1)·Q          outermost columns: R_{t,t+w} is zero beyond its row's group
//          Q+i .. Q+P            columns i .. P of R_tt; once block t is eliminated, of its inverse
//          Q+P .. Q+w·P          R_{t,t+1}, if w = 2
//          Q+w·P ..              border
//
// so that the two triangular parts fill one rectangle; only what lies in a group below the diagonal
// (places Q+gQ .. Q+i) is not used. In the team's window each row has one place more, for the
// right-hand side, which is thus substituted along with the factorization.
//
// A block row is eliminated in strips of rows. First every strip gets its rows of M less what the
// block rows before subtract, all strips at once (team/reduction.cuh). Then one strip after another
// subtracts what those before it take, and is factorized: in whole warps by tensor cores
// (team/elimination.cuh), in teams within a warp, where strips have up to MOST_ROWS rows of one
// group, column by column. What turns R_ttᵀR_tt into R_tt turns the unit matrix into R_tt⁻ᵀ, which
// is thus eliminated along: it lies, transposed, in columns of the block row before that nobody
// needs any more.
//
// Without a border and with w = 1, two teams can eliminate a system from both ends (TWISTED): one
// from the first block on, the other from the last block backward, where R_{t,t−1} takes the place
// of R_{t,t+1}. They meet in the middle, from which both subtract. That halves the blocks that wait
// for each other, with no more arithmetic, and so it does in substitutions.

#ifndef MECHANISTIC_BANDED_CUH
#define MECHANISTIC_BANDED_CUH

#include "team/elimination.cuh"
#include "team/reduction.cuh"

template <Kind KIND>
struct Banded {
    const Sizes sizes;
    const Places places;
    const Team<KIND> team;

    // Memory of the team.
    double *window;  // (w+1, P, pitch): block rows t − w .. t, block t in slot t mod (w+1); in
                     // its place substitution has two block rows of the factor
    double *pivots;  // (P): the squares of the diagonal of R_tt
    double *wholes;  // (P): diagonal of M
    double *panel;   // (8, 8), in warps (MOST_ROWS, MOST_ROWS): the next strip, in its own columns
    double *corner;  // (c, c+1): H and the border's right-hand side
    double *corner_wholes;  // (c)
    Pivots judged;          // of this thread

    __device__ Banded(const Sizes &sizes, const Places &places, Team<KIND> team, char *memory,
                      const BandLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          window(array(memory, layout.window)),
          pivots(array(memory, layout.pivots)),
          wholes(array(memory, layout.wholes)),
          panel(array(memory, layout.panel)),
          corner(array(memory, layout.corner)),
          corner_wholes(array(memory, layout.corner_wholes)) {}

    // Returns block row t of the window.
    __device__ double *block_row(int t) const {
        return window + sizes.slot(t) * sizes.block * places.pitch;
    }

    // Prepares for a factorization, before the first block.
    __device__ void start() {
        judged = Pivots();
#pragma unroll 1
        for (int i = team.rank; i < sizes.border * (sizes.border + 1); i += team.size) {
            corner[i] = 0;
        }
    }

    // Computes row t of R, once the blocks before t are eliminated. `rows` gives the entries of M
    // by formula. In the middle, `opposite` is the block row that the other half ended with.
    template <class Source>
    __device__ void eliminate(int t, const Source &rows, const double *opposite = nullptr) {
        const int w = sizes.bandwidth;
        const double *before = w == 2 && t > sizes.first + 1 ? block_row(t - 2) : opposite;
        const BlockRows a = {block_row(t), t == sizes.first ? nullptr : block_row(t - sizes.ahead),
                             before};
        smooth(t, rows);
        if constexpr (PART_OF<KIND> != KIND) {
            reduction().by_tiles(a, rows);
            team.sync();
            const int inverse = int(this->inverse(t) - window), now = int(a.now - window);
            Elimination<KIND>{sizes, places, team, window, now, inverse, panel, pivots}.all();
        } else {
            with_strips([&](auto of) {
                reduction().template by_columns<decltype(of)>(a, rows);
                team.sync();
                eliminate_strips<decltype(of)>(t);
            });
        }
#pragma unroll 1
        for (int row = team.rank; row < sizes.block; row += team.size) {
            const double whole = rows.whole(row, wholes[row]);
            wholes[row] = whole;
            judged.judge(pivots[row], whole, rows.unknown(t, row));
        }
        // This subtracts from the border what this block takes.
        const double *columns = a.now + places.border;
        const int c = sizes.border;
#pragma unroll 1
        for (int index = team.rank; index < triangle(c + 1) - 1; index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            double sum[1] = {};
            add_products<1>(sum, columns + row, places.pitch, columns + column, places.pitch, 0,
                            sizes.block, 1);
            corner[row * (c + 1) + column] -= sum[0];
        }
    }

    // Computes block t after the blocks of a chunk, which is a separator: M less what the chunk's
    // blocks subtract from it, in the window.
    template <class Source>
    __device__ void keep(int t, const Source &rows) {
        const BlockRows a = {block_row(t), t == sizes.end ? block_row(t - 1) : nullptr,
                             sizes.bandwidth == 2 ? block_row(t - 2) : nullptr};
        smooth(t, rows);
        with_strips([&](auto of) { reduction().template by_columns<decltype(of)>(a, rows); });
        team.sync();
    }

  private:
    __device__ Reduction<KIND> reduction() const { return {sizes, places, team, wholes}; }

    // Returns where the inverse of R_tt lies, row by row with the window's distance, while block t
    // is in the window: in the columns of the block before, in the order of elimination.
    __device__ double *inverse(int t) const {
        return block_row(t + sizes.bandwidth) + sizes.derivatives;
    }

    // Calls work(Strips) with as few strips of a group as there can be, as even as they can be: for
    // teams within a warp.
    template <class Work>
    __device__ void with_strips(Work work) const {
        // More rows would take more registers than a thread has in a chunk's kernel.
        constexpr int MOST = KIND == CHUNK ? 3 : MOST_ROWS;
        const int q = sizes.derivatives, strips = (q + MOST - 1) / MOST;
        const int most = (q + strips - 1) / strips;
        const bool ragged = most * strips != q;
        if (most == 1) {
            work(Strips<1, false>());
        } else if (most == 2) {
            work(Strips<2, false>());
        } else if (most == 3 && !ragged) {
            work(Strips<3, false>());
        } else if (most == 3) {
            work(Strips<3, true>());
        } else if constexpr (MOST > 3) {
            if (ragged) {
                work(Strips<4, true>());
            } else {
                work(Strips<4, false>());
            }
        }
    }

    // Begins block row t of the window with the part of M that is not the equations': that of a
    // state with itself, with other points, with the border and the right-hand side.
    template <class Source>
    __device__ void smooth(int t, const Source &rows) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        double *a = block_row(t);
        const bool is_coupled = sizes.ahead < 0 || t + w < sizes.blocks;
        const int distance = w * sizes.ahead;
#pragma unroll 1
        for (int index = team.rank; index < 2 * p * q; index += team.size) {
            const int row = sizes.by_derivatives.quotient(index >> 1);
            const int state = sizes.by_derivatives.quotient(row), first = state * q;
            const int column = (index >> 1) - row * q;
            double *entry = a + row * pitch + first + column;
            if (index & 1) {
                // Below the diagonal, nothing is used of what strips compute.
                entry[q] = row - first <= column ? rows.of_state(state, row - first, column) : 0.0;
            } else {
                *entry = is_coupled ? rows.smoothness(distance, state, row - first, column) : 0.0;
            }
        }
#pragma unroll 1
        for (int index = team.rank; index < p * (sizes.border + 1); index += team.size) {
            const int column = sizes.border == 0 ? 0 : sizes.by_block.quotient(index);
            const int row = index - column * p;
            double value = 0;
            if (column >= sizes.spikes) {
                value = rows.border(row, column - sizes.spikes);
            } else if (sizes.first > 0) {
                // These are the columns of the separator before the chunk.
                const int ahead = sizes.by_block.quotient(column);
                const int distance = t - (sizes.first - w + ahead);
                if (distance <= w) {
                    value = rows.coupling(-distance, row, column - ahead * p);
                }
            }
            a[row * pitch + places.border + column] = value;
        }
        // This is the coupling with the next block, if that is not the outermost.
#pragma unroll 1
        for (int index = team.rank; w == 2 && index < p * p; index += team.size) {
            const int row = sizes.by_block.quotient(index), column = index - row * p;
            a[row * pitch + q + p + column] =
                t + 1 < sizes.blocks ? rows.coupling(1, row, column) : 0.0;
        }
        team.sync();
    }

    // A column of a block row in the making: entry `row` is at place + row · stride of the window,
    // for rows from `first` to before `end`. Those from `given` on are of the unit matrix so far,
    // or zero.
    struct Column {
        int place, stride, first, end, given;
        bool unit;

        __device__ bool has(int row) const { return row >= first && row < end; }
    };
    // Returns column `index`: first those of R_tt and what follows it, then those of R_tt⁻ᵀ, then
    // the outermost ones.
    __device__ Column column(int t, int index) const {
        const int p = sizes.block, q = sizes.derivatives, rest = places.width - q;
        const int now = int(block_row(t) - window);
        if (index < rest) {
            return {now + q + index, places.pitch, 0, index < p ? index + 1 : p, p, false};
        }
        if (index < rest + p) {
            const int k = index - rest;
            return {int(inverse(t) - window) + k * places.pitch, 1, k, p, 0, true};
        }
        const int k = index - rest - p, first = sizes.by_derivatives.multiple(k);
        return {now + k, places.pitch, first, p, first + q, false};
    }

    // Calls work(index, column) for the columns that have entries in a strip; the first of the
    // calling thread is known already.
    template <class Work>
    __device__ void for_columns(int t, const Strip &strip, const Column &known, Work work) const {
        const int columns = places.width - sizes.derivatives + 2 * sizes.block;
        Column column = known;
#pragma unroll 1
        for (int index = team.rank; index < columns;) {
            if (strip.row < column.end && strip.row + strip.count > column.first) {
                work(index, column);
            }
            index += team.size;
            if (index < columns) {
                column = this->column(t, index);
            }
        }
    }

    // Computes all strips of a block row of R from what is left of M. A thread has whole columns.
    template <class Of>
    __device__ void eliminate_strips(int t) const {
        constexpr int ROWS = Of::ROWS;
        const int q = sizes.derivatives, pitch = places.pitch;
        const int strips = Of::count(sizes);
        const Column known = column(t, team.rank);
#pragma unroll 1
        for (int number = 0; number < strips; ++number) {
            const Strip strip = Of::get(sizes, number);
            const int row = strip.row;
            const double *left = block_row(t) + q + row;
            for_columns(t, strip, known, [&](int index, const Column &column) {
                double *entries = window + column.place;
                double removed[ROWS] = {};
                const double *above = entries, *beside = left;
#pragma unroll 1
                for (int first = 0; first < row; first += ROWS) {
                    double right[ROWS];
#pragma unroll
                    for (int m = 0; m < ROWS; ++m) {
                        const bool exists = !Of::RAGGED || first + m < row;
                        right[m] =
                            exists && first + m >= column.first ? above[m * column.stride] : 0.0;
                    }
#pragma unroll
                    for (int m = 0; m < ROWS; ++m)
#pragma unroll
                        for (int i = 0; i < ROWS; ++i) {
                            if (i < strip.count && (!Of::RAGGED || first + m < row)) {
                                removed[i] = fma(beside[m * pitch + i], right[m], removed[i]);
                            }
                        }
                    above += ROWS * column.stride;
                    beside += ROWS * pitch;
                }
#pragma unroll
                for (int i = 0; i < ROWS; ++i) {
                    if (i < strip.count && column.has(row + i)) {
                        double *entry = entries + (row + i) * column.stride;
                        double value = column.unit && row + i == column.first;
                        if (row + i < column.given) {
                            value = *entry;
                        }
                        value -= removed[i];
                        *entry = value;
                        if (index - row >= i && index - row < strip.count) {
                            panel[i * MOST_ROWS + index - row] = value;
                        }
                    }
                }
            });
            team.sync();
            factorize<ROWS>(t, strip, known);
            team.sync();
        }
    }

    // Factorizes a strip, whose own columns are in the panel.
    template <int ROWS>
    __device__ void factorize(int t, const Strip &strip, const Column &known) const {
        const int row = strip.row;
        // Every thread computes the triangle of these rows, and with it its columns.
        double r[ROWS][ROWS], reciprocal[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int k = i; k < ROWS; ++k) {
                // Rows that the strip does not have are those of the unit matrix.
                r[i][k] = k < strip.count ? panel[i * MOST_ROWS + k] : double(i == k);
            }
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            reciprocal[i] = reciprocal_root(r[i][i]);
            if (team.rank == 0 && i < strip.count) {
                pivots[row + i] = r[i][i];
            }
#pragma unroll
            for (int k = i + 1; k < ROWS; ++k) {
                r[i][k] *= reciprocal[i];
            }
#pragma unroll
            for (int m = i + 1; m < ROWS; ++m)
#pragma unroll
                for (int k = m; k < ROWS; ++k) {
                    r[m][k] -= r[i][m] * r[i][k];
                }
        }
        for_columns(t, strip, known, [&](int, const Column &column) {
            double *entries = window + column.place + row * column.stride;
            double x[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                if (i < strip.count) {
                    const bool has = column.has(row + i);
                    x[i] = has ? entries[i * column.stride] : 0.0;
#pragma unroll
                    for (int m = 0; m < i; ++m) {
                        x[i] -= r[m][i] * x[m];
                    }
                    x[i] *= reciprocal[i];
                    if (has) {
                        entries[i * column.stride] = x[i];
                    }
                }
            }
        });
    }

  public:
    // Stores block row t of R, with the inverse of R_tt, of R⁻ᵀ rhs, and of the diagonal of M.
    template <class Source>
    __device__ void store(int t, const Source &rows, double *factor, double *substituted,
                          double *diagonal) const {
        const int p = sizes.block, q = sizes.derivatives, pitch = places.pitch;
        const double *a = block_row(t), *inverse = this->inverse(t);
        const int values = places.block_values(p);
        double *target = factor + int64_t(t) * values;
        Walk at(team, places.by_kept);
#pragma unroll 1
        for (int index = team.rank; index < values; index += team.size, at.advance()) {
            const int row = at.row, place = at.column;
            const bool below = place < q + row && place >= q + sizes.by_derivatives.multiple(row);
            const bool own = place >= q + row && place < q + p;
            double value = 0;
            if (row < p && place < places.stored && !below) {
                value = own ? inverse[row * pitch + place - q] : a[row * pitch + place];
            }
            target[index] = value;
        }
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size) {
            substituted[int64_t(t) * p + row] = a[row * pitch + places.stored];
            diagonal[rows.unknown(t, row)] = wholes[row];
        }
    }

    // Computes the border's triangle of R and its part of the right-hand side, once all blocks are
    // eliminated; and stores it.
    template <class Source>
    __device__ void eliminate_border(const Source &rows, double *factor, double *substituted,
                                     double *diagonal) {
        const int c = sizes.border, pitch = c + 1;
        team.sync();
#pragma unroll 1
        for (int index = team.rank; index < triangle(c + 1) - 1; index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            const double whole = rows.border_corner(row, column);
            if (row == column) {
                corner_wholes[row] = whole;
            }
            corner[row * pitch + column] += whole;
        }
        team.sync();
#pragma unroll 1
        for (int row = 0; row < c; ++row) {
            const double pivot = corner[row * pitch + row];
            const double reciprocal = reciprocal_root(pivot);
            team.sync();
#pragma unroll 1
            for (int column = row + team.rank; column <= c; column += team.size) {
                if (column == row) {
                    const double whole = rows.border_whole(row, corner_wholes[row]);
                    diagonal[rows.unknown(sizes.blocks, row)] = whole;
                    judged.judge(pivot, whole, rows.unknown(sizes.blocks, row));
                    corner[row * pitch + row] = reciprocal;
                } else {
                    corner[row * pitch + column] *= reciprocal;
                }
            }
            team.sync();
            // This updates the upper triangle of the rows below; each column is one thread's.
#pragma unroll 1
            for (int column = row + 1 + team.rank; column <= c; column += team.size)
#pragma unroll 1
                for (int below = row + 1; below <= min(column, c - 1); ++below) {
                    corner[below * pitch + column] -=
                        corner[row * pitch + below] * corner[row * pitch + column];
                }
            team.sync();
        }
        store_border(factor, substituted);
    }

    // Stores the border's triangle of R and its part of R⁻ᵀ rhs.
    __device__ void store_border(double *factor, double *substituted) const {
        const int c = sizes.border, pitch = c + 1;
        double *target = factor + int64_t(sizes.blocks) * places.block_values(sizes.block);
#pragma unroll 1
        for (int index = team.rank; index < c * c; index += team.size) {
            const int row = index / c, column = index - row * c;
            target[index] = column < row ? 0.0 : corner[row * pitch + column];
        }
#pragma unroll 1
        for (int row = team.rank; row < c; row += team.size) {
            substituted[int64_t(sizes.blocks) * sizes.block + row] = corner[row * pitch + c];
        }
    }
};

#endif
