//! Solves in memory of a CUDA device that belongs to the caller, in the order of his stream.

use std::ffi::c_void;
use std::sync::Arc;

use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Strides, Values};
use mechanistic::{Device, Error, Inputs, Options, Plan, ProblemShape, Real, Result, Status};

use crate::factored::{Addresses, Arrays, Factored, Pair, Results};
use crate::memory::lent;
use crate::pool::{Held, Pooled};

/// Where and how a problem on a CUDA device is solved: the number of the device, the stream of the
/// caller, and whether the statuses are read, which waits for the device.
pub type Place = (usize, usize, bool);

/// A solver on a CUDA device that holds the factor of one solve.
struct OnDevice<S> {
    held: Box<Held<S>>,
    gpu: Arc<CudaDevice>,
    /// How each system ended, if that was read.
    statuses: Vec<Status>,
    /// Whether a CUDA graph has captured work of the solver: it works in the solver's memory whenever
    /// it is launched, and nobody tells when it is for the last time.
    captured: bool,
}

/// Solves, and returns the solver and how many systems were not solved as far as that was read.
pub fn solve<T: Real>(
    (device, stream, wait): Place,
    shape: &ProblemShape,
    options: &Options,
    inputs: Arrays<'_>,
    [values, epsilon, status]: Results,
) -> Result<(Box<dyn Factored>, usize)>
where
    DeviceSolver<T>: Pooled,
{
    let gpu = Device::cuda(device)?.gpu()?.clone();
    let arrays = Given::<T>::new(&gpu, shape, inputs)?;
    let numbers = shape.solution().iter().product();
    let mut values = lent(&gpu, "solution", values, numbers)?;
    let mut epsilon = lent(&gpu, "epsilon", epsilon, shape.batch())?;
    let mut codes = lent(&gpu, "status", status, shape.batch())?;
    let captured = is_captured(&gpu, stream)?;
    let mut held = match captured {
        true => idle_for_capture(wait, device, shape, options)?,
        false => gpu.in_context(|| Held::<DeviceSolver<T>>::take(device, shape, options))?,
    };
    let outcome = in_order(&gpu, stream, || {
        held.solver.solve(arrays.all()?, &mut values)?;
        epsilon.copy_from("epsilon", held.solver.epsilon())?;
        held.solver.copy_status(&mut codes)?;
        if wait { held.solver.status() } else { Ok(Vec::new()) }
    });
    let solved = |statuses| Box::new(OnDevice { held, gpu, statuses, captured });
    match outcome {
        Ok(statuses) => {
            let failed = statuses.iter().filter(|status| !status.is_ok()).count();
            Ok((solved(statuses), failed))
        }
        // Memory cannot be freed while a graph captures the stream: the solver is given back.
        Err(error) => {
            solved(Vec::new()).give_back();
            Err(error)
        }
    }
}

/// Returns an idle solver for a solve that a CUDA graph captures: one that was made now would have
/// its memory and its tables within the graph.
fn idle_for_capture<T: Real>(
    wait: bool,
    device: usize,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<Held<DeviceSolver<T>>>>
where
    DeviceSolver<T>: Pooled,
{
    if wait {
        let message = "must be \"ignore\" while a CUDA graph captures the stream: the others wait";
        return Err(Error::argument("check", message));
    }
    Held::idle(device, shape, options).ok_or_else(|| {
        let message = "no solver of this shape is idle, and none can be made while a CUDA graph \
                       captures the stream: run the same solves before, with as many at a time";
        Error::argument("coefficients", message)
    })
}

impl<T: Real> Factored for OnDevice<DeviceSolver<T>>
where
    DeviceSolver<T>: Pooled,
{
    fn vjp(
        &mut self,
        stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        cotangents: Pair,
        targets: Addresses,
    ) -> Result<()> {
        let OnDevice { held, gpu, captured, .. } = self;
        let solver = &mut held.solver;
        *captured |= is_captured(gpu, stream)?;
        let shape = solver.shape().clone();
        let arrays = Given::<T>::new(gpu, &shape, inputs)?;
        let numbers = shape.solution().iter().product();
        for number in 0..count {
            let [values, epsilon] = at_number::<T, _>(number, cotangents, [numbers, shape.batch()]);
            let values = lent(gpu, "cotangent", values, numbers)?;
            let epsilon = given(gpu, "cotangent of epsilon", epsilon, shape.batch())?;
            let targets = at_number::<T, _>(number, targets, of_each_input(&shape));
            let mut gradients = of_inputs::<T>(gpu, &shape, targets)?;
            in_order(gpu, stream, || {
                let gradients = gradients.as_mut().map(Option::as_mut);
                solver.vjp(arrays.all()?, &values, epsilon.as_ref(), gradients)
            })?;
        }
        Ok(())
    }

    fn jvp(
        &mut self,
        stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        tangents: Addresses,
        results: Pair,
    ) -> Result<()> {
        let OnDevice { held, gpu, captured, .. } = self;
        let solver = &mut held.solver;
        *captured |= is_captured(gpu, stream)?;
        let shape = solver.shape().clone();
        let arrays = Given::<T>::new(gpu, &shape, inputs)?;
        let numbers = shape.solution().iter().product();
        for number in 0..count {
            let tangents = at_number::<T, _>(number, tangents, of_each_input(&shape));
            let directions = of_inputs::<T>(gpu, &shape, tangents)?;
            let [values, epsilon] = at_number::<T, _>(number, results, [numbers, shape.batch()]);
            let mut values = lent(gpu, "tangent", values, numbers)?;
            let mut epsilon = lent(gpu, "tangent of epsilon", epsilon, shape.batch())?;
            in_order(gpu, stream, || {
                let directions = directions.as_ref().map(Option::as_ref);
                solver.jvp(arrays.all()?, directions, &mut values)?;
                epsilon.copy_from("tangent of epsilon", solver.derived_epsilon())
            })?;
        }
        Ok(())
    }

    fn inverse(
        &mut self,
        stream: usize,
        inputs: Arrays<'_>,
        [values, epsilon]: Pair,
        results: Pair,
    ) -> Result<()> {
        let OnDevice { held, gpu, captured, .. } = self;
        let solver = &mut held.solver;
        *captured |= is_captured(gpu, stream)?;
        let shape = solver.shape().clone();
        let arrays = Given::<T>::new(gpu, &shape, inputs)?;
        let numbers = shape.solution().iter().product();
        let values = lent(gpu, "cotangent", values, numbers)?;
        let epsilon = given(gpu, "cotangent of epsilon", epsilon, shape.batch())?;
        let mut result = lent(gpu, "result", results[0], numbers)?;
        let mut of_slack = lent(gpu, "epsilon of result", results[1], shape.batch())?;
        in_order(gpu, stream, || {
            solver.inverse(arrays.all()?, &values, epsilon.as_ref(), &mut result)?;
            of_slack.copy_from("epsilon of result", solver.derived_epsilon())
        })
    }

    fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    fn plan(&self) -> Plan {
        self.held.solver.plan()
    }

    fn give_back(self: Box<Self>) {
        match self.captured {
            true => std::mem::forget(self.held),
            false => self.held.give_back(),
        }
    }
}

/// Returns the addresses of arrays of these lengths that lie in the same row as others, of which these are the
/// first; 0 for one that is not there.
fn at_number<T, const A: usize>(
    number: usize,
    first: [usize; A],
    lengths: [usize; A],
) -> [usize; A] {
    std::array::from_fn(|i| match first[i] {
        0 => 0,
        address => address + number * lengths[i] * size_of::<T>(),
    })
}

/// Returns the number of values of each input.
fn of_each_input(shape: &ProblemShape) -> [usize; 4] {
    shape.inputs().map(|axes| axes.iter().product()).into()
}

/// Returns the array of each input that has an address.
fn of_inputs<T: Real>(
    gpu: &Arc<CudaDevice>,
    shape: &ProblemShape,
    addresses: Addresses,
) -> Result<Inputs<Option<DeviceArray<T>>>> {
    Inputs::NAMES
        .zip(Inputs::from(addresses).zip(shape.inputs()))
        .try_map(|(name, (address, axes))| given(gpu, name, address, axes.iter().product()))
}

/// Returns an array, or nothing if it is not there. One without values always is.
fn given<T: Real>(
    gpu: &Arc<CudaDevice>,
    what: &str,
    address: usize,
    len: usize,
) -> Result<Option<DeviceArray<T>>> {
    (address != 0 || len == 0).then(|| lent(gpu, what, address, len)).transpose()
}

/// The inputs of a problem.
struct Given<T: Real> {
    arrays: Inputs<Option<DeviceArray<T>>>,
    /// How they lie, unless all lie row-major and without gaps.
    strides: Option<Strides>,
}

impl<T: Real> Given<T> {
    fn new(gpu: &Arc<CudaDevice>, shape: &ProblemShape, inputs: Arrays<'_>) -> Result<Self> {
        let Arrays { addresses, strides, .. } = inputs;
        let Some(strides) = strides else {
            return Ok(Given { arrays: of_inputs(gpu, shape, addresses)?, strides: None });
        };
        let strides = Inputs::from(strides.each_ref().map(|strides| Some(&strides[..])));
        let strides = Strides::new(shape.batch(), shape.points(), inputs.axes(), strides)?;
        let arrays = Inputs::NAMES.zip(Inputs::from(addresses).zip(strides.reach()));
        let arrays = arrays.try_map(|(name, (address, reach))| given(gpu, name, address, reach))?;
        Ok(Given { arrays, strides: Some(strides) })
    }

    /// Returns the inputs, all of which must be there.
    fn all(&self) -> Result<Inputs<Values<'_>>> {
        let values = Inputs::NAMES.zip(self.arrays.as_ref()).try_map(|(name, array)| {
            let missing = || Error::argument(name, "its address is missing");
            array.as_ref().map(Values::from).ok_or_else(missing)
        })?;
        Ok(match &self.strides {
            Some(strides) => strides.of(values),
            None => values,
        })
    }
}

fn is_captured(gpu: &CudaDevice, stream: usize) -> Result<bool> {
    // SAFETY: as below.
    unsafe { gpu.is_captured(stream as *mut c_void) }
}

/// Runs `work` in the order of the caller's stream.
fn in_order<R>(gpu: &CudaDevice, stream: usize, work: impl FnOnce() -> Result<R>) -> Result<R> {
    // SAFETY: the caller in Python takes the stream from PyTorch, whose streams are those of the
    // primary context and are never destroyed.
    unsafe { gpu.in_order_of(stream as *mut c_void, work) }
}
