//! The coefficients that are to be found: one for every candidate term of every equation.

use super::link::Link;
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use crate::{Error, Result};

/// The place of one coefficient that is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// State whose equation the coefficient stands in.
    pub equation: usize,
    /// Number of its term in the library.
    pub term: usize,
    /// Whether the coefficient belongs to the denominator of a ratio.
    pub denominator: bool,
}

impl Parameter {
    /// Returns the coefficient in `rhs`, to be changed.
    pub fn value_mut<'r>(&self, rhs: &'r mut RightHandSide<'_>) -> &'r mut f64 {
        let place = self.equation * rhs.library.len() + self.term;
        if self.denominator { &mut rhs.denominator[place] } else { &mut rhs.numerator[place] }
    }

    /// Returns the coefficient's value in `rhs`.
    pub fn value(&self, rhs: &RightHandSide<'_>) -> f64 {
        let place = self.equation * rhs.library.len() + self.term;
        if self.denominator { rhs.denominator[place] } else { rhs.numerator[place] }
    }
}

/// A set of candidates with the values of their coefficients; the coefficients of all others are
/// zero.
#[derive(Clone, Debug)]
pub(super) struct Support {
    /// Indices of the candidates in [`Candidates::all`], sorted.
    pub kept: Vec<usize>,
    /// Coefficients of these candidates.
    pub coefficients: Vec<f64>,
}

/// All candidates, and which of them are in the equations now.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// Every candidate, sorted by equation (C).
    pub all: Vec<Parameter>,
    /// Reciprocal prior standard deviation of each coefficient (C).
    pub priors: Vec<f64>,
    /// Sorted indices in `all` of the coefficients that are now free (c); the others are zero.
    pub kept: Vec<usize>,
}

impl Candidates {
    /// Makes a list of candidates that are all free. `all` must be sorted by equation.
    pub fn new(all: Vec<Parameter>, priors: Vec<f64>) -> Self {
        Candidates { kept: (0..all.len()).collect(), all, priors }
    }

    /// Returns the free coefficients (c).
    pub fn free(&self) -> Vec<Parameter> {
        self.kept.iter().map(|&index| self.all[index]).collect()
    }

    /// Returns the values in `rhs` of the free coefficients (c).
    pub fn values(&self, rhs: &RightHandSide<'_>) -> Vec<f64> {
        self.kept.iter().map(|&index| self.all[index].value(rhs)).collect()
    }

    /// Returns the prior of each free coefficient (c).
    pub fn free_priors(&self) -> Vec<f64> {
        self.kept.iter().map(|&index| self.priors[index]).collect()
    }
}

/// Sets the known coefficients in `rhs` and returns the others, which are to be found, sorted by
/// equation.
///
/// # Errors
/// [`Error::Argument`] for a known coefficient of an unknown state or term.
pub(super) fn unknown_coefficients(
    rhs: &mut RightHandSide<'_>,
    settings: &Settings,
) -> Result<Vec<Parameter>> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut free = vec![true; k * l];
    for known in &settings.known {
        let state = rhs.library.variables()[..k].iter().position(|name| *name == known.state);
        let Some(equation) = state else {
            return Err(Error::argument("known", format!("there is no state `{}`", known.state)));
        };
        let Some(term) = rhs.library.position(&known.factors) else {
            let mut message = format!("the library has no term `{}`", known.factors.join(" "));
            let single = single_factors(&known.factors);
            if rhs.library.position(&single).is_some() {
                message += &format!("; its factors are {single:?}");
            }
            return Err(Error::argument("known", message));
        };
        free[equation * l + term] = false;
        rhs.numerator[equation * l + term] = known.coefficient;
    }
    let mut parameters = Vec::new();
    for equation in 0..k {
        let numerator = (0..l).filter(|term| free[equation * l + term]);
        parameters.extend(numerator.map(|term| Parameter { equation, term, denominator: false }));
        if rhs.links[equation] == Link::Ratio {
            parameters.extend((1..l).map(|term| Parameter { equation, term, denominator: true }));
        }
    }
    Ok(parameters)
}

/// Returns the factors that were meant by someone who wrote products and powers as in equations:
/// `["x^2 y"]` or `["x*x*y"]` for `["x", "x", "y"]`.
fn single_factors(factors: &[String]) -> Vec<String> {
    let mut single = Vec::new();
    for factor in factors.iter().flat_map(|text| text.split([' ', '*'])) {
        let power =
            factor.split_once('^').and_then(|(base, n)| Some((base, n.parse::<u8>().ok()?)));
        let (base, count) = power.unwrap_or((factor, 1));
        single.extend(std::iter::repeat_n(base.to_owned(), count.into()));
    }
    single.retain(|factor| !factor.is_empty());
    single
}
