//! Discoveries as JSON, saved as a file, and their equations as a function of the state.
//!
//! Whatever the text, it is refused or is a discovery that can be printed, saved whole, read back as
//! it was, and whose equations are those of the right-hand side that is made of them, or refused.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::discovery::{Discovery, Library, RightHandSide, Settings, Term};
use safetensors::SafeTensors;
use serde_json::json;

use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, number, word};

pub const TARGET: Target = Target {
    name: "saved",
    generate,
    run,
    samples: &[br#"{"states": ["x", "y"], "order": 1, "equations": [
        {"lhs": "x'", "terms": [{"factors": ["x"], "coefficient": -10.002, "standard_error": 0.003},
                                {"factors": ["y"], "coefficient": 10.001, "standard_error": null}]},
        {"lhs": "y'", "terms": [{"factors": [], "coefficient": 1e-3, "standard_error": 0.01}],
         "link": "ratio", "denominator": [{"factors": ["x", "x"], "coefficient": 0.25, "standard_error": 0.1}]}],
        "fits": [{"time": [0, 1], "smoothed": [1, 2, 3, 4], "simulated": [1, 2, 3, 4]}],
        "noise": [0.1, 0.2], "warnings": []}"#],
    words: &["[]", "{}", "null", "\"x\"", "\"x'\"", "1e400", "-", ",", "\"link\":\"sin\"", "\\u0000"],
    tested: 60_000,
};

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let known = ["x", "y", "z", "x_1", "αβ", "sin(x)", "", "x'", "\\frac", "a b"];
    let states: Vec<String> = (0..u.int_in_range(1..=3)?)
        .map(|k| if chance(u, 1, 4)? { word(u, &known) } else { Ok(known[k].to_owned()) })
        .collect::<Choice<_>>()?;
    let order = if chance(u, 1, 16)? { u.int_in_range(0..=9)? } else { u.int_in_range(1..=2)? };
    let mut terms = || {
        (0..u.int_in_range(0..=4)?)
            .map(|_| {
                let factors = (0..u.int_in_range(0..=3)?)
                    .map(|_| match chance(u, 1, 8)? {
                        true => word(u, &known),
                        false => u.choose(&states).cloned(),
                    })
                    .collect::<Choice<Vec<String>>>()?;
                let error = if chance(u, 1, 4)? { None } else { Some(number(u, 8)?.abs()) };
                Ok(json!({"factors": factors, "coefficient": number(u, 8)?, "standard_error": error}))
            })
            .collect::<Choice<Vec<_>>>()
    };
    let all = states.iter().map(|state| Ok((state, terms()?, terms()?)));
    let all = all.collect::<Choice<Vec<_>>>()?;
    let link = word(u, &["identity", "tanh", "sin", "sigmoid", "ratio"])?;
    let equations: Vec<_> = all
        .into_iter()
        .map(|(state, terms, below)| {
            let lhs = format!("{state}{}", "'".repeat(order));
            match link.as_str() {
                "identity" => json!({"lhs": lhs, "terms": terms}),
                "ratio" => json!({"lhs": lhs, "terms": terms, "link": link, "denominator": below}),
                _ => json!({"lhs": lhs, "terms": terms, "link": link}),
            }
        })
        .collect();
    let m = u.int_in_range(0..=3)?;
    let values = vec![0.5; m * states.len()];
    let fit = json!({"time": vec![1.0; m], "smoothed": values, "simulated": values});
    let discovery =
        json!({"states": states, "order": order, "equations": equations, "fits": [fit]});
    Ok(discovery.to_string().into_bytes())
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let Ok(discovery) = serde_json::from_slice::<Discovery>(input) else { return Ok(false) };
    ensure(discovery.to_string().lines().count() >= discovery.equations.len(), || {
        "an equation that is not printed".into()
    })?;
    ensure(discovery.to_latex().ends_with("\\end{align*}\n"), || "LaTeX is cut".into())?;
    read_back(&discovery)?;
    save(&discovery, folder)?;
    rebuild(&discovery)
}

/// Reads the JSON of a discovery again, in which the factors are sorted.
fn read_back(discovery: &Discovery) -> Result<(), String> {
    let again: Discovery = serde_json::from_str(&discovery.to_json())
        .map_err(|error| format!("JSON is read back: {error}"))?;
    let sorted = |terms: &[Term]| -> Vec<Term> {
        let sort = |mut term: Term| {
            term.factors.sort_unstable();
            term
        };
        terms.iter().cloned().map(sort).collect()
    };
    ensure(again.states == discovery.states && again.order == discovery.order, || {
        "JSON is read back with other states".into()
    })?;
    ensure(again.equations.len() == discovery.equations.len(), || "equations are lost".into())?;
    for (again, equation) in again.equations.iter().zip(&discovery.equations) {
        ensure(again.terms == sorted(&equation.terms), || "JSON is read back otherwise".into())?;
    }
    Ok(())
}

/// Saves a discovery and reads the file, unless its arrays are not as many as its times ask for.
fn save(discovery: &Discovery, folder: &Path) -> Result<(), String> {
    let path = folder.join("saved.safetensors");
    if let Err(error) = discovery.save(&path, "t") {
        let consistent = discovery.fits.iter().all(|fit| {
            let values = fit.time.len() * discovery.states.len();
            fit.smoothed.len() == values && fit.simulated.len() == values
        });
        return ensure(!consistent, || format!("save: {error}"));
    }
    let bytes = std::fs::read(&path).map_err(machine)?;
    let read = |error| format!("the file is read back: {error}");
    let file = SafeTensors::deserialize(&bytes).map_err(read)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(read)?;
    let equations = header.metadata().as_ref().and_then(|metadata| metadata.get("equations"));
    ensure(equations == Some(&discovery.to_json()), || "other equations in the file".into())?;
    for (index, fit) in discovery.fits.iter().enumerate() {
        let name = format!("trajectory{}.smoothed", index + 1);
        let bytes: Vec<u8> = fit.smoothed.iter().flat_map(|value| value.to_le_bytes()).collect();
        let same = file.tensor(&name).is_ok_and(|tensor| tensor.data() == bytes);
        ensure(same, || "other values in the file".into())?;
    }
    Ok(())
}

/// Makes a right-hand side of the equations and writes its equations again. Accepted is a discovery
/// of which there is one.
fn rebuild(discovery: &Discovery) -> Outcome {
    let link = discovery.equations.first().map(|equation| equation.link).unwrap_or_default();
    let settings = Settings { order: discovery.order, degree: 3, link, ..Settings::default() };
    if discovery.states.len() > 4 || settings.validate().is_err() {
        return Ok(false);
    }
    let Ok(library) = Library::new(&discovery.states, &settings) else { return Ok(false) };
    let made = RightHandSide::from_equations(&library, &settings, &discovery.equations);
    let Ok(rhs) = made else { return Ok(false) };
    let state = vec![0.5; library.variables().len()];
    let mut derivative = vec![0.0; state.len()];
    rhs.derivative(&state, &mut vec![0.0; library.len()], &mut derivative);
    let errors = vec![None; rhs.numerator.len() + rhs.denominator.len()];
    let equations = rhs.equations(&errors);
    let again = RightHandSide::from_equations(&library, &settings, &equations)
        .map_err(|error| format!("the equations of a right-hand side: {error}"))?;
    let same = again.numerator == rhs.numerator && again.denominator == rhs.denominator;
    ensure(same || !finite(&rhs), || "the terms become others".to_owned())?;
    Ok(true)
}

/// Returns whether no sum of coefficients has overflowed.
fn finite(rhs: &RightHandSide<'_>) -> bool {
    rhs.numerator.iter().chain(&rhs.denominator).all(|value| value.is_finite())
}
