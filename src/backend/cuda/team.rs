//! The general path: a team of threads works on each system (kernels/team_*.cu). It takes every
//! problem that the CPU takes, by Cholesky.

pub mod plan;
#[cfg(test)]
mod tests;

pub use super::launch::team::TeamPath;
