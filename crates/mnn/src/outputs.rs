//! Checks the files that a call is to write, before it begins.

use std::path::Path;

use mechanistic::files::atomic;
use mechanistic::{Error, Result};

/// Returns whether a path is `-`, which stands for standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Checks that each of the `outputs`, with the flags that name them, can be written, and is neither
/// among the files `taken`, which it would overwrite, nor another output. Standard output (`-`) can
/// always be written.
///
/// # Errors
/// [`Error::Argument`] names the flag and both paths, [`Error::Io`] says why a file cannot be
/// written.
pub fn check<P: AsRef<Path>>(taken: &[P], outputs: &[(&str, &Path)]) -> Result<()> {
    let files = || outputs.iter().filter(|(_, path)| !is_standard(path));
    for (index, (flag, path)) in files().enumerate() {
        let mut others =
            taken.iter().map(AsRef::as_ref).chain(files().take(index).map(|(_, earlier)| *earlier));
        if let Some(other) = others.find(|other| atomic::same_file(other, path)) {
            let (path, other) = (path.display(), other.display());
            let message = format!("{path} is the same file as {other}, and would overwrite it");
            return Err(Error::argument(*flag, message));
        }
    }
    files().try_for_each(|(_, path)| atomic::check(path))
}
