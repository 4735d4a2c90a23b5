//! Dynamical systems with known equations, and their trajectories to nearly the last digit: the data
//! of the program `mnn simulate` and of the experiments.

mod integrator;
mod lotka_volterra;
mod systems;

pub use integrator::{advance, trajectory};
pub use lotka_volterra::LotkaVolterra;
pub use systems::System;
