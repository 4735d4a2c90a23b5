//! The link functions around the combination of terms, with their derivatives.

use serde::{Deserialize, Serialize};

/// The function between the combination of terms and the right-hand side: u' = g(Θξ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// The right-hand side is the combination itself: u' = Θξ.
    #[default]
    Identity,
    /// A saturating right-hand side: u' = tanh(Θξ).
    Tanh,
    /// A periodic right-hand side, u' = sin(Θξ); the joint method needs |Θξ| mostly below π/2,
    /// where the sine can be inverted.
    Sin,
    /// The logistic function of the combination: u' = σ(Θξ) = 1 / (1 + exp(−Θξ)).
    Sigmoid,
    /// A ratio of two combinations: u' = Θξ / (1 + Θ₁ζ), where Θ₁ is Θ without its constant.
    Ratio,
}

/// The value of the link function G(a, b), where a = Θξ and b = Θ₁ζ, and its partial derivatives to
/// second order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Partials {
    pub value: f64,
    pub a: f64,
    pub b: f64,
    pub aa: f64,
    pub ab: f64,
    pub bb: f64,
}

impl Link {
    /// Returns the link's name in lower case, as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Link::Identity => "identity",
            Link::Tanh => "tanh",
            Link::Sin => "sin",
            Link::Sigmoid => "sigmoid",
            Link::Ratio => "ratio",
        }
    }

    /// Returns G and its derivatives; b matters only to [`Link::Ratio`], where G = a / (1 + b).
    pub(super) fn derivatives(self, a: f64, b: f64) -> Partials {
        let of_a = |value, a, aa| Partials { value, a, aa, ..Partials::default() };
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
                Partials { value: g, a: r, b: -g * r, aa: 0.0, ab: -r * r, bb: 2.0 * g * r * r }
            }
        }
    }
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
