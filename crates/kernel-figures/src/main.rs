//! `kernel-figures` writes `docs/kernels.md`; `kernel-figures --check` compares it with the kernels.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => kernel_figures::write(),
        [flag] if flag == "--check" => kernel_figures::check(),
        _ => Err("usage: kernel-figures [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("kernel-figures: {message}");
            ExitCode::FAILURE
        }
    }
}
