// Instances of the tangent (team_tangent.cuh) for f32 and f64 and each kind of team.

#include "team_tangent.cuh"

TEAM_INSTANCES(tangent, TeamTangent)
