//! The solve of a batch: the choice of a path, the parts of a batch, and the solvers for problems
//! of the host and of the device.

pub mod batch;
mod cold;
pub mod device_solver;
pub mod engine;
pub mod paths;
