//! The development commands of the workspace: `cargo xtask <command>`.

mod bindings;
mod clang_format;
mod commands;
mod fuzz;
mod gpu_bundle;
mod package;
mod packages;
mod peers;
mod python;
mod toolkit;

use std::{ffi::OsStr, process::ExitCode};

use commands::{cargo, cargo_with};

const USAGE: &str = "usage: cargo xtask test [--rust]|python [--wheel]|format|bindings [--check]|kernels [--check | --only PART]|package|toolkit|\
     peers [--only PART] [--seconds S] [--scalable FOLDER]|gpu-bundle|fuzz --minutes M [--seed N] [--target TARGET]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test(&arguments[1..]),
        Some("python") => python::run(&arguments[1..]),
        Some("format") => format(),
        Some("bindings") => bindings::run(&arguments[1..]),
        Some("kernels") => kernels(&arguments[1..]),
        Some("fuzz") => fuzz::run(&arguments[1..]),
        Some("gpu-bundle") => gpu_bundle::run(),
        Some("package") => package::run(),
        Some("peers") => peers::run(&arguments[1..]),
        Some("toolkit") => toolkit::ensure().map(|nvcc| println!("{}", nvcc.display())),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The combinations of features that are linted, besides the default.
const COMBINATIONS: [(&str, &str); 3] = [("mechanistic", ""), ("mechanistic", "nvtx"), ("mnn", "")];

/// Runs all checks: formatting, the kernels' bindings, lints with the default features and with
/// those of [`COMBINATIONS`], documentation, every test of the workspace, and the package as it is
/// published; and, without `--rust`, the tests of the Python package ([`python::run`]). Installs nvcc,
/// clang-format, libclang and what Python's tests need if the machine has none.
fn test(arguments: &[String]) -> Result<(), String> {
    let python = match arguments {
        [] => true,
        [flag] if flag == "--rust" => false,
        _ => return Err("usage: cargo xtask test [--rust]".into()),
    };
    let nvcc = toolkit::ensure()?;
    cargo(&["fmt", "--all", "--check"])?;
    clang_format::run(clang_format::Mode::Check)?;
    bindings::run(&["--check".to_owned()])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    for (package, features) in COMBINATIONS {
        let lint = ["clippy", "--package", package, "--no-default-features"];
        let features = ["--features", features, "--all-targets", "--", "-D", "warnings"];
        cargo(&[&lint[..], &features].concat())?;
    }
    let documentation = ["doc", "--workspace", "--no-deps"];
    cargo_with(&documentation, &[("RUSTDOCFLAGS", OsStr::new("-D warnings"))])?;
    cargo_with(&["test", "--workspace"], &[("NVCC", nvcc.as_os_str())])?;
    package::run()?;
    if python {
        python::run(&[])?;
        println!("all tests passed");
    } else {
        println!("all tests of Rust passed; those of the Python package were left out (--rust)");
    }
    Ok(())
}

/// Formats all of Rust and the kernels.
fn format() -> Result<(), String> {
    cargo(&["fmt", "--all"])?;
    clang_format::run(clang_format::Mode::Apply)
}

/// Measures the kernels and writes `docs/kernels.md`, or with `--check` compares the document with
/// them, or with `--only` prints the figures of some problems.
fn kernels(arguments: &[String]) -> Result<(), String> {
    let nvcc = toolkit::ensure()?;
    let run = ["run", "--quiet", "--profile=test", "--package=kernel-figures", "--"];
    let arguments = arguments.iter().map(String::as_str);
    let run: Vec<&str> = run.into_iter().chain(arguments).collect();
    cargo_with(&run, &[("NVCC", nvcc.as_os_str())])
}
