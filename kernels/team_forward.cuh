// Forward solve by teams: z = argmin ½‖W(Az − β)‖² (and the slack ε) of every system.
//
//   M = AᵀW²A = RᵀR,   R z = R⁻ᵀ AᵀW²β,   then refinement  z += M⁻¹ AᵀW²(β − Az).
//
// One sweep forward in time forms M block by block, factorises it and substitutes forward; one sweep
// back substitutes backward and, with a second right-hand side, measures how well M determines the
// weakest pivot. Each step of refinement is a sweep forward and one back. All in one launch.
//
// Block: in warp kernels 1 to WARP_BLOCK/32 warps of ⌊32/plan.team_threads⌋ teams each, in the others
// one team of plan.team_threads. Grid: as many blocks as there are teams for, one for every plan.group
// systems. Dynamic shared memory: plan.common_bytes, and plan.team_bytes for every team of the block;
// in global kernels none, that much for every block lies at plan.memory. In and out do not overlap;
// the result does not depend on grid or block.

#ifndef MECHANISTIC_TEAM_FORWARD_CUH
#define MECHANISTIC_TEAM_FORWARD_CUH

#include <cfloat>

#include "square_root.cuh"
#include "team_solve.cuh"

// How the system ended.
template <class Real>
__device__ Status verdict(const Faults &faults, const Pivots<Real> &pivots, bool certain,
                          bool overflow, int block)
{
    if (faults.inputs)
        return {STATUS_NON_FINITE_INPUT, __ffs(int(faults.inputs)) - 1, 0};
    if (faults.step != INT_MAX)
        return {STATUS_INVALID_STEP, faults.step, 0};
    const bool lost = pivots.lost_unknown != INT_MAX;
    if (lost || !certain) {
        const int unknown = lost ? pivots.lost_unknown : pivots.weakest_unknown;
        return {STATUS_BREAKDOWN, unknown / block, unknown % block};
    }
    return {overflow ? STATUS_OVERFLOW : STATUS_OK, 0, 0};
}

// FROM_ROWS: by the square root of square_root.cuh instead of Cholesky.
template <class Real, Kind KIND, bool FROM_ROWS = false>
__device__ void team_forward(const TeamPlan &plan, const TeamSolution &solution)
{
    const Desk<Real, KIND> desk(plan);
    if (desk.idle)
        return;
    const Sizes &sizes = desk.sizes;
    const Team<KIND> team = desk.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;

    Rows<Real, Real, KIND> rows(plan.problem, sizes, team, desk.pair, desk.triple, desk.memory);
    Bench<Real, KIND> bench(desk);
    Banded<Real, KIND> &banded = bench.banded;
    Substitution<Real, KIND> &substitution = bench.substitution;
    // The stack's turn is before that of substitution and residual.
    Real *rows_of_stack = reinterpret_cast<Real *>(substitution.x);

    desk.for_each_system([&](int64_t system) {
        double *iterate = plan.iterate + system * plan.unknowns;
        RefinedSolve<Real, KIND> solve = bench.solve(system, iterate);
        Real *factor = static_cast<Real *>(plan.factor) + system * plan.factor_values;

        rows.start(system);
        if constexpr (FROM_ROWS) {
            RowStack<Real, KIND> stack(banded, rows, rows_of_stack);
            stack.start();
#pragma unroll 1
            for (int t = 0; t < sizes.blocks; ++t) {
                rows.stage(t, t == 0);
                stack.eliminate(t);
                banded.store(t, factor, solve.substituted);
            }
            if (sizes.closing)
                rows.stage(sizes.points - 1, false);
            stack.eliminate_border(factor, solve.substituted);
        } else {
            banded.start();
#pragma unroll 1
            for (int t = 0; t < sizes.blocks; ++t) {
                rows.stage(t, t == 0);
                banded.eliminate(t, rows);
                banded.store(t, factor, solve.substituted);
            }
            if (sizes.closing)
                rows.stage(sizes.points - 1, false);
            banded.eliminate_border(rows, factor, solve.substituted);
        }
        Pivots<Real> pivots = desk.gather(
            banded.judged, [](Pivots<Real> &all, const Pivots<Real> &other) { all.merge(other); });
        if (pivots.weakest_unknown == INT_MAX)
            pivots.weakest_unknown = 0;
        Real *z = static_cast<Real *>(solution.values) + system * values;
        bool overflow = false;
        const int refinement = plan.problem.refinement;
        // Takes an unknown, the slack at N·P, once it is final.
        auto finish = [&](int64_t unknown, Real value) {
            overflow |= !isfinite(value);
            if (unknown < values)
                z[unknown] = value;
            else
                static_cast<Real *>(solution.epsilon)[system] = value;
        };
        auto after = [](int) {};
        double squares = 0;
#pragma unroll 1
        for (int step = 0; step <= refinement; ++step) {
            if (step > 0) {
                team.sync();
                solve.residual.start(system, iterate, true);
                solve.forward(true, [&](int t, int) {
                    return t == sizes.points ? plan.problem.slack_cost : 0.0;
                });
            }
            const int probe = step == 0 ? pivots.weakest_unknown : -1;
            squares += substitution.backward(
                factor, solve.substituted, probe,
                [&](int t, int i, double value) {
                    const int64_t unknown = int64_t(t) * p + i;
                    if (step > 0)
                        value += iterate[unknown];
                    iterate[unknown] = value;
                    if (step == refinement)
                        finish(unknown, Real(value));
                },
                after);
        }
        squares = desk.sum(squares);

        const double epsilon = sizeof(Real) == 8 ? DBL_EPSILON : FLT_EPSILON;
        // Written so that a NaN is uncertain too.
        const bool certain =
            epsilon * (FROM_ROWS ? sqrt(squares) : squares) < MOST_UNCERTAINTY;
        const Faults faults = desk.gather(rows.faults, [](Faults &all, const Faults &other) {
            all.inputs |= other.inputs;
            all.step = min(all.step, other.step);
        });
        overflow = desk.sum(overflow) != 0;
        const Status status = verdict(faults, pivots, certain, overflow, p);
        if (team.rank == 0) {
            solution.status[system] = status;
            if (status.kind != STATUS_OK)
                static_cast<Real *>(solution.epsilon)[system] = Real(NAN);
            else if (!plan.problem.slack)
                static_cast<Real *>(solution.epsilon)[system] = 0;
        }
#pragma unroll 1
        for (int64_t i = team.rank; status.kind != STATUS_OK && i < values; i += team.size)
            z[i] = Real(NAN);
        rows.faults = Faults();
        team.sync();
    });
}

#endif
