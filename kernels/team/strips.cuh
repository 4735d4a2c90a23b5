// How the rows of a block-banded matrix (team/banded.cuh) lie in memory, the strips of rows that
// are eliminated at once, and the tiles of sums of their products.

#ifndef MECHANISTIC_STRIPS_CUH
#define MECHANISTIC_STRIPS_CUH

#include "team/rows.cuh"

// Most rows of a strip of a team within a warp.
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

// A strip: its group's first row, its own, and its number of rows.
struct Strip {
    int first, row, count;
};
// How groups are cut into strips: all of MOST rows, or, if RAGGED, the last of a group of
// fewer.
template <int MOST, bool IS_RAGGED>
struct Strips {
    static constexpr int ROWS = MOST;
    static constexpr bool RAGGED = IS_RAGGED;
    __device__ static int of_group(int derivatives) { return (derivatives + MOST - 1) / MOST; }
    __device__ static int count(const Sizes &sizes) {
        return sizes.states * of_group(sizes.derivatives);
    }
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

// The block rows of the window: t, and t − 1 and t − 2 where they subtract something from it; where
// two halves of a system meet, the last ones of both.
struct BlockRows {
    double *now;
    const double *last, *before;
};

// Computes sum[i] += Σ_m left(m, i) right(m) over from ≤ m < count, for i < live, with distances
// between rows.
template <int ROWS>
__device__ inline void add_products(double (&sum)[ROWS], const double *left, int left_stride,
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

// The operands of a lane: those in `count` rows of a matrix from `from` on, at a place of the rows.
// Before and after, they are zeros, as outermost columns are before the group that has them.
struct Operand {
    int place, from;
    unsigned count;

    // Returns the operand in row m of a matrix.
    __device__ double get(const double *row, int m) const {
        return unsigned(m - from) < count ? row[place] : 0.0;
    }
    __device__ static Operand nowhere() { return {0, 0, 0}; }
};

// A tile of 8 × 8 sums Σ_m left(m, i) right(m, j), which a warp has the FP64 tensor cores compute,
// 4 terms at a time. Lane l gives left(m + l mod 4, ⌊l/4⌋) and right(m + l mod 4, ⌊l/4⌋), and has
// the sums of row ⌊l/4⌋ in the columns 2·(l mod 4) and 2·(l mod 4) + 1.
struct Tile {
    static constexpr int SIZE = 8, TERMS = 4;
    double sums[2] = {};

    __device__ void add(double left, double right) {
        asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
            : "+d"(sums[0]), "+d"(sums[1])
            : "d"(left), "d"(right));
    }

    // Adds the terms of the rows first ≤ m < end of two matrices, from their rows 0 on, whose rows
    // are `left_pitch` and `right_pitch` apart.
    __device__ void add(const double *left, int left_pitch, const Operand &of_left,
                        const double *right, int right_pitch, const Operand &of_right, int first,
                        int end) {
        int m = first + threadIdx.x % TERMS;
        left += m * left_pitch;
        right += m * right_pitch;
#pragma unroll 2
        for (; first < end; first += TERMS) {
            add(of_left.get(left, m), of_right.get(right, m));
            m += TERMS;
            left += TERMS * left_pitch;
            right += TERMS * right_pitch;
        }
    }
};

#endif
