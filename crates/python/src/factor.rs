//! A solve and its factor, from which all derivatives are computed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mechanistic::{Options, Result};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::device::{self, Place};
use crate::errors::exception;
use crate::factored::{
    Addresses, Arrays, Factored, Pair, Results, Sizes, Strides, describe_failures, problem_shape,
};
use crate::host;
use crate::options::SolveOptions;
use crate::process::{self, PerProcess};
use crate::threads;

/// The largest number of systems times points times entries of a block for which a problem is small.
const SMALL: usize = 1 << 14;

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
    /// Number of the CUDA device, or nothing on the CPU.
    device: Option<usize>,
    sizes: Sizes,
    options: Options,
    small: bool,
    /// Always there until it is dropped.
    held: Mutex<Option<Box<dyn Factored>>>,
}

/// The factors that are in use, by their numbers.
static IN_USE: PerProcess<HashMap<i64, Weak<Solved>>> = PerProcess::new();

/// The number of the next factor. It begins at 1: a tensor of zeros refers to none.
static NEXT: AtomicI64 = AtomicI64::new(1);

impl Drop for Solved {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.process != process::generation() {
            std::mem::forget(held);
            return;
        }
        IN_USE.lock().remove(&self.number);
        if let Some(held) = held {
            held.give_back();
        }
    }
}

/// The factor of one solve. An array of NumPy that is made of it (`__array_interface__`) has one
/// int64, its number, and keeps it.
#[pyclass(frozen)]
pub struct Factor(Arc<Solved>);

impl Factor {
    /// Hands the solver to `work`, on the thread that calls, while no other thread has it.
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut dyn Factored) -> R + Send,
    ) -> PyResult<R> {
        if self.is_inherited() {
            return Err(PyRuntimeError::new_err("the factor is that of a parent process"));
        }
        py.detach(|| {
            let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(work(&mut **held.as_mut().expect("it goes only when this is dropped")))
        })
    }

    /// Returns the inputs at these addresses.
    fn arrays<'a>(&'a self, addresses: Addresses, strides: &'a Option<Strides>) -> Arrays<'a> {
        Arrays { sizes: &self.0.sizes, addresses, strides: strides.as_ref() }
    }

    /// Hands the solver, and the stream of the caller, to `work` on the threads for a problem of this size.
    fn compute<R: Send>(
        &self,
        py: Python<'_>,
        location: Location,
        work: impl FnOnce(&mut dyn Factored, usize) -> Result<R> + Send,
    ) -> PyResult<R> {
        let (stream, team) = match location {
            Location::Host(team) => (0, team),
            Location::Device((_, stream, _)) => (stream, 1),
        };
        // The solver is locked before the threads are asked: they must not wait for it (see `threads::run`).
        self.with(py, |held| threads::run_detached(self.0.small, team, || work(held, stream)))?
            .map_err(exception)
    }
}

#[pymethods]
impl Factor {
    /// Whether a parent process has made it before `fork`: then it cannot be used, and the problem is
    /// solved once more.
    #[getter]
    fn is_inherited(&self) -> bool {
        self.0.process != process::generation()
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
    /// of ε; the latter may be missing. Cotangents and targets are `count` arrays, one after the other.
    /// The location says how the caller's stream and threads are now, the strides how the inputs lie, if not
    /// row-major.
    #[expect(clippy::too_many_arguments, reason = "one for each argument of the caller in Python")]
    #[pyo3(signature = (
        inputs, cotangents, targets, location = Location::Host(1), strides = None, count = 1
    ))]
    fn vjp(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        cotangents: Pair,
        targets: Addresses,
        location: Location,
        strides: Option<Strides>,
        count: usize,
    ) -> PyResult<()> {
        let arrays = self.arrays(inputs, &strides);
        self.compute(py, location, |held, stream| {
            held.vjp(stream, arrays, count, cotangents, targets)
        })
    }

    /// Computes the directional derivatives of the solution and of ε along `count` tangents, one after the other.
    #[expect(clippy::too_many_arguments, reason = "one for each argument of the caller in Python")]
    #[pyo3(signature = (
        inputs, tangents, results, location = Location::Host(1), strides = None, count = 1
    ))]
    fn jvp(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        tangents: Addresses,
        results: Pair,
        location: Location,
        strides: Option<Strides>,
        count: usize,
    ) -> PyResult<()> {
        let arrays = self.arrays(inputs, &strides);
        self.compute(py, location, |held, stream| {
            held.jvp(stream, arrays, count, tangents, results)
        })
    }

    /// Computes M⁻¹ q for q in the layouts of the solution and of ε; the latter may be missing.
    #[pyo3(signature = (inputs, q, results, location = Location::Host(1), strides = None))]
    fn inverse(
        &self,
        py: Python<'_>,
        inputs: Addresses,
        q: Pair,
        results: Pair,
        location: Location,
        strides: Option<Strides>,
    ) -> PyResult<()> {
        let arrays = self.arrays(inputs, &strides);
        self.compute(py, location, |held, stream| held.inverse(stream, arrays, q, results))
    }

    /// Returns what is wrong with the systems that were not solved, for people to read. Of a solve on a
    /// device, that is known if its statuses were read.
    fn failures(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |held| describe_failures(held.statuses()))
    }

    /// Returns the plan of the solve, for people to read.
    fn plan(&self, py: Python<'_>) -> PyResult<String> {
        // It says how many threads there are: those that such a solve has.
        let plan = |held: &mut dyn Factored| Ok(held.plan().to_string());
        self.with(py, |held| threads::run_detached(self.0.small, 1, || plan(held)))?
            .map_err(exception)
    }
}

/// Where a problem is solved, and all its arrays lie.
#[derive(FromPyObject)]
pub enum Location {
    /// The memory of the program; with how many threads PyTorch computes on in the thread that calls, or 1
    /// without PyTorch.
    Host(usize),
    /// A CUDA device.
    Device(Place),
}

/// Solves, and writes values (B, N, K, Q), ε (B) and statuses (B, int32). Returns the factor, and
/// how many systems were not solved; none count on a device whose statuses are not read.
#[expect(clippy::too_many_arguments, reason = "one for each argument of the caller in Python")]
#[pyfunction]
#[pyo3(signature = (
    double, sizes, options, inputs, results, location = Location::Host(1), strides = None
))]
pub fn solve(
    py: Python<'_>,
    double: bool,
    sizes: Sizes,
    options: &SolveOptions,
    inputs: Addresses,
    results: Results,
    location: Location,
    strides: Option<Strides>,
) -> PyResult<(Factor, usize)> {
    let (place, team) = match location {
        Location::Device(place) => (Some(place), 1),
        Location::Host(team) => (None, team),
    };
    let small = place.is_some() || is_small(&sizes);
    let options = options.0;
    let (held, failed) = threads::run(py, small, team, || {
        let shape = problem_shape(&sizes)?;
        let inputs = Arrays { sizes: &sizes, addresses: inputs, strides: strides.as_ref() };
        match (place, double) {
            (None, true) => host::solve::<f64>(&shape, &options, inputs, results),
            (None, false) => host::solve::<f32>(&shape, &options, inputs, results),
            (Some(place), true) => device::solve::<f64>(place, &shape, &options, inputs, results),
            (Some(place), false) => device::solve::<f32>(place, &shape, &options, inputs, results),
        }
    })?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let solved = Arc::new(Solved {
        number,
        exported: AtomicI64::new(number),
        process: process::generation(),
        double,
        device: place.map(|(device, ..)| device),
        sizes,
        options,
        small,
        held: Mutex::new(Some(held)),
    });
    IN_USE.lock().insert(number, Arc::downgrade(&solved));
    Ok((Factor(solved), failed))
}

/// Returns the factor with this number, if it is still there and is that of a problem of these
/// sizes and options, on this CUDA device or on the CPU.
#[pyfunction]
#[pyo3(signature = (number, double, sizes, options, device = None))]
pub fn find(
    number: i64,
    double: bool,
    sizes: Sizes,
    options: &SolveOptions,
    device: Option<usize>,
) -> Option<Factor> {
    let solved = IN_USE.lock().get(&number).and_then(Weak::upgrade);
    let wanted = (double, &sizes, options.0, device);
    let suits = |of: &Arc<Solved>| (of.double, &of.sizes, of.options, of.device) == wanted;
    solved.filter(suits).map(Factor)
}

/// Computes gradients as [`Factor::vjp`] does, by the factor with this number. Returns false, and does
/// nothing, if [`find`] does not find it.
#[expect(clippy::too_many_arguments, reason = "one for each argument of the caller in Python")]
#[pyfunction]
pub fn vjp(
    py: Python<'_>,
    number: i64,
    double: bool,
    sizes: Sizes,
    options: &SolveOptions,
    inputs: Addresses,
    cotangents: Pair,
    targets: Addresses,
    location: Location,
    strides: Option<Strides>,
    count: usize,
) -> PyResult<bool> {
    let device = match location {
        Location::Host(_) => None,
        Location::Device((device, ..)) => Some(device),
    };
    match find(number, double, sizes, options, device) {
        None => Ok(false),
        Some(factor) => {
            factor.vjp(py, inputs, cotangents, targets, location, strides, count)?;
            Ok(true)
        }
    }
}

/// Returns whether a problem of these sizes is solved in less time than other threads need to begin.
pub fn is_small((batch, points, extra, coefficients, ..): &Sizes) -> bool {
    let &[.., states, derivatives] = &coefficients[..] else { return true };
    let block = states.saturating_mul(derivatives.saturating_add(*extra));
    batch.saturating_mul(*points).saturating_mul(block.saturating_mul(block)) <= SMALL
}

/// Refuses sizes that do not fit, as a solve would.
#[pyfunction]
pub fn check_sizes(sizes: Sizes) -> PyResult<()> {
    problem_shape(&sizes).map(drop).map_err(exception)
}
