// Cyclic reduction of the separators of a system's chunks: a block-tridiagonal positive definite
// matrix S over the separators c = 1 .. C−1, one a lane, S = RᵀR in the order
//
//     1, 3, 5, ..., then 2, 6, 10, ..., then 4, 12, ..., at last C/2.
//
// Separator c = odd·s is eliminated on level s, together with all others of the level; only c − s
// and c + s are its neighbors then. Its row of R is (R_cc, L = R_cc⁻ᵀ S_{c,c−s},
// U = R_cc⁻ᵀ S_{c,c+s}), and it leaves the others
//
//     S_{c−s,c−s} −= LᵀL,   S_{c+s,c+s} −= UᵀU,   S_{c+s,c−s} = −UᵀL.
//
// There are log₂ C levels. All lanes of a level work at once, and nothing is added by more than one
// lane, so that the results are the same in every run.
//
// Where a system has several spans of S chunks, the levels s < S need nothing of other spans: a
// launch of span kernels works on these. The separators that are left, multiples of S, are those of
// a second launch, with a thread each: it takes off them what those levels have left, in the same
// order, goes through the levels that remain and back, and a third launch goes back through the
// levels s < S.

#ifndef MECHANISTIC_THREAD_REDUCTION_CUH
#define MECHANISTIC_THREAD_REDUCTION_CUH

#include "thread/factor.cuh"

namespace thread {

// The values that a chunk keeps of its separator, and those that it leaves to the separator of the
// next chunk. Blocks are stored column by column.
template <int K, int Q>
struct SeparatorLayout {
    static constexpr int P = K * Q;
    static constexpr int UPPER = Layout<K, Q>::UPPER;

    static constexpr int WHOLE = 0;                 // M's diagonal
    static constexpr int DIAGONAL = WHOLE + P;      // S_cc without what comes from c − 1; then R_cc
    static constexpr int LEFT = DIAGONAL + UPPER;   // L
    static constexpr int RIGHT = LEFT + P * P;      // U
    static constexpr int COUPLING = RIGHT + P * P;  // S_{c+1,c}
    static constexpr int NEXT_WHOLE = COUPLING + P * P;   // to be added to what c + 1 has
    static constexpr int NEXT_DIAGONAL = NEXT_WHOLE + P;  // the same
    static constexpr int VECTOR = NEXT_DIAGONAL + UPPER;  // right-hand side
    static constexpr int NEXT_VECTOR = VECTOR + P;        // to be added to that of c + 1
    static constexpr int FORWARD = NEXT_VECTOR + P;       // R⁻ᵀ of it
    static constexpr int SOLUTION = FORWARD + P;          // z
    static constexpr int PROBE = SOLUTION + P;            // R⁻¹e
    static constexpr int VALUES = PROBE + P;
};

template <int K, int Q, typename AnyTile>
class Reduction {
  public:
    using S = SeparatorLayout<K, Q>;
    static constexpr int P = K * Q;

    __device__ explicit Reduction(const AnyTile &tile)
        : tile(tile),
          mine(tile, tile.common.chunks.separators, 1, S::VALUES),
          level(tile.eliminates() ? tile.chunk & -tile.chunk : 0) {}

    // Returns the values of the separator of a chunk `distance` away.
    __device__ Workspace at(int distance) const {
        return mine.of_lane(tile, 1, tile.number(tile.lane) + distance);
    }

    // Factorizes S = RᵀR. All chunks have left what they have for others.
    __device__ void factorize(Pivots &pivots) const {
        FactorRow<K, Q> row;
        double whole[P];
        if (level > 0) {
            double add[S::UPPER], add_whole[P];
            mine.load(0, S::DIAGONAL, row.upper_values);
            mine.load(0, S::WHOLE, whole);
            at(-1).load(0, S::NEXT_DIAGONAL, add);
            at(-1).load(0, S::NEXT_WHOLE, add_whole);
#pragma unroll
            for (int i = 0; i < S::UPPER; ++i) {
                row.upper_values[i] += add[i];
            }
#pragma unroll
            for (int i = 0; i < P; ++i) {
                whole[i] += add_whole[i];
            }
        }
#pragma unroll 1
        for (int stride = 1; stride < tile.end_stride(); stride *= 2) {
            if (level == stride) {
                double removed[P];
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    removed[i] = whole[i] - row.upper(i, i);
                }
                row.factorize(removed, tile.point(0), pivots);
                mine.store(0, S::DIAGONAL, row.upper_values);
                if (has_left(stride)) {
                    couple(row, stride, false);
                }
                if (has_right(stride)) {
                    couple(row, stride, true);
                }
            }
            __syncthreads();
            if (level > stride) {
                remove(row, at(-stride), S::RIGHT);
                if (has_right(stride)) {
                    remove(row, at(stride), S::LEFT);
                }
            }
        }
    }

    // Solves for the right-hand side that the chunks have left.
    __device__ void solve() const {
        FactorRow<K, Q> row;
        double x[P];
        substitute_forward(row, x);
        substitute_back<false>(row, x, S::SOLUTION);
    }
    // The same in two launches.
    __device__ void solve_forward() const {
        FactorRow<K, Q> row;
        double x[P];
        substitute_forward(row, x);
    }
    __device__ void solve_back() const {
        FactorRow<K, Q> row;
        double x[P];
        if (level > 0) {
            mine.load(0, S::DIAGONAL, row.upper_values);
            mine.load(0, S::FORWARD, x);
        }
        substitute_back<false>(row, x, S::SOLUTION);
    }

    // Computes R⁻¹ of e, whose entries of this separator are x; returns Σ (R_ik x_k)² over its
    // rows.
    __device__ double probe(double (&x)[P]) const {
        FactorRow<K, Q> row;
        if (level > 0) {
            mine.load(0, S::DIAGONAL, row.upper_values);
        }
        return substitute_back<true>(row, x, S::PROBE);
    }

  private:
    // For so many values, registers suffice to load a block at once.
    static constexpr int UNROLLED = P <= 3 ? P : 1;

    const AnyTile &tile;
    const Workspace mine;
    const int level;  // the stride of that on which this launch eliminates the separator, or 0

    // Computes x = R⁻ᵀ of the right-hand side, and loads the row of R.
    __device__ void substitute_forward(FactorRow<K, Q> &row, double (&x)[P]) const {
        if (level > 0) {
            double add[P];
            mine.load(0, S::DIAGONAL, row.upper_values);
            mine.load(0, S::VECTOR, x);
            at(-1).load(0, S::NEXT_VECTOR, add);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] += add[i];
            }
        }
#pragma unroll 1
        for (int stride = 1; stride < tile.end_stride(); stride *= 2) {
            if (level == stride) {
                row.forward(x);
                mine.store(0, S::FORWARD, x);
            }
            __syncthreads();
            if (level > stride) {
                subtract_transposed(at(-stride), S::RIGHT, x);
                if (has_right(stride)) {
                    subtract_transposed(at(stride), S::LEFT, x);
                }
            }
        }
    }

    // Returns whether there is a neighbor on a level on which this separator still is.
    __device__ bool has_left(int stride) const { return tile.chunk > stride; }
    __device__ bool has_right(int stride) const { return tile.chunk + stride < tile.chunks(); }

    __device__ static double &value(const Workspace &separator, int v) {
        return separator.base[v * LANES];
    }

    // Computes L or U, column by column: R_cc⁻ᵀ of the coupling with the neighbor.
    __device__ void couple(const FactorRow<K, Q> &row, int stride, bool right) const {
        const int half = stride / 2;
#pragma unroll UNROLLED
        for (int j = 0; j < P; ++j) {
            double x[P];
            if (half == 0) {
                // The coupling S_{c,c+1} is the transpose of what this chunk stores, S_{c,c−1} of
                // what the other chunk stores.
                const Workspace from = right ? mine : at(-1);
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    x[i] = value(from, S::COUPLING + (right ? i * P + j : j * P + i));
                }
            } else {
                // The separator between the two was eliminated, and has left −UᵀL.
                const Workspace between = at(right ? half : -half);
                const int mine_of = right ? S::LEFT : S::RIGHT;
                const int other_of = right ? S::RIGHT : S::LEFT;
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    x[i] = 0;
                }
#pragma unroll UNROLLED
                for (int m = 0; m < P; ++m) {
                    const double other = value(between, other_of + j * P + m);
#pragma unroll
                    for (int i = 0; i < P; ++i) {
                        x[i] -= value(between, mine_of + i * P + m) * other;
                    }
                }
            }
            row.forward(x);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                value(mine, (right ? S::RIGHT : S::LEFT) + j * P + i) = x[i];
            }
        }
    }

    // Subtracts BᵀB from this diagonal block, where B is a block of a separator that was
    // eliminated.
    __device__ static void remove(FactorRow<K, Q> &row, const Workspace &other, int block) {
#pragma unroll UNROLLED
        for (int m = 0; m < P; ++m) {
            double of_row[P];
#pragma unroll
            for (int j = 0; j < P; ++j) {
                of_row[j] = value(other, block + j * P + m);
            }
#pragma unroll
            for (int i = 0; i < P; ++i) {
#pragma unroll
                for (int k = i; k < P; ++k) {
                    row.upper(i, k) -= of_row[i] * of_row[k];
                }
            }
        }
    }

    // Subtracts from x Bᵀ times what forward substitution gave that separator.
    __device__ static void subtract_transposed(const Workspace &other, int block, double (&x)[P]) {
#pragma unroll UNROLLED
        for (int m = 0; m < P; ++m) {
            const double forward = value(other, S::FORWARD + m);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] -= value(other, block + i * P + m) * forward;
            }
        }
    }

    // Subtracts from x B times a neighbor's result, and adds the squares of the terms to `squares`.
    __device__ void subtract(int block, const Workspace &other, int result, double (&x)[P],
                             double &squares) const {
#pragma unroll UNROLLED
        for (int j = 0; j < P; ++j) {
            const double neighbor = value(other, result + j);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                const double term = value(mine, block + j * P + i) * neighbor;
                x[i] -= term;
                squares += term * term;
            }
        }
    }

    // Computes x = R⁻¹x, which is stored in the place `result`.
    template <bool SQUARES>
    __device__ double substitute_back(const FactorRow<K, Q> &row, double (&x)[P],
                                      int result) const {
        double squares = 0;
        const double none[P] = {};
#pragma unroll 1
        for (int stride = tile.end_stride() / 2; stride >= tile.first_stride(); stride /= 2) {
            if (level == stride) {
                if (has_left(stride)) {
                    subtract(S::LEFT, at(-stride), result, x, squares);
                }
                if (has_right(stride)) {
                    subtract(S::RIGHT, at(stride), result, x, squares);
                }
                if (SQUARES) {
                    row.backward_with_squares(x, none, true, squares);
                } else {
                    row.backward(x, none, true);
                }
                mine.store(0, result, x);
            }
            __syncthreads();
        }
        return squares;
    }
};

}  // namespace thread

#endif
