//! A solve and its derivatives among arrays that lie on the device.

use std::sync::Arc;

use mechanistic::cuda::{CudaDevice, DeviceArray, DeviceSolver, Values};
use mechanistic::{Inputs, Real, Stored};

/// What a solver returns.
#[derive(Debug, PartialEq)]
pub struct Results<T> {
    pub values: Vec<T>,
    pub tangent: Vec<T>,
    /// Of the four inputs.
    pub gradients: [Vec<T>; 4],
    /// Gradient of the weights.
    pub weights: Vec<T>,
}

/// All inputs have a direction, and the gradients are those of all of them.
pub fn on_device<T: Real, V: Stored>(
    solver: &mut DeviceSolver<T>,
    gpu: &Arc<CudaDevice>,
    inputs: [&[V]; 4],
    cotangent: &[T],
    directions: &[Vec<T>; 4],
) -> Results<T> {
    let upload = |values: &[T]| DeviceArray::from_host(gpu, "values", values).unwrap();
    let unwritten = |count| DeviceArray::<T>::unwritten(gpu, "values", count).unwrap();
    let download = |array: &DeviceArray<T>| {
        let mut values = vec![T::zero(); array.len()];
        array.copy_to_host("values", &mut values).unwrap();
        values
    };
    let arrays = inputs.map(|values| DeviceArray::from_host(gpu, "an input", values).unwrap());
    let inputs = Inputs::from(arrays.each_ref().map(Values::from));
    let mut values = unwritten(cotangent.len());
    solver.solve(inputs, &mut values).unwrap();
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    let cotangent = upload(cotangent);
    // A gradient that is not wanted is not touched, and the others are the same without it.
    let only_one = |solver: &mut DeviceSolver<T>, wanted: usize| {
        let mut gradient = unwritten(arrays[wanted].len());
        let mut targets = [None, None, None, None];
        targets[wanted] = Some(&mut gradient);
        solver.vjp(inputs, &cotangent, None, targets.into()).unwrap();
        download(&gradient)
    };
    let alone = [0, 1, 2, 3].map(|wanted| only_one(solver, wanted));
    let mut gradients = arrays.each_ref().map(|array| unwritten(array.len()));
    solver.vjp(inputs, &cotangent, None, gradients.each_mut().map(Some).into()).unwrap();
    let gradients = gradients.each_ref().map(download);
    assert_eq!(gradients, alone, "gradients one by one");
    let directions = directions.each_ref().map(|direction| upload(direction));
    let mut tangent = unwritten(values.len());
    solver.jvp(inputs, directions.each_ref().map(Some).into(), &mut tangent).unwrap();
    Results {
        values: download(&values),
        tangent: download(&tangent),
        gradients,
        weights: download(solver.weight_gradient()),
    }
}
