// The adjoint with a team for each system: solves M g = z̄ with the factor of the forward solve,
// refined as the solution was, then adds every row's share of the gradients (team/gradient.cuh)
// during the last sweep back.
//
// Grid, block and shared memory are those of team/forward.cuh. Gradients whose `data` is null are
// not computed. The workspace is that of the forward solve of the same problem. Gradients of
// systems that were not solved are zero. In and out do not overlap; sums over a group are in the
// order of its systems, so the result does not depend on grid or block.

#ifndef MECHANISTIC_TEAM_ADJOINT_CUH
#define MECHANISTIC_TEAM_ADJOINT_CUH

#include "team/gradient.cuh"
#include "team/solve.cuh"

template <Kind KIND>
__device__ __forceinline__ void team_adjoint(const TeamPlan &plan, const TeamAdjoint &adjoint) {
    const TeamContext<KIND> context(plan);
    if (context.idle) {
        return;
    }
    const Sizes &sizes = context.sizes, &band = context.band();
    const Team<KIND> team = context.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;
    const int results = plan.problem.results;

    SolveSetup<KIND> setup(context);
    Gradient<KIND> gradient(setup.rows, adjoint, context.memory);
    gradient.place = context.index;
    gradient.stride = plan.team_bytes / int64_t(sizeof(double));

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        gradient.add = system > context.index * plan.group;
        if (adjoint.status[system].kind != STATUS_OK) {
            if (context.leads()) {
                gradient.zero(system);
            }
            continue;
        }
        double *direction = plan.direction + context.index * plan.unknowns;
        RefinedSolve<KIND> solve = setup.solve(system, direction);
        const void *slack = adjoint.epsilon_cotangent;
        const int refinement = plan.problem.refinement;
#pragma unroll 1
        for (int step = 0; step <= refinement; ++step) {
            context.sync();
            if (step > 0) {
                solve.residual.start(system, direction, false, band.first, solve.substitution.x);
            }
            solve.forward(step > 0, [&](int t, int i) {
                if (t == sizes.points) {
                    return slack ? read(slack, results, system) : 0.0;
                }
                return read(adjoint.cotangent, results, system * values + int64_t(t) * p + i);
            });
            const bool last = step == refinement;
            if (last) {
                gradient.start(system, plan.iterate + system * plan.unknowns, direction);
            }
            solve.backward(
                -1,
                [&](int t, int i, double value, double) {
                    const int64_t unknown = int64_t(t) * p + i;
                    if (step > 0) {
                        value += direction[unknown];
                    }
                    direction[unknown] = value;
                    if (last && unknown < values) {
                        gradient.slot(gradient.g, t)[i] = value;
                    }
                },
                [&](int t) {
                    if (KIND == CHUNK && last && t == band.end - 1) {
                        gradient.load(band.end, min(band.end + band.bandwidth, band.points));
                    }
                    if (last && sizes.closing && t == sizes.blocks - 1) {
                        gradient.visit(t + 1);
                    }
                    if (last) {
                        gradient.visit(t);
                    }
                });
        }
        if (KIND == CHUNK) {
            // The rows that begin at the separator before the chunk are those from `reach` on.
            const int reach = max(band.first - band.bandwidth, 0);
#pragma unroll 1
            for (int t = band.first - 1; t >= reach; --t) {
                gradient.load(t, t + 1);
                gradient.visit(t);
            }
            context.sync();
            gradient.close(reach, context.leads());
            context.sync();
        } else {
            gradient.close(0, true);
        }
        if (context.leads()) {
            gradient.finish(plan.chunks);
        }
    }
#pragma unroll
    for (int family = 0; family < 4; ++family) {
        const double sum = context.sum(gradient.weights[family]);
        if (adjoint.weights.data && team.rank == 0 && context.leads()) {
            write(adjoint.weights.data, adjoint.weights.storage,
                  context.index * adjoint.weights.system + family, sum);
        }
    }
}

#endif
