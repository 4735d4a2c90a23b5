// Squared weighted defects W²(Az − β)² of every system by teams, summed by row family.
//
// Grid, block and shared memory as in team_forward.cuh; the solution is the forward solve's. NaN for
// systems that were not solved. The result does not depend on grid or block.

#include "team_solve.cuh"

template <class Real, Kind KIND>
__device__ void team_defects(const TeamPlan &plan, const TeamDefects &defects)
{
    const Sizes sizes(plan.problem);
    bool member;
    Desk<Real, KIND> desk(plan, sizes, member);
    const int64_t first = desk.index * plan.group;
    if (!member || first >= plan.problem.batch)
        return;
    const Team<KIND> team = desk.team;
    const Rows<Real, double, KIND> rows(plan.problem, sizes, team, desk.pair, desk.triple, desk.memory);
    Carver memory = rows.rest;
    double *x = memory.take<double>(sizes.block);

    for (int64_t system = first; system < min(first + plan.group, plan.problem.batch); ++system) {
        Residual<Real, KIND, true> residual(rows, memory);
        const double *iterate = plan.iterate + system * plan.unknowns;
        const bool solved = defects.status[system].kind == STATUS_OK;
        residual.start(system, iterate, true);
        for (int t = 0; solved && t < sizes.points; ++t) {
            for (int i = team.rank; i < sizes.block; i += team.size)
                x[i] = 0;
            residual.add(t, iterate, x);
            team.sync();
        }
#pragma unroll
        for (int family = 0; family < 4; ++family) {
            const double sum = desk.sum(residual.squares[family]);
            if (team.rank == 0)
                defects.sums[4 * system + family] = solved ? sum : double(NAN);
        }
    }
}

#define INSTANCE(KIND, NAME, REAL, TYPE)                                                      \
    extern "C" __global__ void __launch_bounds__(block_threads<KIND>(), 1)                       \
        team_defects_##NAME##_##TYPE(const __grid_constant__ TeamPlan plan,                   \
                                     const __grid_constant__ TeamDefects defects)           \
    {                                                                                         \
        team_defects<REAL, KIND>(plan, defects);                                             \
    }

INSTANCE(WARP, warp, float, f32)
INSTANCE(WARP, warp, double, f64)
INSTANCE(BLOCK, block, float, f32)
INSTANCE(BLOCK, block, double, f64)
INSTANCE(GLOBAL, global, float, f32)
INSTANCE(GLOBAL, global, double, f64)
