// Forward solve by teams: z = argmin ½‖W(Az − β)‖² (and the slack ε) of every system.
//
//   M = AᵀW²A = RᵀR,   R z = R⁻ᵀ AᵀW²β,   then refinement  z += M⁻¹ AᵀW²(β − Az).
//
// One sweep forward in time forms M block by block, factorizes it and substitutes forward; one
// sweep back substitutes backward and, with a second right-hand side, measures how well M
// determines the weakest pivot: by the roundings of M = RᵀR, which change the pivot by up to so
// many units as Σ_{j,i} (R_ji x_i)² = Σ_i M_ii x_i² with R x = e_weakest. Each step of refinement
// is a sweep forward and one back. All in one launch.
//
// In chunk kernels the teams of a block share a system (team/separators.cuh): each of these sweeps
// is one over the chunks, all at once, with one over the separators after it, or before it on the
// way back. In twisted kernels two teams share it (team/banded.cuh): each sweep is two, which end
// in the middle, or begin there on the way back. Residuals are computed by all parts of the teams
// at once, each for points of its own.
//
// Block: in chunk kernels plan.chunks teams of plan.team_threads (8, 16 or 32), in warp kernels 1
// to WARP_BLOCK/32 warps of ⌊32/plan.team_threads⌋ teams each, in twisted kernels two teams of
// plan.team_threads, in the others one. Grid: as many blocks as there are teams for (where teams
// share a system, as there are groups), a team for every plan.group systems, which is one in a
// solve. Dynamic shared memory: plan.common_bytes, and
// plan.team_bytes for every team of the block; in global kernels none, that much for every block
// lies at plan.memory. In and out do not overlap; the result does not depend on the grid.

#ifndef MECHANISTIC_TEAM_FORWARD_CUH
#define MECHANISTIC_TEAM_FORWARD_CUH

#include "team/solve.cuh"

template <Kind KIND>
__device__ __forceinline__ void team_forward(const TeamPlan &plan, const TeamSolution &solution) {
    const TeamContext<KIND> context(plan);
    if (context.idle) {
        return;
    }
    const Sizes &sizes = context.sizes;
    const Team<KIND> team = context.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;
    const int results = plan.problem.results;

    Rows<KIND> rows = context.rows();
    Banded<KIND> banded = context.banded();

    const int64_t system = context.index;
    const RefinedSolve<KIND> solve(context, system, plan.iterate, system);

    const Sizes &band = context.band();
    const int first = band.first;
    rows.start(system);
    if (KIND == CHUNK) {
        rows.approach(first);
    }
    banded.start();
#pragma unroll 1
    for (int t = first; t != band.end; t += band.ahead) {
        const double *opposite = nullptr;
        if (KIND == TWISTED && band.ahead > 0 && t + 1 == band.end) {
            // The middle waits for the other half.
            context.sync();
            opposite = banded.block_row(t + 1) + context.to_other_half();
        }
        rows.stage(t, t == first);
        banded.eliminate(t, rows, opposite);
        banded.store(t, rows, solve.factor(), solve.substituted(), solve.diagonal());
    }
    if constexpr (KIND == TWISTED) {
        if (band.ahead < 0) {
            context.sync();
        }
    } else if constexpr (KIND == CHUNK) {
        const RecordLayout layout(sizes, plan.chunks);
        hand_over(banded, rows, layout, solve.record());
        context.sync();
        if (context.leads()) {
            solve.of_separators([&](Separators<KIND> &system) {
                system.factorize(solve.diagonal());
                banded.judged.merge(system.banded.judged);
            });
        }
    } else {
        if (sizes.closing) {
            rows.stage(sizes.points - 1, false);
        }
        banded.eliminate_border(rows, solve.factor(), solve.substituted(), solve.diagonal());
    }
    auto merge = [](auto &all, const auto &other) { all.merge(other); };
    const Pivots pivots = context.gather(banded.judged, merge);
    double *iterate = solve.iterate();
    bool overflow = false;
    const int refinement = plan.problem.refinement;
    // Writes an unknown, the slack at N·P; take() takes it after each step.
    auto put = [&](int64_t unknown, double value) {
        if (unknown < values) {
            write(solution.values, results, system * values + unknown, value);
        } else {
            write(solution.epsilon, results, system, value);
        }
    };
    auto take = [&](int64_t unknown, double value, bool is_final) {
        iterate[unknown] = value;
        if (is_final) {
            overflow |= !is_finite(results, value);
            put(unknown, value);
        }
    };
    double squares = 0;
    auto take_first = [&](int t, int i, double value, double of_probe, double whole) {
        squares = fma(whole * of_probe, of_probe, squares);
        take(int64_t(t) * p + i, value, refinement == 0);
    };
    solve.backward(pivots.weakest_unknown, solve.diagonal(), take_first);
    const bool determined = certain(context.sum(squares));
    const Faults faults = context.gather(rows.faults, merge);
    Status status = verdict(faults, pivots, determined, false, p);
#pragma unroll 1
    for (int step = 1; step <= refinement; ++step) {
        context.sync();
        solve.set_residual(true, [&](int64_t unknown) {
            return unknown < values ? 0.0 : plan.problem.slack_cost;
        });
        solve.forward();
        solve.backward(-1, iterate, [&](int t, int i, double value, double, double before) {
            take(int64_t(t) * p + i, before + value, step == refinement);
        });
    }
    if (context.sum(overflow) != 0 && status.kind == STATUS_OK) {
        status = {STATUS_OVERFLOW, 0, 0};
    }
    if (team.rank == 0 && context.leads()) {
        solution.status[system] = status;
        if (status.kind != STATUS_OK) {
            put(values, NAN);
        } else if (!plan.problem.slack) {
            put(values, 0);
        }
    }
#pragma unroll 1
    for (int64_t i = team.rank; status.kind != STATUS_OK && context.leads() && i < values;
         i += team.size) {
        put(i, NAN);
    }
}

#endif
