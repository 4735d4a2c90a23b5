//! A solve and its derivatives among arrays that lie on the device, and among those of the host.

use std::sync::Arc;

use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Strides, Values};
use mechanistic::{Cotangent, Inputs, Real, Solver, Stored, Weights};

use super::case::Case;
use super::close::assert_close;

/// What a solve and its derivatives return.
#[derive(Debug, PartialEq)]
pub struct Outcome<T> {
    pub values: Vec<T>,
    pub tangent: Vec<T>,
    /// M⁻¹ times the cotangent.
    pub inverse: Vec<T>,
    pub gradients: Inputs<Vec<T>>,
    /// Gradient of the weights.
    pub weights: Vec<T>,
}

impl Outcome<f64> {
    /// Nine digits of the largest value of each array.
    #[track_caller]
    pub fn assert_close(&self, expected: &Self) {
        assert_close(&self.values, &expected.values, 1e-9, "solution");
        assert_close(&self.tangent, &expected.tangent, 1e-9, "tangent");
        assert_close(&self.inverse, &expected.inverse, 1e-9, "inverse");
        let gradients = self.gradients.as_ref().zip(expected.gradients.as_ref());
        for (name, (actual, expected)) in Inputs::NAMES.zip(gradients) {
            assert_close(actual, expected, 1e-9, &format!("gradient of {name}"));
        }
        assert_close(&self.weights, &expected.weights, 1e-9, "gradient of the weights");
    }
}

/// All inputs have a direction, and the gradients are those of all of them.
pub fn on_device<T: Real, V: Stored>(
    solver: &mut DeviceSolver<T>,
    gpu: &Arc<CudaDevice>,
    inputs: Inputs<&[V]>,
    cotangent: &[T],
    directions: &Inputs<Vec<T>>,
) -> Outcome<T> {
    on_device_with(solver, gpu, inputs, None, cotangent, directions)
}

/// The same with inputs that may have strides.
pub fn on_device_with<T: Real, V: Stored>(
    solver: &mut DeviceSolver<T>,
    gpu: &Arc<CudaDevice>,
    inputs: Inputs<&[V]>,
    strides: Option<&Strides>,
    cotangent: &[T],
    directions: &Inputs<Vec<T>>,
) -> Outcome<T> {
    let upload = |values: &[T]| DeviceArray::from_host(gpu, "values", values).unwrap();
    let unwritten = |count| DeviceArray::<T>::unwritten(gpu, "values", count).unwrap();
    let download = |array: &DeviceArray<T>| {
        let mut values = vec![T::zero(); array.len()];
        array.copy_to_host("values", &mut values).unwrap();
        values
    };
    let arrays = inputs.map(|values| DeviceArray::from_host(gpu, "an input", values).unwrap());
    let inputs = arrays.as_ref().map(Values::from);
    let inputs = strides.map_or(inputs, |strides| strides.of(inputs));
    let lengths = solver.shape().inputs().map(|axes| axes.iter().product::<usize>());
    let lengths_of = <[usize; 4]>::from(lengths);
    let mut values = unwritten(cotangent.len());
    solver.solve(inputs, &mut values).unwrap();
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    let cotangent = upload(cotangent);
    // A gradient that is not wanted is not touched, and the others are the same without it.
    let only_one = |solver: &mut DeviceSolver<T>, wanted: usize| {
        let mut gradient = unwritten(lengths_of[wanted]);
        let mut targets = [None, None, None, None];
        targets[wanted] = Some(&mut gradient);
        solver.vjp(inputs, &cotangent, None, targets.into()).unwrap();
        download(&gradient)
    };
    let alone = Inputs::from([0, 1, 2, 3]).map(|wanted| only_one(solver, wanted));
    let mut gradients = lengths.map(unwritten);
    solver.vjp(inputs, &cotangent, None, gradients.as_mut().map(Some)).unwrap();
    let gradients = gradients.as_ref().map(download);
    assert_eq!(gradients, alone, "gradients one by one");
    let directions = directions.as_ref().map(|direction| upload(direction));
    let mut derived = unwritten(values.len());
    solver.jvp(inputs, directions.as_ref().map(Some), &mut derived).unwrap();
    let tangent = download(&derived);
    solver.inverse(inputs, &cotangent, None, &mut derived).unwrap();
    Outcome {
        values: download(&values),
        tangent,
        inverse: download(&derived),
        gradients,
        weights: download(solver.weight_gradient()),
    }
}

/// The same among arrays of the host.
pub fn on_host(
    solver: &mut Solver<f64>,
    case: &Case,
    cotangent: &[f64],
    directions: &Inputs<Vec<f64>>,
) -> Outcome<f64> {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    assert!(solution.status.iter().all(|status| status.is_ok()));
    let cotangent = Cotangent { values: cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap().clone();
    let tangents = directions.as_ref().map(|direction| Some(direction.as_slice()));
    let tangent = solver.jvp(&problem, &tangents).unwrap().values.clone();
    let inverse = solver.inverse(&problem, &cotangent).unwrap().values.clone();
    let residuals = solver.residuals(&problem).unwrap();
    assert!(residuals.iter().all(|residuals| residuals.equation.is_finite()));
    let Weights { equation, initial, smoothness, periodic } = gradients.weights;
    let weights = vec![equation, initial, smoothness, periodic];
    Outcome { values: solution.values, tangent, inverse, gradients: gradients.inputs, weights }
}
