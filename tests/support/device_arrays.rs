//! A solve and its derivatives among arrays that lie on the device, and among those of the host.

use std::sync::Arc;

use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Cotangent, Real, Solver, Stored, Tangents, Weights};

use super::case::Case;
use super::close::assert_close;

/// What a solve and its derivatives return.
#[derive(Debug, PartialEq)]
pub struct Outcome<T> {
    pub values: Vec<T>,
    pub tangent: Vec<T>,
    /// Of the four inputs.
    pub gradients: [Vec<T>; 4],
    /// Gradient of the weights.
    pub weights: Vec<T>,
}

impl Outcome<f64> {
    /// Nine digits of the largest value of each array.
    #[track_caller]
    pub fn assert_close(&self, expected: &Self) {
        assert_close(&self.values, &expected.values, 1e-9, "solution");
        assert_close(&self.tangent, &expected.tangent, 1e-9, "tangent");
        for (index, (actual, expected)) in
            self.gradients.iter().zip(&expected.gradients).enumerate()
        {
            assert_close(actual, expected, 1e-9, &format!("gradient {index}"));
        }
        assert_close(&self.weights, &expected.weights, 1e-9, "gradient of the weights");
    }
}

/// All inputs have a direction, and the gradients are those of all of them.
pub fn on_device<T: Real, V: Stored>(
    solver: &mut DeviceSolver<T>,
    gpu: &Arc<CudaDevice>,
    inputs: [&[V]; 4],
    cotangent: &[T],
    directions: &[Vec<T>; 4],
) -> Outcome<T> {
    let upload = |values: &[T]| DeviceArray::from_host(gpu, "values", values).unwrap();
    let unwritten = |count| DeviceArray::<T>::unwritten(gpu, "values", count).unwrap();
    let download = |array: &DeviceArray<T>| {
        let mut values = vec![T::zero(); array.len()];
        array.copy_to_host("values", &mut values).unwrap();
        values
    };
    let arrays = inputs.map(|values| DeviceArray::from_host(gpu, "an input", values).unwrap());
    let inputs = arrays.each_ref().map(Values::from);
    let mut values = unwritten(cotangent.len());
    solver.solve(inputs, &mut values).unwrap();
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    let cotangent = upload(cotangent);
    // A gradient that is not wanted is not touched, and the others are the same without it.
    let only_one = |solver: &mut DeviceSolver<T>, wanted: usize| {
        let mut gradient = unwritten(arrays[wanted].len());
        let mut targets = [None, None, None, None];
        targets[wanted] = Some(&mut gradient);
        solver.vjp(inputs, &cotangent, None, targets).unwrap();
        download(&gradient)
    };
    let alone = [0, 1, 2, 3].map(|wanted| only_one(solver, wanted));
    let mut gradients = arrays.each_ref().map(|array| unwritten(array.len()));
    solver.vjp(inputs, &cotangent, None, gradients.each_mut().map(Some)).unwrap();
    let gradients = gradients.each_ref().map(download);
    assert_eq!(gradients, alone, "gradients one by one");
    let directions = directions.each_ref().map(|direction| upload(direction));
    let mut tangent = unwritten(values.len());
    solver.jvp(inputs, directions.each_ref().map(Some), &mut tangent).unwrap();
    Outcome {
        values: download(&values),
        tangent: download(&tangent),
        gradients,
        weights: download(solver.weight_gradient()),
    }
}

/// The same among arrays of the host.
pub fn on_host(
    solver: &mut Solver<f64>,
    case: &Case,
    cotangent: &[f64],
    directions: &[Vec<f64>; 4],
) -> Outcome<f64> {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    assert!(solution.status.iter().all(|status| status.is_ok()));
    let cotangent = Cotangent { values: cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap().clone();
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
    let gradients =
        [gradients.coefficients, gradients.rhs, gradients.initial_values, gradients.steps];
    Outcome { values: solution.values, tangent, gradients, weights }
}
