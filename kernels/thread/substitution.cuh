// Substitution with the factor: forward in the sweep that makes the right-hand side, then back.

#ifndef MECHANISTIC_THREAD_SUBSTITUTION_CUH
#define MECHANISTIC_THREAD_SUBSTITUTION_CUH

#include "thread/separators.cuh"

namespace thread {

// Computes vector = R⁻ᵀ of a right-hand side that comes point by point.
template <int K, int Q, typename AnyTile>
class ForwardSubstitution {
  public:
    static constexpr int P = K * Q;

    __device__ explicit ForwardSubstitution(const AnyTile &tile)
        : tile(tile),
          factor(factor_of<K, Q>(tile)),
          vector(tile, tile.common.vector, P),
          separators(tile) {}

    // Loads row t of R, if registers suffice: what makes the right-hand side need not wait for it.
    __device__ void load(int t, FactorRow<K, Q> &row) const {
        if (EARLY<P> && (!AnyTile::CHUNKED || !tile.separates(t))) {
            // Where the halves meet there is no row: that of the point before is loaded, and not
            // used.
            row.load(factor, t - tile.meets(t), tile.last(t));
        }
    }

    // Takes row t of R and the right-hand side of point t, from which what earlier points leave has
    // been subtracted, and replaces it by the result; subtracts from that of the next point what
    // this point leaves.
    __device__ void step(int t, FactorRow<K, Q> &row, double (&right)[P], double (&next)[P]) {
        if (tile.separates(t)) {
            separators.start(right);
            return;
        }
        if (!EARLY<P>) {
            factor.load(t, 0, row.upper_values);
        }
        row.forward(right);
        vector.store(t, 0, right);
        separators.extend(t, right);
        if (!tile.last(t)) {
            double carried[P];
            if (!EARLY<P>) {
                factor.load(t, Layout<K, Q>::UPPER, row.link_values);
            }
            row.carry(right, carried);
#pragma unroll
            for (int i = 0; i < P; ++i) {
                next[i] += carried[i];
            }
        }
    }

    // Takes what is left for the point that follows the last of the sweep.
    __device__ void finish(const double (&next)[P]) { separators.finish(next); }

  private:
    const AnyTile &tile;
    const Workspace factor;
    const Workspace vector;
    Separators<K, Q, AnyTile> separators;
};

// The companion of a backward substitution that has none: it does nothing.
struct Alone {
    template <typename Between>
    __device__ void begin(Between &) {}
    template <typename Between>
    __device__ void separator(const Between &) {}
    template <typename Row, typename Between>
    __device__ void point(int, const Row &, bool, const Between &) {}
};

// What a backward substitution reads of a point.
template <int K, int Q>
struct BackwardPoint {
    FactorRow<K, Q> row;
    double right[K * Q];
};

// Substitutes `vector` backward; accept(t, x) takes every block, the last point first. A lane that
// has no point t gets none. `besides` sees the same rows of R.
template <int K, int Q, typename AnyTile, typename Accept, typename Besides>
__device__ void substitute_back(const AnyTile &tile, Accept accept, Besides &besides) {
    constexpr int P = K * Q;
    const ThreadProblem &common = tile.common;
    const auto load = [&](int t, BackwardPoint<K, Q> &point) {
        if (!tile.separates(t)) {
            const AnyTile here = thread::here<AMPLE<P, AnyTile>>(tile);
            const Workspace factor = factor_of<K, Q>(here);
            const Workspace vector(here, common.vector, P);
            point.row.load(factor, t, tile.last(t));
            vector.load(t, 0, point.right);
        }
    };
    double next[P];
    Separators<K, Q, AnyTile> separators(tile);
    separators.solve(next);  // accept may write where inputs were staged
    besides.begin(separators);
    BackwardPoint<K, Q> early = {};  // the point that comes next
    if (EARLY<P> && tile.own_points() > 0) {
        load(tile.own_points() - 1, early);
    }
#pragma unroll 1
    for (int t = tile.points() - 1; t >= 0; --t) {
        const bool last = tile.last(t);
        double x[P];
        if (tile.has(t)) {
            BackwardPoint<K, Q> point = early;
            if (EARLY<P> && t > 0) {
                load(t - 1, early);
            }
            if (tile.separates(t)) {
                separators.result(x);
                besides.separator(separators);
            } else {
                if (!EARLY<P>) {
                    load(t, point);
                }
#pragma unroll
                for (int i = 0; i < P; ++i) {
                    x[i] = point.right[i];
                }
                separators.subtract(t, x);
                point.row.backward(x, next, last);
                besides.point(t, point.row, last, separators);
            }
        }
        accept(t, x);
        if (tile.has(t)) {
#pragma unroll
            for (int i = 0; i < P; ++i) {
                next[i] = x[i];
            }
        }
    }
}
template <int K, int Q, typename AnyTile, typename Accept>
__device__ void substitute_back(const AnyTile &tile, Accept accept) {
    Alone alone;
    substitute_back<K, Q>(tile, accept, alone);
}

// An iterate whose blocks are replaced or increased, the last one first. A block is loaded before
// the increase is known.
template <int P, typename AnyTile>
class Iterate {
  public:
    __device__ Iterate(const AnyTile &tile, double *blocks, bool increase)
        : blocks(tile, blocks, P), increase(increase) {
        load(tile.own_points() - 1);
    }

    // Replaces block t by x, or increases it by x; `sum` is the new block.
    __device__ void add(int t, const double (&x)[P], double (&sum)[P]) {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            sum[i] = increase ? old[i] + x[i] : x[i];
        }
        blocks.store(t, 0, sum);
        load(t - 1);
    }

  private:
    const Workspace blocks;
    const bool increase;
    double old[P];  // the block that comes next

    __device__ void load(int t) {
        if (increase && t >= 0) {
            blocks.load(t, 0, old);
        }
    }
};

}  // namespace thread

#endif
