//! Development commands: `cargo xtask <command>`.

mod toolkit;

use std::{
    ffi::OsStr,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test(),
        Some("kernels") => kernels(&arguments[1..]),
        Some("toolkit") => toolkit::ensure().map(|nvcc| println!("{}", nvcc.display())),
        _ => Err("usage: cargo xtask test|kernels [--check | --only PART]|toolkit".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Combinations of features, besides the default.
const COMBINATIONS: [(&str, &str); 3] = [("mechanistic", ""), ("mechanistic", "nvtx"), ("mnn", "")];

/// Formatting, lints of every feature combination, documentation, and every test of the workspace;
/// installs nvcc for them first if there is none.
fn test() -> Result<(), String> {
    let nvcc = toolkit::ensure()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    for (package, features) in COMBINATIONS {
        let lint = ["clippy", "--package", package, "--no-default-features"];
        let features = ["--features", features, "--all-targets", "--", "-D", "warnings"];
        cargo(&[&lint[..], &features].concat())?;
    }
    let documentation = ["doc", "--workspace", "--no-deps"];
    cargo_with(&documentation, &[("RUSTDOCFLAGS", OsStr::new("-D warnings"))])?;
    cargo_with(&["test", "--workspace"], &[("NVCC", nvcc.as_os_str())])
}

/// Measures the kernels and writes `docs/kernels.md`, or with `--check` compares it with them, or
/// with `--only` prints the figures of some problems.
fn kernels(arguments: &[String]) -> Result<(), String> {
    let nvcc = toolkit::ensure()?;
    let run = ["run", "--quiet", "--profile=test", "--package=kernel-figures", "--"];
    let arguments = arguments.iter().map(String::as_str);
    let run: Vec<&str> = run.into_iter().chain(arguments).collect();
    cargo_with(&run, &[("NVCC", nvcc.as_os_str())])
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    cargo_with(arguments, &[])
}

fn cargo_with(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<(), String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`cargo {}` failed: {status}", arguments.join(" ")))
    }
}
