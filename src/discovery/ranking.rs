//! The results of the searches with one model after the other, and which of them is the best.

use super::candidates::Candidates;
use super::equation::{Equation, Tried};
use super::estimate::Estimate;
use super::held_out::{self, HeldOut};
use super::joint::NOISE_FLOORS;
use super::ladder::Model;
use super::link::Link;
use super::progress::Reporter;
use super::settings::Settings;
use super::view::View;
use super::warnings;
use crate::{Error, Result};

/// The part of its margin by which a score must be better: where the noise of both is the smallest that
/// is distinguished, a term less is worth the margin up to rounding.
const MARGIN: f64 = 0.99;
/// The error on data held out up to which equations predict well, and the factor by which a richer
/// model may have a larger one.
const WELL: f64 = 1e-3;
const WORSE: f64 = 1.1;
/// The factor by which the error on data held out must be smaller for that alone to decide, where no
/// equations are exact.
const BETTER: f64 = 0.7;
/// The factor within which errors on data held out are of the same size.
const SIZE: f64 = 3.0;
/// The error on data held out beyond which equations predict nothing, and none better than others.
const POOR: f64 = 0.3;
/// The fraction of an equation's candidates that are in it from which on it may lack others, if there
/// are at least so many.
const NEARLY_ALL: f64 = 0.75;
const FEW: usize = 6;
/// The number of an equation's candidates from which on it may lack others if all are in it.
const VERY_FEW: usize = 3;
/// The fraction of an equation's candidates up to which it is sparse: an approximation takes more.
const SPARSE: f64 = 0.25;
/// How many times the noise of the smoothed data, and the smallest noise that a search
/// distinguishes, exact equations may leave.
const LEFT: f64 = 2.0;

/// The result of a search with one model.
pub(super) struct Found<'a> {
    pub estimate: Estimate<'a>,
    pub model: &'a Model,
    pub view: &'a View,
    /// What remains undecided.
    pub warnings: Vec<String>,
    /// The error of the equations on data held out, once it was needed.
    pub held_out: Option<HeldOut>,
}

impl Found<'_> {
    /// Returns −2 log likelihood of the data, up to a constant, plus the square of the threshold
    /// for each term that is written.
    pub fn score(&self, settings: &Settings) -> f64 {
        self.scores(settings).sum()
    }

    /// Returns the part of the score that belongs to one equation and the data of its state.
    pub fn score_of(&self, equation: usize, settings: &Settings) -> f64 {
        self.scores(settings).nth(equation).expect("every state has an equation")
    }

    /// Returns the parts of the score that belong to each equation and the data of its state (K).
    fn scores(&self, settings: &Settings) -> impl Iterator<Item = f64> {
        let (penalty, noise) = (settings.threshold.powi(2), self.estimate.unbiased_noise());
        let terms = self.estimate.written_terms().into_iter().enumerate();
        terms.map(move |(equation, terms)| {
            self.view.grid.misfit(&noise, equation) + penalty * terms as f64
        })
    }

    /// Returns whether the data obey this state's equation: without further disturbances, and so
    /// that hardly more is left than the noise of the smoothed data.
    pub fn is_exact_in(&self, state: usize) -> bool {
        let smooth = &self.view.smooth;
        let least = LEFT * NOISE_FLOORS[NOISE_FLOORS.len() - 1] * smooth.deviation[state];
        let noise = self.view.grid.mean_noise(self.estimate.noise[state], state);
        let left = noise <= (LEFT * smooth.noise[state]).max(least);
        self.estimate.obeys(state) && left
    }

    /// Returns the number of terms that are written.
    pub fn terms(&self) -> usize {
        self.estimate.written_terms().iter().sum()
    }

    /// Returns the number of candidates of an equation, and of those that are in it.
    fn counts(&self, equation: usize) -> (usize, usize) {
        let Candidates { all, kept, .. } = &self.estimate.candidates;
        let candidates = all.iter().filter(|p| p.equation == equation).count();
        (candidates, kept.iter().filter(|i| all[**i].equation == equation).count())
    }

    /// Returns the equations that have nearly all of their candidates: as an approximation of what these
    /// do not contain would.
    pub fn saturated(&self) -> Vec<usize> {
        let is_saturated = |&equation: &usize| {
            let (candidates, present) = self.counts(equation);
            candidates >= FEW && present as f64 > NEARLY_ALL * candidates as f64
        };
        (0..self.estimate.rhs.states()).filter(is_saturated).collect()
    }

    /// Returns whether an equation may lack others than its candidates, because it has nearly all of them, or
    /// because it is that of a single state and has two terms or more: these approximate many functions well.
    fn may_lack_others(&self) -> bool {
        if self.estimate.rhs.library.arguments() == 1 && self.counts(0).1 > 1 {
            return true;
        }
        let is_full = |equation: usize| {
            let (candidates, present) = self.counts(equation);
            candidates >= VERY_FEW && present == candidates
        };
        !self.saturated().is_empty() || (0..self.estimate.rhs.states()).any(is_full)
    }

    /// Returns whether an equation is what the logistic function makes of no term at all: a slope of 0.5.
    fn is_void(&self) -> bool {
        let links = self.estimate.rhs.links.iter();
        let mut equations = links.zip(self.estimate.written_terms());
        equations.any(|(link, terms)| *link == Link::Sigmoid && terms == 0)
    }

    /// Returns whether every equation has few of its candidates.
    fn is_sparse(&self) -> bool {
        (0..self.estimate.rhs.states()).all(|equation| {
            let (candidates, present) = self.counts(equation);
            present as f64 <= SPARSE * candidates as f64
        })
    }

    pub fn is_exact(&self) -> bool {
        (0..self.estimate.rhs.states()).all(|state| self.is_exact_in(state))
    }
}

/// The results of all searches so far.
pub(super) struct Results<'a> {
    /// What was found, in the order of the ladder.
    found: Vec<Found<'a>>,
    /// The number of the best of these.
    best: Option<usize>,
    /// What was tried, in this order; the index of what was found with it.
    tried: Vec<(Tried, Option<usize>)>,
    /// Why the first search that failed did.
    failure: Option<Error>,
    settings: &'a Settings,
}

impl<'a> Results<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Results { found: vec![], best: None, tried: vec![], failure: None, settings }
    }

    /// Adds the outcome of the search with the model of this name, which may have been `cut_short`
    /// because its budget was spent.
    ///
    /// # Errors
    /// Those of the search that do not belong to the model, and [`Error::Interrupted`].
    pub fn add(
        &mut self,
        model: String,
        outcome: Result<Found<'a>>,
        cut_short: bool,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<()> {
        // What the link makes of nothing, nobody has found.
        let found =
            match outcome.and_then(|found| match self.settings.automatic && found.is_void() {
                true => Err(Error::Data("no term is significant".into())),
                false => Ok(found),
            }) {
                Ok(found) => found,
                Err(error) if self.belongs_to_model(&error) => {
                    let failure = error.to_string();
                    let tried = Tried { model, cut_short, failure, ..Tried::default() };
                    self.tried.push((tried, None));
                    self.failure.get_or_insert(error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        let tried = Tried {
            model,
            score: Some(found.score(self.settings)),
            exact: found.is_exact(),
            terms: found.terms(),
            cut_short,
            ..Tried::default()
        };
        let next = self.found.len();
        self.tried.push((tried, Some(next)));
        self.found.push(found);
        let place = |index: usize| self.found[index].model.place;
        let better = match self.best {
            None => true,
            Some(best) if place(next) < place(best) => !self.is_better(best, next, progress)?,
            Some(best) => self.is_better(next, best, progress)?,
        };
        if better {
            self.best = Some(next);
        }
        Ok(())
    }

    /// Returns whether an error says nothing about other models: among many, one that needs more
    /// memory than there is does not.
    fn belongs_to_model(&self, error: &Error) -> bool {
        match error {
            Error::Data(_) | Error::Argument { .. } => true,
            Error::OutOfMemory { .. } => self.settings.automatic,
            _ => false,
        }
    }

    /// Adds a model of this name that is too large to be tried.
    pub fn refuse(&mut self, name: &str, failure: &str) {
        let (model, failure) = (name.to_owned(), failure.to_owned());
        self.tried.push((Tried { model, failure, ..Tried::default() }, None));
    }

    /// Returns the best result so far.
    pub fn best(&self) -> Option<&Found<'a>> {
        self.best.map(|best| &self.found[best])
    }

    /// Returns the decrease of the score for which a model is worth more than one before it, which
    /// is simpler.
    fn margin(&self) -> f64 {
        if self.settings.automatic { MARGIN * self.settings.threshold.powi(2) } else { 0.0 }
    }

    /// Returns whether a result is better than one of a simpler model: whether it is exact where the
    /// other is not, or has a better score; and if the data chose it among models, whether it also
    /// predicts data as well that neither was fitted to. Where there are too few data to hold any
    /// out, too few also to tell what is exact, it must have a better score, and be exact if the other
    /// is; where its prediction took too long, it is not better.
    fn is_better(
        &mut self,
        next: usize,
        before: usize,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<bool> {
        let quality = |index: usize| {
            let found = &self.found[index];
            // What the terms of a given model do not explain, richer ones cannot.
            let given = !self.settings.automatic && found.estimate.is_exact();
            (found.is_exact() || given, found.score(self.settings))
        };
        let ((_, score), (was_exact, score_before)) = (quality(next), quality(before));
        let exceeds = self.exceeds(quality(next), quality(before));
        if !self.settings.automatic || (was_exact && !exceeds) {
            return Ok(exceeds);
        }
        let (error, error_before) =
            match (self.held_out(next, progress)?, self.held_out(before, progress)?) {
                (HeldOut::Error(error), HeldOut::Error(before)) => (error, before),
                // Then it must predict well, and not only as well as the other.
                (HeldOut::Error(error), HeldOut::CutShort) => (error, 0.0),
                (HeldOut::CutShort, _) => return Ok(false),
                _ => return Ok(score < score_before - self.margin()),
            };
        let as_well = is_as_good(error, error_before);
        let [error, error_before] = [error, error_before].map(|error| f64::min(error, POOR));
        // That nothing is known of a state may predict it well where it has settled.
        let unknown = |index: usize| {
            let terms = self.found[index].estimate.written_terms();
            terms.iter().filter(|count| **count == 0).count()
        };
        let better = error < BETTER * error_before && unknown(next) <= unknown(before);
        Ok(if exceeds { as_well } else { better && !was_exact })
    }

    /// Returns whether this quality, exactness and score, exceeds another one clearly.
    fn exceeds(&self, (exact, score): (bool, f64), (was_exact, before): (bool, f64)) -> bool {
        match (exact, was_exact) {
            (true, false) => true,
            (false, true) => false,
            _ => score < before - self.margin(),
        }
    }

    /// Returns the error of a result on data held out, and notes it in what was tried.
    fn held_out(&mut self, index: usize, progress: &mut Reporter<'_, '_>) -> Result<HeldOut> {
        if let Some(held_out) = self.found[index].held_out {
            return Ok(held_out);
        }
        let Found { estimate, view, .. } = &self.found[index];
        let held_out = held_out::error(estimate, view, progress)?;
        self.found[index].held_out = Some(held_out);
        let mut tried = self.tried.iter_mut().filter(|(_, found)| *found == Some(index));
        if let Some((tried, _)) = tried.next() {
            match held_out {
                HeldOut::Error(error) => tried.held_out = Some(error),
                HeldOut::CutShort => tried.cut_short = true,
                HeldOut::TooFew => {}
            }
        }
        Ok(held_out)
    }

    /// Returns whether richer models than those of this step need not be tried: the data obey the
    /// best equations exactly, which do not have all or nearly all of their candidates, and a richer model of
    /// the step gave a result that has added nothing to them. (With all monomials of one degree more,
    /// whatever else is in the equations would show.) Where no richer one gave a result, because it is too
    /// large or takes too long, it is enough that the equations have few of their candidates.
    pub fn is_settled(&self, step: &[Model]) -> bool {
        let of_step = |found: &Found<'_>| step.iter().any(|model| std::ptr::eq(found.model, model));
        self.best().is_some_and(|best| {
            let richer = |found: &Found<'_>| found.model.place > best.model.place;
            let judged = self.found.iter().any(|found| of_step(found) && richer(found));
            let enough = judged || best.is_sparse();
            best.is_exact() && !best.may_lack_others() && !of_step(best) && enough
        })
    }

    /// Returns the model in which each equation is of the model that is best for it, if that differs
    /// from the best one for all.
    pub fn mixed(&self) -> Option<Model> {
        let best = self.best()?;
        let quality = |found: &Found<'a>, equation: usize| {
            (found.is_exact_in(equation), found.score_of(equation, self.settings))
        };
        let states = best.estimate.rhs.states();
        let mut simpler_first: Vec<&Found<'a>> = self.found.iter().collect();
        simpler_first.sort_by_key(|found| found.model.place);
        let own = |equation: usize| {
            let better = |before: &Found<'a>, next: &Found<'a>| {
                self.exceeds(quality(next, equation), quality(before, equation))
            };
            let all = simpler_first.iter().copied();
            all.reduce(|before, next| if better(before, next) { next } else { before })
        };
        let own: Vec<&Found<'a>> = (0..states).filter_map(own).collect();
        let several = own.iter().any(|found| !std::ptr::eq(found.model, own[0].model));
        let worthwhile = self.settings.automatic && several;
        worthwhile.then(|| Model::mixed(&own.iter().map(|found| found.model).collect::<Vec<_>>()))
    }

    /// Returns the best result and what was tried.
    ///
    /// # Errors
    /// The reason of the first failure if nothing was found.
    pub fn into_best(mut self) -> Result<(Found<'a>, Vec<Tried>)> {
        let Some(best) = self.best else {
            return Err(self.failure.expect("there is at least one model"));
        };
        let marked = |(mut tried, index): (Tried, Option<usize>)| {
            tried.chosen = index == Some(best);
            tried
        };
        let undecided = self.undecided(best);
        let tried = self.tried.into_iter().map(marked).collect();
        let mut found = self.found.swap_remove(best);
        found.warnings.extend(undecided);
        Ok((found, tried))
    }

    /// Returns the warning that equations with other terms, found with another model, are as good as the
    /// best ones: their score differs by less than a term must be worth, or is lower but they are not exact,
    /// and what is known of their error on data held out is of the same size.
    fn undecided(&self, best: usize) -> Option<String> {
        if !self.settings.automatic {
            return None;
        }
        let chosen = &self.found[best];
        let score = |found: &Found<'a>| found.score(self.settings);
        let equations = chosen.estimate.equations();
        let predicts = |found: &Found<'a>| match (found.held_out, chosen.held_out) {
            (Some(HeldOut::Error(error)), Some(HeldOut::Error(before))) => {
                error <= WELL.max(SIZE * before) || before >= POOR
            }
            (held_out, _) => held_out != Some(HeldOut::CutShort),
        };
        // What the data do not obey exactly is less, whatever its score.
        let is_less = |found: &Found<'a>| chosen.is_exact() && !found.is_exact();
        let rivals = self.found.iter().enumerate().filter(|(_, found)| {
            let more = score(found) - score(chosen);
            let good = match is_less(found) {
                true => more < -self.margin(),
                false => more.abs() < self.margin(),
            };
            good && predicts(found) && !same_terms(&found.estimate.equations(), &equations)
        });
        let (index, rival) = rivals.min_by(|(_, a), (_, b)| {
            is_less(a).cmp(&is_less(b)).then(score(a).total_cmp(&score(b)))
        })?;
        let (tried, _) = self.tried.iter().find(|(_, found)| *found == Some(index))?;
        let others = rival.estimate.equations();
        let differ = others.iter().zip(&equations).filter(|(a, b)| !a.has_same_terms(b));
        let differ: Vec<String> = differ.map(|(equation, _)| equation.to_string()).collect();
        let difference = score(rival) - score(chosen);
        Some(match is_less(rival) {
            true => warnings::better_score(&tried.model, difference, &differ),
            false => {
                let penalty = self.settings.threshold.powi(2);
                warnings::undecided_model(&tried.model, difference, penalty, &differ)
            }
        })
    }
}

fn same_terms(a: &[Equation], b: &[Equation]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.has_same_terms(b))
}

/// Returns whether equations with this error on data held out predict about as well as others with the
/// error `before`: those that predict nothing only as well as others that do not either.
fn is_as_good(error: f64, before: f64) -> bool {
    error <= WELL.max(WORSE * before) || before >= POOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_predicts_nothing_is_not_as_good_as_what_predicts_poorly() {
        for [error, before] in [[9e-4, 1e-6], [0.25, 0.24], [0.4, 0.37], [0.9, 0.4]] {
            assert!(is_as_good(error, before), "{error} {before}");
        }
        for [error, before] in [[1.1e-3, 1e-6], [0.28, 0.24], [0.8, 0.29], [f64::NAN, 0.1]] {
            assert!(!is_as_good(error, before), "{error} {before}");
        }
    }
}
