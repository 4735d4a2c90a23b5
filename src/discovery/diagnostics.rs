//! What the reader must know about the result, in words.

use super::dense::eigen;
use super::search::Search;
use super::selection::{Quadratic, Rival};
use super::{Equation, Fit};

/// Terms that others could stand in for: exchanging them costs less than `penalty` in χ².
pub(super) fn undecided(
    search: &Search<'_>,
    rivals: &[Rival],
    all: &Quadratic,
    penalty: f64,
) -> Vec<String> {
    let library = search.estimate.rhs.library;
    let name = |index: usize| match library.factors(search.all[index].term) {
        [] => "1".to_string(),
        factors => factors.join(" "),
    };
    let close: Vec<&Rival> = rivals.iter().filter(|rival| rival.score < penalty).collect();
    if close.is_empty() {
        return Vec::new();
    }
    let lines = close.iter().map(|rival| {
        let lhs = &search.estimate.rhs.lhs(search.all[rival.without].equation);
        format!(
            "the data hardly decide between `{}` and `{}` in {lhs}: exchanging them changes χ² by \
             {:.1}, and {penalty:.0} would decide",
            name(rival.without),
            name(rival.with),
            rival.score
        )
    });
    let mut warnings: Vec<String> = lines.collect();
    warnings.push(format!(
        "the candidate terms are correlated (condition number {:.0e}): fewer candidates, less \
         noise, or trajectories from other initial values would help",
        condition_number(all)
    ));
    warnings
}

/// Ratio of the largest to the smallest eigenvalue of the coefficients' correlation matrix.
fn condition_number(quadratic: &Quadratic) -> f64 {
    let n = quadratic.coefficients.len();
    let error = |j: usize| quadratic.standard_error(j);
    let correlation: Vec<f64> =
        (0..n * n).map(|at| quadratic.covariance[at] / (error(at / n) * error(at % n))).collect();
    let (values, _) = eigen(correlation, n);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    // Rounding leaves no smaller eigenvalue than this.
    largest / smallest.max(f64::EPSILON * largest)
}

/// The covariance of all terms is singular.
pub(super) fn singular() -> String {
    "some candidate terms are combinations of others on these data, so other equations fit equally \
     well: fewer candidates or trajectories from other initial values would help"
        .into()
}

/// A stiffer equation does not fit.
pub(super) fn inexact() -> String {
    "no equation with these terms fits the data exactly: small random disturbances of the states \
     were allowed for"
        .into()
}

/// Equations that lost all their terms.
pub(super) fn empty(equations: &[Equation]) -> Vec<String> {
    let empty = equations.iter().filter(|equation| equation.terms.is_empty());
    empty.map(|equation| format!("no term of {} is significant", equation.lhs)).collect()
}

/// Simulations that leave all bounds.
pub(super) fn blow_ups(fits: &[Fit], states: usize) -> Vec<String> {
    let warning = |(index, fit): (usize, &Fit)| {
        let row = fit.simulated.iter().position(|x| x.is_nan())? / states;
        Some(format!(
            "simulated from its first point, trajectory {} blows up at time {}",
            index + 1,
            fit.time[row]
        ))
    };
    fits.iter().enumerate().filter_map(warning).collect()
}
