//! The joint method: trajectory and coefficients together, terms selected by standard error.

use super::grid::{self, Grid, Smooth};
use super::linearised::Parameter;
use super::regression::regress;
use super::search::Search;
use super::selection::{self, Information};
use super::{Dataset, Discovery, Fit, Library, Link, Observer, Progress, RightHandSide, Settings};
use super::{diagnostics, simulate};
use crate::{Error, Result};

/// The equation's weight while terms are selected, and for the last estimate.
const STIFFNESS: f64 = 1e6;
const LAST_STIFFNESS: f64 = 1e8;
/// Convergence (decrease of χ² still promised) while terms are selected, and of the last estimate.
const TOLERANCE: f64 = 0.1;
const LAST_TOLERANCE: f64 = 1e-4;
/// Rounds of exchanging terms.
const MAX_EXCHANGES: usize = 10;

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
    let penalty = settings.threshold * settings.threshold;
    let mut best: Option<(Search<'_>, Vec<String>)> = None;
    let mut failure = None;
    for library in &libraries {
        match search(library, &grid, &smooth, settings, observer) {
            Ok(found) => {
                if best.as_ref().is_none_or(|b| found.0.score(penalty) < b.0.score(penalty)) {
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
    search.approach(|done| report(observer, 0.05 + 0.3 * done, stage, None))?;
    let exact = search.stiffen(STIFFNESS, TOLERANCE, || report(observer, 0.35, stage, None))?;
    report(observer, 0.4, stage, Some(&search.equations()))?;

    let mut warnings = select(&mut search, settings, observer)?;
    let stage = "last estimate";
    if exact {
        search.stiffen(LAST_STIFFNESS, LAST_TOLERANCE, || report(observer, 0.95, stage, None))?;
    } else {
        search.converge(LAST_TOLERANCE, || report(observer, 0.95, stage, None))?;
        warnings.push(diagnostics::inexact());
    }
    Ok((search, warnings))
}

/// Drops terms until all are significant, then exchanges terms while that helps. The warnings say
/// what remains undecided.
fn select(
    search: &mut Search<'_>,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Vec<String>> {
    let penalty = settings.threshold * settings.threshold;
    let equation_of: Vec<usize> = search.all.iter().map(|p| p.equation).collect();
    for _ in 0..MAX_EXCHANGES {
        eliminate(search, settings, observer)?;
        let stage = "comparing with other terms";
        report(observer, 0.9, stage, None)?;
        let all = search.quadratic_of_all()?;
        let Some(information) = Information::new(&all, settings.threshold) else {
            return Ok(vec![diagnostics::singular()]);
        };
        let rivals = information.rivals(&search.kept, &equation_of);
        let mut better = false;
        for rival in rivals.iter().filter(|rival| rival.score < 0.0) {
            let kept = rival.kept.clone();
            if search.attempt(kept, penalty, TOLERANCE, || report(observer, 0.9, stage, None))? {
                better = true;
                break;
            }
        }
        if !better {
            return Ok(diagnostics::undecided(search, &rivals, &all, penalty));
        }
    }
    Ok(Vec::new())
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
        report(observer, 0.4 + 0.5 * done, stage, Some(&search.equations()))?;
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
