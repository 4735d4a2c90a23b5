//! Programs and libraries that come from PyPI and are installed into `target/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the directory of a tool in `target/` of the workspace.
pub fn directory(name: &str) -> PathBuf {
    crate::commands::workspace().join("target").join(name)
}

/// Installs pinned packages into `directory`, unless it exists. `what` names them in messages.
///
/// They are installed beside the final directory, which is renamed, so that an interrupted download
/// leaves nothing that looks complete.
pub fn ensure(what: &str, packages: &[&str], directory: &Path) -> Result<(), String> {
    if directory.exists() {
        return Ok(());
    }
    // The name may contain dots, which begin no extension.
    let mut partial = directory.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    eprintln!("xtask: installing {what} from PyPI into {}", directory.display());
    let status = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--root-user-action=ignore",
            "--no-deps",
            "--only-binary=:all:",
            "--target",
        ])
        .arg(&partial)
        .args(packages)
        .status()
        .map_err(|error| format!("cannot start python3, which fetches {what}: {error}"))?;
    if !status.success() {
        let _ = fs::remove_dir_all(&partial);
        return Err(format!("`python3 -m pip install` of {what} failed: {status}"));
    }
    if let Err(error) = fs::rename(&partial, directory) {
        let _ = fs::remove_dir_all(&partial);
        // Another process may have installed the same packages meanwhile, and then those are used.
        if !directory.exists() {
            return Err(format!("cannot rename to {}: {error}", directory.display()));
        }
    }
    Ok(())
}
