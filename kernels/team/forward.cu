// Instances of the forward solve by Cholesky (team/forward.cuh) for each kind of team.

#include "team/forward.cuh"

TEAM_INSTANCES(forward, TeamSolution)
