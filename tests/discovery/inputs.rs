//! Equations with inputs that no equation determines, with the time, and with expressions.

use std::ops::ControlFlow;

use super::systems::*;
use mechanistic::discovery::{
    Dataset, Interpolation, Link, Method, Settings, Trajectory, discover,
};

fn refused(data: &Dataset, settings: &Settings) -> String {
    discover(data, settings, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
}

/// The last states are inputs from now on.
fn with_inputs(data: Dataset, count: usize) -> Dataset {
    let (states, inputs) = data.states.split_at(data.states.len() - count);
    let split = |t: Trajectory| {
        let rows = || t.values.chunks_exact(data.states.len());
        let values = rows().flat_map(|row| row[..states.len()].to_vec()).collect();
        let inputs = rows().flat_map(|row| row[states.len()..].to_vec()).collect();
        Trajectory { time: t.time.clone(), values, inputs }
    };
    Dataset {
        states: states.to_vec(),
        inputs: inputs.to_vec(),
        trajectories: data.trajectories.into_iter().map(split).collect(),
    }
}

/// x' = v, v' = −0.3 v + x − x³ + F with F = 0.5 cos(1.2 t), F measured.
fn driven() -> Dataset {
    let force = |t: f64| 0.5 * (1.2 * t).cos();
    let field = |u: &[f64]| {
        vec![u[1], -0.3 * u[1] + u[0] - u[0].powi(3) + force(u[3]), -0.6 * (1.2 * u[3]).sin(), 1.0]
    };
    let data = sample(&["x", "v", "F"], field, &[1.0, 0.0, 0.5, 0.0], uniform(1201, 0.05));
    with_inputs(data, 1)
}

const DRIVEN: &str = "x' = 1 v; v' = 1 F - 0.3 v + 1 x - 1 x x x";

#[test]
fn a_driven_oscillator() {
    let clean = found(&driven(), &degree(3));
    check(&clean, DRIVEN, 1e-3);
    assert_eq!(clean.inputs, ["F"]);
    // The simulation has the input, too.
    assert!(clean.explained.iter().all(|explained| *explained > 0.99), "{:?}", clean.explained);
    check(&found(&with_noise(driven(), 0.01, 0.0, 1), &degree(3)), DRIVEN, 0.05);
}

#[test]
fn missing_inputs_are_interpolated_and_gaps_split_them() {
    let mut data = driven();
    data.trajectories[0].inputs.iter_mut().skip(3).step_by(5).for_each(|f| *f = f64::NAN);
    let keep = |row: &usize| !(500..600).contains(row);
    let whole = data.trajectories.remove(0);
    let rows = || (0..whole.time.len()).filter(keep);
    data.trajectories.push(Trajectory {
        time: rows().map(|row| whole.time[row]).collect(),
        values: rows().flat_map(|row| whole.values[2 * row..][..2].to_vec()).collect(),
        inputs: rows().map(|row| whole.inputs[row]).collect(),
    });
    let found = found(&data, &degree(3));
    check(&found, DRIVEN, 2e-2);
    assert!(found.warnings.iter().any(|w| w.contains("the gap from")), "{:?}", found.warnings);
}

/// x' = −0.5 x + 2 u, where u is switched at measured times.
#[test]
fn a_switch_holds_its_value() {
    let step: f64 = 0.1;
    let switch = |i: usize| [0.0, 1.0, 0.3, -0.7][i / 50 % 4];
    let (mut x, mut values, mut inputs) = (0.5, vec![], vec![]);
    for i in 0..600 {
        let u = switch(i);
        values.push(x);
        inputs.push(u);
        x = 4.0 * u + (x - 4.0 * u) * (-0.5 * step).exp();
    }
    let data = Dataset {
        states: vec!["x".into()],
        inputs: vec!["u".into()],
        trajectories: vec![Trajectory { time: uniform(600, step), values, inputs }],
    };
    let settings = Settings { interpolation: Some(Interpolation::Hold), ..degree(2) };
    let held = found(&data, &settings);
    check(&held, "x' = 2 u - 0.5 x", 1e-3);
    assert!(held.explained[0] > 0.999_999, "{:?}", held.explained);
    assert_eq!(held.interpolation, [Interpolation::Hold]);
    // By default, too: most values are the same as the one before.
    assert_eq!(found(&data, &degree(2)).equations, held.equations);
    // Straight lines between the values are almost right.
    let lines = Settings { interpolation: Some(Interpolation::Linear), ..degree(1) };
    check(&found(&data, &lines), "x' = 2 u - 0.5 x", 5e-2);

    // A switch that is on or off has no square that could stand in for it.
    let mut data = data;
    data.trajectories[0].inputs.iter_mut().for_each(|u| *u = (*u + 0.7) / 1.7);
    let mut x = 0.5;
    let trajectory = &mut data.trajectories[0];
    trajectory.inputs.iter_mut().for_each(|u| *u = u.round());
    for (value, u) in trajectory.values.iter_mut().zip(&trajectory.inputs) {
        *value = x;
        x = 4.0 * u + (x - 4.0 * u) * (-0.5 * step).exp();
    }
    check(&found(&data, &degree(3)), "x' = 2 u - 0.5 x", 1e-3);
}

#[test]
fn inputs_of_second_order_and_of_a_ratio() {
    let field = |u: &[f64]| {
        vec![u[1], -u[0] - 0.2 * u[1] + (0.7 * u[3]).sin(), 0.7 * (0.7 * u[3]).cos(), 1.0]
    };
    let all = sample(&["x", "v", "u"], field, &[1.0, 0.0, 0.0, 0.0], uniform(800, 0.05));
    let data = with_inputs(all.with_states(&["x".into(), "u".into()]), 1);
    let settings = Settings { order: 2, ..degree(1) };
    check(&found(&data, &settings), "x'' = 1 u - 1 x - 0.2 x'", 5e-3);

    // Growth on a nutrient that is supplied: x' = (u x − 0.1 x) / (1 + 0.5 x).
    let field = |s: &[f64]| {
        let u = 0.3 + 0.25 * s[2].sin();
        vec![(u * s[0] - 0.1 * s[0]) / (1.0 + 0.5 * s[0]), 0.25 * s[2].cos(), 1.0]
    };
    let data = with_inputs(sample(&["x", "u"], field, &[0.5, 0.3, 0.0], uniform(400, 0.05)), 1);
    let settings = Settings { link: Link::Ratio, ..degree(2) };
    let ratio = found(&data, &settings);
    assert_eq!(ratio.equations[0].denominator.len(), 1, "{ratio}");
    assert!((ratio.equations[0].denominator[0].coefficient - 0.5).abs() < 0.02, "{ratio}");
}

#[test]
fn the_time_and_expressions_are_candidates() {
    // x' = −0.4 x + 0.2 t.
    let field = |u: &[f64]| vec![-0.4 * u[0] + 0.2 * u[1], 1.0];
    let ramp = sample(&["x"], field, &[2.0, 0.0], uniform(200, 0.05));
    let settings = Settings { explicit_time: true, ..degree(1) };
    let timed = found(&ramp, &settings);
    check(&timed, "x' = 0.2 t - 0.4 x", 1e-4);
    assert!(timed.to_json().contains("\"t\"\n"), "{}", timed.to_json());

    // x' = exp(−x) − 0.5 x/(1 + x²) + sin(3 t).
    let field = |u: &[f64]| {
        vec![(-u[0]).exp() - 0.5 * u[0] / (1.0 + u[0] * u[0]) + (3.0 * u[1]).sin(), 1.0]
    };
    let data = sample(&["x"], field, &[-1.0, 0.0], uniform(600, 0.02));
    let terms = ["exp(-x)", "x/(1+x^2)", "sin(3*t)", "cos(3*t)"].map(String::from).to_vec();
    let settings = Settings { terms, ..degree(1) };
    let expression = found(&data, &settings);
    let factors: Vec<&str> =
        expression.equations[0].terms.iter().map(|term| &*term.factors[0]).collect();
    assert_eq!(factors, ["exp(-x)", "x/(1 + x^2)", "sin(3*t)"], "{expression}");
    for (term, truth) in expression.equations[0].terms.iter().zip([1.0, -0.5, 1.0]) {
        assert!((term.coefficient - truth).abs() < 1e-3, "{expression}");
    }
    assert!(expression.to_json().contains("*(x/(1 + x**2))"), "{}", expression.to_json());
}

#[test]
fn unusable_inputs_are_named() {
    let data = driven();
    let network = Settings { method: Method::Network, ..degree(3) };
    let message = refused(&data, &network);
    assert!(message.starts_with("method: the network method takes no inputs"), "{message}");
    let mut twice = data.clone();
    twice.inputs[0] = "x".into();
    assert_eq!(refused(&twice, &degree(3)), "inputs: `x` is already a state or an input");
    let terms = Settings { terms: vec!["sin(F*w)".into()], ..degree(1) };
    let message = refused(&data, &terms);
    assert!(message.starts_with("terms: `sin(F*w)`: there is no `w` (there are x, v, F, t,"));
    assert!(message.ends_with("at character 7"), "{message}");

    let mut constant = data;
    constant.trajectories[0].inputs.fill(2.0);
    let found = found(&constant, &degree(1));
    assert!(found.warnings[0].contains("`F` never changes and was left out"));
    assert!(found.inputs.is_empty());
    let terms = Settings { terms: vec!["sin(F)".into()], ..degree(1) };
    assert_eq!(refused(&constant, &terms), "`F` never changes");
}
