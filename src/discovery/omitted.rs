//! Terms that were no candidates: whether they would explain more of the data.
//!
//! A model is an assumption. Where its candidates approximate an equation whose terms are others, the fit
//! alone may look good. So the result is asked once what else would lower χ²: of a given model every term
//! of the next degree and the time, of one that the data chose, which was compared with richer ones, the
//! time; each is added alone to the terms that were found (the score test of C. R. Rao, 1948). That needs
//! one linearization, and no further fit of the trajectory. It is done as far as a limit of work allows, and
//! not for ratios, which can always be extended by a factor common to numerator and denominator.

use super::budget::{Budget, work};
use super::candidates::Parameter;
use super::grid::Grid;
use super::hidden::Hidden;
use super::joint::{Joint, NOISE_FLOORS, joint_values};
use super::ladder::Model;
use super::library::TIME;
use super::link::Link;
use super::notation::product;
use super::progress::Reporter;
use super::ranking::Found;
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use super::start::Start;
use super::view::View;
use crate::memory::ensure;
use crate::{Error, Result};

/// The most work of the question, in units of about a nanosecond.
const WORK: f64 = 2e9;
/// The most terms that are named for an equation.
const NAMED: usize = 3;

/// Returns warnings of terms that were no candidates in the equations that were found, and with which the
/// data would be explained better by more than a term must be worth. What was found stands, whatever keeps
/// this question from its answer.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn warnings(
    found: &Found<'_>,
    hidden: &Hidden,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<String>> {
    progress.stage(0.97, "asking what else would explain more")?;
    for (model, settings) in &wider_models(found, hidden, settings) {
        match asked(found, model, settings, progress) {
            Ok(warnings) => return Ok(warnings),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // Such as a term that is too large a number, or too little memory.
            Err(_) => {}
        }
    }
    Ok(vec![])
}

/// Returns models with the terms that were found and others, the widest first, and the settings that belong
/// to them.
fn wider_models(found: &Found<'_>, hidden: &Hidden, settings: &Settings) -> Vec<(Model, Settings)> {
    if found.model.links.contains(&Link::Ratio) || settings.threshold == 0.0 {
        return vec![];
    }
    let View { grid, data, .. } = found.view;
    let given = |(more, time): (usize, bool)| -> Option<(Model, Settings)> {
        let degree = settings.degree + more;
        let mut settings = Settings { degree, ..settings.clone() };
        let plain = Settings { terms: vec![], user_terms: vec![], ..settings.clone() };
        let monomials = Model::new(data, &plain).ok()?.library;
        settings.terms.retain(|term| monomials.position(std::slice::from_ref(term)).is_none());
        // Functions of the caller's would get another argument.
        if time && settings.user_terms.is_empty() {
            settings.terms.push(TIME.to_owned());
        }
        let model = hidden.restricted(Model::new(data, &settings).ok()?);
        Some((Model { links: found.model.links.clone(), ..model }, settings))
    };
    let models: Vec<(Model, Settings)> = match settings.automatic {
        true => {
            found.model.with_time().map(|model| (model, settings.clone())).into_iter().collect()
        }
        false => [(1, true), (1, false), (0, true)].into_iter().filter_map(given).collect(),
    };
    models.into_iter().filter(|(model, _)| is_affordable(grid, model)).collect()
}

fn is_affordable(grid: &Grid, model: &Model) -> bool {
    let (points, coefficients) = (grid.points(), model.coefficients());
    let values = joint_values(points, model.library.variables().len(), coefficients);
    let squares = coefficients.saturating_mul(coefficients).saturating_mul(4);
    work(points, model.unknowns()) <= WORK
        && ensure("the question", &[(values.saturating_add(squares), size_of::<f64>())]).is_ok()
}

/// Asks what the terms of this model would explain.
fn asked(
    found: &Found<'_>,
    model: &Model,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<String>> {
    let View { grid, smooth, .. } = found.view;
    let mut estimate = Start::new(model, grid, smooth, settings, false)?.estimate;
    if !estimate.continue_from(&found.estimate) {
        return Ok(vec![]);
    }
    let penalty = settings.threshold * settings.threshold;
    let (rhs, candidates) = (estimate.rhs.clone(), estimate.candidates.clone());
    let sharpest = &NOISE_FLOORS[NOISE_FLOORS.len() - 1..];
    let budget = Budget::new(f64::INFINITY);
    let mut joint = Joint::at(grid, smooth, estimate, sharpest, &budget)?;
    let (information, raised) = joint.about_all(penalty, progress)?;
    // With larger priors, what relieves them would seem worth having.
    if raised {
        return Ok(vec![]);
    }
    let is_new =
        |p: &Parameter| found.model.library.position(rhs.library.factors(p.term)).is_none();
    let gains = information.gains(&candidates.kept).into_iter();
    let gains = gains.map(|(candidate, gain)| (candidates.all[candidate], gain));
    let worth: Vec<(Parameter, f64)> =
        gains.filter(|(p, gain)| is_new(p) && *gain >= penalty).collect();
    let about = if found.view.is_moved() { " (about the means)" } else { "" };
    Ok(told(worth, &rhs, penalty, about))
}

/// Says by how much which of these terms would lower χ².
fn told(
    mut worth: Vec<(Parameter, f64)>,
    rhs: &RightHandSide<'_>,
    penalty: f64,
    about: &str,
) -> Vec<String> {
    worth.sort_by(|a, b| a.0.equation.cmp(&b.0.equation).then(b.1.total_cmp(&a.1)));
    let of_equation = worth.chunk_by(|a, b| a.0.equation == b.0.equation);
    let name = |(p, gain): &(Parameter, f64)| {
        let by = if *gain < 1e5 { format!("{gain:.0}") } else { format!("{gain:.0e}") };
        format!("`{}` (by {by})", product(rhs.library.factors(p.term)))
    };
    of_equation
        .map(|terms| {
            let names: Vec<String> = terms.iter().take(NAMED).map(name).collect();
            format!(
                "candidates of {} may be missing: χ² would be lower with {}{about}, of which \
                 {penalty:.0} would decide",
                rhs.lhs(terms[0].0.equation),
                names.join(" or ")
            )
        })
        .collect()
}
