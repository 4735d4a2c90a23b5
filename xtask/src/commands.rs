//! Runs cargo and other programs for the commands of this crate.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Returns the root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in xtask/")
}

/// Returns the directory that cargo builds into.
pub fn target() -> PathBuf {
    // The cargo that is run in the workspace takes a relative path as this does.
    workspace().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Runs cargo in the root of the workspace.
pub fn cargo(arguments: &[&str]) -> Result<(), String> {
    cargo_with(arguments, &[])
}

/// Runs cargo in the root of the workspace, with these variables in its environment.
pub fn cargo_with(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<(), String> {
    let status = Command::new(program())
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(workspace())
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`cargo {}` failed: {status}", arguments.join(" ")))
    }
}

/// Runs cargo with this compiler of kernels and returns its messages, one for each thing that it
/// builds or finds built.
pub fn cargo_messages(arguments: &[&str], nvcc: &Path) -> Result<Vec<serde_json::Value>, String> {
    let output = Command::new(program())
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .env("NVCC", nvcc)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo {}` failed: {}", arguments.join(" "), output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Runs a command; that it fails is an error.
pub fn status(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

/// Returns the message of a failure with a file.
pub fn failed(doing: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {doing} {}: {error}", path.display())
}

fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
