//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::TeamPath;
use crate::error::Result;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

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
    Ok(Box::new(TeamPath::new(device, shape, options)?))
}
