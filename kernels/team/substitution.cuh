// Substitution with the factor of team/banded.cuh: Rᵀ v = rhs forward in time, R x = v backward;
// in the second half of a system that two teams share, the other way round.
//
// Block rows of R come from global memory, each fetched while its neighbor is worked on, but for
// teams that work in global memory anyway. They have the inverse of their triangle, so that no
// unknown waits for the one before it: a block is two products of a matrix and a vector. The sums
// of a product are computed by the whole team, several threads side by side to a sum.

#ifndef MECHANISTIC_SUBSTITUTION_CUH
#define MECHANISTIC_SUBSTITUTION_CUH

#include "team/banded.cuh"

template <Kind KIND>
struct Substitution {
    const Sizes sizes;
    const Places places;
    const Team<KIND> team;

    int shift = 0;  // 2^shift threads to a sum

    double *rows;    // (2, block values): block rows of R, in the memory of the window
    double *corner;  // (c, c+1): the border's triangle of R
    double *given;   // (2, P): the same blocks of the right-hand side, or of v going backward
    double *beside;  // (2, P): the same blocks of another vector, going backward
    double *x;       // (2, P): what is left of the right-hand sides going backward
    double *solved;  // (2, w+1, P): the last blocks of the solutions, block t in slot t mod (w+1)
    double *border;  // (2, c): of the solutions, or what is left of the right-hand side
    double *taken;   // (w, P): what earlier blocks take off the right-hand sides of the next ones

    __device__ Substitution(const Sizes &sizes, const Places &places, Team<KIND> team, char *memory,
                            const BandLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          rows(array(memory, layout.window)),
          corner(array(memory, layout.corner)),
          given(array(memory, layout.given)),
          beside(array(memory, layout.beside)),
          x(array(memory, layout.x)),
          solved(array(memory, layout.solved)),
          border(array(memory, layout.border)),
          taken(array(memory, layout.taken)) {
        while (shift < MOST_SHIFT && (2 * sizes.block) << shift <= team.size &&
               (team.size >> shift) % 2 == 0) {
            ++shift;
        }
    }

    // Returns block row t of R, once it is there.
    __device__ const double *block_row(const double *factor, int t) const {
        const int64_t values = places.block_values(sizes.block);
        return KIND == GLOBAL ? factor + t * values : rows + (t & 1) * values;
    }
    __device__ double *solution(int vector, int t) const {
        const int slots = sizes.bandwidth + 1;
        return solved + (vector * slots + sizes.slot(t)) * sizes.block;
    }
    // Returns what earlier blocks take off the right-hand side of block t, which is after them.
    __device__ double *taken_off(int t) const {
        return taken + (sizes.bandwidth == 1 ? 0 : (t & 1) * sizes.block);
    }

    // Returns block t of the right-hand side, or of v going backward, once it is there.
    __device__ const double *rhs(const double *substituted, int t) const {
        return KIND == GLOBAL ? substituted + int64_t(t) * sizes.block
                              : given + (t & 1) * sizes.block;
    }

    // Begins to load block row t of R, what rhs() returns, and block t of another vector, if there
    // is one: its values are for the threads that load them.
    __device__ void fetch(const double *factor, int t, const double *substituted,
                          const double *other = nullptr) const {
        if constexpr (KIND != GLOBAL) {
            constexpr int together = 2;
            const int p = sizes.block, values = places.block_values(p);
            const double *source = factor + int64_t(t) * values;
            double *target = rows + (t & 1) * values;
#pragma unroll 4
            for (int index = team.rank * together; index < values; index += team.size * together) {
                __pipeline_memcpy_async(target + index, source + index, 16);
            }
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                const int place = (t & 1) * p + i;
                const int64_t unknown = int64_t(t) * p + i;
                __pipeline_memcpy_async(given + place, substituted + unknown, 8);
                if (other) {
                    __pipeline_memcpy_async(beside + place, other + unknown, 8);
                }
            }
            __pipeline_commit();
        }
    }
    // Returns value i of block t of the other vector, or zero.
    __device__ double of_other(const double *other, int t, int i) const {
        if (!other) {
            return 0;
        }
        return KIND == GLOBAL ? other[int64_t(t) * sizes.block + i]
                              : beside[(t & 1) * sizes.block + i];
    }

    // Waits for the team and what it has fetched.
    __device__ void arrive() const {
        __pipeline_wait_prior(0);
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

    // Solves block t of Rᵀ v = rhs; v goes to `substituted`, where `rhs` may lie.
    __device__ void forward(const double *factor, int t, const double *rhs,
                            double *substituted) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, pitch = places.kept;
        const double *a = block_row(factor, t);
        const double *taken = taken_off(t);
        double *v = solution(0, t);
        sums<1>(
            p,
            [&](int i, int, int top, double (&sum)[1]) {
                terms(0, i + 1, 0, top + 1, [&](int k) {
                    sum[0] = fma(a[k * pitch + q + i], rhs[k] - taken[k], sum[0]);
                });
            },
            [&](int i, const double (&sum)[1]) { v[i] = sum[0]; });
        team.sync();
#pragma unroll 1
        for (int i = team.rank; i < p; i += team.size) {
            substituted[int64_t(t) * p + i] = v[i];
        }
        // These are the columns of block t+w, then those of block t+1 if that is another, and the
        // border.
        sums<1>(
            w * p + sizes.border,
            [&](int column, int least, int top, double (&sum)[1]) {
                const int first = column < p ? sizes.by_derivatives.multiple(column) : 0;
                const int low = top < p ? sizes.by_derivatives.multiple(least) : 0;
                const double *entries = a + (column < p ? column : q + column);
                terms(first, p, low, p,
                      [&](int m) { sum[0] = fma(entries[m * pitch], v[m], sum[0]); });
            },
            [&](int column, const double (&sum)[1]) {
                if (column < p) {
                    taken_off(t + w)[column] = sum[0];
                } else if (column < w * p) {
                    taken_off(t + 1)[column - p] += sum[0];
                } else {
                    border[column - w * p] -= sum[0];
                }
            });
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

    // Solves R x = v for v of `substituted`, from the last block to the first. With a probe, it
    // solves R x = e_probe at the same time. emit(t, i, value, of_probe, of_other) gets the
    // solutions, the border as block n, without a probe zero for the second, and what another
    // vector has there, or zero.
    template <class Emit>
    __device__ void backward(const double *factor, const double *substituted, int probe,
                             const double *other, Emit emit) const {
        fetch(factor, sizes.end - 1, substituted, other);
#pragma unroll 1
        for (int i = team.rank; i < 2 * (sizes.bandwidth + 1) * sizes.block; i += team.size) {
            solved[i] = 0;
        }
        backward_border(substituted, probe, other, emit);
        backward_blocks(factor, substituted, probe, other, emit, [](int) {});
    }

    // Solves R x = v within a half of the system, from the block on that it eliminated last: in the
    // first half the middle, whose solution it passes to the second, `to_other` values away.
    template <class Emit>
    __device__ void backward_half(const double *factor, const double *substituted, int probe,
                                  const double *other, int64_t to_other, Emit emit) const {
        const int last = sizes.end - sizes.ahead;
        fetch(factor, last, substituted, other);
        const bool leads = sizes.ahead > 0;
        if (leads) {
            // No solution comes before the middle.
#pragma unroll 1
            for (int i = team.rank; i < 2 * (sizes.bandwidth + 1) * sizes.block; i += team.size) {
                solved[i] = 0;
            }
        } else {
            __syncthreads();
        }
        backward_blocks(
            factor, substituted, probe, other,
            [&](int t, int i, double value, double probed, double of_other) {
                emit(t, i, value, probed, of_other);
                if (leads && t == last) {
                    (solution(0, t) + to_other)[i] = value;
                    (solution(1, t) + to_other)[i] = probed;
                }
            },
            [&](int t) {
                if (leads && t == last) {
                    __syncthreads();
                }
            });
    }

    // Solves R x = v within a chunk, given what it is coupled with: the border, and `solution` (2,
    // unknowns) of the separators, where the separator before the chunk and the one after have the
    // given places.
    template <class Emit>
    __device__ void backward_chunk(const double *factor, const double *substituted,
                                   const double *solution, int unknowns, int chunk, int probe,
                                   const double *other, Emit emit) const {
        const int s = sizes.spikes, p = sizes.block, vectors = probe < 0 ? 1 : 2;
        const int of_border = unknowns - (sizes.border - s);
        fetch(factor, sizes.end - 1, substituted, other);
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
        backward_blocks(factor, substituted, probe, other, emit, [](int) {});
    }

  private:
    // The most of it. Teams within a warp have no more threads than sums.
    static constexpr int MOST_SHIFT = PART_OF<KIND> != KIND ? 3 : 0;

    // Calls term(k) for the thread's share of the terms `from` ≤ k < `end` of its sum; all terms of
    // the sums of its warp are in low ≤ k < high. So all lanes are at the same term at the same
    // time.
    template <class Term>
    __device__ void terms(int from, int end, int low, int high, Term term) const {
        constexpr int TOGETHER = 4;
        const int parts = 1 << shift;
#pragma unroll 1
        for (int k = (low & -parts) + (team.rank & (parts - 1)); k < high; k += TOGETHER * parts)
#pragma unroll
            for (int m = 0; m < TOGETHER; ++m) {
                if (k + m * parts >= from && k + m * parts < end) {
                    term(k + m * parts);
                }
            }
    }

    // Computes `count` sums: add(i, least, top, sum) adds the terms of sum i, where the warp has
    // the sums from number `least` to `top`, and put(i, sum) takes the whole.
    template <int VECTORS, class Add, class Put>
    __device__ void sums(int count, Add add, Put put) const {
        const bool puts = (team.rank & ((1 << shift) - 1)) == 0;
#pragma unroll 1
        for (int first = 0; first < count; first += team.size >> shift) {
            const int i = first + (team.rank >> shift);
            const int least = first + ((team.rank & -32) >> shift);
            double sum[VECTORS] = {};
            if (i < count) {
                add(i, least, min(least + (32 >> shift), count) - 1, sum);
            }
#pragma unroll 1
            for (int other = 1; MOST_SHIFT > 0 && other < 1 << shift; other *= 2) {
#pragma unroll
                for (double &value : sum) {
                    value += __shfl_xor_sync(0xffffffffu, value, other);
                }
            }
            if (i < count && puts) {
                put(i, sum);
            }
        }
    }

    // Goes through the blocks, of which the first is being fetched. Calls after(t) once a block is
    // complete.
    template <class Emit, class After>
    __device__ void backward_blocks(const double *factor, const double *substituted, int probe,
                                    const double *other, Emit emit, After after) const {
        const int p = sizes.block, after_all = sizes.first - sizes.ahead;
        arrive();
#pragma unroll 1
        for (int t = sizes.end - sizes.ahead; t != after_all; t -= sizes.ahead) {
            if (t != sizes.first) {
                fetch(factor, t - sizes.ahead, substituted, other);
            }
            if (probe < 0) {
                backward_block<1>(factor, t, substituted, probe);
            } else {
                backward_block<2>(factor, t, substituted, probe);
            }
            arrive();
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                emit(t, i, solution(0, t)[i], probe < 0 ? 0.0 : solution(1, t)[i],
                     of_other(other, t, i));
            }
            after(t);
        }
    }

    template <class Emit>
    __device__ void backward_border(const double *substituted, int probe, const double *other,
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
            const double reciprocal = corner[row * (c + 1) + row];
#pragma unroll 1
            for (int i = team.rank; i < vectors * c; i += team.size) {
                const int vector = i >= c, m = i - vector * c;
                if (m < row) {
                    border[i] -=
                        corner[m * (c + 1) + row] * (border[vector * c + row] * reciprocal);
                }
            }
            team.sync();
#pragma unroll 1
            for (int vector = team.rank; vector < vectors; vector += team.size) {
                border[vector * c + row] *= reciprocal;
            }
            team.sync();
        }
#pragma unroll 1
        for (int i = team.rank; i < c; i += team.size) {
            emit(sizes.blocks, i, border[i], border[c + i], other ? other[before + i] : 0.0);
        }
    }

    // Solves block t of R x = v, and, for two vectors, of the probe's system; the team waits after
    // it.
    template <int VECTORS>
    __device__ void backward_block(const double *factor, int t, const double *substituted,
                                   int probe) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth, c = sizes.border;
        const int pitch = places.kept;
        const double *a = block_row(factor, t);
        const double *v = rhs(substituted, t);
        // From a solution to that of the probe.
        const int64_t to_probe = solution(1, t) - solution(0, t);
        auto take = [](double (&sum)[VECTORS], double entry, const double *value, int64_t ahead) {
#pragma unroll
            for (int vector = 0; vector < VECTORS; ++vector) {
                sum[vector] = fma(entry, value[vector * ahead], sum[vector]);
            }
        };
        sums<VECTORS>(
            p,
            [&](int i, int, int top, double (&sum)[VECTORS]) {
                const double *row = a + i * pitch, *outermost = solution(0, t + w);
                terms(0, sizes.by_derivatives.multiple(i) + q, 0,
                      sizes.by_derivatives.multiple(top) + q,
                      [&](int k) { take(sum, row[k], outermost + k, to_probe); });
                const double *next = solution(0, t + 1);
                const int more = w == 2 ? p : 0;
                terms(0, more, 0, more,
                      [&](int k) { take(sum, row[q + p + k], next + k, to_probe); });
                terms(0, c, 0, c, [&](int k) { take(sum, row[places.border + k], border + k, c); });
            },
            [&](int i, const double (&sum)[VECTORS]) {
                x[i] = v[i] - sum[0];
                if (VECTORS == 2) {
                    x[p + i] = double(t * p + i == probe) - sum[VECTORS - 1];
                }
            });
        team.sync();
        sums<VECTORS>(
            p,
            [&](int i, int least, int, double (&sum)[VECTORS]) {
                const double *row = a + i * pitch + q;
                terms(i, p, least, p, [&](int k) { take(sum, row[k], x + k, p); });
            },
            [&](int i, const double (&sum)[VECTORS]) {
#pragma unroll
                for (int vector = 0; vector < VECTORS; ++vector) {
                    solution(vector, t)[i] = sum[vector];
                }
            });
    }
};

#endif
