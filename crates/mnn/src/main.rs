//! The command-line program `mnn`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mnn::prepare();
    mnn::run(std::env::args_os())
}
