//! The start of every estimator: smoothed data, a first guess of the coefficients, and the sizes
//! beyond which coefficients are implausible.
//!
//! Those sizes enter the estimators as a prior: a normal distribution about zero for each
//! coefficient, whose standard deviation the constants below scale. Larger constants leave more to
//! the data; what the selection then keeps is tested in `tests/discovery`.

use super::candidates::{Candidates, Parameter, Support};
use super::constraints::unknowns;
use super::estimate::Estimate;
use super::grid::{Grid, Smooth};
use super::ladder::Model;
use super::link::Link;
use super::notation::product;
use super::regression::{regress, thin_ratios};
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use crate::{Error, Result};

/// The prior deviation of a term in a sum, coefficient included, relative to the whole right-hand
/// side: terms that cancel each other may each outweigh it by about this factor.
const PRIOR: f64 = 1e2;
/// The prior deviation of a term, coefficient included, in the argument of a bounded function or in
/// the denominator of a ratio. There terms are of order one; far from that, a numerator and a
/// denominator with a common factor describe the same function by other numbers.
const BOUNDED_PRIOR: f64 = 10.0;

/// The first guess with all terms of one model.
pub(super) struct Start<'a> {
    /// Estimate with the known coefficients and those of the regression, along the smoothed data.
    pub estimate: Estimate<'a>,
    /// Left-hand side of every equation: the derivative u^(m) of the smoothed data, where m is the
    /// order of the equations, at the M points of the grid, (M, K).
    pub slopes: Vec<f64>,
}

impl<'a> Start<'a> {
    /// Samples the smoothed data on the grid and guesses the coefficients by regression. `sparse`
    /// says whether ratios begin with few terms instead of all.
    ///
    /// # Errors
    /// [`Error::Argument`] for known coefficients of unknown terms, [`Error::Data`] naming a term
    /// that is not finite on the data.
    pub fn new(
        model: &'a Model,
        grid: &Grid,
        smooth: &Smooth,
        settings: &Settings,
        sparse: bool,
    ) -> Result<Self> {
        let mut rhs = RightHandSide::new(&model.library, settings);
        rhs.links.clone_from(&model.links);
        let unknowns = unknowns(&mut rhs, settings, |parameter| model.has(parameter))?;
        let trajectory = grid.sample(smooth, settings.order);
        let slopes = grid.slopes(smooth, settings.order);
        let arguments = grid.arguments(&model.library, &trajectory);
        let places: Vec<Parameter> =
            unknowns.all.iter().copied().chain(unknowns.ties.iter().map(|tie| tie.place)).collect();
        regress(&mut rhs, &places, grid, &arguments, &slopes);
        if sparse {
            let penalty = settings.threshold * settings.threshold;
            thin_ratios(&mut rhs, &places, grid, &arguments, &slopes, penalty);
        }
        let mut priors = priors(&rhs, &arguments, &slopes, &places)?;
        let of_ties = priors.split_off(unknowns.all.len());
        for (tie, prior) in unknowns.ties.iter().zip(of_ties) {
            priors[tie.leader] = priors[tie.leader].hypot(prior);
        }
        let mut candidates = Candidates::new(unknowns, priors);
        agree(&candidates, &mut rhs);
        if sparse {
            let all = &candidates.all;
            let ratio = |p: &Parameter| rhs.links[p.equation] == Link::Ratio;
            candidates.kept.retain(|&i| !ratio(&all[i]) || all[i].value(&rhs) != 0.0);
        }
        let estimate = Estimate {
            rhs,
            candidates,
            // There is no covariance yet, and there are no starts of windows; the joint method sets
            // its own weights of the equations.
            covariance: vec![],
            trajectory,
            offset: grid.offset.clone(),
            starts: vec![],
            noise: smooth.noise.clone(),
            equation_weights: vec![f64::INFINITY; smooth.noise.len()],
            discretization: vec![],
        };
        Ok(Start { estimate, slopes })
    }
}

/// Sets coefficients that are one to the mean of what the regression, which takes one equation after
/// the other, has found for each of their places.
fn agree(candidates: &Candidates, rhs: &mut RightHandSide<'_>) {
    if candidates.ties.is_empty() {
        return;
    }
    let mut sums = vec![(0.0, 0.0); candidates.all.len()];
    for slot in candidates.slots() {
        let (sum, count) = &mut sums[slot.column];
        *sum += slot.factor * slot.place.value(rhs);
        *count += 1.0;
    }
    let coefficients = sums.into_iter().map(|(sum, count)| sum / count).collect();
    candidates.set(rhs, &Support { kept: candidates.kept.clone(), coefficients });
}

/// Returns the reciprocal prior standard deviation of each coefficient: the root mean square of its
/// term, divided by the deviation of the term, which is [`PRIOR`] times the root mean square of the
/// left-hand side, or [`BOUNDED_PRIOR`].
fn priors(
    rhs: &RightHandSide<'_>,
    arguments: &[f64],
    slopes: &[f64],
    parameters: &[Parameter],
) -> Result<Vec<f64>> {
    let k = rhs.states();
    let sizes = term_sizes(rhs, arguments);
    if let Some(term) = sizes.iter().position(|size| !size.is_finite()) {
        let name = product(rhs.library.factors(term));
        return Err(Error::Data(match sizes[term].is_nan() {
            true => format!("the term `{name}` is not finite on the data"),
            false => format!(
                "the square of the term `{name}` is too large a number on the data; other units \
                 or a lower degree help"
            ),
        }));
    }
    let reciprocal_deviation = |p: &Parameter| {
        let size = sizes[p.term];
        let slope = root_mean_square(slopes.iter().skip(p.equation).step_by(k));
        // Where a term or the right-hand side is always zero, any scale is good.
        if size == 0.0 || slope == 0.0 {
            return 1.0;
        }
        match rhs.links[p.equation] {
            Link::Identity => size / (PRIOR * slope),
            Link::Ratio if !p.denominator => size / (PRIOR * slope),
            _ => size / BOUNDED_PRIOR,
        }
    };
    Ok(parameters.iter().map(reciprocal_deviation).collect())
}

/// Returns the root mean square of each of the L terms of the library over some states with their
/// inputs (…, A).
pub(super) fn term_sizes(rhs: &RightHandSide<'_>, states: &[f64]) -> Vec<f64> {
    let (l, d) = (rhs.library.len(), rhs.library.arguments());
    let (mut terms, mut squares) = (vec![0.0; l], vec![0.0; l]);
    for state in states.chunks_exact(d) {
        rhs.library.values(state, &mut terms);
        squares.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term * term);
    }
    let rows = (states.len() / d) as f64;
    squares.iter().map(|sum| (sum / rows).sqrt()).collect()
}

/// Returns the root of the mean of the squares; zero if there are no values.
pub(super) fn root_mean_square<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    (sum / f64::max(count, 1.0)).sqrt()
}
