//! The inputs that once failed: `corpus/TARGET/`, named after the fault, or after their number
//! until somebody has named it.

use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// Returns the folder of a target's inputs.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Lists the inputs of a target, sorted by name.
///
/// # Errors
/// The folder cannot be read.
pub fn files(target: &Target) -> io::Result<Vec<PathBuf>> {
    let folder = folder(target);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Writes an input that failed and returns its file.
///
/// # Errors
/// The file cannot be written.
pub fn keep(target: &Target, number: u64, input: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder(target))?;
    let file = folder(target).join(format!("found-{number}"));
    std::fs::write(&file, input)?;
    Ok(file)
}
