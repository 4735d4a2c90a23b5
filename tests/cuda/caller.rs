//! Solves in memory and in the order of a stream of a caller, who calls the driver himself.

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Cotangent, Device, Inputs, Options, Result, Solver};

use crate::support::case::{Case, Sizes, noise};
use crate::support::close::assert_close;
use crate::support::driver;

/// The arrays of a caller, as he allocates them, and his stream.
struct Caller {
    stream: Arc<CudaStream>,
    /// What he computes the inputs and the cotangent from.
    sources: [CudaSlice<f64>; 5],
    given: [CudaSlice<f64>; 5],
    values: CudaSlice<f64>,
    gradients: [CudaSlice<f64>; 4],
    /// What he computes from the solution and the gradients.
    copies: [CudaSlice<f64>; 5],
}

impl Caller {
    fn new(case: &Case, cotangent: &[f64]) -> Self {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: one stream orders all that the caller does.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().unwrap();
        let inputs = <[&[f64]; 4]>::from(case.arrays());
        let [c, b, v, s] = inputs;
        let sources = [c, b, v, s, cotangent].map(|values| stream.clone_htod(values).unwrap());
        let like = |values: &[f64]| stream.alloc_zeros::<f64>(values.len()).unwrap();
        Caller {
            given: [c, b, v, s, cotangent].map(like),
            values: like(cotangent),
            gradients: inputs.map(like),
            copies: [cotangent, c, b, v, s].map(like),
            sources,
            stream,
        }
    }

    /// Copies the inputs, solves, and copies the results, all on the caller's stream, without waiting.
    fn ask(&mut self, gpu: &Arc<CudaDevice>, solver: &mut DeviceSolver<f64>) -> Result<()> {
        for (source, given) in self.sources.iter().zip(&mut self.given) {
            self.stream.memcpy_dtod(source, given).unwrap();
        }
        let read = |slice: &CudaSlice<f64>| {
            let address = slice.device_ptr(&self.stream).0;
            // SAFETY: the slice lives until the device is done.
            unsafe { DeviceArray::<f64>::lent(gpu, "an input", address, slice.len()) }.unwrap()
        };
        let [c, b, v, s, cotangent] = self.given.each_ref().map(read);
        let arrays = Inputs::from([c, b, v, s]);
        let written = |slice: &mut CudaSlice<f64>| {
            let len = slice.len();
            let address = slice.device_ptr_mut(&self.stream).0;
            // SAFETY: as above, and nothing else writes it.
            unsafe { DeviceArray::<f64>::lent(gpu, "a result", address, len) }.unwrap()
        };
        let mut values = written(&mut self.values);
        let mut gradients = Inputs::from(self.gradients.each_mut().map(written));
        let inputs = arrays.as_ref().map(Values::from);
        let work = || {
            solver.solve(inputs, &mut values)?;
            solver.vjp(inputs, &cotangent, None, gradients.as_mut().map(Some))
        };
        // SAFETY: the stream is of the primary context and lives.
        unsafe { gpu.in_order_of(self.stream.cu_stream().cast(), work) }?;
        let results = [&self.values].into_iter().chain(&self.gradients);
        for (result, copy) in results.zip(&mut self.copies) {
            self.stream.memcpy_dtod(result, copy).unwrap();
        }
        Ok(())
    }

    /// Compares the copies with what a solver in the program's memory computes.
    fn check(&self, case: &Case, cotangent: &[f64]) {
        let problem = case.problem();
        let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
        let values = solver.solve(&problem).unwrap().values.clone();
        let cotangent = Cotangent { values: cotangent, epsilon: None };
        let gradients = &solver.vjp(&problem, &cotangent).unwrap().inputs;
        let expected = [&values, &gradients.coefficients, &gradients.rhs]
            .into_iter()
            .chain([&gradients.initial_values, &gradients.steps]);
        for ((copy, expected), what) in self.copies.iter().zip(expected).zip(NAMES) {
            let copy = self.stream.clone_dtoh(copy).unwrap();
            self.stream.synchronize().unwrap();
            assert_close(&copy, expected, 1e-9, what);
        }
    }
}

const NAMES: [&str; 5] = ["solution", "coefficients", "rhs", "initial values", "steps"];

fn problem() -> (Case, Vec<f64>, Arc<CudaDevice>, DeviceSolver<f64>) {
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let sizes = Sizes { batch: 4, points: 12, ..Sizes::SMALL };
    let case = Case::new(sizes, Options::default(), 3);
    let shape = case.problem().shape().clone();
    let cotangent = noise(5, shape.solution().iter().product());
    let solver = DeviceSolver::new(&gpu, &shape, &case.options).unwrap();
    (case, cotangent, gpu, solver)
}

#[test]
fn memory_and_stream_of_a_caller() {
    driver::simulated();
    let (case, cotangent, gpu, mut solver) = problem();
    let mut caller = Caller::new(&case, &cotangent);
    caller.ask(&gpu, &mut solver).unwrap();
    caller.check(&case, &cotangent);
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    // The arrays are the caller's still.
    caller.ask(&gpu, &mut solver).unwrap();
    caller.check(&case, &cotangent);
    driver::assert_no_reports();
}

#[test]
fn a_graph_captures_a_solve_and_its_gradients() {
    driver::simulated();
    let (case, cotangent, gpu, mut solver) = problem();
    let mut caller = Caller::new(&case, &cotangent);
    caller.stream.synchronize().unwrap();
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    caller.stream.begin_capture(mode).unwrap();
    caller.ask(&gpu, &mut solver).unwrap();
    let flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = caller.stream.end_capture(flags).unwrap().expect("work was captured");
    for _ in 0..2 {
        for copy in &mut caller.copies {
            caller.stream.memset_zeros(copy).unwrap();
        }
        graph.launch().unwrap();
        caller.check(&case, &cotangent);
    }
    driver::assert_no_reports();
}

#[test]
fn the_callers_context_stays_current() {
    driver::simulated();
    let (_, _, gpu, _) = problem();
    // A thread that has no context has none afterwards.
    let current = std::thread::spawn(move || {
        // SAFETY: null is the default stream.
        unsafe { gpu.in_order_of(std::ptr::null_mut(), || Ok(())) }.unwrap();
        cudarc::driver::result::ctx::get_current().unwrap().is_none()
    });
    assert!(current.join().unwrap());
    driver::assert_no_reports();
}

#[test]
fn addresses_that_no_array_can_have_are_refused() {
    driver::simulated();
    let (_, _, gpu, _) = problem();
    for (address, len) in [(0, 3), (12, 3), (7, 0)] {
        // SAFETY: it is not used.
        let array = unsafe { DeviceArray::<f64>::lent(&gpu, "steps", address, len) };
        let error = array.err().unwrap().to_string();
        assert!(error.contains("steps") && error.contains(&format!("{address:#x}")), "{error}");
    }
}
