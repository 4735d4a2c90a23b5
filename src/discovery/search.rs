//! The search for equations: the whole algorithm of a discovery.

use super::data::Dataset;
use super::equation::{Discovery, Fit};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, Smooth, smooth};
use super::joint::{Joint, joint_values};
use super::library::Library;
use super::link::Link;
use super::network::{Network, Windows, network_values};
use super::progress::{Observer, Reporter};
use super::selection::select;
use super::settings::{Method, Settings};
use super::simulate::simulate;
use super::start::Start;
use super::user_terms::check_gradients;
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
    let libraries = libraries(data, settings)?;
    data.validate()?;
    let mut progress = Reporter::new(observer);
    progress.stage(0.0, "smoothing the data")?;
    ensure_memory_to_smooth(data)?;
    let smooth = smooth(data)?;
    check_gradients(data, &smooth, settings)?;
    let grid = Grid::new(data, &smooth, settings.grid_refinement)?;
    ensure_memory(&grid, &libraries, settings)?;
    let task = Task { data, settings, smooth: &smooth, grid: &grid, libraries: &libraries };
    match (settings.method, &settings.device) {
        (Method::Joint, _) => search(&task, &mut progress, |start, progress| {
            Joint::new(&grid, &smooth, start, progress)
        }),
        (Method::Network, Device::Cpu) => {
            let windows = Windows::new(data, &grid, &smooth, settings.order);
            search(&task, &mut progress, |start, _| {
                Network::new(&grid, &smooth, &windows, settings, start, Cpu)
            })
        }
        #[cfg(feature = "cuda")]
        (Method::Network, Device::Cuda(device)) => {
            let windows = Windows::new(data, &grid, &smooth, settings.order);
            search(&task, &mut progress, |start, _| {
                Network::new(&grid, &smooth, &windows, settings, start, Cuda::on(device)?)
            })
        }
    }
}

/// Checks that the memory for smoothing the data can be had: for each value some twenty numbers
/// while its series is smoothed, and three of its spline afterwards.
fn ensure_memory_to_smooth(data: &Dataset) -> Result<()> {
    let points = data.trajectories.iter().map(|t| t.time.len()).fold(0, usize::saturating_add);
    let values = points.saturating_mul(data.states.len());
    ensure("smoothing the data", &[(points, 20 * 8), (values, 3 * 8)])
}

/// Checks that the memory for the search can be had.
fn ensure_memory(grid: &Grid, libraries: &[Library], settings: &Settings) -> Result<()> {
    let largest = libraries.iter().max_by_key(|library| library.len());
    let Some(library) = largest else { return Ok(()) };
    let variables = library.variables().len();
    let states = variables / settings.order;
    let numerators = states.saturating_mul(library.len());
    let coefficients = match settings.link {
        Link::Ratio => numerators.saturating_mul(2),
        _ => numerators,
    };
    let squares = coefficients.saturating_mul(coefficients);
    // The trajectory in the units of the data and in those of the method, of the estimates that
    // are compared, smoothed and simulated.
    let trajectories = (grid.points().saturating_mul(variables), 20 * 8);
    match settings.method {
        Method::Joint => {
            let values = joint_values(grid.points(), variables, coefficients);
            // One for the present terms and one for all of them.
            ensure("the search", &[trajectories, (values, 2 * 8), (squares, 8 * 8)])
        }
        Method::Network => {
            let values = network_values(grid.points(), variables, states, coefficients);
            ensure("the search", &[trajectories, (values, 8), (squares, 8 * 8)])
        }
    }
}

/// The inputs of a search: the data, the settings, and what is derived from them.
struct Task<'a> {
    data: &'a Dataset,
    settings: &'a Settings,
    smooth: &'a Smooth,
    grid: &'a Grid,
    libraries: &'a [Library],
}

/// Returns the candidate terms, as several libraries of growing degree if the lowest sufficient
/// degree is to be found.
fn libraries(data: &Dataset, settings: &Settings) -> Result<Vec<Library>> {
    // A ratio can always be extended by a common factor, so its lowest sufficient degree is to be
    // found.
    let lowest =
        if settings.link == Link::Ratio { settings.degree.min(1) } else { settings.degree };
    (lowest..=settings.degree)
        .map(|degree| Library::new(&data.states, &Settings { degree, ..settings.clone() }))
        .collect()
}

/// Searches with either method; `estimator` makes the first estimate with all terms.
fn search<'a, 'o, 'f, E: Estimator<'a>>(
    task: &Task<'a>,
    progress: &mut Reporter<'o, 'f>,
    estimator: impl Fn(Start<'a>, &mut Reporter<'o, 'f>) -> Result<E>,
) -> Result<Discovery> {
    let (settings, grid) = (task.settings, task.grid);
    // Finds the terms of a library that the data support, beginning with all of them.
    let find = |library: &'a Library, progress: &mut Reporter<'o, 'f>| -> Result<(E, _)> {
        progress.stage(0.02, "regression on the smoothed data")?;
        let start = Start::new(library, grid, task.smooth, settings)?;
        let mut estimator = estimator(start, progress)?;
        loop {
            let undecided = select(&mut estimator, settings, progress)?;
            if !estimator.sharpen(progress)? {
                return Ok((estimator, undecided));
            }
        }
    };

    // Compares the results of the libraries and keeps the best.
    let mut best: Option<(E, Vec<String>)> = None;
    let mut failure = None;
    for (index, library) in task.libraries.iter().enumerate() {
        progress.begin_part(index, task.libraries.len());
        match find(library, progress) {
            Ok(found) => {
                let beats = |best: &(E, _)| beats(found.0.estimate(), best.0.estimate(), task);
                if best.as_ref().is_none_or(beats) {
                    best = Some(found);
                }
            }
            Err(error @ (Error::Data(_) | Error::Argument { .. })) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    let Some((estimator, mut warnings)) = best else {
        return Err(failure.expect("there is at least one library"));
    };

    // Collects the result of the best estimate.
    let found = estimator.finish(progress)?;
    if !found.is_exact() {
        warnings.push(warnings::inexact());
    }
    let equations = found.equations();
    let fits = fits(&found, grid);
    warnings.extend(warnings::empty(&equations));
    warnings.extend(warnings::blow_ups(&fits, found.noise.len()));
    progress.finish(&equations)?;
    let (states, order, noise) = (task.data.states.clone(), found.rhs.order, found.noise);
    Ok(Discovery { states, order, equations, fits, noise, warnings })
}

/// Returns whether an estimate is better than another: equations that hold exactly are better than
/// ones that do not; among equals the score decides.
fn beats(new: &Estimate<'_>, old: &Estimate<'_>, task: &Task<'_>) -> bool {
    match (new.is_exact(), old.is_exact()) {
        (true, false) => true,
        (false, true) => false,
        _ => score(new, task) < score(old, task),
    }
}

/// Returns the score of an estimate: −2 log likelihood of the data, up to a constant, plus the
/// square of the threshold for each term.
fn score(estimate: &Estimate<'_>, task: &Task<'_>) -> f64 {
    let penalty = task.settings.threshold * task.settings.threshold;
    let terms = estimate.candidates.kept.len() as f64;
    task.grid.misfit(&estimate.unbiased_noise()) + penalty * terms
}

/// Returns the trajectories, as estimated and as simulated with the equations that were found.
fn fits(found: &Estimate<'_>, grid: &Grid) -> Vec<Fit> {
    let (k, d) = (found.rhs.states(), found.rhs.library.variables().len());
    let component = |i: usize| found.trajectory.iter().skip(i).step_by(d);
    let scale: Vec<f64> =
        (0..d).map(|i| component(i).fold(0.0, |m: f64, u| m.max(u.abs()))).collect();
    let fit = |range: &std::ops::Range<usize>| {
        let time = grid.time[range.clone()].to_vec();
        let states = &found.trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let simulated = simulate(&found.rhs, &states[..d], &time, &scale);
        Fit { time, smoothed, simulated }
    };
    grid.trajectories.iter().map(fit).collect()
}
