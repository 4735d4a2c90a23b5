//! A batch larger than the device's memory is solved in parts, with the same results; arrays that
//! stay on the device are solved as those of the host are.

mod support;

use cuda_sim::simulator::Simulator;
use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Cotangent, Device, Error, Options, Solver, Tangents, Weights};
use support::device_arrays::{Results, on_device};
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

fn directions(case: &Case) -> [Vec<f64>; 4] {
    case.arrays().map(|array| Case::noise(7, array.data.len()))
}

fn on_host(solver: &mut Solver<f64>, case: &Case, cotangent: &[f64]) -> Results<f64> {
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
    let Weights { equation, initial, smoothness, periodic } = gradients.weights;
    let weights = vec![equation, initial, smoothness, periodic];
    let gradients = [
        gradients.inputs.coefficients,
        gradients.inputs.rhs,
        gradients.inputs.initial_values,
        gradients.inputs.steps,
    ];
    Results { values: solution.values, tangent, gradients, weights }
}

fn compare(actual: &Results<f64>, expected: &Results<f64>) {
    assert_close(&actual.values, &expected.values, "solution");
    assert_close(&actual.tangent, &expected.tangent, "tangent");
    for (index, (actual, expected)) in actual.gradients.iter().zip(&expected.gradients).enumerate()
    {
        assert_close(actual, expected, &format!("gradient {index}"));
    }
    assert_close(&actual.weights, &expected.weights, "gradient of the weights");
}

/// One test: the memory is the process's.
#[test]
fn parts_and_device_arrays_give_the_same_results() {
    let simulator = simulator();
    let gpu = CudaDevice::get(0).unwrap();
    let device = Device::cuda(0).unwrap();

    // Steps are shared by the batch (bit 5): their gradient is the sum over all parts. `leading` is
    // added to the highest derivatives' own coefficients: without, some systems of five states are
    // so ill-conditioned that the backends' variances have less than nine digits in common.
    for (batch, states, leading, path, in_parts) in
        [(4, 2, 0.0, "thread", false), (301, 2, 0.0, "thread", true), (61, 5, 8.0, "team", true)]
    {
        let mut case =
            Case::new(batch, 12, states, 2, states, (1, 2), 1 << 5, Options::default(), 11);
        for matrix in case.coefficients.data.chunks_exact_mut(states * states * 3) {
            for state in 0..states {
                matrix[(state * states + state) * 3 + 2] += leading;
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
        let inputs = case.arrays().map(|array| array.data.as_slice());
        let actual = on_device(&mut solver, &gpu, inputs, &cotangent, &directions(&case));
        compare(&actual, &expected);
    }

    // A single system that does not fit is an error, and the device stays usable.
    let small = Case::new(1, 9, 1, 2, 1, (1, 2), 0, Options::default(), 1);
    let shape = small.problem().shape().clone();
    let cotangent = Case::noise(5, shape.solution().iter().product());
    let on = |device: &Device| {
        on_host(&mut Solver::on(device, &shape, &small.options).unwrap(), &small, &cotangent)
    };
    let before = on(&device);
    compare(&before, &on(&Device::Cpu));
    let large = Case::new(1, 3000, 3, 2, 3, (1, 2), 0, Options::default(), 1);
    let large = large.problem();
    let error = Solver::<f64>::on(&device, large.shape(), &Options::default()).err().unwrap();
    assert!(matches!(error, Error::OutOfMemory { bytes, .. } if bytes > 1 << 17), "{error}");
    assert_eq!(on(&device), before);

    // An array of another length is an error that names it.
    let arrays =
        small.arrays().map(|array| DeviceArray::from_host(&gpu, "values", &array.data).unwrap());
    let mut solver = DeviceSolver::<f64>::new(&gpu, &shape, &small.options).unwrap();
    let mut solution = DeviceArray::unwritten(&gpu, "solution", 9 * 3).unwrap();
    let error = solver.solve([&arrays[1]; 4].map(Values::from).into(), &mut solution).unwrap_err();
    assert!(error.to_string().starts_with("coefficients: expected 27 values, got 9"), "{error}");
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
