//! The work that one of many searches may do. It is counted, and not measured as time, so that the
//! results do not depend on the machine.

use std::cell::Cell;
use std::rc::Rc;

use crate::{Error, Result};

/// The work at one point that does not grow with the unknowns, and that which grows with their
/// number, in units of that which grows with their square: at most about a nanosecond (measured).
const POINT: f64 = 1000.0;
const UNKNOWN: f64 = 120.0;
/// The work at one point of an evaluation of the cost, and that of each term.
const EVALUATION: f64 = 500.0;
const TERM: f64 = 40.0;
/// What finding a set of terms counts as, in units of the fourth power of their number: more than the
/// work that it is, because large sets say little and are not worth long searches.
const COMPARISON: f64 = 5.0;

/// The work that is left, in units of at most about a nanosecond; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget(Rc<Cell<f64>>);

impl Budget {
    pub fn new(work: f64) -> Self {
        Budget(Rc::new(Cell::new(work)))
    }

    pub fn is_spent(&self) -> bool {
        self.0.get() <= 0.0
    }

    /// Checks that the work of this many linearizations can be done; if not, the budget is spent.
    ///
    /// # Errors
    /// [`Error::Data`] if it cannot.
    pub fn check(&self, linearizations: f64, points: usize, unknowns: usize) -> Result<()> {
        if linearizations * work(points, unknowns) <= self.0.get() {
            return Ok(());
        }
        self.0.set(0.0);
        Err(Error::Data("not tried, because it would take too long".into()))
    }

    /// Takes work that has been done already, even if that is more than was left.
    pub fn spend(&self, work: f64) {
        self.0.set(self.0.get() - work);
    }

    /// Takes this work.
    ///
    /// # Errors
    /// [`Error::Data`] if the budget is spent.
    pub fn take(&self, work: f64) -> Result<()> {
        self.spend(work);
        match self.is_spent() {
            true => Err(Error::Data("given up, because the search takes too long".into())),
            false => Ok(()),
        }
    }
}

/// Returns the work of one linearization.
pub(super) fn work(points: usize, unknowns: usize) -> f64 {
    let unknowns = unknowns as f64;
    points as f64 * (POINT + UNKNOWN * unknowns + unknowns * unknowns)
}

/// Returns the work of one evaluation of the cost with so many terms.
pub(super) fn evaluation(points: usize, terms: usize) -> f64 {
    points as f64 * (EVALUATION + TERM * terms as f64)
}

/// Returns the work that finding a set of so many terms counts as.
pub(super) fn comparison(terms: usize) -> f64 {
    COMPARISON * (terms as f64).powi(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_is_left() {
        let budget = Budget::new(23_000.0);
        budget.check(2.0, 5, 10).unwrap();
        budget.clone().take(work(5, 10)).unwrap();
        let refused = budget.check(2.0, 5, 10).unwrap_err().to_string();
        assert_eq!(refused, "not tried, because it would take too long");
        assert!(budget.is_spent());
        let budget = Budget::new(23_000.0);
        budget.clone().take(work(5, 10)).unwrap();
        assert!(budget.clone().take(work(5, 10)).is_err() && budget.is_spent());
        Budget::new(f64::INFINITY).check(1e9, 1_000_000, 1000).unwrap();
    }
}
