//! Inputs in half precision give what their values give in single precision, on every path.

use std::sync::Arc;

use crate::support::case::{Case, Sizes, noise};
use crate::support::device_arrays::{Outcome, on_device};
use crate::support::driver;
use half::{bf16, f16};
use mechanistic::cuda::{CudaDevice, DeviceSolver};
use mechanistic::{Device, Options, Stored};

/// What the case's inputs give when they are rounded so, on a path whose name has this part.
fn results<V: Stored>(
    gpu: &Arc<CudaDevice>,
    case: &Case,
    path: &str,
    rounded: impl Fn(f64) -> V,
) -> Outcome<f32> {
    let inputs = case.arrays().map(|array| array.iter().map(|&x| rounded(x)).collect());
    let inputs = inputs.as_ref().map(|values: &Vec<V>| values.as_slice());
    let directions = case.map(|x| x as f32).directions(7);
    let problem = case.problem();
    let cotangent = noise(5, problem.shape().solution().iter().product());
    let mut solver = DeviceSolver::new(gpu, problem.shape(), &case.options).unwrap();
    let plan = solver.plan().path;
    assert!(plan.contains(path), "{plan} is not {path}");
    on_device(&mut solver, gpu, inputs, &cotangent, &directions)
}

#[test]
fn half_precision_is_single_precision_of_the_rounded_values() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    // Bit 5: the batch shares the steps.
    for (batch, points, states, shared, path) in [
        (40, 4, 1, 1 << 5, "thread: "),
        (2, 200, 1, 0x155, "chunk: "),
        (3, 6, 5, 1 << 5, "team of 32 threads a system"),
        (2, 200, 3, 0x35, "threads a chunk"),
    ] {
        let options = Options::default();
        let sizes = Sizes { batch, points, states, equations: states, shared, ..Sizes::SMALL };
        let case = Case::new(sizes, options, 11);
        let expected = results(&gpu, &case, path, |x| f16::from_f64(x).to_f32());
        assert_eq!(results(&gpu, &case, path, f16::from_f64), expected, "f16, {path}");
        let expected = results(&gpu, &case, path, |x| bf16::from_f64(x).to_f32());
        assert_eq!(results(&gpu, &case, path, bf16::from_f64), expected, "bf16, {path}");
    }
    driver::assert_no_reports();
}
