// Substitution with the factor of banded.cuh: Rᵀ v = rhs forward in time, R x = v backward.
//
// In double precision, whatever the precision of R. Block rows of R come from global memory, each fetched while its neighbour is worked on.

#ifndef MECHANISTIC_SUBSTITUTION_CUH
#define MECHANISTIC_SUBSTITUTION_CUH

#include "banded.cuh"

template <class Real, Kind KIND>
struct Substitution {
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> team;

    Real *rows;    // (2, P, pitch): block rows of R, in the memory of the window
    Real *corner;  // (c, c+1): the border's triangle of R
    double *x;       // (2, P): right-hand sides, on the way to solutions
    double *solved;  // (2, w+1, P): the last blocks of the solutions, block t in slot t mod (w+1)
    double *border;  // (2, c): of the solutions, or what is left of the right-hand side
    double *taken;   // (w, P): what earlier blocks take off the right-hand sides of the next ones

    __device__ Substitution(const Sizes &sizes, const Places &places, Team<KIND> team,
                            const Banded<Real, KIND> &banded, Carver &memory)
        : sizes(sizes), places(places), team(team), rows(banded.window), corner(banded.corner)
    {
        x = memory.take<double>(2 * sizes.block);
        solved = memory.take<double>(2 * (sizes.bandwidth + 1) * sizes.block);
        border = memory.take<double>(2 * sizes.border);
        taken = memory.take<double>(sizes.bandwidth * sizes.block);
    }

    __device__ Real *block_row(int t) const { return rows + (t % 2) * sizes.block * places.pitch; }
    __device__ double *solution(int vector, int t) const
    {
        const int slots = sizes.bandwidth + 1;
        return solved + (vector * slots + t % slots) * sizes.block;
    }

    // Begins to load block row t of R.
    __device__ void fetch(const Real *factor, int t) const
    {
        const Real *source = factor + int64_t(t) * sizes.block * places.stored;
        Real *target = block_row(t);
#pragma unroll 1
        for (int index = team.rank; index < sizes.block * places.stored; index += team.size) {
            const int row = places.by_stored.quotient(index);
            Real *place = target + row * places.pitch + index - row * places.stored;
            if (KIND == GLOBAL)
                *place = source[index];
            else
                __pipeline_memcpy_async(place, source + index, sizeof(Real));
        }
        __pipeline_commit();
    }

    // Waits for the block row fetched before the last, or for all.
    __device__ void arrive(bool all) const
    {
        if (all)
            __pipeline_wait_prior(0);
        else
            __pipeline_wait_prior(1);
        team.sync();
    }

    __device__ void fetch_border(const Real *factor) const
    {
        const int c = sizes.border;
        const Real *source = factor + int64_t(sizes.blocks) * sizes.block * places.stored;
#pragma unroll 1
        for (int index = team.rank; index < c * c; index += team.size) {
            const int row = index / c;
            corner[row * (c + 1) + index - row * c] = source[index];
        }
    }

    // Before the first block of a forward substitution.
    __device__ void start_forward() const
    {
#pragma unroll 1
        for (int i = team.rank; i < sizes.bandwidth * sizes.block; i += team.size)
            taken[i] = 0;
#pragma unroll 1
        for (int i = team.rank; i < sizes.border; i += team.size)
            border[i] = 0;
        team.sync();
    }

    // Block t of Rᵀ v = rhs, whose right-hand side is in x; v goes to `substituted`.
    __device__ void forward(int t, double *substituted) const
    {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        const Real *a = block_row(t);
        double *v = solution(0, t);
#pragma unroll 1
        for (int i = team.rank; i < p; i += team.size)
            x[i] -= taken[i];
        team.sync();
#pragma unroll 1
        for (int row = 0; row < p; ++row) {
            const double value = x[row] * a[row * pitch + q + row];
#pragma unroll 1
            for (int i = row + team.rank; i < p; i += team.size) {
                if (i == row)
                    v[row] = value;
                else
                    x[i] -= a[row * pitch + q + i] * value;
            }
            team.sync();
        }
#pragma unroll 1
        for (int i = team.rank; i < p; i += team.size) {
            substituted[int64_t(t) * p + i] = v[i];
            const double outermost = along(a, i, v, sizes.by_derivatives.multiple(i));
            if (w == 2) {
                taken[i] = taken[p + i] + along(a, q + p + i, v, 0);
                taken[p + i] = outermost;
            } else {
                taken[i] = outermost;
            }
        }
#pragma unroll 1
        for (int i = team.rank; i < sizes.border; i += team.size)
            border[i] -= along(a, places.border + i, v, 0);
    }

    // Σ_m a(m, place) v(m) over the rows m ≥ first.
    __device__ double along(const Real *a, int place, const double *v, int first) const
    {
        double sum = 0;
#pragma unroll 4
        for (int m = sizes.block - 1; m >= first; --m)
            sum += double(a[m * places.pitch + place]) * v[m];
        return sum;
    }

    // The border's part of Rᵀ v = rhs, whose right-hand side is in `border`; v goes to `substituted`.
    __device__ void forward_border(double *substituted) const
    {
        const int c = sizes.border, pitch = c + 1;
        team.sync();
#pragma unroll 1
        for (int row = 0; row < c; ++row) {
            const double value = border[row] * corner[row * pitch + row];
#pragma unroll 1
            for (int i = row + team.rank; i < c; i += team.size) {
                if (i == row)
                    substituted[int64_t(sizes.blocks) * sizes.block + row] = value;
                else
                    border[i] -= corner[row * pitch + i] * value;
            }
            team.sync();
        }
    }

    // R x = v for v of `substituted`, from the last block to the first. emit(t, i, value) gets the
    // solution, the border as block n; after(t) is called once a block is complete.
    //
    // With a probe, solves R x = e_probe at the same time and returns this thread's share of
    // Σ_{j,i} (R_ji x_i)².
    template <class Emit, class After>
    __device__ double backward(const Real *factor, const double *substituted, int probe, Emit emit,
                             After after) const
    {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.pitch;
        const int c = sizes.border, n = sizes.blocks, vectors = probe < 0 ? 1 : 2;
        double squares = 0;
        fetch(factor, n - 1);
#pragma unroll 1
        for (int i = team.rank; i < 2 * (w + 1) * p; i += team.size)
            solved[i] = 0;
#pragma unroll 1
        for (int i = team.rank; i < c; i += team.size) {
            border[i] = substituted[int64_t(n) * p + i];
            border[c + i] = n * p + i == probe;
        }
        team.sync();
#pragma unroll 1
        for (int row = c - 1; row >= 0; --row) {
#pragma unroll 1
            for (int i = team.rank; i < vectors * c; i += team.size) {
                const int vector = i >= c, m = i - vector * c;
                if (m < row) {
                    const double term =
                        corner[m * (c + 1) + row] * (border[vector * c + row] * corner[row * (c + 1) + row]);
                    border[i] -= term;
                    squares += vector ? term * term : 0.0;
                }
            }
            team.sync();
#pragma unroll 1
            for (int vector = team.rank; vector < vectors; vector += team.size) {
                const double sum = border[vector * c + row];
                squares += vector ? sum * sum : 0.0;
                border[vector * c + row] = sum * corner[row * (c + 1) + row];
                if (!vector)
                    emit(n, row, border[row]);
            }
            team.sync();
        }
#pragma unroll 1
        for (int t = n - 1; t >= 0; --t) {
            if (t > 0)
                fetch(factor, t - 1);
            arrive(t == 0);
            const Real *a = block_row(t);
#pragma unroll 1
            for (int index = team.rank; index < vectors * p; index += team.size) {
                const int vector = index >= p, i = index - vector * p;
                double sum = vector ? double(t * p + i == probe) : substituted[int64_t(t) * p + i];
                const Real *row = a + i * pitch;
                auto couple = [&](double entry, double value) {
                    const double term = entry * value;
                    sum -= term;
                    squares += vector ? term * term : 0.0;
                };
                const double *outermost = solution(vector, t + w);
#pragma unroll 4
                for (int k = sizes.by_derivatives.multiple(i) + q - 1; k >= 0; --k)
                    couple(row[k], outermost[k]);
                const double *next = solution(vector, t + 1);
#pragma unroll 1
                for (int k = w == 2 ? p - 1 : -1; k >= 0; --k)
                    couple(row[q + p + k], next[k]);
#pragma unroll 1
                for (int k = 0; k < c; ++k)
                    couple(row[places.border + k], border[vector * c + k]);
                x[index] = sum;
            }
            team.sync();
#pragma unroll 1
            for (int row = p - 1; row >= 0; --row) {
#pragma unroll 1
                for (int index = team.rank; index < vectors * (row + 1); index += team.size) {
                    const int vector = index > row, m = index - vector * (row + 1);
                    const double sum = x[vector * p + row];
                    const double value = sum * a[row * pitch + q + row];
                    if (m == row) {
                        squares += vector ? sum * sum : 0.0;
                        solution(vector, t)[row] = value;
                    } else {
                        const double term = a[m * pitch + q + row] * value;
                        squares += vector ? term * term : 0.0;
                        x[vector * p + m] -= term;
                    }
                }
                team.sync();
            }
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size)
                emit(t, i, solution(0, t)[i]);
            after(t);
        }
        return squares;
    }
};

#endif
