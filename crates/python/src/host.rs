//! Solves in the memory of the program, on the CPU.

use mechanistic::{
    Cotangent, Error, Gradients, Inputs, Options, Plan, Problem, ProblemShape, Real, Result,
    Solution, Solver, Status, Tangents, View,
};

use crate::factored::{Addresses, Factored, Pair, Results, code};
use crate::memory::Address;
use crate::pool::{Held, Pooled};

/// Solves, and returns the solver and how many systems were not solved.
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
    let solution = held.solver.solve(&problem(shape, inputs)?)?;
    write(solution, [values, epsilon])?;
    let codes: &mut [i32] = Address(status).write(shape.batch())?;
    let mut failed = 0;
    for (written, &status) in codes.iter_mut().zip(&solution.status) {
        *written = code(status);
        failed += usize::from(!status.is_ok());
    }
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
        let Gradients { inputs: gradients, .. } =
            self.solver.vjp(&problem, &of_solution(&shape, cotangent)?)?;
        for (gradient, target) in gradients.as_ref().zip(Inputs::from(targets)) {
            if let Some(target) = Address(target).given() {
                target.write(gradient.len())?.copy_from_slice(gradient);
            }
        }
        Ok(())
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
        write(self.solver.jvp(&problem, &tangents)?, results)
    }

    fn inverse(&mut self, inputs: Addresses, q: Pair, results: Pair) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        write(self.solver.inverse(&problem, &of_solution(&shape, q)?)?, results)
    }

    fn solution(&self, results: Pair) -> Result<()> {
        write(self.solver.solution(), results)
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

fn write<T: Copy>(solution: &Solution<T>, [values, epsilon]: Pair) -> Result<()> {
    Address(values).write(solution.values.len())?.copy_from_slice(&solution.values);
    Address(epsilon).write(solution.epsilon.len())?.copy_from_slice(&solution.epsilon);
    Ok(())
}
