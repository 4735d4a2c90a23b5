//! The command-line program `mnn`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mnn::Allocator = mnn::Allocator;

fn main() -> ExitCode {
    mnn::prepare();
    mnn::run(std::env::args_os())
}
