//! Gauss-Newton iterations for trajectory and coefficients together, which minimize
//!
//! ```text
//! Σ_observed (u − x)²/(s σ)²  +  w Σ_t (interval/h) ‖defect‖²/σ²  +  Σ (ξ·prior)²,
//! defect = u_{t+1} − u_t − h/2 (F_t + F_{t+1}) − h²/12 (F'_t − F'_{t+1}) − e_t,   F' = J F.
//! ```
//!
//! The spread s of each value is 1, or grows with the value where the noise does (see `spread`).
//! In a robust search the squares of the values' distances from the trajectory are replaced by
//! Huber's function, whose weights belong to the present iterate (see `loss`).
//!
//! The defect, the Hermite row of u with two derivatives, is of fourth order. What it leaves of an
//! exact solution, e_t = −h⁵/720 u⁽⁵⁾ + …, is zero while there is more noise than that. Otherwise
//! it is computed along the present trajectory before every iteration (deferred correction), so
//! that neither coefficients nor standard errors suffer from it. In every iteration the
//! trajectory is eliminated (see `elimination`), which leaves the normal equations of the coefficients;
//! the inverse of their matrix is the covariance.

use super::assembly::{Assembly, Weights};
use super::elimination::Elimination;
use crate::discovery::candidates::Slot;
use crate::discovery::estimate::Estimate;
use crate::discovery::grid::Grid;
use crate::discovery::progress::Report;
use crate::{Error, Result};

/// The most times that a step which raises the cost is halved.
const HALVINGS: usize = 10;
/// The most times that the prior grows tenfold to make singular normal equations solvable.
const REGULARIZATIONS: usize = 12;

/// The result of one iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iteration {
    /// Cost after the iteration.
    pub cost: f64,
    /// Decrease of the cost that the linearization promised for the full step.
    pub promised: f64,
    /// Fraction of the step that was taken; 0 if none lowers the cost.
    pub fraction: f64,
    /// Number of times that the cost was evaluated.
    pub trials: usize,
}

/// The workspace for one set of free coefficients.
pub(super) struct GaussNewton<'a> {
    assembly: Assembly<'a>,
    elimination: Elimination,
    /// Step, which is to be subtracted, (M·D + c).
    step: Vec<f64>,
    trial: Estimate<'a>,
}

impl<'a> GaussNewton<'a> {
    /// Allocates the workspace for the free coefficients that stand in these slots, which must be
    /// sorted by equation.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the workspace cannot be had.
    pub fn new(grid: &'a Grid, slots: Vec<Slot>, estimate: &Estimate<'a>) -> Result<Self> {
        let variables = estimate.rhs.library.variables().len();
        let coefficients = slots.iter().filter(|slot| slot.leads).count();
        let points = grid.points();
        Ok(GaussNewton {
            elimination: Elimination::new(points, variables, coefficients)?,
            step: vec![0.0; points * variables + coefficients],
            trial: estimate.clone(),
            assembly: Assembly::new(grid, slots),
        })
    }

    /// Returns the sum of squares that is minimized, which is infinite if the trajectory crosses a
    /// pole.
    pub fn cost(&self, estimate: &Estimate<'a>, weights: &Weights) -> f64 {
        self.assembly.cost(estimate, weights)
    }

    /// Returns what an exact solution of the equations leaves in the rows of each step: (M, D).
    pub fn discretization(&self, estimate: &Estimate<'a>) -> Vec<f64> {
        self.assembly.discretization(estimate)
    }

    /// Takes one damped step from `estimate`, whose cost is `cost`, and reports as it goes.
    ///
    /// # Errors
    /// [`Error::Data`] when the normal equations cannot be factorized, and those of `report`.
    pub fn iterate(
        &mut self,
        estimate: &mut Estimate<'a>,
        weights: &mut Weights,
        cost: f64,
        report: &mut Report<'_>,
    ) -> Result<Iteration> {
        let promised = self.linearize(estimate, weights, report)?;
        let mut fraction = 1.0;
        for halvings in 0..=HALVINGS {
            report(1.0)?;
            self.try_step(estimate, fraction);
            let reached = self.assembly.cost(&self.trial, weights);
            if reached <= cost {
                std::mem::swap(&mut estimate.trajectory, &mut self.trial.trajectory);
                std::mem::swap(&mut estimate.rhs, &mut self.trial.rhs);
                return Ok(Iteration { cost: reached, promised, fraction, trials: halvings + 1 });
            }
            fraction *= 0.5;
        }
        Ok(Iteration { cost, promised, fraction: 0.0, trials: HALVINGS + 1 })
    }

    /// Factorizes the normal equations at `estimate` and solves for the step; returns the decrease
    /// of the cost that it promises.
    ///
    /// # Errors
    /// Those of [`iterate`](Self::iterate).
    pub fn linearize(
        &mut self,
        estimate: &Estimate<'a>,
        weights: &mut Weights,
        report: &mut Report<'_>,
    ) -> Result<f64> {
        self.factorize(estimate, weights, report)?;
        let coefficients = &mut self.step[estimate.trajectory.len()..];
        let promised = self.elimination.coefficients.solve(coefficients);
        Ok(promised + self.elimination.solve(&mut self.step))
    }

    /// Returns the last step of the coefficients (c), to be subtracted.
    pub fn coefficient_step(&self) -> &[f64] {
        &self.step[self.trial.trajectory.len()..]
    }

    /// Returns the covariance (c, c) of the coefficients from the last factorization, for rows of
    /// unit variance.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if a product of matrices has no memory.
    pub fn covariance(&mut self) -> Result<Vec<f64>> {
        self.elimination.coefficients.covariance()
    }

    /// Returns the inverse of [`covariance`](Self::covariance), which is accurate where the
    /// covariance is nearly singular.
    pub fn information(&self) -> &[f64] {
        self.elimination.coefficients.information()
    }

    /// Computes estimate − fraction · step into `trial`.
    fn try_step(&mut self, estimate: &Estimate<'a>, fraction: f64) {
        let (along, border) = self.step.split_at(estimate.trajectory.len());
        let moved = self.trial.trajectory.iter_mut().zip(&estimate.trajectory).zip(along);
        moved.for_each(|((trial, u), step)| *trial = u - fraction * step);
        self.trial.discretization.clone_from(&estimate.discretization);
        let rhs = &mut self.trial.rhs;
        rhs.numerator.copy_from_slice(&estimate.rhs.numerator);
        rhs.denominator.copy_from_slice(&estimate.rhs.denominator);
        for slot in &self.assembly.slots {
            *slot.place.value_mut(rhs) -= slot.factor * fraction * border[slot.column];
        }
    }

    /// Eliminates the trajectory at `estimate`, and factorizes the normal equations of the
    /// coefficients, after raising the prior where they are singular.
    fn factorize(
        &mut self,
        estimate: &Estimate<'a>,
        weights: &mut Weights,
        report: &mut Report<'_>,
    ) -> Result<()> {
        let (assembly, rows_of) = (&self.assembly, &*weights);
        let determined = self.elimination.eliminate(
            |points, step, rows| assembly.write(points, step, estimate, rows_of, rows),
            report,
        )?;
        let leading = self.assembly.slots.iter().filter(|slot| slot.leads);
        let mut values = vec![0.0; weights.prior.len()];
        leading.for_each(|slot| values[slot.column] = slot.place.value(&estimate.rhs));
        for _ in (0..=REGULARIZATIONS).take_while(|_| determined) {
            if self.elimination.factorize(&weights.prior, &values)? {
                return Ok(());
            }
            weights.prior.iter_mut().for_each(|weight| *weight *= 10.0);
        }
        Err(Error::Data(
            "the search diverged: the equations of the trajectory cannot be solved. Fewer \
             candidate terms, or more or better data, may help"
                .into(),
        ))
    }
}
