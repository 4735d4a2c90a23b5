// Substitution with the factor of team/banded.cuh: Rᵀ v = rhs forward in time, R x = v backward.
//
// Block rows of R come from global memory, each fetched while its neighbor is worked on, but for
// teams that work in global memory anyway. The triangle of a block is solved by the lanes of the
// team's first warp, each with an unknown, up to 32 at a time: they shuffle what is solved, since
// every unknown waits for the one before it.

#ifndef MECHANISTIC_SUBSTITUTION_CUH
#define MECHANISTIC_SUBSTITUTION_CUH

#include "team/banded.cuh"

template <Kind KIND>
struct Substitution {
    const Sizes sizes;
    const Places places;
    const Team<KIND> team;

    double *rows;    // (2, block values): block rows of R, in the memory of the window
    double *corner;  // (c, c+1): the border's triangle of R
    double *x;       // (P): right-hand sides
    double *solved;  // (2, w+1, P): the last blocks of the solutions, block t in slot t mod (w+1)
    double *border;  // (2, c): of the solutions, or what is left of the right-hand side
    double *taken;   // (w, P): what earlier blocks take off the right-hand sides of the next ones

    __device__ Substitution(const Sizes &sizes, const Places &places, Team<KIND> team,
                            const Banded<KIND> &banded, char *memory, const BandLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          rows(banded.window),
          corner(banded.corner),
          x(array(memory, layout.x)),
          solved(array(memory, layout.solved)),
          border(array(memory, layout.border)),
          taken(array(memory, layout.taken)) {}

    // Returns block row t of R, once it is there.
    __device__ const double *block_row(const double *factor, int t) const {
        const int64_t values = places.block_values(sizes.block);
        return KIND == GLOBAL ? factor + t * values : rows + t % 2 * values;
    }
    __device__ double *solution(int vector, int t) const {
        const int slots = sizes.bandwidth + 1;
        return solved + (vector * slots + t % slots) * sizes.block;
    }

    // Begins to load block row t of R.
    __device__ void fetch(const double *factor, int t) const {
        if (KIND == GLOBAL) {
            return;
        }
        constexpr int together = 2;
        const int values = places.block_values(sizes.block);
        const double *source = factor + int64_t(t) * values;
        double *target = rows + t % 2 * values;
#pragma unroll 4
        for (int index = team.rank * together; index < values; index += team.size * together) {
            __pipeline_memcpy_async(target + index, source + index, 16);
        }
        __pipeline_commit();
    }

    // Waits for the block row fetched before the last, or for all.
    __device__ void arrive(bool all) const {
        if (all) {
            __pipeline_wait_prior(0);
        } else {
            __pipeline_wait_prior(1);
        }
        team.sync();
    }

    __device__ void fetch_border(const double *factor) const {
        const int c = sizes.border;
        const double *source = factor + int64_t(sizes.blocks) * places.block_values(sizes.block);
#pragma unroll 1
        for (int index = team.rank; index < c * c; index += team.size) {
            const int row = index / c;
            corner[row * (c + 1) + index - row * c] = source[index];
        }
    }

    // Prepares for a forward substitution, before the first block.
    __device__ void start_forward() const {
#pragma unroll 1
        for (int i = team.rank; i < sizes.bandwidth * sizes.block; i += team.size) {
            taken[i] = 0;
        }
#pragma unroll 1
        for (int i = team.rank; i < sizes.border; i += team.size) {
            border[i] = 0;
        }
        team.sync();
    }

    // Solves block t of Rᵀ v = rhs, whose right-hand side is in x; v goes to `substituted`.
    __device__ void forward(const double *factor, int t, double *substituted) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.kept;
        const double *a = block_row(factor, t);
        double *v = solution(0, t);
        const int lanes = min(team.size, 32);
#pragma unroll 1
        for (int start = 0; team.rank < lanes && start < p; start += lanes) {
            const int i = start + team.rank, end = min(p, start + lanes);
            const bool exists = i < end;
            const double *column = a + q + i;
            double value = 0, reciprocal = 0;
            if (exists) {
                value = x[i] - taken[i];
                reciprocal = column[i * pitch];
#pragma unroll 4
                for (int row = 0; row < start; ++row) {
                    value = fma(-column[row * pitch], v[row], value);
                }
            }
            value *= reciprocal;
#pragma unroll 1
            for (int row = start; row < end; row += TOGETHER) {
                // Lanes that have their unknown take nothing more: a branch costs more than zeros.
                double factors[TOGETHER];
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    const double entry = exists && i > row + k ? column[(row + k) * pitch] : 0.0;
                    factors[k] = -entry * reciprocal;
                }
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    value = fma(factors[k], team.from(value, row - start + k), value);
                }
            }
            if (exists) {
                v[i] = value;
            }
            team.sync_warp();
        }
        team.sync();
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
        for (int i = team.rank; i < sizes.border; i += team.size) {
            border[i] -= along(a, places.border + i, v, 0);
        }
    }

    // Returns Σ_m a(m, place) v(m) over the rows m ≥ first.
    __device__ double along(const double *a, int place, const double *v, int first) const {
        double sum = 0;
        const double *column = a + place;
#pragma unroll 4
        for (int m = 0; m < sizes.block; ++m, column += places.kept) {
            if (m >= first) {
                sum = fma(*column, v[m], sum);
            }
        }
        return sum;
    }

    // Solves the border's part of Rᵀ v = rhs, whose right-hand side is in `border`; v goes to
    // `substituted`.
    __device__ void forward_border(double *substituted) const {
        const int c = sizes.border, pitch = c + 1;
        team.sync();
#pragma unroll 1
        for (int row = 0; row < c; ++row) {
            const double value = border[row] * corner[row * pitch + row];
#pragma unroll 1
            for (int i = row + team.rank; i < c; i += team.size) {
                if (i == row) {
                    substituted[int64_t(sizes.blocks) * sizes.block + row] = value;
                } else {
                    border[i] -= corner[row * pitch + i] * value;
                }
            }
            team.sync();
        }
    }

    // Solves R x = v for v of `substituted`, from the last block to the first. emit(t, i, value)
    // gets the solution, the border as block n; after(t) is called once a block is complete.
    //
    // With a probe, solves R x = e_probe at the same time and returns this thread's share of
    // Σ_{j,i} (R_ji x_i)².
    template <class Emit, class After>
    __device__ double backward(const double *factor, const double *substituted, int probe,
                               Emit emit, After after) const {
        double squares = 0;
        fetch(factor, sizes.end - 1);
#pragma unroll 1
        for (int i = team.rank; i < 2 * (sizes.bandwidth + 1) * sizes.block; i += team.size) {
            solved[i] = 0;
        }
        backward_border(substituted, probe, squares, emit);
        backward_blocks(factor, substituted, probe, squares, emit, after);
        return squares;
    }

    // Solves R x = v within a chunk, given what it is coupled with: the border, and `solution` (2,
    // unknowns) of the separators, where the separator before the chunk and the one after have the
    // given places.
    template <class Emit, class After>
    __device__ double backward_chunk(const double *factor, const double *substituted,
                                     const double *solution, int unknowns, int chunk, int probe,
                                     Emit emit, After after) const {
        const int s = sizes.spikes, p = sizes.block, vectors = probe < 0 ? 1 : 2;
        const int of_border = unknowns - (sizes.border - s);
        double squares = 0;
        fetch(factor, sizes.end - 1);
#pragma unroll 1
        for (int vector = 0; vector < vectors; ++vector, solution += unknowns) {
#pragma unroll 1
            for (int i = team.rank; i < s; i += team.size) {
                const int ahead = sizes.by_block.quotient(i);
                this->solution(vector, sizes.end + ahead)[i - ahead * p] =
                    sizes.end < sizes.blocks ? solution[chunk * s + i] : 0;
                border[vector * sizes.border + i] = chunk > 0 ? solution[(chunk - 1) * s + i] : 0;
            }
#pragma unroll 1
            for (int i = team.rank; i < sizes.border - s; i += team.size) {
                border[vector * sizes.border + s + i] = solution[of_border + i];
            }
        }
        backward_blocks(factor, substituted, probe, squares, emit, after);
        return squares;
    }

  private:
    // Number of rows whose entries are loaded before the first of them is used.
    static constexpr int TOGETHER = 8;

    template <class Emit, class After>
    __device__ void backward_blocks(const double *factor, const double *substituted, int probe,
                                    double &squares, Emit &emit, After &after) const {
        const int p = sizes.block;
#pragma unroll 1
        for (int t = sizes.end - 1; t >= sizes.first; --t) {
            if (t > sizes.first) {
                fetch(factor, t - 1);
            }
            arrive(t == sizes.first);
            if (probe < 0) {
                backward_block<1>(factor, t, substituted, probe, squares);
            } else {
                backward_block<2>(factor, t, substituted, probe, squares);
            }
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                emit(t, i, solution(0, t)[i]);
            }
            after(t);
        }
    }

    template <class Emit>
    __device__ void backward_border(const double *substituted, int probe, double &squares,
                                    Emit &emit) const {
        const int c = sizes.border, before = sizes.blocks * sizes.block,
                  vectors = probe < 0 ? 1 : 2;
#pragma unroll 1
        for (int i = team.rank; i < c; i += team.size) {
            border[i] = substituted[before + i];
            border[c + i] = before + i == probe;
        }
        team.sync();
#pragma unroll 1
        for (int row = c - 1; row >= 0; --row) {
#pragma unroll 1
            for (int i = team.rank; i < vectors * c; i += team.size) {
                const int vector = i >= c, m = i - vector * c;
                if (m < row) {
                    const double term = corner[m * (c + 1) + row] *
                                        (border[vector * c + row] * corner[row * (c + 1) + row]);
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
                if (!vector) {
                    emit(sizes.blocks, row, border[row]);
                }
            }
            team.sync();
        }
    }

    // Solves block t of R x = v, and, for two vectors, of the probe's system.
    template <int VECTORS>
    __device__ void backward_block(const double *factor, int t, const double *substituted,
                                   int probe, double &squares) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, c = sizes.border;
        const int pitch = places.kept;
        const double *a = block_row(factor, t);
        double *x = solution(0, t);
        const int probes = solution(1, t) - x;  // from a vector to the probe's
        const int lanes = min(team.size, 32);
        double left[VECTORS];  // what is left of this thread's right-hand side
        // Subtracts R's entry times a value.
        auto take = [&](double entry, const double *value, int to_probe) {
#pragma unroll
            for (int vector = 0; vector < VECTORS; ++vector) {
                const double term = entry * value[vector * to_probe];
                left[vector] -= term;
                if (vector == 1) {
                    squares = fma(term, term, squares);
                }
            }
        };
#pragma unroll 1
        for (int start = (p - 1) / lanes * lanes; team.rank < lanes && start >= 0; start -= lanes) {
            const int i = start + team.rank, last = min(p, start + lanes) - 1;
            const bool exists = i <= last;
            const double *row = a + i * pitch;
            double reciprocal = 0, value[VECTORS] = {};
#pragma unroll
            for (int vector = 0; vector < VECTORS; ++vector) {
                left[vector] = 0;
            }
            if (exists) {
                reciprocal = row[q + i];
                left[0] = substituted[int64_t(t) * p + i];
                if (VECTORS == 2) {
                    left[VECTORS - 1] = t * p + i == probe;
                }
                const double *outermost = solution(0, t + w);
                const int end = sizes.by_derivatives.multiple(i) + q;
#pragma unroll 4
                for (int k = 0; k < p; ++k) {
                    if (k < end) {
                        take(row[k], outermost + k, probes);
                    }
                }
                const double *next = solution(0, t + 1);
#pragma unroll 1
                for (int k = 0; w == 2 && k < p; ++k) {
                    take(row[q + p + k], next + k, probes);
                }
#pragma unroll 1
                for (int k = 0; k < c; ++k) {
                    take(row[places.border + k], border + k, c);
                }
#pragma unroll 4
                for (int k = last + 1; k < p; ++k) {
                    take(row[q + k], x + k, probes);
                }
            }
#pragma unroll
            for (int vector = 0; vector < VECTORS; ++vector) {
                value[vector] = left[vector] * reciprocal;
            }
#pragma unroll 1
            for (int top = last; top >= start; top -= TOGETHER) {
                double entries[TOGETHER];
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
                    entries[k] = i < top - k && top - k >= start ? row[q + top - k] : 0.0;
                }
#pragma unroll
                for (int k = 0; k < TOGETHER; ++k) {
#pragma unroll
                    for (int vector = 0; vector < VECTORS; ++vector) {
                        const double solved = team.from(value[vector], top - start - k);
                        value[vector] = fma(-entries[k] * reciprocal, solved, value[vector]);
                        if (vector == 1) {
                            const double term = entries[k] * solved;
                            left[vector] -= term;
                            squares = fma(term, term, squares);
                        }
                    }
                }
            }
            if (exists) {
                x[i] = value[0];
                if (VECTORS == 2) {
                    squares = fma(left[VECTORS - 1], left[VECTORS - 1], squares);
                    x[probes + i] = value[VECTORS - 1];
                }
            }
            team.sync_warp();
        }
        team.sync();
    }
};

#endif
