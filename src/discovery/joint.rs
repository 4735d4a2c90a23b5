//! The joint method: trajectory and coefficients together, terms selected by standard error.

use super::grid::{self, Grid, Smooth};
use super::linearised::Parameter;
use super::regression::regress;
use super::search::Search;
use super::selection;
use super::{Dataset, Discovery, Fit, Library, Link, Observer, Progress, RightHandSide, Settings};
use super::{diagnostics, simulate};
use crate::{Error, Result};

/// The equation's weight grows in these steps as long as the data bear it: the first with all
/// terms, the last once terms are selected.
const STIFFNESS: [f64; 4] = [1e2, 1e4, 1e6, 1e8];
const WITH_ALL_TERMS: usize = 3;
/// Data that do not bear this weight do not obey the equation exactly.
const EXACT: f64 = 1e6;
/// Convergence (decrease of χ² still promised) while the equation's weight grows, while terms are
/// selected, and of the last estimate.
const ROUGH_TOLERANCE: f64 = 1.0;
const TOLERANCE: f64 = 0.1;
const LAST_TOLERANCE: f64 = 1e-4;
/// Rounds of fitting the best set that the last fit suggests.
const MAX_ROUNDS: usize = 10;

/// See [`discover`](super::discover).
pub(super) fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Discovery> {
    data.validate()?;
    report(observer, 0.0, "smoothing the data", None)?;
    let smooth = grid::smooth(data)?;
    let grid = Grid::new(data, &smooth, settings.refinement)?;
    // A ratio can always be extended by a common factor, so the lowest sufficient degree counts.
    let lowest =
        if settings.link == Link::Ratio { settings.degree.min(1) } else { settings.degree };
    let libraries = (lowest..=settings.degree)
        .map(|degree| Library::new(&data.states, &Settings { degree, ..settings.clone() }));
    let libraries = libraries.collect::<Result<Vec<_>>>()?;
    let mut best: Option<(Search<'_>, Vec<String>)> = None;
    let mut failure = None;
    let mut reached = 0.0_f64;
    for (index, library) in libraries.iter().enumerate() {
        let mut part = |progress: &Progress<'_>| {
            let fraction = (index as f64 + progress.fraction) / libraries.len() as f64;
            // Stages may be repeated, but progress is never taken back.
            reached = reached.max(fraction);
            observer(&Progress { fraction: reached, ..*progress })
        };
        match search(library, &grid, &smooth, settings, &mut part) {
            Ok(found) => {
                if best.as_ref().is_none_or(|best| beats(&found.0, &best.0, settings)) {
                    best = Some(found);
                }
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => failure = Some(error),
        }
    }
    let Some((search, warnings)) = best else {
        return Err(failure.expect("there is at least one library"));
    };
    let discovery = finish(data, search, warnings);
    report(observer, 1.0, "done", Some(&discovery.equations))?;
    Ok(discovery)
}

/// An equation that holds exactly is better than one that does not; then the score counts.
fn beats(new: &Search<'_>, old: &Search<'_>, settings: &Settings) -> bool {
    let penalty = settings.threshold * settings.threshold;
    let exact = |search: &Search<'_>| search.stiffness() >= EXACT;
    match (exact(new), exact(old)) {
        (true, false) => true,
        (false, true) => false,
        _ => new.score(penalty) < old.score(penalty),
    }
}

/// The estimate with the terms of one library, and what is to be said about it.
fn search<'a>(
    library: &'a Library,
    grid: &'a Grid,
    smooth: &Smooth,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<(Search<'a>, Vec<String>)> {
    let mut rhs = RightHandSide::new(library, settings);
    let parameters = free_parameters(&mut rhs, settings)?;
    report(observer, 0.02, "regression on the smoothed data", None)?;
    let trajectory = grid.sample(smooth, settings.order);
    let slopes = grid.slopes(smooth, settings.order);
    regress(&mut rhs, &parameters, grid, &trajectory, &slopes);

    let mut search = Search::new(grid, smooth, rhs, trajectory, &slopes, parameters)?;
    let stage = "fitting all candidate terms";
    search.approach(ROUGH_TOLERANCE, || report(observer, 0.05, stage, None))?;
    for (step, stiffness) in STIFFNESS[..WITH_ALL_TERMS].iter().enumerate() {
        let fraction = 0.1 * (step + 1) as f64;
        let go_on = || report(observer, fraction, stage, None);
        if !search.stiffen(*stiffness, ROUGH_TOLERANCE, go_on)? {
            break;
        }
    }
    search.converge(TOLERANCE, || report(observer, 0.4, stage, None))?;
    report(observer, 0.4, stage, Some(&search.equations()))?;

    let mut warnings;
    loop {
        let before = search.stiffness();
        warnings = select(&mut search, settings, observer)?;
        for stiffness in STIFFNESS.into_iter().filter(|s| *s > before) {
            let go_on = || report(observer, 0.95, "sharpening", None);
            if !search.stiffen(stiffness, TOLERANCE, go_on)? {
                break;
            }
        }
        // Terms that were selected while the equation was loose are looked at again.
        if before >= EXACT || search.stiffness() == before {
            break;
        }
    }
    search.converge(LAST_TOLERANCE, || report(observer, 0.95, "last estimate", None))?;
    if search.stiffness() < EXACT {
        warnings.push(diagnostics::inexact());
    }
    Ok((search, warnings))
}

/// Finds the set of terms with the best score. The warnings say what remains undecided.
fn select(
    search: &mut Search<'_>,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Vec<String>> {
    let stage = "comparing sets of terms";
    let penalty = settings.threshold * settings.threshold;
    // Where terms of a numerator and a denominator can replace each other, sets must not be judged
    // before the redundant ones are gone.
    if settings.link == Link::Ratio {
        eliminate(search, settings, observer)?;
    }
    for round in 0..MAX_ROUNDS {
        let fraction = 0.4 + 0.5 * round as f64 / MAX_ROUNDS as f64;
        let information = search.information(penalty)?;
        let mut better = false;
        for set in information.best(&search.kept) {
            let attempt = || report(observer, fraction, stage, None);
            if set.kept != search.kept && search.attempt(&set, penalty, TOLERANCE, attempt)? {
                better = true;
                break;
            }
        }
        if better {
            report(observer, fraction, stage, Some(&search.equations()))?;
        } else if round == 0 {
            eliminate(search, settings, observer)?;
        } else {
            return Ok(diagnostics::undecided(
                &search.estimate.rhs,
                &search.all,
                &search.kept,
                &information,
            ));
        }
    }
    eliminate(search, settings, observer)?;
    Ok(diagnostics::undecided(
        &search.estimate.rhs,
        &search.all,
        &search.kept,
        &search.information(penalty)?,
    ))
}

/// Backward elimination by standard error.
fn eliminate(
    search: &mut Search<'_>,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<()> {
    let stage = "dropping terms";
    loop {
        let done = 1.0 - search.kept.len() as f64 / search.all.len().max(1) as f64;
        search.converge(TOLERANCE, || report(observer, 0.4 + 0.5 * done, stage, None))?;
        report(observer, 0.4 + 0.5 * done, stage, Some(&search.equations()))?;
        let quadratic = search.quadratic();
        let dropped = if settings.link == Link::Ratio {
            let library = search.estimate.rhs.library;
            let degree = |&index: &usize| library.factors(search.all[index].term).len();
            let degrees: Vec<usize> = search.kept.iter().map(degree).collect();
            selection::highest(&quadratic, settings.threshold, &degrees)
        } else {
            selection::weakest(&quadratic, settings.threshold)
        };
        if dropped.is_empty() {
            return Ok(());
        }
        search.drop(&dropped)?;
    }
}

pub(super) fn report(
    observer: &mut Observer<'_>,
    fraction: f64,
    stage: &str,
    equations: Option<&[super::Equation]>,
) -> Result<()> {
    match observer(&Progress { fraction, stage, equations }) {
        std::ops::ControlFlow::Continue(()) => Ok(()),
        std::ops::ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}

/// Sets the known coefficients in `rhs`; the others, sorted by equation, are free.
pub(super) fn free_parameters(
    rhs: &mut RightHandSide<'_>,
    settings: &Settings,
) -> Result<Vec<Parameter>> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut free = vec![true; k * l];
    for known in &settings.known {
        let state = rhs.library.variables()[..k].iter().position(|name| *name == known.state);
        let Some(equation) = state else {
            return Err(Error::argument("known", format!("there is no state `{}`", known.state)));
        };
        let Some(term) = rhs.library.position(&known.factors) else {
            let message = format!("the library has no term `{}`", known.factors.join(" "));
            return Err(Error::argument("known", message));
        };
        free[equation * l + term] = false;
        rhs.numerator[equation * l + term] = known.coefficient;
    }
    let mut parameters = Vec::new();
    for equation in 0..k {
        let numerator = (0..l).filter(|term| free[equation * l + term]);
        parameters.extend(numerator.map(|term| Parameter { equation, term, denominator: false }));
        if rhs.link == Link::Ratio {
            parameters.extend((1..l).map(|term| Parameter { equation, term, denominator: true }));
        }
    }
    Ok(parameters)
}

fn finish(data: &Dataset, search: Search<'_>, mut warnings: Vec<String>) -> Discovery {
    let (k, order) = (data.states.len(), search.estimate.rhs.order);
    let d = k * order;
    let trajectory = &search.estimate.trajectory;
    let scale: Vec<f64> = (0..d)
        .map(|i| trajectory.iter().skip(i).step_by(d).fold(0.0, |m: f64, u| m.max(u.abs())))
        .collect();
    let fits = search.grid.trajectories.iter().map(|range| {
        let time = search.grid.time[range.clone()].to_vec();
        let states = &trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let simulated = simulate(&search.estimate.rhs, &states[..d], &time, &scale);
        Fit { time, smoothed, simulated }
    });
    let fits: Vec<Fit> = fits.collect();
    let equations = search.equations();
    warnings.extend(diagnostics::empty(&equations));
    warnings.extend(diagnostics::blow_ups(&fits, k));
    Discovery {
        states: data.states.clone(),
        order,
        equations,
        fits,
        noise: search.noise.clone(),
        warnings,
    }
}
