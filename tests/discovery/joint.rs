//! The joint method on synthetic systems whose equations are known, and on real data.

use approx::assert_abs_diff_eq;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::systems::{self, *};
use mechanistic::Error;
use mechanistic::discovery::{
    Dataset, Discovery, KnownTerm, Link, Settings, Trajectory, UserTerm, discover,
};

fn second_order(degree: usize) -> Settings {
    Settings { degree, order: 2, ..Settings::default() }
}

/// The terms must be exactly the expected ones and no coefficient further off than `tolerance`.
#[track_caller]
fn check(data: &Dataset, settings: &Settings, expected: &str, tolerance: f64) -> Discovery {
    let found = found(data, settings);
    match worst_error(&found, expected) {
        Ok(error) => assert!(error < tolerance, "coefficient off by {error}"),
        Err(message) => panic!("{message}"),
    }
    found
}

/// `check` for noise `relative` to each state's deviation plus `absolute`, several seeds.
#[track_caller]
fn check_seeds(
    data: &Dataset,
    (relative, absolute): (f64, f64),
    settings: &Settings,
    expected: &str,
    tolerance: f64,
) {
    for seed in 0..3 {
        let noisy = with_noise(data.clone(), relative, absolute, seed);
        let found = check(&noisy, settings, expected, tolerance);
        assert_eq!(found.warnings, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn lorenz_without_noise() {
    let found = check(&lorenz(10_000), &degree(2), LORENZ, 5e-5);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

#[test]
fn lorenz_with_noise() {
    check_seeds(&lorenz(10_000), (0.0, 0.1), &degree(2), LORENZ, 1.5e-3);
}

#[test]
fn lorenz_with_large_noise() {
    check_seeds(&lorenz(10_000), (0.0, 1.0), &degree(2), LORENZ, 1e-2);
}

#[test]
fn lorenz_short_and_with_cubic_candidates() {
    check_seeds(&lorenz(500), (0.0, 0.1), &degree(2), LORENZ, 3e-2);
    check(&with_noise(lorenz(2000), 0.0, 0.1, 1), &degree(3), LORENZ, 1e-2);
}

#[test]
fn lorenz_with_missing_values() {
    let data = with_gaps(with_noise(lorenz(4000), 0.0, 0.1, 1), 0.3, 2);
    check(&data, &degree(2), LORENZ, 5e-3);
}

/// So many coefficients that their products are computed together, in threads.
#[test]
fn many_candidates_on_any_number_of_threads() {
    let data = with_noise(ring(6, 600), 0.01, 0.0, 1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check(&data, &degree(2), &ring_equations(6), 0.05))
    };
    assert_eq!(on(1).equations, on(3).equations);
}

#[test]
fn rossler() {
    check_seeds(&systems::rossler(), (0.0, 0.05), &degree(2), ROSSLER, 1e-2);
    check_seeds(&systems::rossler(), (0.0, 0.3), &degree(2), ROSSLER, 5e-2);
}

#[test]
fn van_der_pol() {
    check_seeds(&systems::van_der_pol(), (0.0, 0.02), &degree(3), VAN_DER_POL, 2e-3);
    check_seeds(&systems::van_der_pol(), (0.0, 0.2), &degree(3), VAN_DER_POL, 2e-2);
}

#[test]
fn epidemic_with_nearly_collinear_terms() {
    check_seeds(&sir(), (0.0, 0.0005), &degree(2), SIR, 1e-3);
    check_seeds(&sir(), (0.0, 0.01), &degree(2), SIR, 2e-2);
}

#[test]
fn planar_systems() {
    check_seeds(&planar_linear(), (0.01, 0.0), &degree(3), PLANAR_LINEAR, 1e-2);
    check_seeds(&planar_cubic(), (0.01, 0.0), &degree(3), PLANAR_CUBIC, 1e-2);
}

#[test]
fn lynx_and_hare() {
    let table = include_str!("../../data/lynx_hare.csv");
    let rows: Vec<Vec<f64>> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|field| field.parse().unwrap()).collect())
        .collect();
    let data = Dataset {
        states: vec!["hare".into(), "lynx".into()],
        trajectories: vec![Trajectory {
            time: rows.iter().map(|row| row[0]).collect(),
            values: rows.iter().flat_map(|row| row[1..].to_vec()).collect(),
            ..Trajectory::default()
        }],
        ..Dataset::default()
    };
    let expected = "hare' = 0.483 hare - 0.0249 hare lynx; lynx' = -0.917 lynx + 0.0273 hare lynx";
    check(&data, &Settings { automatic: true, ..Settings::default() }, expected, 0.05);
    let found = check(&data, &degree(2), expected, 0.05);
    // The grid is finer than the yearly data, and the equations reproduce the cycles.
    let fit = &found.fits[0];
    assert!(fit.time.len() > 5 * 20 && fit.smoothed.len() == 2 * fit.time.len());
    for (simulated, smoothed) in fit.simulated.iter().zip(&fit.smoothed) {
        assert_abs_diff_eq!(simulated, smoothed, epsilon = 1.0);
    }
}

#[test]
fn conserved_quantity_does_not_confuse_the_terms() {
    // x² + y² is constant, so that 1, x² + y² and their products with all others are the same.
    let circle = |u: &[f64]| vec![u[1], -u[0]];
    let data = sample(&["x", "y"], circle, &[1.0, 0.0], uniform(1000, 0.02));
    check_seeds(&data, (0.01, 0.0), &degree(3), "x' = 1 y; y' = -1 x", 5e-3);
}

#[test]
fn second_order_equations() {
    let data = duffing(&[2.0, 0.0], uniform(2000, 0.02));
    check_seeds(&data, (0.01, 0.0), &second_order(3), DUFFING, 5e-3);
    let settings = Settings { sine_cosine: true, ..second_order(2) };
    check_seeds(&pendulum(), (0.01, 0.0), &settings, PENDULUM, 5e-3);
}

#[test]
fn gaps_irregular_times_and_several_trajectories() {
    let settings = second_order(3);
    for seed in 0..3 {
        let data = with_noise(duffing(&[2.0, 0.0], uniform(2000, 0.02)), 0.01, 0.0, seed);
        check(&with_gaps(data, 0.3, seed), &settings, DUFFING, 5e-3);
        let data = duffing(&[2.0, 0.0], irregular(2000, 0.02, seed));
        check(&with_noise(data, 0.01, 0.0, seed), &settings, DUFFING, 5e-3);
        let starts = [[2.0, 0.0], [0.5, 1.0], [-1.0, -2.0], [1.0, -2.5]];
        let parts = starts.iter().map(|start| duffing(start, uniform(300, 0.02)));
        let data = with_noise(together(parts.collect()), 0.01, 0.0, seed);
        let found = check(&data, &settings, DUFFING, 1e-2);
        assert_eq!(found.fits.len(), 4);
    }
}

#[test]
fn links() {
    let with = |link, degree| Settings { link, degree, ..Settings::default() };
    check_seeds(&tanh_system(), (0.01, 0.0), &with(Link::Tanh, 2), TANH, 2e-2);
    check_seeds(&sine_system(), (0.01, 0.0), &with(Link::Sin, 2), SINE, 1e-2);
    check_seeds(&sigmoid_system(), (0.003, 0.0), &with(Link::Sigmoid, 1), SIGMOID, 1e-2);
}

#[test]
fn ratios() {
    let settings = Settings { link: Link::Ratio, degree: 2, ..Settings::default() };
    let one = michaelis_menten(2.0);
    check_seeds(&one, (0.001, 0.0), &settings, MICHAELIS_MENTEN, 1e-2);
    let three =
        together(vec![michaelis_menten(2.0), michaelis_menten(0.01), michaelis_menten(5.0)]);
    check_seeds(&three, (0.01, 0.0), &settings, MICHAELIS_MENTEN, 5e-2);
}

#[test]
fn user_terms_and_known_coefficients() {
    let field = |u: &[f64]| vec![0.5 * (-u[0]).exp() - 0.2 * u[0]];
    let data = with_noise(sample(&["x"], field, &[-1.0], uniform(600, 0.02)), 0.005, 0.0, 1);
    let term = UserTerm {
        name: "exp(-x)".into(),
        value: Arc::new(|u| (-u[0]).exp()),
        gradient: Arc::new(|u, gradient| gradient[0] = -(-u[0]).exp()),
    };
    let settings = Settings { user_terms: vec![term], ..degree(2) };
    check(&data, &settings, "x' = -0.2 x + 0.5 exp(-x)", 5e-2);

    let known = |factors: &[&str], coefficient| KnownTerm {
        state: "y".into(),
        factors: factors.iter().map(|f| f.to_string()).collect(),
        coefficient,
    };
    let settings =
        Settings { known: vec![known(&["y"], -1.0), known(&["y", "y"], 0.0)], ..degree(2) };
    let found = check(&with_noise(lorenz(1000), 0.0, 0.1, 1), &settings, LORENZ, 2e-2);
    let fixed = found.equations[1].terms.iter().find(|t| t.factors == ["y"]).unwrap();
    assert_eq!((fixed.coefficient, fixed.standard_error), (-1.0, None));
}

#[test]
fn degenerate_requests_have_simple_answers() {
    // Uniform motion: nothing accelerates.
    let time = uniform(50, 0.1);
    let values = time.iter().map(|t| 3.0 * t - 1.0).collect();
    let line = Dataset {
        states: vec!["x".into()],
        trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
        ..Dataset::default()
    };
    let none = found(&line, &second_order(2));
    assert!(none.equations[0].terms.is_empty(), "{:?}", none.equations);
    assert_eq!(none.warnings, ["no term of x'' is significant"]);
    check(&line, &degree(2), "x' = 3", 1e-6);

    // Every coefficient known: only the trajectory is left to estimate.
    let known = |factors: &[&str], coefficient| KnownTerm {
        state: "x".into(),
        factors: factors.iter().map(|f| f.to_string()).collect(),
        coefficient,
    };
    let settings = Settings { known: vec![known(&[], 3.0), known(&["x"], 0.0)], ..degree(1) };
    let noisy = with_noise(line.clone(), 0.1, 0.0, 1);
    let fixed = check(&noisy, &settings, "x' = 3", 1e-15);
    for (t, x) in fixed.fits[0].time.iter().zip(&fixed.fits[0].smoothed) {
        assert_abs_diff_eq!(*x, 3.0 * t - 1.0, epsilon = 0.2);
    }

    let logarithm = UserTerm {
        name: "ln(x)".into(),
        value: Arc::new(|u| u[0].ln()),
        gradient: Arc::new(|u, gradient| gradient[0] = 1.0 / u[0]),
    };
    let settings = Settings { user_terms: vec![logarithm], ..degree(1) };
    let outcome = discover(&line, &settings, &mut |_| ControlFlow::Continue(()));
    assert_eq!(outcome.unwrap_err().to_string(), "the term `ln(x)` is not finite on the data");
}

#[test]
fn random_disturbances_are_noticed() {
    // Lorenz with a random walk on top: the equations hold on average only.
    let mut kicks =
        irregular(3 * 4001, 1.0, 9).windows(2).map(|p| p[1] - p[0] - 1.0).collect::<Vec<_>>();
    let mut state = vec![1.0, 1.0, 1.0];
    let mut values = Vec::new();
    let field = |u: &[f64]| {
        vec![10.0 * (u[1] - u[0]), u[0] * (28.0 - u[2]) - u[1], u[0] * u[1] - 8.0 / 3.0 * u[2]]
    };
    for _ in 0..4000 {
        values.extend_from_slice(&state);
        state = integrate(field, &state, &[0.0, 0.01])[3..].to_vec();
        state.iter_mut().for_each(|u| *u += 0.2 * kicks.pop().unwrap());
    }
    let names = ["x", "y", "z"].map(String::from).to_vec();
    let trajectories =
        vec![Trajectory { time: uniform(4000, 0.01), values, ..Trajectory::default() }];
    let data =
        with_noise(Dataset { states: names, trajectories, ..Dataset::default() }, 0.0, 0.1, 1);
    let found = check(&data, &degree(2), LORENZ, 0.2);
    assert!(found.warnings[0].contains("exactly"), "{:?}", found.warnings);
}

#[test]
fn undecidable_terms_are_named() {
    // The beginning of an epidemic: hardly anyone is immune yet, and S is nearly a function of I.
    let field = |u: &[f64]| vec![-0.5 * u[0] * u[1], 0.5 * u[0] * u[1] - 0.1 * u[1]];
    let data = sample(&["S", "I"], field, &[0.99, 0.01], uniform(300, 0.05));
    let found = found(&with_noise(data, 0.0, 0.01, 0), &degree(2));
    let warnings = found.warnings.join("\n");
    assert!(warnings.contains("cannot decide between terms of I'"), "{warnings}");
    assert!(warnings.contains("condition number"), "{warnings}");
}

#[test]
fn standard_errors_are_honest() {
    // Errors in units of the standard error over many noises: mean square near one.
    let data = duffing(&[2.0, 0.0], uniform(500, 0.04));
    let expected = [("x", -1.0), ("x'", -0.2), ("x x x", -1.0)];
    let (mut squares, mut count) = (0.0, 0.0);
    for seed in 0..30 {
        let found =
            check(&with_noise(data.clone(), 0.02, 0.0, seed), &second_order(3), DUFFING, 0.05);
        for term in &found.equations[0].terms {
            let name = term.factors.join(" ");
            let truth = expected.iter().find(|(factors, _)| *factors == name).unwrap().1;
            let error = (term.coefficient - truth) / term.standard_error.unwrap();
            squares += error * error;
            count += 1.0;
        }
    }
    let mean = squares / count;
    assert!((0.5..1.6).contains(&mean), "{mean}");
}

#[test]
fn units_do_not_matter() {
    let mut data = with_noise(lorenz(1500), 0.01, 0.0, 1);
    let plain = found(&data, &degree(2));
    for trajectory in &mut data.trajectories {
        for row in trajectory.values.chunks_exact_mut(3) {
            row[0] *= 1e6;
            row[1] *= 1e-6;
        }
        trajectory.time.iter_mut().for_each(|t| *t = 1e3 * *t + 1e6);
    }
    let scaled = found(&data, &degree(2));
    let scale = |factor: &str| match factor {
        "x" => 1e6,
        "y" => 1e-6,
        _ => 1.0,
    };
    for (a, b) in plain.equations.iter().zip(&scaled.equations) {
        assert_eq!(a.terms.len(), b.terms.len());
        for (a_term, b_term) in a.terms.iter().zip(&b.terms) {
            let unit: f64 = a_term.factors.iter().map(|f| scale(f)).product();
            let back = b_term.coefficient * unit / scale(&a.lhs[..1]) * 1e3;
            let error = (back - a_term.coefficient) / a_term.standard_error.unwrap();
            assert!(error.abs() < 0.05, "{}: {back} {}", a.lhs, a_term.coefficient);
        }
    }
}

#[test]
fn results_are_reproducible_and_progress_is_reported() {
    let data = with_noise(lorenz(500), 0.0, 0.1, 1);
    let (mut fractions, mut equations) = (Vec::new(), 0);
    let first = discover(&data, &degree(2), &mut |progress| {
        fractions.push(progress.fraction);
        equations += usize::from(progress.equations.is_some());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(fractions.is_sorted(), "{fractions:?}");
    assert_eq!(fractions.last(), Some(&1.0));
    assert!(equations >= 2);
    let second = found(&data, &degree(2));
    assert_eq!(first.equations, second.equations);
    assert_eq!(first.fits[0].smoothed, second.fits[0].smoothed);
}

/// An iteration over many points and terms takes so long that it is to be reported, and stopped, on
/// the way.
#[test]
fn progress_is_reported_within_an_iteration() {
    let data = lorenz(20_000);
    let fraction_reached = |calls: usize| {
        let (mut left, mut reached) = (calls, 0.0);
        let outcome = discover(&data, &degree(4), &mut |progress| {
            if progress.stage != "fitting all candidate terms" {
                return ControlFlow::Continue(());
            }
            reached = progress.fraction;
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(outcome, Err(Error::Interrupted)));
        reached
    };
    // The stage begins at 0.05, and its first iteration counts as 0.004.
    let [begin, later] = [fraction_reached(1), fraction_reached(3)];
    assert_eq!(begin, 0.05);
    assert!(begin < later && later < 0.054, "{later}");
}

#[test]
fn it_can_be_interrupted_at_any_time() {
    let data = lorenz(300);
    for calls in [0, 1, 2, 5, 10] {
        let mut left = calls;
        let outcome = discover(&data, &degree(2), &mut |_| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, Err(Error::Interrupted)), "{calls}");
    }
}

#[test]
fn unusable_input_is_named() {
    let message = |data: &Dataset, settings: &Settings| {
        let outcome = discover(data, settings, &mut |_| ControlFlow::Continue(()));
        outcome.unwrap_err().to_string()
    };
    let good = lorenz(100);
    let known = KnownTerm { state: "w".into(), factors: vec![], coefficient: 1.0 };
    let settings = Settings { known: vec![known], ..degree(2) };
    assert_eq!(message(&good, &settings), "known: there is no state `w`; there are x, y, z");
    let known = KnownTerm { state: "x".into(), factors: vec!["w".into()], coefficient: 1.0 };
    let settings = Settings { known: vec![known], ..degree(2) };
    let known =
        "known: the library has no term `w`; it has 1, x, y, z, x^2, x y, x z, y^2, y z, z^2";
    assert_eq!(message(&good, &settings), known);
    let settings = Settings { grid_refinement: Some(usize::MAX), ..degree(2) };
    assert!(message(&good, &settings).starts_with("grid_refinement: the grid would have"));
    assert!(message(&lorenz(8), &degree(2)).contains("24 measured values cannot decide 30"));
    let mut constant = good.clone();
    constant.trajectories[0].values.fill(4.0);
    constant.trajectories[0].values[0] += 1e-12;
    constant.trajectories[0].values[1] += 2e-12;
    assert_eq!(message(&constant, &degree(2)), "`x` never changes");
    let mut short = good;
    short.trajectories[0].values.pop();
    assert!(message(&short, &degree(2)).contains("(N, K) = (100, 3), 300 numbers, got [299]"));
}
