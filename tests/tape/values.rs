//! The tape on every backend: values, misuse, memory.

use crate::support::backends::on_every_backend;
use approx::assert_abs_diff_eq;
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Error, Result};

on_every_backend!(
    moves_put_elements_where_numpy_does,
    matmul_folds_and_broadcasts_batches,
    a_large_product_agrees_with_its_definition,
    gradients_of_products_do_not_depend_on_what_their_memory_held,
    reductions_and_losses_have_their_value,
    extreme_inputs_neither_overflow_nor_lose_nan,
    a_masked_target_may_be_nan,
    misuse_is_told_with_names_and_sizes,
    a_variable_of_another_record_is_refused,
    constants_have_no_gradient_and_unused_leaves_none,
    empty_arrays_pass_through,
    f32_agrees_with_f64,
);

fn array(shape: &[usize], data: &[f64]) -> Array<f64> {
    Array::new(shape, data.to_vec()).unwrap()
}

/// 0, 1, 2, … in this shape.
fn count(shape: &[usize]) -> Array<f64> {
    let size = shape.iter().product();
    Array::new(shape, (0..size).map(|i: usize| i as f64).collect()).unwrap()
}

fn value<B: Backend>(tape: &Tape<f64, B>, var: Result<Var>) -> Array<f64> {
    tape.value(var.unwrap()).unwrap().clone()
}

fn moves_put_elements_where_numpy_does<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.constant(count(&[2, 3]));
    let y = tape.permute(x, &[1, 0]);
    assert_eq!(value(&tape, y), array(&[3, 2], &[0., 3., 1., 4., 2., 5.]));
    let y = tape.slice(x, 1, 1..3);
    assert_eq!(value(&tape, y), array(&[2, 2], &[1., 2., 4., 5.]));
    let y = tape.gather(x, 1, &[2, 2, 0]);
    assert_eq!(value(&tape, y), array(&[2, 3], &[2., 2., 0., 5., 5., 3.]));
    let z = tape.constant(array(&[2, 1], &[8., 9.]));
    let y = tape.concat(&[x, z], 1);
    assert_eq!(value(&tape, y), array(&[2, 4], &[0., 1., 2., 8., 3., 4., 5., 9.]));
    let y = tape.broadcast_to(z, [2, 2, 2]);
    assert_eq!(value(&tape, y), array(&[2, 2, 2], &[8., 8., 9., 9., 8., 8., 9., 9.]));
    let y = tape.reshape(x, [3, 2]);
    assert_eq!(value(&tape, y), count(&[3, 2]));
}

/// Gradients of products with operands that are in one product, in several, on both sides, and repeated along a batch.
fn gradients_of_products<B: Backend>(
    tape: &mut Tape<f64, B>,
    [m, k, n]: [usize; 3],
    scale: f64,
) -> Vec<Vec<f64>> {
    tape.clear();
    let mut leaf = |shape: &[usize]| {
        let numbers = (0..shape.iter().product()).map(|i: usize| scale * (1.0 + i as f64).sin());
        tape.leaf(Array::new(shape, numbers.collect()).unwrap())
    };
    let leaves = [leaf(&[m, k]), leaf(&[k, k]), leaf(&[k, n]), leaf(&[2, m, k]), leaf(&[1, k, n])];
    let [x, square, w, many, one] = leaves;
    let twice = tape.matmul(x, square).and_then(|y| tape.matmul(y, square));
    let products = [
        twice.and_then(|y| tape.matmul(y, w)),
        tape.matmul(square, square),
        tape.matmul(many, one),
    ];
    let [a, b, c] = products.map(|product| tape.sum_all(product.unwrap()).unwrap());
    let sum = tape.add(a, b).and_then(|sum| tape.add(sum, c)).unwrap();
    let gradients = tape.backward(sum).unwrap();
    let found = leaves.map(|leaf| gradients.value(leaf).unwrap().data().to_vec());
    tape.recycle(gradients);
    found.into()
}

fn gradients_of_products_do_not_depend_on_what_their_memory_held<B: Backend>(backend: &B) {
    for sizes in [[0, 3, 2], [5, 4, 3], [20, 24, 17], [70, 40, 33]] {
        let mut tape = Tape::on(backend.clone());
        let first = gradients_of_products(&mut tape, sizes, 1.0);
        let [m, k, n] = sizes;
        assert!(m > 0 || first[2] == vec![0.0; k * n], "the sum of nothing");
        let nan = gradients_of_products(&mut tape, sizes, f64::NAN);
        assert!(nan.iter().flatten().any(|x| x.is_nan()));
        assert_eq!(gradients_of_products(&mut tape, sizes, 1.0), first, "{sizes:?}");
    }
}

fn matmul_folds_and_broadcasts_batches<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let a = tape.constant(count(&[2, 1, 2]));
    let b = tape.constant(array(&[2, 2], &[1., 2., 3., 4.]));
    let y = tape.matmul(a, b);
    assert_eq!(value(&tape, y), array(&[2, 1, 2], &[3., 4., 11., 16.]));
    let y = tape.matmul(b, b);
    assert_eq!(value(&tape, y), array(&[2, 2], &[7., 10., 15., 22.]));
    let c = tape.constant(count(&[3, 2, 1]));
    let y = tape.matmul(b, c);
    assert_eq!(value(&tape, y), array(&[3, 2, 1], &[2., 4., 8., 18., 14., 32.]));
}

fn a_large_product_agrees_with_its_definition<B: Backend>(backend: &B) {
    let (m, k, n) = (300, 70, 90);
    let element = |i: usize| ((i * 7919) % 101) as f64 - 50.0;
    let of = |rows: usize, columns: usize| {
        array(&[rows, columns], &(0..rows * columns).map(element).collect::<Vec<_>>())
    };
    let (a, b) = (of(m, k), of(k, n));
    let mut tape = Tape::on(backend.clone());
    let (x, y) = (tape.constant(a.clone()), tape.constant(b.clone()));
    let product = tape.matmul(x, y);
    let product = value(&tape, product);
    for (i, j) in [(0, 0), (127, 89), (128, 0), (299, 45)] {
        let exact: f64 = (0..k).map(|l| a.data()[i * k + l] * b.data()[l * n + j]).sum();
        assert_eq!(product.data()[i * n + j], exact); // whole numbers: no rounding
    }
}

fn reductions_and_losses_have_their_value<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.constant(count(&[2, 3]));
    let y = tape.sum(x, &[0], false);
    assert_eq!(value(&tape, y), array(&[3], &[3., 5., 7.]));
    let y = tape.mean(x, &[1], true);
    assert_eq!(value(&tape, y), array(&[2, 1], &[1., 4.]));
    let y = tape.max(x, 0);
    assert_eq!(value(&tape, y), array(&[3], &[3., 4., 5.]));
    let y = tape.sum_all(x);
    assert_eq!(value(&tape, y), Array::scalar(15.0));
    let target = tape.constant(array(&[2, 3], &[0., 1., 2., 3., 4., 8.]));
    let y = tape.mse(x, target);
    assert_eq!(value(&tape, y), Array::scalar(1.5));
    let equal = tape.constant(array(&[1, 4], &[5.; 4]));
    let y = tape.cross_entropy(equal, &[2]);
    assert_abs_diff_eq!(value(&tape, y).data()[0], 4_f64.ln(), epsilon = 1e-15);
}

fn extreme_inputs_neither_overflow_nor_lose_nan<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.leaf(array(&[4], &[-1e3, 1e3, f64::NEG_INFINITY, f64::NAN]));
    let y = tape.sigmoid(x);
    assert_eq!(value(&tape, y).data()[..3], [0.0, 1.0, 0.0]);
    let y = tape.softplus(x);
    assert_eq!(value(&tape, y).data()[..3], [0.0, 1e3, 0.0]);
    let y = tape.relu(x);
    let y = value(&tape, y);
    assert_eq!(y.data()[..3], [0.0, 1e3, 0.0]);
    assert!(y.data()[3].is_nan());
    let logits = tape.leaf(array(&[1, 2], &[1e4, -1e4]));
    let loss = tape.cross_entropy(logits, &[1]).unwrap();
    assert_eq!(tape.scalar(loss).unwrap(), 2e4);
    let gradients = tape.backward(loss).unwrap();
    assert_eq!(gradients.value(logits).unwrap().data(), [1.0, -1.0]);
}

fn a_masked_target_may_be_nan<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.leaf(array(&[3], &[1., 2., 3.]));
    let target = tape.constant(array(&[3], &[0., f64::NAN, 1.]));
    let mask = Array::new([3], vec![true, false, true]).unwrap();
    let loss = tape.masked_mse(x, target, &mask).unwrap();
    assert_eq!(tape.scalar(loss).unwrap(), 2.5);
    let gradients = tape.backward(loss).unwrap();
    assert_eq!(gradients.value(x).unwrap().data(), [1.0, 0.0, 2.0]);
    let nowhere = Array::new([3], vec![false; 3]).unwrap();
    let loss = tape.masked_mse(x, target, &nowhere).unwrap();
    assert_eq!(tape.scalar(loss).unwrap(), 0.0);
}

fn misuse_is_told_with_names_and_sizes<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.leaf(count(&[2, 3]));
    let y = tape.leaf(count(&[2]));
    let message = |result: Result<Var>| result.unwrap_err().to_string();
    assert_eq!(
        message(tape.add(x, y)),
        "b: expected shape one that broadcasts with [2, 3], got [2]"
    );
    assert_eq!(
        message(tape.matmul(x, x)),
        "b: expected shape (…, 3, N) for a of [2, 3], got [2, 3]"
    );
    assert_eq!(
        message(tape.matmul(x, y)),
        "b: expected shape a matrix (…, rows, columns), got [2]"
    );
    assert_eq!(message(tape.sum(x, &[2], false)), "axes: expected shape an axis 2, got [2, 3]");
    assert_eq!(message(tape.max(y, 1)), "axis: expected shape an axis 1, got [2]");
    assert_eq!(
        message(tape.reshape(x, [4])),
        "x: expected shape as many elements as [4], got [2, 3]"
    );
    assert!(tape.reshape(x, [usize::MAX, 6]).is_err());
    assert_eq!(
        message(tape.permute(x, &[0, 0])),
        "axes: [0, 0] is not a permutation of the axes of [2, 3]"
    );
    assert_eq!(
        message(tape.slice(x, 1, 2..4)),
        "range: 2..4 is not a range within the axis of length 3"
    );
    assert_eq!(message(tape.gather(x, 1, &[3])), "indices: 3 is beyond the axis 1 of [2, 3]");
    assert_eq!(message(tape.concat(&[], 0)), "inputs: at least one is needed");
    assert!(tape.concat(&[x, y], 0).is_err());
    assert!(tape.broadcast_to(x, [3]).is_err());
    assert!(tape.broadcast_to(y, [usize::MAX, usize::MAX, 2]).is_err());
    assert!(tape.mse(x, y).is_err());
    assert_eq!(message(tape.cross_entropy(x, &[0, 3])), "targets: class 3 of 3");
    assert!(tape.cross_entropy(x, &[0]).is_err());
    let mask = Array::new([5], vec![true; 5]).unwrap();
    assert!(tape.select(&mask, x, x).is_err());
    assert!(tape.masked_mse(x, x, &mask).is_err());
    assert!(matches!(tape.backward(x), Err(Error::Shape { .. })));
    assert!(tape.backward_from(x, &count(&[6])).is_err());
}

fn a_variable_of_another_record_is_refused<B: Backend>(backend: &B) {
    let (mut tape, mut other) = (Tape::on(backend.clone()), Tape::on(backend.clone()));
    let x = tape.leaf(Array::scalar(1.0));
    let y = other.leaf(Array::scalar(1.0));
    assert!(tape.add(x, y).is_err());
    tape.clear();
    assert!(tape.value(x).is_err());
    assert!(tape.tanh(x).is_err());
}

fn constants_have_no_gradient_and_unused_leaves_none<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let (x, c) = (tape.leaf(Array::scalar(2.0)), tape.constant(Array::scalar(3.0)));
    let unused = tape.leaf(Array::scalar(5.0));
    let y = tape.mul(x, c).unwrap();
    let gradients = tape.backward(y).unwrap();
    assert_eq!(gradients.value(x).unwrap(), &Array::scalar(3.0));
    assert!(gradients.value(c).is_err());
    assert!(gradients.value(unused).is_err());
    assert!(gradients.value(y).is_err());
    let from_constant = tape.backward(c).unwrap();
    assert!(from_constant.value(x).is_err());
}

fn empty_arrays_pass_through<B: Backend>(backend: &B) {
    let mut tape = Tape::on(backend.clone());
    let x = tape.leaf(count(&[0, 3]));
    let w = tape.constant(count(&[3, 2]));
    let y = tape.matmul(x, w).unwrap();
    let y = tape.concat(&[y, y], 0).unwrap();
    let y = tape.log_softmax(y).unwrap();
    let y = tape.permute(y, &[1, 0]).unwrap();
    assert_eq!(tape.shape(y).unwrap(), [2, 0]);
    let sum = tape.sum_all(y).unwrap();
    assert_eq!(tape.backward(sum).unwrap().value(x).unwrap().shape(), [0, 3]);
    let inner = tape.constant(count(&[2, 0]));
    let outer = tape.constant(count(&[0, 2]));
    let zero = tape.matmul(inner, outer);
    assert_eq!(value(&tape, zero), array(&[2, 2], &[0.0; 4]));
}

fn f32_agrees_with_f64<B: Backend>(backend: &B) {
    let data = [0.3, -1.2, 0.8, 2.0];
    let run = |tape: &mut Tape<f32, B>| {
        let x = tape.leaf(Array::vector(data.map(|x| x as f32)));
        let y = tape.gelu(x).unwrap();
        let sum = tape.sum_all(y).unwrap();
        tape.backward(sum).unwrap().value(x).unwrap().data().to_vec()
    };
    let single = run(&mut Tape::on(backend.clone()));
    let mut tape = Tape::<f64, B>::on(backend.clone());
    let x = tape.leaf(Array::vector(data));
    let y = tape.gelu(x).unwrap();
    let sum = tape.sum_all(y).unwrap();
    let gradients = tape.backward(sum).unwrap();
    for (single, double) in single.iter().zip(gradients.value(x).unwrap().data()) {
        assert_abs_diff_eq!(f64::from(*single), *double, epsilon = 1e-6);
    }
}
