//! The network method, the paper's section 5.1: a neural network from the data to the inputs of the
//! basis, the ODE solver, a two-part loss; terms are dropped between cycles of training.
//!
//! In training u' = g(Θ(f)ξ) is integrated window by window along f, the network's output, and Adam
//! minimizes MSE(u, x) + MSE(f, x). What f keeps of the noise biases ξ, and Adam leaves
//! ill-determined directions unfinished; so after every cycle the same equation is solved through
//! the same solver with u in place of f ([`shooting`]) and ξ is estimated from the first part of
//! the loss alone, with standard errors, by which terms are dropped. Once all are significant,
//! the network has done its part, and longer windows sharpen the estimate.

mod shooting;
mod training;
mod windows;

use std::sync::Arc;

use super::candidates::{Candidates, Support};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::Grid;
use super::information::Information;
use super::link::Link;
use super::noise::Floor;
use super::progress::Reporter;
use super::settings::Settings;
use super::start::Start;
use super::view::View;
use crate::{Backend, Device, Error, Result};
use shooting::{Path, Shooting};
use training::Model;
use windows::Windows;

/// The training steps of the first cycle, and of each later one.
const FIRST_STEPS: usize = 300;
const LATER_STEPS: usize = 40;
/// The fraction of the whole work that a cycle's training counts as, at first; it counts less when
/// fewer terms are left.
const TRAINING: f64 = 0.1;
/// The most Gauss-Newton iterations for one level of the noise.
const ITERATIONS: usize = 8;
/// The fraction of the whole work that an iteration counts as.
const ITERATION: f64 = 0.002;
/// The most times that the level of the noise is estimated anew.
const ROUNDS: usize = 3;
/// The promised decrease of χ² below which the iterations have converged.
const CONVERGED: f64 = 1e-2;
/// The fraction below which a change of the noise is ignored.
const NOISE_CHANGE: f64 = 0.1;
/// The smallest noise, as a fraction of a state's deviation, from selection to selection: below the
/// last the residual is discretization error, which is no noise.
const NOISE_FLOORS: [f64; 2] = [1e-3, 1e-4];

/// Returns the number of values of the workspace for one set of terms, at most: sensitivities of a
/// chunk of windows and the windows' normal equations, then the terms and their gradients on the
/// tape.
pub(super) fn network_values(
    points: usize,
    variables: usize,
    states: usize,
    coefficients: usize,
) -> usize {
    let chunk = points.min(shooting::CHUNK_POINTS);
    let windows = |points: usize| points / windows::INTERVALS + 1;
    let terms = coefficients / states;
    [
        (chunk.saturating_mul(states), 2 * coefficients + variables),
        (windows(chunk).saturating_mul(coefficients), coefficients),
        (windows(points).saturating_mul(variables), coefficients),
        (chunk.saturating_mul(4), terms.saturating_mul(1 + variables)),
    ]
    .into_iter()
    .fold(0, |sum, (rows, columns)| sum.saturating_add(rows.saturating_mul(columns)))
}

/// The estimator of the network method: network and Gauss-Newton, which improve the same estimate
/// in turn.
pub(super) struct Network<'a, B: Backend> {
    grid: &'a Grid,
    device: &'a Device,
    estimate: Estimate<'a>,
    /// The network, until the windows grow.
    model: Option<Model<B>>,
    shooting: Shooting,
    /// Noise of the residuals, which may be below the floor, in the solver's units (K).
    noise: Vec<f64>,
    floor: Floor,
    /// Number of training steps of the next cycle.
    steps: usize,
}

impl<'a, B: Backend> Network<'a, B> {
    /// Makes the estimator from an untrained network and the coefficients of the start. Training
    /// runs on `backend`, Gauss-Newton on the settings' device, which should be the same.
    pub fn new(
        view: &'a View,
        settings: &'a Settings,
        start: Start<'a>,
        backend: B,
    ) -> Result<Self> {
        let View { data, grid, smooth, .. } = view;
        let Start { estimate, slopes } = start;
        let windows = Arc::new(Windows::new(data, grid, smooth, settings.order));
        let relative = smooth.noise.iter().zip(&smooth.deviation).map(|(noise, unit)| noise / unit);
        let noise: Vec<f64> = relative.collect();
        let floor = Floor::new(&NOISE_FLOORS, vec![1.0; noise.len()]);
        let estimate = Estimate { noise: floor.under(&noise), ..windows.along(estimate) };
        Ok(Network {
            grid,
            device: &settings.device,
            model: Some(Model::new(windows.clone(), &estimate, &slopes, settings.seed, backend)?),
            shooting: Shooting::new(windows, &settings.device)?,
            estimate,
            noise,
            floor,
            steps: FIRST_STEPS,
        })
    }

    /// Refines the estimate by Gauss-Newton about the path as it is, then along the solution.
    fn refine(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        progress.within_stage(0.0, "refining the coefficients")?;
        let Network { shooting, estimate, floor, .. } = self;
        refine(shooting, estimate, floor, Path::Fixed, progress)?;
        self.noise = refine(shooting, estimate, floor, Path::Solution, progress)?;
        Ok(())
    }

    /// Refines the estimate over longer and longer windows as long as the data bear it: over too
    /// long a window a chaotic solution cannot be fitted from its start.
    fn lengthen_windows(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        progress.stage(0.95, "refining over longer windows")?;
        self.model = None;
        loop {
            let joined = self.joined();
            let Some(windows) = self.shooting.windows.longer(self.grid, &joined) else { break };
            let mut trial = windows.along(self.estimate.clone());
            let mut shooting = Shooting::new(Arc::new(windows), self.device)?;
            let outcome = refine(&mut shooting, &mut trial, &self.floor, Path::Solution, progress);
            let noise = match outcome {
                Ok(noise) => noise,
                Err(Error::Data(_)) => break,
                Err(error) => return Err(error),
            };
            let mut levels = trial.noise.iter().zip(&self.estimate.noise);
            if levels.any(|(now, before)| *now > (1.0 + NOISE_CHANGE) * before) {
                break;
            }
            (self.shooting, self.estimate, self.noise) = (shooting, trial, noise);
        }
        Ok(())
    }

    /// Returns the present trajectory on the grid, (M, D).
    fn joined(&self) -> Vec<f64> {
        self.shooting.windows.join(&self.estimate.trajectory, self.grid.points())
    }

    /// Returns −2 log likelihood of all data, up to a constant.
    fn misfit(&self) -> f64 {
        let noise = &self.estimate.noise;
        (0..noise.len()).map(|state| self.grid.misfit(noise, state)).sum()
    }
}

/// Iterates Gauss-Newton until it converges, and estimates the level of the noise anew in between.
/// Returns the noise of the residuals, which may be below the floor (K).
fn refine(
    shooting: &mut Shooting,
    estimate: &mut Estimate<'_>,
    floor: &Floor,
    path: Path,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<f64>> {
    let mut noise = vec![];
    let mut iterations = 0.0;
    for _ in 0..ROUNDS {
        for _ in 0..ITERATIONS {
            let report = &mut |done| progress.advance(ITERATION * (iterations + done));
            let iteration = shooting.iterate(estimate, path, report)?;
            iterations += 1.0;
            if iteration.fraction == 0.0 || iteration.promised < CONVERGED {
                break;
            }
        }
        noise = shooting.residual_noise(estimate)?;
        let levels = floor.under(&noise);
        let mut pairs = levels.iter().zip(&estimate.noise);
        let changed = pairs.any(|(now, before)| (now / before - 1.0).abs() > NOISE_CHANGE);
        estimate.noise = levels;
        if !changed {
            break;
        }
    }
    Ok(noise)
}

impl<'a, B: Backend> Estimator<'a> for Network<'a, B> {
    const QUADRATIC: bool = false;

    fn estimate(&self) -> &Estimate<'a> {
        &self.estimate
    }

    fn information(
        &mut self,
        penalty: f64,
        _: &mut Reporter<'_, '_>,
    ) -> Result<Option<Information>> {
        // Numerator and denominator of a ratio can always share a factor.
        if self.estimate.rhs.links.contains(&Link::Ratio) {
            return Ok(None);
        }
        self.shooting.information(&self.estimate, penalty).map(Some)
    }

    fn take(&mut self, support: &Support) -> Result<()> {
        self.estimate.take(support);
        Ok(())
    }

    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        let Candidates { all, kept, .. } = &self.estimate.candidates;
        let left = kept.len() as f64 / all.len().max(1) as f64;
        let steps = self.steps;
        if let Some(model) = &mut self.model {
            model.train(&mut self.estimate, steps, |step| {
                let done = TRAINING * left * step as f64 / steps as f64;
                progress.within_stage(done, "training the network")
            })?;
        }
        self.steps = LATER_STEPS;
        self.refine(progress)
    }

    fn exchange(
        &mut self,
        support: &Support,
        _: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<f64> {
        let before = self.misfit();
        // The path belongs to the present coefficients, so that they stay as they are and new ones
        // begin at zero.
        let all = &self.estimate.candidates.all;
        let values = support.kept.iter().map(|&i| all[i].value(&self.estimate.rhs));
        let coefficients = values.collect();
        self.take(&Support { kept: support.kept.clone(), coefficients })?;
        self.refine(progress)?;
        Ok(before - self.misfit())
    }

    fn restore(&mut self, before: Estimate<'a>, _: &mut Reporter<'_, '_>) -> Result<()> {
        self.noise.clone_from(&before.noise);
        self.estimate = before;
        Ok(())
    }

    fn sharpen(&mut self, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        if self.floor.lower(&self.noise) {
            self.refine(progress)?;
            return Ok(true);
        }
        self.lengthen_windows(progress)?;
        Ok(false)
    }

    fn finish(self) -> Estimate<'a> {
        let trajectory = self.joined();
        let units = &self.shooting.windows.unit.deviation;
        let noise = self.estimate.noise.iter().zip(units).map(|(noise, unit)| noise * unit);
        Estimate { noise: noise.collect(), trajectory, ..self.estimate }
    }
}
