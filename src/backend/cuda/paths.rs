//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::TeamPath;
use super::thread::ThreadPath;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The environment variable that takes the choice over, to compare paths: `team` or `thread`
/// (where there are thread kernels for the shape).
const VARIABLE: &str = "MECHANISTIC_CUDA_PATH";

/// From so many systems a multiprocessor on, a thread each: a warp for every multiprocessor.
/// Smaller batches leave most of the device idle that way; teams spread them over more threads.
const SYSTEMS_OF_MULTIPROCESSOR: usize = 32;

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
    let by_thread = match wanted.as_str() {
        "" => shape.batch >= SYSTEMS_OF_MULTIPROCESSOR * device.limits().multiprocessors,
        "team" => false,
        "thread" => true,
        other => {
            let message = format!("expected team or thread, got `{other}`");
            return Err(Error::argument(VARIABLE, message));
        }
    };
    if by_thread && let Some(path) = ThreadPath::<T>::new(device, shape, options)? {
        return Ok(Box::new(path));
    }
    Ok(Box::new(TeamPath::new(device, shape, options)?))
}
