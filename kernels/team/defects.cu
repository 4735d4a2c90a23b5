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
    const Team<KIND> team = context.team;
    using Of = Residual<TeamContext<KIND>::PART, true>;
    const ResidualLayout &layout = plan.layout.residual;

#pragma unroll 1
    for (int64_t system = context.first_system(); system < context.end_of_systems(); ++system) {
        char *memory = context.part_memory();
        Of residual(context.rows_of_part(memory, layout.rows), memory, layout);
        const bool solved = defects.status[system].kind == STATUS_OK &&
                            defects.own_status[system].kind == STATUS_OK;
        if (solved && context.has_part()) {
            residual.visit(system, plan.iterate + system * plan.unknowns, true,
                           context.first_point(context.part_number),
                           context.first_point(context.part_number + 1), [](int, int, double) {});
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
