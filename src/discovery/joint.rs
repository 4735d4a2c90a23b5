//! The joint method: trajectory and coefficients are estimated together by Gauss-Newton.
//!
//! The smaller the disturbances that an equation is allowed, the sharper the estimate. The weight
//! of each equation against the data therefore grows as long as the data bear it.

mod assembly;
mod coefficients;
mod elimination;
mod evaluator;
mod gauss_newton;
mod half;
mod rows;

use super::budget::{Budget, comparison, evaluation, work};
use super::candidates::Support;
use super::dense::dot;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, Smooth};
use super::information::Information;
use super::loss::Loss;
use super::noise::{Floor, Residuals, levels};
use super::progress::Reporter;
use super::start::root_mean_square;
use crate::{Error, Result};
use assembly::Weights;
use gauss_newton::GaussNewton;

/// The weights w of an equation against the data, from the first one on: all but the last are tried
/// with all terms, the last once terms are selected.
const EQUATION_WEIGHTS: [f64; 5] = [10.0, 1e2, 1e4, 1e6, 1e8];
const WITH_ALL_TERMS: usize = 4;
/// The factor by which a larger weight of an equation may raise the noise, and the standard
/// deviations of the estimated noise by which it may do so, to be accepted.
const STIFFENING: f64 = 1.1;
const STIFFENING_DEVIATIONS: f64 = 3.0;
/// The most iterations towards convergence of one set of terms at one weight.
const MAX_ITERATIONS: usize = 30;
/// The largest fraction of a step that is a sign of getting nowhere, and the number of iterations with such
/// signs, one after the other, after which it is believed.
const DAMPED: f64 = 0.25;
const PATIENCE: usize = 5;
/// The fraction of the whole work that an iteration counts as.
const ITERATION: f64 = 0.004;
/// The evaluations of the cost that finding the error of the discretization counts as.
const INTEGRATION: usize = 4;
/// The decrease of χ² still promised below which the iterations have converged: while the
/// equations' weights grow, while terms are selected, and for the last estimate.
const ROUGH_TOLERANCE: f64 = 1.0;
const TOLERANCE: f64 = 0.1;
const LAST_TOLERANCE: f64 = 1e-4;
/// The smallest noise, as a fraction of a state's deviation, from selection to selection; the first
/// only after the search from the second one has failed.
pub(super) const NOISE_FLOORS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];

/// Returns the number of values of the workspace for one set of terms.
pub(super) fn joint_values(points: usize, variables: usize, coefficients: usize) -> usize {
    let step = points.saturating_mul(variables).saturating_add(coefficients);
    elimination::values(points, variables, coefficients).saturating_add(step)
}

/// The estimator of the joint method: the estimate and the workspace for its present set of terms.
pub(super) struct Joint<'a> {
    grid: &'a Grid,
    budget: Budget,
    estimate: Estimate<'a>,
    /// Standard deviation of each state (K).
    deviation: Vec<f64>,
    /// The state whose data each state comes from (K), as in [`Smooth`], and the number of those with
    /// data.
    roots: Vec<usize>,
    with_data: usize,
    /// Deviation of each component relative to that of its state (D): 1, or a rate for u'.
    relative: Vec<f64>,
    /// Noise of the residuals, which may be below the floor, (K).
    noise: Vec<f64>,
    floor: Floor,
    /// Whether the rows are corrected by the error of their discretization, which matters once the
    /// floor is lowered.
    correct_discretization: bool,
    /// Unbiased noise while the weights of the equations are small, with all terms, or where those get
    /// nowhere with the selected ones, (K); empty until it is known.
    reference: Vec<f64>,
    weights: Weights,
    solver: GaussNewton<'a>,
    /// The sum of squares; `None` until it is asked for, after something it depends on has changed.
    cost: Option<f64>,
}

impl<'a> Joint<'a> {
    /// Estimates with the terms of a start, and raises the weights of the equations as far as
    /// the data bear it. `floors` are the smallest noise from selection to selection, and `budget` is the
    /// work that may be done.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer values than unknowns, or the budget is spent.
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        start: Estimate<'a>,
        floors: &'static [f64],
        budget: &Budget,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Self> {
        let mut joint = Joint::unfitted(grid, smooth, start, floors, budget)?;
        let stage = "fitting all candidate terms";
        progress.stage(0.05, stage)?;
        // Where this gets nowhere, because terms stand in for each other, larger weights would not help; they
        // are raised once terms are selected, and compared with the noise that is left then.
        if joint.converge_to(ROUGH_TOLERANCE, progress)? {
            joint.reference = joint.estimate.unbiased(&joint.noise);
            for step in 1..WITH_ALL_TERMS {
                progress.stage(0.1 * step as f64, stage)?;
                joint.raise_weights(step, ROUGH_TOLERANCE, progress)?;
            }
        }
        progress.stage(0.4, stage)?;
        joint.converge_to(TOLERANCE, progress)?;
        progress.show(&joint.estimate.equations())?;
        Ok(joint)
    }

    /// Goes on from an estimate that the data obey, with its noise and weights, which need not be found
    /// again; the last weight is for terms that are selected.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn continued(
        grid: &'a Grid,
        smooth: &Smooth,
        mut estimate: Estimate<'a>,
        floors: &'static [f64],
        budget: &Budget,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Self> {
        let most = EQUATION_WEIGHTS[WITH_ALL_TERMS - 1];
        estimate.equation_weights.iter_mut().for_each(|weight| *weight = weight.min(most));
        let mut joint = Joint::at(grid, smooth, estimate, floors, budget)?;
        progress.stage(0.4, "fitting the terms that were found")?;
        joint.reference = joint.estimate.unbiased(&joint.noise);
        joint.converge_to(TOLERANCE, progress)?;
        Ok(joint)
    }

    /// Makes the estimator of an estimate as it is, with its noise and weights.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn at(
        grid: &'a Grid,
        smooth: &Smooth,
        estimate: Estimate<'a>,
        floors: &'static [f64],
        budget: &Budget,
    ) -> Result<Self> {
        let (noise, equation_weights) = (estimate.noise.clone(), estimate.equation_weights.clone());
        let mut joint = Joint::unfitted(grid, smooth, estimate, floors, budget)?;
        joint.noise = noise;
        joint.estimate.equation_weights = equation_weights;
        joint.weigh();
        Ok(joint)
    }

    fn unfitted(
        grid: &'a Grid,
        smooth: &Smooth,
        start: Estimate<'a>,
        floors: &'static [f64],
        budget: &Budget,
    ) -> Result<Self> {
        let k = start.rhs.states();
        let equation_weights = vec![EQUATION_WEIGHTS[0]; k];
        let estimate = Estimate { equation_weights, ..start };
        let d = k * estimate.rhs.order;
        let rms = |i: usize| root_mean_square(estimate.trajectory.iter().skip(i).step_by(d));
        let relative: Vec<f64> =
            (0..d).map(|i| if i < k { 1.0 } else { rms(i) / smooth.deviation[i - k] }).collect();
        let mut joint = Joint {
            grid,
            budget: budget.clone(),
            deviation: smooth.deviation.clone(),
            roots: smooth.roots.clone(),
            with_data: smooth.measured(),
            relative,
            noise: vec![],
            floor: Floor::new(floors, smooth.deviation.clone()),
            correct_discretization: false,
            reference: vec![],
            weights: Weights {
                observation: vec![0.0; k],
                defect: vec![0.0; d],
                prior: estimate.candidates.free_priors(),
            },
            solver: GaussNewton::new(grid, estimate.candidates.slots(), &estimate)?,
            estimate,
            cost: None,
        };
        if joint.freedom() < 1.0 {
            return Err(Error::Data(format!(
                "{} measured values cannot decide {} coefficients",
                joint.measured(),
                joint.estimate.candidates.all.len()
            )));
        }
        joint.update_noise();
        // Splines that follow every value leave hardly anything; smoothing knows their noise better.
        for (noise, smoothed) in joint.noise.iter_mut().zip(&smooth.noise) {
            *noise = noise.max(*smoothed);
        }
        joint.weigh();
        Ok(joint)
    }

    /// Raises those equations that have the weight before the one numbered `step` to this one, if
    /// the data bear it: if the noise hardly grows, the estimate becomes sharper; if that of some
    /// states does grow, their equations hold only approximately, and stay as they were. Returns
    /// whether any was raised.
    fn raise_weights(
        &mut self,
        step: usize,
        tolerance: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<bool> {
        let weights = &self.estimate.equation_weights;
        let mut rising: Vec<usize> =
            (0..weights.len()).filter(|&i| weights[i] == EQUATION_WEIGHTS[step - 1]).collect();
        while !rising.is_empty() {
            let before = self.estimate.clone();
            for &i in &rising {
                self.estimate.equation_weights[i] = EQUATION_WEIGHTS[step];
            }
            self.weigh();
            let noisier = match self.converge_to(tolerance, progress) {
                Ok(true) => self.noisier(),
                Ok(false) | Err(Error::Data(_)) => rising.clone(),
                Err(error) => return Err(error),
            };
            if noisier.is_empty() {
                return Ok(true);
            }
            self.return_to(before)?;
            self.converge_to(tolerance, progress)?;
            let count = rising.len();
            rising.retain(|i| !noisier.contains(i));
            if rising.len() == count {
                break;
            }
        }
        Ok(false)
    }

    /// Lowers the weights of equations step by step as long as the data do not bear them: what
    /// passed as noise may be more than the equations explain.
    fn lower_weights(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        for step in (1..EQUATION_WEIGHTS.len()).rev() {
            let noisier = self.noisier();
            let weights = &mut self.estimate.equation_weights;
            let falling = noisier.into_iter().filter(|&i| weights[i] == EQUATION_WEIGHTS[step]);
            let falling: Vec<usize> = falling.collect();
            if !falling.is_empty() {
                falling.into_iter().for_each(|i| weights[i] = EQUATION_WEIGHTS[step - 1]);
                self.weigh();
                self.converge(progress)?;
            }
        }
        Ok(())
    }

    /// Returns the states that are noisier than they were with all terms and small weights.
    fn noisier(&self) -> Vec<usize> {
        let each = self.measured() as f64 / self.with_data as f64;
        let limit = STIFFENING + STIFFENING_DEVIATIONS / (2.0 * each).sqrt();
        let after = self.estimate.unbiased(&self.noise);
        // Noise at the floor is no noise.
        let allowed = |i: usize| limit * self.reference[i].max(2.0 * self.floor.of(i));
        let noisier = |&i: &usize| after[i].is_nan() || after[i] >= allowed(i);
        (0..after.len()).filter(noisier).collect()
    }

    /// Iterates until the decrease of χ² that can still be expected is below `tolerance`: nothing would
    /// move by more than √tolerance standard errors. Returns whether that was reached.
    fn converge_to(&mut self, tolerance: f64, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        let converged = self.iterate(tolerance, f64::INFINITY, progress)?;
        self.update_noise();
        self.update_covariance()?;
        Ok(converged)
    }

    /// Iterates as [`converge_to`](Self::converge_to) does, while the noise stays as it is. It gives up
    /// where steps are damped again and again, or the cost will not come down to `goal`.
    fn iterate(
        &mut self,
        tolerance: f64,
        goal: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<bool> {
        let (mut damped, mut hopeless) = (0, 0);
        for iteration in 0..MAX_ITERATIONS {
            if self.correct_discretization {
                self.estimate.discretization = self.solver.discretization(&self.estimate);
                self.cost = None;
            }
            let unknowns = self.relative.len() + self.estimate.candidates.kept.len();
            self.budget.take(work(self.grid.points(), unknowns))?;
            let before = self.cost();
            let (estimate, weights) = (&mut self.estimate, &mut self.weights);
            let report = &mut |done| progress.advance(ITERATION * (iteration as f64 + done));
            let outcome = self.solver.iterate(estimate, weights, before, report)?;
            let decrease = before - outcome.cost;
            self.cost = Some(outcome.cost);
            let terms = self.estimate.rhs.library.len();
            let integrations = if self.correct_discretization { INTEGRATION } else { 0 };
            let evaluations = (outcome.trials + integrations) as f64;
            self.budget.take(evaluations * evaluation(self.grid.points(), terms))?;
            // What a linearization was wrong by is about what the next one will promise, if nothing else
            // changes in between.
            let wrong = (decrease - outcome.promised).abs();
            let rough = tolerance > LAST_TOLERANCE && !self.correct_discretization;
            let left = match rough && outcome.fraction == 1.0 {
                true => outcome.promised.min(wrong),
                false => outcome.promised,
            };
            if outcome.fraction == 0.0 || left < tolerance * self.variance() {
                return Ok(true);
            }
            damped = if outcome.fraction <= DAMPED { damped + 1 } else { 0 };
            hopeless = if before - outcome.promised > goal { hopeless + 1 } else { 0 };
            if damped == PATIENCE || hopeless == PATIENCE {
                break;
            }
        }
        Ok(false)
    }

    /// Returns the sum of squares.
    fn cost(&mut self) -> f64 {
        let Joint { solver, estimate, weights, .. } = &*self;
        let cost = self.cost.unwrap_or_else(|| solver.cost(estimate, weights));
        self.cost = Some(cost);
        cost
    }

    /// Returns the residual variance per degree of freedom, in units of the assumed noise.
    ///
    /// What outliers cost in a robust search is not in it.
    fn variance(&mut self) -> f64 {
        let cost = self.cost();
        let loss = self.grid.loss;
        let outlying: f64 = match loss {
            Loss::Squares => 0.0,
            Loss::Huber => (0..self.noise.len())
                .flat_map(|j| {
                    let weight = self.weights.observation[j];
                    self.residuals(j).map(move |r| loss.cost(weight * r) - loss.square(weight * r))
                })
                .sum(),
        };
        ((cost - outlying) / self.freedom()).max(1.0)
    }

    /// Returns what the trajectory leaves of a state's measured values, where their noise is that of
    /// the state.
    fn residuals(&self, state: usize) -> impl Iterator<Item = f64> + Clone {
        let (k, d) = (self.deviation.len(), self.relative.len());
        let observed = self.grid.observed.iter().zip(&self.grid.spread).skip(state).step_by(k);
        let fitted = self.estimate.trajectory.iter().skip(state).step_by(d);
        observed
            .zip(fitted)
            .filter(|((x, _), _)| !x.is_nan())
            .map(|((x, spread), u)| (x - u) / spread)
    }

    fn measured(&self) -> usize {
        self.grid.observed.iter().filter(|x| !x.is_nan()).count()
    }

    fn freedom(&self) -> f64 {
        let starts = self.relative.len() * self.grid.trajectories.len();
        self.measured() as f64 - (starts + self.estimate.candidates.kept.len()) as f64
    }

    /// Estimates σ of each state from its residuals; that of a hidden state, relative to its
    /// deviation, is that of the data it comes from.
    fn update_noise(&mut self) {
        let (k, d) = (self.deviation.len(), self.relative.len());
        let starts = d / k * self.grid.trajectories.len();
        let free = self.estimate.candidates.free();
        let residuals = |j: usize| {
            let relative = self.residuals(j).map(|r| r / self.deviation[j]);
            let own = |state: usize| self.roots[state] == j;
            let used = starts * (0..k).filter(|state| own(*state)).count()
                + free.iter().filter(|p| own(p.equation)).count();
            let freedom = f64::max(relative.clone().count() as f64 - used as f64, 1.0);
            Residuals { squares: self.grid.loss.sum_of_squares(relative, freedom), freedom }
        };
        let residuals: Vec<Residuals> = (0..self.with_data).map(residuals).collect();
        let levels = levels(&residuals);
        let units = self.roots.iter().zip(&self.deviation);
        self.noise = units.map(|(&root, unit)| levels[root] * unit).collect();
        self.weigh();
    }

    /// Computes the weights of the rows from the noise and the weights of the equations.
    fn weigh(&mut self) {
        let k = self.noise.len();
        self.estimate.noise = self.floor.under(&self.noise);
        for (weight, noise) in self.weights.observation.iter_mut().zip(&self.estimate.noise) {
            *weight = 1.0 / noise;
        }
        for (i, weight) in self.weights.defect.iter_mut().enumerate() {
            let root = (self.estimate.equation_weights[i % k] * self.grid.interval).sqrt();
            *weight = root / (self.estimate.noise[i % k] * self.relative[i]);
        }
        self.cost = None;
    }

    /// Returns χ² as a function of all candidates' coefficients, and whether it is singular, so that only
    /// larger priors made it one of them.
    ///
    /// # Errors
    /// Those of [`information`](Estimator::information).
    pub fn about_all(
        &mut self,
        penalty: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<(Information, bool)> {
        let variance = self.variance();
        let candidates = &self.estimate.candidates;
        let all = &candidates.all;
        self.budget.take(work(self.grid.points(), self.relative.len() + all.len()))?;
        let mut solver = GaussNewton::new(self.grid, candidates.all_slots(), &self.estimate)?;
        let mut weights = Weights { prior: candidates.priors.clone(), ..self.weights.clone() };
        let report = &mut |done| progress.advance(ITERATION * done);
        solver.linearize(&self.estimate, &mut weights, report)?;
        let matrix: Vec<f64> = solver.information().iter().map(|a| a / variance).collect();
        let values = all.iter().map(|p| p.value(&self.estimate.rhs));
        let minimum: Vec<f64> =
            values.zip(solver.coefficient_step()).map(|(value, step)| value - step).collect();
        let rows = matrix.chunks_exact(minimum.len().max(1));
        let vector = rows.map(|row| dot(row, &minimum)).collect();
        let raised = weights.prior != candidates.priors;
        Ok((Information::new(matrix, vector, candidates, penalty), raised))
    }

    fn update_covariance(&mut self) -> Result<()> {
        let variance = self.variance();
        let covariance = self.solver.covariance()?.into_iter().map(|c| c * variance);
        self.estimate.covariance = covariance.collect();
        Ok(())
    }

    /// Returns to an earlier estimate as [`restore`](Estimator::restore) does, but without an
    /// iteration.
    fn return_to(&mut self, before: Estimate<'a>) -> Result<()> {
        self.noise.clone_from(&before.noise);
        self.estimate = before;
        self.prepare()?;
        self.weigh();
        Ok(())
    }

    /// Allocates the workspace for the present set of terms.
    fn prepare(&mut self) -> Result<()> {
        self.weights.prior = self.estimate.candidates.free_priors();
        let slots = self.estimate.candidates.slots();
        self.solver = GaussNewton::new(self.grid, slots, &self.estimate)?;
        self.cost = None;
        Ok(())
    }
}

impl<'a> Estimator<'a> for Joint<'a> {
    const QUADRATIC: bool = true;

    fn estimate(&self) -> &Estimate<'a> {
        &self.estimate
    }

    fn information(
        &mut self,
        penalty: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Option<Information>> {
        Ok(Some(self.about_all(penalty, progress)?.0))
    }

    fn take(&mut self, support: &Support) -> Result<()> {
        self.estimate.take(support);
        self.prepare()
    }

    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()> {
        self.converge_to(TOLERANCE, progress)?;
        Ok(())
    }

    fn exchange(
        &mut self,
        support: &Support,
        least: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<f64> {
        let (cost, variance) = (self.cost(), self.variance());
        let goal = cost - least * variance;
        self.take(support)?;
        // The noise must not change between the two costs.
        self.iterate(TOLERANCE, goal, progress)?;
        self.budget.spend(comparison(support.kept.len()));
        let gain = (cost - self.cost()) / variance;
        self.update_noise();
        self.update_covariance()?;
        Ok(gain)
    }

    fn restore(&mut self, before: Estimate<'a>, progress: &mut Reporter<'_, '_>) -> Result<()> {
        self.return_to(before)?;
        self.converge(progress)
    }

    fn sharpen(&mut self, progress: &mut Reporter<'_, '_>) -> Result<bool> {
        progress.stage(0.95, "sharpening")?;
        if self.reference.is_empty() {
            self.reference = self.estimate.unbiased(&self.noise);
        }
        if self.floor.lower(&self.noise) {
            self.correct_discretization = true;
            self.weigh();
            self.converge(progress)?;
            self.lower_weights(progress)?;
            return Ok(true);
        }
        let exact = self.estimate.is_exact();
        let mut raised = false;
        for step in 1..EQUATION_WEIGHTS.len() {
            raised |= self.raise_weights(step, TOLERANCE, progress)?;
        }
        // Terms that were selected while the weights of the equations were smaller are examined
        // again.
        if raised && !exact {
            return Ok(true);
        }
        progress.stage(0.95, "last estimate")?;
        self.converge_to(LAST_TOLERANCE, progress)?;
        Ok(false)
    }

    fn finish(self) -> Estimate<'a> {
        self.estimate
    }
}
