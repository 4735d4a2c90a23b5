//! Inputs with strides, and with several axes of the batch, are read where they lie, with the results of row-major
//! copies with one axis of the batch, to the bit.

use mechanistic::cuda::{CudaPath, DeviceArray, DeviceSolver, Strides, Values};
use mechanistic::{Cotangent, Device, Inputs, Options, Problem, Real, Solver};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::case::{Sizes, noise};
use crate::support::device_arrays::on_device_with;
use crate::support::driver;
use crate::support::strided::{
    Order, Strided, assert_same_gradients, lent, one_axis_each, several_axes, strides_of,
    with_one_axis,
};

/// Solves a case of these sizes whose batch has these axes among arrays on the device.
fn compare<T: Real>(path: CudaPath, axes: &[usize], sizes: Sizes, order: Order, seed: u64) {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let mut random = StdRng::seed_from_u64(seed);
    let options = Options::default();
    let several = several_axes::<T>(axes, sizes, options, seed, &mut random);
    let lent = lent(&several, axes, order, &mut random);
    let one = with_one_axis(&several, axes);
    let strides = strides_of(&lent, &several);
    for (array, reach) in lent.as_ref().zip(strides.reach()) {
        assert_eq!(array.data.len(), reach);
    }
    let shape = strides.shape().with_extra_derivatives(several.extra_derivatives).unwrap();
    let cotangent = noise::<T>(seed + 1, shape.solution().iter().product());
    let directions = several.directions(seed + 2);
    let data = lent.as_ref().map(|array| &array.data[..]);
    let mut solver = DeviceSolver::<T>::on_path(&gpu, &shape, &options, path).unwrap();
    let found = on_device_with(&mut solver, &gpu, data, Some(&strides), &cotangent, &directions);

    let problem = one.problem();
    let mut solver = DeviceSolver::<T>::on_path(&gpu, problem.shape(), &options, path).unwrap();
    let expanded = one_axis_each(&several, &directions, axes);
    let expected = on_device_with(&mut solver, &gpu, one.arrays(), None, &cotangent, &expanded);
    let message = format!("{path:?}, axes {axes:?}, {sizes:?}, {order:?}");
    assert!(found.values == expected.values, "values, {message}");
    assert!(found.tangent == expected.tangent, "tangent, {message}");
    assert!(found.inverse == expected.inverse, "inverse, {message}");
    assert_eq!(found.weights, expected.weights, "{message}");
    assert_same_gradients(&found.gradients, &expected.gradients, &several, axes);
    driver::assert_no_reports();
}

const AXES: [&[usize]; 5] = [&[1], &[37], &[3, 13], &[5, 1, 7], &[2, 3, 7]];
const ORDERS: [Order; 2] = [Order::Points { gaps: false }, Order::Points { gaps: true }];

/// Every path, with what it shares of the points too.
fn on_path(path: CudaPath, sizes: Sizes) {
    for (i, axes) in AXES.into_iter().enumerate() {
        for (j, shared) in [0, 0b0_0100_1010, 0b0_1100_0000].into_iter().enumerate() {
            let sizes = Sizes { shared, ..sizes };
            let seed = (10 * i + j) as u64;
            compare::<f64>(path, axes, sizes, ORDERS[(i + j) % 2], seed);
            compare::<f32>(path, axes, sizes, ORDERS[(i + j + 1) % 2], seed + 100);
        }
    }
}

const SCALAR: Sizes = Sizes { states: 1, equations: 1, points: 12, ..Sizes::SMALL };

#[test]
fn halves_read_strides() {
    on_path(CudaPath::Thread, SCALAR);
    // A point of four windows, and more initial points than one.
    let wide = Sizes { equations: 5, points: 9, initial: (6, 2), ..Sizes::SMALL };
    compare::<f64>(CudaPath::Thread, &[3, 11], wide, ORDERS[0], 1);
}

#[test]
fn chunks_read_strides() {
    on_path(CudaPath::Chunk, SCALAR);
    on_path(CudaPath::Span, Sizes { points: 35, ..SCALAR });
}

#[test]
fn teams_read_strides() {
    on_path(CudaPath::Team, Sizes { states: 3, equations: 3, ..SCALAR });
    let large = Sizes { states: 11, equations: 11, points: 6, ..SCALAR };
    compare::<f64>(CudaPath::Team, &[2, 3], large, ORDERS[0], 1);
    compare::<f64>(CudaPath::TeamChunk, &[2, 3], Sizes { points: 40, ..SCALAR }, ORDERS[1], 2);
}

#[test]
fn strides_that_kernels_do_not_read_are_refused_by_name() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let solve = |leading: &[usize], rhs: &[isize], own: &[bool]| {
        let systems = leading.iter().product::<usize>();
        let rank = leading.len();
        let all = [leading, &[4, 2, 1, 2]].concat();
        let ones = vec![1; rank];
        let axes: Vec<usize> =
            leading.iter().zip(own).map(|(&full, &own)| if own { full } else { 1 }).collect();
        let rhs_axes = [&axes[..], &[4, 2]].concat();
        let [initial, steps] = [[&ones[..], &[1, 1, 1]].concat(), [&ones[..], &[1]].concat()];
        let axes = Inputs {
            coefficients: &all[..],
            rhs: &rhs_axes,
            initial_values: &initial,
            steps: &steps,
        };
        let strides = Inputs { rhs: Some(rhs), ..Inputs::default() };
        let strides = Strides::new(systems, 4, axes, strides).unwrap();
        let options = Options::default();
        let mut solver = DeviceSolver::<f64>::new(&gpu, strides.shape(), &options).unwrap();
        let array = |len| DeviceArray::from_host(&gpu, "input", &vec![0.1; len]);
        let arrays = strides.reach().try_map(array).unwrap();
        let mut solution = DeviceArray::unwritten(&gpu, "solution", systems * 8).unwrap();
        let inputs = strides.of(arrays.as_ref().map(Values::from));
        solver.solve(inputs, &mut solution).map_err(|error| error.to_string())
    };
    assert_eq!(solve(&[3], &[2, 6, 1], &[true]), Ok(()));
    let message = solve(&[3], &[8, 1, 4], &[true]).unwrap_err();
    assert!(message.starts_with("rhs: the values of a point do not lie side by side"), "{message}");
    let own = [true, false, true, false];
    assert_eq!(solve(&[2, 3, 4], &[8, 0, 16, 2, 1], &own[..3]), Ok(()));
    let message = solve(&[2, 3, 4, 2], &[8, 0, 16, 0, 2, 1], &own).unwrap_err();
    assert!(message.starts_with("batch: the inputs lie along more than three axes"), "{message}");
}

/// Of the host, arrays that kernels do not read where they lie are copied.
fn compare_on_host(axes: &[usize], sizes: Sizes, order: Order, seed: u64) {
    driver::simulated();
    let device = Device::cuda(0).unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let options = Options::default();
    let several = several_axes::<f64>(axes, sizes, options, seed, &mut random);
    let lent = lent(&several, axes, order, &mut random);
    let one = with_one_axis(&several, axes);
    let views = lent.as_ref().map(Strided::view);
    let strided = Problem::builder()
        .batch(several.batch)
        .points(several.points)
        .coefficients(views.coefficients)
        .rhs(views.rhs)
        .initial_values(views.initial_values)
        .steps(views.steps)
        .build()
        .unwrap();
    let outcome = |problem: &Problem<'_, f64>, directions: &Inputs<Vec<f64>>| {
        let mut solver = Solver::on(&device, problem.shape(), &options).unwrap();
        let solution = solver.solve(problem).unwrap().clone();
        assert!(solution.status.iter().all(|status| status.is_ok()));
        let cotangent = noise(seed, solution.values.len());
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = solver.vjp(problem, &cotangent).unwrap().inputs.clone();
        let tangents = directions.as_ref().map(|direction| Some(&direction[..]));
        let tangent = solver.jvp(problem, &tangents).unwrap().values.clone();
        let residuals = solver.residuals(problem).unwrap().to_vec();
        let variances = solver.variances(problem).unwrap().to_vec();
        (solution.values, tangent, residuals, variances, gradients)
    };
    let directions = several.directions(seed + 2);
    let found = outcome(&strided, &directions);
    let expected = outcome(&one.problem(), &one_axis_each(&several, &directions, axes));
    let message = format!("axes {axes:?}, {sizes:?}, {order:?}");
    assert!(found.0 == expected.0, "values, {message}");
    assert!(found.1 == expected.1, "tangent, {message}");
    assert!(found.2 == expected.2, "residuals, {message}");
    assert!(found.3 == expected.3, "variances, {message}");
    assert_same_gradients(&found.4, &expected.4, &several, axes);
    driver::assert_no_reports();
}

#[test]
fn problems_of_the_host_may_have_strides() {
    let axes: [&[usize]; 6] = [&[1], &[13], &[3, 4], &[5, 1, 4], &[2, 3, 4], &[2, 2, 2, 3, 2]];
    let orders = [ORDERS[0], Order::Any, ORDERS[1]];
    for (i, axes) in axes.into_iter().enumerate() {
        for (j, order) in orders.into_iter().enumerate() {
            let seed = (10 * i + j) as u64;
            let sizes = if seed.is_multiple_of(2) { SCALAR } else { Sizes::SMALL };
            compare_on_host(axes, Sizes { points: 11, ..sizes }, order, seed);
        }
    }
}
