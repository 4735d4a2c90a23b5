// Instances of the tangent (team_tangent.cuh) for f32 and f64 and each kind of team.

#include "team_tangent.cuh"

#define INSTANCE(KIND, NAME, REAL, TYPE)                                                      \
    extern "C" __global__ void __launch_bounds__(block_threads<KIND>(), 1)                       \
        team_tangent_##NAME##_##TYPE(const __grid_constant__ TeamPlan plan,                   \
                                     const __grid_constant__ TeamTangent tangents)           \
    {                                                                                         \
        team_tangent<REAL, KIND>(plan, tangents);                                             \
    }

INSTANCE(WARP, warp, float, f32)
INSTANCE(WARP, warp, double, f64)
INSTANCE(BLOCK, block, float, f32)
INSTANCE(BLOCK, block, double, f64)
INSTANCE(GLOBAL, global, float, f32)
INSTANCE(GLOBAL, global, double, f64)
