//! The network method, the paper's section 5.1: a neural network from the data to the inputs of the
//! basis, the ODE solver, a two-part loss; terms are dropped between cycles of training.
//!
//! In training u' = g(Θ(f)ξ) is integrated window by window along f, the network's output, and Adam
//! minimizes MSE(u, x) + MSE(f, x). What f keeps of the noise biases ξ, and Adam leaves
//! ill-determined directions unfinished; so after every cycle the same equation is solved through
//! the same solver with u in place of f ([`shooting`]) and ξ is estimated from the first part of
//! the loss alone, with standard errors, by which terms are dropped. Once all are significant,
//! longer windows sharpen the estimate.

mod shooting;
mod training;
mod windows;

use super::candidates::{Candidates, Support};
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, Smooth};
use super::information::Information;
use super::link::Link;
use super::progress::Reporter;
use super::settings::Settings;
use super::start::Start;
use crate::{Backend, Device, Error, Result};
use shooting::{Path, Shooting};
use training::Model;
pub(super) use windows::Windows;

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
/// The smallest noise, as a fraction of a state's deviation: below it the residual is
/// discretization error, which is no noise.
const NOISE_FLOOR: f64 = 1e-4;

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
    windows: &'a Windows,
    device: &'a Device,
    estimate: Estimate<'a>,
    model: Model<'a, B>,
    shooting: Shooting<'a>,
    /// Number of training steps of the next cycle.
    steps: usize,
}

impl<'a, B: Backend> Network<'a, B> {
    /// Makes the estimator from an untrained network and the coefficients of the start. Training
    /// runs on `backend`, Gauss-Newton on the settings' device, which should be the same.
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        windows: &'a Windows,
        settings: &'a Settings,
        start: Start<'a>,
        backend: B,
    ) -> Result<Self> {
        let Start { estimate, slopes } = start;
        let relative = smooth.noise.iter().zip(&smooth.deviation).map(|(noise, unit)| noise / unit);
        let noise: Vec<f64> = relative.map(|noise| noise.max(NOISE_FLOOR)).collect();
        let estimate = Estimate { noise, ..windows.along(estimate) };
        Ok(Network {
            grid,
            windows,
            device: &settings.device,
            model: Model::new(windows, &estimate, &slopes, settings.seed, backend)?,
            shooting: Shooting::new(windows, &settings.device)?,
            estimate,
            steps: FIRST_STEPS,
        })
    }

    /// Refines the estimate by Gauss-Newton about the path as it is, then along the solution.
    fn refine(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        progress.within_stage(0.0, "refining the coefficients")?;
        refine(&mut self.shooting, &mut self.estimate, Path::Fixed, progress)?;
        refine(&mut self.shooting, &mut self.estimate, Path::Solution, progress)
    }

    /// Returns the estimate on the grid, after refining it over longer and longer windows as long
    /// as the data bear it: over too long a window a chaotic solution cannot be fitted from its
    /// start.
    fn over_longer_windows(self, progress: &mut Reporter<'_, '_>) -> Result<Estimate<'a>> {
        progress.stage(0.95, "refining over longer windows")?;
        let Network { grid, windows, mut estimate, device, .. } = self;
        estimate.trajectory = windows.join(&estimate.trajectory, grid.points());
        // The prior no longer matters once the terms are selected.
        estimate.candidates.priors.fill(0.0);
        let mut longer = windows.longer(grid, &estimate.trajectory);
        while let Some(windows) = longer {
            let mut trial = windows.along(estimate.clone());
            let mut shooting = Shooting::new(&windows, device)?;
            match refine(&mut shooting, &mut trial, Path::Solution, progress) {
                Ok(()) => {}
                Err(Error::Data(_)) => break,
                Err(error) => return Err(error),
            }
            let mut noise = trial.noise.iter().zip(&estimate.noise);
            if noise.any(|(now, before)| *now > (1.0 + NOISE_CHANGE) * before) {
                break;
            }
            trial.trajectory = windows.join(&trial.trajectory, grid.points());
            estimate = trial;
            longer = windows.longer(grid, &estimate.trajectory);
        }
        Ok(estimate)
    }
}

/// Iterates Gauss-Newton until it converges, and estimates the level of the noise anew in between.
fn refine(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    path: Path,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
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
        let mut changed = false;
        for (i, noise) in shooting.residual_noise(estimate)?.into_iter().enumerate() {
            let noise = noise.max(NOISE_FLOOR);
            changed |= (noise / estimate.noise[i] - 1.0).abs() > NOISE_CHANGE;
            estimate.noise[i] = noise;
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

impl<'a, B: Backend> Estimator<'a> for Network<'a, B> {
    const QUADRATIC: bool = false;

    fn estimate(&self) -> &Estimate<'a> {
        &self.estimate
    }

    fn information(&mut self, penalty: f64) -> Result<Option<Information>> {
        // Numerator and denominator of a ratio can always share a factor.
        if self.estimate.rhs.link == Link::Ratio {
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
        self.model.train(&mut self.estimate, steps, |step| {
            let done = TRAINING * left * step as f64 / steps as f64;
            progress.within_stage(done, "training the network")
        })?;
        self.steps = LATER_STEPS;
        self.refine(progress)
    }

    fn exchange(&mut self, support: &Support, progress: &mut Reporter<'_, '_>) -> Result<f64> {
        let before = self.grid.misfit(&self.estimate.noise);
        // The path belongs to the present coefficients, so that they stay as they are and new ones
        // begin at zero.
        let all = &self.estimate.candidates.all;
        let values = support.kept.iter().map(|&i| all[i].value(&self.estimate.rhs));
        let coefficients = values.collect();
        self.take(&Support { kept: support.kept.clone(), coefficients })?;
        self.refine(progress)?;
        Ok(before - self.grid.misfit(&self.estimate.noise))
    }

    fn restore(&mut self, before: Estimate<'a>, _: &mut Reporter<'_, '_>) -> Result<()> {
        self.estimate = before;
        Ok(())
    }

    fn sharpen(&mut self, _: &mut Reporter<'_, '_>) -> Result<bool> {
        Ok(false)
    }

    fn finish(self, progress: &mut Reporter<'_, '_>) -> Result<Estimate<'a>> {
        let windows = self.windows;
        let mut estimate = self.over_longer_windows(progress)?;
        let units = &windows.unit.deviation;
        estimate.noise.iter_mut().zip(units).for_each(|(noise, unit)| *noise *= unit);
        Ok(estimate)
    }
}
