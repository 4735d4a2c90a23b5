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
//          Q+i .. Q+P            columns i .. P of R_tt, the diagonal entry as its reciprocal
//          Q+P .. Q+w·P          R_{t,t+1}, if w = 2
//          Q+w·P ..              border
//
// so that the two triangular parts fill one rectangle; only what lies in a group below the diagonal
// (places Q+gQ .. Q+i) is not used. In the team's window each row has one place more, for the
// right-hand side, which is thus substituted along with the factorization.
//
// A block row is eliminated in strips of up to MOST_ROWS rows of a group. First every strip gets
// its rows of M less what the block rows before subtract, all strips at once. Then one strip after
// another is factorized, and subtracts what it takes from all strips after it at once.

#ifndef MECHANISTIC_BANDED_CUH
#define MECHANISTIC_BANDED_CUH

#include "team/rows.cuh"

// Most rows of a strip.
constexpr int MOST_ROWS = 4;

// Places of a row.
struct Places {
    int stored;  // w·P + Q + c
    int kept;    // the same in the factor: odd, so that rows lie in different banks
    int width;   // with the right-hand side, in the window
    int pitch;   // of the window, odd
    int border;  // first place of the border
    Divisor by_stored, by_kept, by_width;

    __device__ explicit Places(const Sizes &s)
        : stored(s.bandwidth * s.block + s.derivatives + s.border),
          kept(stored | 1),
          width(stored + 1),
          pitch(width | 1),
          border(s.bandwidth * s.block + s.derivatives),
          by_stored(stored),
          by_kept(kept),
          by_width(width) {}

    // Returns the values of a block row of the factor, which begins at a multiple of 16 bytes.
    __device__ int block_values(int block) const { return (block * kept + 1) / 2 * 2; }
};

template <Kind KIND>
struct Banded {
    const Sizes sizes;
    const Places places;
    const Team<KIND> team;

    // Memory of the team.
    double *window;       // (w+1, P, pitch): block rows t − w .. t, block t in slot t mod (w+1); in
                          // its place substitution has two block rows of the factor
    double *reciprocals;  // (P): of the diagonal of R_tt
    double *pivots;       // (P): the squares of that diagonal
    double *wholes;       // (P): diagonal of M
    double *panel;        // (MOST_ROWS, MOST_ROWS): the next strip, in its own columns
    double *corner;       // (c, c+1): H and the border's right-hand side
    double *corner_wholes;  // (c)
    Pivots judged;          // of this thread

    __device__ Banded(const Sizes &sizes, const Places &places, Team<KIND> team, char *memory,
                      const BandLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          window(array(memory, layout.window)),
          reciprocals(array(memory, layout.reciprocals)),
          pivots(array(memory, layout.pivots)),
          wholes(array(memory, layout.wholes)),
          panel(array(memory, layout.panel)),
          corner(array(memory, layout.corner)),
          corner_wholes(array(memory, layout.corner_wholes)) {}

    // Returns block row t of the window.
    __device__ double *block_row(int t) const {
        return window + (t % (sizes.bandwidth + 1)) * sizes.block * places.pitch;
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
    // by formula.
    template <class Source>
    __device__ void eliminate(int t, const Source &rows) {
        const int w = sizes.bandwidth;
        const BlockRows a = {block_row(t), t > sizes.first ? block_row(t - 1) : nullptr,
                             w == 2 && t > sizes.first + 1 ? block_row(t - 2) : nullptr};
        smooth(t, rows);
        with_strips([&](auto of) { eliminate_strips<decltype(of)>(a, rows); });
#pragma unroll 1
        for (int row = team.rank; row < sizes.block; row += team.size) {
            judged.judge(pivots[row], rows.whole(row, wholes[row]), rows.unknown(t, row));
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
        with_strips([&](auto of) { reduce<decltype(of)>(a, rows); });
        team.sync();
    }

  private:
    // The block rows of the window: t, and t − 1 and t − 2 where they subtract something from it.
    struct BlockRows {
        double *now;
        const double *last, *before;
    };

    // A strip: its group's first row, its own, and its number of rows.
    struct Strip {
        int first, row, count;
    };
    // How groups are cut into strips: all of MOST rows, or, if RAGGED, the last of a group of
    // fewer.
    template <int MOST, bool RAGGED>
    struct Strips {
        static constexpr int ROWS = MOST;
        __device__ static int of_group(int derivatives) { return (derivatives + MOST - 1) / MOST; }
        __device__ static Strip get(const Sizes &sizes, int number) {
            const int q = sizes.derivatives;
            if (!RAGGED) {
                return {sizes.by_derivatives.multiple(number * MOST), number * MOST, MOST};
            }
            const int group = number / of_group(q), first = group * q;
            const int row = first + (number - group * of_group(q)) * MOST;
            return {first, row, min(MOST, first + q - row)};
        }
    };

    // Calls work(Strips) with as few strips for a group as there can be, as even as they can be.
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

    // Begins block row t of the window with the part of M that is not the equations': that of a
    // state with itself, with other points, with the border and the right-hand side.
    template <class Source>
    __device__ void smooth(int t, const Source &rows) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        double *a = block_row(t);
        const int own = triangle(q);
#pragma unroll 1
        for (int index = team.rank; index < sizes.states * (own + q * q); index += team.size) {
            const int state = index / (own + q * q), within = index - state * (own + q * q);
            const int first = state * q;
            if (within < own) {
                const int column = triangle_column(within), row = within - triangle(column);
                a[(first + row) * pitch + q + first + column] = rows.of_state(state, row, column);
            } else {
                const int row = sizes.by_derivatives.quotient(within - own);
                const int column = within - own - row * q;
                a[(first + row) * pitch + first + column] =
                    t + w < sizes.blocks ? rows.smoothness(w, state, row, column) : 0.0;
            }
        }
#pragma unroll 1
        for (int index = team.rank; index < p * (sizes.border + 1); index += team.size) {
            const int column = sizes.by_block.quotient(index), row = index - column * p;
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

    // Computes all strips: M, less what the block rows before subtract. A thread has whole columns
    // of a strip, so that lanes read side by side, or all the same.
    template <class Of, class Source>
    __device__ void reduce(const BlockRows &blocks, const Source &rows) {
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
            set(blocks.now, strip, place, sum, 0);
        });
    }

    // Stores a column of a strip, and in the panel what the next strip, `following`, has in its
    // own.
    template <int ROWS>
    __device__ void set(double *block, const Strip &strip, int place, const double (&column)[ROWS],
                        int following) const {
        const int own = place - sizes.derivatives - strip.row;
        double *a = block + strip.row * places.pitch + place;
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            if (i < strip.count) {
                a[i * places.pitch] = column[i];
            }
            if (strip.row == following && own >= 0 && own < strip.count) {
                panel[i * MOST_ROWS + own] = column[i];
            }
        }
    }

    // Computes all strips of a block row of R.
    template <class Of, class Source>
    __device__ void eliminate_strips(const BlockRows &blocks, const Source &rows) {
        constexpr int ROWS = Of::ROWS;
        const int q = sizes.derivatives, pitch = places.pitch;
        const int strips = sizes.states * Of::of_group(q);
        reduce<Of>(blocks, rows);
        team.sync();
#pragma unroll 1
        for (int number = 0; number < strips; ++number) {
            const Strip pivot = Of::get(sizes, number);
            if (team.rank < places.width) {
                factorize<ROWS>(blocks.now, pivot);
            }
            team.sync();
            if (number + 1 == strips) {
                break;
            }
            const int following = Of::get(sizes, number + 1).row;
            const double *of_pivot = blocks.now + pivot.row * pitch;
            for_places<Of>(number + 1, [&](const Strip &strip, int place) {
                // Beyond its group, the pivot's outermost columns are zero.
                if (place < strip.first + q && place >= pivot.first + q) {
                    return;
                }
                double left[ROWS][ROWS] = {}, right[ROWS] = {}, sum[ROWS] = {};
#pragma unroll
                for (int m = 0; m < ROWS; ++m) {
                    if (m < pivot.count) {
                        right[m] = of_pivot[m * pitch + place];
                    }
#pragma unroll
                    for (int i = 0; i < ROWS; ++i) {
                        if (m < pivot.count && i < strip.count) {
                            left[m][i] = of_pivot[m * pitch + q + strip.row + i];
                        }
                    }
                }
#pragma unroll
                for (int i = 0; i < ROWS; ++i) {
                    if (i < strip.count) {
                        sum[i] = blocks.now[(strip.row + i) * pitch + place];
                    }
#pragma unroll
                    for (int m = 0; m < ROWS; ++m) {
                        sum[i] = fma(-left[m][i], right[m], sum[i]);
                    }
                }
                set(blocks.now, strip, place, sum, following);
            });
            team.sync();
        }
    }

    // Factorizes a strip, whose own columns are in the panel.
    template <int ROWS>
    __device__ void factorize(double *block, const Strip &strip) const {
        const int q = sizes.derivatives, p = sizes.block, pitch = places.pitch;
        const int first = strip.first, row = strip.row;
        double *a = block + row * pitch;
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
#pragma unroll 1
        for (int place = team.rank; place < places.width; place += team.size) {
            const int column = place < first + q || place >= q + p ? -1 : place - q;
            if (column >= 0 && column < row) {
                continue;
            }
            double x[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; ++i) {
                if (i < strip.count) {
                    x[i] = a[i * pitch + place];
#pragma unroll
                    for (int m = 0; m < i; ++m) {
                        x[i] -= r[m][i] * x[m];
                    }
                    x[i] *= reciprocal[i];
                    a[i * pitch + place] = x[i];
                    if (column == row + i) {
                        reciprocals[column] = reciprocal[i];
                        pivots[column] = r[i][i];
                    }
                }
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

    // Computes sum[i] += Σ_m left(m, i) right(m) over from ≤ m < count, for i < live, with
    // distances between rows.
    template <int ROWS>
    __device__ static void add_products(double (&sum)[ROWS], const double *left, int left_stride,
                                        const double *right, int right_stride, int from, int count,
                                        int live) {
#pragma unroll 4
        for (int m = 0; m < count; ++m, left += left_stride, right += right_stride) {
            if (m >= from) {
                const double other = *right;
#pragma unroll
                for (int i = 0; i < ROWS; ++i) {
                    if (i < live) {
                        sum[i] = fma(left[i], other, sum[i]);
                    }
                }
            }
        }
    }

  public:
    // Stores block row t of R, and of R⁻ᵀ rhs.
    __device__ void store(int t, double *factor, double *substituted) const {
        const int p = sizes.block, q = sizes.derivatives, pitch = places.pitch;
        const double *a = block_row(t);
        const int values = places.block_values(p);
        double *target = factor + int64_t(t) * values;
        Walk at(team, places.by_kept);
#pragma unroll 1
        for (int index = team.rank; index < values; index += team.size, at.advance()) {
            const int row = at.row, place = at.column;
            const bool below = place < q + row && place >= q + sizes.by_derivatives.multiple(row);
            double value = 0;
            if (row < p && place < places.stored && !below) {
                value = place == q + row ? reciprocals[row] : a[row * pitch + place];
            }
            target[index] = value;
        }
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size) {
            substituted[int64_t(t) * p + row] = a[row * pitch + places.stored];
        }
    }

    // Computes the border's triangle of R and its part of the right-hand side, once all blocks are
    // eliminated.
    template <class Source>
    __device__ void eliminate_border(const Source &rows, double *factor, double *substituted) {
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
                    judged.judge(pivot, rows.border_whole(row, corner_wholes[row]),
                                 rows.unknown(sizes.blocks, row));
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
