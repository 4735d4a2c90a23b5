//! The joint method: trajectory and coefficients are estimated together by Gauss-Newton.
//!
//! The smaller the disturbances that the equation is allowed, the sharper the estimate. The weight
//! of the equation against the data therefore grows as long as the data bear it.

mod assembly;
mod gauss_newton;

use super::candidates::Support;
use super::dense::dot;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, Smooth};
use super::information::Information;
use super::progress::Reporter;
use super::start::{Start, root_mean_square};
use crate::{Error, Result};
use assembly::Weights;
use gauss_newton::GaussNewton;

/// The weight w of the equation against the data at the start.
const FIRST_EQUATION_WEIGHT: f64 = 10.0;
/// The later weights of the equation: the first is tried with all terms, the last once terms are
/// selected.
const EQUATION_WEIGHTS: [f64; 4] = [1e2, 1e4, 1e6, 1e8];
const WITH_ALL_TERMS: usize = 3;
/// The factor by which a larger weight of the equation may raise the noise, and the standard
/// deviations of the estimated noise by which it may do so, to be accepted.
const STIFFENING: f64 = 1.1;
const STIFFENING_DEVIATIONS: f64 = 3.0;
/// The most iterations towards convergence of one set of terms at one weight.
const MAX_ITERATIONS: usize = 15;
/// The fraction of the whole work that an iteration counts as.
const ITERATION: f64 = 0.004;
/// The decrease of χ² still promised below which the iterations have converged: while the
/// equation's weight grows, while terms are selected, and for the last estimate.
const ROUGH_TOLERANCE: f64 = 1.0;
const TOLERANCE: f64 = 0.1;
const LAST_TOLERANCE: f64 = 1e-4;
/// The smallest noise, as a fraction of a state's deviation: below it the residual is
/// discretization error, which is no noise.
const NOISE_FLOOR: f64 = 1e-5;
/// The number of values of a state that the common noise level counts as much as.
const POOLING: f64 = 100.0;

/// Returns the number of values of the workspace for one set of terms.
pub(super) fn joint_values(points: usize, variables: usize, coefficients: usize) -> usize {
    let shape = gauss_newton::shape(points, variables, coefficients);
    shape.values().saturating_add(2 * shape.unknowns())
}

/// The estimator of the joint method: the estimate and the workspace for its present set of terms.
pub(super) struct Joint<'a> {
    grid: &'a Grid,
    estimate: Estimate<'a>,
    /// Standard deviation of each state (K).
    deviation: Vec<f64>,
    /// Deviation of each component relative to that of its state (D): 1, or a rate for u'.
    relative: Vec<f64>,
    /// Unbiased noise with all terms while the weight of the equation is small, (K).
    reference: Vec<f64>,
    weights: Weights,
    solver: GaussNewton<'a>,
    cost: f64,
}

impl<'a> Joint<'a> {
    /// Estimates with all terms, from a start, and raises the weight of the equation as far as the
    /// data bear it.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer values than unknowns.
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        start: Start<'a>,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Self> {
        let mut joint = Joint::unfitted(grid, smooth, start)?;
        let stage = "fitting all candidate terms";
        progress.stage(0.05, stage)?;
        joint.converge_to(ROUGH_TOLERANCE, progress)?;
        joint.reference = joint.estimate.unbiased_noise();
        for (step, equation_weight) in EQUATION_WEIGHTS[..WITH_ALL_TERMS].iter().enumerate() {
            progress.stage(0.1 * (step + 1) as f64, stage)?;
            if !joint.weigh_equation(*equation_weight, ROUGH_TOLERANCE, progress)? {
                break;
            }
        }
        progress.stage(0.4, stage)?;
        joint.converge_to(TOLERANCE, progress)?;
        progress.show(&joint.estimate.equations())?;
        Ok(joint)
    }

    fn unfitted(grid: &'a Grid, smooth: &Smooth, start: Start<'a>) -> Result<Self> {
        let estimate = Estimate { equation_weight: FIRST_EQUATION_WEIGHT, ..start.estimate };
        let k = estimate.rhs.states();
        let d = k * estimate.rhs.order;
        let rms = |i: usize| root_mean_square(estimate.trajectory.iter().skip(i).step_by(d));
        let relative: Vec<f64> =
            (0..d).map(|i| if i < k { 1.0 } else { rms(i) / smooth.deviation[i - k] }).collect();
        let mut joint = Joint {
            grid,
            deviation: smooth.deviation.clone(),
            relative,
            reference: vec![],
            weights: Weights {
                observation: vec![0.0; k],
                defect: vec![0.0; d],
                prior: estimate.candidates.free_priors(),
            },
            solver: GaussNewton::new(grid, estimate.candidates.free(), &estimate)?,
            estimate,
            cost: f64::INFINITY,
        };
        if joint.freedom() < 1.0 {
            return Err(Error::Data(format!(
                "{} measured values cannot decide {} coefficients",
                joint.measured(),
                joint.estimate.candidates.all.len()
            )));
        }
        joint.update_noise();
        Ok(joint)
    }

    /// Raises the equation's weight if the data bear it: if the noise hardly grows, the estimate
    /// becomes sharper; if it does grow, the equation holds only approximately, and everything
    /// stays as it was. Returns whether the data bear it.
    fn weigh_equation(
        &mut self,
        equation_weight: f64,
        tolerance: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<bool> {
        let before = self.estimate.clone();
        self.estimate.equation_weight = equation_weight;
        self.weigh();
        let borne = match self.converge_to(tolerance, progress) {
            Ok(converged) => converged && self.noise_bears(),
            Err(Error::Data(_)) => false,
            Err(error) => return Err(error),
        };
        if !borne {
            self.return_to(before)?;
            self.converge_to(tolerance, progress)?;
        }
        Ok(borne)
    }

    fn noise_bears(&self) -> bool {
        let each = self.measured() as f64 / self.estimate.noise.len() as f64;
        let limit = STIFFENING + STIFFENING_DEVIATIONS / (2.0 * each).sqrt();
        let after = self.estimate.unbiased_noise();
        // Noise at the floor is no noise.
        let floors = self.deviation.iter().map(|deviation| 2.0 * NOISE_FLOOR * deviation);
        let pairs = after.iter().zip(&self.reference).zip(floors);
        pairs.into_iter().all(|((after, before), floor)| *after < limit * before.max(floor))
    }

    /// Iterates until the promised decrease of χ² is below `tolerance`: nothing would move by more
    /// than √tolerance standard errors. Returns whether that was reached.
    fn converge_to(&mut self, tolerance: f64, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        let converged = self.iterate(tolerance, progress)?;
        self.update_noise();
        self.update_covariance();
        Ok(converged)
    }

    /// Iterates as [`converge_to`](Self::converge_to) does, while the noise stays as it is.
    fn iterate(&mut self, tolerance: f64, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        for iteration in 0..MAX_ITERATIONS {
            let (estimate, weights) = (&mut self.estimate, &mut self.weights);
            let report = &mut |done| progress.advance(ITERATION * (iteration as f64 + done));
            let outcome = self.solver.iterate(estimate, weights, self.cost, report)?;
            self.cost = outcome.cost;
            if outcome.fraction == 0.0 || outcome.promised < tolerance * self.variance() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the residual variance per degree of freedom, in units of the assumed noise.
    fn variance(&self) -> f64 {
        (self.cost / self.freedom()).max(1.0)
    }

    fn measured(&self) -> usize {
        self.grid.observed.iter().filter(|x| !x.is_nan()).count()
    }

    fn freedom(&self) -> f64 {
        let starts = self.relative.len() * self.grid.trajectories.len();
        self.measured() as f64 - (starts + self.estimate.candidates.kept.len()) as f64
    }

    /// Estimates σ of each state from its residuals, drawn towards the same fraction of every
    /// deviation: a few dozen values cannot tell whose noise is larger.
    fn update_noise(&mut self) {
        let (k, d) = (self.estimate.noise.len(), self.relative.len());
        let used = (self.measured() as f64 - self.freedom()) / k as f64;
        let sums: Vec<(f64, f64)> = (0..k)
            .map(|j| {
                let observed = self.grid.observed.iter().skip(j).step_by(k);
                let fitted = self.estimate.trajectory.iter().skip(j).step_by(d);
                let measured = observed.zip(fitted).filter(|(x, _)| !x.is_nan());
                let (squares, count) = measured.fold((0.0, 0.0), |(squares, count), (x, u)| {
                    (squares + ((x - u) / self.deviation[j]).powi(2), count + 1.0)
                });
                (squares, f64::max(count - used, 1.0))
            })
            .collect();
        let pooled = sums.iter().map(|s| s.0).sum::<f64>() / sums.iter().map(|s| s.1).sum::<f64>();
        for (j, (squares, count)) in sums.into_iter().enumerate() {
            let variance = (POOLING * pooled + squares) / (POOLING + count);
            self.estimate.noise[j] = variance.sqrt() * self.deviation[j];
        }
        self.weigh();
    }

    /// Computes the weights of the rows from the noise and the weight of the equation.
    fn weigh(&mut self) {
        let k = self.estimate.noise.len();
        for (noise, deviation) in self.estimate.noise.iter_mut().zip(&self.deviation) {
            *noise = noise.max(NOISE_FLOOR * deviation);
        }
        for (weight, noise) in self.weights.observation.iter_mut().zip(&self.estimate.noise) {
            *weight = 1.0 / noise;
        }
        let root = (self.estimate.equation_weight * self.grid.interval).sqrt();
        for (i, weight) in self.weights.defect.iter_mut().enumerate() {
            *weight = root / (self.estimate.noise[i % k] * self.relative[i]);
        }
        self.cost = self.solver.cost(&self.estimate, &self.weights);
    }

    fn update_covariance(&mut self) {
        let variance = self.variance();
        let covariance = self.solver.covariance().into_iter().map(|c| c * variance);
        self.estimate.covariance = covariance.collect();
    }

    /// Returns to an earlier estimate as [`restore`](Estimator::restore) does, but without an
    /// iteration.
    fn return_to(&mut self, before: Estimate<'a>) -> Result<()> {
        self.estimate = before;
        self.prepare()?;
        self.weigh();
        Ok(())
    }

    /// Allocates the workspace for the present set of terms.
    fn prepare(&mut self) -> Result<()> {
        self.weights.prior = self.estimate.candidates.free_priors();
        self.solver = GaussNewton::new(self.grid, self.estimate.candidates.free(), &self.estimate)?;
        self.cost = self.solver.cost(&self.estimate, &self.weights);
        Ok(())
    }
}

impl<'a> Estimator<'a> for Joint<'a> {
    const QUADRATIC: bool = true;

    fn estimate(&self) -> &Estimate<'a> {
        &self.estimate
    }

    fn information(&mut self, penalty: f64) -> Result<Option<Information>> {
        let all = &self.estimate.candidates.all;
        let mut solver = GaussNewton::new(self.grid, all.clone(), &self.estimate)?;
        let mut weights =
            Weights { prior: self.estimate.candidates.priors.clone(), ..self.weights.clone() };
        solver.linearize(&self.estimate, &mut weights, &mut |_| Ok(()))?;
        let variance = self.variance();
        let matrix: Vec<f64> = solver.information().iter().map(|a| a / variance).collect();
        let values = all.iter().map(|p| p.value(&self.estimate.rhs));
        let minimum: Vec<f64> =
            values.zip(solver.coefficient_step()).map(|(value, step)| value - step).collect();
        let rows = matrix.chunks_exact(minimum.len().max(1));
        let vector = rows.map(|row| dot(row, &minimum)).collect();
        Ok(Some(Information::new(matrix, vector, all, penalty)))
    }

    fn take(&mut self, support: &Support) -> Result<()> {
        self.estimate.take(support);
        self.prepare()
    }

    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        self.converge_to(TOLERANCE, progress)?;
        Ok(())
    }

    fn exchange(&mut self, support: &Support, progress: &mut Reporter<'_, '_>) -> Result<f64> {
        let (cost, variance) = (self.cost, self.variance());
        self.take(support)?;
        // The noise must not change between the two costs.
        self.iterate(TOLERANCE, progress)?;
        let gain = (cost - self.cost) / variance;
        self.update_noise();
        self.update_covariance();
        Ok(gain)
    }

    fn restore(&mut self, before: Estimate<'a>, progress: &mut Reporter<'_, '_>) -> Result<()> {
        self.return_to(before)?;
        self.converge(progress)
    }

    fn sharpen(&mut self, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        let (before, exact) = (self.estimate.equation_weight, self.estimate.is_exact());
        progress.stage(0.95, "sharpening")?;
        for equation_weight in EQUATION_WEIGHTS.into_iter().filter(|s| *s > before) {
            if !self.weigh_equation(equation_weight, TOLERANCE, progress)? {
                break;
            }
        }
        // Terms that were selected while the weight of the equation was smaller are examined again.
        if !exact && self.estimate.equation_weight != before {
            return Ok(true);
        }
        progress.stage(0.95, "last estimate")?;
        self.converge_to(LAST_TOLERANCE, progress)?;
        Ok(false)
    }

    fn finish(self, _: &mut Reporter<'_, '_>) -> Result<Estimate<'a>> {
        Ok(self.estimate)
    }
}
