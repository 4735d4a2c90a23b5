//! The solver as custom calls of XLA, for JAX. A call comes from a thread of XLA, without the lock of the
//! interpreter, and the arrays are XLA's own.
//!
//! * `mechanistic_solve`: coefficients, rhs, initial values and steps, in the layouts of the library, to
//!   the solution (B, N, K, Q).
//! * `mechanistic_vjp`: the same and cotangents (C, B, N, K, Q) to the gradients (C, ...) of the four. One
//!   factor serves all C cotangents.
//!
//! The attributes `options`, in JSON, and `check`, "raise" or "ignore", are text, so that a program which is
//! stored keeps its meaning.

mod abi;

use std::ffi::c_void;
use std::ptr::NonNull;

use mechanistic::{Error, Inputs, Options, ProblemShape, Result};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::factor::is_small;
use crate::factored::{Addresses, Arrays, Factored, Sizes, describe_failures, problem_shape};
use crate::options::ByName;
use crate::{host, threads};
use abi::{Array, Call, CallFrame, Handler, XlaError};

/// Returns the handlers of `mechanistic_solve` and `mechanistic_vjp`, to be registered for the CPU.
#[pyfunction]
pub fn xla_handlers(py: Python<'_>) -> PyResult<[Bound<'_, PyCapsule>; 2]> {
    let capsule = |handler: Handler| {
        let pointer = NonNull::new(handler as *mut c_void).expect("functions have addresses");
        // SAFETY: the function stays where it is: Python does not unload modules.
        unsafe { PyCapsule::new_with_pointer(py, pointer, c"xla._CUSTOM_CALL_TARGET") }
    };
    Ok([capsule(solve)?, capsule(vjp)?])
}

unsafe extern "C" fn solve(frame: *const CallFrame) -> *mut XlaError {
    let work = |call: &Call| {
        let values = call.result::<4>(0, "solution")?;
        Problem::of(call, values.double, values.axes)?.solve(values.address, |_| Ok(()))
    };
    // SAFETY: XLA calls it with a frame of its own.
    unsafe { abi::answer(frame, work) }
}

unsafe extern "C" fn vjp(frame: *const CallFrame) -> *mut XlaError {
    let work = |call: &Call| {
        let cotangents = call.argument::<5>(4, "cotangent")?;
        let [count, solution @ ..] = cotangents.axes;
        let problem = Problem::of(call, cotangents.double, solution)?;
        let Inputs { coefficients, rhs, initial_values, steps } = problem.shape.inputs();
        let gradients = [
            gradient::<6>(call, 0, cotangents.double, count, coefficients)?,
            gradient::<4>(call, 1, cotangents.double, count, rhs)?,
            gradient::<5>(call, 2, cotangents.double, count, initial_values)?,
            gradient::<4>(call, 3, cotangents.double, count, steps)?,
        ];
        if count == 0 {
            return Ok(());
        }
        problem.solve(0, |held| {
            held.vjp(0, problem.arrays(), count, [cotangents.address, 0], gradients)
        })
    };
    // SAFETY: XLA calls it with a frame of its own.
    unsafe { abi::answer(frame, work) }
}

/// Returns the address of the gradients (C, ...) of the input at a place.
fn gradient<const R: usize>(
    call: &Call,
    place: usize,
    double: bool,
    count: usize,
    input: &[usize],
) -> Result<usize> {
    let name = format!("gradient of {}", NAMES[place]);
    let array = call.result::<R>(place, &name)?;
    check(&name, &array, double, &[&[count], input].concat())?;
    Ok(array.address)
}

const NAMES: [&str; 4] = ["coefficients", "rhs", "initial_values", "steps"];

/// A problem among XLA's arrays, and how it is solved.
struct Problem {
    double: bool,
    shape: ProblemShape,
    sizes: Sizes,
    inputs: Addresses,
    options: Options,
    /// Whether a system that cannot be solved is an error.
    must_solve: bool,
}

impl Problem {
    /// Returns the problem of a call, whose solution has these axes (B, N, K, Q).
    fn of(call: &Call, double: bool, solution: [usize; 4]) -> Result<Self> {
        let coefficients = call.argument::<5>(0, NAMES[0])?;
        let rhs = call.argument::<3>(1, NAMES[1])?;
        let initial_values = call.argument::<4>(2, NAMES[2])?;
        let steps = call.argument::<3>(3, NAMES[3])?;
        let [batch, points, _, derivatives] = solution;
        let extra = derivatives.saturating_sub(coefficients.axes[4]);
        let (c, b, v, s) = (coefficients.axes, rhs.axes, initial_values.axes, steps.axes);
        let sizes: Sizes = (batch, points, extra, c.to_vec(), b.to_vec(), v.to_vec(), s.to_vec());
        let shape = problem_shape(&sizes)?;
        check(NAMES[0], &coefficients, double, &c)?;
        check(NAMES[1], &rhs, double, &b)?;
        check(NAMES[2], &initial_values, double, &v)?;
        check(NAMES[3], &steps, double, &s)?;
        if shape.solution() != solution {
            return Err(of_shape("solution", &shape.solution(), &solution));
        }
        Ok(Problem {
            double,
            shape,
            sizes,
            inputs: [coefficients.address, rhs.address, initial_values.address, steps.address],
            options: ByName::of_json(call.text("options")?)?.options()?,
            must_solve: call.text("check")? == "raise",
        })
    }

    fn arrays(&self) -> Arrays<'_> {
        Arrays { sizes: &self.sizes, addresses: self.inputs, strides: None }
    }

    /// Solves, with the solution at an address or, if that is 0, in memory of the solver, and hands the
    /// solver with the factor to `work`.
    fn solve(
        &self,
        values: usize,
        work: impl FnOnce(&mut dyn Factored) -> Result<()> + Send,
    ) -> Result<()> {
        threads::run_detached(is_small(&self.sizes), 1, || {
            let solve = if self.double { host::solve::<f64> } else { host::solve::<f32> };
            let (mut held, failed) =
                solve(&self.shape, &self.options, self.arrays(), [values, 0, 0])?;
            let outcome = match failed > 0 && self.must_solve {
                true => Err(Error::Data(describe_failures(held.statuses()))),
                false => work(&mut *held),
            };
            held.give_back();
            outcome
        })
    }
}

/// Checks the precision and the axes of an array, of which XLA tells what the program was made with.
fn check<const R: usize>(name: &str, array: &Array<R>, double: bool, axes: &[usize]) -> Result<()> {
    if array.double != double {
        return Err(Error::argument(name, "expected the precision of the other arrays"));
    }
    if array.axes != axes {
        return Err(of_shape(name, axes, &array.axes));
    }
    Ok(())
}

fn of_shape(name: &str, expected: &[usize], actual: &[usize]) -> Error {
    Error::Shape {
        argument: name.into(),
        expected: format!("{expected:?}"),
        actual: actual.to_vec(),
    }
}
