//! Arrays that stay on the device are solved as those of the host are.

use crate::support::case::{Case, Sizes, noise};
use crate::support::close::assert_close;
use crate::support::device_arrays::{on_device, on_host};
use crate::support::driver;
use mechanistic::cuda::{DeviceArray, DeviceSolver, Values};
use mechanistic::{Device, Options, Solver};
use std::time::Duration;

#[test]
fn device_arrays_give_the_same_results() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let device = Device::cuda(0).unwrap();
    // Steps are shared by the batch (bit 5): their gradient is the sum over all systems.
    let sizes = Sizes { batch: 4, points: 12, shared: 1 << 5, ..Sizes::SMALL };
    let case = Case::new(sizes, Options::default(), 11);
    let shape = case.problem().shape().clone();
    let cotangent = noise(5, shape.solution().iter().product());
    let directions = case.directions(7);
    let mut cpu = Solver::new(&shape, &case.options).unwrap();
    let expected = on_host(&mut cpu, &case, &cotangent, &directions);

    let mut solver = Solver::on(&device, &shape, &case.options).unwrap();
    assert_eq!(solver.plan().parts, 1, "{}", solver.plan());
    assert!(solver.plan().path.contains("thread"), "{}", solver.plan());
    on_host(&mut solver, &case, &cotangent, &directions).assert_close(&expected);
    let problem = case.problem();
    let variances = solver.variances(&problem).unwrap();
    assert_close(variances, cpu.variances(&problem).unwrap(), 1e-9, "variances");

    let mut solver = DeviceSolver::new(&gpu, &shape, &case.options).unwrap();
    assert_eq!(solver.plan().parts, 1, "{}", solver.plan());
    on_device(&mut solver, &gpu, case.arrays(), &cotangent, &directions).assert_close(&expected);
    driver::assert_no_reports();
}

#[test]
fn an_array_of_another_length_is_an_error_that_names_it() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let sizes = Sizes { batch: 1, points: 9, states: 1, equations: 1, ..Sizes::SMALL };
    let case = Case::<f64>::new(sizes, Options::default(), 1);
    let arrays = case.arrays().map(|array| DeviceArray::from_host(&gpu, "values", array).unwrap());
    let mut solver = DeviceSolver::<f64>::new(&gpu, case.problem().shape(), &case.options).unwrap();
    let mut solution = DeviceArray::unwritten(&gpu, "solution", 9 * 3).unwrap();
    let error = solver.solve([&arrays.rhs; 4].map(Values::from).into(), &mut solution).unwrap_err();
    assert!(error.to_string().starts_with("coefficients: expected 27 values, got 9"), "{error}");
}

#[test]
fn an_inverse_names_what_does_not_fit() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let sizes = Sizes { batch: 1, points: 9, states: 1, equations: 1, ..Sizes::SMALL };
    let case = Case::<f64>::new(sizes, Options::default(), 1);
    let arrays = case.arrays().map(|array| DeviceArray::from_host(&gpu, "values", array).unwrap());
    let inputs = arrays.as_ref().map(Values::from);
    let mut solver = DeviceSolver::<f64>::new(&gpu, case.problem().shape(), &case.options).unwrap();
    let size = case.problem().shape().solution().iter().product::<usize>();
    let zeros = |values: usize| DeviceArray::<f64>::zeros(&gpu, "values", values).unwrap();
    let (q, short, mut result, mut short_result) =
        (zeros(size), zeros(size - 1), zeros(size), zeros(size - 1));
    let error = solver.inverse(inputs, &q, None, &mut result).unwrap_err().to_string();
    assert!(error.starts_with("problem: "), "{error}");
    solver.solve(inputs, &mut result).unwrap();
    let error = solver.inverse(inputs, &short, None, &mut result).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cotangent: expected {size} values")), "{error}");
    let error = solver.inverse(inputs, &q, Some(&short), &mut result).unwrap_err().to_string();
    assert!(error.starts_with("cotangent of epsilon: expected 1 values"), "{error}");
    let error = solver.inverse(inputs, &q, None, &mut short_result).unwrap_err().to_string();
    assert!(error.starts_with(&format!("result: expected {size} values")), "{error}");
}

#[test]
fn the_device_times_what_it_is_asked_for() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let values = noise::<f64>(3, 1 << 16);
    let mut array = DeviceArray::<f64>::unwritten(&gpu, "values", values.len()).unwrap();
    let time = gpu.time(|| array.copy_from_host("values", &values)).unwrap();
    assert!(time > Duration::ZERO && time < Duration::from_secs(10), "{time:?}");
    // What the work says is what comes back.
    let more = [&values[..], &[1.0]].concat();
    let error = gpu.time(|| array.copy_from_host("more values", &more)).unwrap_err();
    assert!(error.to_string().starts_with("more values"), "{error}");
}
