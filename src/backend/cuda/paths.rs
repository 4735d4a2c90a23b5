//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::TeamPath;
use super::thread::ThreadPath;
use super::thread::plan::Plan;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The environment variable that takes the choice over, to compare paths: `team`, `thread` or `chunk`
/// (the latter two where there are kernels for the shape).
const VARIABLE: &str = "MECHANISTIC_CUDA_PATH";

// A system a thread, or a chunk of its time points a thread (Plan::best chooses), wherever there are
// kernels for that. What bounds these solves is the issue of instructions: a scheduler issues one a
// clock, so that the time is the instructions of a warp times the warps that share a scheduler. A warp
// of threads issues about as many for a time point as a warp of teams (thread/plan.rs has its counts),
// but has 32 systems instead of 3 or 4.

/// The path for problems of this shape.
///
/// # Errors
/// [`Error::Device`] if its kernels cannot be loaded, [`Error::Argument`] if one system is too
/// large for the device.
pub fn choose<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<dyn Path<T>>> {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let limits = device.limits();
    let plan = match wanted.as_str() {
        "" => Plan::best(shape, options, limits),
        "thread" => Plan::new(shape, options),
        "chunk" => Plan::best_of_chunks(shape, options, limits),
        "team" => None,
        other => {
            let message = format!("expected team, thread or chunk, got `{other}`");
            return Err(Error::argument(VARIABLE, message));
        }
    };
    Ok(match plan {
        Some(plan) => Box::new(ThreadPath::new(device, plan)?),
        None => Box::new(TeamPath::new(device, shape, options)?),
    })
}
