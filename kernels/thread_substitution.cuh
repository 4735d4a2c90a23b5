// Substitution with the factor at hand: forward in the sweep that makes the right-hand side, then
// back.

#ifndef MECHANISTIC_THREAD_SUBSTITUTION_CUH
#define MECHANISTIC_THREAD_SUBSTITUTION_CUH

#include "thread_separators.cuh"

namespace thread {

// vector = R⁻ᵀ of a right-hand side that comes point by point.
template <typename T, int K, int Q, typename Where> class ForwardSubstitution {
  public:
    static constexpr int P = K * Q;

    __device__ explicit ForwardSubstitution(const Where &tile)
        : tile(tile), factor(tile, tile.common.factor, Layout<K, Q>::VALUES),
          vector(tile, tile.common.vector, P), separators(tile) {}

    // Takes that of point t, from which what earlier points leave has been subtracted, and replaces
    // it; subtracts what is to be subtracted from that of the next point.
    __device__ void step(int t, double (&right)[P], double (&next)[P]) {
        if (tile.separates(t)) {
            separators.start(right);
            return;
        }
        FactorRow<T, K, Q> row;
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

    // Takes what there is for the point that follows the last of the sweep.
    __device__ void finish(const double (&next)[P]) { separators.finish(next); }

  private:
    const Where &tile;
    const Workspace<T> factor;
    const Workspace<double> vector;
    Separators<K, Q, Where> separators;
};

// Backward substitution of `vector`; accept(t, x) takes every block, the last point first. A lane
// that has no point t gets none.
template <typename T, int K, int Q, typename Where, typename Accept>
__device__ void substitute_back(const Where &tile, Accept accept) {
    constexpr int P = K * Q;
    const ThreadProblem &common = tile.common;
    const Workspace<T> factor(tile, common.factor, Layout<K, Q>::VALUES);
    const Workspace<double> vector(tile, common.vector, P);
    double next[P];
    Separators<K, Q, Where> separators(tile);
    separators.solve(next);  // accept may write where inputs were staged
#pragma unroll 1
    for (int t = tile.points() - 1; t >= 0; --t) {
        const bool last = tile.last(t);
        double x[P];
        if (tile.separates(t)) {
            separators.result(x);
        } else if (tile.has(t)) {
            FactorRow<T, K, Q> row;
            row.load(factor, t, last);
            vector.load(t, 0, x);
            separators.subtract(t, x);
            row.backward(x, next, last);
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

// Block t of the iterate becomes x, or is increased by it; `sum` is what it is then.
template <int P>
__device__ void add_to(const Workspace<double> &iterate, int t, const double (&x)[P], bool increase,
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
