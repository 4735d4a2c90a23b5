//! The search for equations: the whole algorithm of a discovery.

use std::f64::consts::TAU;

use super::attempts;
use super::check::check;
use super::data::Dataset;
use super::dependence;
use super::equation::{Discovery, Fit, Tried};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, fastest_rate};
use super::joint::{Joint, NOISE_FLOORS, joint_values};
use super::ladder::{Model, models};
use super::network::{Network, network_values};
use super::preparation::{Prepared, prepare};
use super::progress::{Observer, Reporter};
use super::selection::{conclude, select};
use super::settings::{Method, Settings};
use super::simulate::simulate;
use super::start::Start;
use super::user_terms::check_gradients;
use super::view::View;
use super::warnings;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::memory::ensure;
use crate::{Cpu, Device, Error, Result};

/// Finds the equations that the data obey, by the method [`Settings::method`].
///
/// # Errors
/// [`Error::Argument`] and [`Error::Shape`] for malformed input, [`Error::Data`] when the data are
/// too few or the search diverges, [`Error::Interrupted`] when `observer` breaks.
pub fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Discovery> {
    // Too many terms are refused before any work that grows with the square of the states.
    data.validate_names()?;
    models(data, settings)?;
    data.validate()?;
    let mut progress = Reporter::new(observer);
    progress.stage(0.0, "smoothing the data")?;
    ensure_memory_to_smooth(data)?;
    let prepared = prepare(data, settings)?;
    let steps = models(&prepared.data, settings)?;
    let has_inputs = steps.iter().flatten().any(|model| !model.library.inputs().is_empty());
    if settings.method == Method::Network && has_inputs {
        let message = "the network method takes no inputs and no terms with the time; the joint \
                       method does";
        return Err(Error::argument("method", message));
    }
    let translatable = |model: &Model| settings.is_translatable() && model.is_translatable();
    let any_translatable = steps.iter().flatten().any(translatable);
    let views = View::all(&prepared.data, settings, any_translatable)?;
    // Terms get the time where a candidate depends on it.
    let with_time =
        steps.iter().flatten().any(|m| m.library.inputs().len() > prepared.data.inputs.len());
    check_gradients(&prepared.data, &views[0].smooth, with_time, settings)?;
    let threads = rayon::current_num_threads();
    for view in &views {
        steps.iter().try_for_each(|step| ensure_memory(&view.grid, step, threads, settings))?;
    }

    // Searches with every model about every offset, and keeps the best result.
    let mixed: Vec<Model>;
    let mut results = Results { found: vec![], tried: vec![], failure: None, settings };
    for (index, step) in steps.iter().enumerate() {
        progress.begin_part(index, steps.len() + 1);
        let tasks = |view: usize| {
            let suitable = move |model: &&Model| view == 0 || translatable(model);
            step.iter().filter(suitable).map(move |model| (view, model))
        };
        let tasks: Vec<(&View, &Model)> =
            (0..views.len()).flat_map(tasks).map(|(view, model)| (&views[view], model)).collect();
        results.search(&tasks, &mut progress)?;
        if results.is_settled(step) {
            break;
        }
    }
    progress.begin_part(steps.len(), steps.len() + 1);
    mixed = results.mixed().into_iter().collect();
    let tasks: Vec<(&View, &Model)> = mixed.iter().map(|model| (&views[0], model)).collect();
    if !tasks.is_empty() {
        results.search(&tasks, &mut progress)?;
    }
    let (found, tried) = results.into_best()?;
    report(found, tried, any_translatable, data, prepared, &mut progress)
}

/// Checks that the memory for smoothing the data can be had: for each value some twenty numbers
/// while its series is smoothed, and three of its spline afterwards.
fn ensure_memory_to_smooth(data: &Dataset) -> Result<()> {
    let points = data.trajectories.iter().map(|t| t.time.len()).fold(0, usize::saturating_add);
    let values = points.saturating_mul(data.states.len());
    ensure("smoothing the data", &[(points, 20 * 8), (values, 3 * 8)])
}

/// Checks that the memory for searches with these models can be had, as many at a time as there are
/// threads.
fn ensure_memory(grid: &Grid, models: &[Model], threads: usize, settings: &Settings) -> Result<()> {
    let largest = models.iter().max_by_key(|model| model.coefficients());
    let Some(model) = largest else { return Ok(()) };
    let at_a_time = threads.min(models.len());
    let variables = model.library.variables().len();
    let states = variables / settings.order;
    let coefficients = model.coefficients();
    let squares = coefficients.saturating_mul(coefficients);
    // The trajectory in the units of the data and in those of the method, of the estimates that
    // are compared, smoothed and simulated.
    let trajectories = (grid.points().saturating_mul(variables), 20 * 8 * at_a_time);
    match settings.method {
        Method::Joint => {
            let values = joint_values(grid.points(), variables, coefficients);
            // One for the present terms and one for all of them.
            let each = [(values, 2 * 8 * at_a_time), (squares, 8 * 8 * at_a_time)];
            ensure("the search", &[trajectories, each[0], each[1]])
        }
        Method::Network => {
            let values = network_values(grid.points(), variables, states, coefficients);
            ensure("the search", &[trajectories, (values, 8), (squares, 8 * 8)])
        }
    }
}

/// The results of all searches so far.
struct Results<'a> {
    /// What was found, in the order of the ladder.
    found: Vec<Found<'a>>,
    /// What was tried, in this order; the index of what was found with it.
    tried: Vec<(Tried, Option<usize>)>,
    /// Why the first search that failed did.
    failure: Option<Error>,
    settings: &'a Settings,
}

impl<'a> Results<'a> {
    /// Searches with each of these models, in threads.
    fn search(
        &mut self,
        tasks: &[(&'a View, &'a Model)],
        progress: &mut Reporter<'_, '_>,
    ) -> Result<()> {
        let settings = self.settings;
        let name = |(view, model): &(&View, &Model)| {
            let moved = view.grid.offset.iter().any(|offset| *offset != 0.0);
            model.name.clone() + if moved { ", about the means" } else { "" }
        };
        let names: Vec<String> = tasks.iter().map(name).collect();
        let search = |index: usize, progress: &mut Reporter<'_, '_>| {
            let (view, model) = tasks[index];
            find(view, model, settings, progress)
        };
        let outcomes = attempts::run(&names, search, progress)?;
        for (model, outcome) in names.into_iter().zip(outcomes) {
            match outcome {
                Ok(found) => {
                    let tried = Tried {
                        model,
                        score: Some(found.score(settings)),
                        exact: found.estimate.is_exact(),
                        terms: found.estimate.candidates.kept.len(),
                        ..Tried::default()
                    };
                    self.tried.push((tried, Some(self.found.len())));
                    self.found.push(found);
                }
                Err(error @ (Error::Data(_) | Error::Argument { .. })) => {
                    let tried = Tried { model, failure: error.to_string(), ..Tried::default() };
                    self.tried.push((tried, None));
                    self.failure.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(best) = self.best().map(|best| &self.found[best]) {
            progress.show(&best.estimate.equations())?;
        }
        Ok(())
    }

    /// Returns the decrease of the score for which a model is worth more than one before it, which
    /// is simpler.
    fn margin(&self) -> f64 {
        if self.settings.automatic { self.settings.threshold.powi(2) } else { 0.0 }
    }

    /// Returns the number of the best result by these qualities: whether equations are exact, and
    /// their score.
    fn best_by(&self, quality: impl Fn(&Found<'a>) -> (bool, f64)) -> Option<usize> {
        let better = |best: usize, next: usize| {
            let ((exact, score), (was_exact, best_score)) =
                (quality(&self.found[next]), quality(&self.found[best]));
            match (exact, was_exact) {
                (true, false) => next,
                (false, true) => best,
                _ if score < best_score - self.margin() => next,
                _ => best,
            }
        };
        (0..self.found.len()).reduce(better)
    }

    fn best(&self) -> Option<usize> {
        self.best_by(|found| (found.estimate.is_exact(), found.score(self.settings)))
    }

    /// Returns whether richer models than those of this step need not be tried: the data obey the
    /// best equations exactly, and the richest model of the step has added nothing to them. (With
    /// all monomials up to the third degree, whatever else is in the equations would show.)
    fn is_settled(&self, step: &[Model]) -> bool {
        let (Some(best), Some(richest)) = (self.best(), step.last()) else { return false };
        let best = &self.found[best];
        let searched = |model: &Model| self.found.iter().any(|f| std::ptr::eq(f.model, model));
        best.estimate.is_exact() && !std::ptr::eq(best.model, richest) && searched(richest)
    }

    /// Returns the model in which each equation is of the model that is best for it, if that differs
    /// from the best one for all.
    fn mixed(&self) -> Option<Model> {
        let best = &self.found[self.best()?];
        let quality = |found: &Found<'a>, equation: usize| {
            (found.estimate.obeys(equation), found.score_of(equation, self.settings))
        };
        let states = best.estimate.rhs.states();
        let own: Vec<&Found<'a>> = (0..states)
            .filter_map(|equation| self.best_by(|found| quality(found, equation)))
            .map(|index| &self.found[index])
            .collect();
        let differs = |equation: usize| {
            let ((exact, score), (was_exact, best_score)) =
                (quality(own[equation], equation), quality(best, equation));
            (exact && !was_exact) || (exact == was_exact && score < best_score - self.margin())
        };
        let worthwhile = self.settings.automatic && (0..states).any(differs);
        worthwhile.then(|| Model::mixed(&own.iter().map(|found| found.model).collect::<Vec<_>>()))
    }

    /// Returns the best result and what was tried.
    ///
    /// # Errors
    /// The reason of the first failure if nothing was found.
    fn into_best(mut self) -> Result<(Found<'a>, Vec<Tried>)> {
        let Some(best) = self.best() else {
            return Err(self.failure.expect("there is at least one model"));
        };
        let marked = |(mut tried, index): (Tried, Option<usize>)| {
            tried.chosen = index == Some(best);
            tried
        };
        let tried = self.tried.into_iter().map(marked).collect();
        Ok((self.found.swap_remove(best), tried))
    }
}

/// The result of a search with one model.
struct Found<'a> {
    estimate: Estimate<'a>,
    model: &'a Model,
    view: &'a View,
    /// What remains undecided.
    warnings: Vec<String>,
}

/// Finds the terms of a model that the data support, by either method.
fn find<'a>(
    view: &'a View,
    model: &'a Model,
    settings: &'a Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Found<'a>> {
    progress.stage(0.02, "regression on the smoothed data")?;
    let View { grid, smooth, .. } = view;
    let start = || Start::new(model, grid, smooth, settings);
    let (estimate, warnings) = match (settings.method, &settings.device) {
        (Method::Joint, _) => {
            let mut attempt = |floors| {
                let joint = Joint::new(grid, smooth, start()?, floors, progress)?;
                selected(joint, settings, progress)
            };
            match attempt(&NOISE_FLOORS[1..]) {
                // With more noise, bad starts are forgiven.
                Err(Error::Data(_)) => attempt(&NOISE_FLOORS)?,
                outcome => outcome?,
            }
        }
        (Method::Network, Device::Cpu) => {
            let network = Network::new(view, settings, start()?, Cpu)?;
            selected(network, settings, progress)?
        }
        #[cfg(feature = "cuda")]
        (Method::Network, Device::Cuda(device)) => {
            let network = Network::new(view, settings, start()?, Cuda::on(device)?)?;
            selected(network, settings, progress)?
        }
    };
    Ok(Found { estimate, model, view, warnings })
}

/// Selects terms from sharpness to sharpness, beginning with all of them. Returns the estimate, and
/// warnings of what remains undecided.
fn selected<'a, E: Estimator<'a>>(
    mut estimator: E,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<(Estimate<'a>, Vec<String>)> {
    let mut last: Option<Estimate<'a>> = None;
    let mut warnings = Vec::new();
    loop {
        let sharper = select(&mut estimator, settings, progress).and_then(|()| {
            last = Some(estimator.estimate().clone());
            estimator.sharpen(progress)
        });
        match (sharper, last.take()) {
            (Ok(true), selected) => last = selected,
            (Ok(false), _) => break,
            // What was selected before is the sharpest that there is.
            (Err(Error::Data(_)), Some(selected)) => {
                estimator.restore(selected, progress)?;
                warnings.push(warnings::coarse());
                break;
            }
            (Err(error), _) => return Err(error),
        }
    }
    warnings.extend(conclude(&mut estimator, settings, progress)?);
    Ok((estimator.finish(), warnings))
}

impl Found<'_> {
    /// Returns −2 log likelihood of the data, up to a constant, plus the square of the threshold
    /// for each term.
    fn score(&self, settings: &Settings) -> f64 {
        (0..self.estimate.rhs.states()).map(|equation| self.score_of(equation, settings)).sum()
    }

    /// Returns the part of the score that belongs to one equation and the data of its state.
    fn score_of(&self, equation: usize, settings: &Settings) -> f64 {
        let penalty = settings.threshold * settings.threshold;
        let own = self.estimate.candidates.free().iter().filter(|p| p.equation == equation).count();
        self.view.grid.misfit(&self.estimate.unbiased_noise(), equation) + penalty * own as f64
    }
}

/// Collects the result of the best estimate, with everything that its reader must know.
fn report(
    found: Found<'_>,
    tried: Vec<Tried>,
    translatable: bool,
    data: &Dataset,
    prepared: Prepared,
    progress: &mut Reporter<'_, '_>,
) -> Result<Discovery> {
    let Found { estimate, view, warnings: undecided, .. } = found;
    let View { grid, smooth, .. } = view;
    let mut warnings = prepared.warnings;
    warnings.extend(view.warnings(&prepared.data, translatable));
    warnings.extend(dependence::warnings(&prepared.data, smooth));
    warnings.extend(undecided);
    if !estimate.is_exact() {
        warnings.push(warnings::inexact(&estimate));
    }
    let equations = estimate.equations();
    warnings.extend(warnings::empty(&equations));
    let scale = sizes(&estimate);
    let parts = fits(&estimate, view, &scale);
    let period = TAU / fastest_rate(&view.data, smooth);
    let checked = check(&estimate, grid, smooth, &parts, period, &scale);
    warnings.extend(checked.warnings);
    let fits = joined(parts, &prepared.part_of, data.trajectories.len(), &grid.offset);
    warnings.extend(warnings::blow_ups(&fits, estimate.noise.len()));
    progress.finish(&equations)?;
    Ok(Discovery {
        states: prepared.data.states,
        inputs: prepared.data.inputs,
        interpolation: view.grid.interpolation.clone(),
        order: estimate.rhs.order,
        equations,
        fits,
        noise: estimate.noise,
        explained: checked.explained,
        tried,
        warnings,
    })
}

/// Returns the largest absolute value of each component of the trajectory (D).
fn sizes(found: &Estimate<'_>) -> Vec<f64> {
    let d = found.rhs.library.variables().len();
    let component = |i: usize| found.trajectory.iter().skip(i).step_by(d);
    (0..d).map(|i| component(i).fold(0.0, |m: f64, u| m.max(u.abs()))).collect()
}

/// Returns the trajectories of the grid, as estimated and as simulated with the equations that were
/// found.
fn fits(found: &Estimate<'_>, view: &View, scale: &[f64]) -> Vec<Fit> {
    let (k, d) = (found.rhs.states(), scale.len());
    let fit = |range: &std::ops::Range<usize>| {
        let time = view.grid.time[range.clone()].to_vec();
        let states = &found.trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let forcing = view.grid.forcing.part(range.clone());
        let simulated = simulate(&found.rhs, &states[..d], &time, &forcing, scale);
        Fit { time, smoothed, simulated }
    };
    view.grid.trajectories.iter().map(fit).collect()
}

/// Returns the fits of `count` trajectories, of which `fits` are parts, with the offset of each
/// state added.
fn joined(fits: Vec<Fit>, part_of: &[usize], count: usize, offset: &[f64]) -> Vec<Fit> {
    let mut joined = vec![Fit::default(); count];
    for (fit, &whole) in fits.into_iter().zip(part_of) {
        let back =
            |values: Vec<f64>| values.into_iter().zip(offset.iter().cycle()).map(|(u, o)| u + o);
        joined[whole].time.extend(fit.time);
        joined[whole].smoothed.extend(back(fit.smoothed));
        joined[whole].simulated.extend(back(fit.simulated));
    }
    joined
}
