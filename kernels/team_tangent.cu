// Instances of the tangent (team_tangent.cuh) for each kind of team.

#include "team_tangent.cuh"

TEAM_INSTANCES(tangent, TeamTangent)
