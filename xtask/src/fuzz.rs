//! `cargo xtask fuzz`: random inputs for everything that reads what a user gives.

use crate::commands::cargo;

/// Runs the program `fuzz` with these arguments, such as `--minutes 10`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let run = ["run", "--quiet", "--profile=fuzz", "--package=fuzz", "--", "run"];
    let arguments = arguments.iter().map(String::as_str);
    cargo(&run.into_iter().chain(arguments).collect::<Vec<_>>())
}
