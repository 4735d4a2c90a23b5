//! A batch larger than the device's memory is solved in parts, with the same results. A binary of its
//! own because the memory of the simulated device is set in the environment of the process.

mod support;

use cuda_sim::simulator::Simulator;
use mechanistic::cuda::{DeviceArray, DeviceSolver};
use mechanistic::{Device, Error, Options, Solver};
use rand::SeedableRng;
use rand::rngs::StdRng;
use support::case::{Case, Sizes, noise};
use support::close::assert_close;
use support::device_arrays::{on_device, on_device_with, on_host};
use support::strided::{
    Order, assert_same_gradients, lent, one_axis_each, several_axes, strides_of, with_one_axis,
};

/// Device memory of the simulated GPU.
const MEMORY: &str = "2M";
/// Bytes of it that a solver on the device is left with for its workspace.
const LEFT: usize = 400 << 10;

/// One test: what is free of the memory decides about the parts.
#[test]
fn a_batch_in_parts_gives_the_same_results() {
    // SAFETY: before the driver is loaded nothing in this process reads the environment from
    // another thread.
    unsafe { std::env::set_var("CUDA_SIM_MEMORY", MEMORY) };
    let simulator = Simulator::preload().unwrap();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let device = Device::cuda(0).unwrap();

    // Steps are shared by the batch (bit 5): their gradient is the sum over all parts. `leading` is
    // added to the highest derivatives' own coefficients: without, some systems are so ill-conditioned
    // (variances of 3e7 and more) that those of the backends have less than nine digits in common.
    // With coefficients that are shared too (bit 0), all parts have one factor.
    let (own, one) = (1 << 5, 1 << 5 | 1);
    for (batch, states, shared, path) in
        [(301, 2, own, "thread"), (61, 5, own, "team"), (701, 2, one, "one factor of all systems")]
    {
        let leading = 8.0;
        let sizes = Sizes { batch, points: 12, states, equations: states, shared, ..Sizes::SMALL };
        let mut case = Case::new(sizes, Options::default(), 11);
        for matrix in case.inputs.coefficients.data.chunks_exact_mut(states * states * 3) {
            for state in 0..states {
                matrix[(state * states + state) * 3 + 2] += leading;
            }
        }
        let problem = case.problem();
        let shape = problem.shape();
        let cotangent = noise(5, shape.solution().iter().product());
        let directions = case.directions(7);
        let mut cpu = Solver::new(shape, &case.options).unwrap();
        let expected = on_host(&mut cpu, &case, &cotangent, &directions);

        let mut solver = Solver::on(&device, shape, &case.options).unwrap();
        assert!(solver.plan().parts > 1, "{}", solver.plan());
        assert!(solver.plan().path.contains(path), "{}", solver.plan());
        on_host(&mut solver, &case, &cotangent, &directions).assert_close(&expected);
        let variances = solver.variances(&problem).unwrap();
        assert_close(variances, cpu.variances(&problem).unwrap(), 1e-9, "variances");
        drop(solver);

        // Something else takes most of the memory, so that the systems go in unequal parts.
        let most = gpu.free_memory().unwrap() - LEFT;
        let other = DeviceArray::<u8>::unwritten(&gpu, "another", most).unwrap();
        let mut solver = DeviceSolver::new(&gpu, shape, &case.options).unwrap();
        drop(other);
        assert!(solver.plan().parts > 1, "{}", solver.plan());
        on_device(&mut solver, &gpu, case.arrays(), &cotangent, &directions)
            .assert_close(&expected);
    }

    // Inputs with strides, which share some axes of the batch and not others, are read from where they lie.
    let axes = [7, 43];
    let sizes = Sizes { points: 12, states: 1, equations: 1, ..Sizes::SMALL };
    let (several, mut random) = (0..)
        .map(|seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let options = Options::default();
            (several_axes::<f64>(&axes, sizes, options, seed, &mut random), random)
        })
        .find(|(several, _)| several.inputs.rhs.shape[..2] == [1, 43])
        .unwrap();
    let lying = lent(&several, &axes, Order::Points { gaps: false }, &mut random);
    let data = lying.as_ref().map(|array| &array.data[..]);
    let (strides, one) = (strides_of(&lying, &several), with_one_axis(&several, &axes));
    let cotangent = noise(5, strides.shape().solution().iter().product());
    let directions = several.directions(7);
    let expanded = one_axis_each(&several, &directions, &axes);
    let in_parts = |shape| {
        let most = gpu.free_memory().unwrap() - LEFT;
        let other = DeviceArray::<u8>::unwritten(&gpu, "another", most).unwrap();
        let solver = DeviceSolver::<f64>::new(&gpu, shape, &several.options).unwrap();
        drop(other);
        assert!(solver.plan().parts > 1, "{}", solver.plan());
        solver
    };
    let found = {
        let mut solver = in_parts(strides.shape());
        on_device_with(&mut solver, &gpu, data, Some(&strides), &cotangent, &directions)
    };
    let expected = {
        let mut solver = in_parts(one.problem().shape());
        on_device(&mut solver, &gpu, one.arrays(), &cotangent, &expanded)
    };
    assert_eq!(found.values, expected.values);
    assert_eq!(found.tangent, expected.tangent);
    assert_eq!(found.inverse, expected.inverse);
    assert_same_gradients(&found.gradients, &expected.gradients, &several, &axes);

    // A single system that does not fit is an error, and the device stays usable.
    let small = Case::new(
        Sizes { batch: 1, points: 9, states: 1, equations: 1, ..Sizes::SMALL },
        Options::default(),
        1,
    );
    let shape = small.problem().shape().clone();
    let cotangent = noise(5, shape.solution().iter().product());
    let on = |device: &Device| {
        let mut solver = Solver::on(device, &shape, &small.options).unwrap();
        on_host(&mut solver, &small, &cotangent, &small.directions(7))
    };
    let before = on(&device);
    before.assert_close(&on(&Device::Cpu));
    let large = Sizes { batch: 1, points: 3000, states: 3, equations: 3, ..Sizes::SMALL };
    let large = Case::<f64>::new(large, Options::default(), 1);
    let large = large.problem();
    let error = Solver::<f64>::on(&device, large.shape(), &Options::default()).err().unwrap();
    assert!(matches!(error, Error::OutOfMemory { bytes, .. } if bytes > 1 << 17), "{error}");
    assert_eq!(on(&device), before);
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
