//! The settings of a search for equations.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::link::Link;
use super::notation::product;
use crate::{Device, Error, Result};

/// The method by which equations are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Trajectory and coefficients are estimated together by Gauss-Newton; terms are selected by
    /// standard error.
    #[default]
    Joint,
    /// The method of the paper's section 5.1: a network feeds the basis functions, and the ODE
    /// solver closes the loss.
    Network,
}

type Value = dyn Fn(&[f64]) -> f64 + Send + Sync;
type Gradient = dyn Fn(&[f64], &mut [f64]) + Send + Sync;

/// A candidate function of the caller's own, with its gradient.
#[derive(Clone)]
pub struct UserTerm {
    /// Name of the function in equations, e.g. `exp(-x)`.
    pub name: String,
    /// The function θ(state), where the state has A entries: the K states, for order 2 then their K
    /// derivatives, then the inputs of the data, and the time where other terms have it.
    pub value: Arc<Value>,
    /// The gradient of the function, which writes ∂θ/∂state (A entries) into the second argument;
    /// what it leaves alone is zero. [`discover`](super::discover) refuses one that differences of
    /// `value` contradict.
    pub gradient: Arc<Gradient>,
}

impl UserTerm {
    /// Writes ∂θ/∂state (A) into `out`: zero where the caller's function writes nothing.
    pub(super) fn write_gradient(&self, state: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        (self.gradient)(state, out);
    }
}

impl fmt::Debug for UserTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserTerm").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A coefficient that is known and held fixed.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTerm {
    /// Name of the state whose equation has the term.
    pub state: String,
    /// The term's factors in any order, as in [`Term::factors`](super::Term::factors): x² is
    /// `["x", "x"]` (or the expression `["x^2"]`), a term of one's own is one factor, and order 2 has
    /// the velocities `x'`.
    pub factors: Vec<String>,
    /// The value of the coefficient, in the units of the data; zero excludes the term.
    pub coefficient: f64,
}

/// A term of one equation, whose coefficient is to obey a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermName {
    /// Name of the state whose equation has the term.
    pub state: String,
    /// The term's factors, as in [`KnownTerm::factors`].
    pub factors: Vec<String>,
}

/// Two coefficients that are equal, or opposite, and estimated as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EqualTerms {
    /// The one term.
    pub first: TermName,
    /// The other term, in the same equation or another one.
    pub second: TermName,
    /// Whether the coefficients are opposite instead of equal.
    pub opposite: bool,
}

/// The course of an input between its measured values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A straight line from value to value.
    #[default]
    Linear,
    /// Each value holds until the next, as that of a switch does.
    Hold,
}

impl KnownTerm {
    /// Returns whether both are the coefficient of the same term of the same equation.
    fn same_term(&self, other: &KnownTerm) -> bool {
        let sorted = |term: &KnownTerm| {
            let mut factors = term.factors.clone();
            factors.sort_unstable();
            factors
        };
        self.state == other.state && sorted(self) == sorted(other)
    }
}

/// The settings of [`discover`](super::discover); start from `Settings::default()`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The method by which the equations are found; by default the joint one.
    pub method: Method,
    /// Order of the equations: 1 for u' = …, 2 for u'' = … (whose terms may contain u'); by
    /// default 1.
    pub order: usize,
    /// Whether candidate terms and link are chosen by the data, from a ladder of models that begins
    /// with polynomials, instead of by `degree`, `sine_cosine` and `link`; by default not. Inputs
    /// occur in every model of the ladder. Terms of one's own, `explicit_time` and constraints
    /// belong to a given model, and are refused.
    pub automatic: bool,
    /// Highest total degree of the monomials; by default 2.
    pub degree: usize,
    /// Number of hidden states: states without data, which are added to the equations; by default
    /// none. Hidden states are known only up to a change of variables, so that they are defined as
    /// derivatives: `hidden1` is that of the first state, x' = hidden1, `hidden2` that of the second,
    /// and so on; after those of all states with data that of `hidden1`, at most two for each
    /// state with data. What is found are the equations of the others and of the last hidden states.
    /// The warnings of the result name hidden states that cannot be identified: without which the data
    /// are explained as well, or whose equation the data do not obey; where the data obey only the
    /// equations without one, the search fails. Only the joint method can, for order 1 and a given
    /// model.
    pub hidden: usize,
    /// Whether sin and cos of each state are candidates too; by default not.
    pub sine_cosine: bool,
    /// Whether the time `t` occurs in the monomials like a state; by default not.
    pub explicit_time: bool,
    /// Further candidate terms as expressions of states, velocities (`x'`), inputs and the time `t`:
    /// `exp(-x)`, `x/(1 + y^2)`, `sin(2*pi*t)`. There are + − * / ^, parentheses, numbers, `pi`, and
    /// the functions abs, atan, cos, cosh, exp, log, sin, sinh, sqrt, tan, tanh. A name with other
    /// characters than letters, digits and underscores stands in backquotes.
    pub terms: Vec<String>,
    /// Further candidate terms as functions.
    pub user_terms: Vec<UserTerm>,
    /// The function around the combination of terms; by default the identity.
    pub link: Link,
    /// A term stays where the fit without it is at least as much worse as for a coefficient that is so
    /// many standard errors away from zero; by default 5.
    pub threshold: f64,
    /// Whether values that do not belong to the motion are kept from spoiling the result; by default
    /// they are only named in the warnings. Those that lie far from their neighbors, such as
    /// readings that fell to zero, are then left out, and of the others those count less that the
    /// equations leave far away (Huber weights). [`Discovery::down_weighted`](super::Discovery) has
    /// those that hardly count. Only the joint method can.
    pub robust: bool,
    /// Grid steps per sampling interval; `None` chooses them from the data.
    pub grid_refinement: Option<usize>,
    /// The most rows of all trajectories together that the search takes, at least
    /// [`Settings::LEAST_POINTS`]; by default 20 000. Of longer data it takes averages of rows, where
    /// values are measured much faster than they change (of a robust search, or with inputs, it takes
    /// single rows), and of what are still too many pieces that are spread evenly. A warning says so.
    pub max_points: usize,
    /// Coefficients held fixed.
    pub known: Vec<KnownTerm>,
    /// Terms whose coefficients must not be negative. One that the data would make negative is held
    /// at zero, with a warning.
    pub positive: Vec<TermName>,
    /// Terms whose coefficients must not be positive.
    pub negative: Vec<TermName>,
    /// Coefficients that are equal or opposite: they are one unknown, and their terms stay or go
    /// together.
    pub equal: Vec<EqualTerms>,
    /// The course of the data's inputs between their values; `None` takes steps for an input that
    /// mostly repeats the value before, as a switch does, and straight lines for others.
    pub interpolation: Option<Interpolation>,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Device on which the network method trains and solves; the joint method runs on the CPU.
    pub device: Device,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            method: Method::Joint,
            order: 1,
            automatic: false,
            degree: 2,
            hidden: 0,
            sine_cosine: false,
            explicit_time: false,
            terms: Vec::new(),
            user_terms: Vec::new(),
            link: Link::Identity,
            threshold: 5.0,
            robust: false,
            grid_refinement: None,
            max_points: 20_000,
            known: Vec::new(),
            positive: Vec::new(),
            negative: Vec::new(),
            equal: Vec::new(),
            interpolation: None,
            seed: 0,
            device: Device::Cpu,
        }
    }
}

impl Settings {
    /// The smallest [`max_points`](Self::max_points).
    pub const LEAST_POINTS: usize = 100;

    /// Returns whether some coefficients are known or constrained.
    pub(super) fn is_constrained(&self) -> bool {
        !(self.known.is_empty()
            && self.positive.is_empty()
            && self.negative.is_empty()
            && self.equal.is_empty())
    }

    /// Returns whether there are terms of the caller's own, or with the time.
    fn has_own_terms(&self) -> bool {
        self.explicit_time || !self.terms.is_empty() || !self.user_terms.is_empty()
    }

    /// Returns whether equations about an offset can be multiplied out, as far as the settings tell:
    /// whether the candidates are not the caller's own and no coefficient is constrained.
    pub(super) fn is_translatable(&self) -> bool {
        self.terms.is_empty() && self.user_terms.is_empty() && !self.is_constrained()
    }

    /// Checks everything that can be checked without the data.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        let refuse = |argument: &str, message: String| Err(Error::argument(argument, message));
        if !(1..=2).contains(&self.order) {
            return refuse("order", format!("must be 1 or 2, got {}", self.order));
        }
        if !(self.threshold.is_finite() && self.threshold >= 0.0) {
            return refuse("threshold", format!("must be finite and ≥ 0, got {}", self.threshold));
        }
        if self.grid_refinement == Some(0) {
            return refuse("grid_refinement", "must be at least 1, got 0".into());
        }
        if self.max_points < Self::LEAST_POINTS {
            let (least, points) = (Self::LEAST_POINTS, self.max_points);
            return refuse("max_points", format!("must be at least {least}, got {points}"));
        }
        for term in &self.user_terms {
            if term.name.trim().is_empty() {
                return refuse("user_terms", "a term has an empty name".into());
            }
        }
        for (index, known) in self.known.iter().enumerate() {
            if self.known[..index].iter().any(|earlier| earlier.same_term(known)) {
                let (term, state) = (product(&known.factors), &known.state);
                return refuse(
                    "known",
                    format!("the coefficient of `{term}` in {state}' is given twice"),
                );
            }
            if !known.coefficient.is_finite() {
                return refuse(
                    "known",
                    format!(
                        "the coefficient of `{}` in {}' must be finite, got {}",
                        product(&known.factors),
                        known.state,
                        known.coefficient
                    ),
                );
            }
        }
        if self.method == Method::Network && !self.equal.is_empty() {
            let message = "only the joint method can estimate several coefficients as one";
            return refuse("equal", message.into());
        }
        if self.method == Method::Network && self.robust {
            let message = "only the joint method can weigh outliers down; the network method weighs \
                           all values alike";
            return refuse("robust", message.into());
        }
        if self.hidden > 0 {
            self.validate_hidden()?;
        }
        if self.automatic && self.method == Method::Network {
            let message = "the network method takes one model, the joint method chooses among many";
            return refuse("automatic", message.into());
        }
        if self.automatic && (self.has_own_terms() || self.is_constrained()) {
            let message = "terms of one's own, the time in the monomials and constraints belong to \
                           a given model, which the data do not choose";
            return refuse("automatic", message.into());
        }
        if self.method == Method::Joint && !matches!(self.device, Device::Cpu) {
            let message = "the joint method runs on the CPU, the network method on any device";
            return refuse("device", format!("{message}; got {}", self.device));
        }
        Ok(())
    }

    /// Checks that hidden states suit the other settings.
    fn validate_hidden(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::argument("hidden", message));
        if self.method == Method::Network {
            return refuse("only the joint method can find states without data");
        }
        if self.order == 2 {
            let message = "order 2 already has the derivative of each state as a state; hidden states \
                           are for order 1";
            return refuse(message);
        }
        if self.automatic {
            let message = "hidden states belong to a given model, which the data do not choose";
            return refuse(message);
        }
        match self.degree {
            0 => refuse(
                "hidden states must occur in the terms: the degree must be at least 1, got 0",
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_setting_is_named() {
        let message = |settings: Settings| settings.validate().unwrap_err().to_string();
        let base = Settings::default;
        assert_eq!(message(Settings { order: 3, ..base() }), "order: must be 1 or 2, got 3");
        assert!(message(Settings { threshold: -1.0, ..base() }).starts_with("threshold: "));
        assert!(message(Settings { threshold: f64::NAN, ..base() }).starts_with("threshold: "));
        assert!(
            message(Settings { grid_refinement: Some(0), ..base() })
                .starts_with("grid_refinement: ")
        );
        assert_eq!(
            message(Settings { max_points: 99, ..base() }),
            "max_points: must be at least 100, got 99"
        );
        let robust = Settings { robust: true, method: Method::Network, ..base() };
        assert!(message(robust).starts_with("robust: only the joint method"));
        let known = KnownTerm { state: "x".into(), factors: vec![], coefficient: f64::INFINITY };
        assert!(message(Settings { known: vec![known], ..base() }).starts_with("known: "));
        let known = |state: &str, factors: [&str; 2]| KnownTerm {
            state: state.into(),
            factors: factors.map(String::from).to_vec(),
            coefficient: 1.0,
        };
        let known = vec![known("x", ["x", "y"]), known("y", ["x", "y"]), known("x", ["y", "x"])];
        let twice = message(Settings { known: known.clone(), ..base() });
        assert_eq!(twice, "known: the coefficient of `x y` in x' is given twice");
        assert!(Settings { known: known[..2].to_vec(), ..base() }.validate().is_ok());
    }
}
