//! Errors and orders of convergence of the row families on linear ODEs with known solutions.

use crate::support::known::{KnownProblem, PROBLEMS, graded, uniform};
use mechanistic::{Options, RowScaling, Smoothness};

/// Errors of u on 21, 41 and 81 equally spaced points, for each of [`PROBLEMS`].
type Errors = [[f64; 3]; 4];

fn errors(extra: usize, options: &Options) -> Errors {
    PROBLEMS.each_ref().map(|problem| {
        [21, 41, 81].map(|points| problem.error(&uniform(points), extra, options).unwrap())
    })
}

/// Within a fifth of errors measured with an independent prototype.
#[track_caller]
fn assert_errors(actual: &Errors, expected: &Errors) {
    for ((problem, actual), expected) in PROBLEMS.iter().zip(actual).zip(expected) {
        for (actual, expected) in actual.iter().zip(expected) {
            let ratio = actual / expected;
            assert!(
                (0.8..=1.2).contains(&ratio),
                "{}: {actual:.2e} instead of {expected:.1e}",
                problem.name
            );
        }
    }
}

fn taylor() -> Options {
    Options { smoothness: Smoothness::Taylor, ..Options::default() }
}

fn hermite() -> Options {
    Options { smoothness: Smoothness::Hermite, ..Options::default() }
}

#[test]
fn taylor_rows_have_the_errors_of_the_prototype() {
    assert_errors(
        &errors(0, &taylor()),
        &[
            [3.5e-2, 8.3e-3, 2.0e-3],
            [1.6, 6.9e-1, 2.1e-1],
            [2.6e-1, 6.3e-2, 1.6e-2],
            [8.7e-1, 5.0e-1, 1.8e-1],
        ],
    );
    assert_errors(
        &errors(2, &taylor()),
        &[
            [3.4e-4, 1.5e-5, 8.3e-7],
            [1.1e-1, 2.5e-3, 4.1e-5],
            [1.8e-2, 4.5e-4, 2.6e-5],
            [1.9e-1, 3.7e-3, 6.3e-5],
        ],
    );
}

#[test]
fn hermite_rows_have_the_errors_of_the_prototype() {
    assert_errors(
        &errors(0, &hermite()),
        &[
            [8.1e-3, 2.0e-3, 5.1e-4],
            [2.6e-2, 6.5e-3, 1.6e-3],
            [6.8e-2, 1.7e-2, 4.4e-3],
            [1.9e-1, 4.9e-2, 1.2e-2],
        ],
    );
    assert_errors(
        &errors(1, &hermite()),
        &[
            [2.7e-5, 1.7e-6, 1.1e-7],
            [1.8e-4, 1.4e-5, 9.3e-7],
            [7.8e-4, 4.9e-5, 3.0e-6],
            [3.3e-3, 2.1e-4, 1.3e-5],
        ],
    );
    let unit = Options { roughness: 0.01, scaling: RowScaling::Unit, ..hermite() };
    assert_errors(
        &errors(1, &unit),
        &[
            [2.6e-5, 1.6e-6, 9.8e-8],
            [3.0e-4, 1.7e-5, 1.0e-6],
            [7.8e-4, 4.8e-5, 2.9e-6],
            [3.1e-3, 1.9e-4, 1.2e-5],
        ],
    );
}

/// Orders observed between 41 and 161 points.
fn orders(extra: usize, grid: impl Fn(usize) -> Vec<f64>) -> [f64; 4] {
    PROBLEMS.each_ref().map(|problem: &KnownProblem| {
        let [coarse, fine] =
            [41, 161].map(|points| problem.error(&grid(points), extra, &hermite()).unwrap());
        let order = (coarse / fine).log2() / 2.0;
        println!("{}: {coarse:.2e} to {fine:.2e}, order {order:.2}", problem.name);
        order
    })
}

#[test]
fn hermite_rows_with_an_extra_derivative_are_of_fourth_order() {
    assert!(orders(1, uniform).iter().all(|&order| order >= 3.8));
    // Steps that grow and shrink smoothly by a factor of 3.
    let smooth = |points| {
        let phase = std::f64::consts::TAU / points as f64;
        graded(points, |t| 1.0 + 0.5 * (phase * t as f64).sin())
    };
    assert!(orders(1, smooth).iter().all(|&order| order >= 3.8));
    assert!(orders(2, smooth).iter().all(|&order| order >= 3.8));
}

/// With one extra derivative the top one obeys v_t + v_{t+1} = 2 (w_{t+1} − w_t)/h, which neither
/// damps nor amplifies errors of alternating sign; steps that jump keep feeding them. With two, v
/// and v' obey a recursion with the roots −2 ± √3, as in a cubic spline, and errors die out.
#[test]
fn on_irregular_grids_fourth_order_takes_two_extra_derivatives() {
    let irregular = |points| graded(points, |t| [1.0, 3.0, 1.5, 2.0][t % 4]);
    assert!(orders(2, irregular).iter().all(|&order| order >= 3.8));
    assert!(orders(1, irregular).iter().any(|&order| order < 2.5));
}

/// A balanced solve of an equation with the leading coefficient 1 does not know the unit of time.
#[test]
fn balanced_rows_do_not_depend_on_the_unit_of_time() {
    use mechanistic::{Problem, Solver, View};
    // u'' + 0.3 u' + 4 u = 1 in seconds, and in units of `unit` seconds.
    let u = |scaling: RowScaling, unit: f64| -> Vec<f64> {
        let (coefficients, rhs) = ([4.0 * unit * unit, 0.3 * unit, 1.0], [unit * unit]);
        let initial_values = [1.0, 0.5 * unit];
        let steps = [0.1 / unit, 0.2 / unit, 0.15 / unit, 0.3 / unit];
        let problem = Problem::builder()
            .points(5)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &coefficients))
            .rhs(View::new(&[1, 1, 1], &rhs))
            .initial_values(View::new(&[1, 1, 1, 2], &initial_values))
            .steps(View::new(&[1, 4], &steps))
            .build()
            .and_then(|problem| problem.with_extra_derivatives(1))
            .unwrap();
        // A strong weak row makes the rows compete, so that their scale matters.
        let options = Options { scaling, roughness: 1.0, ..hermite() };
        let mut solver = Solver::new(problem.shape(), &options).unwrap();
        solver.solve(&problem).unwrap().values.iter().step_by(4).copied().collect()
    };
    let difference = |scaling: RowScaling| {
        let pairs = u(scaling, 1.0).into_iter().zip(u(scaling, 0.01));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(difference(RowScaling::Balanced) < 1e-10);
    assert!(difference(RowScaling::Unit) > 1e-3);
}
