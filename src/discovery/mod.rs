//! Governing equations from time series.
//!
//! Data in ([`Dataset`]), settings ([`Settings`]), one of two methods, equations out
//! ([`Discovery`]).

mod assembly;
mod basis;
mod data;
mod dense;
mod diagnostics;
mod gauss_newton;
mod grid;
mod joint;
mod linearised;
mod network;
mod regression;
mod rhs;
mod search;
mod selection;
mod settings;
mod simulate;
mod smoothing;

use std::ops::ControlFlow;

pub use basis::{Library, UserTerm};
pub use rhs::RightHandSide;
pub use settings::{KnownTerm, Settings};
pub use simulate::simulate;

/// Time series of the same named states, one or several of them.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the K states.
    pub states: Vec<String>,
    /// At least one; all measure the same states and obey the same equation.
    pub trajectories: Vec<Trajectory>,
}

/// One time series.
#[derive(Clone, Debug, Default)]
pub struct Trajectory {
    /// N strictly increasing times, not necessarily uniform.
    pub time: Vec<f64>,
    /// (N, K) row-major; NaN where a value is missing.
    pub values: Vec<f64>,
}

/// How the equation is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Trajectory and coefficients together by Gauss-Newton; terms selected by standard error.
    #[default]
    Joint,
    /// The paper's section 5.1: a network feeds the basis, the ODE solver closes the loss.
    Network,
}

/// The function between the combination of terms and the right-hand side: u' = g(Θξ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// u' = Θξ.
    #[default]
    Identity,
    /// u' = tanh(Θξ).
    Tanh,
    /// u' = sin(Θξ); the joint method needs |Θξ| mostly below π/2, where the sine can be inverted.
    Sin,
    /// u' = σ(Θξ), the logistic function.
    Sigmoid,
    /// u' = Θξ / (1 + Θ₁ζ), Θ₁ being Θ without its constant.
    Ratio,
}

/// Where a long computation stands; sent to the caller as it goes.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Work done so far, 0 to 1 (an estimate).
    pub fraction: f64,
    /// What is being done.
    pub stage: &'a str,
    /// The equations as they stand, when they changed.
    pub equations: Option<&'a [Equation]>,
}

/// Called as the work proceeds; `Break` stops it with [`Error::Interrupted`](crate::Error).
pub type Observer<'a> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'a;

/// One term of an equation: coefficient times the product of its factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Sorted names: states (repeated for powers), `sin(x)`, or a user's; empty for the constant.
    pub factors: Vec<String>,
    /// In the units of the data.
    pub coefficient: f64,
    /// One standard deviation; `None` where the method has no estimate.
    pub standard_error: Option<f64>,
}

/// lhs = g(Σ terms), or Σ terms / (1 + Σ denominator).
#[derive(Clone, Debug, PartialEq)]
pub struct Equation {
    /// `x'` or `x''`.
    pub lhs: String,
    /// The combination of terms.
    pub terms: Vec<Term>,
    /// g.
    pub link: Link,
    /// Only for [`Link::Ratio`]; the leading 1 is implied.
    pub denominator: Vec<Term>,
}

/// A trajectory as the found equations see it.
#[derive(Clone, Debug, Default)]
pub struct Fit {
    /// The M times of the fit (the data's times or a finer grid).
    pub time: Vec<f64>,
    /// (M, K): the estimated noise-free trajectory.
    pub smoothed: Vec<f64>,
    /// (M, K): the found equations integrated from the first smoothed state; NaN after a blow-up.
    pub simulated: Vec<f64>,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Names of the states.
    pub states: Vec<String>,
    /// Order of the equations: 1 or 2.
    pub order: usize,
    /// One equation a state.
    pub equations: Vec<Equation>,
    /// One a trajectory.
    pub fits: Vec<Fit>,
    /// Estimated noise of each state, in its unit.
    pub noise: Vec<f64>,
    /// What the reader must know: undecidable terms, blow-ups, dropped rows.
    pub warnings: Vec<String>,
}

/// Finds the equations that the data obey, by [`Settings::method`].
///
/// # Errors
/// [`Error::Argument`](crate::Error) and [`Error::Shape`](crate::Error) for malformed input,
/// [`Error::Data`](crate::Error) when the data are too few or the search diverges,
/// [`Error::Interrupted`](crate::Error) when `observer` breaks.
pub fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> crate::Result<Discovery> {
    match settings.method {
        Method::Joint => joint::discover(data, settings, observer),
        Method::Network => network::discover(data, settings, observer),
    }
}
