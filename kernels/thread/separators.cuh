// The separators, which couple the chunks of a system. The first point of every chunk but the first
// is a separator: it is eliminated after all other points. Of a chunk with separator s on its left
// and the next chunk's, r, on its right, whose interior points t have the factor R, the sweeps keep
// the spike
//
//     V = R⁻ᵀ M_{·s},   V_{s+1} = R_{s+1,s+1}⁻ᵀ M_{s+1,s},
//     V_{t+1} = −R_{t+1,t+1}⁻ᵀ R_{t,t+1}ᵀ V_t,
//
// P×P a point: these are the chunk's rows of the factor in the columns of s; those in the columns
// of r are zero but for R_{t,t+1} of its last point. Eliminating the interior leaves
//
//     M_ss − VᵀV,   −V_tᵀ R_{t,t+1} between s and r,   −R_{t,t+1}ᵀ R_{t,t+1} to M_rr,
//
// and of a right-hand side b, with v = R⁻ᵀb, b_s − Vᵀv and −R_{t,t+1}ᵀ v_t to b_r.
// thread/reduction.cuh solves for the separators; then x_t = R_tt⁻¹(v_t − R_{t,t+1} x_{t+1} − V_t
// x_s).

#ifndef MECHANISTIC_THREAD_SEPARATORS_CUH
#define MECHANISTIC_THREAD_SEPARATORS_CUH

#include "thread/cholesky.cuh"
#include "thread/reduction.cuh"

namespace thread {

template <int K, int Q, typename AnyTile>
class Separators;

// The point where the halves of a system meet is a separator that both couple with, each through
// its last point alone: there are no spikes. Its block is the last of the second half, which
// solves for it; the first half leaves what it has for that in shared memory, and finds the result
// there.
template <int K, int Q>
class Separators<K, Q, HalfTile> {
  public:
    static constexpr int P = K * Q;

    __device__ explicit Separators(const HalfTile &tile)
        : tile(tile),
          factor(factor_of<K, Q>(tile)),
          places{tile.exchange() + 2 * LANES + tile.lane} {}

    template <typename Any>
    __device__ void start(Any &) {}
    template <typename... Any>
    __device__ void extend(const Any &...) {}
    // Factorizes the block, once all other points have been eliminated.
    __device__ void finish(Cholesky<K, Q> &matrix, Pivots &pivots) {
        FactorRow<K, Q> &row = matrix.row;
        finish(matrix.right);
        if (!tile.backward) {
#pragma unroll
            for (int i = 0; i < UPPER; ++i) {
                places[DIAGONAL + i] = row.upper_values[i];
            }
            put(REMOVED, matrix.removed);
        }
        __syncthreads();
        if (tile.backward) {
#pragma unroll
            for (int i = 0; i < UPPER; ++i) {
                row.upper_values[i] += places[DIAGONAL + i];
            }
#pragma unroll
            for (int i = 0; i < P; ++i) {
                matrix.removed[i] += places[REMOVED + i];
            }
            row.factorize(matrix.removed, tile.point(last()), pivots);
            row.store(factor, last(), true);
        }
    }

    // Takes what a half has for the right-hand side of the block.
    __device__ void finish(const double (&right)[P]) { put(tile.backward ? RIGHT : LEFT, right); }

    // Solves for the block; next becomes the result.
    __device__ void solve(double (&next)[P]) {
        FactorRow<K, Q> row;
        if (tile.backward) {
            row.load(factor, last(), true);
        }
        __syncthreads();
        if (tile.backward) {
            double x[P];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] = places[RIGHT + i] + places[LEFT + i];
            }
            row.forward(x);
            row.backward(x, x, true);
            put(RESULT, x);
        }
        exchange(RESULT, next);
    }
    __device__ void result(double (&x)[P]) const { get(RESULT, x); }
    __device__ void subtract(int, double (&)[P]) const {}

    __device__ void probe(int weakest_unknown, double (&next)[P], double &squares) {
        if (tile.backward) {
            FactorRow<K, Q> row;
            row.load(factor, last(), true);
            double x[P];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                x[i] = double(tile.point(last()) * P + i == weakest_unknown);
            }
            row.backward_with_squares(x, x, true, squares);
            put(PROBE, x);
        }
        exchange(PROBE, next);
    }
    __device__ void probe_result(double (&x)[P]) const { get(PROBE, x); }
    __device__ void subtract_probe(int, double (&)[P], double &) const {}

    __device__ void next_result(double (&next)[P]) const { get(RESULT, next); }

  private:
    // Places of a lane in shared memory: right-hand sides of both halves, result, probe, and what
    // the first half has for the block. Kernels of gradients have the first three only.
    static constexpr int UPPER = Layout<K, Q>::UPPER;
    static constexpr int RIGHT = 0;
    static constexpr int LEFT = P;
    static constexpr int RESULT = 2 * P;
    static constexpr int PROBE = 3 * P;
    static constexpr int REMOVED = 3 * P;
    static constexpr int DIAGONAL = 4 * P;

    const HalfTile &tile;
    const Workspace factor;
    const LaneValues places;

    __device__ int last() const { return tile.points() - 1; }
    __device__ void put(int place, const double (&x)[P]) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            places[place + i] = x[i];
        }
    }
    __device__ void get(int place, double (&x)[P]) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = places[place + i];
        }
    }
    // Hands over what the second half has put to a place.
    __device__ void exchange(int place, double (&next)[P]) const {
        __syncthreads();
        get(place, next);
    }
};

template <int K, int Q, typename AnyTile>
class Separators {
  public:
    using S = SeparatorLayout<K, Q>;
    static constexpr int P = K * Q;

    __device__ explicit Separators(const AnyTile &tile)
        : tile(tile),
          reduction(tile),
          spikes(tile, tile.common.chunks.spikes, P * P),
          scratch{memory_of(tile) + tile.common.chunks.scratch + tile.lane} {}

    // Takes the rows of the separator, which are in the matrix, and lets the matrix go on without
    // them.
    __device__ void start(Cholesky<K, Q> &matrix) {
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                spike(i, j) = i / Q == j / Q ? matrix.row.link(j, i) : 0.0;
            }
            value(S::WHOLE + j) = matrix.row.upper(j, j);
        }
#pragma unroll
        for (int i = 0; i < S::UPPER; ++i) {
            scratch[DIAGONAL + i] = matrix.row.upper_values[i];
        }
        start(matrix.right);
        matrix.skip();
    }

    // Extends the spike, once point t has been eliminated.
    __device__ void extend(int t, bool last, const Cholesky<K, Q> &matrix) {
        if (!tile.has_separator()) {
            return;
        }
        double x[P];
#pragma unroll UNROLLED
        for (int j = 0; j < P; ++j) {
            load_spike(j, x);
            matrix.row.forward(x);
            spikes.store(t, j * P, x);
            store_spike(j, x);
            scratch[LEFT + j] -= dot(x, matrix.right);
        }
#pragma unroll UNROLLED
        for (int j = P - 1; j >= 0; --j) {
            double other[P];
            load_spike(j, x);
#pragma unroll UNROLLED
            for (int k = 0; k <= j; ++k) {
                load_spike(k, other);
                scratch[DIAGONAL + Layout<K, Q>::upper(k, j)] -= dot(other, x);
            }
            if (!last) {
                matrix.row.carry(x, other);
                store_spike(j, other);
            }
        }
    }

    // Factorizes the separators, once all points have been eliminated or left out.
    __device__ void finish(const Cholesky<K, Q> &matrix, Pivots &pivots) {
        if (tile.has_separator()) {
#pragma unroll
            for (int i = 0; i < S::UPPER; ++i) {
                value(S::DIAGONAL + i) = scratch[DIAGONAL + i];
            }
        }
        if (tile.has_next()) {
            reduction.mine().store(0, S::NEXT_DIAGONAL, matrix.row.upper_values);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                value(S::NEXT_WHOLE + i) =
                    matrix.row.upper_values[Layout<K, Q>::upper(i, i)] + matrix.removed[i];
            }
            if (tile.has_separator()) {
#pragma unroll
                for (int i = 0; i < P * P; ++i) {
                    value(S::COUPLING + i) = scratch[SPIKE + i];
                }
            }
        }
        leave(matrix.right);
        __syncthreads();
        reduction.factorize(pivots);
        if constexpr (AnyTile::SPREAD) {
            reduction.solve_forward();
        }
    }

    // Takes the separator's right-hand side: the first of three steps for a right-hand side alone.
    __device__ void start(double (&right)[P]) {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            scratch[LEFT + i] = right[i];
            right[i] = 0;
        }
    }
    // Takes v of point t: the second step.
    __device__ void extend(int t, const double (&v)[P]) {
        if (!tile.has_separator()) {
            return;
        }
#pragma unroll UNROLLED
        for (int j = 0; j < P; ++j) {
            double x[P];
            spikes.load(t, j * P, x);
            scratch[LEFT + j] -= dot(x, v);
        }
    }
    // Takes what there is for the separator of the next chunk: the third step.
    __device__ void finish(const double (&next)[P]) {
        leave(next);
        if constexpr (AnyTile::SPREAD) {
            __syncthreads();
            reduction.solve_forward();
        }
    }

    // Solves for the separators; next becomes the result of the next chunk's separator. Between
    // spans, another launch has solved for them.
    __device__ void solve(double (&next)[P]) {
        __syncthreads();
        if constexpr (AnyTile::SPREAD) {
            reduction.solve_back();
        } else {
            reduction.solve();
        }
        load_result(S::SOLUTION, LEFT, next);
    }
    // Returns the result of this chunk's separator.
    __device__ void result(double (&x)[P]) const { load(LEFT, x); }
    // Subtracts V_t times the separator's result from x.
    __device__ void subtract(int t, double (&x)[P]) const {
        double squares = 0;
        subtract(t, LEFT, x, squares);
    }

    // Does the same for R⁻¹e of the weakest pivot, with the sum of squares, again in three steps.
    __device__ void probe(int weakest_unknown, double (&next)[P], double &squares) {
        double x[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = double(tile.has_separator() && tile.point(0) * P + i == weakest_unknown);
        }
        squares += reduction.probe(x);
        load_result(S::PROBE, PROBE, next);
    }
    __device__ void probe_result(double (&x)[P]) const { load(PROBE, x); }
    __device__ void subtract_probe(int t, double (&x)[P], double &squares) const {
        subtract(t, PROBE, x, squares);
    }

    // Returns the result of the next chunk's separator, after `solve`.
    __device__ void next_result(double (&next)[P]) const {
        reduction.result(1, S::SOLUTION, LEFT, next);
    }

  private:
    // Places of a lane in shared memory: right-hand side, then result, of the separator; the
    // probe's; the spike of the point that comes next, before R⁻ᵀ; the separator's diagonal block.
    // The reduction uses them too; kernels of gradients have 3P places, for LEFT and for it.
    using R = Reduction<K, Q, AnyTile>;
    static constexpr int LEFT = R::SOLUTION;
    static constexpr int PROBE = R::PROBE;
    static constexpr int SPIKE = 2 * P;
    static constexpr int DIAGONAL = SPIKE + P * P;
    // For so many values, registers suffice to unroll the loops over the columns of a spike.
    static constexpr int UNROLLED = P <= 3 ? P : 1;

    const AnyTile &tile;
    const Reduction<K, Q, AnyTile> reduction;
    const Workspace spikes;
    const LaneValues scratch;

    __device__ double &value(int v) const { return reduction.mine().base[v * LANES]; }
    __device__ double &spike(int i, int j) const { return scratch[SPIKE + j * P + i]; }
    __device__ void load(int place, double (&x)[P]) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = scratch[place + i];
        }
    }
    __device__ void load_spike(int j, double (&x)[P]) const { load(SPIKE + j * P, x); }
    __device__ void store_spike(int j, const double (&x)[P]) const {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            spike(i, j) = x[i];
        }
    }
    __device__ static double dot(const double (&x)[P], const double (&y)[P]) {
        double sum = 0;
#pragma unroll
        for (int i = 0; i < P; ++i) {
            sum += x[i] * y[i];
        }
        return sum;
    }

    // Stores the right-hand sides of this chunk's separator and the next one's.
    __device__ void leave(const double (&next)[P]) const {
        if (tile.has_separator()) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                value(S::VECTOR + i) = scratch[LEFT + i];
            }
        }
        if (tile.has_next()) {
            reduction.mine().store(0, S::NEXT_VECTOR, next);
        }
    }

    // Loads the result of the next chunk's separator.
    __device__ void load_result(int kept, int place, double (&next)[P]) const {
        if (tile.has_next()) {
            reduction.result(1, kept, place, next);
        }
    }

    __device__ void subtract(int t, int place, double (&x)[P], double &squares) const {
        if (!tile.has_separator()) {
            return;
        }
        const Workspace columns(here<AMPLE<P, AnyTile>>(tile), tile.common.chunks.spikes, P * P);
#pragma unroll UNROLLED
        for (int j = 0; j < P; ++j) {
            double column[P];
            columns.load(t, j * P, column);
            const double factor = scratch[place + j];
#pragma unroll
            for (int i = 0; i < P; ++i) {
                const double term = column[i] * factor;
                x[i] -= term;
                squares += term * term;
            }
        }
    }
};

}  // namespace thread

#endif
