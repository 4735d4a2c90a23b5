//! The interface of a path, which is one way of solving a batch on the device.
//!
//! A path works on a *part* of the batch: consecutive systems whose workspace fits the device.
//! Whoever solves cuts the batch into parts, calls, and adds up the partial sums of the gradients
//! of what the batch shares.

pub mod apart;
pub mod places;
pub mod problem;
pub mod results;
pub mod strides;
pub mod sums;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::{self as parameters, Input, Output, Status};
use crate::backend::cuda::driver::kernel::check_at_least;
use crate::backend::cuda::path::places::Axes;
use crate::backend::cuda::path::problem::WEIGHTS;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::real::Real;
use crate::shape::InputLayout;

/// The problem of one part of a batch, as kernels take it. The inputs' pointers are those of the
/// part's first system; they stay valid as long as this structure borrows their arrays.
#[derive(Clone)]
pub struct PartProblem<'a> {
    /// Parameters that kernels take by value.
    pub parameters: parameters::Problem,
    pub(crate) layouts: Inputs<InputLayout>,
    /// Axes of the batch.
    axes: Axes,
    /// Numbers of the systems.
    range: Range<usize>,
    pub(crate) arrays: PhantomData<&'a ()>,
}

impl PartProblem<'_> {
    /// Returns the number of systems of the part.
    pub(crate) fn systems(&self) -> usize {
        self.parameters.batch as usize
    }
}

/// The solution of one part on the device, which a solve writes.
pub struct SolutionViewMut<'a, T> {
    /// Values, (systems, N, K, Q): NaN for a system that was not solved.
    pub values: CudaViewMut<'a, T>,
    /// Shared slack, (systems): zeros without a slack, NaN for a system that was not solved.
    pub epsilon: CudaViewMut<'a, T>,
    /// Status of each system, (systems).
    pub status: CudaViewMut<'a, Status>,
}

/// The derivative ∂ℓ/∂(solution) of one part.
pub struct CotangentView<'a, T> {
    /// Derivative ∂ℓ/∂(values), (systems, N, K, Q).
    pub values: CudaView<'a, T>,
    /// Derivative ∂ℓ/∂ε, (systems), if ℓ depends on the shared slack.
    pub epsilon: Option<CudaView<'a, T>>,
}

/// An array on the device as kernels write it, with the number of its values, which is 0 where there
/// is no array.
#[derive(Clone, Copy)]
pub struct Counted<A> {
    /// Array that kernels take by value.
    pub array: A,
    /// Number of values from its address on.
    pub len: usize,
}

/// The places that the gradients of one part are written to.
///
/// For an input with a batch axis `system` is the distance between systems, and every value of the
/// part is written. An input that the batch shares (its own `system` is 0) has as many partial sums
/// as the part has groups of [`Path::group`] systems; `system` is then the distance between these
/// sums, which are in double precision if there is more than one group, and every value of every
/// sum is written. `data` is null where no gradient is wanted.
#[derive(Clone, Copy)]
pub struct GradientOutputs<'a> {
    /// Places of the gradients of the inputs.
    pub inputs: Inputs<Counted<Output>>,
    /// Place of the gradient of the weights, (groups, 4): equation, initial, smoothness, periodic.
    pub weights: Counted<Output>,
    pub(crate) arrays: PhantomData<&'a mut ()>,
}

impl GradientOutputs<'_> {
    /// Checks that every gradient that is wanted has room: all systems of an input with a batch
    /// axis, and one sum for each of the `groups` for the others.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) with both lengths if one does not fit.
    pub(crate) fn check(&self, problem: &PartProblem<'_>, groups: usize) -> Result<()> {
        for (name, (output, layout)) in Inputs::NAMES.zip(self.inputs.zip(problem.layouts)) {
            let rows = if layout.shared() { groups } else { problem.systems() };
            output.check(format_args!("gradient of {name}"), rows, layout.values)?;
        }
        self.weights.check("gradient of the weights", groups, WEIGHTS.values)
    }
}

impl Counted<Output> {
    /// Checks that the array has room for `rows` rows of `values` values, `system` apart.
    fn check(&self, what: impl fmt::Display, rows: usize, values: usize) -> Result<()> {
        let Output { data, system, .. } = self.array;
        if data.is_null() || rows == 0 || values == 0 {
            return Ok(());
        }
        let distance = usize::try_from(system).unwrap_or(0);
        if rows > 1 {
            check_at_least(&what, values, distance)?;
        }
        check_at_least(what, (rows - 1) * distance + values, self.len)
    }
}

/// The directions in which the inputs move; `data` is null for an input that does not move.
#[derive(Clone, Copy)]
pub struct TangentInputs<'a> {
    /// Direction of each input.
    pub inputs: Inputs<Input>,
    pub(crate) arrays: PhantomData<&'a ()>,
}

/// A path: one way of solving a batch, with its kernels, workspace and launches. Its `Display`
/// describes it on one line of the plan.
///
/// The workspace of a part is written by [`Self::solve`] and read by [`Self::vjp`], which may use
/// the rest of it as scratch but leaves the factor and the iterate as they are. The vjp gets the
/// statuses (systems) that the solve wrote.
pub trait Path<T: Real>: fmt::Display + Send + Sync {
    /// Returns the bytes of the workspace for this many systems, which are a multiple of
    /// [`Self::group`] except for the last part.
    fn workspace(&self, systems: usize) -> usize;

    /// Returns how many consecutive systems add up their gradients of shared inputs before the
    /// partial sums are written to memory. Parts consist of whole groups, so that the sums do not
    /// depend on them.
    fn group(&self) -> usize;

    /// Returns the number of launches of a forward solve and of its adjoint, without the factorization for
    /// all systems and without the sum of the partial gradients.
    fn launches(&self) -> (usize, usize);

    /// Returns whether all systems of a batch have one factor, which [`Self::factorize`] makes and every
    /// part of the batch is solved with.
    fn has_one_factor(&self) -> bool {
        false
    }

    /// Makes the factor of all systems, if they have one: from the coefficients and steps of the part that
    /// begins with the first system. It lies where that of another part does. Of the solution, the values of
    /// this system are overwritten.
    fn factorize(
        &self,
        _problem: &PartProblem<'_>,
        _workspace: &mut CudaViewMut<'_, u8>,
        _solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        Ok(())
    }

    /// Solves the part.
    fn solve(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()>;

    /// Computes the gradients with respect to every input; systems that were not solved contribute
    /// zero.
    fn vjp(
        &self,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        gradients: &GradientOutputs<'_>,
    ) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::driver::Buffer;
    use crate::backend::cuda::path::problem::{ProblemTemplate, Values};
    use crate::backend::cuda::testing;
    use crate::backend::cuda::testing::case::{Case, Sizes};
    use crate::options::Options;

    /// 5 systems; the batch shares the right-hand side.
    fn case() -> Case<f64> {
        let sizes = Sizes {
            batch: 5,
            points: 4,
            states: 1,
            order: 1,
            extra: 0,
            equations: 1,
            initial: (1, 1),
            shared: 0b0000_0100,
        };
        Case::new(sizes, Options::default(), 1)
    }

    #[test]
    fn gradients_and_directions_without_room_are_refused() {
        let (device, case) = (testing::device(), case());
        let problem = case.problem();
        let template =
            ProblemTemplate::new::<f64>(&device, problem.shape(), &case.options).unwrap();
        let arrays = case.arrays().map(|v| Buffer::from_host(&device, "input", v).unwrap());
        let inputs = arrays.as_ref().map(Values::from);
        let part = template.problem(inputs, 0..5).unwrap();
        for index in 0..4 {
            let mut short = <[_; 4]>::from(inputs);
            short[index] = short[index].part(0, short[index].len() - 1);
            let message = template.problem(short.into(), 0..5).err().unwrap().to_string();
            let name = <[_; 4]>::from(Inputs::NAMES)[index];
            assert!(message.contains(name) && message.contains("expected"), "{message}");
        }
        // Two groups of systems, whose sums of the right-hand side are 10 values apart.
        let lengths = [5 * 4 * 2, 10 + 4, 5, 5 * 3, 10 + 4];
        let check = |lengths: [usize; 5]| {
            let mut targets =
                lengths.map(|len| Buffer::<f64>::zeros(&device, "gradient", len).unwrap());
            let mut output = |index: usize, layout: &InputLayout, system: usize| {
                Counted::<Output>::new(&device, &mut targets[index].view_mut(), layout, system)
            };
            let layouts = &template.layouts;
            let gradients = GradientOutputs {
                inputs: Inputs {
                    coefficients: output(0, &layouts.coefficients, layouts.coefficients.values),
                    rhs: output(1, &layouts.rhs, 10),
                    initial_values: output(
                        2,
                        &layouts.initial_values,
                        layouts.initial_values.values,
                    ),
                    steps: output(3, &layouts.steps, layouts.steps.values),
                },
                weights: output(4, &WEIGHTS, 10),
                arrays: PhantomData,
            };
            gradients.check(&part, 2)
        };
        check(lengths).unwrap();
        for index in 0..5 {
            let mut short = lengths;
            short[index] -= 1;
            let message = check(short).unwrap_err().to_string();
            assert!(message.contains("gradient of") && message.contains("expected"), "{message}");
        }

        let directions = |index: usize, missing: usize| {
            let mut directions = <[_; 4]>::from(inputs).map(Some);
            directions[index] = directions[index].map(|all| all.part(0, all.len() - missing));
            template.tangents(&part, directions.into()).map(drop)
        };
        for index in 0..4 {
            directions(index, 0).unwrap();
            let message = directions(index, 1).unwrap_err().to_string();
            assert!(message.contains("direction of"), "{message}");
        }
    }
}
