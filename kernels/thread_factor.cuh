// One block row of the factor at a time, in registers: M = RᵀR, row t of R is (R_tt, R_{t,t+1}).
//
// R_tt is an upper triangle with the reciprocals of its diagonal entries in their places. R has the
// precision of the problem, the vectors in substitutions have double precision. Smoothness rows
// couple a state with itself only, so column k of R_{t,t+1} is zero above row k/Q·Q.

#ifndef MECHANISTIC_THREAD_FACTOR_CUH
#define MECHANISTIC_THREAD_FACTOR_CUH

#include "thread_stream.cuh"

namespace thread {

// Where the values of a tile's point stand in the workspace: ((tile·N + t)·values + v)·32 + lane.
template <typename T> struct Workspace {
    T *base;
    int values;

    // Of `points` points a lane.
    template <typename Where>
    __device__ Workspace(const Where &tile, void *data, int64_t points, int values)
        : base(static_cast<T *>(data) + tile.index * points * values * LANES + tile.lane),
          values(values) {}
    template <typename Where>
    __device__ Workspace(const Where &tile, void *data, int values)
        : Workspace(tile, data, tile.points(), values) {}

    template <int COUNT> __device__ void load(int t, int from, T (&x)[COUNT]) const {
        const T *source = base + (int64_t(t) * values + from) * LANES;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            x[i] = source[i * LANES];
        }
    }
    template <int COUNT> __device__ void store(int t, int from, const T (&x)[COUNT]) const {
        T *target = base + (int64_t(t) * values + from) * LANES;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            target[i * LANES] = x[i];
        }
    }
    // The same of a lane of the tile number `index`.
    __device__ Workspace of_lane(const ChunkTile &tile, int64_t points, int64_t number) const {
        Workspace other = *this;
        other.base += (number / LANES - tile.index) * points * values * LANES +
                      number % LANES - tile.lane;
        return other;
    }
};

// The point that follows point t of a lane; that of the next chunk is its first.
template <typename T, int COUNT>
__device__ void load_following(const Tile &, const Workspace<T> &workspace, int t, T (&x)[COUNT]) {
    workspace.load(t + 1, 0, x);
}
template <typename T, int COUNT>
__device__ void load_following(const ChunkTile &tile, const Workspace<T> &workspace, int t,
                               T (&x)[COUNT]) {
    if (tile.has(t + 1)) {
        workspace.load(t + 1, 0, x);
    } else {
        workspace.of_lane(tile, tile.points(), tile.number(tile.lane) + 1).load(0, 0, x);
    }
}

// Adds x to the first point of the next chunk, after a sweep that has written the points.
template <int COUNT>
__device__ void add_to_next(const Tile &, const Workspace<double> &, const double (&)[COUNT]) {}
template <int COUNT>
__device__ void add_to_next(const ChunkTile &tile, const Workspace<double> &workspace,
                            const double (&x)[COUNT]) {
    __syncthreads();
    if (tile.has_next()) {
        const auto next = workspace.of_lane(tile, tile.points(), tile.number(tile.lane) + 1);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            next.base[i * LANES] += x[i];
        }
    }
}

// Indices into a block row of R.
template <int K, int Q> struct Layout {
    static constexpr int P = K * Q;
    static constexpr int UPPER = P * (P + 1) / 2;
    static constexpr int LINK = Q * (K * P - Q * K * (K - 1) / 2);
    static constexpr int VALUES = UPPER + LINK;

    // Row i, column k >= i of R_tt.
    __device__ static constexpr int upper(int i, int k) { return i * P - i * (i - 1) / 2 + k - i; }
    // First row of R_{t,t+1} that is not zero in column k.
    __device__ static constexpr int first_row(int k) { return k / Q * Q; }
    // Row i >= first_row(k), column k of R_{t,t+1}.
    __device__ static constexpr int link(int i, int k) {
        const int group = k / Q;
        const int before = Q * (group * P - Q * group * (group - 1) / 2);
        return before + k % Q * (P - group * Q) + i - group * Q;
    }
};

template <typename T> constexpr T SMALLEST_NORMAL = T(sizeof(T) == 8 ? 0x1p-1022 : 0x1p-126);

// How the factorisation of one system went.
template <typename T> struct Pivots {
    int broken_point = -1;  // first point whose pivot was not positive, and the pivot's row
    int broken_row = 0;
    int weakest_point = 0;  // pivot that elimination has reduced most, relative to M's diagonal
    int weakest_row = 0;
    T weakest = T(1) / T(0);

    // 1/√pivot; a pivot that is not positive, normal and finite is recorded and replaced by one.
    // `whole` is the diagonal entry of M.
    __device__ T reciprocal_root(T pivot, T whole, int point, int row) {
        const T ratio = pivot / whole;
        if (ratio < weakest) {
            weakest = ratio;
            weakest_point = point;
            weakest_row = row;
        }
        if (!(pivot >= SMALLEST_NORMAL<T> && isfinite(pivot))) {
            if (broken_point < 0) {
                broken_point = point;
                broken_row = row;
            }
            pivot = T(1);
        }
        return T(1) / sqrt(pivot);
    }
};

// A block row of R.
template <typename T, int K, int Q> struct FactorRow : Layout<K, Q> {
    using L = Layout<K, Q>;
    T upper_values[L::UPPER];
    T link_values[L::LINK];

    __device__ T &upper(int i, int k) { return upper_values[L::upper(i, k)]; }
    __device__ T &link(int i, int k) { return link_values[L::link(i, k)]; }

    // Row t of N; the last has no coupling.
    __device__ void load(const Workspace<T> &factor, int t, bool last) {
        factor.load(t, 0, upper_values);
        if (!last) {
            factor.load(t, L::UPPER, link_values);
        }
    }
    __device__ void store(const Workspace<T> &factor, int t, bool last) const {
        factor.store(t, 0, upper_values);
        if (!last) {
            factor.store(t, L::UPPER, link_values);
        }
    }

    // The entries in double precision, as substitution uses them.
    __device__ double upper_exact(int i, int k) const {
        return double(upper_values[L::upper(i, k)]);
    }
    __device__ double link_exact(int i, int k) const { return double(link_values[L::link(i, k)]); }

    // R_tt of point t from the matrix in its place, R_ttᵀR_tt, with Cholesky's method. Before that
    // `removed` was taken from its diagonal.
    __device__ void factorise(const T (&removed)[L::P], int t, Pivots<T> &pivots) {
#pragma unroll
        for (int i = 0; i < L::P; ++i) {
            const T whole = upper(i, i) + removed[i];
#pragma unroll
            for (int k = i; k < L::P; ++k) {
#pragma unroll
                for (int m = 0; m < i; ++m) {
                    upper(i, k) -= upper(m, i) * upper(m, k);
                }
            }
            const T reciprocal = pivots.reciprocal_root(upper(i, i), whole, t, i);
            upper(i, i) = reciprocal;
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                upper(i, k) *= reciprocal;
            }
        }
    }

    // v = R_tt⁻ᵀ v.
    __device__ void forward(double (&v)[L::P]) const {
#pragma unroll
        for (int i = 0; i < L::P; ++i) {
#pragma unroll
            for (int m = 0; m < i; ++m) {
                v[i] -= upper_exact(m, i) * v[m];
            }
            v[i] *= upper_exact(i, i);
        }
    }
    // next = −R_{t,t+1}ᵀ v.
    __device__ void carry(const double (&v)[L::P], double (&next)[L::P]) const {
#pragma unroll
        for (int k = 0; k < L::P; ++k) {
            next[k] = 0;
#pragma unroll
            for (int m = L::first_row(k); m < L::P; ++m) {
                next[k] -= link_exact(m, k) * v[m];
            }
        }
    }
    // x = R_tt⁻¹ (x − R_{t,t+1} next), where there is a next point.
    __device__ void backward(double (&x)[L::P], const double (&next)[L::P], bool last) const {
        if (!last) {
#pragma unroll
            for (int k = 0; k < L::P; ++k) {
#pragma unroll
                for (int m = L::first_row(k); m < L::P; ++m) {
                    x[m] -= link_exact(m, k) * next[k];
                }
            }
        }
#pragma unroll
        for (int i = L::P - 1; i >= 0; --i) {
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                x[i] -= upper_exact(i, k) * x[k];
            }
            x[i] *= upper_exact(i, i);
        }
    }
    // The same for x = R⁻¹e; adds Σ (R_ik x_k)² over the block row to `squares`.
    __device__ void backward_with_squares(double (&x)[L::P], const double (&next)[L::P], bool last,
                                          double &squares) const {
        if (!last) {
#pragma unroll
            for (int k = 0; k < L::P; ++k) {
#pragma unroll
                for (int m = L::first_row(k); m < L::P; ++m) {
                    const double term = link_exact(m, k) * next[k];
                    x[m] -= term;
                    squares += term * term;
                }
            }
        }
#pragma unroll
        for (int i = L::P - 1; i >= 0; --i) {
#pragma unroll
            for (int k = i + 1; k < L::P; ++k) {
                const double term = upper_exact(i, k) * x[k];
                x[i] -= term;
                squares += term * term;
            }
            squares += x[i] * x[i];
            x[i] *= upper_exact(i, i);
        }
    }
};

}  // namespace thread

#endif
