//! Inputs in half precision give what their values give in single precision, on every path.

mod support;

use std::sync::Arc;

use cuda_sim::simulator::Simulator;
use half::{bf16, f16};
use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Stored, Values};
use mechanistic::{Options, ProblemShape};
use support::random::Case;

/// Solution, tangent, and the gradients of the four inputs and of the weights.
fn results<V: Stored>(
    gpu: &Arc<CudaDevice>,
    shape: &ProblemShape,
    path: &str,
    inputs: [Vec<V>; 4],
) -> [Vec<f32>; 7] {
    fn upload<V: Stored>(gpu: &Arc<CudaDevice>, values: &[V]) -> DeviceArray<V> {
        DeviceArray::from_host(gpu, "values", values).unwrap()
    }
    let noise = |seed, count| {
        let values: Vec<f32> = Case::noise(seed, count).into_iter().map(|x| x as f32).collect();
        upload(gpu, &values)
    };
    let unwritten = |count| DeviceArray::<f32>::unwritten(gpu, "values", count).unwrap();
    let download = |array: &DeviceArray<f32>| {
        let mut values = vec![0.0; array.len()];
        array.copy_to_host("values", &mut values).unwrap();
        values
    };
    let inputs = inputs.each_ref().map(|values| upload(gpu, values));
    let lengths = inputs.each_ref().map(DeviceArray::len);
    let inputs = inputs.each_ref().map(Values::from);
    let count = shape.solution().iter().product();

    let mut solver = DeviceSolver::<f32>::new(gpu, shape, &Options::default()).unwrap();
    let plan = solver.plan().path;
    assert!(plan.contains(path), "{plan} is not {path}");
    let (mut solution, mut tangent) = (unwritten(count), unwritten(count));
    solver.solve(inputs, &mut solution).unwrap();
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    let directions = lengths.map(|length| noise(7, length));
    solver.jvp(inputs, directions.each_ref().map(Some), &mut tangent).unwrap();
    let mut gradients = lengths.map(unwritten);
    solver.vjp(inputs, &noise(5, count), None, gradients.each_mut().map(Some)).unwrap();
    let [coefficients, rhs, initial_values, steps] = gradients.each_ref().map(download);
    let weights = download(solver.weight_gradient());
    [download(&solution), download(&tangent), coefficients, rhs, initial_values, steps, weights]
}

#[test]
fn half_precision_is_single_precision_of_the_rounded_values() {
    let simulator = Simulator::preload().unwrap();
    let gpu = CudaDevice::get(0).unwrap();
    // Steps (bit 5), or all inputs, are shared by the batch.
    for (batch, points, states, shared, path) in [
        (40, 4, 1, 1 << 5, "thread: "),
        (2, 200, 1, 0x155, "chunk: "),
        (3, 6, 5, 1 << 5, "team of 32 threads a system"),
        (2, 200, 3, 0x35, "threads a chunk"),
    ] {
        let options = Options::default();
        let case = Case::new(batch, points, states, 2, states, (1, 2), shared, options, 11);
        let shape = case.problem().shape().clone();
        let inputs = [&case.coefficients, &case.rhs, &case.initial_values, &case.steps];
        let halves = inputs.map(|input| input.data.iter().map(|&x| f16::from_f64(x)).collect());
        let brains = inputs.map(|input| input.data.iter().map(|&x| bf16::from_f64(x)).collect());
        let of_halves =
            halves.each_ref().map(|h: &Vec<f16>| h.iter().map(|x| x.to_f32()).collect());
        let of_brains =
            brains.each_ref().map(|b: &Vec<bf16>| b.iter().map(|x| x.to_f32()).collect());
        let expected = results::<f32>(&gpu, &shape, path, of_halves);
        assert_eq!(results(&gpu, &shape, path, halves), expected, "f16, {path}");
        let expected = results::<f32>(&gpu, &shape, path, of_brains);
        assert_eq!(results(&gpu, &shape, path, brains), expected, "bf16, {path}");
    }
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
