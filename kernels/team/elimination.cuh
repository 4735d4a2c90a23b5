// Elimination of a block row of the matrix of team/banded.cuh by the warps of a team, which have
// the FP64 tensor cores multiply.
//
// A block row is eliminated in strips of 8 rows, one after another. With B what is left of a strip
// in columns of M, of the unit matrix or of the outermost ones, A those columns in the strips above
// and S the strip's own columns there, the strip's rows of R are
//
//     L⁻¹ (B − SᵀA),   L Lᵀ = the same of the strip's own columns.
//
// A warp has tiles of 8 columns each. Their sums are of the transpose, AᵀS: so a lane has two rows
// of a column, as the product (B − SᵀA)ᵀL⁻ᵀ wants its operands, whose terms are taken in the order
// 0, 2, 4, 6, then 1, 3, 5, 7. Every lane factorizes L for itself, so that no warp waits for one
// that does.

#ifndef MECHANISTIC_ELIMINATION_CUH
#define MECHANISTIC_ELIMINATION_CUH

#include "team/strips.cuh"

template <Kind KIND>
struct Elimination {
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> &team;
    double *window;  // of the team: below, places are counted from its begin
    int rows;        // place of the block row
    int inverse;     // place of (P, pitch): of R_tt, the columns of R_tt⁻ᵀ one after another
    double *panel;   // (8, 8): the strip in its own columns, column by column
    double *pivots;  // (P): the squares of the diagonal of R_tt

    // Computes the whole block row. What the block rows before subtract has been subtracted.
    __device__ void all() const {
#pragma unroll 1
        for (int row = 0; row < sizes.block; row += ROWS) {
            strip(row);
        }
    }

  private:
    static constexpr int ROWS = Tile::SIZE;
    // Tiles that a warp works on at once.
    static constexpr int TOGETHER = 3;

    // A column: its entry i is at place + i · stride, from row `first` on. Those from row `given`
    // on are of the unit matrix so far, if this is one of R_tt⁻ᵀ, or zero. Those before row
    // `solved` need not be computed.
    struct Column {
        int place, stride, first, given, solved;
    };

    // Returns a column of tile `number` of the strip at `row`: first those of R_tt and what follows
    // it, from the strip's own on, then those of R_tt⁻ᵀ, then the outermost ones.
    __device__ Column column(int row, int number, int across) const {
        const int p = sizes.block, q = sizes.derivatives, rest = places.width - q;
        const int own = tiles(rest - row), unit = own + tiles(row + 1);
        int k = number * ROWS + across;
        if (number < own) {
            k += row;
            const int solved = k < min(row + ROWS, p) ? p : 0;
            return {rows + q + k, places.pitch, k < rest ? 0 : INT_MAX, min(k + 1, p), solved};
        }
        if (number < unit) {
            k -= own * ROWS;
            return {inverse + k * places.pitch, 1, k < p ? k : INT_MAX, 0, k};
        }
        k -= unit * ROWS;
        const int first = k < p ? sizes.by_derivatives.multiple(k) : INT_MAX;
        return {rows + k, places.pitch, first, first + q, first};
    }
    __device__ static int tiles(int columns) { return (columns + ROWS - 1) / ROWS; }

    __device__ void strip(int row) const {
        const int p = sizes.block, q = sizes.derivatives, pitch = places.pitch;
        const int warp = team.rank / 32, warps = team.size / 32, lane = team.rank % 32;
        const int across = lane / Tile::TERMS, along = lane % Tile::TERMS;
        const int end = min(row + ROWS, p), top = row + 2 * along;
        // The last outermost column of the strip is the last of its last row's group.
        const int outermost = sizes.by_derivatives.multiple(end - 1) + q;
        const int count = tiles(places.width - q - row) + tiles(row + 1) + tiles(outermost);
        double triangle[2];
#pragma unroll 1
        for (int begin = 0; begin == 0 || begin < count; begin += TOGETHER * warps) {
            Column columns[TOGETHER];
            Tile sums[TOGETHER];
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                columns[k] = column(row, begin + k * warps + warp, across);
            }
            const double *own = window + rows + along * pitch + q + row + across;
#pragma unroll 2
            for (int m = along; m < row; m += Tile::TERMS, own += Tile::TERMS * pitch) {
                const double right = row + across < p ? *own : 0.0;
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    const Column &column = columns[k];
                    const double *entry = window + column.place + m * column.stride;
                    sums[k].add(m >= column.first ? *entry : 0.0, right);
                }
            }
            // What is left of the two rows of the lane goes where the results will be, for lack of
            // registers: bit 3k + e says whether row e of tile k is computed, bit 3k + 2 whether
            // both rows are side by side.
            int places[TOGETHER];
            unsigned computed = 0;
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                const Column &column = columns[k];
                places[k] = column.place + top * column.stride;
                computed |= unsigned(column.stride == 1) << (3 * k + 2);
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int i = top + e;
                    double *entry = window + places[k] + e * column.stride;
                    double left = column.given == 0 && i == column.first;
                    if (i >= column.first && i < min(column.given, end)) {
                        left = *entry;
                    }
                    left -= sums[k].sums[e];
                    if (i < end && i >= max(column.first, column.solved)) {
                        computed |= 1u << (3 * k + e);
                        *entry = left;
                    }
                    if (k == 0 && begin == 0 && warp == 0) {
                        // Rows that the strip does not have are those of the unit matrix.
                        const bool exists = max(i, row + across) < end;
                        panel[across * ROWS + i - row] = exists ? left : double(row + across == i);
                    }
                }
            }
            if (begin == 0) {
                team.sync();
                invert(triangle, row);
            }
#pragma unroll
            for (int k = 0; k < TOGETHER; ++k) {
                const int stride = computed >> (3 * k + 2) & 1 ? 1 : pitch;
                Tile product;
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const bool is_computed = computed >> (3 * k + e) & 1;
                    product.add(is_computed ? window[places[k] + e * stride] : 0.0, triangle[e]);
                }
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    if (computed >> (3 * k + e) & 1) {
                        window[places[k] + e * stride] = product.sums[e];
                    }
                }
            }
        }
        team.sync();
    }

    // Factorizes the strip at `row` in its own columns, L Lᵀ, and returns two entries of L⁻¹: of
    // row ⌊l/4⌋ in the columns 2·(l mod 4) and 2·(l mod 4) + 1, for lane l.
    __device__ void invert(double (&mine)[2], int row) const {
        const int lane = team.rank % 32;
        const int across = lane / Tile::TERMS, along = lane % Tile::TERMS;
        double r[ROWS][ROWS], reciprocal[ROWS], pivot = 0;
#pragma unroll
        for (int k = 0; k < ROWS; ++k)
#pragma unroll
            for (int i = 0; i <= k; i += 2) {
                const double2 two = *reinterpret_cast<const double2 *>(panel + k * ROWS + i);
                r[i][k] = two.x;
                r[i + 1][k] = two.y;
            }
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            pivot = lane == i ? r[i][i] : pivot;
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
        if (team.rank < min(ROWS, sizes.block - row)) {
            pivots[row + team.rank] = pivot;
        }
        // Row ⌊l/4⌋ of L⁻¹ from its end on: it times L is a row of the unit matrix.
        double x[ROWS];
        mine[0] = mine[1] = 0;
#pragma unroll
        for (int k = 0; k < ROWS; ++k) {
            x[k] = double(k == across);
        }
#pragma unroll
        for (int k = ROWS - 1; k >= 0; --k) {
            x[k] *= reciprocal[k];
            mine[k % 2] = 2 * along == k - k % 2 ? x[k] : mine[k % 2];
#pragma unroll
            for (int m = 0; m < k; ++m) {
                x[m] -= x[k] * r[m][k];
            }
        }
    }
};

#endif
