//! What a way of solving a batch on the device has to offer.
//!
//! A path works on a *part* of the batch: consecutive systems whose workspace fits the device.
//! The engine cuts the batch into parts, uploads, calls, adds up the partial sums of shared
//! inputs' gradients ([`SumPartials`](super::launch::SumPartials)), and downloads.

use std::fmt;
use std::marker::PhantomData;

use cudarc::driver::{CudaView, CudaViewMut};

use super::parameters::{self, Input, Output, Status};
use crate::error::Result;
use crate::real::Real;

/// The problem of one part as kernels take it. The inputs' pointers are those of the part's first
/// system; they stay valid as long as this is borrowed from their arrays.
#[derive(Clone, Copy)]
pub struct PartProblem<'a> {
    /// By value to the kernels.
    pub parameters: parameters::Problem,
    pub(super) arrays: PhantomData<&'a ()>,
}

/// The solution of one part on the device, to be written.
pub struct SolutionViewMut<'a, T> {
    /// (B, N, K, Q): NaN for a system that was not solved.
    pub values: CudaViewMut<'a, T>,
    /// (B): zeros without a slack, NaN for a system that was not solved.
    pub epsilon: CudaViewMut<'a, T>,
    /// (B).
    pub status: CudaViewMut<'a, Status>,
}

/// ∂ℓ/∂(solution) of one part.
pub struct CotangentView<'a, T> {
    /// (B, N, K, Q).
    pub values: CudaView<'a, T>,
    /// (B), if ℓ depends on the shared slack.
    pub epsilon: Option<CudaView<'a, T>>,
}

/// Where the gradients of one part go.
///
/// For an input with a batch axis `system` is the distance between systems, and every value of the
/// part is written. An input that the batch shares (its own `system` is 0) has as many partial sums
/// as the part has groups of [`Path::group`] systems; `system` is then the distance between these
/// sums, and every value of every sum is written. `data` is null where no gradient is wanted.
#[derive(Clone, Copy)]
pub struct GradientOutputs<'a> {
    /// Of the coefficients.
    pub coefficients: Output,
    /// Of the right-hand side.
    pub rhs: Output,
    /// Of the initial values.
    pub initial_values: Output,
    /// Of the steps.
    pub steps: Output,
    /// Of the weights: (groups, 4), equation, initial, smoothness, periodic; of type T.
    pub weights: Output,
    pub(super) arrays: PhantomData<&'a mut ()>,
}

/// Directions in which the inputs move; `data` is null where one stands still. Strides as for
/// the inputs themselves.
#[derive(Clone, Copy)]
pub struct TangentInputs<'a> {
    /// Of the coefficients.
    pub coefficients: Input,
    /// Of the right-hand side.
    pub rhs: Input,
    /// Of the initial values.
    pub initial_values: Input,
    /// Of the steps.
    pub steps: Input,
    pub(super) arrays: PhantomData<&'a ()>,
}

/// One way of solving a batch: kernels, workspace, launches. `Display` describes it on one line of
/// the plan.
///
/// The workspace of a part is written by [`Self::solve`] and read by the others, which may use the
/// rest of it as scratch but leave the factor and the iterate as they are. They are given the
/// status (systems) that the solve wrote.
pub trait Path<T: Real>: fmt::Display + Send + Sync {
    /// Bytes of the workspace for so many systems; a multiple of [`Self::group`] except for the
    /// last part.
    fn workspace(&self, systems: usize) -> usize;

    /// How many consecutive systems add up their gradients of shared inputs before the partial
    /// sums go to memory. Parts consist of whole groups, so that the sums do not depend on them.
    fn group(&self) -> usize;

    /// Launches of a forward solve and of its adjoint, without the sum of the partial gradients.
    fn launches(&self) -> (usize, usize);

    /// Solves the part.
    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()>;

    /// Gradients with respect to every input; systems that were not solved contribute zero.
    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()>;

    /// Directional derivative of the solution: values and epsilon of `tangent` are written, zero
    /// for systems that were not solved; its status is not touched.
    fn jvp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        tangents: &TangentInputs<'_>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()>;

    /// Sums of the squared weighted defects of every system, (B, 4): equation, initial,
    /// smoothness, periodic. NaN for systems that were not solved.
    fn squared_defects(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()>;
}
