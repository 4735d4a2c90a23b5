//! Constraints on coefficients that the data contradict: other terms may stand in for what a false
//! constraint excludes, and the fit alone may look good. So the equations are searched for without the
//! constraints too, and the scores compared.

use super::equation::Equation;
use super::progress::Reporter;
use super::ranking::Found;
use super::settings::Settings;
use crate::{Error, Result};

/// The part of what a term must be worth by which equations without the constraints must be better: they
/// pay for a term where a constraint has given it.
const MARGIN: f64 = 0.5;

/// Returns the settings without the constraints that the caller gave.
pub(super) fn without_constraints(settings: &Settings) -> Settings {
    Settings {
        known: vec![],
        positive: vec![],
        negative: vec![],
        equal: vec![],
        ..settings.clone()
    }
}

/// Returns the warning that the data contradict the constraints, if the equations that `search` finds
/// without them explain the data better. What was found stands, whatever keeps this search from its end.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn warning<'a>(
    found: &Found<'_>,
    settings: &Settings,
    search: impl FnOnce(&mut Reporter<'_, '_>) -> Result<Found<'a>>,
    progress: &mut Reporter<'_, '_>,
) -> Result<Option<String>> {
    let free = match progress.relaying("without constraints", search) {
        Ok(free) => free,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(_) => return Ok(None),
    };
    let penalty = settings.threshold * settings.threshold;
    let difference = found.score(settings) - free.score(settings);
    // That with the constraints one term more is needed, which has its price, is no contradiction yet.
    let price = if found.terms() > free.terms() { penalty } else { 0.0 };
    let (exact, was_exact) = (free.estimate.is_exact(), found.estimate.is_exact());
    let what = match (exact, was_exact) {
        (true, false) => "which the data obey exactly, unlike those with them".to_owned(),
        // Disturbances may follow the data where exact equations may not.
        (false, true) => return Ok(None),
        _ if difference - price > MARGIN * penalty => {
            format!("with a score that is lower by {difference:.1}, which is much")
        }
        _ => return Ok(None),
    };
    let (held, others) = (found.estimate.equations(), free.estimate.equations());
    let differ = |(a, b): &(&Equation, &Equation)| !a.has_same_terms(b);
    let changed: Vec<&Equation> =
        held.iter().zip(&others).filter(differ).map(|(_, other)| other).collect();
    let told = if changed.is_empty() { others.iter().collect() } else { changed };
    let told: Vec<String> = told.into_iter().map(Equation::to_string).collect();
    Ok(Some(format!(
        "the data contradict the constraints: a search without them gives {}, {what}",
        told.join(" and ")
    )))
}
