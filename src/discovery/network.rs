//! The paper's method, section 5.1: a network from the data to the inputs of the basis, the ODE
//! solver, a two-part loss; terms are dropped between cycles of training.
//!
//! In training u' = g(Θ(f)ξ) is integrated window by window along f, the network's output, and Adam
//! minimises MSE(u, x) + MSE(f, x). What f keeps of the noise biases ξ, and Adam leaves ill-determined
//! directions unfinished; so after every cycle the same equation is solved through the same solver
//! with u in place of f ([`shooting`]) and ξ is estimated from the first part of the loss alone, with
//! standard errors, by which terms are dropped.

mod shooting;
mod training;
mod windows;

use super::grid::{self, Grid};
use super::joint::{free_parameters, report};
use super::regression::regress;
use super::search::priors;
use super::selection::{Quadratic, weakest};
use super::{Dataset, Discovery, Equation, Fit, Library, Observer, RightHandSide, Settings, simulate};
use crate::Result;
use shooting::{Estimate, Path, Shooting};
use training::Model;
use windows::Windows;

/// Training steps of the first cycle, and of each later one.
const FIRST_STEPS: usize = 300;
const LATER_STEPS: usize = 60;
/// Gauss-Newton iterations at most: about the network's output, and about the solution.
const FIXED_ITERATIONS: usize = 4;
const ITERATIONS: usize = 8;
/// Converged: the promised decrease of χ² is this small.
const CONVERGED: f64 = 1e-2;
/// Noise is never taken to be smaller than this fraction of a state's deviation: below it the
/// residual is discretisation error, which is no noise.
const NOISE_FLOOR: f64 = 1e-4;

/// See [`discover`](super::discover).
pub(super) fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Discovery> {
    data.validate()?;
    let library = Library::new(&data.states, settings)?;
    report(observer, 0.0, "smoothing the data", None)?;
    let smooth = grid::smooth(data)?;
    let grid = Grid::new(data, &smooth, settings.refinement)?;
    let windows = Windows::new(data, &grid, &smooth, settings.order);

    let mut rhs = RightHandSide::new(&library, settings);
    let parameters = free_parameters(&mut rhs, settings)?;
    let slopes = grid.slopes(&smooth, settings.order);
    let trajectory = grid.sample(&smooth, settings.order);
    regress(&mut rhs, &parameters, &grid, &trajectory, &slopes);

    let noise: Vec<f64> = smooth
        .noise
        .iter()
        .zip(&smooth.deviation)
        .map(|(noise, deviation)| (noise / deviation).max(NOISE_FLOOR))
        .collect();
    let prior = priors(&rhs, &trajectory, &slopes, &parameters);
    let mut model = Model::new(&windows, &rhs, &slopes, &noise, settings.seed)?;
    let mut shooting = Shooting::new(&windows, parameters, noise, prior)?;
    if std::env::var("NET_DEBUG").is_ok() { eprintln!("windows {} points {}", windows.count, windows.points); }
    let mut estimate = Estimate {
        rhs,
        start: windows.starts(),
        path: windows.smoothed.clone(),
    };

    let all = shooting.parameters.len();
    let mut steps = FIRST_STEPS;
    loop {
        let left = shooting.parameters.len();
        let done = 0.02 + 0.9 * (1.0 - left as f64 / all.max(1) as f64);
        let equations = estimate.rhs.equations(&[]);
        model.train(&mut estimate, &shooting.parameters, steps, |step| {
            let part = step as f64 / steps as f64 * left as f64 / all.max(1) as f64;
            report(observer, done + 0.1 * part, "training the network", Some(&equations))
        })?;
        steps = LATER_STEPS;
        let quadratic = refine(&mut shooting, &mut estimate, || {
            report(observer, done, "refining the coefficients", None)
        })?;
        let dropped = weakest(&quadratic, settings.threshold);
        if dropped.is_empty() {
            let equations = with_errors(&estimate, &shooting, &quadratic);
            return Ok(finish(data, &grid, &windows, &shooting, &estimate, equations));
        }
        remove(&mut shooting, &mut estimate, quadratic, &dropped);
    }
}

/// Gauss-Newton about the network's output, then about the solution; the fit as a quadratic
/// function of the coefficients.
fn refine(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    mut report: impl FnMut() -> Result<()>,
) -> Result<Quadratic> {
    for (path, most) in [(Path::Fixed, FIXED_ITERATIONS), (Path::Solution, ITERATIONS)] {
        for _ in 0..most {
            report()?;
            let iteration = shooting.iterate(estimate, path)?;
            if std::env::var("NET_DEBUG").is_ok() {
                eprintln!("{path:?} {iteration:?}");
            }
            if iteration.fraction == 0.0 || iteration.promised < CONVERGED {
                break;
            }
        }
        let variance = shooting.variance(estimate)?;
        for (noise, variance) in shooting.noise.iter_mut().zip(variance) {
            *noise = variance.sqrt().max(NOISE_FLOOR);
        }
    }
    let coefficients = shooting.parameters.iter().map(|p| p.value(&estimate.rhs)).collect();
    Ok(Quadratic { coefficients, covariance: shooting.covariance(estimate)? })
}

/// Removes the terms at these indices; the others move to where they are then expected.
fn remove(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    mut quadratic: Quadratic,
    dropped: &[usize],
) {
    dropped.iter().for_each(|&j| quadratic.remove(j));
    for (p, value) in shooting.parameters.iter().zip(&quadratic.coefficients) {
        *p.value_mut(&mut estimate.rhs) = *value;
    }
    let kept: Vec<usize> =
        (0..quadratic.coefficients.len()).filter(|j| !dropped.contains(j)).collect();
    shooting.keep(&kept);
}

fn with_errors(
    estimate: &Estimate<'_>,
    shooting: &Shooting<'_>,
    quadratic: &Quadratic,
) -> Vec<Equation> {
    let size = estimate.rhs.numerator.len();
    let mut errors = vec![None; 2 * size];
    for (i, p) in shooting.parameters.iter().enumerate() {
        let side = if p.denominator { size } else { 0 };
        let place = side + p.equation * estimate.rhs.library.len() + p.term;
        errors[place] = Some(quadratic.standard_error(i));
    }
    estimate.rhs.equations(&errors)
}

fn finish(
    data: &Dataset,
    grid: &Grid,
    windows: &Windows,
    shooting: &Shooting<'_>,
    estimate: &Estimate<'_>,
    equations: Vec<Equation>,
) -> Discovery {
    let unit = &windows.unit;
    let (k, d) = (unit.states(), unit.components());
    let trajectory = windows.join(&estimate.path, grid.points());
    let scale: Vec<f64> = (0..d).map(|i| unit.of_component(i)).collect();
    let fits = grid.trajectories.iter().map(|range| {
        let time = grid.time[range.clone()].to_vec();
        let states = &trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let simulated = simulate(&estimate.rhs, &states[..d], &time, &scale);
        Fit { time, smoothed, simulated }
    });
    Discovery {
        states: data.states.clone(),
        order: unit.order,
        equations,
        fits: fits.collect(),
        noise: shooting.noise.iter().zip(&unit.deviation).map(|(n, unit)| n * unit).collect(),
        warnings: Vec::new(),
    }
}
