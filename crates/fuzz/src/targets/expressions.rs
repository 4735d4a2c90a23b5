//! Terms as expressions of the caller's own, and the prediction with equations that have them.
//!
//! Whatever the text, it is refused or is a term that is written, read again as the same function, and
//! integrated without a panic or an end that does not come.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::discovery::{
    Dataset, Discovery, Equation, Interpolation, Library, Link, Settings, Term, Trajectory,
};

use super::{Outcome, Target, ensure};
use crate::entropy::{chance, tame, word};

pub const TARGET: Target = Target {
    name: "expressions",
    generate,
    run,
    samples: &[
        b"exp(-x)",
        b"x/(1 + `T [K]`^2)",
        b"x' sin(2*pi*t) - 1e-3 u**0.5",
        b"sqrt(abs(x)) tanh(x')^-2",
    ],
    words: &["(", ")", "^", "**", "-", "`", "1e308", "e", "log(", "T [K]", "x'", "^-1", "/0", "−"],
    tested: 40_000,
};

/// The names that expressions may have, and what is called like them.
const NAMES: [&str; 8] = ["x", "x'", "`T [K]`", "`T [K]'`", "u", "t", "pi", "y"];
const FUNCTIONS: [&str; 8] = ["exp", "log", "sqrt", "abs", "sin", "tanh", "atan", "cosh"];

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    Ok(expression(u, 5)?.into_bytes())
}

/// Returns an expression with at most so many operations within each other.
fn expression(u: &mut Unstructured<'_>, depth: usize) -> Choice<String> {
    if depth == 0 || chance(u, 1, 4)? {
        return if chance(u, 1, 3)? { Ok(tame(u)?.to_string()) } else { word(u, &NAMES) };
    }
    let inner = expression(u, depth - 1)?;
    Ok(match u.int_in_range(0..=4)? {
        0 => format!("{}({inner})", word(u, &FUNCTIONS)?),
        1 => format!("({inner})"),
        2 => format!("-{inner}"),
        3 => format!("{inner}^{}", tame(u)?),
        _ => {
            let operation = u.choose(&["+", "-", "*", "/", " ", "^", " - "])?;
            format!("{inner}{operation}{}", expression(u, depth - 1)?)
        }
    })
}

fn run(input: &[u8], _: &Path) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
    let (states, inputs) = (["x".to_owned(), "T [K]".to_owned()], ["u".to_owned()]);
    let settings =
        Settings { order: 2, degree: 1, terms: vec![text.to_owned()], ..Settings::default() };
    let Ok(library) = Library::with_inputs(&states, &inputs, &settings) else { return Ok(false) };
    let own = library.len() - 1;
    let term =
        Term { factors: library.factors(own).to_vec(), coefficient: 1.0, standard_error: None };
    let equation = |lhs: &str, terms| Equation {
        lhs: lhs.into(),
        terms,
        link: Link::Identity,
        denominator: vec![],
    };
    let discovery = Discovery {
        states: states.to_vec(),
        inputs: inputs.to_vec(),
        interpolation: vec![Interpolation::Linear],
        order: 2,
        equations: vec![equation("x''", vec![term]), equation("T [K]''", vec![])],
        ..Discovery::default()
    };
    let again: Discovery = serde_json::from_str(&discovery.to_json())
        .map_err(|error| format!("JSON is read back: {error}"))?;
    ensure(discovery.to_latex().ends_with("\\end{align*}\n"), || "LaTeX is cut".into())?;
    same_function(&library, own, &again)?;
    predict(&again)?;
    Ok(true)
}

/// Compares a term with the one that was written and read again.
fn same_function(library: &Library, own: usize, again: &Discovery) -> Result<(), String> {
    for state in [[0.5, 1.25, -0.75, 2.0, 0.1, 3.0], [-2.0, 0.0, 1.0, -1.0, 0.0, 0.0]] {
        let mut values = vec![0.0; library.len()];
        library.values(&state[..library.arguments()], &mut values);
        let mut gradients = vec![0.0; library.len() * library.arguments()];
        library.gradients(&state[..library.arguments()], &values, &mut gradients);
        let derivative =
            again.derivative(&state).map_err(|error| format!("the term is read back: {error}"))?;
        let (value, read) = (values[own], derivative[2]);
        let near = (value - read).abs() <= 1e-12 * value.abs();
        ensure(near || value == read || (value.is_nan() && read.is_nan()), || {
            format!("the term becomes another: {value} {read}")
        })?;
    }
    Ok(())
}

/// Integrates the equations.
fn predict(discovery: &Discovery) -> Result<(), String> {
    let time: Vec<f64> = (0..6).map(|i| 0.5 * f64::from(i)).collect();
    // A column that never changes is refused.
    let trajectory = Trajectory {
        values: time.iter().flat_map(|t| [0.5 + 0.1 * t, 1.25 - 0.1 * t]).collect(),
        inputs: time.iter().map(|t| 0.1 * t).collect(),
        time,
    };
    let data = Dataset {
        states: discovery.states.clone(),
        inputs: discovery.inputs.clone(),
        trajectories: vec![trajectory],
    };
    let prediction = match discovery.predict(&data) {
        Ok(prediction) => prediction,
        Err(error) => return Err(format!("the prediction is refused: {error}")),
    };
    ensure(prediction.trajectories[0].len() == 12, || "values are lost".into())?;
    ensure(prediction.explained.iter().all(|r| r.is_nan() || *r <= 1.0), || "R² above 1".into())
}
