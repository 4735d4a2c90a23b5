//! What a way of solving a batch on the device has to offer.
//!
//! A path works on a *part* of the batch: consecutive systems whose workspace fits the device.
//! The engine cuts the batch into parts, uploads, calls, adds up the partial sums of shared
//! inputs' gradients ([`SumPartials`](super::launch::SumPartials)), and downloads.

use std::fmt;
use std::marker::PhantomData;

use cudarc::driver::{CudaView, CudaViewMut};

use super::bindings::{self as parameters, Input, Output, Status};
use super::launch::check_at_least;
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

/// An array of the device as kernels take it, with the number of values that lie there; 0 where
/// there is none.
#[derive(Clone, Copy)]
pub struct Counted<A> {
    /// By value to the kernels.
    pub array: A,
    /// Values from its address on.
    pub len: usize,
}

/// Where the gradients of one part go.
///
/// For an input with a batch axis `system` is the distance between systems, and every value of the
/// part is written. An input that the batch shares (its own `system` is 0) has as many partial sums
/// as the part has groups of [`Path::group`] systems; `system` is then the distance between these
/// sums, which are in double precision if there is more than one group, and every value of every sum
/// is written. `data` is null where no gradient is wanted.
#[derive(Clone, Copy)]
pub struct GradientOutputs<'a> {
    /// Of the coefficients.
    pub coefficients: Counted<Output>,
    /// Of the right-hand side.
    pub rhs: Counted<Output>,
    /// Of the initial values.
    pub initial_values: Counted<Output>,
    /// Of the steps.
    pub steps: Counted<Output>,
    /// Of the weights: (groups, 4), equation, initial, smoothness, periodic.
    pub weights: Counted<Output>,
    pub(super) arrays: PhantomData<&'a mut ()>,
}

impl GradientOutputs<'_> {
    /// Checks that every gradient that is wanted has room: all systems of an input with a batch
    /// axis, one sum for each of so many groups of the others.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) with both lengths.
    pub(super) fn check(&self, problem: &parameters::Problem, groups: usize) -> Result<()> {
        let inputs = [
            ("gradient of coefficients", &self.coefficients, &problem.coefficients),
            ("gradient of rhs", &self.rhs, &problem.rhs),
            ("gradient of initial_values", &self.initial_values, &problem.initial_values),
            ("gradient of steps", &self.steps, &problem.steps),
        ];
        for ((what, output, input), values) in inputs.into_iter().zip(values_of_system(problem)) {
            let rows = if input.system == 0 { groups } else { problem.batch as usize };
            output.check(what, rows, values)?;
        }
        self.weights.check("gradient of the weights", groups, 4)
    }
}

impl Counted<Output> {
    /// So many rows of so many values, `system` apart.
    fn check(&self, what: &str, rows: usize, values: usize) -> Result<()> {
        let Output { data, system, .. } = self.array;
        if data.is_null() || rows == 0 || values == 0 {
            return Ok(());
        }
        let distance = usize::try_from(system).unwrap_or(0);
        if rows > 1 {
            check_at_least(what, values, distance)?;
        }
        check_at_least(what, (rows - 1) * distance + values, self.len)
    }
}

impl TangentInputs<'_> {
    /// Checks that every direction has as many values as its input.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error) with both lengths.
    pub(super) fn check(&self, problem: &parameters::Problem) -> Result<()> {
        let inputs = [
            ("direction of coefficients", &self.coefficients),
            ("direction of rhs", &self.rhs),
            ("direction of initial_values", &self.initial_values),
            ("direction of steps", &self.steps),
        ];
        for ((what, direction), values) in inputs.into_iter().zip(values_of_system(problem)) {
            let systems = if direction.array.system == 0 { 1 } else { problem.batch as usize };
            if !direction.array.data.is_null() {
                check_at_least(what, systems * values, direction.len)?;
            }
        }
        Ok(())
    }
}

/// Values of one system of coefficients, right-hand side, initial values and steps.
fn values_of_system(problem: &parameters::Problem) -> [usize; 4] {
    let along = |time: i64, points: i64| if time == 0 { 1 } else { points };
    let states = i64::from(problem.states);
    let equations = i64::from(problem.equations);
    let given = states * i64::from(problem.initial_derivatives);
    let step_states = if problem.steps.state == 0 { 1 } else { states };
    [
        along(problem.coefficients.time, problem.points)
            * equations
            * states
            * i64::from(problem.equation_derivatives),
        along(problem.rhs.time, problem.points) * equations,
        i64::from(problem.initial_points) * given,
        along(problem.steps.time, problem.points - 1) * step_states,
    ]
    .map(|values| values as usize)
}

/// Directions in which the inputs move; `data` is null where one stands still. Strides as for
/// the inputs themselves.
#[derive(Clone, Copy)]
pub struct TangentInputs<'a> {
    /// Of the coefficients.
    pub coefficients: Counted<Input>,
    /// Of the right-hand side.
    pub rhs: Counted<Input>,
    /// Of the initial values.
    pub initial_values: Counted<Input>,
    /// Of the steps.
    pub steps: Counted<Input>,
    pub(super) arrays: PhantomData<&'a ()>,
}

/// One way of solving a batch: kernels, workspace, launches. `Display` describes it on one line of
/// the plan.
///
/// The workspace of a part is written by [`Self::solve`] and read by [`Self::vjp`], which may use the
/// rest of it as scratch but leaves the factor and the iterate as they are. It is given the status
/// (systems) that the solve wrote.
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
}

#[cfg(test)]
mod tests {
    use super::super::memory::Buffer;
    use super::super::problem::{INPUTS, Layout, ProblemTemplate, Values};
    use super::super::testing;
    use super::super::testing::case::{Case, Sizes};
    use super::*;
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
        let inputs = arrays.each_ref().map(Values::from);
        let parameters = template.problem(inputs, 5).unwrap().parameters;
        for index in 0..4 {
            let mut short = inputs;
            short[index] = inputs[index].part(0, inputs[index].len() - 1);
            let message = template.problem(short, 5).err().unwrap().to_string();
            assert!(message.contains(INPUTS[index]) && message.contains("expected"), "{message}");
        }
        // Two groups of systems, whose sums of the right-hand side are 10 values apart.
        let lengths = [5 * 4 * 2, 10 + 4, 5, 5 * 3, 10 + 4];
        let check = |lengths: [usize; 5]| {
            let mut targets =
                lengths.map(|len| Buffer::<f64>::zeros(&device, "gradient", len).unwrap());
            let mut output = |index: usize, layout: &Layout, system: usize| {
                layout.output(&device, &mut targets[index].view_mut(), system)
            };
            let layouts = &template.layouts;
            let gradients = GradientOutputs {
                coefficients: output(0, &layouts[0], layouts[0].values),
                rhs: output(1, &layouts[1], 10),
                initial_values: output(2, &layouts[2], layouts[2].values),
                steps: output(3, &layouts[3], layouts[3].values),
                weights: output(4, &Layout::of_weights(), 10),
                arrays: PhantomData,
            };
            gradients.check(&parameters, 2)
        };
        check(lengths).unwrap();
        for index in 0..5 {
            let mut short = lengths;
            short[index] -= 1;
            let message = check(short).unwrap_err().to_string();
            assert!(message.contains("gradient of") && message.contains("expected"), "{message}");
        }

        let directions = |index: usize, missing: usize| {
            let mut directions = inputs.map(Some);
            directions[index] = Some(inputs[index].part(0, inputs[index].len() - missing));
            template.tangents(directions).check(&parameters)
        };
        for index in 0..4 {
            directions(index, 0).unwrap();
            let message = directions(index, 1).unwrap_err().to_string();
            assert!(message.contains("direction of"), "{message}");
        }
    }
}
