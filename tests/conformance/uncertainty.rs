//! How far a solution can be trusted: the error estimate against the true error. (The variances
//! are tested with the solver, against the inverse of the dense reference.)

use super::Subject;
use crate::support::known::{KnownProblem, PROBLEMS, graded, uniform};
use approx::assert_abs_diff_eq;
use mechanistic::{Options, Problem, Real, Smoothness, View};

/// Estimated over true error, for the four problems on 21, 41 and 81 points.
fn ratios(
    subject: &Subject,
    extra: usize,
    options: &Options,
    grid: impl Fn(usize) -> Vec<f64>,
) -> Vec<f64> {
    let ratio = |problem: &KnownProblem, points: usize| {
        let times = grid(points);
        let compare = |linear: &Problem<'_, f64>| {
            let mut solver = subject.solver(linear.shape(), options);
            let error = problem.largest_error(&times, &solver.solve(linear)?.values);
            Ok(solver.error_estimate(linear)?[0] / error)
        };
        problem.at(&times, extra, compare).unwrap()
    };
    PROBLEMS.iter().flat_map(|problem| [21, 41, 81].map(|points| ratio(problem, points))).collect()
}

pub fn the_estimate_is_within_a_factor_of_ten_of_the_true_error(subject: &Subject) {
    let irregular = |points| graded(points, |t| [1.0, 3.0, 1.5, 2.0][t % 4]);
    let families =
        Smoothness::ALL.iter().flat_map(|&family| [(family, 0), (family, 1), (family, 2)]);
    for (smoothness, extra) in families.rev().step_by(subject.one_in as usize) {
        let options = Options { smoothness, ..Options::default() };
        let mut all = ratios(subject, extra, &options, uniform);
        all.extend(ratios(subject, extra, &options, irregular));
        println!("{smoothness:?} + {extra}: {all:.2?}");
        assert!(all.iter().all(|ratio| (0.1..=10.0).contains(ratio)), "{smoothness:?}");
    }
}

pub fn variances_in_single_precision_are_those_of_double(subject: &Subject) {
    fn variances<T: Real>(subject: &Subject, options: &Options) -> Vec<f64> {
        let of = |values: &[f64]| values.iter().map(|&value| T::of(value)).collect::<Vec<T>>();
        let data = [&[1.0, 0.5, 1.0][..], &[0.25], &[1.0, 0.0], &[0.125]].map(of);
        let problem = Problem::builder()
            .points(30)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
            .rhs(View::new(&[1, 1, 1], &data[1]))
            .initial_values(View::new(&[1, 1, 1, 2], &data[2]))
            .steps(View::new(&[1, 1], &data[3]))
            .build()
            .and_then(|problem| problem.with_extra_derivatives(1))
            .unwrap();
        let mut solver = subject.solver::<T>(problem.shape(), options);
        solver.solve(&problem).unwrap();
        solver.variances(&problem).unwrap().iter().map(|value| value.to_double()).collect()
    }
    for smoothness in Smoothness::ALL {
        let options = Options { smoothness, ..Options::default() };
        let double = variances::<f64>(subject, &options);
        for (single, double) in variances::<f32>(subject, &options).iter().zip(&double) {
            assert_abs_diff_eq!(single / double, 1.0, epsilon = 1e-3);
        }
    }
}

pub fn a_system_that_was_not_solved_has_no_estimate_and_no_variances(subject: &Subject) {
    let coefficients = [1.0, 1.0, f64::NAN, 1.0, 1.0, 1.0];
    let problem = Problem::builder()
        .batch(3)
        .points(5)
        .coefficients(View::new(&[3, 1, 1, 1, 2], &coefficients))
        .rhs(View::new(&[1, 1, 1], &[0.0]))
        .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
        .steps(View::new(&[1, 1], &[0.1]))
        .build()
        .unwrap();
    let mut solver = subject.solver::<f64>(problem.shape(), &Options::default());
    assert!(solver.error_estimate(&problem).is_err());
    assert!(solver.variances(&problem).is_err());
    solver.solve(&problem).unwrap();
    for (system, estimate) in solver.error_estimate(&problem).unwrap().iter().enumerate() {
        assert_eq!(estimate.is_nan(), system == 1);
    }
    for (system, variances) in solver.variances(&problem).unwrap().chunks(10).enumerate() {
        assert!(variances.iter().all(|value| value.is_nan() == (system == 1)));
        assert!(system == 1 || variances.iter().all(|&value| value > 0.0));
    }
}
