//! An estimate: the equations with their coefficients, and the uncertainty, trajectory and noise
//! that belong to them.

use super::candidates::{Candidates, Support};
use super::equation::Equation;
use super::information::Quadratic;
use super::right_hand_side::RightHandSide;

/// The weight of the equation that the data must bear to count as obeying it exactly.
const EXACT: f64 = 1e6;

/// An estimate of everything that a search estimates. The search compares and keeps such estimates;
/// an [`Estimator`](super::estimator::Estimator) makes them.
#[derive(Clone)]
pub(super) struct Estimate<'a> {
    /// Equations with the present coefficients.
    pub rhs: RightHandSide<'a>,
    /// Every candidate, and which of them are in the equations now (c).
    pub candidates: Candidates,
    /// Covariance of the free coefficients (c, c); empty before the first estimate.
    pub covariance: Vec<f64>,
    /// The states without noise, in the units of the data: at all points of the grid (M, D), or,
    /// while the network method works, at those of its windows (W, N, D).
    pub trajectory: Vec<f64>,
    /// Additional estimates of the network method: u and its derivatives below the m-th at the
    /// start of every window (W, K, m), in the solver's units.
    pub starts: Vec<f64>,
    /// Noise σ of each state (K) in the units of the data, or, while the network method works, in
    /// those of the solver.
    pub noise: Vec<f64>,
    /// Weight w of the equation against the data, which is infinite if the trajectory solves the
    /// equation.
    pub equation_weight: f64,
}

impl Estimate<'_> {
    /// Frees exactly the candidates of `support`, with the coefficients given there.
    pub fn take(&mut self, support: &Support) {
        let Candidates { all, kept, .. } = &mut self.candidates;
        all.iter().for_each(|p| *p.value_mut(&mut self.rhs) = 0.0);
        for (&index, value) in support.kept.iter().zip(&support.coefficients) {
            *all[index].value_mut(&mut self.rhs) = *value;
        }
        kept.clone_from(&support.kept);
    }

    /// Returns χ² as a function of the free coefficients, about this estimate.
    pub fn quadratic(&self) -> Quadratic {
        let coefficients = self.candidates.values(&self.rhs);
        Quadratic { coefficients, covariance: self.covariance.clone() }
    }

    /// Returns the equations with standard errors.
    pub fn equations(&self) -> Vec<Equation> {
        let (quadratic, size) = (self.quadratic(), self.rhs.numerator.len());
        let mut errors = vec![None; 2 * size];
        for (i, p) in self.candidates.free().iter().enumerate() {
            let side = if p.denominator { size } else { 0 };
            let place = side + p.equation * self.rhs.library.len() + p.term;
            errors[place] = Some(quadratic.standard_error(i));
        }
        self.rhs.equations(&errors)
    }

    /// Returns σ corrected for the noise that the trajectory follows where the weight w of the
    /// equation is small: for a random walk seen through noise each value has the leverage 1/√(1 +
    /// 4w).
    pub fn unbiased_noise(&self) -> Vec<f64> {
        let leverage = 1.0 / (1.0 + 4.0 * self.equation_weight).sqrt();
        self.noise.iter().map(|noise| noise / (1.0 - 1.5 * leverage).sqrt()).collect()
    }

    /// Returns whether the data obey the equations without further disturbances.
    pub fn is_exact(&self) -> bool {
        self.equation_weight >= EXACT
    }
}
