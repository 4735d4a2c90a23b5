// Sums the squared weighted defects W²(Az − β)² of every system by row family, with a team for each
// system.
//
// Grid, block and shared memory are those of team/forward.cuh; the solution is that of a forward
// solve without chunks. Results are NaN for systems of which a solve failed. The result does not
// depend on grid or block.

#include "team/solve.cuh"

template <Kind KIND>
__device__ void team_defects(const TeamPlan &plan, const TeamDefects &defects) {
    const TeamContext<KIND> context(plan);
    if (context.idle) {
        return;
    }
    const Sizes &sizes = context.sizes;
    const Team<KIND> team = context.team;
    const Rows<KIND> rows(plan.problem, sizes, team, context.pair, context.triple, context.memory,
                          plan.layout.rows);
    double *x = array(context.memory, plan.layout.band.x);

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        Residual<KIND, true> residual(rows, context.memory, plan.layout.residual);
        const double *iterate = plan.iterate + system * plan.unknowns;
        const bool solved = defects.status[system].kind == STATUS_OK &&
                            defects.own_status[system].kind == STATUS_OK;
        residual.start(system, iterate, true, 0, x);
        for (int t = 0; solved && t < sizes.points; ++t) {
            for (int i = team.rank; i < sizes.block; i += team.size) {
                x[i] = 0;
            }
            residual.add(t, iterate, x);
            team.sync();
        }
#pragma unroll
        for (int family = 0; family < 4; ++family) {
            const double sum = context.sum(residual.squares[family]);
            if (team.rank == 0) {
                defects.sums[4 * system + family] = solved ? sum : NAN;
            }
        }
    }
}

TEAM_WHOLE_INSTANCES(defects, TeamDefects)
