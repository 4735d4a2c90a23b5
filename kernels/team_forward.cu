// Instances of the forward solve by Cholesky (team_forward.cuh) for each kind of team.

#include "team_forward.cuh"

TEAM_INSTANCES(forward, TeamSolution)
