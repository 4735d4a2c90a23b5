//! Terms that were no candidates: whether they would explain more of the data.
//!
//! A given model is an assumption, and so is a constraint. Where the candidates approximate an equation
//! whose terms are others, or stand in for terms that a constraint excludes, the fit alone may look good.
//! So the result is asked once what else would lower χ²: every term of the next degree, the time, and
//! every coefficient that a constraint holds, each added alone to the terms that were found (the score
//! test of C. R. Rao, 1948). That needs one linearization, and no further fit of the trajectory. It is done
//! as far as a limit of work allows, and not for ratios, which can always be extended by a factor common to
//! numerator and denominator.

use super::budget::{Budget, work};
use super::candidates::{Candidates, Parameter, Support};
use super::dense::dot;
use super::estimate::Estimate;
use super::grid::Grid;
use super::hidden::Hidden;
use super::information::Information;
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

/// A direction in which the coefficients were not free: that of one of them.
struct Direction {
    /// Number of the coefficient among the candidates of the wider model.
    candidate: usize,
    /// Whether only a constraint keeps it from changing.
    constrained: bool,
}

/// Returns warnings of terms that were no candidates in the equations found with a given model, and of
/// constraints, without which the data would be explained better by more than a term must be worth. What
/// was found stands, whatever keeps this question from its answer.
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
    let models = wider_models(found, hidden, settings);
    for (model, settings) in &models {
        match asked(found, model, settings, progress) {
            Ok(warnings) => return Ok(warnings),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // Such as a term that is too large a number, or too little memory.
            Err(_) => {}
        }
    }
    Ok(vec![])
}

/// Returns models with the terms that were found and others, without constraints, the widest first, and
/// the settings that belong to them.
fn wider_models(found: &Found<'_>, hidden: &Hidden, settings: &Settings) -> Vec<(Model, Settings)> {
    if found.model.links.contains(&Link::Ratio) || settings.threshold == 0.0 {
        return vec![];
    }
    let View { grid, data, .. } = found.view;
    let wider = |(more, time): (usize, bool)| -> Option<(Model, Settings)> {
        let mut settings = without_constraints(settings, hidden, &data.states);
        settings.degree += more;
        let plain = Settings { terms: vec![], user_terms: vec![], ..settings.clone() };
        let monomials = Model::new(data, &plain).ok()?.library;
        settings.terms.retain(|term| monomials.position(std::slice::from_ref(term)).is_none());
        // Functions of the caller's would get another argument.
        if time && settings.user_terms.is_empty() {
            settings.terms.push(TIME.to_owned());
        }
        let model = hidden.restricted(Model::new(data, &settings).ok()?);
        let model = Model { links: found.model.links.clone(), ..model };
        is_affordable(grid, &model).then_some((model, settings))
    };
    [(1, true), (1, false), (0, true), (0, false)].into_iter().filter_map(wider).collect()
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
    let Some(places) = take_over(&mut estimate, &found.estimate) else { return Ok(vec![]) };
    let directions = directions(&estimate, &found.estimate);
    if directions.is_empty() {
        return Ok(vec![]);
    }
    let penalty = settings.threshold * settings.threshold;
    let (rhs, candidates) = (estimate.rhs.clone(), estimate.candidates.all.clone());
    let sharpest = &NOISE_FLOORS[NOISE_FLOORS.len() - 1..];
    let budget = Budget::new(f64::INFINITY);
    let mut joint = Joint::at(grid, smooth, estimate, sharpest, &budget)?;
    let (information, raised) = joint.about_all(penalty, progress)?;
    // With larger priors, what relieves them would seem worth having.
    if raised {
        return Ok(vec![]);
    }
    let values: Vec<f64> = candidates.iter().map(|p| p.value(&rhs)).collect();
    let gains = gains(&information, &values, &places, &directions);
    let about = if found.view.is_moved() { " (about the means)" } else { "" };
    Ok(told(&gains, &directions, &candidates, &rhs, penalty, about))
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
fn take_over(estimate: &mut Estimate<'_>, found: &Estimate<'_>) -> Option<Vec<Vec<(usize, f64)>>> {
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
    let Candidates { all: before, ties, kept, signs, .. } = &found.candidates;
    let direction = |(candidate, p): (usize, &Parameter)| {
        let term = found.rhs.library.position(estimate.rhs.library.factors(p.term));
        let place = term.map(|term| Parameter { term, ..*p });
        let number = place.and_then(|place| before.iter().position(|other| *other == place));
        let was_free = number.is_some_and(|number| {
            // Of terms that are equal, the first is not free where none of them is there, nor is one that
            // must have a sign.
            let tied = ties.iter().any(|tie| tie.leader == number);
            kept.contains(&number) || !(tied || signs[number] != 0.0)
        });
        (!was_free).then_some(Direction { candidate, constrained: term.is_some() })
    };
    estimate.candidates.all.iter().enumerate().filter_map(direction).collect()
}

/// Returns by how much χ² would fall if the coefficients could move in each direction too: with the
/// columns T of what was free and of one direction, from the coefficients c on, χ² is a quadratic function
/// of s in c + T s with the matrix Tᵀ A T and the gradient Tᵀ (A ξ − A c). `None` where a direction is a
/// combination of what was free.
fn gains(
    information: &Information,
    values: &[f64],
    places: &[Vec<(usize, f64)>],
    directions: &[Direction],
) -> Vec<Option<f64>> {
    let n = values.len();
    let single = directions.iter().map(|direction| vec![(direction.candidate, 1.0)]);
    let columns: Vec<Vec<(usize, f64)>> = places.iter().cloned().chain(single).collect();
    let left: Vec<f64> = (0..n)
        .map(|i| information.vector[i] - dot(&information.matrix[i * n..][..n], values))
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
    let mut gains = vec![None; directions.len()];
    for (column, gain) in moved.gains(&free) {
        gains[column - places.len()] = Some(gain);
    }
    gains
}

/// Says which of these would be worth having. Where the data contradict a constraint, what lies beyond the
/// candidates would only make up for it.
fn told(
    gains: &[Option<f64>],
    directions: &[Direction],
    candidates: &[Parameter],
    rhs: &RightHandSide<'_>,
    penalty: f64,
    about: &str,
) -> Vec<String> {
    let named = |constrained: bool, equation: usize| -> Option<(String, String)> {
        let mut worth: Vec<(f64, usize)> = vec![];
        for (gain, direction) in gains.iter().zip(directions) {
            let place = candidates[direction.candidate];
            let of = place.equation == equation && direction.constrained == constrained;
            worth.extend(gain.filter(|gain| of && *gain >= penalty).map(|gain| (gain, place.term)));
        }
        worth.sort_by(|a, b| b.0.total_cmp(&a.0));
        let name = |(gain, term): &(f64, usize)| {
            let by = if *gain < 1e5 { format!("{gain:.0}") } else { format!("{gain:.0e}") };
            format!("`{}` (by {by})", product(rhs.library.factors(*term)))
        };
        let names: Vec<String> = worth.iter().take(NAMED).map(name).collect();
        (!names.is_empty()).then(|| (rhs.lhs(equation), names.join(" or ")))
    };
    let of_all = |constrained| (0..rhs.states()).filter_map(move |i| named(constrained, i));
    let contradicted: Vec<String> = of_all(true)
        .map(|(lhs, names)| {
            format!(
                "the data contradict a constraint on {lhs}: χ² would be lower with a free coefficient of \
                 {names}{about}, of which {penalty:.0} would decide"
            )
        })
        .collect();
    if !contradicted.is_empty() {
        return contradicted;
    }
    of_all(false)
        .map(|(lhs, names)| {
            format!(
                "candidates of {lhs} may be missing: χ² would be lower with {names}{about}, of \
                 which {penalty:.0} would decide"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::dense::invert_positive;
    use super::*;

    /// Six candidates: the first two are free, and the last but one is the opposite of the second.
    #[test]
    fn gains_are_those_of_the_smallest_sums() {
        let n = 6;
        let mut random = crate::nn::Rng::new(7);
        for _ in 0..20 {
            let rows: Vec<f64> = (0..2 * n * n).map(|_| random.normal()).collect();
            let column = |j: usize| rows.iter().skip(j).step_by(n);
            let entry = |at: usize| column(at / n).zip(column(at % n)).map(|(a, b)| a * b).sum();
            let matrix: Vec<f64> = (0..n * n).map(entry).collect();
            let minimum: Vec<f64> = (0..n).map(|_| random.normal()).collect();
            let vector: Vec<f64> = (0..n).map(|i| dot(&matrix[i * n..][..n], &minimum)).collect();
            let information = Information {
                matrix: matrix.clone(),
                vector,
                equation: vec![0; n],
                signs: vec![0.0; n],
                penalty: 25.0,
            };
            let values = [0.3, -1.2, 0.0, 2.0, 1.2, 0.0];
            let places = [vec![(0, 1.0)], vec![(1, 1.0), (4, -1.0)]];
            let directions =
                [2, 3, 4, 5].map(|candidate| Direction { candidate, constrained: false });
            let gains = gains(&information, &values, &places, &directions);

            // χ² where the coefficients are c + Σ s_j column_j with the best s.
            let least = |columns: &[Vec<f64>]| -> f64 {
                let times = |v: &[f64]| -> Vec<f64> {
                    (0..n).map(|i| dot(&matrix[i * n..][..n], v)).collect()
                };
                let off: Vec<f64> = values.iter().zip(&minimum).map(|(c, m)| c - m).collect();
                let m = columns.len();
                let normal: Vec<f64> =
                    (0..m * m).map(|at| dot(&columns[at / m], &times(&columns[at % m]))).collect();
                let pull: Vec<f64> = columns.iter().map(|c| dot(c, &times(&off))).collect();
                let inverse = invert_positive(&normal, m).unwrap();
                let lowered: f64 =
                    (0..m).map(|i| pull[i] * dot(&inverse[i * m..][..m], &pull)).sum();
                dot(&off, &times(&off)) - lowered
            };
            let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>();
            let tied: Vec<f64> = unit(1).iter().zip(unit(4)).map(|(a, b)| a - b).collect();
            let free = vec![unit(0), tied];
            for (direction, gain) in directions.iter().zip(gains) {
                let wider = [&free[..], &[unit(direction.candidate)]].concat();
                let expected = least(&free) - least(&wider);
                let gain = gain.unwrap();
                assert!((gain - expected).abs() < 1e-9 * expected.max(1.0), "{gain} {expected}");
            }
        }
    }
}
