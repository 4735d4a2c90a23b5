//! Saving a discovery as a safetensors file, and reading it again.

use std::path::Path;

use safetensors::SafeTensors;

use super::equation::{Discovery, Fit};
use crate::files::tensors::{self, Tensor};
use crate::memory::ensure;
use crate::{Error, Result};

impl Discovery {
    /// Writes the discovery as a safetensors file. Its metadata hold `equations`, the JSON of
    /// [`Self::to_json`], and `time`, the name of the time column. Tensors (F64) are `noise` (K)
    /// and, for each trajectory, counted from 1, `trajectory1.time` (M), `trajectory1.smoothed` and
    /// `trajectory1.simulated` (M, K), in which values after a blow-up are NaN. What distinguishes parts
    /// of a trajectory ([`Fit::restarts`]) is not written.
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

    /// Reads a discovery that [`save`](Self::save) has written; also returns the name of the time
    /// column. What the equations explain is not in the file.
    ///
    /// # Errors
    /// [`Error::Io`] when `path` cannot be read, [`Error::Format`] when it does not hold a discovery.
    pub fn load(path: &Path) -> Result<(Self, String)> {
        let size = std::fs::metadata(path).map_or(0, |file| file.len() as usize);
        ensure(&format!("the model {}", path.display()), &[(size, 2)])?;
        let bytes =
            std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let refuse = |message: String| Error::Format { path: path.to_owned(), message };
        let malformed = |error| refuse(format!("not a complete safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
        let file = SafeTensors::deserialize(&bytes).map_err(malformed)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let Some(equations) = metadata.get("equations") else {
            return Err(refuse("no saved discovery: it has no `equations` in its metadata".into()));
        };
        let mut discovery: Discovery = serde_json::from_str(equations)
            .map_err(|error| refuse(format!("its `equations` cannot be read: {error}")))?;
        let k = discovery.states.len();
        let numbers = |name: String| match file.tensor(&name) {
            Err(_) => Ok(None),
            Ok(tensor) => match tensors::decode::<f64>(&tensor) {
                Some(numbers) => Ok(Some(numbers)),
                None => Err(refuse(format!("`{name}` has another type than F64"))),
            },
        };
        for index in 1.. {
            let part = |part: &str| numbers(format!("trajectory{index}.{part}"));
            let Some(time) = part("time")? else { break };
            let (smoothed, simulated) = (part("smoothed")?, part("simulated")?);
            let fit = Fit {
                smoothed: smoothed.unwrap_or_default(),
                simulated: simulated.unwrap_or_default(),
                restarts: vec![],
                time,
            };
            let values = fit.time.len() * k;
            if fit.smoothed.len() != values || fit.simulated.len() != values {
                let message = format!("the parts of `trajectory{index}` have different lengths");
                return Err(refuse(message));
            }
            discovery.fits.push(fit);
        }
        Ok((discovery, metadata.get("time").cloned().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Discovery {
        let json = r#"{"states": ["x"], "inputs": ["u"], "interpolation": ["hold"], "order": 1,
            "equations": [{"lhs": "x'", "terms": [
                {"factors": ["exp(-x)", "u"], "coefficient": 0.1, "standard_error": 0.01}]}],
            "noise": [0.5], "warnings": ["one"]}"#;
        let fit = Fit {
            time: vec![0.0, 1.0],
            smoothed: vec![1.0, 2.0],
            simulated: vec![1.0, 3.0],
            ..Fit::default()
        };
        Discovery { fits: vec![fit.clone(), fit], ..serde_json::from_str(json).unwrap() }
    }

    #[test]
    fn what_was_saved_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        example().save(&path, "year").unwrap();
        let (again, time) = Discovery::load(&path).unwrap();
        assert_eq!(time, "year");
        assert_eq!(format!("{again:?}"), format!("{:?}", example()));
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let message = |metadata: &[(&str, String)], lengths: [usize; 2]| {
            let (time, values) = (vec![0.0; lengths[0]], vec![0.0; lengths[1]]);
            let tensors = [
                Tensor::of("trajectory1.time", &[time.len()], &time),
                Tensor::of("trajectory1.smoothed", &[values.len()], &values),
            ];
            tensors::write(&path, &tensors, metadata).unwrap();
            let error = Discovery::load(&path).unwrap_err().to_string();
            error.replace(&path.display().to_string(), "a")
        };
        assert_eq!(
            message(&[], [0, 0]),
            "a: no saved discovery: it has no `equations` in its metadata"
        );
        let text = message(&[("equations", "{}".into())], [0, 0]);
        assert!(text.starts_with("a: its `equations` cannot be read: missing field"), "{text}");
        let equations = ("equations", example().to_json());
        let text = message(&[equations], [2, 3]);
        assert_eq!(text, "a: the parts of `trajectory1` have different lengths");
        std::fs::write(&path, "t,x\n0,1\n").unwrap();
        let text = Discovery::load(&path).unwrap_err().to_string();
        assert!(text.contains(": not a complete safetensors file: "), "{text}");
    }
}
