//! The selection of terms: the only place where it is decided which terms stay in the equations.
//!
//! A term stays if the fit without it is worse by `threshold` standard errors. Weaker ones are
//! eliminated, and other sets of terms are tried, until no set is better.

use super::candidates::{Candidates, Parameter, Support};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::information::{Information, Quadratic, weakest};
use super::link::Link;
use super::progress::Reporter;
use super::settings::Settings;
use super::warnings;
use crate::{Error, Result};

/// The most rounds of comparing sets of terms.
const MAX_ROUNDS: usize = 10;
/// The largest fraction of the terms that is dropped before the estimate is made anew.
const BATCH: f64 = 0.25;
/// The progress at which the selection ends, as a fraction of the whole work.
const END: f64 = 0.9;

/// Selects the set of terms that has the best score and leaves `estimator` with it; `sufficient` says
/// that the terms it has now are known to include all that are needed.
pub(super) fn select<'a, E: Estimator<'a>>(
    estimator: &mut E,
    sufficient: bool,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
    let begin = progress.reached();
    let done = |fraction: f64| begin + (END - begin) * fraction;
    // Where terms of a numerator and a denominator can replace each other, sets must not be judged
    // before the redundant ones are gone, nor where the terms are exact but for superfluous ones.
    let ratio = estimator.estimate().rhs.links.contains(&Link::Ratio);
    if ratio || sufficient || !E::QUADRATIC {
        eliminate(estimator, settings, done, progress)?;
    }
    for round in 0..MAX_ROUNDS {
        let fraction = done(round as f64 / MAX_ROUNDS as f64);
        progress.stage(fraction, "comparing sets of terms")?;
        let before = estimator.estimate().clone();
        match compare(estimator, round == 0, settings, done, progress) {
            Ok(true) => {}
            // A set has been found, and no work is left to compare it with others.
            Err(Error::Data(_)) if round > 0 && estimator.is_spent() => {
                return return_to(estimator, before, progress);
            }
            outcome => return outcome.map(|_| ()),
        }
    }
    eliminate(estimator, settings, done, progress)
}

/// Compares sets of terms once, and goes on to a better one if there is any. Returns whether the sets
/// must be compared again.
fn compare<'a, E: Estimator<'a>>(
    estimator: &mut E,
    first: bool,
    settings: &Settings,
    done: impl Fn(f64) -> f64,
    progress: &mut Reporter<'_, '_>,
) -> Result<bool> {
    let penalty = settings.threshold * settings.threshold;
    let information = estimator.information(penalty)?;
    let better = improve(estimator, information.as_ref(), penalty, progress)?;
    let again = better || (first && E::QUADRATIC);
    if !again {
        return Ok(false);
    }
    // A set that a quadratic χ² suggests has no superfluous terms, any other may have. Where the
    // quadratic function suggests no better set at first, it may be wrong because there are so many
    // terms.
    if better != E::QUADRATIC {
        eliminate(estimator, settings, done, progress)?;
    }
    Ok(true)
}

/// Selects among the terms once more in the sharpest estimate, the last that is done to them: eliminates
/// whatever is not significant, and tries other sets until none is better. The warnings that it returns
/// say what remains undecided.
pub(super) fn conclude<'a, E: Estimator<'a>>(
    estimator: &mut E,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<String>> {
    let penalty = settings.threshold * settings.threshold;
    let begin = progress.reached();
    let mut rounds = 0;
    loop {
        eliminate(estimator, settings, |_| begin, progress)?;
        let Some(information) = estimator.information(penalty)? else { return Ok(vec![]) };
        rounds += 1;
        let last = rounds == MAX_ROUNDS;
        let before = estimator.estimate().clone();
        let better = !last
            && match improve(estimator, Some(&information), penalty, progress) {
                // The present terms stand, whatever kept others from being estimated.
                Err(Error::Data(_)) => {
                    return_to(estimator, before, progress)?;
                    false
                }
                better => better?,
            };
        if !better {
            let Estimate { rhs, candidates, .. } = estimator.estimate();
            let mut warnings = warnings::undecided(rhs, candidates, &information);
            warnings.extend(warnings::held_at_zero(rhs, candidates, &information));
            return Ok(warnings);
        }
    }
}

/// Returns to an earlier estimate, even if no work is left to estimate it once more.
pub(super) fn return_to<'a, E: Estimator<'a>>(
    estimator: &mut E,
    before: Estimate<'a>,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
    match estimator.restore(before, progress) {
        Err(Error::Data(_)) => Ok(()),
        restored => restored,
    }
}

/// Eliminates terms backward by standard error: estimates, drops the weakest, and so on until all
/// are significant.
fn eliminate<'a, E: Estimator<'a>>(
    estimator: &mut E,
    settings: &Settings,
    done: impl Fn(f64) -> f64,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
    loop {
        let Candidates { all, kept, .. } = &estimator.estimate().candidates;
        let gone = 1.0 - kept.len() as f64 / all.len().max(1) as f64;
        progress.stage(done(gone), "dropping terms")?;
        estimator.converge(progress)?;
        let estimate = estimator.estimate();
        progress.show(&estimate.equations())?;
        let mut quadratic = estimate.quadratic();
        let dropped = if estimate.rhs.links.contains(&Link::Ratio) {
            let degree = |p: &Parameter| estimate.rhs.library.factors(p.term).len();
            let degrees: Vec<usize> = estimate.candidates.free().iter().map(degree).collect();
            highest(&mut quadratic, settings.threshold, &degrees)
        } else {
            let limit = (BATCH * quadratic.coefficients.len() as f64).ceil() as usize;
            weakest(&mut quadratic, settings.threshold, limit)
        };
        if dropped.is_empty() {
            return Ok(());
        }
        // The other coefficients are where they are expected without the dropped ones.
        let places =
            estimate.candidates.kept.iter().copied().zip(quadratic.coefficients).enumerate();
        let left = places.filter(|(place, _)| !dropped.contains(place)).map(|(_, term)| term);
        let (kept, coefficients) = left.unzip();
        estimator.take(&Support { kept, coefficients })?;
    }
}

/// Tries other sets of terms, the most promising first, and stays with the first that has a better
/// score. Returns whether there is one; if not, the estimate is as before.
fn improve<'a, E: Estimator<'a>>(
    estimator: &mut E,
    information: Option<&Information>,
    penalty: f64,
    progress: &mut Reporter<'_, '_>,
) -> Result<bool> {
    let present = estimator.estimate().candidates.kept.clone();
    let rivals = match information {
        Some(information) => information.best(&present),
        None => without_a_denominator(estimator.estimate()),
    };
    for rival in rivals.iter().filter(|rival| rival.kept != present) {
        let before = estimator.estimate().clone();
        let cost = penalty * (rival.kept.len() as f64 - present.len() as f64);
        let better = match estimator.exchange(rival, cost, progress) {
            Ok(gain) => gain > cost,
            Err(Error::Data(_)) => false,
            Err(error) => return Err(error),
        };
        if better {
            progress.show(&estimator.estimate().equations())?;
            return Ok(true);
        }
        estimator.restore(before, progress)?;
    }
    Ok(false)
}

/// Returns the present terms without the denominator of one equation, for each equation that has
/// one: a factor common to numerator and denominator can make every single term look significant.
fn without_a_denominator(estimate: &Estimate<'_>) -> Vec<Support> {
    let Candidates { all, kept, .. } = &estimate.candidates;
    let free = estimate.candidates.free();
    let mut equations: Vec<usize> =
        free.iter().filter(|p| p.denominator).map(|p| p.equation).collect();
    equations.dedup();
    let without = |equation: usize| {
        let belongs = |p: &Parameter| p.denominator && p.equation == equation;
        let kept: Vec<usize> = kept.iter().copied().filter(|&i| !belongs(&all[i])).collect();
        let coefficients = kept.iter().map(|&i| all[i].value(&estimate.rhs)).collect();
        Support { kept, coefficients }
    };
    equations.into_iter().map(without).collect()
}

/// Returns the term to drop where numerator and denominator have a common factor and so describe
/// the same function with more terms: of the terms that may as well be zero, the one of highest
/// degree, or else the weakest. The function becomes that of the rest.
fn highest(quadratic: &mut Quadratic, threshold: f64, degrees: &[usize]) -> Vec<usize> {
    let candidates = 0..degrees.len();
    let free = candidates.filter(|&j| quadratic.significance(j) < threshold.min(1.0));
    let chosen = free.max_by(|&a, &b| {
        let weaker = quadratic.significance(b).total_cmp(&quadratic.significance(a));
        degrees[a].cmp(&degrees[b]).then(weaker)
    });
    match chosen {
        Some(j) => {
            quadratic.remove(j);
            vec![j]
        }
        None => weakest(quadratic, threshold, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::information::tests::quadratic;
    use super::*;

    #[test]
    fn weak_terms_go_and_their_partners_take_over() {
        let mut quadratic = quadratic();
        assert_eq!(weakest(&mut quadratic, 5.0, 1), [1]);
        assert!(quadratic.significance(0) > 20.0);
    }

    #[test]
    fn highest_degree_goes_first_among_the_undecided() {
        assert_eq!(highest(&mut quadratic(), 5.0, &[1, 1, 1, 2]), [3]);
        assert_eq!(highest(&mut quadratic(), 5.0, &[1, 2, 1, 2]), [1]);
    }
}
