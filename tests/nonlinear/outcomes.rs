//! How every system of a batch ends, on its own; misuse.

use approx::assert_abs_diff_eq;
use mechanistic::nonlinear::{
    Convergence, NonlinearOptions, NonlinearProblem, NonlinearSolution, NonlinearSolver,
};
use mechanistic::{Formulation, Options, Result, Status, View};

use crate::odes::{BlowUp, Logistic, VanDerPol};

const POINTS: usize = 46;

/// u' = a u², u(0) = 1 on 0 ≤ t ≤ 0.9 for three values of a.
fn solver() -> NonlinearSolver<BlowUp> {
    let a = [0.5, 0.7, 1.0];
    let problem = growth(&a, &[0.02; 3]);
    NonlinearSolver::new(BlowUp, problem.shape(), &NonlinearOptions::default()).unwrap()
}

fn growth<'a>(a: &'a [f64; 3], steps: &'a [f64; 3]) -> NonlinearProblem<'a> {
    NonlinearProblem::new(
        3,
        POINTS,
        View::new(&[3, 1], a),
        View::new(&[1, 1, 1], &[1.0]),
        View::new(&[3, 1], steps),
    )
    .unwrap()
}

/// Bits of the first and the last system.
fn neighbors(solution: &NonlinearSolution) -> Vec<u64> {
    let stride = solution.values.len() / 3;
    let outer = solution.values[..stride].iter().chain(&solution.values[2 * stride..]);
    outer.map(|value| value.to_bits()).collect()
}

#[test]
fn a_broken_system_leaves_its_neighbors_as_they_are() {
    let mut solver = solver();
    let whole = neighbors(solver.solve(&growth(&[0.5, 0.7, 1.0], &[0.02; 3])).unwrap());
    let invalid = Convergence::LinearSolve(Status::InvalidStep { step: 0 });
    for (a, step, expected) in [
        (2.0, 0.02, None),
        (f64::NAN, 0.02, Some(Convergence::NonFinite)),
        (f64::INFINITY, 0.02, Some(Convergence::NonFinite)),
        (0.7, f64::NAN, Some(Convergence::NonFinite)),
        (0.7, 0.0, Some(invalid)),
        (0.7, -0.02, Some(invalid)),
    ] {
        let (a, steps) = ([0.5, a, 1.0], [0.02, step, 0.02]);
        let problem = growth(&a, &steps);
        let solution = solver.solve(&problem).unwrap();
        let status = solution.status.clone();
        assert!(status[0].is_converged() && status[2].is_converged(), "{status:?}");
        assert!(!status[1].is_converged(), "{a:?}, {steps:?}");
        assert!(
            expected.is_none_or(|expected| expected == status[1]),
            "{a:?}, {steps:?}: {status:?}"
        );
        assert_eq!(neighbors(solution), whole, "{a:?}, {steps:?}");
        let stride = solution.values.len() / 3;
        assert!(solution.values[stride..2 * stride].iter().all(|value| value.is_nan()));

        let gradients = solver.vjp(&problem, &vec![1.0; 3 * stride]).unwrap();
        let [first, broken, last] = gradients.parameters[..] else { unreachable!() };
        assert!(first > 0.0 && broken == 0.0 && last > 0.0, "{:?}", gradients.parameters);
        assert_eq!([gradients.steps[1], gradients.remainder[1]], [0.0; 2]);
    }
}

#[test]
fn gradients_that_are_not_finite_are_reported_and_left_out() {
    // All three share the parameter and the steps, so that their gradients are summed.
    let initial = [0.5, 0.7, 1.0];
    let problem = NonlinearProblem::new(
        3,
        POINTS,
        View::new(&[1, 1], &[1.0]),
        View::new(&[3, 1, 1], &initial),
        View::new(&[1, 1], &[0.02]),
    )
    .unwrap();
    let mut solver =
        NonlinearSolver::new(BlowUp, problem.shape(), &NonlinearOptions::default()).unwrap();
    let stride = solver.solve(&problem).unwrap().values.len() / 3;
    let mut vjp = |second: f64| {
        let mut cotangent = vec![1.0; 3 * stride];
        cotangent[stride..2 * stride].fill(second);
        solver.vjp(&problem, &cotangent).unwrap().clone()
    };
    let without = vjp(0.0);
    // The sum over the points of this system is beyond the largest number, none of its terms is.
    let large = 1.2 * (f64::MAX / (vjp(1.0).parameters[0] - without.parameters[0]));
    for (second, expected) in [
        (large, Status::Overflow),
        (f64::NAN, Status::NonFiniteInput { argument: "the cotangent" }),
        (f64::INFINITY, Status::NonFiniteInput { argument: "the cotangent" }),
        (f64::MAX, Status::Overflow),
    ] {
        let found = vjp(second);
        assert_eq!(found.status, [Status::Ok, expected, Status::Ok]);
        assert_eq!(found.parameters, without.parameters);
        assert_eq!(found.steps, without.steps);
        assert_eq!(found.initial_values, without.initial_values);
    }
}

#[test]
fn a_system_that_is_done_does_not_change_while_others_go_on() {
    // The logistic equation with r = 0 is done at once.
    let options = NonlinearOptions::default();
    let solve = |rate: f64| {
        let theta = [0.0, 1.0, rate, 1.0, 0.1, 1.0];
        let problem = NonlinearProblem::new(
            3,
            POINTS,
            View::new(&[3, 2], &theta),
            View::new(&[1, 1, 1], &[0.1]),
            View::new(&[1, 1], &[0.1]),
        )
        .unwrap();
        let mut solver = NonlinearSolver::new(Logistic, problem.shape(), &options).unwrap();
        solver.solve(&problem).unwrap().clone()
    };
    let (slow, fast) = (solve(0.0), solve(5.0));
    assert!(fast.window_iterations[1] > fast.window_iterations[0]);
    assert_eq!(fast.window_iterations[0], slow.window_iterations[0]);
    assert_eq!(neighbors(&slow), neighbors(&fast));
}

#[test]
fn too_few_iterations_are_reported() {
    let problem = growth(&[0.5, 0.7, 0.0], &[0.02; 3]);
    let options = NonlinearOptions { max_iterations: 1, window: POINTS, ..Default::default() };
    let mut solver = NonlinearSolver::new(BlowUp, problem.shape(), &options).unwrap();
    let solution = solver.solve(&problem).unwrap();
    let limit = Convergence::IterationLimit;
    assert_eq!(solution.status, [limit, limit, Convergence::Converged]);
    assert_eq!(solution.iterations, [1, 1, 1]);
    assert_eq!(solution.window_iterations, [0, 0, 0]);
}

fn oscillator<'a>(mu: &'a [f64]) -> NonlinearProblem<'a> {
    NonlinearProblem::new(
        4,
        201,
        View::new(&[4, 1], mu),
        View::new(&[1, 1, 2], &[2.0, 0.0]),
        View::new(&[1, 1], &[0.02]),
    )
    .unwrap()
}

#[test]
fn a_good_start_saves_iterations() {
    let options = NonlinearOptions::default();
    let (near, mu) = ([0.5, 1.0, 2.0, 3.0], [0.51, 1.01, 2.01, 3.01]);
    let problem = oscillator(&mu);
    let mut solver = NonlinearSolver::new(VanDerPol, problem.shape(), &options).unwrap();
    let start = solver.solve(&oscillator(&near)).unwrap().values.clone();
    let swept = solver.solve(&problem).unwrap().clone();
    let warm = solver.solve_from(&problem, &start).unwrap();
    assert!(warm.status.iter().all(|status| status.is_converged()), "{:?}", warm.status);
    assert!(warm.iterations.iter().all(|&iterations| iterations <= 4), "{:?}", warm.iterations);
    assert_eq!(warm.window_iterations, [0; 4]);
    for (warm, swept) in warm.values.iter().zip(&swept.values).step_by(4) {
        assert_abs_diff_eq!(warm, swept, epsilon = 1e-9);
    }
}

/// Without windows, from a trajectory that stands still: whole steps would raise the sum of
/// squares.
#[test]
fn a_poor_start_is_damped() {
    let mu = [0.5, 0.8, 1.0, 1.2];
    let problem = oscillator(&mu);
    let default = NonlinearOptions::default();
    let mut solver = NonlinearSolver::new(VanDerPol, problem.shape(), &default).unwrap();
    let swept = solver.solve(&problem).unwrap();
    let options = NonlinearOptions { window: 201, ..default };
    let mut solver = NonlinearSolver::new(VanDerPol, problem.shape(), &options).unwrap();
    let whole = solver.solve(&problem).unwrap();
    assert!(whole.status.iter().all(|status| status.is_converged()), "{:?}", whole.status);
    for (whole, swept) in whole.values.iter().zip(&swept.values).step_by(4) {
        assert_abs_diff_eq!(whole, swept, epsilon = 1e-9);
    }
    for (whole, swept) in whole.defects.iter().zip(&swept.defects) {
        assert_abs_diff_eq!(whole, swept, epsilon = 1e-3 * swept);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mu = [0.5, 1.0, 2.0, 3.0];
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let problem = oscillator(&mu);
            let options = NonlinearOptions::default();
            let mut solver = NonlinearSolver::new(VanDerPol, problem.shape(), &options).unwrap();
            let values = solver.solve(&problem).unwrap().values.clone();
            let gradients = solver.vjp(&problem, &values).unwrap();
            (values.clone(), gradients.parameters.clone(), gradients.steps.clone())
        })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn misuse_is_an_error_that_names_the_argument() {
    let message = |result: Result<()>| result.unwrap_err().to_string();
    let problem = |theta: &[usize], start: &[usize], steps: &[usize]| {
        let zeros = [0.0; 16];
        let view = |axes| View::new(axes, &zeros[..axes.iter().product()]);
        let problem = NonlinearProblem::new(2, 4, view(theta), view(start), view(steps))?;
        let options = NonlinearOptions::default();
        NonlinearSolver::new(VanDerPol, problem.shape(), &options).map(|_| ())
    };
    assert!(problem(&[2, 1], &[1, 1, 2], &[1, 3]).is_ok());
    for (theta, start, steps, expected) in [
        (
            &[3, 1][..],
            &[1, 1, 2][..],
            &[1, 3][..],
            "parameters: expected shape (B or 1 = 2 or 1, L)",
        ),
        (&[2, 2], &[1, 1, 2], &[1, 3], "parameters: expected shape (B or 1, L) = (2 or 1, 1)"),
        (&[2, 1], &[1, 2], &[1, 3], "initial_values: expected shape (B or 1 = 2 or 1, K, m)"),
        (
            &[2, 1],
            &[1, 1, 1],
            &[1, 3],
            "initial_values: expected shape (B or 1, K, m) = (2 or 1, 1, 2)",
        ),
        (
            &[2, 1],
            &[1, 1, 2],
            &[1, 4],
            "steps: expected shape (B or 1 = 2 or 1, N-1 or 1 = 3 or 1)",
        ),
    ] {
        let message = message(problem(theta, start, steps));
        assert!(message.starts_with(expected), "{message}");
    }

    let mu = [1.0; 4];
    let good = oscillator(&mu);
    let with = |options: NonlinearOptions| {
        message(NonlinearSolver::new(VanDerPol, good.shape(), &options).map(|_| ()))
    };
    let default = NonlinearOptions::default();
    let slack = Formulation::SharedSlack { gamma: 1.0, alpha: 1.0 };
    let linear = Options { formulation: slack, ..default.linear };
    assert!(with(NonlinearOptions { linear, ..default }).starts_with("linear.formulation"));
    let linear = Options { periodic: true, ..default.linear };
    assert!(with(NonlinearOptions { linear, ..default }).starts_with("linear.periodic"));
    assert!(with(NonlinearOptions { tolerance: 0.0, ..default }).starts_with("tolerance"));
    assert!(with(NonlinearOptions { max_iterations: 0, ..default }).starts_with("max_iterations"));
    assert!(with(NonlinearOptions { window: 1, ..default }).starts_with("window"));
    let far = NonlinearOptions { extra_derivatives: usize::MAX, ..default };
    assert!(with(far).starts_with("extra_derivatives"));

    let mut solver = NonlinearSolver::new(VanDerPol, good.shape(), &default).unwrap();
    let size = solver.trajectory_shape().iter().product();
    let cotangent = vec![0.0; size];
    assert!(message(solver.vjp(&good, &cotangent).map(|_| ())).contains("must be solved"));
    let short = message(solver.solve_from(&good, &cotangent[1..]).map(|_| ()));
    assert_eq!(short, "trajectory: expected shape (B, N, K, Q) = [4, 201, 1, 4], got [3215]");
    solver.solve(&good).unwrap();
    let short = message(solver.vjp(&good, &cotangent[1..]).map(|_| ()));
    assert!(short.starts_with("cotangent: expected shape"), "{short}");
    let steps = [0.02; 3];
    let other = NonlinearProblem::new(
        3,
        201,
        View::new(&[3, 1], &[1.0; 3]),
        View::new(&[1, 1, 2], &[2.0, 0.0]),
        View::new(&[3, 1], &steps),
    )
    .unwrap();
    assert!(message(solver.solve(&other).map(|_| ())).contains("the solver was made for"));
}
