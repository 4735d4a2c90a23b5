//! A discovery as a safetensors file.
//!
//! The metadata hold `equations`, the JSON of [`Discovery::to_json`], and
//! `time`, the name of the time column. Tensors (F64): `noise` (K), and for each trajectory, counted
//! from 1, `trajectory1.time` (M), `trajectory1.smoothed` and `trajectory1.simulated` (M, K), in
//! which NaN stands for what comes after a blow-up.

use std::path::Path;

use super::tensors::{self, Tensor};
use crate::Result;
use crate::discovery::Discovery;

/// Writes the file.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) when `path` cannot be written.
pub fn write(path: &Path, time_name: &str, discovery: &Discovery) -> Result<()> {
    let k = discovery.states.len();
    let mut tensors = vec![Tensor::of("noise", &[discovery.noise.len()], &discovery.noise)];
    for (index, fit) in discovery.fits.iter().enumerate() {
        let name = |part: &str| format!("trajectory{}.{part}", index + 1);
        let m = fit.time.len();
        tensors.extend([
            Tensor::of(name("time"), &[m], &fit.time),
            Tensor::of(name("smoothed"), &[m, k], &fit.smoothed),
            Tensor::of(name("simulated"), &[m, k], &fit.simulated),
        ]);
    }
    let metadata = [("equations", discovery.to_json()), ("time", time_name.to_owned())];
    tensors::write(path, &tensors, &metadata)
}
