// Instances of the forward solve by the square root (team_forward.cuh) for each kind of team but chunks.

#include "team_forward.cuh"

template <Kind KIND>
__device__ void team_forward_root(const TeamPlan &plan, const TeamSolution &solution)
{
    team_forward<KIND, true>(plan, solution);
}

TEAM_INSTANCE(forward_root, TeamSolution, WARP, warp)
TEAM_INSTANCE(forward_root, TeamSolution, BLOCK, block)
TEAM_INSTANCE(forward_root, TeamSolution, GLOBAL, global)
