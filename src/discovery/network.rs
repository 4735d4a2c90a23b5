//! The paper's method, section 5.1: a network from the data to the inputs of the basis, the ODE
//! solver, a two-part loss; terms are dropped between cycles of training.
//!
//! In training u' = g(Θ(f)ξ) is integrated window by window along f, the network's output, and Adam
//! minimises MSE(u, x) + MSE(f, x). What f keeps of the noise biases ξ, and Adam leaves ill-determined
//! directions unfinished; so after every cycle the same equation is solved through the same solver
//! with u in place of f ([`shooting`]) and ξ is estimated from the first part of the loss alone, with
//! standard errors, by which terms are dropped. Once all are significant, longer windows sharpen
//! the estimate.

mod shooting;
mod training;
mod windows;

use super::grid::{self, Grid, Smooth};
use super::joint::{free_parameters, report};
use super::linearised::Parameter;
use super::regression::regress;
use super::search::priors;
use super::selection::{self, Information, Quadratic};
use super::{
    Dataset, Discovery, Equation, Fit, Library, Link, Observer, RightHandSide, Settings,
    diagnostics, simulate,
};
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::{Backend, Cpu, Device, Error, Result};
use shooting::{Estimate, Path, Shooting};
use training::Model;
use windows::Windows;

/// Training steps of the first cycle, and of each later one.
const FIRST_STEPS: usize = 300;
const LATER_STEPS: usize = 40;
/// Gauss-Newton iterations at most, for one level of the noise.
const ITERATIONS: usize = 8;
/// Times that the level of the noise is estimated anew, at most.
const ROUNDS: usize = 3;
/// Converged: the promised decrease of χ² is this small.
const CONVERGED: f64 = 1e-2;
/// A change of the noise by less than this fraction changes nothing.
const NOISE_CHANGE: f64 = 0.1;
/// Noise is never taken to be smaller than this fraction of a state's deviation: below it the
/// residual is discretisation error, which is no noise.
const NOISE_FLOOR: f64 = 1e-4;

const BOTH_PATHS: [Path; 2] = [Path::Fixed, Path::Solution];

/// What was found with one library.
struct Found<'a> {
    /// −2 log likelihood of the data, up to a constant, plus the square of the threshold for each
    /// term.
    score: f64,
    rhs: RightHandSide<'a>,
    /// (M, D)
    trajectory: Vec<f64>,
    /// σ of each state (K), in units of its deviation.
    noise: Vec<f64>,
    /// The free coefficients, and χ² about them.
    parameters: Vec<Parameter>,
    quadratic: Quadratic,
    /// What remains undecided.
    warnings: Vec<String>,
}

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
    let windows = Windows::new(data, &grid, &smooth, settings.order);
    // A ratio can always be extended by a common factor, so the lowest sufficient degree counts.
    let lowest =
        if settings.link == Link::Ratio { settings.degree.min(1) } else { settings.degree };
    let libraries = (lowest..=settings.degree)
        .map(|degree| Library::new(&data.states, &Settings { degree, ..settings.clone() }));
    let libraries = libraries.collect::<Result<Vec<_>>>()?;
    let mut best: Option<Found<'_>> = None;
    let mut failure = None;
    for library in &libraries {
        let found = match &settings.device {
            Device::Cpu => search(library, &grid, &smooth, &windows, settings, Cpu, observer),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                let backend = Cuda::on(device)?;
                search(library, &grid, &smooth, &windows, settings, backend, observer)
            }
        };
        match found {
            Ok(found) => {
                if best.as_ref().is_none_or(|best| found.score < best.score) {
                    best = Some(found);
                }
            }
            Err(error @ Error::Data(_)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    let Some(found) = best else {
        return Err(failure.expect("there is at least one library"));
    };
    let found = found.sharpened(&grid, &windows, &settings.device, observer)?;
    let discovery = found.finish(data, &grid, &windows);
    report(observer, 1.0, "done", Some(&discovery.equations))?;
    Ok(discovery)
}

/// Cycles of training and refinement with one library, until every term is significant.
fn search<'a, B: Backend>(
    library: &'a Library,
    grid: &Grid,
    smooth: &Smooth,
    windows: &Windows,
    settings: &Settings,
    backend: B,
    observer: &mut Observer<'_>,
) -> Result<Found<'a>> {
    let mut rhs = RightHandSide::new(library, settings);
    let parameters = free_parameters(&mut rhs, settings)?;
    let trajectory = grid.sample(smooth, settings.order);
    let slopes = grid.slopes(smooth, settings.order);
    regress(&mut rhs, &parameters, grid, &trajectory, &slopes);

    let prior = priors(&rhs, &trajectory, &slopes, &parameters)?;
    let relative = smooth.noise.iter().zip(&smooth.deviation).map(|(noise, unit)| noise / unit);
    let noise: Vec<f64> = relative.map(|noise| noise.max(NOISE_FLOOR)).collect();
    let mut model = Model::new(windows, &rhs, &slopes, &noise, settings.seed, backend)?;
    let mut shooting = Shooting::new(windows, parameters, noise, prior, &settings.device)?;
    let mut estimate = Estimate { rhs, start: windows.starts(), path: windows.path.clone() };

    let all = shooting.all.len().max(1);
    let penalty = settings.threshold * settings.threshold;
    let mut steps = FIRST_STEPS;
    loop {
        let left = shooting.parameters.len() as f64 / all as f64;
        let done = 0.02 + 0.85 * (1.0 - left);
        let equations = estimate.rhs.equations(&[]);
        let stage = "training the network";
        report(observer, done, stage, Some(&equations))?;
        model.train(&mut estimate, &shooting.parameters, steps, |step| {
            let part = 0.1 * left * step as f64 / steps as f64;
            report(observer, done + part, stage, None)
        })?;
        steps = LATER_STEPS;
        let done = done + 0.1 * left;
        let mut refining = || report(observer, done, "refining the coefficients", None);
        let quadratic = refine(&mut shooting, &mut estimate, &BOTH_PATHS, &mut refining)?;
        let dropped = superfluous(&shooting, library, &quadratic, settings);
        if !dropped.is_empty() {
            remove(&mut shooting, &mut estimate, quadratic, &dropped);
            continue;
        }
        let information = shooting.information(&estimate, penalty)?;
        let mut better = false;
        for kept in rivals(&shooting, &information, settings.link) {
            better = attempt(&mut shooting, &mut estimate, kept, penalty, &mut refining)?;
            if better {
                break;
            }
        }
        if better {
            continue;
        }
        let warnings = match settings.link {
            // Numerator and denominator can always share a factor.
            Link::Ratio => vec![],
            _ => {
                let (all, kept) = (&shooting.all, &shooting.kept);
                diagnostics::undecided(&estimate.rhs, all, kept, &information)
            }
        };
        return Ok(Found {
            score: shooting.score(penalty),
            trajectory: windows.join(&estimate.path, grid.points()),
            rhs: estimate.rhs,
            noise: shooting.noise,
            parameters: shooting.parameters,
            quadratic,
            warnings,
        });
    }
}

/// Other sets of terms worth an attempt: better ones by the information; for a ratio those without
/// one equation's denominator, because a factor common to numerator and denominator can make every
/// single term look significant.
fn rivals(shooting: &Shooting<'_>, information: &Information, link: Link) -> Vec<Vec<usize>> {
    let kept = &shooting.kept;
    if link != Link::Ratio {
        let sets = information.best(kept).into_iter().map(|set| set.kept);
        return sets.filter(|set| set != kept).collect();
    }
    let mut equations: Vec<usize> =
        shooting.parameters.iter().filter(|p| p.denominator).map(|p| p.equation).collect();
    equations.dedup();
    let without = |equation: usize| {
        let belongs = |p: &Parameter| p.denominator && p.equation == equation;
        kept.iter().copied().filter(|&i| !belongs(&shooting.all[i])).collect()
    };
    equations.into_iter().map(without).collect()
}

/// Fits another set of terms and stays with it if its score is better. Returns whether it is; if
/// not, everything is as before.
fn attempt(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    kept: Vec<usize>,
    penalty: f64,
    report: &mut dyn FnMut() -> Result<()>,
) -> Result<bool> {
    let (before, noise, score) =
        (shooting.kept.clone(), shooting.noise.clone(), shooting.score(penalty));
    let mut trial = estimate.clone();
    for &i in before.iter().filter(|i| !kept.contains(i)) {
        *shooting.all[i].value_mut(&mut trial.rhs) = 0.0;
    }
    shooting.select(kept);
    let better = match refine(shooting, &mut trial, &BOTH_PATHS, report) {
        Ok(_) => shooting.score(penalty) < score,
        Err(Error::Data(_)) => false,
        Err(error) => return Err(error),
    };
    if better {
        *estimate = trial;
    } else {
        shooting.select(before);
        shooting.noise = noise;
    }
    Ok(better)
}

/// Gauss-Newton about each path in turn; the fit as a quadratic function of the coefficients.
fn refine(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    paths: &[Path],
    report: &mut dyn FnMut() -> Result<()>,
) -> Result<Quadratic> {
    for &path in paths {
        for _ in 0..ROUNDS {
            for _ in 0..ITERATIONS {
                report()?;
                let iteration = shooting.iterate(estimate, path)?;
                if iteration.fraction == 0.0 || iteration.promised < CONVERGED {
                    break;
                }
            }
            let mut changed = false;
            for (i, noise) in shooting.residual_noise(estimate)?.into_iter().enumerate() {
                let noise = noise.max(NOISE_FLOOR);
                changed |= (noise / shooting.noise[i] - 1.0).abs() > NOISE_CHANGE;
                shooting.noise[i] = noise;
            }
            if !changed {
                break;
            }
        }
    }
    let coefficients = shooting.parameters.iter().map(|p| p.value(&estimate.rhs)).collect();
    Ok(Quadratic { coefficients, covariance: shooting.covariance.clone() })
}

/// The terms to drop now.
fn superfluous(
    shooting: &Shooting<'_>,
    library: &Library,
    quadratic: &Quadratic,
    settings: &Settings,
) -> Vec<usize> {
    if settings.link == Link::Ratio {
        let degrees = shooting.parameters.iter().map(|p| library.factors(p.term).len());
        selection::highest(quadratic, settings.threshold, &degrees.collect::<Vec<_>>())
    } else {
        selection::weakest(quadratic, settings.threshold)
    }
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
    let kept = shooting.kept.iter().enumerate().filter(|(place, _)| !dropped.contains(place));
    shooting.select(kept.map(|(_, &index)| index).collect());
}

impl<'a> Found<'a> {
    /// The same with longer and longer windows, as long as the data bear it: over too long a window
    /// a chaotic solution cannot be fitted from its start.
    fn sharpened(
        mut self,
        grid: &Grid,
        windows: &Windows,
        device: &Device,
        observer: &mut Observer<'_>,
    ) -> Result<Self> {
        let mut longer = windows.longer(grid, &self.trajectory);
        while let Some(windows) = longer {
            let free = vec![0.0; self.parameters.len()];
            let mut shooting =
                Shooting::new(&windows, self.parameters.clone(), self.noise.clone(), free, device)?;
            let (start, path) = (windows.starts(), windows.path.clone());
            let mut estimate = Estimate { rhs: self.rhs.clone(), start, path };
            let mut refining = || report(observer, 0.95, "refining over longer windows", None);
            let paths = [Path::Solution];
            let quadratic = match refine(&mut shooting, &mut estimate, &paths, &mut refining) {
                Ok(quadratic) => quadratic,
                Err(Error::Data(_)) => break,
                Err(error) => return Err(error),
            };
            let pairs = shooting.noise.iter().zip(&self.noise);
            if pairs.into_iter().any(|(now, before)| *now > (1.0 + NOISE_CHANGE) * before) {
                break;
            }
            self.trajectory = windows.join(&estimate.path, grid.points());
            self.rhs = estimate.rhs;
            self.noise = shooting.noise;
            self.quadratic = quadratic;
            longer = windows.longer(grid, &self.trajectory);
        }
        Ok(self)
    }

    fn equations(&self) -> Vec<Equation> {
        let size = self.rhs.numerator.len();
        let mut errors = vec![None; 2 * size];
        for (i, p) in self.parameters.iter().enumerate() {
            let side = if p.denominator { size } else { 0 };
            let place = side + p.equation * self.rhs.library.len() + p.term;
            errors[place] = Some(self.quadratic.standard_error(i));
        }
        self.rhs.equations(&errors)
    }

    fn finish(self, data: &Dataset, grid: &Grid, windows: &Windows) -> Discovery {
        let unit = &windows.unit;
        let (k, d) = (unit.states(), unit.components());
        let scale: Vec<f64> = (0..d).map(|i| unit.of_component(i)).collect();
        let fits = grid.trajectories.iter().map(|range| {
            let time = grid.time[range.clone()].to_vec();
            let states = &self.trajectory[range.start * d..range.end * d];
            let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
            let simulated = simulate(&self.rhs, &states[..d], &time, &scale);
            Fit { time, smoothed, simulated }
        });
        let fits: Vec<Fit> = fits.collect();
        let equations = self.equations();
        let mut warnings = self.warnings;
        warnings.extend(diagnostics::empty(&equations));
        warnings.extend(diagnostics::blow_ups(&fits, k));
        let noise = self.noise.iter().zip(&unit.deviation).map(|(noise, unit)| noise * unit);
        let (states, order) = (data.states.clone(), unit.order);
        Discovery { states, order, equations, fits, noise: noise.collect(), warnings }
    }
}
