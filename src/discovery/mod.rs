//! The discovery of governing equations from time series.
//!
//! [`discover`] takes data ([`Dataset`]) and settings ([`Settings`]), searches by one of two
//! methods ([`Method`]), and returns equations ([`Discovery`]).
//!
//! A term of one's own, and a coefficient that is known: x' = −0.5 x + u(x) with u = x²/(1 + x²),
//! where the −0.5 is not to be estimated.
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc};
//! use mechanistic::discovery::{Dataset, KnownTerm, Settings, Trajectory, UserTerm, discover};
//!
//! // Data: x' = −0.5 x + 1.5 u(x), by small steps of the midpoint rule.
//! let u = |x: f64| x * x / (1.0 + x * x);
//! let rate = |x: f64| -0.5 * x + 1.5 * u(x);
//! let (time, values): (Vec<f64>, Vec<f64>) = (0..1500)
//!     .scan(0.5, |x, i| {
//!         let at = (i as f64 * 0.01, *x);
//!         *x += 0.01 * rate(*x + 0.005 * rate(*x));
//!         Some(at)
//!     })
//!     .unzip();
//! let trajectory = Trajectory { time, values, ..Trajectory::default() };
//! let data =
//!     Dataset { states: vec!["x".into()], trajectories: vec![trajectory], ..Dataset::default() };
//!
//! let settings = Settings {
//!     degree: 1,
//!     user_terms: vec![UserTerm {
//!         name: "u".into(),
//!         value: Arc::new(move |s| u(s[0])),
//!         gradient: Arc::new(|s, out| out[0] = 2.0 * s[0] / (1.0 + s[0] * s[0]).powi(2)),
//!     }],
//!     known: vec![KnownTerm {
//!         state: "x".into(),
//!         factors: vec!["x".into()], // x² would be ["x", "x"]
//!         coefficient: -0.5,
//!     }],
//!     ..Settings::default()
//! };
//! // The observer sees the progress and may break off the search.
//! let found = discover(&data, &settings, &mut |_| ControlFlow::Continue(()))?;
//! let term = found.equations[0].terms.iter().find(|term| term.factors == ["u"]).unwrap();
//! assert!((term.coefficient - 1.5).abs() < 1e-3, "{found}");
//! # Ok::<(), mechanistic::Error>(())
//! ```

mod attempts;
mod budget;
mod candidates;
mod check;
mod constraints;
mod contradiction;
mod data;
mod dense;
mod dependence;
mod derivative;
mod equation;
mod estimate;
mod estimator;
mod excerpt;
mod expression;
mod extension;
mod forcing;
mod grid;
mod held_out;
mod hidden;
mod information;
mod joint;
mod ladder;
mod library;
mod linearized;
mod link;
mod loss;
mod network;
mod noise;
mod notation;
mod omitted;
mod outliers;
mod parts;
mod predict;
mod preparation;
mod progress;
mod ranking;
mod regression;
mod report;
mod result;
mod right_hand_side;
mod saved;
mod search;
mod selection;
mod settings;
mod simulate;
mod smoothing;
mod spread;
mod start;
mod symbols;
mod translation;
mod user_terms;
mod view;
mod warnings;

pub use data::{Dataset, MIN_VALUES, Trajectory};
pub use equation::{Discovery, DownWeighted, Equation, Fit, Term, Tried};
pub use forcing::Forcing;
pub use library::Library;
pub use link::Link;
pub use predict::Prediction;
pub use progress::{Observer, Progress};
pub use report::aligned;
pub use right_hand_side::RightHandSide;
pub use search::discover;
pub use settings::{EqualTerms, Interpolation, KnownTerm, Method, Settings, TermName, UserTerm};
pub use simulate::simulate;
