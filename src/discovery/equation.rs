//! The result of a discovery: equations, the trajectories that they explain, and warnings.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::link::Link;
use super::settings::Interpolation;

/// A term of an equation: a coefficient times the product of its factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Sorted names of the factors: states, inputs and the time `t` (repeated for powers), `sin(x)`,
    /// other expressions, or a user's term; empty for the constant.
    pub factors: Vec<String>,
    /// The coefficient, in the units of the data.
    pub coefficient: f64,
    /// One standard deviation of the coefficient; `None` where it was held fixed.
    pub standard_error: Option<f64>,
}

/// A governing equation: lhs = g(Σ terms), or lhs = Σ terms / (1 + Σ denominator) for a ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equation {
    /// The left-hand side: `x'`, or `x''` for order 2.
    pub lhs: String,
    /// The combination of terms, in the order of the library.
    pub terms: Vec<Term>,
    /// The function g around the combination of terms.
    #[serde(default)]
    pub link: Link,
    /// The terms that are added to 1 in the denominator; empty unless `link` is [`Link::Ratio`].
    #[serde(default)]
    pub denominator: Vec<Term>,
}

impl Equation {
    /// Returns whether two equations differ in their coefficients only.
    pub(super) fn has_same_terms(&self, other: &Equation) -> bool {
        let factors = |terms: &[Term]| -> BTreeSet<Vec<String>> {
            terms.iter().map(|term| term.factors.clone()).collect()
        };
        // What a link makes of nothing is nothing, but for the logistic function.
        let link = |equation: &Equation| match equation.link {
            Link::Ratio if equation.denominator.is_empty() => Link::Identity,
            Link::Tanh | Link::Sin if equation.terms.is_empty() => Link::Identity,
            link => link,
        };
        link(self) == link(other)
            && factors(&self.terms) == factors(&other.terms)
            && factors(&self.denominator) == factors(&other.denominator)
    }
}

/// A trajectory of the data as the equations that were found reproduce it, at M times.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fit {
    /// Times (M) of the fit: the data's times or a finer grid, in the data's unit of time.
    pub time: Vec<f64>,
    /// The estimated noise-free trajectory (M, K), row-major, in the units of the data.
    pub smoothed: Vec<f64>,
    /// The found equations integrated from the first smoothed state, and anew from the first one
    /// after a gap that splits the trajectory, (M, K), row-major, in the units of the data; NaN
    /// after a blow-up.
    pub simulated: Vec<f64>,
    /// The indices, ascending, of the points before which no line is drawn: those after a gap that
    /// splits the trajectory, and the first ones of the pieces that are taken of long data, but the very
    /// first.
    #[serde(default)]
    pub restarts: Vec<usize>,
}

impl Fit {
    /// Returns the ranges of points that are joined by lines.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.restarts.iter().copied().chain([self.time.len()]);
        ends.scan(0, |start, end| {
            let end = end.clamp(*start, self.time.len());
            Some(std::mem::replace(start, end)..end)
        })
    }
}

/// A model that was tried: candidate terms and link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// What distinguishes the model, in a few words, such as `degree 3`.
    pub model: String,
    /// The score of its equations, which is the smaller the better: −2 log likelihood of the data, up
    /// to a constant, plus the square of the threshold for each term. `None` where none were found.
    pub score: Option<f64>,
    /// Whether the data obey its equations without further disturbances, and what they leave is
    /// hardly more than the noise of the smoothed data.
    pub exact: bool,
    /// The error of its equations on stretches at the beginning and at the end of the trajectories,
    /// where each time the coefficients were estimated from the rest: the root mean square, in
    /// deviations of the states, of what they leave over one period; of several trajectories that
    /// are too short for that, whole ones were held out. The terms were chosen with all data. `None`
    /// where the choice did not depend on it, or nothing could be held out.
    #[serde(default)]
    pub held_out: Option<f64>,
    /// Number of terms.
    pub terms: usize,
    /// Whether its equations are the result.
    pub chosen: bool,
    /// Whether the search with it was ended before its time, because there is a limit to the work
    /// of one model among many: its equations are then those that it had come to. Or its error on
    /// data held out would have taken too long; then it is not preferred to a simpler one.
    #[serde(default)]
    pub cut_short: bool,
    /// Why no equations were found with it; empty if some were.
    #[serde(default)]
    pub failure: String,
}

/// A measured value that hardly counts in a robust search, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DownWeighted {
    /// Number of the trajectory, counted from 1.
    pub trajectory: usize,
    /// Number of the row in it, counted from 1.
    pub row: usize,
    /// Name of the state.
    pub state: String,
    /// The value.
    pub value: f64,
    /// Its weight beside that of other values, which is 1: at most 1/4, and 0 where it was left out.
    pub weight: f64,
}

/// The result of [`discover`](super::discover): equations, and how well they explain the data.
///
/// The JSON of `mnn discover --format json` can be read as a `Discovery` without fits. JSON has no
/// NaN, so that fits with a blow-up need another format.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Discovery {
    /// Names of the K states: those with data, then the hidden ones.
    pub states: Vec<String>,
    /// Names of the hidden states, which have no data: the last of `states`.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// Names of the inputs, which have no equations.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The course of each input between its values.
    #[serde(default)]
    pub interpolation: Vec<Interpolation>,
    /// Order of the equations: 1 or 2.
    pub order: usize,
    /// The equations (K), one for each state.
    pub equations: Vec<Equation>,
    /// The correlations (n, n) of the errors of the coefficients that were estimated, row-major, in
    /// the order in which they stand in the equations: of each its terms, then its denominator.
    #[serde(skip)]
    pub correlations: Vec<f64>,
    /// The fits, one for each trajectory of the data.
    #[serde(default)]
    pub fits: Vec<Fit>,
    /// Estimated standard deviation of the noise of each state with data, in the state's unit. Where the
    /// noise clearly grows with the values, which then count by their own, it is the root mean square.
    #[serde(default)]
    pub noise: Vec<f64>,
    /// The fraction of the variance of each state with data that the simulated trajectories explain,
    /// R²: at most 1, and below 0 where the mean would be better; NaN where a trajectory blows up. Long
    /// trajectories of chaotic systems are not reproduced even by the right equations.
    #[serde(skip)]
    pub explained: Vec<f64>,
    /// The values that hardly count, by trajectory and row; none unless the search is robust.
    #[serde(default)]
    pub down_weighted: Vec<DownWeighted>,
    /// The models that were tried, in this order.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// What the reader of the equations must know, in words: columns and rows that do not fit,
    /// undecidable terms, disturbances, a poor fit, blow-ups.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_the_program_can_be_read() {
        let json = r#"{"states": ["x"], "order": 1, "equations": [{"lhs": "x'", "link": "tanh",
            "terms": [{"factors": [], "coefficient": 0.5, "standard_error": null}]}]}"#;
        let discovery: Discovery = serde_json::from_str(json).unwrap();
        let equation = &discovery.equations[0];
        assert_eq!((equation.link, equation.denominator.len()), (Link::Tanh, 0));
        assert_eq!(equation.to_string(), "x' = tanh(0.5)");
        let again = serde_json::to_string(&discovery).unwrap();
        let again: Discovery = serde_json::from_str(&again).unwrap();
        assert_eq!(again.equations, discovery.equations);
    }
}
