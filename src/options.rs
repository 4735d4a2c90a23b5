//! What is solved: row families, weights, formulation.

use crate::error::{Error, Result};
use crate::real::Real;

/// Family of the rows that tie neighbouring time points together (module [`rows`](crate::rows)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smoothness {
    /// Forward and backward Taylor rows of every derivative below the top one (eqs. 8 and 9 of
    /// the paper).
    Taylor,
    /// The same with a row for the top derivative too, which is held constant over a step.
    #[default]
    TaylorHold,
    /// `Taylor`, with the top derivative tied to the central difference of the one below it;
    /// couples three neighbouring points.
    TaylorCentral,
}

impl Smoothness {
    /// All of them.
    pub const ALL: [Smoothness; 3] = [Self::Taylor, Self::TaylorHold, Self::TaylorCentral];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::TaylorHold => "taylor_hold",
            Self::TaylorCentral => "taylor_central",
        }
    }
}

/// How the overdetermined rows A z = β are reconciled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Formulation {
    /// z = argmin ½‖W(Az − β)‖².
    #[default]
    LeastSquares,
    /// One more unknown ε a system, which stands in every smoothness row:
    /// (z, ε) = argmin ½‖W(A(z, ε) − β)‖² − γ·α·ε (the paper's section 3.1).
    SharedSlack {
        /// Relaxation γ, as in the paper's G = γI.
        gamma: f64,
        /// Linear cost α of the slack.
        alpha: f64,
    },
}

/// Factor of each row family; a weight multiplies a row and its right-hand side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// w_e of the equation rows.
    pub equation: f64,
    /// w_i of the initial-value rows.
    pub initial: f64,
    /// w_s of the smoothness rows.
    pub smoothness: f64,
    /// w_p of the periodic rows.
    pub periodic: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights { equation: 1.0, initial: 1.0, smoothness: 1.0, periodic: 1.0 }
    }
}

/// How the triangular factor R of M = AᵀW²A = RᵀR is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factorization {
    /// `SquareRoot` in single precision, `Cholesky` in double.
    #[default]
    Auto,
    /// Of M. Fast, but M has the squared condition number of WA: in single precision the digits
    /// are gone on all but short or coarse grids.
    Cholesky,
    /// WA = QR by Householder reflections: R without forming M (the square-root information
    /// filter). Needs two to four times the arithmetic and keeps twice the digits.
    SquareRoot,
}

impl Factorization {
    /// All of them.
    pub const ALL: [Factorization; 3] = [Self::Auto, Self::Cholesky, Self::SquareRoot];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cholesky => "cholesky",
            Self::SquareRoot => "square_root",
        }
    }
}

/// Everything about a solve that is not data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Rows between neighbouring points.
    pub smoothness: Smoothness,
    /// Least squares or shared slack.
    pub formulation: Formulation,
    /// Row weights.
    pub weights: Weights,
    /// Whether the last point closes on the first: z\[0,k,j\] = z\[N−1,k,j\] for j < order.
    pub periodic: bool,
    /// Cholesky or square root.
    pub factorization: Factorization,
    /// Steps of iterative refinement of the solution, the adjoint and the tangent, with the
    /// residual β − Az in double precision; each recovers digits that the factor lacks, for about
    /// the cost of a substitution. `None`: one in double precision, three in single.
    pub refinement: Option<usize>,
}

impl Options {
    /// Steps of refinement of a solve in `T`.
    pub(crate) fn refinement_in<T: Real>(&self) -> usize {
        self.refinement.unwrap_or(if single::<T>() { 3 } else { 1 })
    }

    /// Whether a solve in `T` takes the square-root factorisation.
    pub(crate) fn square_root_in<T: Real>(&self) -> bool {
        match self.factorization {
            Factorization::Auto => single::<T>(),
            Factorization::Cholesky => false,
            Factorization::SquareRoot => true,
        }
    }

    /// Every weight must be finite and not negative, γ and α finite.
    pub(crate) fn check(&self) -> Result<()> {
        let weights = &self.weights;
        for (name, weight) in [
            ("weights.equation", weights.equation),
            ("weights.initial", weights.initial),
            ("weights.smoothness", weights.smoothness),
            ("weights.periodic", weights.periodic),
        ] {
            if !(weight.is_finite() && weight >= 0.0) {
                let message = format!("must be finite and not negative, got {weight}");
                return Err(Error::argument(name, message));
            }
        }
        if let Formulation::SharedSlack { gamma, alpha } = self.formulation {
            for (name, value) in [("gamma", gamma), ("alpha", alpha)] {
                if !value.is_finite() {
                    return Err(Error::argument(name, format!("must be finite, got {value}")));
                }
            }
        }
        Ok(())
    }
}

/// Whether `T` has fewer digits than `f64`.
fn single<T: Real>() -> bool {
    T::epsilon().to_double() > f64::EPSILON
}
