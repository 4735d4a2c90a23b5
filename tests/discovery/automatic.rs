//! The automatic choice of the model: which candidate terms and links the data ask for.

use std::ops::ControlFlow;

use super::systems::*;
use mechanistic::discovery::{Dataset, Discovery, Link, Settings, Tried, discover};

fn automatic(order: usize) -> Settings {
    Settings { automatic: true, order, ..Settings::default() }
}

fn found(data: &Dataset, order: usize) -> Discovery {
    discover(data, &automatic(order), &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The terms must be exactly the expected ones and no coefficient further off than `tolerance`.
/// Returns the name of the model that was chosen.
#[track_caller]
fn check(data: &Dataset, order: usize, expected: &str, tolerance: f64) -> String {
    let found = found(data, order);
    match worst_error(&found, expected) {
        Ok(error) => assert!(error < tolerance, "coefficient off by {error}"),
        Err(message) => panic!("{message}; tried: {:#?}", found.tried),
    }
    let chosen: Vec<_> = found.tried.into_iter().filter(|tried| tried.chosen).collect();
    assert_eq!(chosen.len(), 1, "{chosen:?}");
    chosen[0].model.clone()
}

#[test]
fn polynomials_need_no_more_than_their_degree() {
    assert_eq!(check(&planar_linear(), 1, PLANAR_LINEAR, 1e-3), "degree 2");
    assert_eq!(check(&lorenz(2000), 1, LORENZ, 1e-3), "degree 2");
    let noisy = with_noise(lorenz(2000), 0.01, 0.0, 3);
    assert_eq!(check(&noisy, 1, LORENZ, 0.02), "degree 2");
    assert_eq!(check(&van_der_pol(), 1, VAN_DER_POL, 1e-3), "degree 3");
}

#[test]
fn richer_models_are_not_tried_where_they_cannot_be_better() {
    let tried = found(&lorenz(2000), 1).tried;
    let names: Vec<&str> = tried.iter().map(|tried| &*tried.model).collect();
    assert_eq!(names, ["degree 2", "degree 3"]);
}

/// Of seven states, degree 3 has too many terms; that the equations are sparse is enough.
#[test]
fn large_sparse_systems_need_no_richer_model() {
    let tried = found(&ring(7, 400), 1).tried;
    let names: Vec<&str> = tried.iter().map(|tried| &*tried.model).collect();
    assert_eq!(names, ["degree 2", "degree 3"]);
    assert!(tried[0].exact && tried[1].failure.contains("too many terms"), "{tried:#?}");
}

/// Eleven values are too few to hold any out: the score decides, also for more terms.
#[test]
fn short_series_are_not_taken_for_simpler_ones() {
    let field = |u: &[f64]| vec![1.3 * u[0] * (1.0 - u[0] / 7.0)];
    let data = sample(&["x"], field, &[0.23], uniform(11, 0.45));
    let model = check(&with_noise(data, 0.01, 0.0, 5), 1, "x' = 1.3 x - 0.185714 x x", 0.1);
    assert_eq!(model, "degree 2");
}

/// Series that only fall: a polynomial of degree two fits as exactly, and is not the end of the search.
#[test]
fn a_polynomial_of_one_state_does_not_end_the_search() {
    let root = |u: &[f64]| vec![-0.5 * u[0].sqrt()];
    let data = sample(&["h"], root, &[4.0], uniform(61, 0.12));
    check(&with_noise(data, 0.005, 0.0, 1), 1, "h' = -0.5 sqrt(h)", 0.05);
    let power = |u: &[f64]| vec![-0.4 * u[0].powf(1.5)];
    let data = sample(&["c"], power, &[4.0], uniform(121, 0.1));
    check(&with_noise(data, 0.02, 0.0, 1), 1, "c' = -0.4 c sqrt(c)", 0.05);
}

/// Fewer points than are needed to hold any out, which rich models follow as they like.
#[test]
fn simple_laws_stay_simple_in_short_noisy_series() {
    let mut wrong = vec![];
    for seed in 0..12 {
        let points = 9 + seed as usize % 4;
        let step = 4.0 / (points - 1) as f64;
        let decay = sample(&["x"], |u| vec![-0.7 * u[0]], &[5.0], uniform(points, step));
        let growth = |u: &[f64]| vec![1.3 * u[0] * (1.0 - u[0] / 7.0)];
        let growth = sample(&["x"], growth, &[0.23], uniform(points, step));
        for (data, expected) in [(decay, "x' = -0.7 x"), (growth, "x' = 1.3 x - 0.185714 x x")] {
            let found = found(&with_noise(data, 0.02, 0.0, seed), 1);
            let named = |w: &String| w.contains("cannot decide");
            if worst_error(&found, expected).is_err() && !found.warnings.iter().any(named) {
                wrong.push(format!("{seed} {found}{:#?}", found.tried));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of two states, degree 3 has twenty coefficients.
#[test]
fn data_that_are_too_few_for_richer_models_say_so() {
    let field = |u: &[f64]| vec![u[1], -2.0 * u[0] - 0.2 * u[1]];
    for (points, warned) in [(10, true), (20, false)] {
        let data = sample(&["x", "y"], field, &[1.0, 0.0], uniform(points, 7.0 / points as f64));
        let found = found(&with_noise(data, 0.01, 0.0, 1), 1);
        let few = |w: &String| w.starts_with("20 values are too few to try degree 3, which has 20");
        assert_eq!(found.warnings.iter().any(few), warned, "{:?}", found.warnings);
    }
}

/// A cubic law in ten values with 3 % noise is also a quadratic one.
#[test]
fn models_that_are_as_good_are_named() {
    let field = |u: &[f64]| vec![0.5 * u[0] * (u[0] - 1.0) * (3.0 - u[0])];
    let data = sample(&["x"], field, &[1.2], uniform(10, 5.0 / 9.0));
    let found = found(&with_noise(data, 0.03, 0.0, 1), 1);
    let named = |warning: &String| warning.starts_with("the data cannot decide between models");
    assert!(found.warnings.iter().any(named), "{found}{:?}{:#?}", found.warnings, found.tried);
}

#[test]
fn sines_are_found() {
    assert_eq!(check(&pendulum(), 2, PENDULUM, 1e-2), "degree 1, sin and cos");
}

#[test]
fn products_with_functions_are_found() {
    // A pendulum with the resistance of air.
    let field = |u: &[f64]| vec![u[1], 1.67 - 0.64 * u[1] * u[1].abs() - u[0].sin()];
    let data = sample(&["x", "v"], field, &[1.47, -0.2], uniform(600, 0.02));
    check(&data, 1, "x' = 1 v; v' = 1.67 - 0.64 abs(v) v - 1 sin(x)", 2e-3);
}

#[test]
fn each_equation_has_a_link_of_its_own() {
    let field = |u: &[f64]| vec![(1.5 * u[1]).tanh(), -0.5 * u[1] - 1.2 * u[0]];
    let data = sample(&["x", "y"], field, &[2.0, 1.0], uniform(1500, 0.01));
    let found = found(&data, 1);
    let links: Vec<Link> = found.equations.iter().map(|equation| equation.link).collect();
    assert_eq!(links, [Link::Tanh, Link::Identity], "{found}{:#?}", found.tried);
    let chosen = found.tried.iter().find(|tried| tried.chosen).unwrap();
    assert!(chosen.model.starts_with("degree 1, tanh | degree "), "{}", chosen.model);
    assert_eq!(worst_error(&found, "x' = 1.5 y; y' = -1.2 x - 0.5 y").map(|e| e < 1e-2), Ok(true));
}

#[test]
fn the_choice_does_not_depend_on_the_order_of_the_columns() {
    let air = |u: &[f64]| vec![u[1], 1.67 - 0.64 * u[1] * u[1].abs() - u[0].sin()];
    let pendulum = sample(&["x", "y"], air, &[1.47, -0.2], uniform(600, 0.02));
    for data in
        [pendulum, with_noise(van_der_pol(), 0.02, 0.0, 1), with_noise(lorenz(1500), 0.01, 0.0, 2)]
    {
        let mut names = data.states.clone();
        let forward = found(&data, 1);
        names.reverse();
        let mut backward = found(&data.with_states(&names), 1);
        assert_eq!(backward.states, names);
        backward.equations.reverse();
        let model =
            |found: &Discovery| found.tried.iter().find(|t| t.chosen).unwrap().model.clone();
        assert_eq!(model(&forward), model(&backward));
        for (a, b) in forward.equations.iter().zip(&backward.equations) {
            assert_eq!(
                (a.lhs.as_str(), a.terms.len()),
                (b.lhs.as_str(), b.terms.len()),
                "{forward}{backward}"
            );
            for term in &a.terms {
                let other = b.terms.iter().find(|other| other.factors == term.factors);
                let other = other.unwrap_or_else(|| panic!("{forward}{backward}"));
                let error = (term.coefficient - other.coefficient).abs();
                assert!(error < 0.1 * term.standard_error.unwrap(), "{forward}{backward}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let data = with_noise(van_der_pol(), 0.02, 0.0, 1);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| found(&data, 1))
    };
    let (one, three) = (on(1), on(3));
    assert_eq!(one.equations, three.equations);
    assert_eq!(one.tried, three.tried);
}

#[test]
fn the_observer_stops_all_searches() {
    let mut stopped = false;
    let outcome = discover(&van_der_pol(), &automatic(1), &mut |progress| {
        assert!(!stopped, "{}", progress.stage);
        stopped = progress.stage.starts_with("degree ");
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(outcome, Err(mechanistic::Error::Interrupted)), "{outcome:?}");
    assert!(stopped);
}

/// A gene that activates itself: no polynomial, but on a stretch of the way any rich one fits it.
#[test]
fn rich_models_that_predict_wrongly_are_not_chosen() {
    let field = |u: &[f64]| {
        let fifth = u[0].powi(5);
        vec![0.5 * fifth / (110.0 + fifth) - 0.9 * u[0] + 1.3]
    };
    let data = |start: f64| sample(&["x"], field, &[start], uniform(400, 0.025));
    // Which approximation is the best one depends on the last digits of the data.
    for start in [5.998, 6.0, 6.002] {
        let found = found(&data(start), 1);
        for other in [4.0, 8.0] {
            let prediction = found.predict(&data(other)).unwrap();
            assert!(prediction.explained[0] > 0.99, "{other}: {found}{:#?}", found.tried);
        }
        let chosen = found.tried.iter().find(|tried| tried.chosen).unwrap();
        let is_better_on_paper = |t: &&Tried| {
            t.score < chosen.score && t.held_out > Some(3.0 * chosen.held_out.unwrap())
        };
        assert!(found.tried.iter().any(|t| is_better_on_paper(&t)), "{:#?}", found.tried);
    }
}

/// Two coupled phases that move little: all twelve terms of degree two fit them to the last digit that is
/// distinguished, and so does degree three with one term less.
#[test]
fn approximations_that_take_nearly_all_terms_are_not_the_end() {
    let field = |u: &[f64]| {
        let pull = 0.4 * (u[0] - u[1]).sin();
        vec![-u[0].sin() + pull, -u[1].sin() - pull]
    };
    let data = sample(&["x", "y"], field, &[0.5, -0.1], uniform(500, 0.02));
    let tried = found(&data, 1).tried;
    let of = |name: &str| tried.iter().find(|tried| tried.model == name).unwrap();
    let (quadratic, chosen) = (of("degree 2"), tried.iter().find(|tried| tried.chosen).unwrap());
    assert!(quadratic.exact && quadratic.terms == 12, "{tried:#?}");
    assert!(chosen.terms < 10 && chosen.score < quadratic.score, "{tried:#?}");
}

/// Of models that fit to the last digit that is distinguished, their scores differ by the terms alone.
#[test]
fn a_term_less_is_worth_a_richer_model() {
    let field = |u: &[f64]| vec![1.0 / (1.0 + 1.6 * (-u[0]).exp()) - 0.5];
    let data = |start: f64| sample(&["x"], field, &[start], uniform(500, 0.02));
    for start in [0.78, 0.8, 0.82] {
        let tried = found(&data(start), 1).tried;
        let quintic = tried.iter().find(|tried| tried.model == "degree 5").unwrap();
        assert!(quintic.exact && quintic.terms == 6, "{tried:#?}");
        let chosen = tried.iter().find(|tried| tried.chosen).unwrap();
        assert!(chosen.exact && chosen.terms == 5, "{tried:#?}");
    }
}

/// A chemical oscillator, whose ratios of degree three begin with few terms.
#[test]
fn ratios_are_found() {
    let field = |u: &[f64]| {
        let (x, y) = (u[0], u[1]);
        let below = 1.0 + x * x;
        vec![7.5 - x - 4.0 * x * y / below, 1.2 * x * (1.0 - y / below)]
    };
    let data = sample(&["x", "y"], field, &[0.3, 0.5], uniform(500, 0.02));
    let found = found(&data, 1);
    let links: Vec<Link> = found.equations.iter().map(|equation| equation.link).collect();
    assert_eq!(links, [Link::Ratio; 2], "{found}{:#?}", found.tried);
    let expected = "x' = 7.5 - 1 x + 7.5 x x - 1 x x x - 4 x y / 1 + 1 x x; \
                    y' = 1.2 x - 1.2 x y + 1.2 x x x / 1 + 1 x x";
    assert_eq!(worst_error(&found, expected).map(|error| error < 1e-2), Ok(true), "{found}");
}

/// An oscillator from several initial values, each followed for fifteen points only.
#[test]
fn of_short_trajectories_whole_ones_are_held_out() {
    let field = |u: &[f64]| vec![u[1], (1.0 - u[0] * u[0]) * u[1] - u[0]];
    let of = |count: usize| {
        let starts = [[2.0, 1.0], [0.5, 0.7], [1.5, 0.4], [0.8, 1.8]];
        let one = |start: &[f64; 2]| sample(&["x", "y"], field, start, uniform(15, 0.1));
        let mut parts = starts[..count].iter().map(one);
        let mut all = parts.next().unwrap();
        all.trajectories.extend(parts.flat_map(|part| part.trajectories));
        all
    };
    // On the data's own grid, so that fifteen points are too few to split.
    let settings = Settings { grid_refinement: Some(1), ..automatic(1) };
    let found =
        |count| discover(&of(count), &settings, &mut |_| ControlFlow::Continue(())).unwrap();
    let several = found(4);
    let chosen = several.tried.iter().find(|tried| tried.chosen).unwrap();
    assert!(
        chosen.held_out.is_some_and(|error| error > 0.0 && error < 0.1),
        "{:#?}",
        several.tried
    );
    assert_eq!(chosen.model, "degree 3", "{several}{:#?}", several.tried);
    // Of a single one nothing can be held out, and nothing is said about it.
    let single = found(1);
    assert!(single.tried.iter().all(|tried| tried.held_out.is_none()), "{:#?}", single.tried);
}
