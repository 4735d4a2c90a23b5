//! The options of a solve: row families, weights, formulation, factorization.

use crate::error::{Error, Result};

/// The family of the rows that tie neighboring time points together (module [`rows`](crate::rows)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smoothness {
    /// Forward and backward Taylor rows of every derivative below the top one (eqs. 8 and 9 of
    /// the paper).
    Taylor,
    /// Taylor rows as in [`Taylor`](Self::Taylor), and a row for the top derivative too, which is
    /// held constant over a step.
    TaylorHold,
    /// Taylor rows as in [`Taylor`](Self::Taylor), and a row that ties the top derivative to the
    /// central difference of the derivative below it; it couples three neighboring points.
    TaylorCentral,
    /// Two-point Hermite (Padé) rows. They are of fourth order if the solution carries more
    /// derivatives than the equation has
    /// ([`with_extra_derivatives`](crate::Problem::with_extra_derivatives)): one more if the steps
    /// are equal or change gradually, two more if the steps jump. They are of second order without
    /// extra derivatives, and with one where steps jump.
    #[default]
    Hermite,
}

impl Smoothness {
    /// Lists all families.
    pub const ALL: [Smoothness; 4] =
        [Self::Taylor, Self::TaylorHold, Self::TaylorCentral, Self::Hermite];

    /// Returns the name of the family in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taylor => "taylor",
            Self::TaylorHold => "taylor_hold",
            Self::TaylorCentral => "taylor_central",
            Self::Hermite => "hermite",
        }
    }
}

/// The scaling of equation and initial rows: whether powers of the step make them dimensionless, as
/// the smoothness rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowScaling {
    /// Rows are `Balanced` for Hermite smoothness rows, which agree with the equation, so that the
    /// scale of a row hardly changes the solution but much improves the condition of A; and `Unit`
    /// for Taylor rows, which compete with the equation, so that the weights are part of the
    /// published method.
    #[default]
    Auto,
    /// Rows are taken as they stand.
    Unit,
    /// Equation rows are multiplied by ℓ^m, where ℓ is the mean step at the row's point (m the
    /// order of the equation) and initial rows of derivative j by ℓ^j; right-hand sides too. The
    /// result no longer depends on the unit of time, if the leading coefficients have no unit.
    Balanced,
}

impl RowScaling {
    /// Lists all scalings.
    pub const ALL: [RowScaling; 3] = [Self::Auto, Self::Unit, Self::Balanced];

    /// Returns the name of the scaling in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Unit => "unit",
            Self::Balanced => "balanced",
        }
    }
}

/// The definition of the solution of the overdetermined rows A z = β.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Formulation {
    /// The solution is z = argmin ½‖W(Az − β)‖².
    #[default]
    LeastSquares,
    /// Each system has one more unknown, the slack ε, which stands in every one of its smoothness
    /// rows: (z, ε) = argmin ½‖W(A(z, ε) − β)‖² − γ·α·ε (the paper's section 3.1).
    SharedSlack {
        /// Relaxation γ, as in the paper's G = γI.
        gamma: f64,
        /// Linear cost α of the slack.
        alpha: f64,
    },
}

/// The weights of the row families; a weight multiplies a row and its right-hand side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Weight w_e of the equation rows.
    pub equation: f64,
    /// Weight w_i of the initial-value rows.
    pub initial: f64,
    /// Weight w_s of the smoothness rows.
    pub smoothness: f64,
    /// Weight w_p of the periodic rows.
    pub periodic: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights { equation: 1.0, initial: 1.0, smoothness: 1.0, periodic: 1.0 }
    }
}

/// The algorithm that computes the triangular factor R of M = AᵀW²A = RᵀR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factorization {
    /// `Cholesky` is taken.
    #[default]
    Auto,
    /// Cholesky factorization of M. It is fast, but M has the squared condition number of WA;
    /// refinement brings back the digits that it loses.
    Cholesky,
    /// Factorization WA = QR by Givens rotations, which gives R without forming M (the square-root
    /// information filter). It takes several times the arithmetic and keeps twice the digits. Only
    /// the CPU has it.
    SquareRoot,
}

impl Factorization {
    /// Lists all factorizations.
    pub const ALL: [Factorization; 3] = [Self::Auto, Self::Cholesky, Self::SquareRoot];

    /// Returns the name of the factorization in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cholesky => "cholesky",
            Self::SquareRoot => "square_root",
        }
    }
}

/// The options of a solve: everything about it that is not data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Family of the rows that tie neighboring points together.
    pub smoothness: Smoothness,
    /// Weight ω of the weak row that ends the Hermite rows of a step, relative to the other rows.
    /// It removes the alternating null mode that a derivative beyond the equation's would leave;
    /// much more than the default 0.001 spoils the order of the method on fine grids.
    pub roughness: f64,
    /// Whether equation and initial rows are made dimensionless.
    pub scaling: RowScaling,
    /// Least squares, or least squares with a shared slack.
    pub formulation: Formulation,
    /// Weights of the row families.
    pub weights: Weights,
    /// Whether the solution is periodic, with the last point equal to the first: z\[0,k,j\] =
    /// z\[N−1,k,j\] for j < order.
    pub periodic: bool,
    /// Whether the rows at each point are divided by the largest magnitude that the solution has
    /// had until then, which a march forward in time finds. Least squares weighs absolute defects:
    /// where a solution grows by many orders of magnitude, it is cheaper to miss the small
    /// beginning than to fit the large end, and u' = 20u ends near zero. Divided rows weigh relative
    /// defects, and follow growth up to 10^145. A solution that does not grow is hardly changed.
    /// Derivatives hold the divisors constant. Not for periodic problems and the shared slack. It
    /// costs about half a solve more; on a CUDA device, only teams of threads take it.
    pub follow_growth: bool,
    /// Whether the normal matrix is factored (Cholesky) or the rows (square root).
    pub factorization: Factorization,
    /// Number of steps of iterative refinement of the solution, the adjoint and the tangent, with
    /// the residual β − Az; each recovers digits that the factor lacks, for about the cost of a
    /// substitution. `None` stands for one step.
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
            follow_growth: false,
            factorization: Factorization::default(),
            refinement_steps: None,
        }
    }
}

impl Options {
    /// Returns the steps of refinement of a solve.
    pub(crate) fn refinement(&self) -> usize {
        self.refinement_steps.unwrap_or(1)
    }

    /// Checks that a CUDA device has kernels for these options, which [`Self::check`] has let pass:
    /// it has none for the square root.
    #[cfg(feature = "cuda")]
    pub(crate) fn check_on_device(&self) -> Result<()> {
        if self.factorization != Factorization::SquareRoot {
            return Ok(());
        }
        let message = "a CUDA device has no square root: it computes in double precision, where \
                       `Cholesky` with refinement gives the digits";
        Err(Error::argument("factorization", message))
    }

    /// Returns whether a solve takes the square-root factorization.
    pub(crate) fn square_root(&self) -> bool {
        self.factorization == Factorization::SquareRoot
    }

    /// Returns whether equation and initial rows are [`RowScaling::Balanced`], which
    /// [`RowScaling::Auto`] leaves to the family of the smoothness rows.
    pub fn balanced(&self) -> bool {
        match self.scaling {
            RowScaling::Auto => self.smoothness == Smoothness::Hermite,
            RowScaling::Unit => false,
            RowScaling::Balanced => true,
        }
    }

    /// Checks that the options are possible, whatever is solved: every weight and ω finite and not negative, γ and
    /// α finite, and no two that exclude each other. A solver checks them too.
    ///
    /// # Errors
    /// [`Error::Argument`] names an option that is not.
    pub fn check(&self) -> Result<()> {
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
        if self.follow_growth && self.periodic {
            return Err(Error::argument(
                "follow_growth",
                "is not for periodic problems, whose end is their beginning",
            ));
        }
        if let Formulation::SharedSlack { gamma, alpha } = self.formulation {
            if self.follow_growth {
                let message =
                    "the slack is one number for the whole solution, and cannot follow growth";
                return Err(Error::argument("follow_growth", message));
            }
            for (name, value) in [("gamma", gamma), ("alpha", alpha)] {
                if !value.is_finite() {
                    return Err(Error::argument(name, format!("must be finite, got {value}")));
                }
            }
        }
        Ok(())
    }
}

/// The most steps of refinement that are accepted: more can only be a mistake.
const MOST_REFINEMENT: usize = 1000;
