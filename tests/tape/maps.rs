//! Layers of two-dimensional maps: against their definitions, against central differences, and on a
//! CUDA device against the CPU.

use mechanistic::nn::{Conv2d, Initializer, ParameterId, Parameters, Resize, Rng};
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Cpu, Error};

/// Map of 2 × 4 × 3 points and two channels.
const SHAPE: [usize; 4] = [2, 4, 3, 2];

fn map() -> Array<f64> {
    let count = SHAPE.iter().product::<usize>();
    Array::new(SHAPE, (0..count).map(|i| (1.3 * i as f64).sin()).collect()).unwrap()
}

/// A convolution of two channels to three whose bias is not zero.
fn convolution<B: Backend>(size: usize) -> (Parameters<f64, B>, Conv2d) {
    let (mut parameters, mut rng) = (Parameters::empty(), Rng::new(2));
    let initializer = Initializer::Normal(1.0);
    let layer = Conv2d::new(&mut parameters, "conv", [2, 3], size, initializer, &mut rng).unwrap();
    parameters.data_mut(layer.linear.bias).unwrap().copy_from_slice(&[0.5, -1.0, 2.0]);
    (parameters, layer)
}

#[test]
fn a_convolution_follows_its_definition() {
    let x = map();
    let [batch, height, width, channels] = SHAPE;
    for size in [1, 3, 5] {
        let (parameters, layer) = convolution::<Cpu>(size);
        let mut tape = Tape::new();
        let input = tape.constant(x.clone());
        let y = layer.forward(&mut tape, &parameters, input).unwrap();
        let y = tape.value(y).unwrap();
        assert_eq!(y.shape(), [batch, height, width, 3]);
        let weight = parameters.get(layer.linear.weight).unwrap().data();
        let bias = parameters.get(layer.linear.bias).unwrap().data();
        for (at, found) in y.data().iter().enumerate() {
            let (o, j) = (at % 3, at / 3 % width);
            let (i, b) = (at / 3 / width % height, at / 3 / width / height);
            let mut expected = bias[o];
            for (di, dj, c) in (0..size * size * channels)
                .map(|k| (k / channels / size, k / channels % size, k % channels))
            {
                let (Some(i), Some(j)) =
                    ((i + di).checked_sub(size / 2), (j + dj).checked_sub(size / 2))
                else {
                    continue;
                };
                if i < height && j < width {
                    let value = x.data()[((b * height + i) * width + j) * channels + c];
                    expected += value * weight[((di * size + dj) * channels + c) * 3 + o];
                }
            }
            assert!((found - expected).abs() < 1e-12, "{size} {at}: {found} {expected}");
        }
    }
}

/// Gradients of Σ sin(i) yᵢ with respect to the map and the parameters are those of differences.
#[test]
fn gradients_of_a_convolution() {
    let (parameters, layer) = convolution::<Cpu>(3);
    let weigh = |parameters: &Parameters<f64>, x: &Array<f64>| -> (Tape<f64>, Var, Var) {
        let mut tape = Tape::new();
        let x = tape.leaf(x.clone());
        let y = layer.forward(&mut tape, parameters, x).unwrap();
        let shape = tape.shape(y).unwrap().to_vec();
        let weights = (0..shape.iter().product()).map(|i: usize| (i as f64).sin()).collect();
        let weights = tape.constant(Array::new(shape, weights).unwrap());
        let product = tape.mul(y, weights).unwrap();
        let sum = tape.sum_all(product).unwrap();
        (tape, sum, x)
    };
    let step = 1e-5;
    let x = map();
    let (mut tape, sum, leaf) = weigh(&parameters, &x);
    let [weight, bias] = [layer.linear.weight, layer.linear.bias]
        .map(|id: ParameterId| tape.parameter(&parameters, id).unwrap());
    let gradients = tape.backward(sum).unwrap();
    let value = |parameters: &Parameters<f64>, x: &Array<f64>| {
        let (tape, sum, _) = weigh(parameters, x);
        tape.scalar(sum).unwrap()
    };
    let check = |what: &str, exact: f64, difference: f64| {
        assert!((exact - difference).abs() < 1e-7 * (1.0 + exact.abs()), "{what}: {exact}");
    };
    for i in 0..x.len() {
        let changed = |by: f64| {
            let mut x = x.clone();
            x.data_mut()[i] += by;
            value(&parameters, &x)
        };
        let difference = (changed(step) - changed(-step)) / (2.0 * step);
        check(&format!("x {i}"), gradients.of(leaf).unwrap().data()[i], difference);
    }
    for (id, var) in [(layer.linear.weight, weight), (layer.linear.bias, bias)] {
        for i in 0..parameters.get(id).unwrap().len() {
            let changed = |by: f64| {
                let mut parameters = parameters.clone();
                parameters.data_mut(id).unwrap()[i] += by;
                value(&parameters, &x)
            };
            let difference = (changed(step) - changed(-step)) / (2.0 * step);
            check(&format!("parameter {i}"), gradients.of(var).unwrap().data()[i], difference);
        }
    }
}

/// A plane is the same on every grid, and maps grow and shrink along both axes apart.
#[test]
fn a_plane_keeps_its_values_on_a_finer_grid() {
    let plane = |height: usize, width: usize| {
        let point = |i: usize| {
            let (y, x) = (i / width, i % width);
            let (y, x) = (y as f64 / (height - 1) as f64, x as f64 / (width - 1) as f64);
            [1.0 + 2.0 * y - x, x * 3.0]
        };
        Array::new([1, height, width, 2], (0..height * width).flat_map(point).collect()).unwrap()
    };
    let mut tape = Tape::new();
    let x = tape.constant(plane(4, 3));
    let finer = Resize::<f64, Cpu>::new([4, 3], [7, 9]).unwrap().forward(&mut tape, x).unwrap();
    let (found, expected) = (tape.value(finer).unwrap(), plane(7, 9));
    assert_eq!(found.shape(), expected.shape());
    for (found, expected) in found.data().iter().zip(expected.data()) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let mut rng = Rng::new(0);
    let mut parameters = Parameters::<f64>::new();
    let even = Conv2d::new(&mut parameters, "c", [2, 3], 2, Initializer::Zeros, &mut rng);
    assert_eq!(even.unwrap_err().to_string(), "size: 2 is even: there is no middle");
    assert!(Resize::<f64, Cpu>::new([0, 3], [2, 2]).is_err());
    let (parameters, layer) = convolution::<Cpu>(3);
    let resize = Resize::new([5, 3], [2, 2]).unwrap();
    let mut tape = Tape::new();
    let maps =
        [map(), Array::full([4, 3, 2], 1.0).unwrap(), Array::full([1, 4, 3, 5], 1.0).unwrap()];
    let [good, flat, deep] = maps.map(|map| tape.constant(map));
    for result in [
        layer.forward(&mut tape, &parameters, flat),
        layer.forward(&mut tape, &parameters, deep),
        resize.forward(&mut tape, flat),
        resize.forward(&mut tape, good),
    ] {
        assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
    }
}

/// Records a convolution and a resize of x, with the parameters as constants.
#[cfg(feature = "cuda")]
fn layers<B: Backend>(tape: &mut Tape<f64, B>, x: Var) -> mechanistic::Result<Var> {
    let (parameters, layer) = convolution::<B>(3);
    let y = layer.forward(tape, &parameters, x)?;
    Resize::new([4, 3], [3, 5])?.forward(tape, y)
}

#[cfg(feature = "cuda")]
#[test]
fn devices_agree() {
    use crate::support::backends::cuda;
    use crate::support::driver::assert_no_reports;
    use crate::support::tape_agreement::{compare, forward_backward};
    let on_cpu = forward_backward(&Cpu, &[map()], |tape, x| layers(tape, x[0]));
    let on_cuda = forward_backward(cuda(), &[map()], |tape, x| layers(tape, x[0]));
    compare("convolution and resize", &on_cpu, &on_cuda, 1e-12);
    assert_no_reports();
}
