//! Data as people have them: clean ones, unequal columns, gaps, offsets, outliers, and data that the
//! terms do not explain. What comes out is right, or says that it is not.

use std::f64::consts::{PI, TAU};

use super::random_systems::outcome;
use super::systems::*;
use mechanistic::discovery::{Dataset, Discovery, Settings, Term, Trajectory};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

#[track_caller]
fn assert_warned(found: &Discovery, parts: &[&str]) {
    let warned = |part: &&str| found.warnings.iter().any(|warning| warning.contains(*part));
    assert!(parts.iter().all(warned), "{parts:?}: {:?}", found.warnings);
}

/// x' = −0.1 x + 2 y, y' = −2 x − 0.1 y on 201 points.
fn oscillation() -> Dataset {
    let field = |u: &[f64]| vec![-0.1 * u[0] + 2.0 * u[1], -2.0 * u[0] - 0.1 * u[1]];
    sample(&["x", "y"], field, &[2.0, 0.0], uniform(201, 0.05))
}

fn predator_and_prey(time: Vec<f64>) -> Dataset {
    let field = |u: &[f64]| vec![u[0] - 0.7 * u[0] * u[1], 0.4 * u[0] * u[1] - 0.8 * u[1]];
    sample(&["a", "b"], field, &[3.0, 1.0], time)
}

/// The data with another column, `row(t)` at time t.
fn with_column(mut data: Dataset, name: &str, mut column: impl FnMut(f64) -> f64) -> Dataset {
    let k = data.states.len();
    for trajectory in &mut data.trajectories {
        let rows = trajectory.values.chunks_exact(k).zip(&trajectory.time);
        trajectory.values =
            rows.flat_map(|(row, t)| [row.to_vec(), vec![column(*t)]].concat()).collect();
    }
    data.states.push(name.into());
    data
}

/// A decay that is measured with an error of 5 % of each value: where every value counted alike, the late
/// ones would say nothing, and the standard error would be more than three times as large.
#[test]
fn values_count_by_their_own_noise() {
    let mut data = sample(&["x"], |u| vec![-u[0]], &[10.0], uniform(400, 0.0125));
    let mut random = StdRng::seed_from_u64(5);
    for x in &mut data.trajectories[0].values {
        let normal: f64 = StandardNormal.sample(&mut random);
        *x *= 1.0 + 0.05 * normal;
    }
    let found = found(&data, &degree(1));
    let [term] = &found.equations[0].terms[..] else { panic!("{found}") };
    let error = term.standard_error.unwrap();
    // 0.05 √12 / (5 √400) for a line through 400 logarithms.
    assert!((0.0012..0.0024).contains(&error), "{error}");
    assert!((term.coefficient + 1.0).abs() < 4.0 * error, "{found}");
    // The root mean square of the noise.
    let squares = data.trajectories[0].values.iter().map(|x| (0.05 * x).powi(2)).sum::<f64>();
    let noise = (squares / 400.0).sqrt();
    assert!((found.noise[0] / noise - 1.0).abs() < 0.15, "{} {noise}", found.noise[0]);
}

#[test]
fn clean_systems_are_found_in_every_order_of_the_columns() {
    for seed in 0..4 {
        let outcome = outcome(seed, 0.0).unwrap();
        assert!(outcome.exact && outcome.same, "seed {seed}: {outcome:?}");
    }
    let outcome = outcome(1, 1e-4).unwrap();
    assert!(outcome.exact, "{outcome:?}");
}

#[test]
fn clean_species_that_settle() {
    let field = |u: &[f64]| {
        let (a, b, c, d) = (u[0], u[1], u[2], u[3]);
        vec![a * (1.1 - a - 0.4 * b), b * (0.7 - 0.3 * a - b), 0.6 * a - c, c - 0.25 * d]
    };
    let names = ["a", "b", "c", "d"];
    let data = sample(&names, field, &[0.15, 0.2, 0.0, 0.0], uniform(400, 0.2));
    let expected = "a' = 1.1 a - 1 a a - 0.4 a b; b' = 0.7 b - 0.3 a b - 1 b b; \
                    c' = 0.6 a - 1 c; d' = 1 c - 0.25 d";
    check(&found(&data, &degree(2)), expected, 1e-4);
}

/// Ten times coarser than usual: the error of the grid's rows is far above the noise.
#[test]
fn standard_errors_cover_the_discretization() {
    let field = |u: &[f64]| {
        vec![10.0 * (u[1] - u[0]), u[0] * (28.0 - u[2]) - u[1], u[0] * u[1] - 8.0 / 3.0 * u[2]]
    };
    let data = sample(&["x", "y", "z"], field, &[1.0, 2.0, 3.0], uniform(500, 0.1));
    let found = found(&data, &degree(2));
    check(&found, LORENZ, 1e-5);
    assert_eq!(found.warnings, Vec::<String>::new());
    let truth = [-10.0, 10.0, 28.0, -1.0, -1.0, -8.0 / 3.0, 1.0];
    let terms = found.equations.iter().flat_map(|equation| &equation.terms);
    for (term, truth) in terms.zip(truth) {
        let error = (term.coefficient - truth) / term.standard_error.unwrap();
        assert!(error.abs() < 4.0, "{term:?}: {error} standard errors");
    }
}

#[test]
fn columns_do_not_spoil_each_other() {
    let clean = with_noise(oscillation(), 1e-5, 0.0, 1);
    let constant = with_column(clean.clone(), "u", |_| 1.1);
    let left = found(&constant, &degree(2));
    assert_eq!(left.states, ["x", "y"]);
    check(&left, PLANAR_LINEAR, 1e-3);
    assert_warned(&left, &["`u` never changes and was left out"]);

    let mut random = StdRng::seed_from_u64(5);
    let unrelated = with_column(clean, "w", |_| StandardNormal.sample(&mut random));
    let mut three = found(&unrelated, &degree(2));
    assert!(three.equations.pop().unwrap().terms.is_empty(), "{:?}", three.equations);
    check(&three, PLANAR_LINEAR, 0.1);
}

#[test]
fn unequal_sensors_keep_their_own_noise() {
    let mut data = with_noise(oscillation(), 1e-4, 0.0, 3);
    let rough = with_noise(oscillation(), 0.1, 0.0, 4);
    let rows = data.trajectories[0].values.chunks_exact_mut(2);
    for (row, rough) in rows.zip(rough.trajectories[0].values.chunks_exact(2)) {
        row[1] = rough[1];
    }
    let found = found(&data, &degree(2));
    check(&found, PLANAR_LINEAR, 0.2);
    let ratio = found.noise[1] / found.noise[0];
    assert!((300.0..3000.0).contains(&ratio), "{:?}", found.noise);
}

#[test]
fn a_gap_of_a_period_splits_a_trajectory() {
    let time = || uniform(160, 0.2).into_iter().filter(|t| !(8.1..15.1).contains(t)).collect();
    let data = with_noise(predator_and_prey(time()), 1e-4, 0.0, 2);
    let found = found(&data, &degree(2));
    check(&found, "a' = 1 a - 0.7 a b; b' = -0.8 b + 0.4 a b", 1e-2);
    assert_warned(&found, &["count as two trajectories"]);
    // To the caller it is still one.
    assert_eq!(found.fits.len(), 1);
    assert_eq!(found.fits[0].smoothed.len(), 2 * found.fits[0].time.len());
    assert!(found.explained.iter().all(|explained| *explained > 0.999), "{:?}", found.explained);
}

#[test]
fn states_far_from_zero() {
    let mut data = with_noise(predator_and_prey(uniform(151, 0.2)), 1e-3, 0.0, 2);
    data.trajectories[0].values.iter_mut().for_each(|x| *x += 100.0);
    let shifted = found(&data, &degree(2));
    // (a − 100)(1 − 0.7 (b − 100)) and (b − 100)(0.4 (a − 100) − 0.8).
    let expected = "a' = -7100 + 71 a + 70 b - 0.7 a b; b' = 4080 - 40 a - 40.8 b + 0.4 a b";
    check(&shifted, expected, 2e-2);
    assert_warned(&shifted, &["far from zero for their changes: `a` (10"]);

    // A swinging temperature in kelvin.
    let field = |u: &[f64]| vec![0.2 * u[1], -20.0 * (u[0] - 300.0) - 0.1 * u[1]];
    let data = sample(&["x", "y"], field, &[300.1, 0.0], uniform(300, 0.1));
    let kelvin = found(&with_noise(data, 0.01, 0.0, 1), &degree(1));
    check(&kelvin, "x' = 0.2 y; y' = 6000 - 20 x - 0.1 y", 0.2);
}

#[test]
fn outliers_are_named_and_left_out() {
    let clean = with_noise(oscillation(), 1e-3, 0.0, 1);
    let mut data = clean.clone();
    let values = &mut data.trajectories[0].values;
    values[2 * 57] = 0.0;
    values[2 * 58] = 0.0;
    values[2 * 120 + 1] = -9999.0;
    let named = ["`x` in row 58 (0), `x` in row 59 (0), `y` in row 121 (-9999)"];
    assert_warned(&found(&data, &degree(2)), &named);
    let robust = found(&data, &Settings { robust: true, ..degree(2) });
    assert_warned(&robust, &named);
    check(&robust, PLANAR_LINEAR, 1e-2);
    assert_eq!(found(&clean, &degree(2)).warnings, Vec::<String>::new());
}

/// The data with a share of the values moved by a size between these, and how many they are: with
/// rates on a grid of this step, some are near enough to their neighbors to stay.
fn with_outliers(mut data: Dataset, share: f64, size: [f64; 2], seed: u64) -> (Dataset, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut count = 0;
    for x in data.trajectories.iter_mut().flat_map(|t| &mut t.values) {
        if random.random::<f64>() < share {
            let sign = if random.random::<f64>() < 0.3 { -1.0 } else { 1.0 };
            *x += sign * (size[0] + (size[1] - size[0]) * random.random::<f64>());
            count += 1;
        }
    }
    (data, count)
}

/// The root mean square of the coefficients' errors, in standard errors of `beside`.
fn deviations(found: &Discovery, truth: &[f64], beside: &Discovery) -> f64 {
    let terms = |found: &Discovery| -> Vec<Term> {
        found.equations.iter().flat_map(|equation| equation.terms.clone()).collect()
    };
    let squares =
        terms(found).into_iter().zip(terms(beside)).zip(truth).map(|((term, other), truth)| {
            ((term.coefficient - truth) / other.standard_error.unwrap()).powi(2)
        });
    (squares.sum::<f64>() / truth.len() as f64).sqrt()
}

/// A few percent of outliers, gross ones and others that the neighbors do not betray.
#[test]
fn outliers_cost_a_robust_search_little() {
    let clean = with_noise(lorenz(800), 0.01, 0.0, 3);
    let truth = [-10.0, 10.0, 28.0, -1.0, -1.0, -8.0 / 3.0, 1.0];
    let robust = Settings { robust: true, ..degree(2) };
    let reference = found(&clean, &degree(2));
    check(&reference, LORENZ, 0.02);
    // Without outliers both are nearly the same.
    let same = found(&clean, &robust);
    check(&same, LORENZ, 0.02);
    assert!(deviations(&same, &truth, &reference) < 1.5, "{:?}", same.equations);
    let error = |found: &Discovery| found.equations[1].terms[0].standard_error.unwrap();
    let ratio = error(&same) / error(&reference);
    assert!((0.9..1.25).contains(&ratio), "{ratio}");

    for size in [[0.5, 2.0], [5.0, 40.0]] {
        let (spoiled, count) = with_outliers(clean.clone(), 0.03, size, 8);
        let robustly = found(&spoiled, &robust);
        check(&robustly, LORENZ, 0.02);
        assert!(deviations(&robustly, &truth, &reference) < 2.0, "{:?}", robustly.equations);
        assert!((0.9..1.5).contains(&(error(&robustly) / error(&reference))));
        assert!(robustly.noise[0] < 1.3 * reference.noise[0], "{:?}", robustly.noise);
        assert!(robustly.explained.len() == 3 && robustly.down_weighted.len() <= count + 3);
        if size[0] > 1.0 {
            assert!(robustly.down_weighted.len() >= count, "{count}");
        }
        let plain = found(&spoiled, &degree(2));
        assert!(worst_error(&plain, LORENZ).is_err() || error(&plain) > 2.0 * error(&reference));
    }
}

/// What hardly counts is named by trajectory and row of the caller, over gaps and on finer grids.
#[test]
fn rows_that_hardly_count_are_named() {
    let time = || uniform(160, 0.2).into_iter().filter(|t| !(8.1..15.1).contains(t)).collect();
    let one = with_noise(predator_and_prey(time()), 0.03, 0.0, 2);
    let mut data =
        together(vec![with_noise(predator_and_prey(uniform(100, 0.2)), 0.03, 0.0, 5), one]);
    let values = &mut data.trajectories[1].values;
    values[2 * 80 + 1] += 0.8;
    let spoiled = values[2 * 80 + 1];
    let found = found(&data, &Settings { robust: true, ..degree(2) });
    check(&found, "a' = 1 a - 0.7 a b; b' = -0.8 b + 0.4 a b", 0.1);
    let [value] = &found.down_weighted[..] else { panic!("{:?}", found.down_weighted) };
    assert_eq!((value.trajectory, value.row, &*value.state), (2, 81, "b"));
    assert!((value.value - spoiled).abs() < 1e-12 && value.weight < 0.25, "{value:?}");
}

#[test]
fn what_the_terms_do_not_explain_is_said() {
    // An angle that is wrapped.
    let field = |u: &[f64]| vec![u[1], -0.05 * u[1] - 9.0 * u[0].sin()];
    let mut data = sample(&["theta", "omega"], field, &[0.0, 8.0], uniform(400, 0.015));
    for row in data.trajectories[0].values.chunks_exact_mut(2) {
        row[0] = (row[0] + PI).rem_euclid(TAU) - PI;
    }
    assert_warned(&found(&data, &degree(2)), &["`theta` jumps by nearly its whole range"]);

    // Three coupled phases, without sines among the terms.
    let field = |u: &[f64]| -> Vec<f64> {
        let pull = |i: usize| -> f64 { (0..3).map(|j| (u[j] - u[i]).sin()).sum() };
        (0..3).map(|i| 0.5 + 0.7 * i as f64 + 0.6 * pull(i)).collect()
    };
    let data = sample(&["p1", "p2", "p3"], field, &[0.0, 1.0, 3.0], uniform(400, 0.05));
    let phases = found(&data, &degree(2));
    assert!(!phases.warnings.is_empty(), "{:?}", phases.equations);

    // Replicate columns, and a sum that is conserved.
    let twins = with_noise(oscillation(), 0.0, 0.0, 1);
    let mut copies = twins.trajectories[0].values.chunks_exact(2).map(|row| row[0]);
    let twins = with_column(twins.clone(), "x2", |_| copies.next().unwrap());
    let twins = found(&with_noise(twins, 1e-3, 0.0, 2), &degree(2));
    assert_warned(&twins, &["`x` and `x2` are collinear"]);

    let field = |u: &[f64]| {
        let (infection, recovery) = (0.5 * u[0] * u[1], 0.1 * u[1]);
        vec![-infection, infection - recovery, recovery]
    };
    let data = sample(&["S", "I", "R"], field, &[0.99, 0.01, 0.0], uniform(120, 0.5));
    let epidemic = found(&with_noise(data, 0.0, 0.003, 1), &degree(2));
    assert_warned(&epidemic, &["is constant up to the noise"]);
}

/// Decays that a first-order equation cannot tell apart: whatever is kept is significant.
#[test]
fn no_term_stays_below_the_threshold() {
    let frequencies = [0.3, 0.55, 0.8, 1.1, 1.5, 1.9];
    let names = ["a", "b", "c", "d", "e", "f"];
    let time = uniform(60, 0.1);
    let values = time.iter().flat_map(|t| frequencies.map(|w| (w * t).cos())).collect();
    let trajectories = vec![Trajectory { time, values, ..Trajectory::default() }];
    let data =
        Dataset { states: names.map(String::from).to_vec(), trajectories, ..Dataset::default() };
    for threshold in [3.0, 5.0] {
        let settings = Settings { threshold, ..degree(1) };
        let found = found(&data, &settings);
        for term in found.equations.iter().flat_map(|equation| &equation.terms) {
            let significance = term.coefficient.abs() / term.standard_error.unwrap();
            assert!(significance >= threshold, "{term:?}");
        }
    }
}
