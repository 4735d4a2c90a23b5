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

/// Installs pinned packages into `directory`, unless it has some. `what` names them in messages.
///
/// An empty directory has none: a build without a compiler makes one, to watch it.
///
/// They are installed beside the final directory, which is renamed, so that an interrupted download
/// leaves nothing that looks complete.
pub fn ensure(what: &str, packages: &[&str], directory: &Path) -> Result<(), String> {
    if has_any(directory) {
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
        if !has_any(directory) {
            return Err(format!("cannot rename to {}: {error}", directory.display()));
        }
    }
    Ok(())
}

fn has_any(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_no_packages() {
        let directory = std::env::temp_dir().join(format!("packages-{}", std::process::id()));
        assert!(!has_any(&directory));
        fs::create_dir(&directory).unwrap();
        assert!(!has_any(&directory));
        fs::write(directory.join("nvcc"), "").unwrap();
        assert!(has_any(&directory));
        fs::remove_dir_all(&directory).unwrap();
    }
}
