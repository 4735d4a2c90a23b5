// Instances of the forward solve by the square root (team/forward.cuh) for each kind of team but
// chunks.

#include "team/forward.cuh"

template <Kind KIND>
__device__ void team_forward_root(const TeamPlan &plan, const TeamSolution &solution) {
    team_forward<KIND, true>(plan, solution);
}

TEAM_INSTANCE(forward_root, TeamSolution, WARP, warp)
TEAM_INSTANCE(forward_root, TeamSolution, BLOCK, block)
TEAM_INSTANCE(forward_root, TeamSolution, GLOBAL, global)
