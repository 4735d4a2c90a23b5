// Instances of the adjoint (team_adjoint.cuh) for f32 and f64 and each kind of team.

#include "team_adjoint.cuh"

TEAM_INSTANCES(adjoint, TeamAdjoint)
