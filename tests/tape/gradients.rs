//! Every operation of the tape against central differences, in f64, over random shapes.

use mechanistic::Result;
use mechanistic::tape::{Array, Tape, Var};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// An operation on some inputs, as a function of a tape.
type Build<'a> = &'a dyn Fn(&mut Tape<f64>, &[Var]) -> Result<Var>;

/// Compares the gradients of Σ (1 + sin-weighted) y with central differences for every element.
fn check(inputs: &[Array<f64>], build: Build) -> std::result::Result<(), TestCaseError> {
    let weigh = |inputs: &[Array<f64>], tape: &mut Tape<f64>| -> (Var, Vec<Var>) {
        let leaves: Vec<Var> = inputs.iter().map(|input| tape.leaf(input.clone())).collect();
        let y = build(tape, &leaves).unwrap();
        let shape = tape.shape(y).unwrap().to_vec();
        let count = tape.value(y).unwrap().len();
        let weights = (0..count).map(|i| 1.0 + (1.7 * i as f64).sin()).collect();
        let weights = tape.constant(Array::new(shape, weights).unwrap());
        let product = tape.mul(y, weights).unwrap();
        (tape.sum_all(product).unwrap(), leaves)
    };
    let mut tape = Tape::new();
    let (result, leaves) = weigh(inputs, &mut tape);
    let gradients = tape.backward(result).unwrap();
    for (k, leaf) in leaves.iter().enumerate() {
        let gradient = gradients.of(*leaf).expect("every input has part in the result");
        prop_assert_eq!(gradient.shape(), inputs[k].shape());
        for i in 0..inputs[k].len() {
            let value = |change: f64| {
                let mut changed = inputs.to_vec();
                changed[k].data_mut()[i] += change;
                let mut tape = Tape::new();
                let (result, _) = weigh(&changed, &mut tape);
                tape.scalar(result).unwrap()
            };
            let step = 1e-5;
            let difference = (value(step) - value(-step)) / (2.0 * step);
            let exact = gradient.data()[i];
            prop_assert!(
                (exact - difference).abs() <= 1e-6 * (1.0 + exact.abs()),
                "input {k} element {i}: gradient {exact}, difference {difference}"
            );
        }
    }
    Ok(())
}

/// Arrays of this shape with elements that keep a distance from 0 (kinks, poles).
fn array(shape: Vec<usize>) -> impl Strategy<Value = Array<f64>> {
    let size = shape.iter().product::<usize>();
    let element = prop_oneof![0.2..2.0, -2.0..-0.2];
    prop::collection::vec(element, size)
        .prop_map(move |data| Array::new(shape.clone(), data).unwrap())
}

fn positive(shape: Vec<usize>) -> impl Strategy<Value = Array<f64>> {
    array(shape).prop_map(|mut array| {
        array.data_mut().iter_mut().for_each(|x| *x = x.abs());
        array
    })
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..4, 0..4)
}

/// Two shapes that broadcast: axes set to 1 at random, leading axes cut off at random.
fn broadcasting() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    (shape(), prop::collection::vec(0_usize..4, 4), 0_usize..4, any::<bool>()).prop_map(
        |(full, kinds, cut, swap)| {
            let reduced = |keep: usize| -> Vec<usize> {
                let axes = full.iter().zip(&kinds);
                axes.map(|(&length, &kind)| if kind == keep { 1 } else { length }).collect()
            };
            let (a, b) = (reduced(0), reduced(1));
            let b = b[cut.min(b.len())..].to_vec();
            if swap { (b, a) } else { (a, b) }
        },
    )
}

fn pair() -> impl Strategy<Value = (Array<f64>, Array<f64>)> {
    broadcasting().prop_flat_map(|(a, b)| (array(a), array(b)))
}

/// An array of rank 1 to 3 with one of its axes.
fn array_and_axis() -> impl Strategy<Value = (Array<f64>, usize)> {
    prop::collection::vec(1_usize..4, 1..4)
        .prop_flat_map(|shape| (array(shape.clone()), 0..shape.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn unary_of_any_sign(x in shape().prop_flat_map(array)) {
        let builds: [Build; 17] = [
            &|tape, x| tape.neg(x[0]),
            &|tape, x| tape.scale(x[0], -1.3),
            &|tape, x| tape.shift(x[0], 0.7),
            &|tape, x| tape.relu(x[0]),
            &|tape, x| tape.tanh(x[0]),
            &|tape, x| tape.sigmoid(x[0]),
            &|tape, x| tape.softplus(x[0]),
            &|tape, x| tape.gelu(x[0]),
            &|tape, x| tape.sin(x[0]),
            &|tape, x| tape.cos(x[0]),
            &|tape, x| tape.exp(x[0]),
            &|tape, x| tape.square(x[0]),
            &|tape, x| tape.reciprocal(x[0]),
            &|tape, x| tape.powi(x[0], 3),
            &|tape, x| tape.powi(x[0], -2),
            &|tape, x| tape.powi(x[0], 1),
            &|tape, x| tape.powi(x[0], 0),
        ];
        for build in builds {
            check(std::slice::from_ref(&x), build)?;
        }
    }

    #[test]
    fn unary_of_positive(x in shape().prop_flat_map(positive)) {
        let builds: [Build; 4] = [
            &|tape, x| tape.ln(x[0]),
            &|tape, x| tape.sqrt(x[0]),
            &|tape, x| tape.powf(x[0], 1.7),
            &|tape, x| tape.powf(x[0], -0.4),
        ];
        for build in builds {
            check(std::slice::from_ref(&x), build)?;
        }
    }

    #[test]
    fn binary_with_broadcasting((a, b) in pair()) {
        let builds: [Build; 4] = [
            &|tape, x| tape.add(x[0], x[1]),
            &|tape, x| tape.sub(x[0], x[1]),
            &|tape, x| tape.mul(x[0], x[1]),
            &|tape, x| tape.div(x[0], x[1]),
        ];
        for build in builds {
            check(&[a.clone(), b.clone()], build)?;
        }
    }

    #[test]
    fn an_input_used_twice(x in shape().prop_flat_map(array)) {
        check(&[x], &|tape, x| {
            let sine = tape.sin(x[0])?;
            let product = tape.mul(x[0], sine)?;
            tape.div(product, x[0])
        })?;
    }

    #[test]
    fn matmul_batched(
        (a, b) in (broadcasting(), 1_usize..4, 1_usize..4, 1_usize..4).prop_flat_map(
            |((lead_a, lead_b), m, k, n)| {
                (array([lead_a, vec![m, k]].concat()), array([lead_b, vec![k, n]].concat()))
            },
        )
    ) {
        check(&[a, b], &|tape, x| tape.matmul(x[0], x[1]))?;
    }

    #[test]
    fn reductions(
        (x, axis) in array_and_axis(), other in 0_usize..3, keep in any::<bool>()
    ) {
        let axes: Vec<usize> = if other < x.shape().len() { vec![axis, other] } else { vec![axis] };
        check(std::slice::from_ref(&x), &|tape, x| tape.sum(x[0], &axes, keep))?;
        check(std::slice::from_ref(&x), &|tape, x| tape.mean(x[0], &axes, keep))?;
        check(std::slice::from_ref(&x), &|tape, x| tape.mean_all(x[0]))?;
        check(&[x], &|tape, x| tape.max(x[0], axis))?;
    }

    #[test]
    fn moves((x, axis) in array_and_axis(), seed in any::<u64>()) {
        let shape = x.shape().to_vec();
        let (length, rank) = (shape[axis], shape.len());
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.rotate_left(seed as usize % rank);
        axes.swap(0, axis);
        let start = seed as usize % length;
        let picked: Vec<usize> = (0..4).map(|i| (seed >> (8 * i)) as usize % length).collect();
        let repeated = [vec![2], shape.clone()].concat();
        let x = std::slice::from_ref(&x);
        check(x, &|tape, x| tape.permute(x[0], &axes))?;
        check(x, &|tape, x| tape.reshape(x[0], [shape.iter().product::<usize>()]))?;
        // Elements outside the slice have gradient 0, which differences confirm.
        check(x, &|tape, x| tape.slice(x[0], axis, start..length))?;
        check(x, &|tape, x| tape.gather(x[0], axis, &picked))?;
        check(x, &|tape, x| tape.broadcast_to(x[0], repeated.clone()))?;
    }

    #[test]
    fn concat_along_any_axis(
        (a, b, axis) in array_and_axis().prop_flat_map(|(a, axis)| {
            let mut shape = a.shape().to_vec();
            shape[axis] += 1;
            (Just(a), array(shape), Just(axis))
        })
    ) {
        check(&[a, b], &|tape, x| tape.concat(&[x[0], x[1], x[0]], axis))?;
    }

    #[test]
    fn select_with_broadcasting((a, b) in pair(), bits in any::<u64>()) {
        let mask = b.data().iter().enumerate().map(|(i, _)| bits >> (i % 64) & 1 == 1).collect();
        let mask = Array::new(b.shape(), mask).unwrap();
        check(&[a, b], &|tape, x| tape.select(&mask, x[0], x[1]))?;
    }

    #[test]
    fn softmax_and_losses(
        (x, target) in shape().prop_flat_map(|shape| {
            let shape = [shape, vec![3]].concat();
            (array(shape.clone()), array(shape))
        }),
        bits in any::<u64>()
    ) {
        let rows = x.len() / 3;
        let targets: Vec<usize> = (0..rows).map(|i| (bits >> (i % 60)) as usize % 3).collect();
        let mask = (0..x.len()).map(|i| bits >> (i % 64) & 1 == 1).collect();
        let mask = Array::new(x.shape(), mask).unwrap();
        check(std::slice::from_ref(&x), &|tape, x| tape.log_softmax(x[0]))?;
        check(std::slice::from_ref(&x), &|tape, x| tape.cross_entropy(x[0], &targets))?;
        check(&[x.clone(), target.clone()], &|tape, x| tape.mse(x[0], x[1]))?;
        check(&[x.clone(), target.clone()], &|tape, x| tape.relative_l2(x[0], x[1]))?;
        check(&[x, target], &|tape, x| tape.masked_mse(x[0], x[1], &mask))?;
    }

    #[test]
    fn a_function_evaluated_elsewhere(x in (0_usize..3, 1_usize..4).prop_flat_map(|(rows, inputs)| {
        array(vec![rows + 1, inputs])
    })) {
        // (Σ x², Σ sin x) of each row.
        check(&[x], &|tape, x| {
            let input = tape.value(x[0])?.clone();
            let (rows, inputs) = (input.shape()[0], input.shape()[1]);
            let (mut value, mut jacobian) = (vec![], vec![]);
            for row in input.data().chunks(inputs) {
                value.push(row.iter().map(|x| x * x).sum());
                value.push(row.iter().map(|x| x.sin()).sum());
                jacobian.extend(row.iter().map(|x| 2.0 * x));
                jacobian.extend(row.iter().map(|x| x.cos()));
            }
            let value = Array::new([rows, 2], value)?;
            let jacobian = Array::new([rows, 2, inputs], jacobian)?;
            tape.rowwise(x[0], value, jacobian)
        })?;
    }
}
