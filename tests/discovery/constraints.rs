//! Coefficients of which something is known: their value, their sign, that they are equal.

use std::ops::ControlFlow;

use super::systems::*;
use mechanistic::discovery::{
    Dataset, Discovery, EqualTerms, KnownTerm, Method, Settings, TermName, discover,
};

fn name(state: &str, term: &str) -> TermName {
    TermName { state: state.into(), factors: vec![term.into()] }
}

fn coefficient(found: &Discovery, equation: usize, factor: &str) -> (f64, Option<f64>) {
    let term = found.equations[equation].terms.iter().find(|term| term.factors == [factor]);
    let term = term.unwrap_or_else(|| panic!("no {factor} in {found}"));
    (term.coefficient, term.standard_error)
}

/// x' = −0.1 x + 2 y, y' = −2 x − 0.1 y with noise.
fn oscillation() -> Dataset {
    with_noise(planar_linear(), 0.01, 0.0, 1)
}

#[test]
fn equal_and_opposite_coefficients_are_one() {
    let pair = |first, second, opposite| EqualTerms { first, second, opposite };
    let settings = Settings {
        equal: vec![
            pair(name("x", "y"), name("y", "x"), true),
            pair(name("x", "x"), name("y", "y"), false),
        ],
        ..Settings::default()
    };
    let tied = found(&oscillation(), &settings);
    check(&tied, "x' = -0.1 x + 2 y; y' = -2 x - 0.1 y", 1e-2);
    let of = |equation, factor| coefficient(&tied, equation, factor);
    assert_eq!(of(0, "x"), of(1, "y"));
    let ((one, error), (other, same_error)) = (of(0, "y"), of(1, "x"));
    assert_eq!((one, error), (-other, same_error));
    // Two equations decide more sharply than one.
    let free = found(&oscillation(), &Settings::default());
    assert!(of(0, "x").1 < coefficient(&free, 0, "x").1, "{tied}{free}");

    let network = Settings { method: Method::Network, ..settings };
    let refused = discover(&oscillation(), &network, &mut |_| ControlFlow::Continue(()));
    let message = refused.unwrap_err().to_string();
    assert!(message.starts_with("equal: only the joint method"), "{message}");
}

#[test]
fn equal_terms_go_together() {
    // Neither x in y' nor y in x' is there.
    let field = |u: &[f64]| vec![-0.5 * u[0] + 1.0, -0.2 * u[1] + 0.3];
    let data = sample(&["x", "y"], field, &[0.1, 4.0], uniform(300, 0.03));
    let data = with_noise(data, 0.01, 0.0, 2);
    let equal = vec![EqualTerms { first: name("x", "y"), second: name("y", "x"), opposite: false }];
    let settings = Settings { degree: 1, equal, ..Settings::default() };
    check(&found(&data, &settings), "x' = 1 - 0.5 x; y' = 0.3 - 0.2 y", 0.1);
}

#[test]
fn a_sign_that_the_data_have_changes_nothing() {
    let free = found(&oscillation(), &Settings::default());
    let settings = Settings {
        positive: vec![name("x", "y")],
        negative: vec![name("y", "x"), name("x", "x")],
        ..Settings::default()
    };
    let signed = found(&oscillation(), &settings);
    assert_eq!(signed.equations, free.equations);
    assert_eq!(signed.warnings, free.warnings);
}

#[test]
fn a_sign_that_the_data_contradict_holds_the_coefficient_at_zero() {
    let settings = Settings {
        degree: 1,
        positive: vec![name("x", "x"), name("x", "y")],
        ..Settings::default()
    };
    let signed = found(&oscillation(), &settings);
    assert!(signed.equations[0].terms.iter().all(|term| term.coefficient > 0.0), "{signed}");
    let warned = signed.warnings.iter().any(|warning| {
        warning
            .starts_with("the constraint on `x` in x' is active: it holds the coefficient at zero")
    });
    assert!(warned, "{:?}", signed.warnings);
    let about_y = signed.warnings.iter().any(|warning| warning.contains("constraint on `y`"));
    assert!(!about_y, "{:?}", signed.warnings);
}

#[test]
fn terms_are_excluded_and_fixed_by_their_expressions() {
    let known = |state: &str, term: &str, coefficient| KnownTerm {
        state: state.into(),
        factors: vec![term.into()],
        coefficient,
    };
    let known = vec![known("x", "y", 2.0), known("y", "x^2", 0.0), known("y", "1", 0.0)];
    let settings = Settings { known, ..Settings::default() };
    let fixed = found(&oscillation(), &settings);
    check(&fixed, "x' = -0.1 x + 2 y; y' = -2 x - 0.1 y", 2e-2);
    assert_eq!(coefficient(&fixed, 0, "y"), (2.0, None));
}
