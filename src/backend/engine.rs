//! The interface between the solver and its backends.

use std::any::{Any, TypeId};

use crate::adjoint::{Cotangent, GradientsMut, Tangents, tangents_part};
use crate::error::Result;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::solution::{Residuals, SolutionMut, Status};

/// The engine of a device: the plan and the workspace for problems of one shape. Results go to memory
/// of the caller, whose lengths fit. The argument `status` is that of the last solve, (B); of
/// several derivatives that of each, (C, B), without those whose cotangent is not finite.
pub trait Engine<T: Real>: Send + Sync {
    /// Returns how problems are solved, for people to read.
    fn plan(&self) -> Plan;

    /// Returns the bytes of the program's memory that the workspace takes, or zero where it is small
    /// beside the results.
    fn bytes(&self) -> usize {
        0
    }

    /// Solves every system of the batch, and writes how each ended.
    fn solve(
        &mut self,
        problem: &Problem<'_, T>,
        solution: SolutionMut<'_, T>,
        status: &mut [Status],
    ) -> Result<()>;

    /// Computes the gradients that have a place. The status `found` is the given one; or overflow for
    /// a system that added to the gradients what is not finite, and is to be left out.
    fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, T>,
        found: &mut [Status],
    ) -> Result<()>;

    /// Computes the directional derivative of the solution; zero for systems that were not solved.
    fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
        derivative: SolutionMut<'_, T>,
    ) -> Result<()>;

    /// Computes the gradients of C cotangents as [`Self::vjp`] does those of one; statuses are (C, B).
    fn vjps(
        &mut self,
        problem: &Problem<'_, T>,
        cotangents: &Cotangent<'_, T>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, T>,
        found: &mut [Status],
    ) -> Result<()> {
        each_vjp(self, problem, cotangents, status, gradients, found)
    }

    /// Computes C directional derivatives as [`Self::jvp`] does one.
    fn jvps(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
        derivatives: SolutionMut<'_, T>,
    ) -> Result<()> {
        each_jvp(self, problem, tangents, status, derivatives)
    }

    /// Computes M⁻¹ q for q in the layout of the solution, with the entry of the slack in `epsilon`;
    /// zero for systems that were not solved.
    fn inverse(
        &mut self,
        problem: &Problem<'_, T>,
        q: &Cotangent<'_, T>,
        status: &[Status],
        result: SolutionMut<'_, T>,
    ) -> Result<()>;

    /// Computes the marginal variances of the solution, the diagonal of M⁻¹, in the layout of the
    /// solution.
    fn variances(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        variances: &mut [T],
    ) -> Result<()>;

    /// Computes the norms of the defects of every system.
    fn residuals(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        residuals: &mut [Residuals],
    ) -> Result<()>;
}

/// Computes the gradients of several cotangents one after the other.
pub fn each_vjp<T: Real, E: Engine<T> + ?Sized>(
    engine: &mut E,
    problem: &Problem<'_, T>,
    cotangents: &Cotangent<'_, T>,
    status: &[Status],
    gradients: &mut GradientsMut<'_, T>,
    found: &mut [Status],
) -> Result<()> {
    let shape = problem.shape();
    let statuses = status.chunks(shape.batch).zip(found.chunks_mut(shape.batch));
    for (number, (status, found)) in statuses.enumerate() {
        let cotangent = cotangents.part(shape, number..number + 1);
        let mut gradients = gradients.part(shape, number..number + 1);
        engine.vjp(problem, &cotangent, status, &mut gradients, found)?;
    }
    Ok(())
}

/// Computes several directional derivatives one after the other.
pub fn each_jvp<T: Real, E: Engine<T> + ?Sized>(
    engine: &mut E,
    problem: &Problem<'_, T>,
    tangents: &Tangents<'_, T>,
    status: &[Status],
    mut derivatives: SolutionMut<'_, T>,
) -> Result<()> {
    let shape = problem.shape();
    for number in 0..derivatives.count(shape) {
        let tangent = tangents_part(tangents, shape, number..number + 1);
        engine.jvp(problem, &tangent, status, derivatives.part(shape, number..number + 1))?;
    }
    Ok(())
}

/// Makes the engine for `T`, which is f32 or f64, by one of two functions. The two are not generic,
/// so that engines are compiled once, with the library, and not again in every program that uses
/// it.
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
