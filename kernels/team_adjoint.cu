// Instances of the adjoint (team_adjoint.cuh) for f32 and f64 and each kind of team.

#include "team_adjoint.cuh"

#define INSTANCE(KIND, NAME, REAL, TYPE)                                                      \
    extern "C" __global__ void __launch_bounds__(block_threads<KIND>(), 1)                       \
        team_adjoint_##NAME##_##TYPE(const __grid_constant__ TeamPlan plan,                   \
                                     const __grid_constant__ TeamAdjoint adjoint)           \
    {                                                                                         \
        team_adjoint<REAL, KIND>(plan, adjoint);                                             \
    }

INSTANCE(WARP, warp, float, f32)
INSTANCE(WARP, warp, double, f64)
INSTANCE(BLOCK, block, float, f32)
INSTANCE(BLOCK, block, double, f64)
INSTANCE(GLOBAL, global, float, f32)
INSTANCE(GLOBAL, global, double, f64)
