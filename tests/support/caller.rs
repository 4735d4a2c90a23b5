//! A program that calls the CUDA driver itself, with memory and a stream of its own.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Cotangent, Device, Inputs, Options, Result, Solver};

use super::case::{Case, Sizes, noise};
use super::close::assert_close;

/// The arrays of a caller, as he allocates them, and his stream.
pub struct Caller {
    pub stream: Arc<CudaStream>,
    /// What he computes the inputs and the cotangent from.
    sources: [CudaSlice<f64>; 5],
    given: [CudaSlice<f64>; 5],
    values: CudaSlice<f64>,
    gradients: [CudaSlice<f64>; 4],
    /// What he computes from the solution and the gradients.
    pub copies: [CudaSlice<f64>; 5],
}

impl Caller {
    pub fn new(case: &Case, cotangent: &[f64]) -> Self {
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
    pub fn ask(&mut self, gpu: &Arc<CudaDevice>, solver: &mut DeviceSolver<f64>) -> Result<()> {
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
    pub fn check(&self, case: &Case, cotangent: &[f64]) {
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

/// Returns a problem, the cotangent of its solution, and a device with a solver for it.
pub fn problem() -> (Case, Vec<f64>, Arc<CudaDevice>, DeviceSolver<f64>) {
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let sizes = Sizes { batch: 4, points: 12, ..Sizes::SMALL };
    let case = Case::new(sizes, Options::default(), 3);
    let shape = case.problem().shape().clone();
    let cotangent = noise(5, shape.solution().iter().product());
    let solver = DeviceSolver::new(&gpu, &shape, &case.options).unwrap();
    (case, cotangent, gpu, solver)
}
