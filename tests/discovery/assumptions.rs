//! Models and constraints are assumptions: where the data contradict them, or lack what would decide, the
//! result says so, and where they are right it says nothing.

use std::sync::Arc;

use super::systems::*;
use mechanistic::discovery::{
    Dataset, Discovery, EqualTerms, KnownTerm, Settings, TermName, Trajectory, UserTerm,
};

fn name(state: &str, term: &str) -> TermName {
    TermName { state: state.into(), factors: vec![term.into()] }
}

fn known(state: &str, term: &str, coefficient: f64) -> KnownTerm {
    KnownTerm { state: state.into(), factors: vec![term.into()], coefficient }
}

/// x' = 1.1 x − 0.4 x y, y' = 0.1 x y − 0.4 y with noise.
fn predator_and_prey() -> Dataset {
    let field = |u: &[f64]| vec![1.1 * u[0] - 0.4 * u[0] * u[1], 0.1 * u[0] * u[1] - 0.4 * u[1]];
    with_noise(sample(&["x", "y"], field, &[10.0, 5.0], uniform(401, 0.05)), 0.02, 0.0, 1)
}

/// Takes the second of two states away.
fn first_only(mut data: Dataset) -> Dataset {
    let values = &mut data.trajectories[0].values;
    *values = values.iter().step_by(2).copied().collect();
    data.states.pop();
    data
}

fn warning<'a>(found: &'a Discovery, parts: &[&str]) -> Option<&'a String> {
    found.warnings.iter().find(|warning| parts.iter().all(|part| warning.contains(part)))
}

/// Other terms make up for what a false constraint excludes, most of all where it is nearly true.
#[test]
fn a_false_constraint_is_contradicted() {
    let equal = |opposite| EqualTerms { first: name("x", "x"), second: name("y", "y"), opposite };
    let base = Settings::default;
    let cases = [
        (Settings { equal: vec![equal(false)], ..base() }, "y'"),
        (Settings { equal: vec![equal(true)], ..base() }, "y'"),
        (Settings { known: vec![known("x", "x", 2.0)], ..base() }, "x'"),
        (Settings { known: vec![known("x", "x", 1.0)], ..base() }, "x'"),
        (Settings { known: vec![known("x", "x y", 0.0)], ..base() }, "x'"),
        (Settings { positive: vec![name("x", "x y")], ..base() }, "x'"),
    ];
    for (settings, lhs) in cases {
        let found = found(&predator_and_prey(), &settings);
        let told = warning(&found, &["contradict the constraints", &format!("{lhs} = ")]);
        assert!(told.is_some(), "{found}{:?}", found.warnings);
        // What else would help only makes up for that.
        assert!(warning(&found, &["may be missing: χ²"]).is_none(), "{:?}", found.warnings);
    }
}

/// Functions of the caller's see the states, however much is asked besides.
#[test]
fn own_functions_get_no_other_arguments() {
    let user = UserTerm {
        name: "square".into(),
        value: Arc::new(|state| {
            let [x, _] = state else { panic!("{state:?}") };
            x * x
        }),
        gradient: Arc::new(|state, out| out.copy_from_slice(&[2.0 * state[0], 0.0])),
    };
    let settings = Settings { user_terms: vec![user], terms: vec!["x^3".into()], ..degree(1) };
    let found = found(&predator_and_prey(), &settings);
    let told = warning(&found, &["candidates of x' may be missing", "`x y`"]);
    assert!(told.is_some(), "{found}{:?}", found.warnings);
}

#[test]
fn a_true_constraint_is_not() {
    let opposite = EqualTerms { first: name("x", "x y"), second: name("y", "x y"), opposite: true };
    let settings = Settings {
        known: vec![known("x", "x", 1.1), known("x", "1", 0.0)],
        positive: vec![name("y", "x y")],
        ..Settings::default()
    };
    let field = |u: &[f64]| vec![1.1 * u[0] - 0.4 * u[0] * u[1], 0.4 * u[0] * u[1] - 0.4 * u[1]];
    let other = sample(&["x", "y"], field, &[3.0, 2.0], uniform(401, 0.05));
    let tied = Settings { equal: vec![opposite], ..settings.clone() };
    for (data, settings) in
        [(predator_and_prey(), settings), (with_noise(other, 0.02, 0.0, 2), tied)]
    {
        let found = found(&data, &settings);
        assert_eq!(found.warnings, Vec::<String>::new(), "{found}");
    }
}

/// A wrong degree, a law that changes with time, and a hidden state whose law is a ratio.
#[test]
fn candidates_that_do_not_suffice_are_told() {
    let linear = found(&predator_and_prey(), &degree(1));
    let told = warning(&linear, &["candidates of x' may be missing", "`x y`"]);
    assert!(told.is_some(), "{linear}{:?}", linear.warnings);

    // The second state is the time itself.
    let field = |u: &[f64]| vec![0.3 * u[1] - u[0], 1.0];
    let ageing = first_only(sample(&["x", "s"], field, &[1.0, 0.0], uniform(300, 0.03)));
    let found_without = found(&with_noise(ageing, 0.01, 0.0, 3), &degree(1));
    let told = warning(&found_without, &["candidates of x' may be missing", "`t`"]);
    assert!(told.is_some(), "{found_without}{:?}", found_without.warnings);

    let prey = first_only(predator_and_prey());
    let found = found(&prey, &Settings { hidden: 1, ..degree(2) });
    let told = warning(&found, &["hidden1' has nearly all of its candidates"]);
    assert!(told.is_some(), "{found}{:?}", found.warnings);
}

#[test]
fn a_series_that_turns_back_needs_more_than_first_order() {
    let cosine = |t: &f64| t.cos();
    let time = uniform(200, 0.05);
    let values = time.iter().map(cosine).collect();
    let trajectory = Trajectory { time, values, ..Trajectory::default() };
    let data =
        Dataset { states: vec!["x".into()], trajectories: vec![trajectory], ..Dataset::default() };
    let first = found(&data, &degree(2));
    assert!(warning(&first, &["`x` rises and falls", "order 2"]).is_some(), "{:?}", first.warnings);
    let second = found(&data, &Settings { order: 2, ..degree(2) });
    check(&second, "x'' = -1 x", 1e-3);
    assert_eq!(second.warnings, Vec::<String>::new());
    // What only falls, or rises in one trajectory and falls in another, does not.
    let decay = |from: f64| sample(&["x"], |u| vec![1.0 - u[0]], &[from], uniform(100, 0.05));
    let both = together(vec![decay(3.0), decay(-1.0)]);
    let found = found(&with_noise(both, 0.02, 0.0, 4), &degree(2));
    assert!(warning(&found, &["rises and falls"]).is_none(), "{:?}", found.warnings);
}
