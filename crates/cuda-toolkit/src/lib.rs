//! Finds the CUDA compiler and runs it, for `cargo xtask` and the tests.
//!
//! Nothing is downloaded by this crate; `cargo xtask toolkit` installs a compiler where there is
//! none.

#[path = "../../../build/nvcc.rs"]
mod nvcc;
#[cfg(test)]
#[path = "../../../build/ptx.rs"]
mod ptx;
#[cfg(test)]
mod ptx_tests;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

pub use nvcc::installed as installed_nvcc;

fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate lies in crates/")
}

/// Returns the directory that `cargo xtask toolkit` installs into: `target/cuda-toolkit` in the
/// workspace.
pub fn installation_directory() -> PathBuf {
    nvcc::installation_directory(workspace())
}

/// Returns the nvcc that `NVCC` names or, without that variable, the first usable one among `PATH`,
/// `CUDA_HOME`, `CUDA_PATH`, `/usr/local/cuda` and [`installation_directory`].
///
/// # Errors
/// The compiler that `NVCC` names cannot be used; the message says what to do about it.
pub fn find_nvcc() -> Result<Option<PathBuf>, String> {
    Ok(nvcc::find(workspace())?.compiler.map(|compiler| compiler.path))
}

/// Returns the compiler that [`find_nvcc`] finds, and searches until there is one.
///
/// # Errors
/// There is no compiler; the message says which candidates were passed over.
pub fn require_nvcc() -> Result<PathBuf, String> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = FOUND.get() {
        return Ok(path.clone());
    }
    let found = nvcc::find(workspace())?;
    let compiler = found.compiler.ok_or_else(|| {
        let reasons: String =
            found.unusable.iter().map(|(_, reason)| format!("; {reason}")).collect();
        format!(
            "no nvcc that can be used: put it on PATH, set CUDA_HOME or NVCC, or run `cargo xtask \
             toolkit`{reasons}"
        )
    })?;
    Ok(FOUND.get_or_init(|| compiler.path).clone())
}

/// Compiles one `.cu` file to PTX text with `nvcc -ptx -O3` and the given further arguments
/// (such as `-arch=compute_80`).
///
/// # Errors
/// There is no nvcc, or it fails; the message has everything that it printed.
pub fn compile_to_ptx(source: &Path, arguments: &[&str]) -> Result<String, String> {
    let nvcc = require_nvcc()?;
    let output = Command::new(&nvcc)
        .args(["-ptx", "-O3", "-o", "-"])
        .args(arguments)
        .arg(source)
        .output()
        .map_err(|error| format!("cannot start {}: {error}", nvcc.display()))?;
    if !output.status.success() {
        return Err(format!(
            "{} failed on {}: {}\n{}{}",
            nvcc.display(),
            source.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed no text", nvcc.display()))
}
