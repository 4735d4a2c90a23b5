//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The path for problems of this shape.
///
/// # Errors
/// [`Error::Device`] if its kernels cannot be loaded.
pub fn choose<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<dyn Path<T>>> {
    let _ = (device, shape, options);
    Err(Error::Device { doing: "planning".into(), message: "no path".into() })
}
