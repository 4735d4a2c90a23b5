// Instances of the forward solve by the square root (team_forward.cuh) for f32 and f64 and each kind
// of team.

#include "team_forward.cuh"

#define INSTANCE(KIND, NAME, REAL, TYPE)                                                      \
    extern "C" __global__ void __launch_bounds__(block_threads<KIND>(), 1)                    \
        team_forward_root_##NAME##_##TYPE(const __grid_constant__ TeamPlan plan,              \
                                          const __grid_constant__ TeamSolution solution)      \
    {                                                                                         \
        team_forward<REAL, KIND, true>(plan, solution);                                       \
    }

INSTANCE(WARP, warp, float, f32)
INSTANCE(WARP, warp, double, f64)
INSTANCE(BLOCK, block, float, f32)
INSTANCE(BLOCK, block, double, f64)
INSTANCE(GLOBAL, global, float, f32)
INSTANCE(GLOBAL, global, double, f64)
