//! How far a solution can be trusted: the error estimate against the true error. (The variances
//! are tested with the solver, against the inverse of the dense reference.)

#[path = "support/known.rs"]
mod known;

use known::{PROBLEMS, graded, uniform};
use mechanistic::{Options, Smoothness, Solver};

/// Estimated over true error.
fn ratios(extra: usize, options: &Options, grid: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
    let mut ratios = Vec::new();
    for problem in &PROBLEMS {
        for points in [21, 41, 81] {
            let times = grid(points);
            let (error, estimate) = problem
                .at(&times, extra, |linear| {
                    let mut solver = Solver::new(linear.shape(), options)?;
                    let error = problem.largest_error(&times, &solver.solve(linear)?.values);
                    Ok((error, solver.error_estimate(linear)?[0]))
                })
                .unwrap();
            println!("{}, {points} points: {error:.1e}, {estimate:.1e}", problem.name);
            ratios.push(estimate / error);
        }
    }
    ratios
}

#[test]
fn the_estimate_is_within_a_factor_of_ten_of_the_true_error() {
    let irregular = |points| graded(points, |t| [1.0, 3.0, 1.5, 2.0][t % 4]);
    for (smoothness, extra) in [
        (Smoothness::Hermite, 1),
        (Smoothness::Hermite, 0),
        (Smoothness::Hermite, 2),
        (Smoothness::Taylor, 0),
        (Smoothness::TaylorHold, 0),
        (Smoothness::TaylorCentral, 0),
    ] {
        let options = Options { smoothness, ..Options::default() };
        println!("{smoothness:?} +{extra}");
        let mut all = ratios(extra, &options, uniform);
        println!("irregular");
        all.extend(ratios(extra, &options, irregular));
        println!("{all:.1?}");
    }
}
