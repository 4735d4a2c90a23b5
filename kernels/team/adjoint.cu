// Instances of the adjoint (team/adjoint.cuh) for each kind of team.

#include "team/adjoint.cuh"

TEAM_INSTANCES(adjoint, TeamAdjoint)
