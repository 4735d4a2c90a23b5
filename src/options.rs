//! What is solved: row families, weights, formulation.

use crate::error::{Error, Result};
use crate::real::Real;

/// Family of the rows that tie neighboring time points together (module [`rows`](crate::rows)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smoothness {
    /// Forward and backward Taylor rows of every derivative below the top one (eqs. 8 and 9 of
    /// the paper).
    Taylor,
    /// The same with a row for the top derivative too, which is held constant over a step.
    TaylorHold,
    /// `Taylor`, with the top derivative tied to the central difference of the one below it;
    /// couples three neighboring points.
    TaylorCentral,
    /// Two-point Hermite (Padé) rows. Of fourth order if the solution carries more derivatives
    /// than the equation has ([`Problem::builder`](crate::Problem::builder)): one more if the
    /// steps are equal or change gradually, two more if they jump. Of second order without, and
    /// with one more where steps jump.
    #[default]
    Hermite,
}

impl Smoothness {
    /// All of them.
    pub const ALL: [Smoothness; 4] =
        [Self::Taylor, Self::TaylorHold, Self::TaylorCentral, Self::Hermite];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::TaylorHold => "taylor_hold",
            Self::TaylorCentral => "taylor_central",
            Self::Hermite => "hermite",
        }
    }
}

/// Whether equation and initial rows are made dimensionless, as the smoothness rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowScaling {
    /// `Balanced` for Hermite rows, which agree with the equation, so that the scale of a row
    /// hardly changes the solution but much improves the condition of A; `Unit` for Taylor rows,
    /// which compete with the equation, so that the weights are part of the published method.
    #[default]
    Auto,
    /// Rows as they stand.
    Unit,
    /// With the mean step ℓ at the row's point, equation rows are multiplied by ℓ^m (m the order
    /// of the equation) and initial rows of derivative j by ℓ^j; right-hand sides too. The result
    /// no longer depends on the unit of time, for leading coefficients without one.
    Balanced,
}

impl RowScaling {
    /// All of them.
    pub const ALL: [RowScaling; 3] = [Self::Auto, Self::Unit, Self::Balanced];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Unit => "unit",
            Self::Balanced => "balanced",
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
    /// `SquareRoot` where single precision is computed in (f32 on the CPU), else `Cholesky`.
    #[default]
    Auto,
    /// Of M. Fast, but M has the squared condition number of WA: computed in single precision (f32
    /// on the CPU; a CUDA device computes in double), the digits are gone on all but short or coarse
    /// grids.
    Cholesky,
    /// WA = QR by Givens rotations: R without forming M (the square-root information filter).
    /// Takes several times the arithmetic and keeps twice the digits. On the CPU only: a CUDA
    /// device computes in double, and refinement gives these digits there.
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Rows between neighboring points.
    pub smoothness: Smoothness,
    /// ω of the weak row that ends the Hermite rows of a step, relative to the other rows. It
    /// removes the alternating null mode that a derivative beyond the equation's would leave;
    /// much more than the default 0.001 spoils the order of the method on fine grids.
    pub roughness: f64,
    /// Scale of equation and initial rows.
    pub scaling: RowScaling,
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
    /// the cost of a substitution. `None`: one, but three for f32 on the CPU.
    pub refinement_steps: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            smoothness: Smoothness::default(),
            roughness: 0.001,
            scaling: RowScaling::default(),
            formulation: Formulation::default(),
            weights: Weights::default(),
            periodic: false,
            factorization: Factorization::default(),
            refinement_steps: None,
        }
    }
}

impl Options {
    /// Steps of refinement of a solve that computes in `T`.
    pub(crate) fn refinement_in<T: Real>(&self) -> usize {
        self.refinement_steps.unwrap_or(if single::<T>() { 3 } else { 1 })
    }

    /// What a CUDA device has kernels for, of options that [`Self::check`] lets pass: not the
    /// square root.
    #[cfg(feature = "cuda")]
    pub(crate) fn check_on_device(&self) -> Result<()> {
        if self.factorization != Factorization::SquareRoot {
            return Ok(());
        }
        let message = "a CUDA device has no square root: it computes in double precision, where \
                       `Cholesky` with refinement gives the digits";
        Err(Error::argument("factorization", message))
    }

    /// Whether a solve that computes in `T` takes the square-root factorization.
    pub(crate) fn square_root_in<T: Real>(&self) -> bool {
        match self.factorization {
            Factorization::Auto => single::<T>(),
            Factorization::Cholesky => false,
            Factorization::SquareRoot => true,
        }
    }

    /// Whether equation and initial rows are [`RowScaling::Balanced`].
    pub fn balanced(&self) -> bool {
        match self.scaling {
            RowScaling::Auto => self.smoothness == Smoothness::Hermite,
            RowScaling::Unit => false,
            RowScaling::Balanced => true,
        }
    }

    /// Every weight and ω must be finite and not negative, γ and α finite.
    pub(crate) fn check(&self) -> Result<()> {
        let weights = &self.weights;
        for (name, weight) in [
            ("weights.equation", weights.equation),
            ("weights.initial", weights.initial),
            ("weights.smoothness", weights.smoothness),
            ("weights.periodic", weights.periodic),
            ("roughness", self.roughness),
        ] {
            if !(weight.is_finite() && weight >= 0.0) {
                let message = format!("must be finite and not negative, got {weight}");
                return Err(Error::argument(name, message));
            }
        }
        if let Some(steps) = self.refinement_steps
            && steps > MOST_REFINEMENT
        {
            let message = format!("must be at most {MOST_REFINEMENT}, got {steps}");
            return Err(Error::argument("refinement_steps", message));
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

/// Steps of refinement beyond which a number can only be a mistake.
const MOST_REFINEMENT: usize = 1000;

/// Whether `T` has fewer digits than `f64`.
fn single<T: Real>() -> bool {
    T::epsilon().to_double() > f64::EPSILON
}
