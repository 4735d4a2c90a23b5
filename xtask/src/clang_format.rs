//! The style of the kernels, `.clang-format`, checked or applied to every file of `kernels/`.

use std::{
    env::consts::EXE_SUFFIX,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{commands::workspace, packages};

/// The version of clang-format: releases differ in how they format, so the one that the kernels are
/// formatted with is pinned.
const VERSION: &str = "23.1.5";

/// The mode in which clang-format is run over the kernels.
#[derive(Clone, Copy)]
pub enum Mode {
    /// Files in another style are an error.
    Check,
    /// Files are rewritten.
    Apply,
}

/// Checks or formats every kernel, with clang-format from PyPI in `target/`.
pub fn run(mode: Mode) -> Result<(), String> {
    let directory = packages::directory(&format!("clang-format-{VERSION}"));
    packages::ensure("clang-format", &[&format!("clang-format=={VERSION}")], &directory)?;
    let program = directory.join(format!("clang_format/data/bin/clang-format{EXE_SUFFIX}"));
    let arguments: &[&str] = match mode {
        Mode::Check => &["--dry-run", "--Werror"],
        Mode::Apply => &["-i"],
    };
    let mut files = Vec::new();
    collect(&workspace().join("kernels"), &mut files)?;
    let status = Command::new(&program)
        .args(arguments)
        .args(files)
        .status()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    match (status.success(), mode) {
        (true, _) => Ok(()),
        (false, Mode::Check) => Err("`cargo xtask format` formats the kernels as required".into()),
        (false, Mode::Apply) => Err(format!("clang-format failed: {status}")),
    }
}

/// Adds the C++ and CUDA files of a directory and those within it.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error| format!("cannot list {}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|kind| ["h", "cuh", "cu"].iter().any(|k| kind == *k))
        {
            files.push(path);
        }
    }
    Ok(())
}
