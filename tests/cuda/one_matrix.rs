//! A batch whose systems share coefficients and steps, as if each system had its own: to the bit.

use mechanistic::cuda::{CudaPath, DeviceSolver, Strides};
use mechanistic::{Device, Inputs, Options, Real, RowScaling, Smoothness, Solver};

use crate::support::case::{Case, Sizes, noise};
use crate::support::device_arrays::{Outcome, on_device, on_device_with};
use crate::support::driver;
use crate::support::results::results;

/// Coefficients and steps without a batch axis.
const ONE_MATRIX: u32 = 0b0010_0001;
/// And without one of time.
const AT_ALL_POINTS: u32 = 0b0110_0011;

const SCALAR: Sizes =
    Sizes { batch: 70, points: 40, states: 1, equations: 1, shared: ONE_MATRIX, ..Sizes::SMALL };

/// The directions in which the inputs of a case move, and those of the case with own matrices.
fn directions<T: Real>(case: &Case<T>) -> [Inputs<Vec<T>>; 2] {
    let directions = case.directions(22);
    let mut moved = case.clone();
    for (array, direction) in moved.inputs.as_mut().zip(directions.as_ref()) {
        array.data.clone_from(direction);
    }
    [directions, moved.with_own_matrices().inputs.map(|array| array.data)]
}

/// Sums of what systems have of a gradient are those of the shared input, but for their rounding.
fn assert_sums<T: Real>(sums: &[T], of_each: &[T], what: &str) {
    for (i, sum) in sums.iter().enumerate() {
        let parts = of_each.iter().skip(i).step_by(sums.len()).map(|part| part.to_double());
        let size: f64 = parts.clone().map(f64::abs).sum();
        let error = (sum.to_double() - parts.sum::<f64>()).abs();
        assert!(error <= 4.0 * T::epsilon().to_double() * size, "{what}: {error:e} of {size:e}");
    }
}

fn assert_same<T: Real>(found: &Outcome<T>, of_each: &Outcome<T>, what: &str) {
    assert!(found.values == of_each.values, "values, {what}");
    assert!(found.tangent == of_each.tangent, "tangent, {what}");
    assert!(found.inverse == of_each.inverse, "inverse, {what}");
    assert!(found.gradients.rhs == of_each.gradients.rhs, "gradient of rhs, {what}");
    let initial_values = [found, of_each].map(|outcome| &outcome.gradients.initial_values);
    assert!(initial_values[0] == initial_values[1], "gradient of initial values, {what}");
    assert_eq!(found.weights, of_each.weights, "{what}");
    let [mine, of_each] = [&found.gradients, &of_each.gradients];
    assert_sums(&mine.coefficients, &of_each.coefficients, &format!("coefficients, {what}"));
    assert_sums(&mine.steps, &of_each.steps, &format!("steps, {what}"));
}

fn compare<T: Real>(path: CudaPath, sizes: Sizes, options: Options) {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let case = Case::<T>::new(sizes, options, 5);
    let [along, along_each] = directions(&case);
    let of = |case: &Case<T>, directions: &Inputs<Vec<T>>| {
        let problem = case.problem();
        let shape = problem.shape();
        let cotangent = noise(6, shape.solution().iter().product());
        let mut solver = DeviceSolver::<T>::on_path(&gpu, shape, &options, path).unwrap();
        let one_factor = solver.plan().path.contains("one factor of all systems");
        (on_device(&mut solver, &gpu, case.arrays(), &cotangent, directions), one_factor)
    };
    let what = format!("{path:?}, {sizes:?}, {options:?}");
    let (found, one_factor) = of(&case, &along);
    assert_eq!(one_factor, path == CudaPath::Thread, "{what}");
    let (of_each, one_factor) = of(&case.with_own_matrices(), &along_each);
    assert!(!one_factor, "{what}");
    assert_same(&found, &of_each, &what);
    driver::assert_no_reports();
}

#[test]
fn arrays_on_the_device_have_the_results_of_own_matrices() {
    let hermite = Options::default();
    let taylor = Options { smoothness: Smoothness::TaylorHold, ..hermite };
    let balanced = Options { scaling: RowScaling::Balanced, ..hermite };
    for path in
        [CudaPath::Thread, CudaPath::Chunk, CudaPath::Span, CudaPath::Team, CudaPath::TeamChunk]
    {
        let batch = if path == CudaPath::Thread { 70 } else { 5 };
        let scalar = Sizes { batch, ..SCALAR };
        compare::<f64>(path, scalar, balanced);
        compare::<f32>(path, Sizes { shared: AT_ALL_POINTS, ..scalar }, taylor);
        let pair = Sizes { states: 2, equations: 2, order: 1, initial: (1, 1), ..scalar };
        compare::<f64>(path, Sizes { shared: ONE_MATRIX | 0b1_0100, ..pair }, taylor);
    }
}

/// The right-hand sides lie step first, and a stride of zero shares coefficients and steps.
#[test]
fn strides_share_a_matrix() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let case = Case::<f64>::new(SCALAR, Options::default(), 7);
    let Sizes { batch, points, .. } = SCALAR;
    let axes = Inputs {
        coefficients: &[batch, points, 1, 1, 3][..],
        rhs: &[batch, points, 1],
        initial_values: &[batch, 1, 1, 2],
        steps: &[batch, points - 1, 1],
    };
    let strides = Inputs {
        coefficients: Some(&[0, 3, 3, 3, 1][..]),
        rhs: Some(&[1, batch as isize, 1]),
        initial_values: None,
        steps: Some(&[0, 1, 1]),
    };
    let strides = Strides::new(batch, points, axes, strides).unwrap();
    let step_first: Vec<f64> =
        (0..points * batch).map(|i| case.inputs.rhs.data[i % batch * points + i / batch]).collect();
    let arrays = Inputs { rhs: &step_first[..], ..case.arrays() };
    let [along, along_each] = directions(&case);
    let cotangent = noise(6, batch * points * 3);
    let path = CudaPath::Thread;
    let mut solver =
        DeviceSolver::<f64>::on_path(&gpu, strides.shape(), &case.options, path).unwrap();
    assert!(solver.plan().path.contains("one factor of all systems"), "{}", solver.plan());
    let found = on_device_with(&mut solver, &gpu, arrays, Some(&strides), &cotangent, &along);
    let own = case.with_own_matrices();
    let shape = own.problem().shape().clone();
    let mut solver = DeviceSolver::<f64>::on_path(&gpu, &shape, &case.options, path).unwrap();
    let of_each = on_device(&mut solver, &gpu, own.arrays(), &cotangent, &along_each);
    assert_same(&found, &of_each, "strides");
    driver::assert_no_reports();
}

/// Residuals and variances too, and what is wrong with one system.
#[test]
fn problems_of_the_host_have_the_results_of_own_matrices() {
    driver::simulated();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let mut case = Case::<f64>::new(SCALAR, Options::default(), 9);
    for broken in [None, Some(33)] {
        if let Some(system) = broken {
            case.inputs.rhs.data[system * SCALAR.points + 1] = f64::NAN;
        }
        let of = |case: &Case| {
            let shape = case.problem().shape().clone();
            let path = CudaPath::Thread;
            let mut solver = Solver::on_cuda_path(&gpu, &shape, &case.options, path).unwrap();
            results(&mut solver, case).unwrap()
        };
        let (found, of_each) = (of(&case), of(&case.with_own_matrices()));
        assert_eq!(found.status, of_each.status);
        for (system, status) in found.status.iter().enumerate() {
            assert_eq!(status.is_ok(), broken != Some(system));
        }
        for ((name, array), (_, of_each)) in found.arrays.iter().zip(&of_each.arrays) {
            let bits = |array: &[f64]| array.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            // The directions of what is shared are other ones; the gradients are sums.
            if array.len() == of_each.len() && !name.starts_with("tangent") {
                assert!(bits(array) == bits(of_each), "{name}");
            }
        }
        driver::assert_no_reports();
    }
}
