// Instances of the forward solve by Cholesky (team_forward.cuh) for f32 and f64 and each kind of team.

#include "team_forward.cuh"

TEAM_INSTANCES(forward, TeamSolution)
