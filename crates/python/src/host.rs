//! Solves in the memory of the program, on the CPU.

use mechanistic::{
    Cotangent, Error, GradientsMut, Inputs, Options, Plan, Problem, ProblemShape, Real, Result,
    SolutionMut, Solver, Status, Tangents, View,
};

use crate::factored::{Addresses, Factored, Pair, Results, code};
use crate::memory::Address;
use crate::pool::{Held, Pooled};

/// Solves, and returns the solver and how many systems were not solved. Without an address for the values
/// they stay in the solver, and without one for the statuses these are not written.
pub fn solve<T: Real>(
    shape: &ProblemShape,
    options: &Options,
    inputs: Addresses,
    [values, epsilon, status]: Results,
) -> Result<(Box<dyn Factored>, usize)>
where
    Solver<T>: Pooled,
{
    let mut held = Held::<Solver<T>>::take(0, shape, options)?;
    let problem = problem(shape, inputs)?;
    let statuses = match Address(values).given() {
        Some(_) => held.solver.solve_into(&problem, to_solution(shape, [values, epsilon])?)?,
        None => &held.solver.solve(&problem)?.status,
    };
    if let Some(status) = Address(status).given() {
        let codes: &mut [i32] = status.write(shape.batch())?;
        for (written, &status) in codes.iter_mut().zip(statuses) {
            *written = code(status);
        }
    }
    let failed = statuses.iter().filter(|status| !status.is_ok()).count();
    Ok((Box::new(held), failed))
}

/// Returns the problem of this shape whose inputs lie at these addresses.
fn problem<T>(shape: &ProblemShape, inputs: Addresses) -> Result<Problem<'_, T>> {
    let axes = shape.inputs();
    let arrays = Inputs::from(inputs).zip(axes).try_map(|(address, axes)| {
        Ok::<_, Error>(View::new(axes, Address(address).read(axes.iter().product())?))
    })?;
    Problem::builder()
        .batch(shape.batch())
        .points(shape.points())
        .coefficients(arrays.coefficients)
        .rhs(arrays.rhs)
        .initial_values(arrays.initial_values)
        .steps(arrays.steps)
        .build()?
        .with_extra_derivatives(shape.extra_derivatives())
}

impl<T: Real> Factored for Held<Solver<T>>
where
    Solver<T>: Pooled,
{
    fn vjp(
        &mut self,
        _stream: usize,
        inputs: Addresses,
        cotangent: Pair,
        targets: Addresses,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        let write = |address: Address, axes: &[usize]| address.write(axes.iter().product());
        let inputs = Inputs::from(targets)
            .zip(shape.inputs())
            .try_map(|(at, axes)| Address(at).given().map(|at| write(at, axes)).transpose())?;
        let gradients = GradientsMut { inputs, weights: None };
        self.solver.vjp_into(&problem, &of_solution(&shape, cotangent)?, gradients).map(drop)
    }

    fn jvp(
        &mut self,
        _stream: usize,
        inputs: Addresses,
        tangents: Addresses,
        results: Pair,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        let read = |address: Address, axes: &[usize]| address.read(axes.iter().product());
        let tangents: Tangents<'_, T> = Inputs::from(tangents)
            .zip(shape.inputs())
            .try_map(|(at, axes)| Address(at).given().map(|at| read(at, axes)).transpose())?;
        self.solver.jvp_into(&problem, &tangents, to_solution(&shape, results)?).map(drop)
    }

    fn inverse(&mut self, _stream: usize, inputs: Addresses, q: Pair, results: Pair) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        let (q, results) = (of_solution(&shape, q)?, to_solution(&shape, results)?);
        self.solver.inverse_into(&problem, &q, results).map(drop)
    }

    fn statuses(&self) -> &[Status] {
        &self.solver.solution().status
    }

    fn plan(&self) -> Plan {
        self.solver.plan()
    }

    fn give_back(self: Box<Self>) {
        Held::give_back(*self);
    }
}

/// Returns the arrays (B, N, K, Q) and (B) at two addresses, of which the second may be missing.
fn of_solution<'a, T>(shape: &ProblemShape, [values, epsilon]: Pair) -> Result<Cotangent<'a, T>> {
    Ok(Cotangent {
        values: Address(values).read(shape.solution().iter().product())?,
        epsilon: Address(epsilon).given().map(|epsilon| epsilon.read(shape.batch())).transpose()?,
    })
}

/// Returns the arrays (B, N, K, Q) and (B) at two addresses, to be written; the second may be
/// missing.
fn to_solution<'a, T>(shape: &ProblemShape, [values, epsilon]: Pair) -> Result<SolutionMut<'a, T>> {
    Ok(SolutionMut {
        values: Address(values).write(shape.solution().iter().product())?,
        epsilon: Address(epsilon)
            .given()
            .map(|epsilon| epsilon.write(shape.batch()))
            .transpose()?,
    })
}
