// Computes the tangent ż (forward mode) with a team for each system: M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β −
// Az) + 2AᵀWẆ(β − Az) with the factor of the forward solve, refined as the solution was. Where q is
// given, it is the right-hand side instead, and the result is M⁻¹q.
//
// Grid, block and shared memory are those of team/forward.cuh. The workspace is that of the forward
// solve of the same problem, without chunks. Results of systems that the caller's solve did not
// solve are zero, and those that the kernels' own solve did not solve are NaN. In and out do not
// overlap; the result does not depend on grid or block.

#include "team/solve.cuh"
#include "team/tangent_rows.cuh"

template <Kind KIND>
__device__ void team_tangent(const TeamPlan &plan, const TeamTangent &tangents) {
    const TeamContext<KIND> context(plan);
    if (context.idle) {
        return;
    }
    const Sizes &sizes = context.sizes;
    const Team<KIND> team = context.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;
    const int results = plan.problem.results;

    Tangent<KIND> tangent(context.rows(), tangents, context.memory);

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        // Takes an unknown, with the slack at N·P.
        auto put = [&](int64_t unknown, double value) {
            if (unknown < values) {
                write(tangents.d_values, results, system * values + unknown, value);
            } else {
                write(tangents.d_epsilon, results, system, value);
            }
        };
        const bool solved = tangents.status[system].kind == STATUS_OK;
        const bool lost = solved && tangents.own_status[system].kind != STATUS_OK;
        if (team.rank == 0) {
            put(values, lost ? NAN : 0.0);
        }
        if (!solved || lost) {
#pragma unroll 1
            for (int64_t i = team.rank; i < values; i += team.size) {
                put(i, lost ? NAN : 0.0);
            }
            continue;
        }
        double *rhs = plan.tangent_rhs + context.index * plan.unknowns;
        const RefinedSolve<KIND> solve(context, system, plan.direction, context.index);
        double *x = array(context.memory, plan.layout.band.x);
        double slack = 0;
        if (tangents.q) {
#pragma unroll 1
            for (int64_t i = team.rank; i < values; i += team.size) {
                rhs[i] = read(tangents.q, results, system * values + i);
            }
            if (tangents.q_epsilon) {
                slack = read(tangents.q_epsilon, results, system);
            }
        } else {
            tangent.start(system, plan.iterate + system * plan.unknowns);
#pragma unroll 1
            for (int t = 0; t < sizes.points; ++t) {
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
            slack = context.sum(tangent.slack);
        }
        auto right = [&](int64_t unknown) { return unknown == values ? slack : rhs[unknown]; };
        solve.refined(right, put);
    }
}

TEAM_WHOLE_INSTANCES(tangent, TeamTangent)
