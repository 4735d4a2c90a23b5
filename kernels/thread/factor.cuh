// The factor M = RᵀR, of which one block row at a time is in registers: row t of R is (R_tt,
// R_{t,t+1}).
//
// R_tt is an upper triangle with the reciprocals of its diagonal entries in their places.
// Smoothness rows couple a state with itself only, so column k of R_{t,t+1} is zero above row
// k/Q·Q.

#ifndef MECHANISTIC_THREAD_FACTOR_CUH
#define MECHANISTIC_THREAD_FACTOR_CUH

#include "common/verdict.cuh"
#include "thread/stream.cuh"

namespace thread {

// The places of the values of a tile's point in the workspace: ((tile·N + t)·values + v)·32 + lane,
// with the number of the point in time for t.
struct Workspace {
    double *base;  // of point 0 of the lane
    int stride;    // from a point to the next

    // Makes the places for `points` points a lane.
    template <typename AnyTile>
    __device__ Workspace(const AnyTile &tile, void *data, int64_t points, int values)
        : Workspace(tile, data, points, values, tile.index, tile.lane) {}
    template <typename AnyTile>
    __device__ Workspace(const AnyTile &tile, void *data, int values)
        : Workspace(tile, data, tile.kept_points(), values) {}
    // The places of another lane of the tile number `index`.
    template <typename AnyTile>
    __device__ Workspace(const AnyTile &tile, void *data, int64_t points, int values, int64_t index,
                         int lane)
        : base(static_cast<double *>(data) + (index * points + tile.origin()) * values * LANES +
               lane),
          stride(tile.direction() * values * LANES) {}

    template <int COUNT>
    __device__ void load(int t, int from, double (&x)[COUNT]) const {
        const double *source = base + int64_t(t) * stride + from * LANES;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            x[i] = source[i * LANES];
        }
    }
    template <int COUNT>
    __device__ void store(int t, int from, const double (&x)[COUNT]) const {
        double *target = base + int64_t(t) * stride + from * LANES;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            target[i * LANES] = x[i];
        }
    }
    // Returns the places of a lane of the tile number `index`.
    __device__ Workspace of_lane(const ChunkTile &tile, int64_t points, int64_t number) const {
        Workspace other = *this;
        other.base += (number / LANES - tile.index) * points * stride + number % LANES - tile.lane;
        return other;
    }
};

// Loads values of the point that follows point t of a lane; after the last one that is the first
// point of the next chunk, or the point where the halves meet.
template <int COUNT>
__device__ void load_following(const HalfTile &, const Workspace &workspace, int t,
                               double (&x)[COUNT]) {
    workspace.load(t + 1, 0, x);
}
template <int COUNT>
__device__ void load_following(const ChunkTile &tile, const Workspace &workspace, int t,
                               double (&x)[COUNT]) {
    if (tile.has(t + 1)) {
        workspace.load(t + 1, 0, x);
    } else {
        workspace.of_lane(tile, tile.points(), tile.number(tile.lane) + 1).load(0, 0, x);
    }
}

// The indices into a block row of R.
template <int K, int Q>
struct Layout {
    static constexpr int P = K * Q;
    static constexpr int UPPER = P * (P + 1) / 2;
    static constexpr int LINK = Q * (K * P - Q * K * (K - 1) / 2);
    static constexpr int VALUES = UPPER + LINK;

    // Returns the index of row i, column k >= i of R_tt.
    __device__ static constexpr int upper(int i, int k) { return i * P - i * (i - 1) / 2 + k - i; }
    // Returns the first row of R_{t,t+1} that is not zero in column k.
    __device__ static constexpr int first_row(int k) { return k / Q * Q; }
    // Returns the index of row i >= first_row(k), column k of R_{t,t+1}.
    __device__ static constexpr int link(int i, int k) {
        const int group = k / Q;
        const int before = Q * (group * P - Q * group * (group - 1) / 2);
        return before + k % Q * (P - group * Q) + i - group * Q;
    }
};

// Returns the places of the factor of a lane's system.
template <int K, int Q, typename AnyTile>
__device__ Workspace factor_of(const AnyTile &tile) {
    return {tile,
            tile.common.factor,
            tile.kept_points(),
            Layout<K, Q>::VALUES,
            tile.factor_tile(),
            tile.factor_lane()};
}

// A block row of R in registers.
template <int K, int Q>
struct FactorRow : Layout<K, Q> {
    using L = Layout<K, Q>;
    double upper_values[L::UPPER];
    double link_values[L::LINK];

    __device__ double &upper(int i, int k) { return upper_values[L::upper(i, k)]; }
    __device__ double &link(int i, int k) { return link_values[L::link(i, k)]; }
    __device__ double upper(int i, int k) const { return upper_values[L::upper(i, k)]; }
    __device__ double link(int i, int k) const { return link_values[L::link(i, k)]; }

    // Loads row t of N rows; the last has no coupling.
    __device__ void load(const Workspace &factor, int t, bool last) {
        factor.load(t, 0, upper_values);
        if (!last) {
            factor.load(t, L::UPPER, link_values);
        }
    }
    __device__ void store(const Workspace &factor, int t, bool last) const {
        factor.store(t, 0, upper_values);
        if (!last) {
            factor.store(t, L::UPPER, link_values);
        }
    }

    // Computes R_tt of point t from the matrix R_ttᵀR_tt in its place, by Cholesky's method. Before
    // that, `removed` was subtracted from the diagonal.
    __device__ void factorize(const double (&removed)[L::P], int t, Pivots &pivots) {
#pragma unroll
        for (int i = 0; i < L::P; ++i) {
            const double whole = upper(i, i) + removed[i];
#pragma unroll
            for (int k = i; k < L::P; ++k) {
#pragma unroll
                for (int m = 0; m < i; ++m) {
                    upper(i, k) -= upper(m, i) * upper(m, k);
                }
            }
            pivots.judge(upper(i, i), whole, t * L::P + i);
            const double reciprocal = reciprocal_root(upper(i, i));
            upper(i, i) = reciprocal;
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                upper(i, k) *= reciprocal;
            }
        }
    }

    // Computes v = R_tt⁻ᵀ v.
    __device__ void forward(double (&v)[L::P]) const {
#pragma unroll
        for (int i = 0; i < L::P; ++i) {
#pragma unroll
            for (int m = 0; m < i; ++m) {
                v[i] -= upper(m, i) * v[m];
            }
            v[i] *= upper(i, i);
        }
    }
    // Computes next = −R_{t,t+1}ᵀ v.
    __device__ void carry(const double (&v)[L::P], double (&next)[L::P]) const {
#pragma unroll
        for (int k = 0; k < L::P; ++k) {
            next[k] = 0;
#pragma unroll
            for (int m = L::first_row(k); m < L::P; ++m) {
                next[k] -= link(m, k) * v[m];
            }
        }
    }
    // Computes x = R_tt⁻¹ (x − R_{t,t+1} next), where there is a next point.
    __device__ void backward(double (&x)[L::P], const double (&next)[L::P], bool last) const {
        if (!last) {
#pragma unroll
            for (int k = 0; k < L::P; ++k) {
#pragma unroll
                for (int m = L::first_row(k); m < L::P; ++m) {
                    x[m] -= link(m, k) * next[k];
                }
            }
        }
#pragma unroll
        for (int i = L::P - 1; i >= 0; --i) {
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                x[i] -= upper(i, k) * x[k];
            }
            x[i] *= upper(i, i);
        }
    }
    // Computes the same for x = R⁻¹e, and adds Σ (R_ik x_k)² over the block row to `squares`. The
    // squares of a column are added up apart from x, which thus need not be known yet.
    __device__ void backward_with_squares(double (&x)[L::P], const double (&next)[L::P], bool last,
                                          double &squares) const {
        if (!last) {
#pragma unroll
            for (int k = 0; k < L::P; ++k) {
                double sum = 0;
#pragma unroll
                for (int m = L::first_row(k); m < L::P; ++m) {
                    x[m] -= link(m, k) * next[k];
                    sum += link(m, k) * link(m, k);
                }
                squares += sum * next[k] * next[k];
            }
        }
#pragma unroll
        for (int i = L::P - 1; i >= 0; --i) {
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                x[i] -= upper(i, k) * x[k];
            }
            squares += x[i] * x[i];
            x[i] *= upper(i, i);
            double sum = 0;
#pragma unroll
            for (int m = 0; m < i; ++m) {
                sum += upper(m, i) * upper(m, i);
            }
            squares += sum * x[i] * x[i];
        }
    }
};

}  // namespace thread

#endif
