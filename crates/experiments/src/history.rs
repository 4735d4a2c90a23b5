//! What a training has gone through: it is kept beside the checkpoint, so that a run that goes on
//! from there reports all of its training.

use std::io::Write as _;
use std::path::Path;

use mechanistic::files::atomic;
use mechanistic::{Error, Result};

/// The loss and the time of every training step.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Loss before each step.
    pub losses: Vec<f64>,
    /// Seconds of training until each step was done.
    elapsed: Vec<f64>,
}

impl History {
    /// Returns the loss before the last step, or NaN when no step was taken.
    #[must_use]
    pub fn last_loss(&self) -> f64 {
        self.losses.last().copied().unwrap_or(f64::NAN)
    }

    /// Returns the seconds of training, of all runs that took a part of it.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.elapsed.last().copied().unwrap_or(0.0)
    }

    pub(crate) fn push(&mut self, loss: f64, elapsed: f64) {
        self.losses.push(loss);
        self.elapsed.push(elapsed);
    }

    /// Reads the history of the first `steps` steps, which is empty if there are none.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it has fewer steps.
    pub(crate) fn read(path: &Path, steps: u64) -> Result<Self> {
        if steps == 0 {
            return Ok(History::default());
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let format = |message: String| Error::Format { path: path.to_owned(), message };
        // JSON writes a loss that is not finite as null.
        let mut rows: Vec<(Option<f64>, f64)> =
            serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
        if (rows.len() as u64) < steps {
            let found = rows.len();
            return Err(format(format!(
                "has {found} steps, and the checkpoint beside it {steps}; remove both to begin anew"
            )));
        }
        // A run that was killed may have taken more steps than its last checkpoint has.
        rows.truncate(steps as usize);
        let rows = rows.into_iter().map(|(loss, elapsed)| (loss.unwrap_or(f64::NAN), elapsed));
        let (losses, elapsed) = rows.unzip();
        Ok(History { losses, elapsed })
    }

    /// Writes the history to a file, as a whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<[f64; 2]> = self
            .losses
            .iter()
            .zip(&self.elapsed)
            .map(|(loss, elapsed)| [*loss, *elapsed])
            .collect();
        let text = serde_json::to_string(&rows).expect("numbers can be written");
        atomic::write(path, |file| file.write_all(text.as_bytes()))
    }
}
