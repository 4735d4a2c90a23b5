//! Solves in the memory of the program, on the CPU.

use mechanistic::{
    Cotangent, Error, GradientsMut, Inputs, Options, Plan, Problem, ProblemShape, Real, Result,
    SolutionMut, Solver, Status, Tangents, View,
};

use crate::factored::{Addresses, Arrays, Factored, Pair, Results, code};
use crate::memory::Address;
use crate::pool::{Held, Pooled};

/// Solves, and returns the solver and how many systems were not solved. Without an address for the values
/// they stay in the solver, and without one for the statuses these are not written.
pub fn solve<T: Real>(
    shape: &ProblemShape,
    options: &Options,
    inputs: Arrays<'_>,
    [values, epsilon, status]: Results,
) -> Result<(Box<dyn Factored>, usize)>
where
    Solver<T>: Pooled,
{
    let mut held = Held::<Solver<T>>::take(0, shape, options)?;
    let problem = problem(inputs)?;
    let statuses = match Address(values).given() {
        Some(_) => held.solver.solve_into(&problem, to_solutions(shape, 1, [values, epsilon])?)?,
        None => &held.solver.solve(&problem)?.status,
    };
    if let Some(status) = Address(status).given() {
        let codes: &mut [i32] = status.write(shape.batch())?;
        for (written, &status) in codes.iter_mut().zip(statuses) {
            *written = code(status);
        }
    }
    let failed = statuses.iter().filter(|status| !status.is_ok()).count();
    Ok((held, failed))
}

/// Returns the problem with these inputs.
fn problem<T>(inputs: Arrays<'_>) -> Result<Problem<'_, T>> {
    let &(batch, points, extra, ..) = inputs.sizes;
    let strides = match inputs.strides {
        Some(strides) => strides.each_ref().map(|strides| Some(&strides[..])),
        None => [None; 4],
    };
    let forms = inputs.axes().zip(Inputs::from(strides));
    let arrays =
        Inputs::from(inputs.addresses).zip(forms).try_map(|(address, (shape, strides))| {
            let data = Address(address).read(reach(shape, strides))?;
            Ok::<_, Error>(View { shape, strides, data })
        })?;
    Problem::builder()
        .batch(batch)
        .points(points)
        .coefficients(arrays.coefficients)
        .rhs(arrays.rhs)
        .initial_values(arrays.initial_values)
        .steps(arrays.steps)
        .build()?
        .with_extra_derivatives(extra)
}

/// Returns how many numbers an array reaches over. Of strides that no array has, anything: they are refused
/// before a number is read.
fn reach(shape: &[usize], strides: Option<&[isize]>) -> usize {
    if shape.contains(&0) {
        return 0;
    }
    match strides {
        None => shape.iter().product(),
        Some(strides) => shape.iter().zip(strides).fold(1, |reach, (&extent, &stride)| {
            let along = (extent - 1).saturating_mul(stride.max(0).unsigned_abs());
            reach.saturating_add(along)
        }),
    }
}

impl<T: Real> Factored for Held<Solver<T>>
where
    Solver<T>: Pooled,
{
    fn vjp(
        &mut self,
        _stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        cotangents: Pair,
        targets: Addresses,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(inputs)?;
        let write = |address: Address, axes: &[usize]| {
            address.write(count.saturating_mul(axes.iter().product()))
        };
        let inputs = Inputs::from(targets)
            .zip(shape.inputs())
            .try_map(|(at, axes)| Address(at).given().map(|at| write(at, axes)).transpose())?;
        let gradients = GradientsMut { inputs, weights: None };
        let cotangents = of_solutions(&shape, count, cotangents)?;
        self.solver.vjp_into(&problem, &cotangents, gradients).map(drop)
    }

    fn jvp(
        &mut self,
        _stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        tangents: Addresses,
        results: Pair,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(inputs)?;
        let read = |address: Address, axes: &[usize]| {
            address.read(count.saturating_mul(axes.iter().product()))
        };
        let tangents: Tangents<'_, T> = Inputs::from(tangents)
            .zip(shape.inputs())
            .try_map(|(at, axes)| Address(at).given().map(|at| read(at, axes)).transpose())?;
        self.solver.jvp_into(&problem, &tangents, to_solutions(&shape, count, results)?).map(drop)
    }

    fn inverse(
        &mut self,
        _stream: usize,
        inputs: Arrays<'_>,
        q: Pair,
        results: Pair,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(inputs)?;
        let (q, results) = (of_solutions(&shape, 1, q)?, to_solutions(&shape, 1, results)?);
        self.solver.inverse_into(&problem, &q, results).map(drop)
    }

    fn statuses(&self) -> &[Status] {
        &self.solver.solution().status
    }

    fn plan(&self) -> Plan {
        self.solver.plan()
    }

    fn give_back(self: Box<Self>) {
        Held::give_back(self);
    }
}

/// Returns `count` arrays (B, N, K, Q) and (B), one after the other, at two addresses, of which the second may be
/// missing.
fn of_solutions<'a, T>(
    shape: &ProblemShape,
    count: usize,
    [values, epsilon]: Pair,
) -> Result<Cotangent<'a, T>> {
    let [numbers, systems] = lengths(shape, count);
    let epsilon = Address(epsilon).given().map(|epsilon| epsilon.read(systems)).transpose()?;
    Ok(Cotangent { values: Address(values).read(numbers)?, epsilon })
}

/// Returns such arrays that are written.
fn to_solutions<'a, T>(
    shape: &ProblemShape,
    count: usize,
    [values, epsilon]: Pair,
) -> Result<SolutionMut<'a, T>> {
    let [numbers, systems] = lengths(shape, count);
    let epsilon = Address(epsilon).given().map(|epsilon| epsilon.write(systems)).transpose()?;
    Ok(SolutionMut { values: Address(values).write(numbers)?, epsilon })
}

/// Returns the lengths of `count` arrays (B, N, K, Q), and of as many arrays (B).
fn lengths(shape: &ProblemShape, count: usize) -> [usize; 2] {
    [shape.solution().iter().product(), shape.batch()].map(|length| count.saturating_mul(length))
}
