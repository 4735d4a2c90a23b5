//! The structures of [`bindings`](super::bindings) that kernels take by value, or that lie in
//! arrays.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};

use super::bindings::*;

macro_rules! taken_by_value {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: the structure is made from the header that the kernels include, so that both
            // sides agree on its layout; its pointers are addresses of the device and are never
            // followed here.
            unsafe impl DeviceRepr for $name {}
        )*
    };
}

taken_by_value! {
    // Common to all.
    SumTargets,
    // A team of threads a system.
    TeamPlan,
    TeamSolution,
    TeamAdjoint,
    TeamTangent,
    TeamDefects,
    TeamVariances,
    // One thread half a system, or a chunk.
    ThreadProblem,
    ThreadSolve,
    ThreadAdjoint,
    // The tape.
    Walk,
    Reduction,
    MatMul,
    Update,
}

// SAFETY: three integers, of which every pattern of bits is a value.
unsafe impl DeviceRepr for Status {}
// SAFETY: as above, zeros among them.
unsafe impl ValidAsZeroBits for Status {}
