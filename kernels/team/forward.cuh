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
// way back.
//
// Block: in chunk kernels plan.chunks teams of plan.team_threads (8, 16 or 32), in warp kernels 1
// to WARP_BLOCK/32 warps of ⌊32/plan.team_threads⌋ teams each, in the others one team of
// plan.team_threads. Grid: as many blocks as there are teams for (in chunk kernels, as there are
// groups), a team for every plan.group systems. Dynamic shared memory: plan.common_bytes, and
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

    SolveSetup<KIND> setup(context);
    Rows<KIND> &rows = setup.rows;
    Banded<KIND> &banded = setup.banded;
    Substitution<KIND> &substitution = setup.substitution;

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        double *iterate = plan.iterate + system * plan.unknowns;
        RefinedSolve<KIND> solve = setup.solve(system, iterate);

        const int first = context.band().first;
        rows.start(system);
        if (KIND == CHUNK) {
            rows.approach(first);
        }
        // The directions are not needed before the adjoint.
        double *diagonal = plan.direction + context.index * plan.unknowns;
        banded.start(diagonal);
#pragma unroll 1
        for (int t = first; t < context.band().end; ++t) {
            rows.stage(t, t == first);
            banded.eliminate(t, rows);
            banded.store(t, solve.factor, solve.substituted);
        }
        if constexpr (KIND == CHUNK) {
            const RecordLayout layout(sizes, plan.chunks);
            hand_over(banded, rows, layout, solve.record());
            context.sync();
            if (context.leads()) {
                solve.of_separators([&](Separators<KIND> &system) {
                    system.factorize(diagonal);
                    banded.judged.merge(system.banded.judged);
                });
            }
        } else {
            if (sizes.closing) {
                rows.stage(sizes.points - 1, false);
            }
            banded.eliminate_border(rows, solve.factor, solve.substituted);
        }
        auto merge = [](auto &all, const auto &other) { all.merge(other); };
        const Pivots pivots = context.gather(banded.judged, merge);
        bool overflow = false;
        const int refinement = plan.problem.refinement;
        // Takes an unknown, the slack at N·P, once it is final.
        auto put = [&](int64_t unknown, double value) {
            if (unknown < values) {
                write(solution.values, results, system * values + unknown, value);
            } else {
                write(solution.epsilon, results, system, value);
            }
        };
        auto after = [](int) {};
        double squares = 0;
#pragma unroll 1
        for (int step = 0; step <= refinement; ++step) {
            if (step > 0) {
                context.sync();
                solve.residual.start(system, iterate, true, first, substitution.x);
                solve.forward(true, [&](int t, int) {
                    return t == sizes.points ? plan.problem.slack_cost : 0.0;
                });
            }
            const int probe = step == 0 ? pivots.weakest_unknown : -1;
            solve.backward(
                probe,
                [&](int t, int i, double value, double of_probe) {
                    const int64_t unknown = int64_t(t) * p + i;
                    if (step == 0) {
                        squares = fma(diagonal[unknown] * of_probe, of_probe, squares);
                    }
                    if (step > 0) {
                        value += iterate[unknown];
                    }
                    iterate[unknown] = value;
                    if (step == refinement) {
                        overflow |= !is_finite(results, value);
                        put(unknown, value);
                    }
                },
                after);
        }
        squares = context.sum(squares);

        const bool determined = certain(squares);
        const Faults faults = context.gather(rows.faults, merge);
        overflow = context.sum(overflow) != 0;
        const Status status = verdict(faults, pivots, determined, overflow, p);
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
        rows.faults = Faults();
        context.sync();
    }
}

#endif
