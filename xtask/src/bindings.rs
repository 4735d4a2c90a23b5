//! The command `cargo xtask bindings`, which writes the library's side of the structures that
//! kernels take.

use std::ffi::OsStr;

use crate::{commands::cargo_with, packages};

/// The version of libclang, which parses the headers: the newest release on PyPI.
const VERSION: &str = "18.1.1";

/// Writes `src/backend/cuda/bindings.rs` from the headers of `kernels/`, or with `--check` compares
/// the file with the headers. libclang comes from PyPI into `target/`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let directory = packages::directory(&format!("libclang-{VERSION}"));
    packages::ensure("libclang", &[&format!("libclang=={VERSION}")], &directory)?;
    let library = directory.join("clang/native");
    // The program is compiled with the profile of the tests, which the test command needs anyway.
    let command = ["run", "--quiet", "--profile=test", "--package=kernel-bindings", "--"];
    let arguments = arguments.iter().map(String::as_str);
    let command: Vec<&str> = command.into_iter().chain(arguments).collect();
    cargo_with(&command, &[("LIBCLANG_PATH", OsStr::new(&library))])
}
