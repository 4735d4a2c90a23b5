//! Every operation of the tape on a CUDA device against the CPU: values and gradients in f64 and
//! f32, over sizes on either side of every border in the kernels.

use crate::support::backends::cuda;
use crate::support::driver::assert_no_reports;
use crate::support::tape_agreement::{agree, any, compare, forward_backward, positive};
use mechanistic::Cpu;
use mechanistic::cuda::Cuda;
use mechanistic::tape::{Array, Tape};

#[test]
fn functions_of_one_element() {
    for shape in [&[][..], &[3, 1000]] {
        let x = [any(shape)];
        agree!(x, |tape, x| tape.neg(x[0]));
        agree!(x, |tape, x| tape.scale(x[0], -1.3));
        agree!(x, |tape, x| tape.shift(x[0], 0.7));
        agree!(x, |tape, x| tape.relu(x[0]));
        agree!(x, |tape, x| tape.tanh(x[0]));
        agree!(x, |tape, x| tape.sigmoid(x[0]));
        agree!(x, |tape, x| tape.softplus(x[0]));
        agree!(x, |tape, x| tape.gelu(x[0]));
        agree!(x, |tape, x| tape.sin(x[0]));
        agree!(x, |tape, x| tape.cos(x[0]));
        agree!(x, |tape, x| tape.exp(x[0]));
        agree!(x, |tape, x| tape.square(x[0]));
        agree!(x, |tape, x| tape.powi(x[0], 3));
        agree!(x, |tape, x| tape.powi(x[0], 0));
        let x = [positive(shape)];
        agree!(x, |tape, x| tape.reciprocal(x[0]));
        agree!(x, |tape, x| tape.powi(x[0], -2));
        agree!(x, |tape, x| tape.ln(x[0]));
        agree!(x, |tape, x| tape.sqrt(x[0]));
        agree!(x, |tape, x| tape.powf(x[0], 1.7));
        agree!(x, |tape, x| tape.powf(x[0], -0.4));
    }
    assert_no_reports();
}

#[test]
fn special_numbers() {
    let inputs = [
        0.0,
        -0.0,
        1e-300,
        -1e-300,
        1e-30,
        700.0,
        -700.0,
        90.0,
        -90.0,
        1e30,
        -1e30,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e5,
        -1e5,
    ];
    let x = [Array::vector(inputs)];
    agree!(x, |tape, x| tape.relu(x[0]));
    agree!(x, |tape, x| tape.tanh(x[0]));
    agree!(x, |tape, x| tape.sigmoid(x[0]));
    agree!(x, |tape, x| tape.softplus(x[0]));
    agree!(x, |tape, x| tape.gelu(x[0]));
    agree!(x, |tape, x| tape.powi(x[0], 0));
    agree!(x, |tape, x| tape.powf(x[0], 0.0));
    agree!(x, |tape, x| tape.max(x[0], 0));
    agree!(x, |tape, x| tape.log_softmax(x[0]));
    let x = [Array::vector([1e5, -3e4, 12.5, 100.0])];
    agree!(x, |tape, x| tape.sin(x[0]));
    agree!(x, |tape, x| tape.cos(x[0]));
}

#[test]
fn functions_of_two_elements_with_broadcasting() {
    let pairs: [(&[usize], &[usize]); 11] = [
        (&[], &[]),
        (&[2, 3], &[2, 3]),
        (&[3, 1, 5], &[4, 1]),
        (&[7], &[]),
        (&[], &[2, 3, 4]),
        (&[6, 1, 5, 1], &[1, 4, 1, 3]),
        (&[2, 1, 3, 1, 2, 1], &[2, 1, 3, 1, 2]),
        (&[3000, 7], &[7]),
        (&[7, 1], &[7, 3000]),
        (&[20000], &[1]),
        (&[40, 1, 40], &[1, 3, 1]),
    ];
    for (a, b) in pairs {
        let inputs = [any(a), positive(b)];
        agree!(inputs, |tape, x| tape.add(x[0], x[1]));
        agree!(inputs, |tape, x| tape.sub(x[0], x[1]));
        agree!(inputs, |tape, x| tape.mul(x[0], x[1]));
        agree!(inputs, |tape, x| tape.div(x[0], x[1]));
    }
    agree!([positive(&[300])], |tape, x| {
        let sine = tape.sin(x[0])?;
        let product = tape.mul(x[0], sine)?;
        tape.div(product, x[0])
    });
    assert_no_reports();
}

#[test]
fn sums_and_maxima() {
    let shape = [6, 5, 4, 3];
    for subset in 0..16_usize {
        let axes: Vec<usize> = (0..4).filter(|axis| subset >> axis & 1 == 1).collect();
        agree!([any(&shape)], |tape, x| tape.sum(x[0], &axes, subset % 2 == 0));
    }
    for shape in [&[1][..], &[20000], &[257, 33], &[33, 257], &[4000, 3], &[3, 4000]] {
        for axis in 0..shape.len() {
            agree!([any(shape)], |tape, x| tape.mean(x[0], &[axis], false));
            agree!([any(shape)], |tape, x| tape.max(x[0], axis));
        }
        agree!([any(shape)], |tape, x| tape.mean_all(x[0]));
    }
    // Equal elements: the first counts.
    agree!([Array::new([2, 600], vec![1.0; 1200]).unwrap()], |tape, x| tape.max(x[0], 1));
    assert_no_reports();
}

#[test]
fn moves() {
    let x = [any(&[4, 3, 5, 2])];
    agree!(x, |tape, x| tape.permute(x[0], &[2, 0, 3, 1]));
    agree!(x, |tape, x| tape.permute(x[0], &[3, 2, 1, 0]));
    agree!(x, |tape, x| tape.reshape(x[0], [12, 10]));
    agree!(x, |tape, x| tape.slice(x[0], 2, 1..4));
    agree!(x, |tape, x| tape.slice(x[0], 0, 2..2));
    agree!(x, |tape, x| tape.broadcast_to(x[0], [2, 3, 4, 3, 5, 2]));
    agree!(x, |tape, x| tape.gather(x[0], 1, &[2, 2, 0, 2]));
    agree!(x, |tape, x| tape.gather(x[0], 3, &[1]));
    agree!(x, |tape, x| tape.gather(x[0], 0, &[]));
    agree!([any(&[3, 1])], |tape, x| tape.broadcast_to(x[0], [500, 3, 40]));
    agree!([any(&[50, 60])], |tape, x| tape.permute(x[0], &[1, 0]));
    let picked: Vec<usize> = (0..2000).map(|i| i * i % 300).collect();
    agree!([any(&[300, 3])], |tape, x| tape.gather(x[0], 0, &picked));
    let inputs = [any(&[2, 3, 4]), any(&[2, 5, 4])];
    agree!(inputs, |tape, x| tape.concat(&[x[0], x[1], x[0]], 1));
    agree!([any(&[7]), any(&[2000])], |tape, x| tape.concat(x, 0));
    assert_no_reports();
}

#[test]
fn selections_softmax_and_losses() {
    let mask = |shape: &[usize]| {
        let data = any(shape).data().iter().map(|x| *x > 0.0).collect();
        Array::new(shape, data).unwrap()
    };
    agree!([any(&[3, 1, 5]), any(&[4, 1])], |tape, x| tape.select(&mask(&[4, 5]), x[0], x[1]));
    agree!([any(&[2000, 2]), any(&[])], |tape, x| tape.select(&mask(&[2000, 1]), x[0], x[1]));
    for shape in [&[1][..], &[3, 1], &[40, 3], &[300, 10], &[2, 3000], &[33, 33]] {
        agree!([any(shape)], |tape, x| tape.log_softmax(x[0]));
        agree!([any(shape), positive(shape)], |tape, x| tape.mse(x[0], x[1]));
        agree!([any(shape), positive(shape)], |tape, x| tape.relative_l2(x[0], x[1]));
        let mask = mask(shape);
        agree!([any(shape), positive(shape)], |tape, x| tape.masked_mse(x[0], x[1], &mask));
    }
    let targets: Vec<usize> = (0..300).map(|i| i % 10).collect();
    agree!([any(&[300, 10])], |tape, x| tape.cross_entropy(x[0], &targets));
    assert_no_reports();
}

#[test]
fn a_function_evaluated_elsewhere() {
    let (value, jacobian) = (any(&[40, 2]), any(&[40, 2, 3]));
    let round = |array: &Array<f64>| {
        Array::new(array.shape(), array.data().iter().map(|x| *x as f32).collect()).unwrap()
    };
    let x = [positive(&[40, 3])];
    let on_cpu = forward_backward(&Cpu, &x, |tape: &mut Tape<f64>, x| {
        tape.rowwise(x[0], value.clone(), jacobian.clone())
    });
    let on_cuda = forward_backward(cuda(), &x, |tape: &mut Tape<f64, Cuda>, x| {
        tape.rowwise(x[0], value.clone(), jacobian.clone())
    });
    compare("rowwise", &on_cpu, &on_cuda, 1e-12);
    let (value, jacobian) = (round(&value), round(&jacobian));
    let on_cpu = forward_backward(&Cpu, &x, |tape: &mut Tape<f32>, x| {
        tape.rowwise(x[0], value.clone(), jacobian.clone())
    });
    let on_cuda = forward_backward(cuda(), &x, |tape: &mut Tape<f32, Cuda>, x| {
        tape.rowwise(x[0], value.clone(), jacobian.clone())
    });
    compare("rowwise", &on_cpu, &on_cuda, 1e-5);
    assert_no_reports();
}

/// More independent axes than the kernels walk over.
#[test]
fn too_many_axes_are_refused() {
    let mut tape = Tape::<f64, Cuda>::on(cuda().clone());
    let x = tape.leaf(any(&[2; 7]));
    let message = tape.permute(x, &[6, 5, 4, 3, 2, 1, 0]).unwrap_err().to_string();
    assert!(message.contains("7 axes") && message.contains("at most 6"), "{message}");
    let y = tape.permute(x, &[6, 0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(tape.value(y).unwrap().len(), 128);
}
