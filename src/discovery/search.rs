//! The state of the joint search: the estimate, its noise, and its current set of free terms.

use super::gauss_newton::{Estimate, GaussNewton, Weights};
use super::grid::{Grid, Smooth};
use super::linearised::Parameter;
use super::selection::Quadratic;
use super::{Equation, Link, RightHandSide};
use crate::{Error, Result};

/// Weights w of the equation against the data, one after the other, four iterations each.
const CONTINUATION: [f64; 4] = [10.0, 1e2, 1e4, 1e6];
const ITERATIONS: usize = 4;
/// Iterations towards convergence of one set of terms.
const MAX_ITERATIONS: usize = 20;
/// Converged: the promised decrease of χ² is this small, i.e. no estimate would move by more than
/// a thirtieth of its standard error.
const CONVERGED: f64 = 1e-3;
/// Noise is never taken to be smaller than this fraction of a state's deviation: below it the
/// residual is discretisation error, which is no noise.
const NOISE_FLOOR: f64 = 1e-5;
/// The common noise level counts as much as so many values of a state.
const POOLING: f64 = 100.0;
/// A coefficient whose term would outweigh the whole equation this many times is not believed.
const PRIOR: f64 = 1e3;

pub(super) struct Search<'a> {
    pub grid: &'a Grid,
    pub estimate: Estimate<'a>,
    /// σ of each state (K).
    pub noise: Vec<f64>,
    /// Standard deviation of each state (K).
    deviation: Vec<f64>,
    /// Deviation of each component relative to that of its state (D): 1, or a rate for u'.
    relative: Vec<f64>,
    /// Current weight of the equation.
    stiffness: f64,
    weights: Weights,
    solver: GaussNewton<'a>,
    cost: f64,
}

impl<'a> Search<'a> {
    pub fn new(
        grid: &'a Grid,
        smooth: &Smooth,
        rhs: RightHandSide<'a>,
        trajectory: Vec<f64>,
        slopes: &[f64],
        parameters: Vec<Parameter>,
    ) -> Result<Self> {
        let k = rhs.states();
        let d = k * rhs.order;
        let rms = |i: usize| root_mean_square(trajectory.iter().skip(i).step_by(d));
        let relative: Vec<f64> =
            (0..d).map(|i| if i < k { 1.0 } else { rms(i) / smooth.deviation[i - k] }).collect();
        let prior = priors(&rhs, &trajectory, slopes, &parameters);
        let estimate = Estimate { trajectory, rhs };
        let mut search = Search {
            grid,
            noise: vec![0.0; k],
            deviation: smooth.deviation.clone(),
            relative,
            stiffness: CONTINUATION[0],
            weights: Weights { observation: vec![0.0; k], defect: vec![0.0; d], prior },
            solver: GaussNewton::new(grid, parameters, &estimate)?,
            estimate,
            cost: f64::INFINITY,
        };
        if search.freedom() < 1.0 {
            return Err(Error::Data(format!(
                "{} measured values cannot decide {} coefficients",
                search.measured(),
                search.parameters().len()
            )));
        }
        search.update_noise();
        Ok(search)
    }

    pub fn parameters(&self) -> &[Parameter] {
        self.solver.parameters()
    }

    /// The first estimate with all terms, the equation's weight growing.
    pub fn approach(
        &mut self,
        mut report: impl FnMut(f64, Option<&[Equation]>) -> Result<()>,
    ) -> Result<()> {
        for (stage, stiffness) in CONTINUATION.into_iter().enumerate() {
            self.stiffness = stiffness;
            self.weigh();
            for iteration in 0..ITERATIONS {
                let done = (stage * ITERATIONS + iteration) as f64;
                report(done / (CONTINUATION.len() * ITERATIONS) as f64, None)?;
                if self.iterate()? {
                    break;
                }
            }
            self.update_noise();
            report(stage as f64 / CONTINUATION.len() as f64, Some(&self.equations()))?;
        }
        Ok(())
    }

    /// Iterates until the estimate stands still.
    pub fn converge(&mut self, mut report: impl FnMut() -> Result<()>) -> Result<()> {
        for _ in 0..MAX_ITERATIONS {
            report()?;
            if self.iterate()? {
                break;
            }
        }
        self.update_noise();
        Ok(())
    }

    /// True once nothing moves any more.
    fn iterate(&mut self) -> Result<bool> {
        let outcome = self.solver.iterate(&mut self.estimate, &mut self.weights, self.cost)?;
        if std::env::var("DISC_DEBUG").is_ok() {
            eprintln!("w {} {outcome:?} noise {:?}", self.stiffness, self.noise);
        }
        if !outcome.cost.is_finite() {
            return Err(Error::Data("the search diverged".into()));
        }
        self.cost = outcome.cost;
        Ok(outcome.fraction == 0.0 || outcome.promised < CONVERGED * self.variance())
    }

    /// Residual variance per degree of freedom, in units of the assumed noise.
    fn variance(&self) -> f64 {
        (self.cost / self.freedom()).max(1.0)
    }

    fn measured(&self) -> usize {
        self.grid.observed.iter().filter(|x| !x.is_nan()).count()
    }

    fn freedom(&self) -> f64 {
        let unknowns = self.relative.len() * self.grid.trajectories.len() + self.parameters().len();
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

    /// The fit as a quadratic function of the free coefficients.
    pub fn quadratic(&self) -> Quadratic {
        let coefficients = self.parameters().iter().map(|p| p.value(&self.estimate.rhs)).collect();
        let mut covariance = self.solver.covariance();
        let variance = self.variance();
        covariance.iter_mut().for_each(|c| *c *= variance);
        Quadratic { coefficients, covariance }
    }

    /// Removes the terms at these indices; the others move to where they are then expected.
    pub fn drop(&mut self, dropped: &[usize]) -> Result<()> {
        let mut quadratic = self.quadratic();
        dropped.iter().for_each(|&j| quadratic.remove(j));
        for (p, value) in self.parameters().to_vec().iter().zip(&quadratic.coefficients) {
            *p.value_mut(&mut self.estimate.rhs) = *value;
        }
        let kept = |index: &usize| !dropped.contains(index);
        let indices: Vec<usize> = (0..self.parameters().len()).filter(kept).collect();
        let parameters = indices.iter().map(|&i| self.parameters()[i]).collect();
        self.weights.prior = indices.iter().map(|&i| self.weights.prior[i]).collect();
        self.solver = GaussNewton::new(self.grid, parameters, &self.estimate)?;
        self.cost = self.solver.cost(&self.estimate, &self.weights);
        Ok(())
    }

    /// The equations with standard errors.
    pub fn equations(&self) -> Vec<Equation> {
        let rhs = &self.estimate.rhs;
        let (k, l) = (rhs.states(), rhs.library.len());
        let mut errors = vec![None; 2 * k * l];
        let quadratic = self.quadratic();
        for (i, p) in self.parameters().iter().enumerate() {
            let side = if p.denominator { k * l } else { 0 };
            errors[side + p.equation * l + p.term] = Some(quadratic.standard_error(i));
        }
        rhs.equations(&errors)
    }
}

/// Reciprocal prior standard deviations of the coefficients: [`PRIOR`] times the size at which a
/// term alone would make up the right-hand side.
pub(super) fn priors(
    rhs: &RightHandSide<'_>,
    trajectory: &[f64],
    slopes: &[f64],
    parameters: &[Parameter],
) -> Vec<f64> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut terms = vec![0.0; l];
    let mut squares = vec![0.0; l];
    for state in trajectory.chunks_exact(k * rhs.order) {
        rhs.library.values(state, &mut terms);
        squares.iter_mut().zip(&terms).for_each(|(s, term)| *s += term * term);
    }
    let points = (slopes.len() / k) as f64;
    let prior = |p: &Parameter| {
        let size = (squares[p.term] / points).sqrt();
        let slope = root_mean_square(slopes.iter().skip(p.equation).step_by(k));
        match rhs.link {
            Link::Identity => size / (PRIOR * slope),
            Link::Ratio if !p.denominator => size / (PRIOR * slope),
            // What stands in a bounded function or next to a 1 is of order one.
            _ => size / PRIOR,
        }
    };
    parameters.iter().map(prior).collect()
}

fn root_mean_square<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
    (sum / count as f64).sqrt()
}
