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
    const int own_pitch;
    const Divisor by_known;

    // Memory of the team.
    double *window;   // (w·P + c, pitch): Σ', block t+d in slot (t+d) mod w, then the border
    double *coupled;  // (P, pitch): F
    double *across;   // (P, pitch): X
    double *
        inverse;  // (max(P, c), own pitch): of a triangle on R's diagonal; below it nothing is read

    __device__ Covariances(const Sizes &sizes, const Places &places, Team<KIND> team, char *memory,
                           const CovariancesLayout &layout)
        : sizes(sizes),
          places(places),
          team(team),
          known(sizes.bandwidth * sizes.block + sizes.border),
          pitch(known | 1),
          own_pitch(max(sizes.block, sizes.border) | 1),
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
            invert(corner, c, column);
        }
        team.sync();
#pragma unroll 1
        for (int index = team.rank; index < triangle(c); index += team.size) {
            const int column = triangle_column(index), row = index - triangle(column);
            const double value = of_inverse(row, column, c);
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
        // This computes F and the inverse of R_tt; each column is one thread's.
#pragma unroll 1
        for (int column = team.rank; column < known + p; column += team.size) {
            if (column >= known) {
                invert(a + q, places.kept, column - known);
                continue;
            }
            const bool outermost = column >= first && column < first + p;
            const int k = column - (column >= w * p ? w * p : sizes.by_block.multiple(column));
            const int place = outermost ? k : column >= w * p ? places.border + k : q + p + k;
            solve(a + q, places.kept, p, coupled + column, pitch, [&](int i) {
                const bool zero = outermost && k >= sizes.by_derivatives.multiple(i) + q;
                return zero ? 0.0 : a[i * places.kept + place];
            });
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
            double sum = of_inverse(row, column, p);
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

    // Solves R x = rhs for the first `count` rows of a triangle, whose diagonal holds reciprocals.
    template <class Given>
    __device__ static void solve(const double *r, int stride, int count, double *x, int pitch,
                                 Given given) {
#pragma unroll 1
        for (int i = count - 1; i >= 0; --i) {
            double left = given(i);
#pragma unroll 4
            for (int m = i + 1; m < count; ++m) {
                left = fma(-r[i * stride + m], x[m * pitch], left);
            }
            x[i * pitch] = left * r[i * stride + i];
        }
    }

    // Computes a column of the inverse of a triangle.
    __device__ void invert(const double *r, int stride, int column) const {
        solve(r, stride, column + 1, inverse + column, own_pitch,
              [&](int i) { return i == column ? 1.0 : 0.0; });
    }

    // Returns the entry of R⁻¹R⁻ᵀ at row <= column, for a triangle with `count` rows.
    __device__ double of_inverse(int row, int column, int count) const {
        double sum = 0;
#pragma unroll 4
        for (int m = column; m < count; ++m) {
            sum = fma(inverse[row * own_pitch + m], inverse[column * own_pitch + m], sum);
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
