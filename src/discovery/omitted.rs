//! Terms that were no candidates: whether they would explain more of the data.
//!
//! A given model is an assumption, and so is a constraint. Where the candidates approximate an equation
//! whose terms are others, or stand in for terms that a constraint excludes, the fit alone may look good.
//! So the result is asked once what else would lower χ²: every term of the next degree, the time, and
//! every coefficient that a constraint holds, each added alone to the terms that were found (the score
//! test of C. R. Rao, 1948). That needs one linearization and no further fit.

use super::budget::{Budget, work};
use super::candidates::{Candidates, Parameter, Support};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::hidden::Hidden;
use super::information::Information;
use super::joint::{Joint, NOISE_FLOORS};
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
use crate::{Error, Result};

/// The most work of the question, in units of about a nanosecond.
const WORK: f64 = 2e9;
/// The most terms that are named for an equation.
const NAMED: usize = 3;

/// A direction in which the coefficients were not free: that of one of them.
struct Direction {
    /// Number of the coefficient among the candidates of the wider model.
    candidate: usize,
    /// Whether only a constraint keeps it from changing.
    constrained: bool,
}

/// Returns warnings of terms that were no candidates in the equations found with a given model, and of
/// constraints, without which the data would be explained better by more than a term must be worth.
///
/// # Errors
/// [`Error::OutOfMemory`] if one linearization needs too much, [`Error::Interrupted`].
pub(super) fn warnings(
    found: &Found<'_>,
    hidden: &Hidden,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<String>> {
    // A ratio can always be extended by a factor common to numerator and denominator.
    if found.model.links.contains(&Link::Ratio) {
        return Ok(vec![]);
    }
    let View { grid, smooth, data, .. } = found.view;
    let wider = |degree: usize, time: bool| -> Option<(Model, Settings)> {
        let mut settings = without_constraints(settings, hidden, &data.states);
        settings.degree = degree;
        settings.terms.extend(time.then(|| TIME.to_owned()));
        let model = hidden.restricted(Model::new(data, &settings).ok()?);
        let model = Model { links: found.model.links.clone(), ..model };
        (work(grid.points(), model.unknowns()) <= WORK).then_some((model, settings))
    };
    let degree = settings.degree;
    let all = [(degree + 1, true), (degree + 1, false), (degree, false)];
    let Some((model, settings)) = all.into_iter().find_map(|(d, t)| wider(d, t)) else {
        return Ok(vec![]);
    };
    let mut estimate = match Start::new(&model, grid, smooth, &settings, false) {
        Ok(start) => start.estimate,
        // A term of the next degree is too large a number.
        Err(Error::Data(_)) => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let Some(places) = take(&mut estimate, &found.estimate) else { return Ok(vec![]) };
    let directions = directions(&estimate, &found.estimate);
    if directions.is_empty() {
        return Ok(vec![]);
    }
    let penalty = settings.threshold * settings.threshold;
    let rhs = estimate.rhs.clone();
    let all = estimate.candidates.all.clone();
    let budget = Budget::new(f64::INFINITY);
    let sharpest = &NOISE_FLOORS[NOISE_FLOORS.len() - 1..];
    let information = match Joint::at(grid, smooth, estimate, sharpest, &budget)
        .and_then(|mut joint| joint.information(penalty, progress))
    {
        Ok(information) => information.expect("the joint method compares sets of terms"),
        Err(Error::Data(_)) => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let gains = gains(&information, &values(&all, &rhs), &places, &directions);
    Ok(told(&gains, &directions, &all, &rhs, penalty))
}

/// Returns the settings without constraints but those that define hidden states.
fn without_constraints(settings: &Settings, hidden: &Hidden, states: &[String]) -> Settings {
    let free = Settings {
        known: vec![],
        positive: vec![],
        negative: vec![],
        equal: vec![],
        ..settings.clone()
    };
    hidden.defined(&states[..states.len() - hidden.names.len()], &free)
}

/// Takes coefficients, trajectory, noise and weights of what was found with a narrower model. Returns for
/// each coefficient that was free there its places among the candidates here, with their factors; `None`
/// if some have none.
fn take(estimate: &mut Estimate<'_>, found: &Estimate<'_>) -> Option<Vec<Vec<(usize, f64)>>> {
    let all = &estimate.candidates.all;
    let here = |p: &Parameter| {
        let term = estimate.rhs.library.position(found.rhs.library.factors(p.term))?;
        all.iter().position(|own| *own == Parameter { term, ..*p })
    };
    let mut places = vec![vec![]; found.candidates.kept.len()];
    for slot in found.candidates.slots() {
        places[slot.column].push((here(&slot.place)?, slot.factor));
    }
    // What is known and not zero is there too.
    let l = found.rhs.library.len();
    let mut terms: Vec<(usize, f64)> = vec![];
    for (place, value) in found.rhs.numerator.iter().enumerate().filter(|(_, v)| **v != 0.0) {
        let parameter = Parameter { equation: place / l, term: place % l, denominator: false };
        match here(&parameter) {
            Some(candidate) => terms.push((candidate, *value)),
            // The definition of a hidden state is no candidate here either.
            None if found.candidates.all.contains(&parameter) => return None,
            None => {}
        }
    }
    terms.sort_by_key(|(candidate, _)| *candidate);
    let (kept, coefficients) = terms.into_iter().unzip();
    estimate.take(&Support { kept, coefficients });
    estimate.trajectory.clone_from(&found.trajectory);
    estimate.noise.clone_from(&found.noise);
    estimate.equation_weights.clone_from(&found.equation_weights);
    estimate.discretization.clone_from(&found.discretization);
    Some(places)
}

/// Returns the candidates that were none before, or whose coefficients were not free to change alone.
fn directions(estimate: &Estimate<'_>, found: &Estimate<'_>) -> Vec<Direction> {
    let Candidates { all: before, ties, kept, .. } = &found.candidates;
    let direction = |(candidate, p): (usize, &Parameter)| {
        let term = found.rhs.library.position(estimate.rhs.library.factors(p.term));
        let place = term.map(|term| Parameter { term, ..*p });
        let number = place.and_then(|place| before.iter().position(|other| *other == place));
        let was_free = number.is_some_and(|number| {
            // Of terms that are equal, the first is not free where none of them is there.
            kept.contains(&number) || ties.iter().all(|tie| tie.leader != number)
        });
        (!was_free).then_some(Direction { candidate, constrained: term.is_some() })
    };
    estimate.candidates.all.iter().enumerate().filter_map(direction).collect()
}

fn values(all: &[Parameter], rhs: &RightHandSide<'_>) -> Vec<f64> {
    all.iter().map(|p| p.value(rhs)).collect()
}

/// Returns by how much χ² would fall if the coefficients could move in each direction too: with the
/// columns T of what was free and of one direction, from the coefficients c on, χ² is a quadratic function
/// of s in c + T s with the matrix Tᵀ A T and the gradient Tᵀ (A ξ − A c).
fn gains(
    information: &Information,
    values: &[f64],
    places: &[Vec<(usize, f64)>],
    directions: &[Direction],
) -> Vec<f64> {
    let n = values.len();
    let single = directions.iter().map(|direction| vec![(direction.candidate, 1.0)]);
    let columns: Vec<Vec<(usize, f64)>> = places.iter().cloned().chain(single).collect();
    let left: Vec<f64> = (0..n)
        .map(|i| {
            information.vector[i] - super::dense::dot(&information.matrix[i * n..][..n], values)
        })
        .collect();
    let times = |a: &[(usize, f64)], b: &[(usize, f64)]| -> f64 {
        let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (x, y)));
        pairs.map(|((i, x), (j, y))| x * y * information.matrix[i * n + j]).sum()
    };
    let matrix = columns.iter().flat_map(|a| columns.iter().map(move |b| times(a, b))).collect();
    let vector =
        columns.iter().map(|a| a.iter().map(|(i, factor)| factor * left[*i]).sum()).collect();
    let moved = Information {
        matrix,
        vector,
        equation: vec![0; columns.len()],
        signs: vec![0.0; columns.len()],
        penalty: information.penalty,
    };
    let free: Vec<usize> = (0..places.len()).collect();
    let mut gains = vec![0.0; directions.len()];
    for (column, gain) in moved.gains(&free) {
        gains[column - places.len()] = gain;
    }
    gains
}

/// Says which of these would be worth having. Where the data contradict a constraint, what lies beyond the
/// candidates would only make up for it.
fn told(
    gains: &[f64],
    directions: &[Direction],
    all: &[Parameter],
    rhs: &RightHandSide<'_>,
    penalty: f64,
) -> Vec<String> {
    let named = |constrained: bool, equation: usize| -> Option<(String, String)> {
        let worth = gains.iter().zip(directions).filter(|(gain, direction)| {
            let of = all[direction.candidate].equation == equation;
            of && direction.constrained == constrained && **gain >= penalty
        });
        let mut worth: Vec<(f64, usize)> =
            worth.map(|(gain, direction)| (*gain, all[direction.candidate].term)).collect();
        worth.sort_by(|a, b| b.0.total_cmp(&a.0));
        let name = |(gain, term): &(f64, usize)| {
            format!("`{}` (by {gain:.0})", product(rhs.library.factors(*term)))
        };
        let names: Vec<String> = worth.iter().take(NAMED).map(name).collect();
        (!names.is_empty()).then(|| (rhs.lhs(equation), names.join(" or ")))
    };
    let of_all = |constrained| (0..rhs.states()).filter_map(move |i| named(constrained, i));
    let contradicted: Vec<String> = of_all(true)
        .map(|(lhs, names)| {
            format!(
                "the data contradict a constraint on {lhs}: χ² would be lower with a free coefficient of \
                 {names}, of which {penalty:.0} would decide"
            )
        })
        .collect();
    if !contradicted.is_empty() {
        return contradicted;
    }
    of_all(false)
        .map(|(lhs, names)| {
            format!(
                "candidates of {lhs} may be missing: χ² would be lower with {names}, of which \
                 {penalty:.0} would decide"
            )
        })
        .collect()
}
