// Forward mode by teams: M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az) + 2AᵀWẆ(β − Az) with the factor of the
// forward solve, refined as the solution was.
//
// Grid, block and shared memory as in team/forward.cuh. The workspace is that of the forward solve
// of the same problem. Tangents of systems that were not solved are zero. In and out do not
// overlap; the result does not depend on grid or block.

#ifndef MECHANISTIC_TEAM_TANGENT_CUH
#define MECHANISTIC_TEAM_TANGENT_CUH

#include "team/solve.cuh"
#include "team/tangent_rows.cuh"

template <Kind KIND>
__device__ void team_tangent(const TeamPlan &plan, const TeamTangent &tangents) {
    const Desk<KIND> desk(plan);
    if (desk.idle) {
        return;
    }
    const Sizes &sizes = desk.sizes;
    const Team<KIND> team = desk.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;
    const int results = plan.problem.results;

    Bench<KIND> bench(desk);
    Tangent<KIND> tangent(bench.rows, tangents, bench.rest);

#pragma unroll 1
    for (int64_t system = desk.first_system(); system < desk.end_of_systems(); ++system) {
        // An unknown, the slack at N·P.
        auto put = [&](int64_t unknown, double value) {
            if (unknown < values) {
                write(tangents.d_values, results, system * values + unknown, value);
            } else {
                write(tangents.d_epsilon, results, system, value);
            }
        };
        if (team.rank == 0 && desk.leads()) {
            put(values, 0);
        }
        if (tangents.status[system].kind != STATUS_OK) {
#pragma unroll 1
            for (int64_t i = team.rank; desk.leads() && i < values; i += team.size) {
                put(i, 0);
            }
            continue;
        }
        double *direction = plan.direction + desk.index * plan.unknowns;
        double *rhs = plan.tangent_rhs + desk.index * plan.unknowns;
        RefinedSolve<KIND> solve = bench.solve(system, direction);
        const int refinement = plan.problem.refinement;
        double *x = solve.substitution.x;
        tangent.start(system, plan.iterate + system * plan.unknowns, desk.band().first, x);
#pragma unroll 1
        for (int t = desk.band().first; t < desk.band().visited(); ++t) {
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                x[i] = 0;
            }
            tangent.add(t, x);
#pragma unroll 1
            for (int i = team.rank; i < p; i += team.size) {
                rhs[int64_t(t) * p + i] = x[i];
            }
            team.sync();
        }
        const double slack = desk.sum(tangent.slack);
#pragma unroll 1
        for (int step = 0; step <= refinement; ++step) {
            desk.sync();
            if (step > 0) {
                solve.residual.start(system, direction, false, desk.band().first, x);
            }
            solve.forward(step > 0, [&](int t, int i) {
                return t == sizes.points ? slack : rhs[int64_t(t) * p + i];
            });
            solve.backward(
                -1,
                [&](int t, int i, double value) {
                    const int64_t unknown = int64_t(t) * p + i;
                    if (step > 0) {
                        value += direction[unknown];
                    }
                    direction[unknown] = value;
                    if (step == refinement) {
                        put(unknown, value);
                    }
                },
                [](int) {});
        }
    }
}

#endif
