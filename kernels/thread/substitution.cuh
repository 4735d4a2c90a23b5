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
          factor(tile, tile.common.factor, Layout<K, Q>::VALUES),
          vector(tile, tile.common.vector, P),
          separators(tile) {}

    // Takes the right-hand side of point t, from which what earlier points leave has been
    // subtracted, and replaces it by the result; subtracts from that of the next point what this
    // point leaves.
    __device__ void step(int t, double (&right)[P], double (&next)[P]) {
        if (tile.separates(t)) {
            separators.start(right);
            return;
        }
        FactorRow<K, Q> row;
        factor.load(t, 0, row.upper_values);
        row.forward(right);
        vector.store(t, 0, right);
        separators.extend(t, right);
        if (!tile.last(t)) {
            double carried[P];
            factor.load(t, Layout<K, Q>::UPPER, row.link_values);
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

// Substitutes `vector` backward; accept(t, x) takes every block, the last point first. A lane that
// has no point t gets none. `besides` sees the same rows of R.
template <int K, int Q, typename AnyTile, typename Accept, typename Besides>
__device__ void substitute_back(const AnyTile &tile, Accept accept, Besides &besides) {
    constexpr int P = K * Q;
    const ThreadProblem &common = tile.common;
    const Workspace factor(tile, common.factor, Layout<K, Q>::VALUES);
    const Workspace vector(tile, common.vector, P);
    double next[P];
    Separators<K, Q, AnyTile> separators(tile);
    separators.solve(next);  // accept may write where inputs were staged
    besides.begin(separators);
#pragma unroll 1
    for (int t = tile.points() - 1; t >= 0; --t) {
        const bool last = tile.last(t);
        double x[P];
        if (tile.separates(t)) {
            separators.result(x);
            besides.separator(separators);
        } else if (tile.has(t)) {
            FactorRow<K, Q> row;
            row.load(factor, t, last);
            vector.load(t, 0, x);
            separators.subtract(t, x);
            row.backward(x, next, last);
            besides.point(t, row, last, separators);
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

// Replaces block t of the iterate by x, or increases it by x; `sum` is the new block.
template <int P>
__device__ void add_to(const Workspace &iterate, int t, const double (&x)[P], bool increase,
                       double (&sum)[P]) {
    if (increase) {
        iterate.load(t, 0, sum);
    }
#pragma unroll
    for (int i = 0; i < P; ++i) {
        sum[i] = increase ? sum[i] + x[i] : x[i];
    }
    iterate.store(t, 0, sum);
}

}  // namespace thread

#endif
