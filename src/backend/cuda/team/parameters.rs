//! The structures that the team kernels take by value: field by field those of
//! `kernels/team/parameters.h`.

use std::ffi::c_void;

use cudarc::driver::DeviceRepr;

use crate::backend::cuda::parameters::{Input, Output, Problem, Status};

/// A problem, how its systems are dealt out to teams of threads, and their workspace. Where time is
/// cut, the teams of a block share its systems, and (teams, …) means (blocks, …).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamPlan {
    /// What is solved.
    pub problem: Problem,
    /// Systems of a team; of a block where time is cut.
    pub group: i64,
    /// Values of a system's factor.
    pub factor_values: i64,
    /// N·P, and one if there is slack.
    pub unknowns: i64,
    /// Memory of a team.
    pub team_bytes: i64,
    /// What the chunks of a system exchange.
    pub separator_values: i64,
    /// Memory of a block, before that of its teams.
    pub common_bytes: i64,
    /// Threads of a team.
    pub team_threads: i32,
    /// C of a system; 1 where time is not cut.
    pub chunks: i32,
    /// (B, factor values).
    pub factor: *mut f64,
    /// (B, unknowns).
    pub iterate: *mut f64,
    /// (teams, unknowns).
    pub substituted: *mut f64,
    /// (teams, unknowns).
    pub direction: *mut f64,
    /// (teams, unknowns).
    pub tangent_rhs: *mut f64,
    /// (blocks, separator values), where time is cut.
    pub separators: *mut f64,
    /// (teams, common and team bytes), if not in shared memory.
    pub memory: *mut c_void,
}

/// What the forward kernels write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamSolution {
    /// (B, N, K, Q).
    pub values: *mut c_void,
    /// (B).
    pub epsilon: *mut c_void,
    /// (B).
    pub status: *mut Status,
}

/// What the adjoint kernels read and write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamAdjoint {
    /// (B).
    pub status: *const Status,
    /// (B, N, K, Q).
    pub cotangent: *const c_void,
    /// (B), or null.
    pub epsilon_cotangent: *const c_void,
    /// Of the gradients.
    pub coefficients: Output,
    /// See there.
    pub rhs: Output,
    /// See there.
    pub initial_values: Output,
    /// See there.
    pub steps: Output,
    /// (teams, 4).
    pub weights: Output,
}

/// What the tangent kernels read and write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamTangent {
    /// (B), of the caller's solve.
    pub status: *const Status,
    /// (B), of the team's own.
    pub own_status: *const Status,
    /// Tangents of the inputs; null where one stands still.
    pub coefficients: Input,
    /// See there.
    pub rhs: Input,
    /// See there.
    pub initial_values: Input,
    /// See there.
    pub steps: Input,
    /// (B, N, K, Q).
    pub d_values: *mut c_void,
    /// (B).
    pub d_epsilon: *mut c_void,
}

/// What the kernels of the defects read and write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamDefects {
    /// (B), of the caller's solve.
    pub status: *const Status,
    /// (B), of the team's own.
    pub own_status: *const Status,
    /// (B, 4).
    pub sums: *mut f64,
}

/// What the kernels of the variances read and write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TeamVariances {
    /// (B), of the caller's solve.
    pub status: *const Status,
    /// (B), of the team's own.
    pub own_status: *const Status,
    /// (B, N, K, Q).
    pub values: *mut c_void,
}

// SAFETY: plain C structures, the same on both sides (checked by the test below); the pointers are
// addresses of the device and are never followed here.
unsafe impl DeviceRepr for TeamPlan {}
unsafe impl DeviceRepr for TeamSolution {}
unsafe impl DeviceRepr for TeamAdjoint {}
unsafe impl DeviceRepr for TeamTangent {}
unsafe impl DeviceRepr for TeamDefects {}
unsafe impl DeviceRepr for TeamVariances {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::parameters::testing::{check_layout, layout};

    #[test]
    fn structures_are_those_of_the_kernels() {
        let expected = [
            layout!(TeamPlan:
                problem, group, factor_values, unknowns, team_bytes, separator_values, common_bytes,
                team_threads, chunks, factor, iterate, substituted, direction, tangent_rhs, separators, memory,
            ),
            layout!(TeamSolution: values, epsilon, status),
            layout!(TeamAdjoint:
                status, cotangent, epsilon_cotangent, coefficients, rhs, initial_values, steps,
                weights,
            ),
            layout!(TeamTangent:
                status, own_status, coefficients, rhs, initial_values, steps, d_values, d_epsilon,
            ),
            layout!(TeamDefects: status, own_status, sums),
            layout!(TeamVariances: status, own_status, values),
        ];
        check_layout("team/parameters.h", &expected.concat());
    }
}
