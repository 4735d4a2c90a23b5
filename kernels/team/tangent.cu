// Instances of the tangent (team/tangent.cuh) for each kind of team.

#include "team/tangent.cuh"

TEAM_INSTANCES(tangent, TeamTangent)
