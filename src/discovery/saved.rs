//! Saving a discovery as a safetensors file.

use std::path::Path;

use super::equation::Discovery;
use crate::files::tensors::{self, Tensor};
use crate::{Error, Result};

impl Discovery {
    /// Writes the discovery as a safetensors file. Its metadata hold `equations`, the JSON of
    /// [`Self::to_json`], and `time`, the name of the time column. Tensors (F64) are `noise` (K)
    /// and, for each trajectory, counted from 1, `trajectory1.time` (M), `trajectory1.smoothed` and
    /// `trajectory1.simulated` (M, K), in which values after a blow-up are NaN.
    ///
    /// # Errors
    /// [`Error::Io`] when `path` cannot be written, [`Error::Shape`] for a fit whose values are not as
    /// many as its times and the states ask for.
    pub fn save(&self, path: &Path, time_name: &str) -> Result<()> {
        let k = self.states.len();
        let mut tensors = vec![Tensor::of("noise", &[self.noise.len()], &self.noise)];
        for (index, fit) in self.fits.iter().enumerate() {
            let name = |part: &str| format!("trajectory{}.{part}", index + 1);
            let m = fit.time.len();
            for (part, values) in [("smoothed", &fit.smoothed), ("simulated", &fit.simulated)] {
                if Some(values.len()) != m.checked_mul(k) {
                    return Err(Error::Shape {
                        argument: name(part),
                        expected: format!("(M, K) = ({m}, {k})"),
                        actual: vec![values.len()],
                    });
                }
            }
            tensors.extend([
                Tensor::of(name("time"), &[m], &fit.time),
                Tensor::of(name("smoothed"), &[m, k], &fit.smoothed),
                Tensor::of(name("simulated"), &[m, k], &fit.simulated),
            ]);
        }
        let metadata = [("equations", self.to_json()), ("time", time_name.to_owned())];
        tensors::write(path, &tensors, &metadata)
    }
}
