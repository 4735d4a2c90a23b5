//! Hidden states, which are derivatives of those with data.

use std::ops::ControlFlow;

use super::systems::*;
use mechanistic::discovery::{
    Dataset, Discovery, EqualTerms, KnownTerm, Method, Settings, TermName, Trajectory, discover,
};

fn hidden(count: usize, degree: usize) -> Settings {
    Settings { hidden: count, degree, ..Settings::default() }
}

/// What was found has these terms, and nothing to warn of.
#[track_caller]
fn assert_found(data: &Dataset, settings: &Settings, expected: &str, tolerance: f64) -> Discovery {
    let found = found(data, settings);
    check(&found, expected, tolerance);
    assert_eq!(found.warnings, Vec::<String>::new(), "{found}");
    let names: Vec<String> = (1..=settings.hidden).map(|i| format!("hidden{i}")).collect();
    assert_eq!(found.hidden, names);
    assert_eq!(found.states, [&data.states[..], &names].concat());
    assert_eq!((found.noise.len(), found.explained.len()), (data.states.len(), data.states.len()));
    found
}

/// x'' = (1 − x²) x' − x.
fn van_der_pol() -> Dataset {
    let field = |u: &[f64]| vec![u[1], (1.0 - u[0] * u[0]) * u[1] - u[0]];
    sample(&["x"], field, &[0.5, 0.0], uniform(2000, 0.02))
}

const VAN_DER_POL: &str = "x' = 1 hidden1; hidden1' = -1 x + 1 hidden1 - 1 hidden1 x x";

#[test]
fn an_oscillator_seen_through_its_place() {
    for (seed, noise) in [(0, 0.0), (1, 0.01), (2, 0.01)] {
        let data = with_noise(van_der_pol(), noise, 0.0, seed);
        let found = assert_found(&data, &hidden(1, 3), VAN_DER_POL, 0.01);
        // The definition is no estimate, and the simulation goes through the data.
        assert_eq!(found.equations[0].terms[0].standard_error, None);
        assert!(found.explained[0] > 0.99, "{:?}", found.explained);
    }
}

#[test]
fn a_pendulum_and_a_duffing_oscillator_with_noise() {
    let swing = with_noise(pendulum(), 0.01, 0.0, 3);
    let settings = Settings { sine_cosine: true, ..hidden(1, 1) };
    let expected = "x' = 1 hidden1; hidden1' = -0.1 hidden1 - 4 sin(x)";
    assert_found(&swing, &settings, expected, 0.01);

    // Two trajectories with gaps.
    let data = together(vec![
        duffing(&[2.0, 0.0], uniform(1500, 0.01)),
        duffing(&[0.5, 2.0], irregular(1500, 0.01, 4)),
    ]);
    let data = with_gaps(with_noise(data, 0.01, 0.0, 5), 0.1, 6);
    let expected = "x' = 1 hidden1; hidden1' = -1 x - 0.2 hidden1 - 1 x x x";
    assert_found(&data, &hidden(1, 3), expected, 0.02);
}

/// Three compartments in exchange, of which two are measured: with z = (x' + 0.9 x) / 0.5, the
/// law of hidden1 = x' is linear too.
#[test]
fn a_compartment_between_two() {
    let field = |u: &[f64]| {
        vec![
            -0.9 * u[0] + 0.5 * u[2],
            0.3 * u[2] - 0.4 * u[1],
            0.9 * u[0] - 0.8 * u[2] + 0.2 * u[1],
        ]
    };
    let course = |initial: &[f64]| sample(&["x", "y"], field, initial, uniform(800, 0.02));
    let data = together(vec![
        course(&[5.0, 0.0, 0.0]),
        course(&[0.0, 4.0, 1.0]),
        course(&[1.0, 0.5, 6.0]),
    ]);
    // y' = 0.6 x' + 0.54 x − 0.4 y, x'' = −1.7 x' − 0.27 x + 0.1 y.
    let expected = "x' = 1 hidden1; y' = 0.54 x - 0.4 y + 0.6 hidden1; \
                    hidden1' = -0.27 x + 0.1 y - 1.7 hidden1";
    assert_found(&data, &hidden(1, 1), expected, 1e-3);
    assert_found(&with_noise(data, 0.002, 0.0, 7), &hidden(1, 1), expected, 0.02);
}

/// The velocities of two bodies between springs are two hidden states; a law of third order is a
/// hidden state whose derivative is another.
#[test]
fn several_hidden_states() {
    let field = |u: &[f64]| vec![u[2], u[3], -2.0 * u[0] + u[1] - 0.1 * u[2], u[0] - 3.0 * u[1]];
    let data = sample(&["x", "y"], field, &[1.0, 0.0, 0.0, 0.5], uniform(2000, 0.02));
    let expected = "x' = 1 hidden1; y' = 1 hidden2; hidden1' = -2 x + 1 y - 0.1 hidden1; \
                    hidden2' = 1 x - 3 y";
    assert_found(&with_noise(data, 0.005, 0.0, 8), &hidden(2, 1), expected, 0.02);

    // Sprott's chaotic x''' = −2.017 x'' + x'² − x.
    let field = |u: &[f64]| vec![u[1], u[2], -2.017 * u[2] + u[1] * u[1] - u[0]];
    let data = sample(&["x"], field, &[0.0, 0.0, 1.0], uniform(3000, 0.02));
    let expected = "x' = 1 hidden1; hidden1' = 1 hidden2; \
                    hidden2' = -1 x - 2.017 hidden2 + 1 hidden1 hidden1";
    assert_found(&with_noise(data, 1e-3, 0.0, 9), &hidden(2, 2), expected, 0.02);
}

fn prey() -> Dataset {
    let field = |u: &[f64]| vec![u[0] - 0.5 * u[0] * u[1], 0.4 * u[0] * u[1] - 0.8 * u[1]];
    sample(&["x"], field, &[1.0, 1.0], uniform(2000, 0.02))
}

/// Of prey alone, x' = x − 0.5 x y, y' = 0.4 x y − 0.8 y, the law of hidden1 = x' is a ratio:
/// hidden1' = hidden1²/x + (0.4 x − 0.8)(hidden1 − x).
#[test]
fn a_law_that_is_a_ratio_needs_its_term() {
    let polynomial = found(&prey(), &hidden(1, 2));
    let doubtful = |w: &String| w.starts_with("`hidden1` cannot be identified with these terms: ");
    assert!(polynomial.warnings.iter().any(doubtful), "{polynomial}{:?}", polynomial.warnings);

    let terms = vec!["hidden1^2/x".into()];
    let settings = Settings { terms, ..hidden(1, 2) };
    let found = found(&with_noise(prey(), 1e-3, 0.0, 10), &settings);
    // The own term is written in the way of the program.
    let own = found.equations[1].terms.iter().find(|t| t.factors.iter().any(|f| f.contains('/')));
    let own = own.unwrap_or_else(|| panic!("{found}")).factors.join(" ");
    let expected = format!(
        "x' = 1 hidden1; hidden1' = 0.8 x - 0.8 hidden1 - 0.4 x x + 0.4 hidden1 x + 1 {own}"
    );
    check(&found, &expected, 0.02);
    assert_eq!(found.warnings, Vec::<String>::new(), "{found}");
}

/// Where the states with data have equations of their own, a hidden one is a function of them.
#[test]
fn what_cannot_be_identified_is_said() {
    let decay = sample(&["x"], |u| vec![-u[0]], &[3.0], uniform(300, 0.02));
    let logistic = sample(&["x"], |u| vec![u[0] - u[0] * u[0]], &[0.05], uniform(600, 0.02));
    let circle = planar_linear();
    for (data, degree, equation) in [
        (&decay, 1, "x' = -"),
        (&decay, 2, "x' = -"),
        (&logistic, 2, "x' = "),
        (&circle, 1, "x' = -0."),
    ] {
        for noise in [0.0, 0.01] {
            let data = with_noise(data.clone(), noise, 0.0, 11);
            let found = discover(&data, &hidden(1, degree), &mut |_| ControlFlow::Continue(()));
            // Where the fit says nothing, the search is refused.
            let said = found.map_or_else(|error| vec![error.to_string()], |found| found.warnings);
            let start = format!("`hidden1` cannot be identified: without it, {equation}");
            assert!(said.iter().any(|text| text.starts_with(&start)), "{noise}: {said:?}");
        }
    }
    // The first hidden state is one too many, and the derivative of the first state.
    let line = sample(&["x"], |_| vec![2.0], &[1.0], uniform(100, 0.1));
    let refused = discover(&line, &hidden(1, 1), &mut |_| ControlFlow::Continue(()));
    let message = refused.unwrap_err().to_string();
    let expected = "`hidden1` cannot be identified: it is the slope of `x`, which never changes";
    assert_eq!(message, expected);
}

#[test]
fn a_model_with_a_hidden_state_is_saved_and_predicts() {
    let found = found(&with_noise(van_der_pol(), 0.01, 0.0, 12), &hidden(1, 3));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    found.save(&path, "t").unwrap();
    let (model, _) = Discovery::load(&path).unwrap();
    assert_eq!(model.hidden, ["hidden1"]);

    let field = |u: &[f64]| vec![u[1], (1.0 - u[0] * u[0]) * u[1] - u[0]];
    let initial = [-1.0, 1.5];
    let other = sample(&["x"], field, &initial, uniform(600, 0.02));
    let prediction = model.predict(&other).unwrap();
    assert_eq!((&*prediction.states, prediction.explained.len()), (&*model.states, 1));
    assert!(prediction.explained[0] > 0.99, "{:?}", prediction.explained);
    assert!(
        (prediction.trajectories[0][1] - 1.5).abs() < 0.05,
        "{}",
        prediction.trajectories[0][1]
    );
    // The initial value may be given, where nothing else is measured.
    let mut given = other.with_hidden(&["hidden1".into()]);
    given.trajectories[0].values[1] = 1.5;
    given.trajectories[0].values[2..].fill(f64::NAN);
    let prediction = model.predict(&given).unwrap();
    let last = prediction.trajectories[0][2 * 599];
    assert!((last - other.trajectories[0].values[599]).abs() < 0.05, "{last}");
    given.states[1] = "unknown".into();
    let message = model.predict(&given).unwrap_err().to_string();
    assert!(message.starts_with("the initial hidden states cannot be estimated"), "{message}");
    let odd = Discovery { hidden: vec!["x".into()], ..model };
    let message = odd.predict(&other).unwrap_err().to_string();
    assert_eq!(message, "hidden: x are not the last of the states x, hidden1");
}

#[test]
fn every_bad_request_is_named() {
    let data = van_der_pol();
    let message = |data: &Dataset, settings: &Settings| {
        discover(data, settings, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let one = || hidden(1, 2);
    let start = |settings: &Settings, start: &str| {
        let message = message(&data, settings);
        assert!(message.starts_with(start), "{message}");
    };
    start(&hidden(3, 2), "hidden: at most 2 for each of the 1 states with data");
    start(&Settings { method: Method::Network, ..one() }, "hidden: only the joint method");
    start(&Settings { order: 2, ..one() }, "hidden: order 2 already has");
    start(&Settings { automatic: true, ..one() }, "hidden: hidden states belong to a given model");
    start(&hidden(1, 0), "hidden: hidden states must occur in the terms: the degree");
    let name =
        |state: &str, term: &str| TermName { state: state.into(), factors: vec![term.into()] };
    let own = "x' = hidden1 is what `hidden1` is defined by";
    let known = KnownTerm { state: "x".into(), factors: vec!["x".into()], coefficient: 0.0 };
    start(&Settings { known: vec![known], ..one() }, &format!("known: {own}"));
    let terms = vec![name("x", "x")];
    start(&Settings { positive: terms.clone(), ..one() }, &format!("positive: {own}"));
    start(&Settings { negative: terms, ..one() }, &format!("negative: {own}"));
    let (first, second) = (name("hidden1", "x"), name("x", "x"));
    let equal = vec![EqualTerms { first, second, opposite: false }];
    start(&Settings { equal, ..one() }, &format!("equal: {own}"));

    let clash = Dataset { states: vec!["hidden1".into()], ..data.clone() };
    let expected = "hidden: the data have a column `hidden1`, which is what a hidden state is called: \
                    give it another name, or leave it out";
    assert_eq!(message(&clash, &one()), expected);
    let mut clash = data.clone();
    clash.inputs = vec!["hidden1".into()];
    clash.trajectories[0].inputs = vec![0.0; 2000];
    assert_eq!(message(&clash, &one()), expected);
    // Without hidden states the name is free.
    let free =
        Dataset { states: vec!["hidden1".into()], ..planar_linear().with_states(&["x".into()]) };
    assert!(found(&free, &Settings { degree: 1, ..Settings::default() }).hidden.is_empty());
}

/// Constraints hold for the equations that are found, inputs act on them.
#[test]
fn constraints_and_inputs_go_with_hidden_states() {
    let time = uniform(1500, 0.02);
    let push = |t: f64| if (0.3 * t).sin() > 0.0 { 1.0 } else { -0.5 };
    let inputs: Vec<f64> = time.iter().map(|t| push(*t)).collect();
    // The input holds from sample to sample.
    let mut state = vec![1.0, 0.0];
    let mut values = vec![1.0];
    for u in &inputs[..1499] {
        let field = |s: &[f64]| vec![s[1], -2.0 * s[0] - 0.3 * s[1] + u];
        state = integrate(field, &state, &[0.0, 0.02])[2..].to_vec();
        values.push(state[0]);
    }
    let data = Dataset {
        states: vec!["x".into()],
        inputs: vec!["u".into()],
        trajectories: vec![Trajectory { time, values, inputs }],
    };
    let known = KnownTerm { state: "hidden1".into(), factors: vec!["x".into()], coefficient: -2.0 };
    let settings = Settings { known: vec![known], ..hidden(1, 1) };
    let expected = "x' = 1 hidden1; hidden1' = -2 x - 0.3 hidden1 + 1 u";
    assert_found(&with_noise(data, 0.005, 0.0, 13), &settings, expected, 0.02);
}
