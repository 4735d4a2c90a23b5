//! Checks the files that a call is to write, before it begins.

use std::path::Path;

use mechanistic::files::atomic;
use mechanistic::{Error, Result};

/// Checks that each of the `outputs`, with the flags that name them, can be written, and is neither
/// among the files `taken`, which it would overwrite, nor another output.
///
/// # Errors
/// [`Error::Argument`] names the flag and both paths, [`Error::Io`] says why a file cannot be
/// written.
pub fn check<P: AsRef<Path>>(taken: &[P], outputs: &[(&str, &Path)]) -> Result<()> {
    for (index, (flag, path)) in outputs.iter().enumerate() {
        let mut others = taken
            .iter()
            .map(AsRef::as_ref)
            .chain(outputs[..index].iter().map(|(_, earlier)| *earlier));
        if let Some(other) = others.find(|other| atomic::same_file(other, path)) {
            let (path, other) = (path.display(), other.display());
            let message = format!("{path} is the same file as {other}, and would overwrite it");
            return Err(Error::argument(*flag, message));
        }
    }
    outputs.iter().try_for_each(|(_, path)| atomic::check(path))
}
