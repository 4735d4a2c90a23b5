//! The block-banded solver, its adjoint and its forward mode against a dense reference, over
//! random shapes, broadcast axes, row families, weights and formulations.

use super::Subject;
use crate::support::case::{Case, Owned, Sizes, noise};
use crate::support::close::assert_close;
use crate::support::dense::Dense;
use crate::support::random::case;
use mechanistic::{Cotangent, Factorization, Formulation, Options, Residuals, Smoothness, Weights};
use proptest::prelude::*;

/// The worst condition number in the batch.
pub fn condition(case: &Case) -> f64 {
    (0..case.batch).map(|system| Dense::new(case, system).condition()).fold(0.0, f64::max)
}

/// Runs `check` on the random cases whose weighted rows have at most the condition number `worst`:
/// beyond it the normal equations have too few digits left for a comparison. At least a quarter
/// of the cases must be compared.
pub fn on_random_cases(subject: &Subject, count: u32, worst: f64, check: impl Fn(&Case, f64)) {
    let count = subject.cases(count);
    let compared = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let has_square_root = subject.factorizations().contains(&Factorization::SquareRoot);
    let outcome = runner.run(&case(), |mut case| {
        if !has_square_root && case.options.factorization == Factorization::SquareRoot {
            case.options.factorization = Factorization::Auto;
        }
        let condition = condition(&case);
        if condition < worst {
            compared.set(compared.get() + 1);
            check(&case, condition);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(4 * compared.get() > count, "only {} of {count} cases compared", compared.get());
}

/// Solution, ε, residuals, variances and M⁻¹q of every system.
fn agrees_with_the_dense_reference(subject: &Subject, case: &Case, condition: f64) {
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let solution = solver.solve(&problem).unwrap().clone();
    let residuals = solver.residuals(&problem).unwrap().to_vec();
    let variances = solver.variances(&problem).unwrap().to_vec();
    let (q, of_slack) = (noise(12, solution.values.len()), noise(13, case.batch));
    let of_both = Cotangent { values: &q, epsilon: Some(&of_slack) };
    let inverse = solver.inverse(&problem, &of_both).unwrap();
    assert_eq!(inverse.status, solution.status);
    let tolerance = 1e-13 * condition * condition + 1e-11;
    let size = solution.values.len() / case.batch;
    for system in 0..case.batch {
        assert!(solution.status[system].is_ok(), "{:?}", solution.status);
        let dense = Dense::new(case, system);
        let (values, epsilon) = dense.solve();
        let actual = &solution.values[system * size..][..size];
        assert_close(actual, &values, tolerance, "solution");
        assert_close(&[solution.epsilon[system]], &[epsilon], tolerance, "epsilon");
        let Residuals { equation, initial, smoothness, periodic } = residuals[system];
        let norms = [equation, initial, smoothness, periodic];
        assert_close(&norms, &dense.residuals(&values, epsilon), tolerance, "residuals");
        let variances = &variances[system * size..][..size];
        assert_close(variances, &dense.variances(), tolerance, "variances");
        let (values, epsilon) = dense.inverse(&q[system * size..][..size], of_slack[system]);
        let mut expected = values;
        expected.push(epsilon);
        let mut actual = inverse.values[system * size..][..size].to_vec();
        actual.push(inverse.epsilon[system]);
        assert_close(&actual, &expected, tolerance, "M⁻¹q");
    }
}

pub fn solutions_are_those_of_the_dense_reference(subject: &Subject) {
    on_random_cases(subject, 400, 1e4, |case, condition| {
        agrees_with_the_dense_reference(subject, case, condition);
    });
}

/// ℓ = cotangent · (solution, ε), by the dense reference.
fn loss(case: &Case, cotangent: &[f64], epsilon_cotangent: &[f64]) -> f64 {
    let size = cotangent.len() / case.batch;
    (0..case.batch)
        .map(|system| {
            let (values, epsilon) = Dense::new(case, system).solve();
            let along = &cotangent[system * size..][..size];
            let sum: f64 = values.iter().zip(along).map(|(value, along)| value * along).sum();
            sum + epsilon * epsilon_cotangent[system]
        })
        .sum()
}

pub fn gradients_are_central_differences_of_the_dense_reference(subject: &Subject) {
    on_random_cases(subject, 60, 1e4, |case, condition| {
        let problem = case.problem();
        let mut solver = subject.solver(problem.shape(), &case.options);
        let values = solver.solve(&problem).unwrap().values.len();
        let cotangent = noise(1, values);
        let epsilon = noise(2, case.batch);
        let of_loss = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
        let gradients = solver.vjp(&problem, &of_loss).unwrap();
        let difference = |change: &dyn Fn(&mut Case, f64)| {
            // Five points: the step must be long enough for the rounding of ill-conditioned cases,
            // and three would see their curvature then.
            let step = 1e-5;
            let [up2, up, down, down2] = [2.0, 1.0, -1.0, -2.0].map(|steps| {
                let mut moved = case.clone();
                change(&mut moved, steps * step);
                loss(&moved, &cotangent, &epsilon)
            });
            (8.0 * (up - down) - (up2 - down2)) / (12.0 * step)
        };
        let tolerance = 1e-8 * condition;
        for (input, gradient) in gradients.inputs.as_ref().into_iter().enumerate() {
            // A few of the elements; another few in the next case.
            for index in (0..gradient.len()).step_by(gradient.len() / 4 + 1) {
                let expected = difference(&|case, step| {
                    let inputs: [&mut Owned; 4] = case.inputs.as_mut().into();
                    inputs[input].data[index] += step;
                });
                let what = format!("gradient of input {input} at {index}");
                assert_close(&[gradient[index]], &[expected], tolerance, &what);
            }
        }
        let weights = gradients.weights;
        for (actual, expected) in [
            (weights.equation, difference(&|case, step| case.options.weights.equation += step)),
            (weights.initial, difference(&|case, step| case.options.weights.initial += step)),
            (weights.smoothness, difference(&|case, step| case.options.weights.smoothness += step)),
            (weights.periodic, difference(&|case, step| case.options.weights.periodic += step)),
        ] {
            assert_close(&[actual], &[expected], tolerance, "gradient of a weight");
        }
    });
}

/// cotangent · jvp(tangents) = vjp(cotangent) · tangents.
fn forward_is_the_transpose_of_reverse(subject: &Subject, case: &Case, condition: f64) {
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let values = solver.solve(&problem).unwrap().values.len();
    let directions = case.directions(0);
    let tangents = directions.as_ref().map(|direction| Some(direction.as_slice()));
    let cotangent = noise(10, values);
    let epsilon = noise(11, case.batch);
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let tangent = solver.jvp(&problem, &tangents).unwrap();
    let forward = dot(&tangent.values, &cotangent) + dot(&tangent.epsilon, &epsilon);
    let of_loss = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
    let gradients = solver.vjp(&problem, &of_loss).unwrap();
    let pairs = gradients.inputs.as_ref().zip(directions.as_ref());
    let reverse: f64 = pairs.into_iter().map(|(gradient, along)| dot(gradient, along)).sum();
    let tolerance = 1e-12 * condition * condition + 1e-10;
    assert_close(&[forward], &[reverse], tolerance, "dot product");
}

pub fn forward_mode_is_the_transpose_of_reverse_mode(subject: &Subject) {
    on_random_cases(subject, 300, 1e4, |case, condition| {
        forward_is_the_transpose_of_reverse(subject, case, condition);
    });
}

/// The smallest and the oddest sizes. With more equations than unknowns at a point, the systems are
/// determined whatever the other rows.
pub fn corner_shapes_are_solved_and_differentiated(subject: &Subject) {
    const ALL_SHARED: u32 = (1 << 9) - 1;
    // B, N, K, order, (I, J), shared axes.
    let sizes = [
        (1, 2, 1, 1, (0, 0), 0),
        (1, 2, 2, 2, (2, 3), 0),
        (9, 2, 1, 2, (1, 0), 0),
        (1, 3, 1, 1, (0, 1), 0),
        (3, 3, 2, 2, (3, 3), 0),
        (1, 6, 1, 1, (6, 2), 0),
        (2, 4, 5, 2, (1, 2), 0),
        (3, 4, 1, 6, (1, 6), 0),
        (100, 4, 2, 2, (1, 2), ALL_SHARED),
        // Coefficients and steps without a batch axis.
        (18, 4, 2, 2, (1, 2), 0b0010_0001),
        // More points than the CPU brings into its lanes at once.
        (2, 40, 1, 2, (1, 2), 0),
    ];
    let slack = Formulation::SharedSlack { gamma: 0.5, alpha: 0.3 };
    for (batch, points, states, order, initial, shared) in sizes {
        for smoothness in Smoothness::ALL {
            for formulation in [Formulation::LeastSquares, slack] {
                for (periodic, weight) in [(false, 1.0), (true, 1.0), (true, 0.0)] {
                    let weights =
                        Weights { initial: weight, periodic: weight, ..Weights::default() };
                    let options = Options {
                        smoothness,
                        formulation,
                        weights,
                        periodic,
                        ..Options::default()
                    };
                    let equations = states * (order + 1) + 2;
                    let sizes = Sizes {
                        batch,
                        points,
                        states,
                        order,
                        extra: 0,
                        equations,
                        initial,
                        shared,
                    };
                    let case = Case::new(sizes, options, 5);
                    let condition = condition(&case);
                    assert!(condition < 1e4, "{condition:.1e} for {:?}", case.problem().shape());
                    agrees_with_the_dense_reference(subject, &case, condition);
                    forward_is_the_transpose_of_reverse(subject, &case, condition);
                }
            }
        }
    }
}

/// The square root does not square the condition number: random cases that are worse conditioned
/// than Cholesky's factor could bear, without refinement. What the normal equations' condition
/// still multiplies is the residual. A device without it says so.
pub fn the_square_root_has_digits_where_cholesky_has_none(subject: &Subject) {
    on_random_cases(subject, 200, 1e6, |case, condition| {
        let mut case = case.clone();
        case.options.refinement_steps = Some(0);
        let problem = case.problem();
        let Some(mut solver) = subject.square_root_solver(problem.shape(), &case.options) else {
            return;
        };
        let solution = solver.solve(&problem).unwrap();
        let size = solution.values.len() / case.batch;
        for system in 0..case.batch {
            assert!(solution.status[system].is_ok(), "{:?}", solution.status);
            let dense = Dense::new(&case, system);
            let (values, epsilon) = dense.solve();
            let residual = dense.residuals(&values, epsilon).into_iter().fold(0.0, f64::max);
            let tolerance = 1e-14 * condition * (10.0 + condition * residual);
            let actual = &solution.values[system * size..][..size];
            assert_close(actual, &values, tolerance, "solution");
        }
    });
}

/// Everything that f32 returns is that of f64 for the same inputs, to rounding.
pub fn single_precision_agrees_with_double_to_rounding(subject: &Subject) {
    on_random_cases(subject, 200, 1e4, |case, _| {
        let mut single = case.map(|value| value as f32);
        single.options.factorization = Factorization::Auto;
        single.options.refinement_steps = None;
        let double = single.map(f64::from);
        let (problem, single) = (double.problem(), single.problem());
        let mut double_solver = subject.solver::<f64>(problem.shape(), &double.options);
        let mut solver = subject.solver::<f32>(single.shape(), &double.options);

        let expected = &double_solver.solve(&problem).unwrap().values.clone();
        let solution = solver.solve(&single).unwrap();
        assert!(solution.status.iter().all(|status| status.is_ok()), "{:?}", solution.status);
        assert_close(&solution.values, expected, 1e-7, "solution in f32");

        let cotangent = noise::<f32>(1, expected.len());
        let widened: Vec<f64> = cotangent.iter().map(|&value| value.into()).collect();
        let of_double = Cotangent { values: &widened, epsilon: None };
        let of_single = Cotangent { values: &cotangent, epsilon: None };
        let expected = double_solver.vjp(&problem, &of_double).unwrap();
        let actual = solver.vjp(&single, &of_single).unwrap();
        for (actual, expected) in actual.inputs.as_ref().zip(expected.inputs.as_ref()) {
            assert_close(actual, expected, 1e-6, "gradient in f32");
        }
        let expected = double_solver.inverse(&problem, &of_double).unwrap();
        let actual = solver.inverse(&single, &of_single).unwrap();
        assert_close(&actual.values, &expected.values, 1e-6, "M⁻¹q in f32");
    });
}
