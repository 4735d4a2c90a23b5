//! A batch larger than the device's memory is solved in parts, with the same results; arrays that
//! stay on the device are solved as those of the host are.

mod support;

use cuda_sim::simulator::Simulator;
use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Cotangent, Device, Error, Options, Solver, Tangents};
use support::random::Case;

/// Device memory of the simulated GPU.
const MEMORY: &str = "2M";
/// Bytes of it that a solver on the device is left with for its workspace.
const LEFT: usize = 300 << 10;

/// The simulator with little memory; the same for all tests of this process.
fn simulator() -> Simulator {
    static SIMULATOR: std::sync::OnceLock<Simulator> = std::sync::OnceLock::new();
    *SIMULATOR.get_or_init(|| {
        // SAFETY: before the driver is loaded nothing in this process reads the environment from
        // another thread; tests wait here for one another.
        unsafe { std::env::set_var("CUDA_SIM_MEMORY", MEMORY) };
        Simulator::preload().unwrap()
    })
}

fn assert_close(actual: &[f64], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f64, |scale, value| scale.max(value.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual - expected).abs() / scale;
        assert!(error < 1e-9, "{what}[{index}]: {actual} instead of {expected}");
    }
}

/// What a solver returns: solution, tangent, and the gradients of the four inputs.
struct Results {
    values: Vec<f64>,
    tangent: Vec<f64>,
    gradients: [Vec<f64>; 4],
}

fn directions(case: &Case) -> [Vec<f64>; 4] {
    let arrays = [&case.coefficients, &case.rhs, &case.initial_values, &case.steps];
    arrays.map(|array| Case::noise(7, array.data.len()))
}

fn on_host(solver: &mut Solver<f64>, case: &Case, cotangent: &[f64]) -> Results {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    assert!(solution.status.iter().all(|status| status.is_ok()));
    let cotangent = Cotangent { values: cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap().clone();
    let directions = directions(case);
    let tangents = Tangents {
        coefficients: Some(&directions[0]),
        rhs: Some(&directions[1]),
        initial_values: Some(&directions[2]),
        steps: Some(&directions[3]),
    };
    let tangent = solver.jvp(&problem, &tangents).unwrap().values.clone();
    let residuals = solver.residuals(&problem).unwrap();
    assert!(residuals.iter().all(|residuals| residuals.equation.is_finite()));
    let gradients =
        [gradients.coefficients, gradients.rhs, gradients.initial_values, gradients.steps];
    Results { values: solution.values, tangent, gradients }
}

fn on_device(
    solver: &mut DeviceSolver<f64>,
    gpu: &std::sync::Arc<CudaDevice>,
    case: &Case,
    cotangent: &[f64],
) -> Results {
    let upload = |values: &[f64]| DeviceArray::from_host(gpu, "values", values).unwrap();
    let download = |array: &DeviceArray<f64>| {
        let mut values = vec![0.0; array.len()];
        array.copy_to_host("values", &mut values).unwrap();
        values
    };
    let host = [&case.coefficients, &case.rhs, &case.initial_values, &case.steps];
    let arrays = host.map(|array| upload(&array.data));
    let inputs = arrays.each_ref().map(Values::from);
    let mut values = DeviceArray::unwritten(gpu, "solution", cotangent.len()).unwrap();
    solver.solve(inputs, &mut values).unwrap();
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    let cotangent = upload(cotangent);
    // A gradient that is not wanted is not touched, and the others are the same without it.
    let only_one = |solver: &mut DeviceSolver<f64>, wanted: usize| {
        let mut gradient = DeviceArray::unwritten(gpu, "gradient", arrays[wanted].len()).unwrap();
        let mut targets = [None, None, None, None];
        targets[wanted] = Some(&mut gradient);
        solver.vjp(inputs, &cotangent, None, targets).unwrap();
        download(&gradient)
    };
    let alone = [0, 1, 2, 3].map(|wanted| only_one(solver, wanted));
    let mut gradients = arrays
        .each_ref()
        .map(|array| DeviceArray::unwritten(gpu, "gradient", array.len()).unwrap());
    let targets = gradients.each_mut().map(Some);
    solver.vjp(inputs, &cotangent, None, targets).unwrap();
    assert_eq!(gradients.each_ref().map(download), alone, "gradients one by one");
    let directions = directions(case).map(|direction| upload(&direction));
    let mut tangent = DeviceArray::unwritten(gpu, "tangent", cotangent.len()).unwrap();
    solver.jvp(inputs, directions.each_ref().map(Some), &mut tangent).unwrap();
    Results {
        values: download(&values),
        tangent: download(&tangent),
        gradients: gradients.each_ref().map(download),
    }
}

fn compare(actual: &Results, expected: &Results) {
    assert_close(&actual.values, &expected.values, "solution");
    assert_close(&actual.tangent, &expected.tangent, "tangent");
    for (index, (actual, expected)) in actual.gradients.iter().zip(&expected.gradients).enumerate()
    {
        assert_close(actual, expected, &format!("gradient {index}"));
    }
}

/// One test: the memory is the process's.
#[test]
fn parts_and_device_arrays_give_the_same_results() {
    let simulator = simulator();
    let gpu = CudaDevice::get(0).unwrap();
    let device = Device::cuda(0).unwrap();

    // Steps are shared by the batch (bit 5): their gradient is the sum over all parts.
    for (batch, points, states, path, in_parts) in
        [(4, 12, 2, "thread", false), (301, 12, 2, "thread", true), (61, 12, 5, "team", true)]
    {
        let mut case =
            Case::new(batch, points, states, 2, states, (1, 2), 1 << 5, Options::default(), 11);
        // Hundreds of random matrices include some that are nearly singular, but for this.
        for matrix in case.coefficients.data.chunks_exact_mut(states * states * 3) {
            for state in 0..states {
                matrix[(state * states + state) * 3 + 2] += 8.0;
            }
        }
        let shape = case.problem().shape().clone();
        let cotangent = Case::noise(5, shape.solution().iter().product());
        let mut cpu = Solver::new(&shape, &case.options).unwrap();
        let expected = on_host(&mut cpu, &case, &cotangent);

        let mut solver = Solver::on(&device, &shape, &case.options).unwrap();
        assert_eq!(solver.plan().parts > 1, in_parts, "{}", solver.plan());
        assert!(solver.plan().path.contains(path), "{}", solver.plan());
        compare(&on_host(&mut solver, &case, &cotangent), &expected);
        let problem = case.problem();
        let variances = solver.variances(&problem).unwrap();
        assert_close(variances, cpu.variances(&problem).unwrap(), "variances");
        drop(solver);

        // Something else takes most of the memory, so that the systems go in unequal parts.
        let most = gpu.free_memory().unwrap() - LEFT;
        let other = in_parts.then(|| DeviceArray::<u8>::unwritten(&gpu, "another", most).unwrap());
        let mut solver = DeviceSolver::new(&gpu, &shape, &case.options).unwrap();
        drop(other);
        assert_eq!(solver.plan().parts > 1, in_parts, "{}", solver.plan());
        compare(&on_device(&mut solver, &gpu, &case, &cotangent), &expected);
    }

    // A single system that does not fit is an error, and the device stays usable.
    let large = Case::new(1, 3000, 3, 2, 3, (1, 2), 0, Options::default(), 1);
    let large = large.problem();
    let error = Solver::<f64>::on(&device, large.shape(), &Options::default()).err().unwrap();
    assert!(matches!(error, Error::OutOfMemory { bytes, .. } if bytes > 1 << 17), "{error}");
    let small = Case::new(1, 9, 1, 2, 1, (1, 2), 0, Options::default(), 1);
    let shape = small.problem().shape().clone();
    let cotangent = Case::noise(5, shape.solution().iter().product());
    let solvers = [Device::Cpu, device].map(|device| Solver::on(&device, &shape, &small.options));
    let [expected, again] = solvers.map(|solver| on_host(&mut solver.unwrap(), &small, &cotangent));
    compare(&again, &expected);

    // An array of another length is an error that names it.
    let arrays = [&small.coefficients, &small.rhs, &small.initial_values, &small.steps]
        .map(|array| DeviceArray::from_host(&gpu, "values", &array.data).unwrap());
    let mut solver = DeviceSolver::<f64>::new(&gpu, &shape, &small.options).unwrap();
    let mut solution = DeviceArray::unwritten(&gpu, "solution", 9 * 3).unwrap();
    let error = solver.solve([&arrays[1]; 4].map(Values::from), &mut solution).unwrap_err();
    assert!(error.to_string().starts_with("coefficients: expected 27 values, got 9"), "{error}");
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
