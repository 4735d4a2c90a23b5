//! Vibrations of a structure, of which one point's acceleration tells another's.

use std::f64::consts::TAU;
use std::path::Path;

use mechanistic::nn::Rng;
use mechanistic::{Error, Result};

use crate::runge_kutta;

/// Accelerations of two points, sample by sample.
#[derive(Clone, Debug)]
pub struct Vibrations {
    /// Of the point from which the other is told.
    pub input: Vec<f64>,
    /// Of the other.
    pub output: Vec<f64>,
}

impl Vibrations {
    /// Returns the same, each less its mean over the first `count` samples.
    #[must_use]
    pub fn centered(mut self, count: usize) -> Self {
        for signal in [&mut self.input, &mut self.output] {
            let mean = signal[..count].iter().sum::<f64>() / count as f64;
            signal.iter_mut().for_each(|value| *value -= mean);
        }
        self
    }

    /// Reads the first `samples` samples of the columns Acceleration1 and Acceleration2 of a
    /// comma-separated table.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it lacks a column or has
    /// fewer samples.
    pub fn read(path: &Path, samples: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let format = |message: String| Error::Format { path: path.to_owned(), message };
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or("").split(',').map(str::trim).collect();
        let column = |name: &str| -> Result<Vec<f64>> {
            let at = header.iter().position(|field| field.trim_matches('"') == name);
            let at = at.ok_or_else(|| format(format!("there is no column {name:?}")))?;
            let number = |(row, line): (usize, &str)| -> Result<f64> {
                let field = line.split(',').nth(at).unwrap_or("").trim();
                let value = field.parse().ok().filter(|value: &f64| value.is_finite());
                let line = row + 2;
                value.ok_or_else(|| {
                    format(format!("line {line}: {name:?} has {field:?}, which is no number"))
                })
            };
            let values = lines.clone().enumerate().map(number).take(samples);
            let values = values.collect::<Result<Vec<f64>>>()?;
            match values.len() == samples {
                true => Ok(values),
                false => {
                    let found = values.len();
                    Err(format(format!("{found} numbers of {name:?}, {samples} are needed")))
                }
            }
        };
        Ok(Vibrations { input: column("Acceleration1")?, output: column("Acceleration2")? })
    }

    /// Simulates two masses in a row: the first hangs on a wall and is shaken by a multisine, a joint with
    /// clearance holds the second. The unit of time is one sample.
    #[must_use]
    pub fn simulated(samples: usize, rng: &mut Rng) -> Self {
        let phases: Vec<f64> = (0..60).map(|_| TAU * rng.uniform()).collect();
        let force = |t: f64| -> f64 {
            let line = |(i, phase): (usize, &f64)| ((0.02 + 0.01 * i as f64) * t + phase).cos();
            phases.iter().enumerate().map(line).sum::<f64>() / 10.0
        };
        let accelerations = |t: f64, u: &[f64]| {
            let way = u[0] - u[1];
            let joint = 0.06 * way + 0.04 * (way - way.clamp(-0.5, 0.5));
            let first = force(t) - 0.05 * u[0] - 0.02 * u[2] - joint;
            [first, joint - 0.02 * u[3]]
        };
        let field = |t: f64, u: &[f64], out: &mut [f64]| {
            out[..2].copy_from_slice(&u[2..]);
            out[2..].copy_from_slice(&accelerations(t, u));
        };
        let states = runge_kutta(field, &[0.0; 4], 0.5, 2 * samples);
        let samples = states.iter().step_by(2).enumerate();
        let pairs = samples.map(|(i, u)| accelerations(i as f64, u)).map(|[a, b]| (a, b));
        let (input, output) = pairs.unzip();
        Vibrations { input, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_a_short_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let text = "\"Force\",\"Acceleration1\",\"Acceleration2\"\n9,1,-2\n9,3,4.5\n";
        std::fs::write(&path, text).unwrap();
        let read = Vibrations::read(&path, 2).unwrap();
        assert_eq!((&read.input[..], &read.output[..]), (&[1.0, 3.0][..], &[-2.0, 4.5][..]));
        assert_eq!(read.centered(2).input, [-1.0, 1.0]);
        let message = Vibrations::read(&path, 3).unwrap_err().to_string();
        assert!(message.ends_with("2 numbers of \"Acceleration1\", 3 are needed"), "{message}");
        std::fs::write(&path, text.replace("4.5", "NaN")).unwrap();
        let message = Vibrations::read(&path, 2).unwrap_err().to_string();
        assert!(message.contains("line 3: \"Acceleration2\" has \"NaN\""), "{message}");
    }
}
