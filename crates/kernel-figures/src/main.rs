//! `kernel-figures` writes `docs/kernels.md`; `--check` compares it with the kernels; `--only 1536`
//! prints the figures of the workloads that have this in their names.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => kernel_figures::write(),
        [flag] if flag == "--check" => kernel_figures::check(),
        [flag, part] if flag == "--only" => kernel_figures::print_figures(part),
        _ => Err("usage: kernel-figures [--check | --only PART]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("kernel-figures: {message}");
            ExitCode::FAILURE
        }
    }
}
