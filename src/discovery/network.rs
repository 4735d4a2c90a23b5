//! The network method, the paper's section 5.1: a network from the data to the inputs of the basis,
//! the ODE solver, a two-part loss; terms are dropped between cycles of training.
//!
//! In training u' = g(Θ(f)ξ) is integrated window by window along f, the network's output, and Adam
//! minimizes MSE(u, x) + MSE(f, x). What f keeps of the noise biases ξ, and Adam leaves
//! ill-determined directions unfinished; so after every cycle the same equation is solved through
//! the same solver with u in place of f ([`shooting`]) and ξ is estimated from the first part of the
//! loss alone, with standard errors, by which terms are dropped. Once all are significant, longer
//! windows sharpen the estimate.

mod shooting;
mod training;
mod windows;

use super::candidates::{Candidates, Support};
use super::estimator::{Estimated, Estimator};
use super::grid::{Grid, Smooth};
use super::information::{Information, Quadratic};
use super::link::Link;
use super::progress::Reporter;
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use super::start::Start;
use crate::{Backend, Device, Error, Result};
use shooting::{Estimate, Path, Shooting};
use training::Model;
pub(super) use windows::Windows;

/// Training steps of the first cycle, and of each later one.
const FIRST_STEPS: usize = 300;
const LATER_STEPS: usize = 40;
/// A cycle's training counts as this fraction of the whole work, at first; less when fewer terms
/// are left.
const TRAINING: f64 = 0.1;
/// Gauss-Newton iterations at most, for one level of the noise.
const ITERATIONS: usize = 8;
/// Times that the level of the noise is estimated anew, at most.
const ROUNDS: usize = 3;
/// Converged: the promised decrease of χ² is this small.
const CONVERGED: f64 = 1e-2;
/// A change of the noise by less than this fraction changes nothing.
const NOISE_CHANGE: f64 = 0.1;
/// Noise is never taken to be smaller than this fraction of a state's deviation: below it the
/// residual is discretization error, which is no noise.
const NOISE_FLOOR: f64 = 1e-4;

/// Network and Gauss-Newton, which work on the same estimate in turn.
pub(super) struct Network<'a, B: Backend> {
    grid: &'a Grid,
    windows: &'a Windows,
    device: &'a Device,
    estimate: Estimate<'a>,
    model: Model<'a, B>,
    shooting: Shooting<'a>,
    /// Training steps of the next cycle.
    steps: usize,
}

/// What to return to when an attempt fails.
pub(super) struct Snapshot<'a> {
    estimate: Estimate<'a>,
    noise: Vec<f64>,
    kept: Vec<usize>,
    covariance: Vec<f64>,
}

impl<'a, B: Backend> Network<'a, B> {
    /// Puts together an untrained network and the start's coefficients. Training runs on `backend`, Gauss-Newton
    /// on the settings' device, which should be the same.
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        windows: &'a Windows,
        settings: &'a Settings,
        start: Start<'a>,
        backend: B,
    ) -> Result<Self> {
        let Start { rhs, candidates, slopes, .. } = start;
        let relative = smooth.noise.iter().zip(&smooth.deviation).map(|(noise, unit)| noise / unit);
        let noise: Vec<f64> = relative.map(|noise| noise.max(NOISE_FLOOR)).collect();
        Ok(Network {
            grid,
            windows,
            device: &settings.device,
            model: Model::new(windows, &rhs, &slopes, &noise, settings.seed, backend)?,
            shooting: Shooting::new(windows, candidates, noise, &settings.device)?,
            estimate: Estimate { rhs, start: windows.starts(), path: windows.path.clone() },
            steps: FIRST_STEPS,
        })
    }

    /// Gauss-Newton about the path as it is, then along the solution.
    fn refine(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        progress.stage(progress.reached(), "refining the coefficients")?;
        refine(&mut self.shooting, &mut self.estimate, Path::Fixed, progress)?;
        refine(&mut self.shooting, &mut self.estimate, Path::Solution, progress)
    }

    /// The estimate with longer and longer windows, as long as the data bear it: over too long a
    /// window a chaotic solution cannot be fitted from its start.
    fn over_longer_windows(
        &self,
        mut found: Estimated<'a>,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Estimated<'a>> {
        progress.stage(0.95, "refining over longer windows")?;
        let mut longer = self.windows.longer(self.grid, &found.trajectory);
        while let Some(windows) = longer {
            let priors = vec![0.0; found.free.len()];
            let candidates = Candidates::new(found.free.clone(), priors);
            let mut shooting =
                Shooting::new(&windows, candidates, found.noise.clone(), self.device)?;
            let (start, path) = (windows.starts(), windows.path.clone());
            let mut estimate = Estimate { rhs: found.rhs.clone(), start, path };
            match refine(&mut shooting, &mut estimate, Path::Solution, progress) {
                Ok(()) => {}
                Err(Error::Data(_)) => break,
                Err(error) => return Err(error),
            }
            let mut noise = shooting.noise.iter().zip(&found.noise);
            if noise.any(|(now, before)| *now > (1.0 + NOISE_CHANGE) * before) {
                break;
            }
            let coefficients = shooting.candidates.values(&estimate.rhs);
            found.quadratic = Quadratic { coefficients, covariance: shooting.covariance };
            found.trajectory = windows.join(&estimate.path, self.grid.points());
            found.rhs = estimate.rhs;
            found.noise = shooting.noise;
            longer = windows.longer(self.grid, &found.trajectory);
        }
        Ok(found)
    }
}

/// Gauss-Newton to convergence, while the level of the noise is estimated anew.
fn refine(
    shooting: &mut Shooting<'_>,
    estimate: &mut Estimate<'_>,
    path: Path,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
    for _ in 0..ROUNDS {
        for _ in 0..ITERATIONS {
            progress.tick()?;
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
    Ok(())
}

impl<'a, B: Backend> Estimator<'a> for Network<'a, B> {
    const QUADRATIC: bool = false;

    type Snapshot = Snapshot<'a>;

    fn candidates(&self) -> &Candidates {
        &self.shooting.candidates
    }

    fn rhs(&self) -> &RightHandSide<'a> {
        &self.estimate.rhs
    }

    fn covariance(&self) -> Vec<f64> {
        self.shooting.covariance.clone()
    }

    fn information(&mut self, penalty: f64) -> Result<Option<Information>> {
        // Numerator and denominator can always share a factor.
        if self.estimate.rhs.link == Link::Ratio {
            return Ok(None);
        }
        self.shooting.information(&self.estimate, penalty).map(Some)
    }

    fn noise(&self) -> Vec<f64> {
        self.shooting.noise.clone()
    }

    fn take(&mut self, support: &Support) -> Result<()> {
        self.shooting.candidates.take(support, &mut self.estimate.rhs);
        Ok(())
    }

    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        let Candidates { all, kept, .. } = &self.shooting.candidates;
        let left = kept.len() as f64 / all.len().max(1) as f64;
        let (begin, steps) = (progress.reached(), self.steps);
        let free = self.shooting.candidates.free();
        self.model.train(&mut self.estimate, &free, steps, |step| {
            let done = TRAINING * left * step as f64 / steps as f64;
            progress.stage(begin + done, "training the network")
        })?;
        self.steps = LATER_STEPS;
        self.refine(progress)
    }

    fn exchange(&mut self, support: &Support, progress: &mut Reporter<'_, '_>) -> Result<f64> {
        let before = self.grid.misfit(&self.shooting.noise);
        // Coefficients stay as they are, and new ones begin at zero: the path is about these.
        let all = &self.shooting.candidates.all;
        let values = support.kept.iter().map(|&i| all[i].value(&self.estimate.rhs));
        let coefficients = values.collect();
        self.take(&Support { kept: support.kept.clone(), coefficients })?;
        self.refine(progress)?;
        Ok(before - self.grid.misfit(&self.shooting.noise))
    }

    fn snapshot(&self) -> Snapshot<'a> {
        Snapshot {
            estimate: self.estimate.clone(),
            noise: self.shooting.noise.clone(),
            kept: self.shooting.candidates.kept.clone(),
            covariance: self.shooting.covariance.clone(),
        }
    }

    fn restore(&mut self, before: Snapshot<'a>, _: &mut Reporter<'_, '_>) -> Result<()> {
        self.estimate = before.estimate;
        self.shooting.noise = before.noise;
        self.shooting.candidates.kept = before.kept;
        self.shooting.covariance = before.covariance;
        Ok(())
    }

    fn finish(self, progress: &mut Reporter<'_, '_>) -> Result<Estimated<'a>> {
        let found = Estimated {
            rhs: self.estimate.rhs.clone(),
            free: self.shooting.candidates.free(),
            quadratic: self.quadratic(),
            trajectory: self.windows.join(&self.estimate.path, self.grid.points()),
            noise: self.shooting.noise.clone(),
        };
        let mut found = self.over_longer_windows(found, progress)?;
        let unit = &self.windows.unit;
        found.noise.iter_mut().zip(&unit.deviation).for_each(|(noise, unit)| *noise *= unit);
        Ok(found)
    }
}
