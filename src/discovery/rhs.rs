//! The right-hand side of the equations with its coefficients.

use super::{Equation, Library, Link, Settings, Term};

/// u^(order) = g(Θξ), or Θξ / (1 + Θ₁ζ), for K states.
#[derive(Clone, Debug)]
pub struct RightHandSide<'a> {
    /// Θ with L terms.
    pub library: &'a Library,
    /// 1 or 2.
    pub order: usize,
    /// g.
    pub link: Link,
    /// ξ: (K, L).
    pub numerator: Vec<f64>,
    /// ζ: (K, L) with zeros for the constant; all zero unless the link is a ratio.
    pub denominator: Vec<f64>,
}

impl<'a> RightHandSide<'a> {
    /// All coefficients zero.
    #[must_use]
    pub fn new(library: &'a Library, settings: &Settings) -> Self {
        let states = library.variables().len() / settings.order;
        let zeros = vec![0.0; states * library.len()];
        RightHandSide {
            library,
            order: settings.order,
            link: settings.link,
            numerator: zeros.clone(),
            denominator: zeros,
        }
    }

    /// K.
    #[must_use]
    pub fn states(&self) -> usize {
        self.library.variables().len() / self.order
    }

    /// Left-hand side of a state's equation: `x'` or `x''`.
    #[must_use]
    pub fn lhs(&self, state: usize) -> String {
        format!("{}{}", self.library.variables()[state], "'".repeat(self.order))
    }

    /// The first-order form: derivative of `state` (D = order · K entries: u, for order 2 then u').
    /// `terms` (L) is scratch and holds θ(state) afterwards.
    pub fn derivative(&self, state: &[f64], terms: &mut [f64], derivative: &mut [f64]) {
        let (k, l) = (self.states(), self.library.len());
        self.library.values(state, terms);
        let (kinematic, dynamic) = derivative.split_at_mut(state.len() - k);
        if self.order == 2 {
            kinematic.copy_from_slice(&state[k..]);
        }
        for (i, out) in dynamic.iter_mut().enumerate() {
            let a = dot(&self.numerator[i * l..][..l], terms);
            let b = dot(&self.denominator[i * l..][..l], terms);
            *out = self.link.derivatives(a, b).value;
        }
    }

    /// The equations, a term for every nonzero coefficient, in the order of the library.
    ///
    /// `standard_errors` holds those of the numerator (K, L), then of the denominator (K, L); empty
    /// where the method has none.
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
                link: self.link,
                denominator: terms(&self.denominator[i * l..][..l], (k + i) * l),
            })
            .collect()
    }
}

/// G(a, b) with a = Θξ, b = Θ₁ζ, and its partial derivatives to second order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkDerivatives {
    pub value: f64,
    pub a: f64,
    pub b: f64,
    pub aa: f64,
    pub ab: f64,
    pub bb: f64,
}

impl Link {
    /// G and its derivatives; b matters only to [`Link::Ratio`], G = a / (1 + b).
    pub(crate) fn derivatives(self, a: f64, b: f64) -> LinkDerivatives {
        let of_a = |value, a, aa| LinkDerivatives { value, a, aa, ..LinkDerivatives::default() };
        match self {
            Link::Identity => of_a(a, 1.0, 0.0),
            Link::Tanh => {
                let g = a.tanh();
                let slope = 1.0 - g * g;
                of_a(g, slope, -2.0 * g * slope)
            }
            Link::Sin => of_a(a.sin(), a.cos(), -a.sin()),
            Link::Sigmoid => {
                let g = 1.0 / (1.0 + (-a).exp());
                let slope = g * (1.0 - g);
                of_a(g, slope, slope * (1.0 - 2.0 * g))
            }
            Link::Ratio => {
                let r = 1.0 / (1.0 + b);
                let g = a * r;
                LinkDerivatives {
                    value: g,
                    a: r,
                    b: -g * r,
                    aa: 0.0,
                    ab: -r * r,
                    bb: 2.0 * g * r * r,
                }
            }
        }
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_derivatives_agree_with_central_differences() {
        let h = 1e-5;
        for link in [Link::Identity, Link::Tanh, Link::Sin, Link::Sigmoid, Link::Ratio] {
            for (a, b) in [(0.3, 0.5), (-1.7, 0.2), (2.1, -0.6)] {
                let g = link.derivatives(a, b);
                let (pa, ma) = (link.derivatives(a + h, b), link.derivatives(a - h, b));
                let (pb, mb) = (link.derivatives(a, b + h), link.derivatives(a, b - h));
                let pairs = [
                    (g.a, pa.value - ma.value),
                    (g.b, pb.value - mb.value),
                    (g.aa, pa.a - ma.a),
                    (g.ab, pb.a - mb.a),
                    (g.bb, pb.b - mb.b),
                ];
                for (exact, difference) in pairs {
                    let numeric = difference / (2.0 * h);
                    assert!((exact - numeric).abs() < 1e-7, "{link:?}: {exact} {numeric}");
                }
            }
        }
    }
}
