//! The discovery of governing equations from time series.
//!
//! [`discover`] takes data ([`Dataset`]) and settings ([`Settings`]), searches by one of two
//! methods ([`Method`]), and returns equations ([`Discovery`]).

mod candidates;
mod data;
mod dense;
mod equation;
mod estimate;
mod estimator;
mod grid;
mod information;
mod joint;
mod library;
mod linearized;
mod link;
mod network;
mod notation;
mod progress;
mod regression;
mod report;
mod right_hand_side;
mod saved;
mod search;
mod selection;
mod settings;
mod simulate;
mod smoothing;
mod start;
mod warnings;

pub use data::{Dataset, Trajectory};
pub use equation::{Discovery, Equation, Fit, Term};
pub use library::Library;
pub use link::Link;
pub use progress::{Observer, Progress};
pub use report::aligned;
pub use right_hand_side::RightHandSide;
pub use search::discover;
pub use settings::{KnownTerm, Method, Settings, UserTerm};
pub use simulate::simulate;
