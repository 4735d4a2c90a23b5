//! The command-line program `mnn`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mnn::show_warnings();
    mnn::run(std::env::args_os())
}
