//! Digits: u'' + u = 0 over 1000 steps of 0.01, where single precision is said to fail.

use super::Subject;
use crate::support::close::difference;
use mechanistic::{
    Cotangent, Factorization, Gradients, Options, Problem, Real, Smoothness, Solution, Status,
    Tangents, View, Weights,
};

const POINTS: usize = 1000;

/// Of values (N, K, Q), Q.
const DERIVATIVES: usize = 4;

/// P = 4 and 8.
const STATES: [usize; 2] = [1, 2];

struct Outcome<T> {
    solution: Solution<T>,
    gradients: Gradients<T>,
    tangent: Vec<T>,
    /// The step that was solved with.
    step: f64,
}

fn round<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::of(value)).collect()
}

/// Solves so many independent oscillators as one system, and differentiates, with Hermite rows. All
/// inputs are representable in single precision.
fn oscillator<T: Real>(subject: &Subject, states: usize, options: &Options) -> Outcome<T> {
    let step = f64::from(0.01_f32);
    let mut coefficients = vec![0.0; states * states * 3];
    for state in 0..states {
        coefficients[(state * states + state) * 3..][..3].copy_from_slice(&[1.0, 0.0, 1.0]);
    }
    let initial = [0.0, 1.0].repeat(states);
    let data = [&coefficients[..], &vec![0.0; states], &initial, &[step]].map(round::<T>);
    let coefficients = [1, 1, states, states, 3];
    let (rhs, initial) = ([1, 1, states], [1, 1, states, 2]);
    let problem = Problem::builder()
        .points(POINTS)
        .coefficients(View::new(&coefficients, &data[0]))
        .rhs(View::new(&rhs, &data[1]))
        .initial_values(View::new(&initial, &data[2]))
        .steps(View::new(&[1, 1], &data[3]))
        .build()
        .and_then(|problem| problem.with_extra_derivatives(1))
        .unwrap();
    let mut solver = subject.solver(problem.shape(), options);
    let solution = solver.solve(&problem).unwrap().clone();
    // A smooth loss of u and u'.
    let cotangent: Vec<f64> = (0..POINTS * states * DERIVATIVES)
        .map(|at| match at % DERIVATIVES {
            0 => (at as f64 * 0.001).cos(),
            1 => 0.25,
            _ => 0.0,
        })
        .collect();
    let cotangent = round::<T>(&cotangent);
    let gradients =
        solver.vjp(&problem, &Cotangent { values: &cotangent, epsilon: None }).unwrap().clone();
    let direction = round::<T>(&[0.5, 0.25, -1.0].repeat(states * states));
    let tangents = Tangents { coefficients: Some(&direction), ..Tangents::default() };
    let tangent = solver.jvp(&problem, &tangents).unwrap().values.clone();
    Outcome { solution, gradients, tangent, step }
}

/// Largest error of u.
fn error<T: Real>(outcome: &Outcome<T>) -> f64 {
    let u = outcome.solution.values.iter().step_by(DERIVATIVES);
    let states = outcome.solution.values.len() / (POINTS * DERIVATIVES);
    u.enumerate().fold(0.0, |worst: f64, (at, u)| {
        let time = (at / states) as f64 * outcome.step;
        let error = (u.to_double() - time.sin()).abs();
        assert!(error.is_finite());
        worst.max(error)
    })
}

pub fn double_precision_by_default_has_nine_digits(subject: &Subject) {
    for states in STATES {
        let error = error(&oscillator::<f64>(subject, states, &Options::default()));
        assert!(error <= 1e-9, "{error:e}");
    }
}

pub fn single_precision_by_default_is_exact_to_rounding(subject: &Subject) {
    for states in STATES {
        let outcome = oscillator::<f32>(subject, states, &Options::default());
        assert_eq!(outcome.solution.status, [Status::Ok]);
        let error = error(&outcome);
        println!("{states} states: {error:.1e}");
        assert!(error <= 1.2e-7, "{error:e}");
    }
}

pub fn unrefined_solutions_have_the_digits_of_their_factorization(subject: &Subject) {
    for states in STATES {
        let unrefined = |factorization| {
            let options =
                Options { factorization, refinement_steps: Some(0), ..Options::default() };
            oscillator::<f32>(subject, states, &options)
        };
        for &factorization in subject.factorizations() {
            let (error, most) = match factorization {
                Factorization::SquareRoot => (error(&unrefined(factorization)), 1.2e-7),
                _ => (error(&unrefined(factorization)), 1e-6),
            };
            println!("{states} states, {factorization:?}, not refined: {error:.1e}");
            assert!(error <= most, "{factorization:?}: {error:e}");
        }
    }
}

pub fn derivatives_in_single_precision_are_those_of_double(subject: &Subject) {
    for states in STATES {
        let single = oscillator::<f32>(subject, states, &Options::default());
        let double = oscillator::<f64>(subject, states, &Options::default());
        let (actual, expected) = (&single.gradients, &double.gradients);
        for (name, actual, expected) in [
            ("coefficients", &actual.inputs.coefficients, &expected.inputs.coefficients),
            ("rhs", &actual.inputs.rhs, &expected.inputs.rhs),
            ("initial_values", &actual.inputs.initial_values, &expected.inputs.initial_values),
            ("steps", &actual.inputs.steps, &expected.inputs.steps),
        ] {
            let difference = difference(actual, expected);
            println!("gradient of {name}: {difference:.1e}");
            assert!(difference <= 1e-6, "{name}: {difference:e}");
        }
        assert!(difference(&single.tangent, &double.tangent) <= 1e-6);
    }
}

/// No false alarm and no lost digit, from 20 steps to 10 000, for every family of rows.
pub fn long_and_fine_grids_are_solved_in_single_precision(subject: &Subject) {
    fn solve<T: Real>(
        subject: &Subject,
        (points, step): (usize, f64),
        smoothness: Smoothness,
    ) -> Solution<T> {
        let data =
            [&[1.0, 0.1, 1.0][..], &[0.5], &[1.0, 0.0], &[f64::from(step as f32)]].map(round::<T>);
        let problem = Problem::builder()
            .points(points)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
            .rhs(View::new(&[1, 1, 1], &data[1]))
            .initial_values(View::new(&[1, 1, 1, 2], &data[2]))
            .steps(View::new(&[1, 1], &data[3]))
            .build()
            .unwrap();
        let options = Options { smoothness, ..Options::default() };
        let mut solver = subject.solver(problem.shape(), &options);
        solver.solve(&problem).unwrap().clone()
    }
    let grids = [(21, 0.25), (1000, 0.01), (1000, 0.001), (10_000, 0.01)];
    for grid in grids.into_iter().filter(|grid| grid.0 <= subject.most_points) {
        for smoothness in Smoothness::ALL {
            let double = solve::<f64>(subject, grid, smoothness);
            let single = solve::<f32>(subject, grid, smoothness);
            assert_eq!(single.status, [Status::Ok], "{grid:?}, {smoothness:?}");
            let difference = difference(&single.values, &double.values);
            assert!(difference <= 1e-7, "{grid:?}, {smoothness:?}: {difference:e}");
        }
    }
}

/// A unit of time that is a power of two changes no digit of u.
pub fn the_unit_of_time_does_not_matter(subject: &Subject) {
    let solve = |unit: f64| {
        let data = [
            &[1.0 * unit * unit, 0.5 * unit, 1.0][..],
            &[0.5 * unit * unit],
            &[1.0, 0.25 * unit],
            &[0.125 / unit],
        ]
        .map(round::<f32>);
        let problem = Problem::builder()
            .points(41)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
            .rhs(View::new(&[1, 1, 1], &data[1]))
            .initial_values(View::new(&[1, 1, 1, 2], &data[2]))
            .steps(View::new(&[1, 1], &data[3]))
            .build()
            .and_then(|problem| problem.with_extra_derivatives(1))
            .unwrap();
        let mut solver = subject.solver::<f32>(problem.shape(), &Options::default());
        let Solution { values, status, .. } = solver.solve(&problem).unwrap();
        assert_eq!(status, &[Status::Ok], "unit {unit:e}");
        values.iter().copied().step_by(DERIVATIVES).collect::<Vec<f32>>()
    };
    let expected = solve(1.0);
    for exponent in [-25, 25] {
        assert_eq!(solve(2.0_f64.powi(exponent)), expected, "unit 2^{exponent}");
    }
}

/// All weights may be small: what is lost is said, and what is not said to be lost is right.
pub fn weights_near_the_end_of_the_range_are_no_trap(subject: &Subject) {
    for weight in [1e-6, 1e-12, 1e-15, 1e-17, 1e-19, 1e-25] {
        let weights =
            Weights { equation: weight, initial: weight, smoothness: weight, periodic: weight };
        let options = Options { weights, ..Options::default() };
        for states in STATES {
            let outcome = oscillator::<f32>(subject, states, &options);
            match outcome.solution.status[0] {
                Status::Ok => assert!(error(&outcome) <= 1e-6, "{weight:e}: {:e}", error(&outcome)),
                Status::Breakdown { .. } => assert!(weight < 1e-6, "{weight:e}"),
                other => panic!("{weight:e}: {other:?}"),
            }
        }
    }
}
