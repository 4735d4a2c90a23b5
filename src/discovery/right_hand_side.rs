//! The right-hand side of the equations with its coefficients.

use super::dense::dot;
use super::equation::{Equation, Term};
use super::library::Library;
use super::link::Link;
use super::notation::product;
use super::settings::Settings;
use crate::{Error, Result};

/// The right-hand side with its coefficients: u^(order) = g(Θξ), or Θξ / (1 + Θ₁ζ), for K states.
#[derive(Clone, Debug)]
pub struct RightHandSide<'a> {
    /// The library Θ with its L terms.
    pub library: &'a Library,
    /// The order of the equations, 1 or 2.
    pub order: usize,
    /// The function g around the combination of terms of each equation (K).
    pub links: Vec<Link>,
    /// The coefficients ξ (K, L), row-major, in the units of the data.
    pub numerator: Vec<f64>,
    /// The coefficients ζ of the denominator (K, L), row-major, with zeros for the constant; all
    /// zero unless the link is a ratio.
    pub denominator: Vec<f64>,
}

impl<'a> RightHandSide<'a> {
    /// Makes a right-hand side whose coefficients are all zero. `library` must have been made with
    /// settings of the same order.
    #[must_use]
    pub fn new(library: &'a Library, settings: &Settings) -> Self {
        let states = library.variables().len() / settings.order;
        let zeros = vec![0.0; states * library.len()];
        RightHandSide {
            library,
            order: settings.order,
            links: vec![settings.link; states],
            numerator: zeros.clone(),
            denominator: zeros,
        }
    }

    /// Rebuilds the right-hand side that these equations write out, one for each state in the order
    /// of the library's variables. Where an equation has a term several times, its coefficients add.
    ///
    /// # Errors
    /// [`Error::Argument`] when a setting is impossible, their number is not that of the states,
    /// a term is not in the library, or one that is no ratio has a denominator.
    pub fn from_equations(
        library: &'a Library,
        settings: &Settings,
        equations: &[Equation],
    ) -> Result<Self> {
        settings.validate()?;
        let mut rhs = RightHandSide::new(library, settings);
        let refuse = |message: String| Err(Error::argument("equations", message));
        if equations.len() != rhs.states() {
            return refuse(format!("expected {}, got {}", rhs.states(), equations.len()));
        }
        let l = library.len();
        for (i, equation) in equations.iter().enumerate() {
            if equation.link != Link::Ratio && !equation.denominator.is_empty() {
                let link = equation.link.name();
                return refuse(format!("{}: a denominator, but the link is {link}", equation.lhs));
            }
            rhs.links[i] = equation.link;
            let parts = [
                (&equation.terms, &mut rhs.numerator),
                (&equation.denominator, &mut rhs.denominator),
            ];
            for (terms, coefficients) in parts {
                for term in terms {
                    let Some(j) = library.position(&term.factors) else {
                        let name = product(&term.factors);
                        return refuse(format!("the library has no term `{name}`"));
                    };
                    coefficients[i * l + j] += term.coefficient;
                }
            }
        }
        Ok(rhs)
    }

    /// Returns the number K of states.
    #[must_use]
    pub fn states(&self) -> usize {
        self.library.variables().len() / self.order
    }

    /// Returns the left-hand side of a state's equation: `x'` or `x''`.
    #[must_use]
    pub fn lhs(&self, state: usize) -> String {
        format!("{}{}", self.library.variables()[state], "'".repeat(self.order))
    }

    /// Evaluates the first-order form: writes the derivative (D) of the variables (D = order · K
    /// entries: u, for order 2 then u') into `derivative`. `state` (A) are the variables, then the
    /// inputs.
    /// `terms` (L) is scratch and holds θ(state) afterwards.
    pub fn derivative(&self, state: &[f64], terms: &mut [f64], derivative: &mut [f64]) {
        let (k, l) = (self.states(), self.library.len());
        self.library.values(state, terms);
        let (kinematic, dynamic) = derivative.split_at_mut(derivative.len() - k);
        if self.order == 2 {
            kinematic.copy_from_slice(&state[k..2 * k]);
        }
        for (i, out) in dynamic.iter_mut().enumerate() {
            let a = dot(&self.numerator[i * l..][..l], terms);
            let b = dot(&self.denominator[i * l..][..l], terms);
            *out = self.links[i].derivatives(a, b).value;
        }
    }

    /// Lists the K equations, with a term for every nonzero coefficient in the library's order.
    ///
    /// `standard_errors` holds the standard errors of the numerator's coefficients (K, L), then
    /// those of the denominator's (K, L); it is empty where the method has none.
    #[must_use]
    pub fn equations(&self, standard_errors: &[Option<f64>]) -> Vec<Equation> {
        let (k, l) = (self.states(), self.library.len());
        let terms = |coefficients: &[f64], offset: usize| -> Vec<Term> {
            let nonzero = coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0);
            nonzero
                .map(|(j, c)| Term {
                    factors: self.library.factors(j).to_vec(),
                    coefficient: *c,
                    standard_error: standard_errors.get(offset + j).copied().flatten(),
                })
                .collect()
        };
        (0..k)
            .map(|i| Equation {
                lhs: self.lhs(i),
                terms: terms(&self.numerator[i * l..][..l], i * l),
                link: self.links[i],
                denominator: terms(&self.denominator[i * l..][..l], (k + i) * l),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_read_as_they_were_written() {
        let states = ["x".to_owned(), "y".to_owned()];
        let settings = Settings { link: Link::Ratio, ..Settings::default() };
        let library = Library::new(&states, &settings).unwrap();
        let mut rhs = RightHandSide::new(&library, &settings);
        (rhs.numerator[1], rhs.numerator[8], rhs.denominator[4]) = (2.0, -1.5, 0.5);
        let equations = rhs.equations(&[]);
        let again = RightHandSide::from_equations(&library, &settings, &equations).unwrap();
        assert_eq!(again.numerator, rhs.numerator);
        assert_eq!(again.denominator, rhs.denominator);

        let refused = |settings: &Settings, equations: &[Equation]| {
            RightHandSide::from_equations(&library, settings, equations).unwrap_err().to_string()
        };
        assert_eq!(refused(&settings, &equations[..1]), "equations: expected 2, got 1");
        let mut linear = equations.clone();
        linear[0].link = Link::Identity;
        let message = refused(&settings, &linear);
        assert_eq!(message, "equations: x': a denominator, but the link is identity");
        let mut unknown = equations;
        unknown[1].terms[0].factors = vec!["z".into()];
        let message = refused(&settings, &unknown);
        assert_eq!(message, "equations: the library has no term `z`");
    }
}
