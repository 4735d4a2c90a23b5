//! A solve and its factor, from which all derivatives are computed.

use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mechanistic::{
    Cotangent, Error, Gradients, Inputs, Options, Problem, ProblemShape, Result, Solution, Status,
    Tangents, View,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::memory::Address;
use crate::options::SolveOptions;
use crate::pool::{Held, Pooled};
use crate::process::PerProcess;
use crate::threads;

/// The sizes of a problem: B, N, the number of extra derivatives, and the axes of coefficients,
/// right-hand side, initial values and steps.
type Sizes = (usize, usize, usize, [usize; 5], [usize; 3], [usize; 4], [usize; 3]);

/// The addresses of coefficients, right-hand side, initial values and steps, or of an array for each
/// of them; 0 for one that is not there.
type Addresses = [usize; 4];

/// The largest number of systems times points times entries of a block for which a solve takes less
/// time than other threads need to begin.
const SMALL: usize = 1 << 14;

/// A solver of either precision.
enum Either {
    Double(Held<f64>),
    Single(Held<f32>),
}

/// Evaluates an expression for a solver of either precision.
macro_rules! either {
    ($either:expr, $held:ident => $body:expr) => {
        match $either {
            Either::Double($held) => $body,
            Either::Single($held) => $body,
        }
    };
}

/// A solver that holds the factor of one solve. When the last reference goes, it goes back to the
/// idle ones.
struct Solved {
    number: i64,
    /// The number once more, in memory that Python sees and might change.
    exported: AtomicI64,
    /// The process that has solved. Another one, made by `fork`, does not touch the solver, which may
    /// have been in use at that moment.
    process: u32,
    double: bool,
    sizes: Sizes,
    options: Options,
    small: bool,
    /// Always there until it is dropped.
    held: Mutex<Option<Either>>,
}

/// The factors that are in use, by their numbers.
static IN_USE: PerProcess<HashMap<i64, Weak<Solved>>> = PerProcess::new();

/// The number of the next factor. It begins at 1: a tensor of zeros refers to none.
static NEXT: AtomicI64 = AtomicI64::new(1);

impl Drop for Solved {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.process != process::id() {
            std::mem::forget(held);
            return;
        }
        IN_USE.lock().remove(&self.number);
        match held {
            Some(Either::Double(held)) => held.give_back(),
            Some(Either::Single(held)) => held.give_back(),
            None => {}
        }
    }
}

/// The factor of one solve. An array of NumPy that is made of it (`__array_interface__`) has one
/// int64, its number, and keeps it.
#[pyclass(frozen)]
pub struct Factor(Arc<Solved>);

impl Factor {
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Either) -> Result<R> + Send,
    ) -> PyResult<R> {
        if self.is_inherited() {
            return Err(PyRuntimeError::new_err("the factor is that of a parent process"));
        }
        py.detach(|| {
            // Before the threads are asked: they must not wait for it (see `threads::run`).
            let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
            let either = held.as_mut().expect("it goes only when this is dropped");
            threads::run_detached(self.0.small, || work(either))
        })
    }
}

#[pymethods]
impl Factor {
    /// Whether a parent process has made it before `fork`: then it cannot be used, and the problem is
    /// solved once more.
    #[getter]
    fn is_inherited(&self) -> bool {
        self.0.process != process::id()
    }

    /// The memory of the number, for NumPy.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", (1,))?;
        interface.set_item("typestr", "<i8")?;
        interface.set_item("data", (self.0.exported.as_ptr() as usize, false))?;
        Ok(interface)
    }

    /// Computes the gradients of the inputs whose targets are given, from those of the solution and
    /// of ε; either may be missing.
    fn vjp(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        values: usize,
        epsilon: usize,
        targets: Addresses,
    ) -> PyResult<()> {
        self.with(py, |either| either!(either, held => held.vjp(inputs, values, epsilon, targets)))
    }

    /// Computes the directional derivatives of the solution and of ε.
    fn jvp(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        tangents: Addresses,
        values: usize,
        epsilon: usize,
    ) -> PyResult<()> {
        self.with(py, |either| either!(either, held => held.jvp(inputs, tangents, values, epsilon)))
    }

    /// Computes M⁻¹ q for q in the layout of the solution; the last two are the results.
    fn inverse(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        q: [usize; 2],
        results: [usize; 2],
    ) -> PyResult<()> {
        self.with(py, |either| either!(either, held => held.inverse(inputs, q, results)))
    }

    /// Writes the solution and ε of the solve once more.
    fn solution(&self, py: Python<'_>, values: usize, epsilon: usize) -> PyResult<()> {
        self.with(
            py,
            |either| either!(either, held => write(held.solver.solution(), values, epsilon)),
        )
    }

    /// Returns the first `most` systems that were not solved: their numbers, and what is wrong.
    fn failures(&self, py: Python<'_>, most: usize) -> PyResult<Vec<(usize, String)>> {
        self.with(py, |either| {
            let status = either!(either, held => &held.solver.solution().status);
            let failed = status.iter().enumerate().filter(|(_, status)| !status.is_ok());
            Ok(failed.take(most).map(|(system, status)| (system, status.to_string())).collect())
        })
    }

    /// Returns the plan of the solve, for people to read.
    fn plan(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |either| Ok(either!(either, held => held.solver.plan().to_string())))
    }
}

/// Solves, and writes values (B, N, K, Q), ε (B) and statuses (B, int32). Returns the factor, and
/// how many systems were not solved.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one argument for each array")]
pub fn solve(
    py: Python<'_>,
    double: bool,
    sizes: Sizes,
    options: &SolveOptions,
    inputs: Addresses,
    values: usize,
    epsilon: usize,
    status: usize,
) -> PyResult<(Factor, usize)> {
    let small = is_small(&sizes);
    let (either, failed) = threads::run(py, small, || {
        let shape = problem_shape(sizes)?;
        if double {
            let mut held = Held::take(&shape, &options.0)?;
            let failed = held.solve(inputs, values, epsilon, status)?;
            Ok((Either::Double(held), failed))
        } else {
            let mut held = Held::take(&shape, &options.0)?;
            let failed = held.solve(inputs, values, epsilon, status)?;
            Ok((Either::Single(held), failed))
        }
    })?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let solved = Arc::new(Solved {
        number,
        exported: AtomicI64::new(number),
        process: process::id(),
        double,
        sizes,
        options: options.0,
        small,
        held: Mutex::new(Some(either)),
    });
    IN_USE.lock().insert(number, Arc::downgrade(&solved));
    Ok((Factor(solved), failed))
}

/// Returns the factor with this number, if it is still there and is that of a problem of these
/// sizes and options.
#[pyfunction]
pub fn find(number: i64, double: bool, sizes: Sizes, options: &SolveOptions) -> Option<Factor> {
    let solved = IN_USE.lock().get(&number).and_then(Weak::upgrade);
    let suits = |of: &Arc<Solved>| (of.double, of.sizes, of.options) == (double, sizes, options.0);
    solved.filter(suits).map(Factor)
}

fn is_small(&(batch, points, extra, [_, _, _, states, derivatives], ..): &Sizes) -> bool {
    let block = states.saturating_mul(derivatives.saturating_add(extra));
    batch.saturating_mul(points).saturating_mul(block.saturating_mul(block)) <= SMALL
}

fn problem_shape((batch, points, extra, c, b, v, s): Sizes) -> Result<ProblemShape> {
    let axes = Inputs { coefficients: &c[..], rhs: &b, initial_values: &v, steps: &s };
    ProblemShape::new(batch, points, axes)?.with_extra_derivatives(extra)
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

impl<T: Pooled> Held<T> {
    fn solve(
        &mut self,
        inputs: Addresses,
        values: usize,
        epsilon: usize,
        status: usize,
    ) -> Result<usize> {
        let shape = self.solver.shape().clone();
        let solution = self.solver.solve(&problem(&shape, inputs)?)?;
        write(solution, values, epsilon)?;
        let codes: &mut [i32] = Address(status).write(shape.batch())?;
        let mut failed = 0;
        for (written, &status) in codes.iter_mut().zip(&solution.status) {
            *written = code(status);
            failed += usize::from(!status.is_ok());
        }
        Ok(failed)
    }

    fn vjp(
        &mut self,
        inputs: Addresses,
        values: usize,
        epsilon: usize,
        targets: Addresses,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        let Gradients { inputs: gradients, .. } =
            self.solver.vjp(&problem, &cotangent(&shape, [values, epsilon])?)?;
        for (gradient, target) in gradients.as_ref().zip(Inputs::from(targets)) {
            if let Some(target) = Address(target).given() {
                target.write(gradient.len())?.copy_from_slice(gradient);
            }
        }
        Ok(())
    }

    fn jvp(
        &mut self,
        inputs: Addresses,
        tangents: Addresses,
        values: usize,
        epsilon: usize,
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        let read = |address: Address, axes: &[usize]| address.read(axes.iter().product());
        let tangents: Tangents<'_, T> = Inputs::from(tangents)
            .zip(shape.inputs())
            .try_map(|(at, axes)| Address(at).given().map(|at| read(at, axes)).transpose())?;
        write(self.solver.jvp(&problem, &tangents)?, values, epsilon)
    }

    fn inverse(
        &mut self,
        inputs: Addresses,
        q: [usize; 2],
        [values, epsilon]: [usize; 2],
    ) -> Result<()> {
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, inputs)?;
        write(self.solver.inverse(&problem, &cotangent(&shape, q)?)?, values, epsilon)
    }
}

/// Returns the arrays (B, N, K, Q) and (B) at two addresses, of which the second may be missing.
fn cotangent<'a, T>(
    shape: &ProblemShape,
    [values, epsilon]: [usize; 2],
) -> Result<Cotangent<'a, T>> {
    Ok(Cotangent {
        values: Address(values).read(shape.solution().iter().product())?,
        epsilon: Address(epsilon).given().map(|epsilon| epsilon.read(shape.batch())).transpose()?,
    })
}

fn write<T: Copy>(solution: &Solution<T>, values: usize, epsilon: usize) -> Result<()> {
    Address(values).write(solution.values.len())?.copy_from_slice(&solution.values);
    Address(epsilon).write(solution.epsilon.len())?.copy_from_slice(&solution.epsilon);
    Ok(())
}

/// Returns the number that stands for a status in Python (`mechanistic.Status`).
fn code(status: Status) -> i32 {
    match status {
        Status::Ok => 0,
        Status::NonFiniteInput { .. } => 1,
        Status::InvalidStep { .. } => 2,
        Status::Breakdown { .. } => 3,
        Status::Overflow => 4,
        _ => 5,
    }
}
