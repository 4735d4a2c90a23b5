// The adjoint with teams for each system: solves M g = z̄ with the factor of the forward solve,
// refined as the solution was, then adds every row's share of the gradients (team/gradient.cuh).
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
    const Sizes &sizes = context.sizes;
    const Team<KIND> team = context.team;
    const int p = sizes.block;
    const int64_t values = int64_t(sizes.points) * p;
    const int results = plan.problem.results;

    const int number = context.part_number;
    double weights[4] = {};

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        auto gradients = [&] {
            char *memory = context.part_memory();
            Gradient<TeamContext<KIND>::PART> gradient(
                context.rows_of_part(memory, adjoint.layout.rows), adjoint, memory);
            gradient.place = context.index;
            gradient.add = system > context.index * plan.group;
            return gradient;
        };
        if (adjoint.status[system].kind != STATUS_OK) {
            if (number == 0) {
                gradients().zero(system);
            }
            continue;
        }
        const RefinedSolve<KIND> solve(context, system, plan.direction, context.index);
        const void *slack = adjoint.epsilon_cotangent;
        auto cotangent = [&](int64_t unknown) {
            if (unknown == values) {
                return slack ? read(slack, results, system) : 0.0;
            }
            return read(adjoint.cotangent, results, system * values + unknown);
        };
        solve.refined(cotangent, [](int64_t, double) {});
        context.sync();
        auto gradient = gradients();
        const bool has_part = context.has_part();
        const int from = context.first_point(number);
        if (has_part) {
            gradient.start(system, plan.iterate + system * plan.unknowns, solve.iterate());
            gradient.visit(from, context.first_point(number + 1));
        }
        context.sync();
        if (has_part) {
            gradient.close(from, context.of_part(gradient.handed_on, number - 1));
        }
        context.sync();
#pragma unroll
        for (int family = 0; family < 4; ++family) {
            weights[family] += gradient.weights[family];
        }
        if (number == 0) {
            gradient.finish(context.parts(),
                            [&](double *array, int part) { return context.of_part(array, part); });
        }
    }
#pragma unroll
    for (int family = 0; family < 4; ++family) {
        const double sum = context.sum(weights[family]);
        if (adjoint.weights.data && team.rank == 0 && context.leads()) {
            write(adjoint.weights.data, adjoint.weights.storage,
                  context.index * adjoint.weights.system + family, sum);
        }
    }
}

#endif
