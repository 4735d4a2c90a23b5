//! The state of the joint search: the estimate, its noise, and its current set of free terms.

use super::gauss_newton::{Estimate, GaussNewton, Weights};
use super::grid::{Grid, Smooth};
use super::linearised::Parameter;
use super::rhs::dot;
use super::selection::{Information, Quadratic, Set};
use super::{Equation, Link, RightHandSide};
use crate::{Error, Result};

/// Weight w of the equation against the data at the start.
const FIRST_STIFFNESS: f64 = 10.0;
/// Iterations towards convergence of one set of terms at one weight.
const MAX_ITERATIONS: usize = 15;
/// A stiffer equation is accepted while it raises the noise by less than this factor, and this
/// many standard deviations of the estimated noise.
const STIFFENING: f64 = 1.1;
const STIFFENING_DEVIATIONS: f64 = 3.0;
/// Noise is never taken to be smaller than this fraction of a state's deviation: below it the
/// residual is discretisation error, which is no noise.
const NOISE_FLOOR: f64 = 1e-5;
/// The common noise level counts as much as so many values of a state.
const POOLING: f64 = 100.0;
/// A coefficient whose term would outweigh the whole equation this many times is not believed.
const PRIOR: f64 = 1e2;
/// The same for what stands in a bounded function or next to a 1: it is of order one, and far
/// from that a numerator and a denominator with a common factor say the same with other numbers.
const BOUNDED_PRIOR: f64 = 10.0;

pub(super) struct Search<'a> {
    pub grid: &'a Grid,
    pub estimate: Estimate<'a>,
    /// σ of each state (K).
    pub noise: Vec<f64>,
    /// Every candidate, sorted by equation.
    pub all: Vec<Parameter>,
    /// Indices in `all` of the terms that are now free; the others are zero.
    pub kept: Vec<usize>,
    priors: Vec<f64>,
    /// Standard deviation of each state (K).
    deviation: Vec<f64>,
    /// Deviation of each component relative to that of its state (D): 1, or a rate for u'.
    relative: Vec<f64>,
    /// Current weight of the equation.
    stiffness: f64,
    /// Unbiased noise with all terms while the equation is loose (K).
    reference: Vec<f64>,
    weights: Weights,
    solver: GaussNewton<'a>,
    cost: f64,
}

/// What to return to when an attempt fails.
struct Snapshot<'a> {
    estimate: Estimate<'a>,
    noise: Vec<f64>,
    kept: Vec<usize>,
    stiffness: f64,
}

impl<'a> Search<'a> {
    /// `rhs` and `trajectory` (M, D) are the start, `slopes` (M, K) its highest derivatives.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer values than unknowns.
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        rhs: RightHandSide<'a>,
        trajectory: Vec<f64>,
        slopes: &[f64],
        all: Vec<Parameter>,
    ) -> Result<Self> {
        let k = rhs.states();
        let d = k * rhs.order;
        let rms = |i: usize| root_mean_square(trajectory.iter().skip(i).step_by(d));
        let relative: Vec<f64> =
            (0..d).map(|i| if i < k { 1.0 } else { rms(i) / smooth.deviation[i - k] }).collect();
        let priors = priors(&rhs, &trajectory, slopes, &all)?;
        let estimate = Estimate { trajectory, rhs };
        let mut search = Search {
            grid,
            noise: vec![0.0; k],
            kept: (0..all.len()).collect(),
            deviation: smooth.deviation.clone(),
            relative,
            stiffness: FIRST_STIFFNESS,
            reference: vec![],
            weights: Weights {
                observation: vec![0.0; k],
                defect: vec![0.0; d],
                prior: priors.clone(),
            },
            priors,
            solver: GaussNewton::new(grid, all.clone(), &estimate)?,
            all,
            estimate,
            cost: f64::INFINITY,
        };
        if search.freedom() < 1.0 {
            return Err(Error::Data(format!(
                "{} measured values cannot decide {} coefficients",
                search.measured(),
                search.all.len()
            )));
        }
        search.update_noise();
        Ok(search)
    }

    /// The first estimate with all terms.
    pub fn approach(&mut self, tolerance: f64, report: impl FnMut() -> Result<()>) -> Result<()> {
        self.converge(tolerance, report)?;
        self.reference = self.unbiased_noise();
        Ok(())
    }

    /// Current weight of the equation.
    pub fn stiffness(&self) -> f64 {
        self.stiffness
    }

    /// Raises the equation's weight if the data bear it: if the noise hardly grows, the estimate
    /// becomes sharper; if it does grow, the equation holds only approximately, and everything
    /// stays as it was. Returns whether the data bear it.
    pub fn stiffen(
        &mut self,
        stiffness: f64,
        tolerance: f64,
        report: impl FnMut() -> Result<()>,
    ) -> Result<bool> {
        let before = self.snapshot();
        self.stiffness = stiffness;
        self.weigh();
        let borne = match self.converge(tolerance, report) {
            Ok(converged) => converged && self.noise_bears(),
            Err(Error::Data(_)) => false,
            Err(error) => return Err(error),
        };
        if !borne {
            self.restore(before)?;
            self.converge(tolerance, || Ok(()))?;
        }
        Ok(borne)
    }

    fn noise_bears(&self) -> bool {
        let each = self.measured() as f64 / self.noise.len() as f64;
        let limit = STIFFENING + STIFFENING_DEVIATIONS / (2.0 * each).sqrt();
        let after = self.unbiased_noise();
        // A noise at the floor is no noise.
        let floors = self.deviation.iter().map(|deviation| 2.0 * NOISE_FLOOR * deviation);
        let pairs = after.iter().zip(&self.reference).zip(floors);
        pairs.into_iter().all(|((after, before), floor)| *after < limit * before.max(floor))
    }

    /// σ corrected for the noise that the trajectory follows where the equation is not stiff: for a
    /// random walk seen through noise each value has the leverage 1/√(1 + 4w).
    fn unbiased_noise(&self) -> Vec<f64> {
        let leverage = 1.0 / (1.0 + 4.0 * self.stiffness).sqrt();
        self.noise.iter().map(|noise| noise / (1.0 - 1.5 * leverage).sqrt()).collect()
    }

    /// −2 log likelihood of the data, up to a constant, plus `penalty` for each term.
    pub fn score(&self, penalty: f64) -> f64 {
        let noise = self.unbiased_noise();
        let k = noise.len();
        let fit = |(j, noise): (usize, &f64)| {
            let observed = self.grid.observed.iter().skip(j).step_by(k);
            2.0 * observed.filter(|x| !x.is_nan()).count() as f64 * noise.ln()
        };
        noise.iter().enumerate().map(fit).sum::<f64>() + penalty * self.kept.len() as f64
    }

    /// Iterates until the promised decrease of χ² is below `tolerance`: nothing would move by more
    /// than √tolerance standard errors. Returns whether that was reached.
    pub fn converge(&mut self, tolerance: f64, report: impl FnMut() -> Result<()>) -> Result<bool> {
        let converged = self.iterate_all(tolerance, report)?;
        self.update_noise();
        Ok(converged)
    }

    fn iterate_all(
        &mut self,
        tolerance: f64,
        mut report: impl FnMut() -> Result<()>,
    ) -> Result<bool> {
        for _ in 0..MAX_ITERATIONS {
            report()?;
            if self.iterate(tolerance)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True once nothing moves any more.
    fn iterate(&mut self, tolerance: f64) -> Result<bool> {
        let outcome = self.solver.iterate(&mut self.estimate, &mut self.weights, self.cost)?;
        self.cost = outcome.cost;
        Ok(outcome.fraction == 0.0 || outcome.promised < tolerance * self.variance())
    }

    /// Fits the terms of `set` instead of the present ones, and stays with them if their score, χ²
    /// plus `penalty` per term, is lower. Returns whether it is.
    pub fn attempt(
        &mut self,
        set: &Set,
        penalty: f64,
        tolerance: f64,
        report: impl FnMut() -> Result<()>,
    ) -> Result<bool> {
        let variance = self.variance();
        let score = |search: &Self| search.cost / variance + penalty * search.kept.len() as f64;
        let (before, target) = (self.snapshot(), score(self));
        for (&index, value) in set.kept.iter().zip(&set.coefficients) {
            *self.all[index].value_mut(&mut self.estimate.rhs) = *value;
        }
        self.keep(set.kept.clone())?;
        // The noise must not change between the two scores.
        let better = match self.iterate_all(tolerance, report) {
            Ok(_) => score(self) < target,
            Err(Error::Data(_)) => false,
            Err(error) => return Err(error),
        };
        if better {
            self.update_noise();
        } else {
            self.restore(before)?;
            self.converge(tolerance, || Ok(()))?;
        }
        Ok(better)
    }

    /// Residual variance per degree of freedom, in units of the assumed noise.
    fn variance(&self) -> f64 {
        (self.cost / self.freedom()).max(1.0)
    }

    fn measured(&self) -> usize {
        self.grid.observed.iter().filter(|x| !x.is_nan()).count()
    }

    fn freedom(&self) -> f64 {
        let unknowns = self.relative.len() * self.grid.trajectories.len() + self.kept.len();
        self.measured() as f64 - unknowns as f64
    }

    /// σ of each state from its residuals, drawn towards the same fraction of every deviation:
    /// a few dozen values cannot tell whose noise is larger.
    fn update_noise(&mut self) {
        let (k, d) = (self.noise.len(), self.relative.len());
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
            self.noise[j] = variance.sqrt() * self.deviation[j];
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        let k = self.noise.len();
        for (noise, deviation) in self.noise.iter_mut().zip(&self.deviation) {
            *noise = noise.max(NOISE_FLOOR * deviation);
        }
        for (weight, noise) in self.weights.observation.iter_mut().zip(&self.noise) {
            *weight = 1.0 / noise;
        }
        let root = (self.stiffness * self.grid.interval).sqrt();
        for (i, weight) in self.weights.defect.iter_mut().enumerate() {
            *weight = root / (self.noise[i % k] * self.relative[i]);
        }
        self.cost = self.solver.cost(&self.estimate, &self.weights);
    }

    /// χ² as a quadratic function of the kept coefficients, from the last iteration.
    pub fn quadratic(&self) -> Quadratic {
        let variance = self.variance();
        let values = self.solver.parameters().iter().map(|p| p.value(&self.estimate.rhs));
        Quadratic {
            coefficients: values.collect(),
            covariance: self.solver.covariance().iter().map(|c| c * variance).collect(),
        }
    }

    /// χ² as a quadratic function of all coefficients, about the present estimate.
    pub fn information(&self, penalty: f64) -> Result<Information> {
        let mut solver = GaussNewton::new(self.grid, self.all.clone(), &self.estimate)?;
        let mut weights = Weights { prior: self.priors.clone(), ..self.weights.clone() };
        solver.linearise(&self.estimate, &mut weights)?;
        let variance = self.variance();
        let matrix: Vec<f64> = solver.information().iter().map(|a| a / variance).collect();
        let values = self.all.iter().map(|p| p.value(&self.estimate.rhs));
        let minimum: Vec<f64> =
            values.zip(solver.coefficient_step()).map(|(value, step)| value - step).collect();
        Ok(Information {
            vector: matrix
                .chunks_exact(minimum.len().max(1))
                .map(|row| dot(row, &minimum))
                .collect(),
            matrix,
            equation: self.all.iter().map(|p| p.equation).collect(),
            penalty,
        })
    }

    /// Removes the terms at these places of `kept`; the others move to where they are then
    /// expected.
    pub fn drop(&mut self, dropped: &[usize]) -> Result<()> {
        let mut quadratic = self.quadratic();
        dropped.iter().for_each(|&place| quadratic.remove(place));
        for (&index, value) in self.kept.iter().zip(&quadratic.coefficients) {
            *self.all[index].value_mut(&mut self.estimate.rhs) = *value;
        }
        let left = self.kept.iter().enumerate().filter(|(place, _)| !dropped.contains(place));
        self.keep(left.map(|(_, &index)| index).collect())
    }

    /// Frees exactly the terms at these indices of `all`.
    fn keep(&mut self, kept: Vec<usize>) -> Result<()> {
        for (index, p) in self.all.iter().enumerate() {
            if !kept.contains(&index) {
                *p.value_mut(&mut self.estimate.rhs) = 0.0;
            }
        }
        let parameters = kept.iter().map(|&index| self.all[index]).collect();
        self.weights.prior = kept.iter().map(|&index| self.priors[index]).collect();
        self.solver = GaussNewton::new(self.grid, parameters, &self.estimate)?;
        self.kept = kept;
        self.cost = self.solver.cost(&self.estimate, &self.weights);
        Ok(())
    }

    fn snapshot(&self) -> Snapshot<'a> {
        Snapshot {
            estimate: self.estimate.clone(),
            noise: self.noise.clone(),
            kept: self.kept.clone(),
            stiffness: self.stiffness,
        }
    }

    fn restore(&mut self, snapshot: Snapshot<'a>) -> Result<()> {
        self.estimate = snapshot.estimate;
        self.noise = snapshot.noise;
        self.stiffness = snapshot.stiffness;
        self.keep(snapshot.kept)?;
        self.weigh();
        Ok(())
    }

    /// The equations with standard errors.
    pub fn equations(&self) -> Vec<Equation> {
        let rhs = &self.estimate.rhs;
        let (k, l) = (rhs.states(), rhs.library.len());
        let mut errors = vec![None; 2 * k * l];
        let quadratic = self.quadratic();
        for (place, p) in self.solver.parameters().iter().enumerate() {
            let side = if p.denominator { k * l } else { 0 };
            errors[side + p.equation * l + p.term] = Some(quadratic.standard_error(place));
        }
        rhs.equations(&errors)
    }
}

/// Reciprocal prior standard deviations of the coefficients: [`PRIOR`] times the size at which a
/// term alone would make up the right-hand side.
///
/// # Errors
/// [`Error::Data`] naming a term that is not finite on the data.
pub(super) fn priors(
    rhs: &RightHandSide<'_>,
    trajectory: &[f64],
    slopes: &[f64],
    parameters: &[Parameter],
) -> Result<Vec<f64>> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut terms = vec![0.0; l];
    let mut squares = vec![0.0; l];
    for state in trajectory.chunks_exact(k * rhs.order) {
        rhs.library.values(state, &mut terms);
        squares.iter_mut().zip(&terms).for_each(|(s, term)| *s += term * term);
    }
    if let Some(term) = squares.iter().position(|s| !s.is_finite()) {
        let name = rhs.library.factors(term).join(" ");
        return Err(Error::Data(format!("the term `{name}` is not finite on the data")));
    }
    let points = (slopes.len() / k) as f64;
    let prior = |p: &Parameter| {
        let size = (squares[p.term] / points).sqrt();
        let slope = root_mean_square(slopes.iter().skip(p.equation).step_by(k));
        // Where a term or the right-hand side is always zero, any scale will do.
        if size == 0.0 || slope == 0.0 {
            return 1.0;
        }
        match rhs.link {
            Link::Identity => size / (PRIOR * slope),
            Link::Ratio if !p.denominator => size / (PRIOR * slope),
            _ => size / BOUNDED_PRIOR,
        }
    };
    Ok(parameters.iter().map(prior).collect())
}

fn root_mean_square<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    (sum / count).sqrt()
}
