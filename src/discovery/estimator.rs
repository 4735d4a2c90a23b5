//! What the methods differ in: how coefficients are estimated for a given set of terms.

use super::candidates::{Candidates, Parameter, Support};
use super::equation::Equation;
use super::information::{Information, Quadratic};
use super::progress::Reporter;
use super::right_hand_side::RightHandSide;
use crate::Result;

/// An estimate of trajectory and coefficients with some of the candidate terms, and the means to
/// improve it.
///
/// Functions that return [`Error::Data`](crate::Error::Data) could not estimate with these terms;
/// other terms may do.
pub(super) trait Estimator<'a>: Sized {
    /// Whether χ² is close enough to a quadratic function from the first estimate on: then sets of
    /// terms are compared first, and terms are eliminated one after the other only where no other
    /// set is better. If not, terms are eliminated before every comparison.
    const QUADRATIC: bool;

    /// What [`restore`](Self::restore) returns to.
    type Snapshot;

    /// Every candidate, and which of them are in the equations now.
    fn candidates(&self) -> &Candidates;

    /// The equations with the present coefficients.
    fn rhs(&self) -> &RightHandSide<'a>;

    /// Covariance (c, c) of the free coefficients; empty before the first estimate.
    fn covariance(&self) -> Vec<f64>;

    /// χ² as a function of all candidates' coefficients, about the present estimate; a term must be
    /// worth `penalty`. `None` if that function says nothing about other sets of terms.
    fn information(&mut self, penalty: f64) -> Result<Option<Information>>;

    /// σ of each state (K), each in a unit of its own.
    fn noise(&self) -> Vec<f64>;

    /// Whether the data obey the equations without further disturbances.
    fn is_exact(&self) -> bool {
        true
    }

    /// Frees exactly the terms of `support`, with its coefficients.
    fn take(&mut self, support: &Support) -> Result<()>;

    /// Estimates with the present terms.
    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()>;

    /// Estimates with the terms of `support` instead of the present ones. Returns by how much χ² is
    /// lower then.
    fn exchange(&mut self, support: &Support, progress: &mut Reporter<'_, '_>) -> Result<f64>;

    /// The present estimate.
    fn snapshot(&self) -> Self::Snapshot;

    /// Returns to an earlier estimate.
    fn restore(&mut self, snapshot: Self::Snapshot, progress: &mut Reporter<'_, '_>) -> Result<()>;

    /// Sharpens the estimate with the selected terms. Returns whether it became so much sharper
    /// that terms must be selected anew.
    fn sharpen(&mut self, _progress: &mut Reporter<'_, '_>) -> Result<bool> {
        Ok(false)
    }

    /// The last estimate with the terms found.
    fn finish(self, progress: &mut Reporter<'_, '_>) -> Result<Estimated<'a>>;

    /// χ² as a function of the free coefficients, about the present estimate.
    fn quadratic(&self) -> Quadratic {
        let coefficients = self.candidates().values(self.rhs());
        Quadratic { coefficients, covariance: self.covariance() }
    }

    /// The equations as they stand, with standard errors.
    fn equations(&self) -> Vec<Equation> {
        equations(self.rhs(), &self.candidates().free(), &self.quadratic())
    }
}

/// What is left of an estimator at the end.
pub(super) struct Estimated<'a> {
    /// The equations.
    pub rhs: RightHandSide<'a>,
    /// Their coefficients that were found (c), and χ² about them.
    pub free: Vec<Parameter>,
    pub quadratic: Quadratic,
    /// The noise-free trajectory on the grid (M, D).
    pub trajectory: Vec<f64>,
    /// σ of each state (K), in the units of the data.
    pub noise: Vec<f64>,
}

impl Estimated<'_> {
    /// The equations with standard errors.
    pub fn equations(&self) -> Vec<Equation> {
        equations(&self.rhs, &self.free, &self.quadratic)
    }
}

fn equations(rhs: &RightHandSide<'_>, free: &[Parameter], quadratic: &Quadratic) -> Vec<Equation> {
    let size = rhs.numerator.len();
    let mut errors = vec![None; 2 * size];
    for (i, p) in free.iter().enumerate() {
        let side = if p.denominator { size } else { 0 };
        errors[side + p.equation * rhs.library.len() + p.term] = Some(quadratic.standard_error(i));
    }
    rhs.equations(&errors)
}
