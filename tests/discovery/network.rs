//! Discovery by network: known equations from noisy data.

use approx::assert_abs_diff_eq;
use std::ops::ControlFlow;

use super::systems::*;
use mechanistic::Error;
use mechanistic::discovery::{Dataset, Discovery, KnownTerm, Link, Method, Settings, discover};

fn settings(degree: usize) -> Settings {
    Settings { method: Method::Network, degree, ..Settings::default() }
}

fn run(data: &Dataset, settings: &Settings) -> Discovery {
    discover(data, settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The terms must be exactly the expected ones, the coefficients within `tolerance`.
fn check(data: &Dataset, settings: &Settings, expected: &str, tolerance: f64) -> Discovery {
    let found = run(data, settings);
    let error = worst_error(&found, expected).unwrap();
    assert!(error < tolerance, "{error}: {:?}", found.equations);
    found
}

#[test]
fn planar_linear_system() {
    let data = with_noise(planar_linear(), 0.01, 0.0, 1);
    let found = check(&data, &settings(3), PLANAR_LINEAR, 0.01);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    // Standard errors are of the size of the errors.
    let term = &found.equations[0].terms[0];
    let error = term.standard_error.unwrap();
    assert!((2e-4..2e-3).contains(&error), "{error}");
    assert_abs_diff_eq!(term.coefficient, -0.1, epsilon = 4.0 * error);
}

#[test]
fn planar_cubic_system() {
    let data = with_noise(planar_cubic(), 0.01, 0.0, 1);
    check(&data, &settings(3), PLANAR_CUBIC, 0.01);
}

#[test]
fn lorenz_system() {
    let data = with_noise(lorenz(3000), 0.0, 0.1, 1);
    let found = check(&data, &settings(2), LORENZ, 0.02);
    for noise in found.noise {
        assert_abs_diff_eq!(noise, 0.1, epsilon = 0.005);
    }
}

#[test]
fn tanh_of_a_polynomial() {
    let data = with_noise(tanh_system(), 0.01, 0.0, 1);
    check(&data, &Settings { link: Link::Tanh, ..settings(2) }, TANH, 0.02);
}

#[test]
fn ratio_of_polynomials() {
    let data =
        with_noise(together(vec![michaelis_menten(3.0), michaelis_menten(0.1)]), 0.005, 0.0, 1);
    check(&data, &Settings { link: Link::Ratio, ..settings(2) }, MICHAELIS_MENTEN, 0.05);
}

#[test]
fn second_order_from_irregular_samples_with_gaps() {
    let data = duffing(&[2.0, 0.0], irregular(2000, 0.01, 4));
    let data = with_gaps(with_noise(data, 0.01, 0.0, 1), 0.2, 3);
    check(&data, &Settings { order: 2, ..settings(3) }, DUFFING, 0.03);
}

/// −1.5 x − 0.1 y times a common factor over that factor would fit as well.
#[test]
fn a_denominator_is_left_out_where_none_is_needed() {
    let field = |u: &[f64]| {
        let x = (-0.2 * u[0] + 1.5 * u[1]) / (1.0 + 0.5 * u[0] * u[0]);
        vec![x, -1.5 * u[0] - 0.1 * u[1]]
    };
    let data = sample(&["x", "y"], field, &[2.0, 0.0], uniform(800, 0.02));
    let data = with_noise(data, 0.005, 0.0, 1);
    let expected = "x' = -0.2 x + 1.5 y / 1 + 0.5 x x; y' = -1.5 x - 0.1 y";
    check(&data, &Settings { link: Link::Ratio, ..settings(2) }, expected, 0.02);
}

/// Short trajectories, one of them shorter than a window.
fn several() -> Dataset {
    let field = |u: &[f64]| vec![-0.1 * u[0] + 2.0 * u[1], -2.0 * u[0] - 0.1 * u[1]];
    let part = |initial: [f64; 2], points: usize| {
        sample(&["x", "y"], field, &initial, uniform(points, 0.02))
    };
    let parts = vec![part([2.0, 0.0], 300), part([0.0, 1.0], 200), part([-1.0, 1.0], 30)];
    with_noise(together(parts), 0.01, 0.0, 1)
}

#[test]
fn several_trajectories_share_one_equation() {
    let found = check(&several(), &settings(2), PLANAR_LINEAR, 0.05);
    let lengths: Vec<usize> = found.fits.iter().map(|fit| fit.smoothed.len()).collect();
    assert_eq!(lengths, found.fits.iter().map(|fit| 2 * fit.time.len()).collect::<Vec<_>>());
    // The fit stays within the noise of the data, and so does the simulation.
    for (fit, measured) in found.fits.iter().zip(&several().trajectories) {
        for (i, time) in fit.time.iter().enumerate() {
            let Some(row) = measured.time.iter().position(|t| t == time) else { continue };
            for state in 0..2 {
                let smoothed = fit.smoothed[2 * i + state];
                let (measured, simulated) =
                    (measured.values[2 * row + state], fit.simulated[2 * i + state]);
                assert_abs_diff_eq!(smoothed, measured, epsilon = 0.05);
                assert_abs_diff_eq!(smoothed, simulated, epsilon = 0.02);
            }
        }
    }
}

#[test]
fn known_coefficients_are_held() {
    let known = KnownTerm { state: "x".into(), factors: vec!["y".into()], coefficient: 2.0 };
    let found = run(&several(), &Settings { known: vec![known], ..settings(1) });
    let term = found.equations[0].terms.iter().find(|term| term.factors == ["y"]).unwrap();
    assert_eq!((term.coefficient, term.standard_error), (2.0, None));
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&several(), &settings(2))).equations
    };
    let one = with(1);
    assert_eq!(one, with(1));
    assert_eq!(one, with(3));
}

#[test]
fn an_observer_can_stop_it_at_every_stage() {
    for stage in ["smoothing the data", "training the network", "refining the coefficients"] {
        let mut last = 0.0;
        let result = discover(&several(), &settings(1), &mut |progress| {
            assert!(progress.fraction >= last, "{} after {last}", progress.fraction);
            last = progress.fraction;
            if progress.stage == stage { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(Error::Interrupted)), "{stage}");
    }
}

#[test]
fn data_that_cannot_decide_are_refused_or_warned_about() {
    // x and y are always equal: no data can tell them apart.
    let twin = sample(&["x", "y"], |u| vec![-u[0], -u[1]], &[1.0, 1.0], uniform(200, 0.02));
    match discover(&twin, &settings(1), &mut |_| ControlFlow::Continue(())) {
        Err(error) => assert!(matches!(error, Error::Data(_)), "{error}"),
        Ok(found) => assert!(!found.warnings.is_empty(), "{:?}", found.equations),
    }
}
