//! Solutions and gradients are the same bits with every set of instructions.

use super::*;
use crate::backend::cpu::lanes::choose_all;
use crate::options::{Factorization, Formulation, Smoothness};
use crate::problem::View;

/// A problem whose solution and gradients are computed.
#[derive(Clone, Copy)]
struct Case<'a> {
    problem: &'a Problem<'a, f64>,
    options: &'a Options,
    cotangent: &'a [f64],
}

impl Choice for Case<'_> {
    type Output = Vec<u64>;
    fn with<V: Vector>(self) -> Vec<u64> {
        let Case { problem, options, cotangent } = self;
        let mut batch = Batch::<V, f64>::new(problem.shape(), options).unwrap();
        let mut solution = Solution::allocate(problem.shape()).unwrap();
        batch.solve(problem, &mut solution).unwrap();
        assert!(
            solution.status.iter().all(|status| status.is_ok()),
            "{options:?}: {:?}",
            solution.status
        );
        let cotangent = Cotangent { values: cotangent, epsilon: None };
        let gradients = batch.vjp(problem, &cotangent, &solution.status).unwrap();
        let Weights { equation, initial, smoothness, periodic } = gradients.weights;
        let mut numbers = vec![equation, initial, smoothness, periodic];
        for values in gradients.inputs.as_ref() {
            numbers.extend(values);
        }
        numbers.extend(solution.values.iter().chain(&solution.epsilon));
        numbers.into_iter().map(f64::to_bits).collect()
    }
}

#[test]
fn all_instructions_find_the_same_solutions_and_gradients() {
    let taylor = Options {
        smoothness: Smoothness::TaylorHold,
        refinement_steps: Some(0),
        ..Options::default()
    };
    let hermite = Options::default();
    let cases = [
        (1, 2, taylor),
        (1, 1, hermite),
        (3, 1, taylor),
        (2, 3, hermite),
        (1, 4, taylor),
        (1, 2, Options { smoothness: Smoothness::TaylorCentral, ..hermite }),
        (
            2,
            2,
            Options { formulation: Formulation::SharedSlack { gamma: 1.0, alpha: 1e-3 }, ..taylor },
        ),
        (1, 2, Options { periodic: true, ..taylor }),
        (2, 1, Options { factorization: Factorization::SquareRoot, ..hermite }),
    ];
    // The last tile has surplus lanes, and a range of points ends before the last point.
    let (batch, points) = (11, 37);
    for (states, order, options) in cases {
        // No row is a combination of others, as those of a sine at equal distances are.
        let number = |i: usize| (i as f64 * i as f64 * 0.37).sin();
        let numbers = |count: usize| (0..count).map(number).collect::<Vec<_>>();
        let shapes = [
            &[batch, points, states, states, order + 1][..],
            &[1, points, states],
            &[batch, 1, states, order],
            &[batch, points - 1, 1],
        ];
        let [coefficients, rhs, initial, mut steps] =
            shapes.map(|axes| numbers(axes.iter().product()));
        for step in &mut steps {
            *step = 0.1 + 0.02 * *step;
        }
        let problem = Problem::builder()
            .batch(batch)
            .points(points)
            .coefficients(View::new(shapes[0], &coefficients))
            .rhs(View::new(shapes[1], &rhs))
            .initial_values(View::new(shapes[2], &initial))
            .steps(View::new(shapes[3], &steps))
            .build()
            .unwrap();
        let cotangent = numbers(problem.shape().solution().iter().product());
        let case = Case { problem: &problem, options: &options, cotangent: &cotangent };
        let found = choose_all(case);
        assert!(found.iter().all(|bits| *bits == found[0]), "{states} states, order {order}");
    }
}
