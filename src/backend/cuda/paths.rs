//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::TeamPath;
use super::thread::ThreadPath;
use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// From so many systems on a multiprocessor, one system a thread is the better choice: with fewer,
/// most multiprocessors would idle while a few threads work through all time points.
const SYSTEMS_PER_MULTIPROCESSOR: usize = 8;

/// The path for problems of this shape.
///
/// # Errors
/// [`Error::Device`](crate::Error) if its kernels cannot be loaded,
/// [`Error::Argument`](crate::Error) if one system is too large for the device.
pub fn choose<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<dyn Path<T>>> {
    if shape.batch >= SYSTEMS_PER_MULTIPROCESSOR * device.limits().multiprocessors
        && let Some(path) = ThreadPath::new(device, shape, options)?
    {
        return Ok(Box::new(path));
    }
    Ok(Box::new(TeamPath::new(device, shape, options)?))
}
