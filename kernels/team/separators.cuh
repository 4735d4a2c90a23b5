// Chunks of time: the blocks of a system are dealt out to the teams of a block (CHUNK), so that a
// long system is not one sequence of blocks.
//
// Chunk k has the blocks from ⌊k·n/C⌋ on. The last w of them, but for the last chunk's, are a
// separator: S = w·P unknowns that couple the chunk with the next. Each team eliminates the rest of
// its chunk by the sweep of team/banded.cuh, with the separator before it as S more columns of the
// border, called spikes. It then hands over what is left of M among the separators on both sides
// and the border. Together these make the matrix of the separators:
//
//   | D_0  E_0           G_0 |
//   | E_0ᵀ D_1  E_1      G_1 |
//   |      E_1ᵀ D_2      G_2 |
//   | G_0ᵀ G_1ᵀ G_2ᵀ     H   |
//
// Separator k is coupled with the next one through chunk k+1, so that this matrix is block
// tridiagonal with full blocks: a matrix of team/banded.cuh with one state of S values. One team
// eliminates and solves it; then each team substitutes back in its chunk.
//
// A system of N points thus takes the time of about 2.2·N/C + 2.5·C of them instead of N: spikes
// take R⁻ᵀ of P more columns and P² more of the corner, separators are coupled by full blocks.

#ifndef MECHANISTIC_SEPARATORS_CUH
#define MECHANISTIC_SEPARATORS_CUH

#include "team/substitution.cuh"

// The values that a chunk hands over, as offsets in a record.
struct RecordLayout {
    int separator;  // S
    int border;     // c
    int width;      // of a row: S of the separator after the chunk, S of the one before, c, and β
    int corner;  // where the rest begins: (S + c, S + c + 1) of the separator before and the border
    int wholes;  // (S + c): diagonal of M, of the separator after and of the border
    int values;  // all
    int unknowns;  // (C−1)·S + c

    __device__ RecordLayout(const Sizes &problem, int chunks)
        : separator(problem.bandwidth * problem.block),
          border(problem.border),
          width(2 * separator + border + 1),
          corner(separator * width),
          wholes(corner + (separator + border) * (separator + border + 1)),
          values(wholes + separator + border),
          unknowns((chunks - 1) * separator + border) {}
};

// Hands over what is left of the neighbors of the team's chunk once the chunk's blocks are
// eliminated.
template <Kind KIND>
__device__ void hand_over(Banded<KIND> &banded, Rows<KIND> &rows, const RecordLayout &layout,
                          double *record) {
    const Sizes &sizes = banded.sizes;
    const Team<KIND> team = banded.team;
    const int p = sizes.block, q = sizes.derivatives, s = layout.separator;
    const bool last = sizes.end == sizes.blocks;
#pragma unroll 1
    for (int t = sizes.end; !last && t < sizes.end + sizes.bandwidth; ++t) {
        rows.stage(t, false);
        banded.keep(t, rows);
        const double *a = banded.block_row(t);
        const int ahead = t - sizes.end;
#pragma unroll 1
        for (int index = team.rank; index < p * layout.width; index += team.size) {
            const int row = index / layout.width, column = index - row * layout.width;
            int place = banded.places.border + column - s;
            if (column < s) {
                const int block = sizes.by_block.quotient(column), i = column - block * p;
                if (block < ahead || (block == ahead && i < row)) {
                    continue;
                }
                place = block == ahead ? q + i : q + p + i;
            }
            record[ahead * p * layout.width + index] = a[row * banded.places.pitch + place];
        }
#pragma unroll 1
        for (int row = team.rank; row < p; row += team.size) {
            record[layout.wholes + ahead * p + row] = banded.wholes[row];
        }
        team.sync();
    }
    if (last && sizes.closing) {
        rows.stage(sizes.points - 1, false);
    }
    team.sync();
    const int pitch = sizes.border + 1;
#pragma unroll 1
    for (int index = team.rank; index < triangle(pitch) - 1; index += team.size) {
        const int column = triangle_column(index), row = index - triangle(column);
        double value = banded.corner[row * pitch + column];
        if (last && row >= s) {
            const double whole = rows.border_corner(row - s, column - s);
            if (row == column) {
                record[layout.wholes + row] = whole;
            }
            value += whole;
        }
        record[layout.corner + row * pitch + column] = value;
    }
}

// The matrix of the separators, whose entries team/banded.cuh asks for, made from what the chunks
// handed over.
struct SeparatorRows {
    static constexpr bool EQUATIONS = false;
    const RecordLayout layout;
    const double *records;  // (C, values)
    const Sizes problem;
    int chunks;
    int t = 0;  // the separator in turn

    __device__ double after(int chunk, int row, int column) const {
        return records[chunk * layout.values + row * layout.width + column];
    }
    __device__ double before(int chunk, int row, int column) const {
        const int pitch = layout.separator + layout.border + 1;
        return records[chunk * layout.values + layout.corner + row * pitch + column];
    }
    __device__ double of_state(int, int row, int column) const {
        return after(t, row, column) + before(t + 1, row, column);
    }
    __device__ double coupling(int, int row, int column) const {
        return after(t + 1, column, layout.separator + row);
    }
    __device__ double smoothness(int, int, int row, int column) const {
        return coupling(1, row, column);
    }
    __device__ double border(int row, int column) const {
        return after(t, row, 2 * layout.separator + column) +
               before(t + 1, row, layout.separator + column);
    }
    __device__ double border_corner(int row, int column) const {
        double sum = 0;
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; ++chunk) {
            sum += before(chunk, layout.separator + row, layout.separator + column);
        }
        return sum;
    }
    __device__ double whole(int row, double) const {
        return records[t * layout.values + layout.wholes + row];
    }
    __device__ double border_whole(int row, double) const {
        return records[(chunks - 1) * layout.values + layout.wholes + layout.separator + row];
    }
    __device__ int unknown(int t, int row) const {
        const int point = t < chunks - 1 ? problem.separator(t, chunks) : problem.blocks;
        return point * problem.block + row;
    }
};

// The system of the separators and the border, which one team solves.
template <Kind KIND>
struct Separators {
    const Sizes problem;
    const int chunks;
    const RecordLayout layout;
    const Sizes sizes;
    const Places places;
    Banded<KIND> banded;
    Substitution<KIND> substitution;
    double *factor;   // of the separators and the border
    double *records;  // (C, values): what the chunks hand over; for substitution, the beginning:
                      // right-hand sides of the separators after (S) and before (S), border (c)
    double *substituted;  // (unknowns)
    double *solution;     // (2, unknowns): and of the probe

    __device__ Separators(const Sizes &problem, int chunks, const RecordLayout &layout,
                          Team<KIND> team, char *memory, BandLayout of_memory, double *factor,
                          double *workspace)
        : problem(problem),
          chunks(chunks),
          layout(layout),
          sizes(problem.separators(chunks)),
          places(sizes),
          banded(sizes, places, team, memory, of_memory),
          substitution(sizes, places, team, memory, of_memory),
          factor(factor),
          records(workspace),
          substituted(workspace + chunks * layout.values),
          solution(substituted + layout.unknowns) {}

    // Computes R, and R⁻ᵀ of the right-hand side; the diagonal of M goes to `diagonal`.
    __device__ void factorize(double *diagonal) {
        SeparatorRows rows{layout, records, problem, chunks};
        banded.start();
#pragma unroll 1
        for (int t = 0; t < sizes.blocks; ++t) {
            rows.t = t;
            banded.eliminate(t, rows);
            banded.store(t, rows, factor, substituted, diagonal);
            banded.team.sync();
        }
        banded.eliminate_border(rows, factor, substituted, diagonal);
        banded.team.sync();
    }

    // Computes R⁻ᵀ of another right-hand side.
    __device__ void forward() const {
        const Team<KIND> team = banded.team;
        const int s = layout.separator, values = layout.values;
        substitution.fetch(factor, 0, substituted);
        substitution.fetch_border(factor);
        substitution.start_forward();
#pragma unroll 1
        for (int t = 0; t < sizes.blocks; ++t) {
#pragma unroll 1
            for (int i = team.rank; i < s; i += team.size) {
                substitution.x[i] = records[t * values + i] + records[(t + 1) * values + s + i];
            }
            substitution.arrive();
            if (t + 1 < sizes.blocks) {
                substitution.fetch(factor, t + 1, substituted);
            }
            substitution.forward(factor, t, substitution.x, substituted);
        }
        team.sync();
#pragma unroll 1
        for (int i = team.rank; i < layout.border; i += team.size)
#pragma unroll 1
            for (int chunk = 0; chunk < chunks; ++chunk) {
                substitution.border[i] += records[chunk * values + 2 * s + i];
            }
        substitution.forward_border(substituted);
        team.sync();
    }

    // Solves R x = R⁻ᵀ rhs, and the same for the probe, as Substitution::backward does; t of
    // emit(t, i, value, of_probe, of_other) is the point, and the other vector is that of the
    // points.
    template <class Emit>
    __device__ void backward(int probe, const double *other, Emit emit) const {
        const Team<KIND> team = banded.team;
        const int s = layout.separator, p = problem.block, before = sizes.blocks * s;
        double *of_probe = solution + layout.unknowns;
        // This is the probe's place among these unknowns; without a probe among them, its
        // right-hand side is zero.
        int place = probe < 0 ? -1 : INT_MAX;
        if (probe >= problem.blocks * p) {
            place = before + probe - problem.blocks * p;
        }
#pragma unroll 1
        for (int t = 0; probe >= 0 && t < sizes.blocks; ++t) {
            const int first = problem.separator(t, chunks) * p;
            if (probe >= first && probe < first + s) {
                place = t * s + probe - first;
            }
        }
        substitution.backward(factor, substituted, place, nullptr,
                              [&](int t, int i, double value, double probed, double) {
                                  solution[t * s + i] = value;
                                  if (probe >= 0) {
                                      of_probe[t * s + i] = probed;
                                  }
                                  int point = problem.blocks, row = i;
                                  if (t < sizes.blocks) {
                                      const int ahead = problem.by_block.quotient(i);
                                      point = problem.separator(t, chunks) + ahead;
                                      row -= ahead * p;
                                  }
                                  const double of_other =
                                      other ? other[int64_t(point) * p + row] : 0.0;
                                  emit(point, row, value, probed, of_other);
                              });
    }
};

#endif
