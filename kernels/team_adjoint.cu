// Instances of the adjoint (team_adjoint.cuh) for each kind of team.

#include "team_adjoint.cuh"

TEAM_INSTANCES(adjoint, TeamAdjoint)
