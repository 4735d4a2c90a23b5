//! The search for equations: the whole algorithm of a discovery.

use std::f64::consts::TAU;

use super::check::check;
use super::data::Dataset;
use super::dependence;
use super::equation::{Discovery, Fit};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, fastest_rate};
use super::joint::{Joint, joint_values};
use super::library::Library;
use super::link::Link;
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
    libraries(data, settings)?;
    data.validate()?;
    let mut progress = Reporter::new(observer);
    progress.stage(0.0, "smoothing the data")?;
    ensure_memory_to_smooth(data)?;
    let prepared = prepare(data, settings)?;
    let libraries = libraries(&prepared.data, settings)?;
    let has_inputs = libraries.iter().any(|library| !library.inputs().is_empty());
    if settings.method == Method::Network && has_inputs {
        let message = "the network method takes no inputs and no terms with the time; the joint \
                       method does";
        return Err(Error::argument("method", message));
    }
    let views = View::all(&prepared.data, settings)?;
    // Terms get the time where a candidate depends on it.
    let with_time = libraries[0].inputs().len() > prepared.data.inputs.len();
    check_gradients(&prepared.data, &views[0].smooth, with_time, settings)?;
    views.iter().try_for_each(|view| ensure_memory(&view.grid, &libraries, settings))?;

    // Searches with every library about every offset, and keeps the best result.
    let mut best: Option<Found> = None;
    let mut failure = None;
    let tasks = views.iter().flat_map(|view| libraries.iter().map(move |library| (view, library)));
    for (index, (view, library)) in tasks.enumerate() {
        progress.begin_part(index, views.len() * libraries.len());
        match find(view, library, settings, &mut progress) {
            Ok(found) => {
                if best.as_ref().is_none_or(|best| found.beats(best, settings)) {
                    best = Some(found);
                }
            }
            Err(error @ (Error::Data(_) | Error::Argument { .. })) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    match best {
        Some(found) => report(found, data, prepared, settings, &mut progress),
        None => Err(failure.expect("there is at least one library")),
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

/// Returns the candidate terms, as several libraries of growing degree if the lowest sufficient
/// degree is to be found.
fn libraries(data: &Dataset, settings: &Settings) -> Result<Vec<Library>> {
    // A ratio can always be extended by a common factor, so its lowest sufficient degree is to be
    // found.
    let lowest =
        if settings.link == Link::Ratio { settings.degree.min(1) } else { settings.degree };
    (lowest..=settings.degree)
        .map(|degree| {
            let settings = Settings { degree, ..settings.clone() };
            Library::for_data(data, &settings)
        })
        .collect()
}

/// The result of a search with one library.
struct Found<'a> {
    estimate: Estimate<'a>,
    view: &'a View,
    /// What remains undecided.
    warnings: Vec<String>,
}

/// Finds the terms of a library that the data support, by either method.
fn find<'a>(
    view: &'a View,
    library: &'a Library,
    settings: &'a Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Found<'a>> {
    progress.stage(0.02, "regression on the smoothed data")?;
    let View { grid, smooth, .. } = view;
    let start = Start::new(library, grid, smooth, settings)?;
    let (estimate, warnings) = match (settings.method, &settings.device) {
        (Method::Joint, _) => {
            let joint = Joint::new(grid, smooth, start, progress)?;
            selected(joint, settings, progress)?
        }
        (Method::Network, Device::Cpu) => {
            let network = Network::new(view, settings, start, Cpu)?;
            selected(network, settings, progress)?
        }
        #[cfg(feature = "cuda")]
        (Method::Network, Device::Cuda(device)) => {
            let network = Network::new(view, settings, start, Cuda::on(device)?)?;
            selected(network, settings, progress)?
        }
    };
    Ok(Found { estimate, view, warnings })
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
    /// Returns whether this is better than another result: equations that hold exactly are better
    /// than ones that do not; among equals the score decides.
    fn beats(&self, other: &Found<'_>, settings: &Settings) -> bool {
        match (self.estimate.is_exact(), other.estimate.is_exact()) {
            (true, false) => true,
            (false, true) => false,
            _ => self.score(settings) < other.score(settings),
        }
    }

    /// Returns −2 log likelihood of the data, up to a constant, plus the square of the threshold
    /// for each term.
    fn score(&self, settings: &Settings) -> f64 {
        let penalty = settings.threshold * settings.threshold;
        let terms = self.estimate.candidates.kept.len() as f64;
        self.view.grid.misfit(&self.estimate.unbiased_noise()) + penalty * terms
    }
}

/// Collects the result of the best estimate, with everything that its reader must know.
fn report(
    found: Found<'_>,
    data: &Dataset,
    prepared: Prepared,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Discovery> {
    let Found { estimate, view, warnings: undecided } = found;
    let View { grid, smooth, .. } = view;
    let mut warnings = prepared.warnings;
    warnings.extend(view.warnings(&prepared.data, settings));
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
