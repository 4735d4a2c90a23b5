//! The seam between the solver and its backends.

use std::any::{Any, TypeId};

use crate::adjoint::{Cotangent, Gradients, Tangents};
use crate::error::Result;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::solution::{Residuals, Solution, Status};

/// Plan and workspace of a device for problems of one shape. `status` is that of the last solve.
pub trait Engine<T: Real>: Send + Sync {
    /// How problems are solved.
    fn plan(&self) -> Plan;

    /// Solves every system.
    fn solve(&mut self, problem: &Problem<'_, T>, solution: &mut Solution<T>) -> Result<()>;

    /// Gradients with respect to every input.
    fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
    ) -> Result<&Gradients<T>>;

    /// Directional derivative of the solution.
    fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
    ) -> Result<&Solution<T>>;

    /// Marginal variances of the solution: the diagonal of M⁻¹, in its layout.
    fn variances(&mut self, problem: &Problem<'_, T>, status: &[Status]) -> Result<&[T]>;

    /// Defects of every system.
    fn residuals(&mut self, problem: &Problem<'_, T>, status: &[Status]) -> Result<&[Residuals]>;
}

/// The engine for `T`, which is f32 or f64, made by one of two functions. They are no templates, so
/// that engines are compiled once, with the library, and not again in every program that uses it.
pub fn of_precision<T: Real>(
    single: impl FnOnce() -> Result<Box<dyn Engine<f32>>>,
    double: impl FnOnce() -> Result<Box<dyn Engine<f64>>>,
) -> Result<Box<dyn Engine<T>>> {
    let made: Box<dyn Any> = if TypeId::of::<T>() == TypeId::of::<f32>() {
        Box::new(single()?)
    } else {
        Box::new(double()?)
    };
    Ok(*made.downcast().expect("`Real` is f32 or f64"))
}
