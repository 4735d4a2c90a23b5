//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::thread::ThreadPath;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// From so many systems on a multiprocessor, one system a thread is the better choice: with fewer,
/// most multiprocessors would idle while a few threads work through all time points.
const SYSTEMS_PER_MULTIPROCESSOR: usize = 8;

/// The path for problems of this shape.
///
/// # Errors
/// [`Error::Device`] if its kernels cannot be loaded.
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
    Err(Error::Device { doing: "planning".into(), message: "no path".into() })
}
