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
// lane, so that the results are the same in every run. A lane has its row in registers and tells
// its neighbors through shared memory what they need of it.
//
// Where a system has several spans of S chunks, the levels s < S need nothing of other spans: a
// launch of span kernels works on these. The separators that are left, multiples of S, are those of
// a second launch, with a thread each: it takes off them what those levels have left, in the same
// order, goes through the levels that remain and back, and a third launch goes back through the
// levels s < S. What a launch leaves for the next is in global memory.

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

    // Places of a lane in shared memory: its results, then what it leaves to its neighbors.
    static constexpr int SOLUTION = 0;
    static constexpr int PROBE = P;  // not in kernels of gradients

    __device__ explicit Reduction(const AnyTile &tile)
        : tile(tile), level(tile.eliminates() ? tile.chunk & -tile.chunk : 0) {}

    // Returns the values of the separator of this chunk, and of the one `distance` away.
    __device__ Workspace mine() const {
        return {tile, tile.common.chunks.separators, 1, S::VALUES};
    }
    __device__ Workspace at(int distance) const {
        return mine().of_lane(tile, 1, tile.number(tile.lane) + distance);
    }

    // Factorizes S = RᵀR. All chunks have left what they have for others.
    __device__ void factorize(Pivots &pivots) const {
        Row row;
        double whole[P];
        if (level > 0) {
            double add[S::UPPER], add_whole[P];
            mine().load(0, S::DIAGONAL, row.corner.upper_values);
            mine().load(0, S::WHOLE, whole);
            at(-1).load(0, S::NEXT_DIAGONAL, add);
            at(-1).load(0, S::NEXT_WHOLE, add_whole);
            add_to(row.corner.upper_values, add);
            add_to(whole, add_whole);
            load_couplings(row);
        }
#pragma unroll 1
        for (int stride = 1; stride < tile.first_stride(); stride *= 2) {
            if (level > stride) {
                remove(row.corner, at(-stride), S::RIGHT);
                if (has_right(stride)) {
                    remove(row.corner, at(stride), S::LEFT);
                }
            }
        }
#pragma unroll 1
        for (int stride = tile.first_stride(); stride < tile.end_stride(); stride *= 2) {
            if (level == stride) {
                double removed[P];
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    removed[i] = whole[i] - row.corner.upper(i, i);
                }
                row.corner.factorize(removed, tile.point(0), pivots);
                eliminate(row.corner, row.left);
                eliminate(row.corner, row.right);
                leave(row);
            }
            __syncthreads();
            if (level > stride) {
                take_from_left(row, places_of(-stride));
                if (has_right(stride)) {
                    take_from_right(row, places_of(stride));
                }
            }
        }
        if (level > 0) {
            mine().store(0, S::DIAGONAL, row.corner.upper_values);
            mine().store(0, S::LEFT, row.left);
            mine().store(0, S::RIGHT, row.right);
        }
    }

    // Solves for the right-hand side that the chunks have left.
    __device__ void solve() const {
        Row row;
        double x[P];
        load(row);
        substitute_forward(row, x);
        substitute_back<false>(row, x, S::SOLUTION, SOLUTION);
    }
    // The same in two launches.
    __device__ void solve_forward() const {
        Row row;
        double x[P];
        load(row);
        substitute_forward(row, x);
    }
    __device__ void solve_back() const {
        Row row;
        double x[P];
        load(row);
        if (level > 0) {
            mine().load(0, S::FORWARD, x);
        }
        substitute_back<false>(row, x, S::SOLUTION, SOLUTION);
    }

    // Computes R⁻¹ of e, whose entries of this separator are x; returns Σ (R_ik x_k)² over its
    // rows.
    __device__ double probe(double (&x)[P]) const {
        Row row;
        load(row);
        return substitute_back<true>(row, x, S::PROBE, PROBE);
    }

    // Returns the result of a neighbor, once it is there.
    __device__ void result(int distance, int kept, int place, double (&x)[P]) const {
        if (tile.is_beside(distance)) {
            get(places_of(distance), place, x);
        } else {
            at(distance).load(0, kept, x);
        }
    }

  private:
    // What is left to neighbors of a row, in the places behind its result: LᵀL, UᵀU and −UᵀL, which
    // take the places of results too, or of a right-hand side Lᵀv and Uᵀv.
    static constexpr int SQUARE_LEFT = 0;
    static constexpr int SQUARE_RIGHT = S::UPPER;
    static constexpr int PRODUCT = 2 * S::UPPER;
    static constexpr int TO_LEFT = P;
    static constexpr int TO_RIGHT = 2 * P;
    static constexpr int PLACES = PRODUCT + P * P;

    // A row of R, or of S while it is eliminated: (R_cc, L, U), L and U column by column.
    struct Row {
        FactorRow<K, Q> corner;
        double left[P * P], right[P * P];
    };

    const AnyTile &tile;
    const int level;  // the stride of that on which this launch eliminates the separator, or 0

    // Returns the places of the lane that has the chunk `distance` away.
    __device__ LaneValues places_of(int distance) const {
        return tile.template places_beside<PLACES>(distance);
    }
    template <int COUNT>
    __device__ static void put(const LaneValues &places, int place, const double (&x)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            places[place + i] = x[i];
        }
    }
    template <int COUNT>
    __device__ static void get(const LaneValues &places, int place, double (&x)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            x[i] = places[place + i];
        }
    }
    template <int COUNT>
    __device__ static void add_to(double (&sum)[COUNT], const double (&x)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            sum[i] += x[i];
        }
    }

    // Returns whether there is a neighbor on a level on which this separator still is.
    __device__ bool has_left(int stride) const { return tile.chunk > stride; }
    __device__ bool has_right(int stride) const { return tile.chunk + stride < tile.chunks(); }

    __device__ void load(Row &row) const {
        if (level > 0) {
            mine().load(0, S::DIAGONAL, row.corner.upper_values);
            mine().load(0, S::LEFT, row.left);
            mine().load(0, S::RIGHT, row.right);
        }
    }

    // Loads the couplings with the neighbors of the first level of this launch, where there are
    // such; the others are zero.
    __device__ void load_couplings(Row &row) const {
        const int half = tile.first_stride() / 2;
#pragma unroll
        for (int i = 0; i < P * P; ++i) {
            row.left[i] = row.right[i] = 0;
        }
        if (has_left(tile.first_stride())) {
            if (half == 0) {
                at(-1).load(0, S::COUPLING, row.left);
            } else {
                couple<false>(at(-half), row.left);
            }
        }
        if (has_right(tile.first_stride())) {
            if (half == 0) {
                double coupling[P * P];
                mine().load(0, S::COUPLING, coupling);
                transpose(coupling, row.right);
            } else {
                couple<true>(at(half), row.right);
            }
        }
    }
    __device__ static void transpose(const double (&from)[P * P], double (&to)[P * P]) {
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                to[j * P + i] = from[i * P + j];
            }
        }
    }
    // Computes what a separator that an earlier launch has eliminated leaves between its neighbors:
    // −UᵀL for the one on its right, the transpose for the other.
    template <bool RIGHT>
    __device__ static void couple(const Workspace &between, double (&x)[P * P]) {
        double columns[P * P], rows[P * P];
        between.load(0, RIGHT ? S::RIGHT : S::LEFT, columns);
        between.load(0, RIGHT ? S::LEFT : S::RIGHT, rows);
        multiply(rows, columns, x);
    }
    // Computes x = −AᵀB.
    __device__ static void multiply(const double (&a)[P * P], const double (&b)[P * P],
                                    double (&x)[P * P]) {
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                double sum = 0;
#pragma unroll
                for (int m = 0; m < P; ++m) {
                    sum -= a[i * P + m] * b[j * P + m];
                }
                x[j * P + i] = sum;
            }
        }
    }

    // Computes L or U: R_cc⁻ᵀ of the coupling with a neighbor.
    __device__ static void eliminate(const FactorRow<K, Q> &corner, double (&coupling)[P * P]) {
#pragma unroll
        for (int j = 0; j < P; ++j) {
            double x[P];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] = coupling[j * P + i];
            }
            corner.forward(x);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                coupling[j * P + i] = x[i];
            }
        }
    }

    // Leaves to the neighbors what their rows lose to this one.
    __device__ void leave(const Row &row) const {
        double product[P * P];
        leave_square(row.left, SQUARE_LEFT);
        leave_square(row.right, SQUARE_RIGHT);
        multiply(row.right, row.left, product);
        put(places_of(0), PRODUCT, product);
    }
    __device__ void leave_square(const double (&x)[P * P], int place) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
#pragma unroll
            for (int k = i; k < P; ++k) {
                double sum = 0;
#pragma unroll
                for (int m = 0; m < P; ++m) {
                    sum += x[i * P + m] * x[k * P + m];
                }
                places_of(0)[place + Layout<K, Q>::upper(i, k)] = sum;
            }
        }
    }
    // Takes what a neighbor has left: on the diagonal, and in the coupling with the neighbor of the
    // next level, beyond it.
    __device__ static void take_from_left(Row &row, const LaneValues &neighbor) {
        take_square(row.corner, neighbor, SQUARE_RIGHT);
        get(neighbor, PRODUCT, row.left);
    }
    __device__ static void take_from_right(Row &row, const LaneValues &neighbor) {
        take_square(row.corner, neighbor, SQUARE_LEFT);
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                row.right[j * P + i] = neighbor[PRODUCT + i * P + j];
            }
        }
    }
    __device__ static void take_square(FactorRow<K, Q> &corner, const LaneValues &neighbor,
                                       int place) {
#pragma unroll
        for (int i = 0; i < S::UPPER; ++i) {
            corner.upper_values[i] -= neighbor[place + i];
        }
    }

    // Subtracts BᵀB from this diagonal block, where B is a block of a separator that an earlier
    // launch has eliminated.
    __device__ static void remove(FactorRow<K, Q> &corner, const Workspace &other, int block) {
        double values[P * P];
        other.load(0, block, values);
#pragma unroll
        for (int i = 0; i < P; ++i) {
#pragma unroll
            for (int k = i; k < P; ++k) {
#pragma unroll
                for (int m = 0; m < P; ++m) {
                    corner.upper(i, k) -= values[i * P + m] * values[k * P + m];
                }
            }
        }
    }

    // Computes x = R⁻ᵀ of the right-hand side.
    __device__ void substitute_forward(const Row &row, double (&x)[P]) const {
        if (level > 0) {
            double add[P];
            mine().load(0, S::VECTOR, x);
            at(-1).load(0, S::NEXT_VECTOR, add);
            add_to(x, add);
        }
#pragma unroll 1
        for (int stride = 1; stride < tile.first_stride(); stride *= 2) {
            if (level > stride) {
                subtract_transposed(at(-stride), S::RIGHT, x);
                if (has_right(stride)) {
                    subtract_transposed(at(stride), S::LEFT, x);
                }
            }
        }
#pragma unroll 1
        for (int stride = tile.first_stride(); stride < tile.end_stride(); stride *= 2) {
            if (level == stride) {
                row.corner.forward(x);
                if constexpr (AnyTile::SPREAD) {
                    mine().store(0, S::FORWARD, x);
                }
                leave(row.left, x, TO_LEFT);
                leave(row.right, x, TO_RIGHT);
            }
            __syncthreads();
            if (level > stride) {
                subtract(places_of(-stride), TO_RIGHT, x);
                if (has_right(stride)) {
                    subtract(places_of(stride), TO_LEFT, x);
                }
            }
        }
    }
    // Leaves Bᵀx to a neighbor.
    __device__ void leave(const double (&block)[P * P], const double (&x)[P], int place) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            double sum = 0;
#pragma unroll
            for (int m = 0; m < P; ++m) {
                sum += block[i * P + m] * x[m];
            }
            places_of(0)[place + i] = sum;
        }
    }
    __device__ static void subtract(const LaneValues &neighbor, int place, double (&x)[P]) {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] -= neighbor[place + i];
        }
    }
    // Subtracts from x Bᵀ times what forward substitution gave a separator in an earlier launch.
    __device__ static void subtract_transposed(const Workspace &other, int block, double (&x)[P]) {
        double values[P * P], forward[P];
        other.load(0, block, values);
        other.load(0, S::FORWARD, forward);
#pragma unroll
        for (int i = 0; i < P; ++i) {
#pragma unroll
            for (int m = 0; m < P; ++m) {
                x[i] -= values[i * P + m] * forward[m];
            }
        }
    }

    // Computes x = R⁻¹x, in a place of shared memory; between spans it is kept for their launch.
    template <bool SQUARES>
    __device__ double substitute_back(const Row &row, double (&x)[P], int kept, int place) const {
        double squares = 0;
        const double none[P] = {};
        if constexpr (AnyTile::SPREAD) {
            if (tile.is_given()) {
                double given[P];
                mine().load(0, kept, given);
                put(places_of(0), place, given);
            }
            __syncthreads();
        }
#pragma unroll 1
        for (int stride = tile.end_stride() / 2; stride >= tile.first_stride(); stride /= 2) {
            if (level == stride) {
                if (has_left(stride)) {
                    subtract<SQUARES>(row.left, -stride, kept, place, x, squares);
                }
                if (has_right(stride)) {
                    subtract<SQUARES>(row.right, stride, kept, place, x, squares);
                }
                if (SQUARES) {
                    row.corner.backward_with_squares(x, none, true, squares);
                } else {
                    row.corner.backward(x, none, true);
                }
                put(places_of(0), place, x);
            }
            __syncthreads();
        }
        if (AnyTile::JOINS && level > 0) {
            mine().store(0, kept, x);
        }
        return squares;
    }
    // Subtracts from x B times a neighbor's result, and adds the squares of the terms to `squares`.
    template <bool SQUARES>
    __device__ void subtract(const double (&block)[P * P], int distance, int kept, int place,
                             double (&x)[P], double &squares) const {
        double neighbor[P];
        result(distance, kept, place, neighbor);
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                const double term = block[j * P + i] * neighbor[j];
                x[i] -= term;
                if (SQUARES) {
                    squares += term * term;
                }
            }
        }
    }
};

}  // namespace thread

#endif
