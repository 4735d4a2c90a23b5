//! Solving a batch: the choice of a path, the parts of a batch, problems of the host and of the device.

pub mod batch;
mod cold;
pub mod device_solver;
pub mod engine;
pub mod paths;
mod sums;
