// Computes the variances with a team for each system: the diagonal of Σ = M⁻¹ of every system, from
// the factor R of the forward solve and without the rest of the inverse (selected inversion:
// Takahashi, Fagan and Chin, 1973).
//
// With N what block row t of R has beyond its diagonal block, and Σ' the part of Σ among the blocks
// t+1 .. t+w and the border, RΣ = R⁻ᵀ gives, block by block backward in time,
//
//   F = R_tt⁻¹ N,    X = −F Σ',    Σ_tt = R_tt⁻¹ R_tt⁻ᵀ − X Fᵀ,
//
// where X are the covariances of block t with the blocks t+1 .. t+w and the border. The CPU's
// counterpart goes row by row: src/banded/variances.rs.
//
// Grid, block and memory are those of team/forward.cuh. Results are NaN for systems of which a
// solve failed. The result does not depend on grid or block.

#include "team/solve.cuh"

template <Kind KIND>
struct Covariances {
    const Sizes &sizes;
    const Places &places;
    const Team<KIND> team;
    const int known, pitch;  // columns of Σ': w·P + c
    const Divisor by_known;

    // Memory of the team.
    double *window;   // (w·P + c, pitch): Σ', block t+d in slot (t+d) mod w, then the border
    double *coupled;  // (P, pitch): F
    double *across;   // (P, pitch): X
    double *inverse;  // (c, c+1): of the border's triangle of R; below it nothing is read

    __device__ Covariances(const Sizes &sizes, const Places &places, Team<KIND> team, char *memory,
                           const CovariancesLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          known(sizes.bandwidth * sizes.block + sizes.border),
          pitch(known | 1),
          by_known(known),
          window(array(memory, layout.window)),
          coupled(array(memory, layout.coupled)),
          across(array(memory, layout.across)),
          inverse(array(memory, layout.inverse)) {}

    // Computes Σ of the border only. Here and below, emit(t, i, value) is called with the
    // variances.
    template <class Emit>
    __device__ void start(const double *factor, Emit emit) const {
        const int c = sizes.border, first = sizes.bandwidth * sizes.block;
        const double *corner = factor + int64_t(sizes.blocks) * places.block_values(sizes.block);
#pragma unroll 1
        for (int i = team.rank; i < known * pitch; i += team.size) {
            window[i] = 0;
        }
#pragma unroll 1
        for (int column = team.rank; column < c; column += team.size) {
            invert(corner, column);
        }
        team.sync();
#pragma unroll 1
        for (int index = team.rank; index < triangle(c); index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            const double value = of_inverse(inverse, c + 1, row, column, c);
            set(first + row, first + column, value);
            if (row == column && row < sizes.closing) {
                emit(sizes.blocks, row, value);
            }
        }
        team.sync();
    }

    // Puts block t into Σ', in the place of block t+w.
    template <class Emit>
    __device__ void add(int t, const double *factor, Emit emit) const {
        const int p = sizes.block, q = sizes.derivatives, w = sizes.bandwidth;
        const double *a = factor + int64_t(t) * places.block_values(p);
        const int first = t % w * p;
        // This computes F from the inverse of R_tt, which the factor has; each column is one
        // thread's.
#pragma unroll 1
        for (int column = team.rank; column < known; column += team.size) {
            const bool outermost = column >= first && column < first + p;
            const int k = column - (column >= w * p ? w * p : sizes.by_block.multiple(column));
            const int place = outermost ? k : column >= w * p ? places.border + k : q + p + k;
            // Row m has this place if its group reaches that far.
            const int reaching = outermost ? sizes.by_derivatives.multiple(k) : 0;
#pragma unroll 1
            for (int i = 0; i < p; ++i) {
                double sum = 0;
#pragma unroll 4
                for (int m = max(i, reaching); m < p; ++m) {
                    sum = fma(a[i * places.kept + q + m], a[m * places.kept + place], sum);
                }
                coupled[i * pitch + column] = sum;
            }
        }
        team.sync();

        Walk at(team, by_known);
#pragma unroll 1
        for (int index = team.rank; index < p * known; index += team.size, at.advance()) {
            double sum = 0;
#pragma unroll 4
            for (int m = 0; m < known; ++m) {
                sum = fma(coupled[at.row * pitch + m], window[m * pitch + at.column], sum);
            }
            across[at.row * pitch + at.column] = -sum;
        }
        team.sync();

#pragma unroll 1
        for (int index = team.rank; index < triangle(p); index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            double sum = of_inverse(a + q, places.kept, row, column, p);
#pragma unroll 4
            for (int m = 0; m < known; ++m) {
                sum = fma(-across[row * pitch + m], coupled[column * pitch + m], sum);
            }
            set(first + row, first + column, sum);
            if (row == column) {
                emit(t, row, sum);
            }
        }
        Walk beside(team, by_known);
#pragma unroll 1
        for (int index = team.rank; index < p * known; index += team.size, beside.advance()) {
            const int row = beside.row, column = beside.column;
            if (column < first || column >= first + p) {
                set(first + row, column, across[row * pitch + column]);
            }
        }
        team.sync();
    }

  private:
    __device__ void set(int row, int column, double value) const {
        window[row * pitch + column] = value;
        window[column * pitch + row] = value;
    }

    // Computes a column of the inverse of the border's triangle, whose diagonal holds reciprocals.
    __device__ void invert(const double *r, int column) const {
        const int c = sizes.border;
        double *x = inverse + column;
#pragma unroll 1
        for (int i = column; i >= 0; --i) {
            double left = i == column;
#pragma unroll 4
            for (int m = i + 1; m <= column; ++m) {
                left = fma(-r[i * c + m], x[m * (c + 1)], left);
            }
            x[i * (c + 1)] = left * r[i * c + i];
        }
    }

    // Returns the entry of R⁻¹R⁻ᵀ at row <= column, given the inverse of a triangle of `count`
    // rows.
    __device__ static double of_inverse(const double *inverse, int pitch, int row, int column,
                                        int count) {
        double sum = 0;
#pragma unroll 4
        for (int m = column; m < count; ++m) {
            sum = fma(inverse[row * pitch + m], inverse[column * pitch + m], sum);
        }
        return sum;
    }
};

template <Kind KIND>
__device__ void team_variances(const TeamPlan &plan, const TeamVariances &variances) {
    const TeamContext<KIND> context(plan);
    if (context.idle) {
        return;
    }
    const Sizes &sizes = context.sizes;
    const Team<KIND> team = context.team;
    const int64_t values = int64_t(sizes.points) * sizes.block;
    const Covariances<KIND> covariances(sizes, context.places, team, context.memory,
                                        variances.layout);

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        auto put = [&](int64_t unknown, double value) {
            write(variances.values, plan.problem.results, system * values + unknown, value);
        };
        auto emit = [&](int t, int i, double value) { put(int64_t(t) * sizes.block + i, value); };
        if (variances.status[system].kind != STATUS_OK ||
            variances.own_status[system].kind != STATUS_OK) {
#pragma unroll 1
            for (int64_t i = team.rank; i < values; i += team.size) {
                put(i, NAN);
            }
            continue;
        }
        const double *factor = plan.factor + system * plan.factor_values;
        covariances.start(factor, emit);
#pragma unroll 1
        for (int t = sizes.blocks - 1; t >= 0; --t) {
            covariances.add(t, factor, emit);
        }
    }
}

TEAM_WHOLE_INSTANCES(variances, TeamVariances)
