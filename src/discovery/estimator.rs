//! The trait in which the methods differ: how an estimate is made with a given set of terms.

use super::candidates::Support;
use super::estimate::Estimate;
use super::information::Information;
use super::progress::Reporter;
use crate::Result;

/// An estimator: an estimate with some of the candidate terms, and the means to improve it.
///
/// Functions that return [`Error::Data`](crate::Error::Data) could not estimate with the terms
/// given; other terms may succeed.
pub(super) trait Estimator<'a>: Sized {
    /// Whether χ² is close enough to a quadratic function from the first estimate on: if so, sets
    /// of terms are compared first, unless the terms are known to suffice, and terms are eliminated one
    /// after the other only where no other set is better. If not, terms are eliminated before every
    /// comparison.
    const QUADRATIC: bool;

    /// Returns the present estimate.
    fn estimate(&self) -> &Estimate<'a>;

    /// Returns χ² as a function of all candidates' coefficients, about the present estimate; a term
    /// must be worth `penalty`. Returns `None` if that function says nothing about other sets of
    /// terms.
    fn information(
        &mut self,
        penalty: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<Option<Information>>;

    /// Frees exactly the terms of `support`, with the coefficients given there.
    fn take(&mut self, support: &Support) -> Result<()>;

    /// Improves the estimate with the present terms until it has converged, or gets nowhere.
    fn converge(&mut self, progress: &mut Reporter<'_, '_>) -> Result<()>;

    /// Estimates with the terms of `support` instead of the present ones. Returns by how much that
    /// lowers χ²; of what will not lower it by `least`, an estimate that has not converged is enough.
    fn exchange(
        &mut self,
        support: &Support,
        least: f64,
        progress: &mut Reporter<'_, '_>,
    ) -> Result<f64>;

    /// Returns to an earlier estimate.
    fn restore(&mut self, before: Estimate<'a>, progress: &mut Reporter<'_, '_>) -> Result<()>;

    /// Sharpens the estimate with the selected terms: less noise is assumed, where there is less,
    /// and smaller disturbances. Returns whether it became so much sharper that terms must be
    /// selected anew; the search goes on from sharpness to sharpness until it does not.
    fn sharpen(&mut self, progress: &mut Reporter<'_, '_>) -> Result<bool>;

    /// Returns the last estimate with the terms found, on the grid and in the units of the data.
    fn finish(self) -> Estimate<'a>;
}
