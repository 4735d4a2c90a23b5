//! Inputs in half precision give what their values give in single precision, on every path.

mod support;

use std::sync::Arc;

use cuda_sim::simulator::Simulator;
use half::{bf16, f16};
use mechanistic::cuda::{CudaDevice, DeviceSolver};
use mechanistic::{Options, Real, Stored};
use support::device_arrays::{Results, on_device};
use support::random::Case;

/// What the case's inputs give when they are rounded so, on a path whose name has this part.
fn results<V: Stored>(
    gpu: &Arc<CudaDevice>,
    case: &Case,
    path: &str,
    rounded: impl Fn(f64) -> V,
) -> Results<f32> {
    let noise =
        |seed, count| -> Vec<f32> { Case::noise(seed, count).into_iter().map(Real::of).collect() };
    let inputs = case.arrays().map(|array| array.data.iter().map(|&x| rounded(x)).collect());
    let inputs = inputs.each_ref().map(|values: &Vec<V>| values.as_slice());
    let directions = inputs.map(|values| noise(7, values.len()));
    let problem = case.problem();
    let cotangent = noise(5, problem.shape().solution().iter().product());
    let mut solver = DeviceSolver::new(gpu, problem.shape(), &case.options).unwrap();
    let plan = solver.plan().path;
    assert!(plan.contains(path), "{plan} is not {path}");
    on_device(&mut solver, gpu, inputs, &cotangent, &directions)
}

#[test]
fn half_precision_is_single_precision_of_the_rounded_values() {
    let simulator = Simulator::preload().unwrap();
    let gpu = CudaDevice::get(0).unwrap();
    // Bit 5: the batch shares the steps.
    for (batch, points, states, shared, path) in [
        (40, 4, 1, 1 << 5, "thread: "),
        (2, 200, 1, 0x155, "chunk: "),
        (3, 6, 5, 1 << 5, "team of 32 threads a system"),
        (2, 200, 3, 0x35, "threads a chunk"),
    ] {
        let options = Options::default();
        let case = Case::new(batch, points, states, 2, states, (1, 2), shared, options, 11);
        let expected = results(&gpu, &case, path, |x| f16::from_f64(x).to_f32());
        assert_eq!(results(&gpu, &case, path, f16::from_f64), expected, "f16, {path}");
        let expected = results(&gpu, &case, path, |x| bf16::from_f64(x).to_f32());
        assert_eq!(results(&gpu, &case, path, bf16::from_f64), expected, "bf16, {path}");
    }
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
