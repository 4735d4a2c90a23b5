//! The selection of terms: the only place where it is decided which terms stay in the equations.
//!
//! A term stays if the fit without it is worse by `threshold` standard errors. Weaker ones are
//! eliminated, and other sets of terms are tried, until no set is better.

use std::iter;

use super::candidates::{Candidates, Parameter, Support};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::information::{Quadratic, weakest};
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
        if !compare(estimator, round == 0, settings, done, progress)? {
            return Ok(());
        }
    }
    eliminate(estimator, settings, done, progress)?;
    Ok(())
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
    let information = match estimator.information(penalty, progress) {
        // A set has been found, whatever keeps it from being compared with others.
        Err(Error::Data(_)) if !first => return Ok(false),
        information => information?,
    };
    let rivals = match information {
        Some(information) => information.best(&estimator.estimate().candidates.kept),
        None => without_a_denominator(estimator.estimate()),
    };
    let better = improve(estimator, rivals, penalty, progress)?;
    let again = better || (first && E::QUADRATIC);
    if !again {
        return Ok(false);
    }
    // A set that a quadratic χ² suggests has no superfluous terms, any other may have. Where the
    // quadratic function suggests no better set at first, it may be wrong because there are so many
    // terms.
    if better != E::QUADRATIC {
        let dropped = eliminate(estimator, settings, done, progress)?;
        // With the same terms, hardly anything about them has changed since they were compared.
        return Ok(better || dropped);
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
        let Some(information) = estimator.information(penalty, progress)? else {
            return Ok(vec![]);
        };
        rounds += 1;
        let last = rounds == MAX_ROUNDS;
        let present = estimator.estimate().candidates.kept.clone();
        let runners_up = || information.runners_up(&present);
        let rivals =
            iter::once_with(|| information.best(&present)).chain(iter::once_with(runners_up));
        if last || !improve(estimator, rivals.flatten(), penalty, progress)? {
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
/// are significant. Returns whether any was dropped.
fn eliminate<'a, E: Estimator<'a>>(
    estimator: &mut E,
    settings: &Settings,
    done: impl Fn(f64) -> f64,
    progress: &mut Reporter<'_, '_>,
) -> Result<bool> {
    let mut has_dropped = false;
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
            return Ok(has_dropped);
        }
        // The other coefficients are where they are expected without the dropped ones.
        let places =
            estimate.candidates.kept.iter().copied().zip(quadratic.coefficients).enumerate();
        let left = places.filter(|(place, _)| !dropped.contains(place)).map(|(_, term)| term);
        let (kept, coefficients) = left.unzip();
        estimator.take(&Support { kept, coefficients })?;
        has_dropped = true;
    }
}

/// Tries other sets of terms, the most promising first, and stays with the first that has a better
/// score. Returns whether there is one; if not, whatever kept others from being estimated, the estimate
/// is as before.
fn improve<'a, E: Estimator<'a>>(
    estimator: &mut E,
    rivals: impl IntoIterator<Item = Support>,
    penalty: f64,
    progress: &mut Reporter<'_, '_>,
) -> Result<bool> {
    let terms = estimator.estimate().candidates.kept.len();
    let mut seen = vec![estimator.estimate().candidates.kept.clone()];
    for rival in rivals {
        if seen.contains(&rival.kept) {
            continue;
        }
        seen.push(rival.kept.clone());
        let before = estimator.estimate().clone();
        let cost = penalty * (rival.kept.len() as f64 - terms as f64);
        let better = match estimator.exchange(&rival, cost, progress) {
            Ok(gain) => gain > cost,
            Err(Error::Data(_)) => false,
            Err(error) => return Err(error),
        };
        if better {
            progress.show(&estimator.estimate().equations())?;
            return Ok(true);
        }
        return_to(estimator, before, progress)?;
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
    use std::ops::ControlFlow;

    use super::super::candidates::Unknowns;
    use super::super::dense::{dot, invert_positive};
    use super::super::information::Information;
    use super::super::information::tests::quadratic;
    use super::super::library::Library;
    use super::super::progress::Progress;
    use super::super::right_hand_side::RightHandSide;
    use super::*;

    /// An estimator whose χ² is exactly quadratic, and that may be asked so many times.
    struct Exact<'a> {
        estimate: Estimate<'a>,
        /// The inverse of the covariance of all coefficients (C, C), and what χ² is smallest with (C).
        matrix: Vec<f64>,
        minimum: Vec<f64>,
        left: usize,
        /// What was asked, with the number of terms there were.
        asked: Vec<(&'static str, usize)>,
    }

    impl Exact<'_> {
        fn ask(&mut self, what: &'static str) -> Result<()> {
            self.asked.push((what, self.estimate.candidates.kept.len()));
            if self.left == 0 {
                return Err(Error::Data("given up".into()));
            }
            self.left -= 1;
            Ok(())
        }

        fn vector(&self) -> Vec<f64> {
            self.matrix
                .chunks_exact(self.minimum.len())
                .map(|row| dot(row, &self.minimum))
                .collect()
        }

        /// Makes the best estimate with the present terms, and returns χ².
        fn fit(&mut self) -> f64 {
            let (n, vector) = (self.minimum.len(), self.vector());
            let kept = self.estimate.candidates.kept.clone();
            let row = |&i: &usize| kept.iter().map(move |&j| (i, j)).collect::<Vec<_>>();
            let places = kept.iter().flat_map(row);
            let block: Vec<f64> = places.map(|(i, j)| self.matrix[i * n + j]).collect();
            let pulls: Vec<f64> = kept.iter().map(|&i| vector[i]).collect();
            let covariance = invert_positive(&block, kept.len()).unwrap();
            let rows = covariance.chunks_exact(kept.len().max(1));
            let coefficients: Vec<f64> = rows.map(|row| dot(row, &pulls)).collect();
            let explained = dot(&coefficients, &pulls);
            self.estimate.take(&Support { kept, coefficients });
            self.estimate.covariance = covariance;
            -explained
        }
    }

    impl<'a> Estimator<'a> for Exact<'a> {
        const QUADRATIC: bool = true;

        fn estimate(&self) -> &Estimate<'a> {
            &self.estimate
        }

        fn information(
            &mut self,
            penalty: f64,
            _: &mut Reporter<'_, '_>,
        ) -> Result<Option<Information>> {
            self.ask("information")?;
            let vector = self.vector();
            let candidates = &self.estimate.candidates;
            Ok(Some(Information::new(self.matrix.clone(), vector, candidates, penalty)))
        }

        fn take(&mut self, support: &Support) -> Result<()> {
            self.estimate.take(support);
            Ok(())
        }

        fn converge(&mut self, _: &mut Reporter<'_, '_>) -> Result<()> {
            self.ask("converge")?;
            self.fit();
            Ok(())
        }

        fn exchange(&mut self, support: &Support, _: f64, _: &mut Reporter<'_, '_>) -> Result<f64> {
            let before = self.fit();
            self.take(support)?;
            self.ask("exchange")?;
            Ok(before - self.fit())
        }

        fn restore(&mut self, before: Estimate<'a>, _: &mut Reporter<'_, '_>) -> Result<()> {
            self.estimate = before;
            self.ask("restore")
        }

        fn sharpen(&mut self, _: &mut Reporter<'_, '_>) -> Result<bool> {
            Ok(false)
        }

        fn finish(self) -> Estimate<'a> {
            self.estimate
        }
    }

    /// Shows `see` an estimator with all of three terms of one equation, of which the first and the last
    /// are right, that may be asked so many times.
    fn with_exact(left: usize, see: impl FnOnce(&mut Exact<'_>, &Settings, &mut Reporter<'_, '_>)) {
        let settings = Settings { degree: 2, ..Settings::default() };
        let library = Library::new(&["x".into()], &settings).unwrap();
        let place = |term| Parameter { equation: 0, term, denominator: false };
        let unknowns =
            Unknowns { all: (0..3).map(place).collect(), ties: vec![], signs: vec![0.0; 3] };
        let estimate = Estimate {
            rhs: RightHandSide::new(&library, &settings),
            candidates: Candidates::new(unknowns, vec![1.0; 3]),
            offset: vec![0.0],
            covariance: vec![],
            trajectory: vec![],
            starts: vec![],
            noise: vec![1.0],
            equation_weights: vec![1.0],
            discretization: vec![],
        };
        let matrix = [[900.0, 300.0, 0.0], [300.0, 400.0, 100.0], [0.0, 100.0, 900.0]].concat();
        let minimum = vec![1.0, 0.01, 2.0];
        let mut exact = Exact { estimate, matrix, minimum, left, asked: vec![] };
        let mut observer = |_: &Progress<'_>| ControlFlow::Continue(());
        see(&mut exact, &settings, &mut Reporter::new(&mut observer));
    }

    #[test]
    fn sets_are_compared_first_unless_the_terms_suffice() {
        for sufficient in [false, true] {
            with_exact(usize::MAX, |exact, settings, progress| {
                select(exact, sufficient, settings, progress).unwrap();
                assert_eq!(exact.estimate.candidates.kept, [0, 2]);
                let first = exact.asked[0];
                assert_eq!(first, (if sufficient { "converge" } else { "information" }, 3));
                // Of sufficient terms the superfluous ones are gone before others are tried.
                let compared = exact.asked.iter().find(|(what, _)| *what == "information");
                assert_eq!(compared.unwrap().1, if sufficient { 2 } else { 3 });
                assert_eq!(sufficient, exact.asked.iter().all(|(what, _)| *what != "exchange"));
            });
        }
    }

    #[test]
    fn a_selection_that_is_given_up_has_the_set_that_it_found() {
        let mut needed = 0;
        with_exact(usize::MAX, |exact, settings, progress| {
            select(exact, false, settings, progress).unwrap();
            needed = exact.asked.len();
        });
        let mut found = vec![];
        for left in 0..needed {
            with_exact(left, |exact, settings, progress| {
                let outcome = select(exact, false, settings, progress);
                found.push(match outcome {
                    Ok(()) => Some(exact.estimate.candidates.kept.len()),
                    Err(error) => {
                        assert_eq!(error.to_string(), "given up");
                        None
                    }
                });
            });
        }
        // Without work for the first comparison there is no set, and later there is one.
        assert_eq!(found, [None, None, Some(2)]);
    }

    #[test]
    fn a_rival_that_cannot_be_estimated_leaves_everything_as_it_was() {
        for left in [0, 1] {
            with_exact(left, |exact, settings, progress| {
                exact.fit();
                let before = exact.estimate.clone();
                let penalty = settings.threshold * settings.threshold;
                let vector = exact.vector();
                let information =
                    Information::new(exact.matrix.clone(), vector, &before.candidates, penalty);
                let rivals = information.best(&before.candidates.kept);
                let better = improve(exact, rivals, penalty, progress).unwrap();
                assert_eq!(better, left == 1);
                assert_eq!(exact.asked[0], ("exchange", 2));
                let kept = if better { vec![0, 2] } else { vec![0, 1, 2] };
                assert_eq!(exact.estimate.candidates.kept, kept);
                let same = exact.estimate.rhs.numerator == before.rhs.numerator;
                assert_eq!(same, !better);
            });
        }
    }

    #[test]
    fn a_conclusion_without_work_to_compare_sets_fails_and_one_with_it_warns_of_nothing() {
        for (left, concluded) in [(0, false), (1, false), (2, false), (3, true)] {
            with_exact(left, |exact, settings, progress| {
                match conclude(exact, settings, progress) {
                    Ok(warnings) => assert!(concluded && warnings.is_empty(), "{warnings:?}"),
                    Err(error) => assert!(!concluded && error.to_string() == "given up"),
                }
            });
        }
    }

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
