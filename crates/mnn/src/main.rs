//! The command-line program `mnn`. Each subcommand is a file; this file maps outcomes to exit
//! codes: 0 done, 1 numerical failure or data that do not suffice, 2 misuse or unusable input, 130
//! interrupted.

mod bench;
mod csv;
mod discover;
mod info;
mod plot;
mod progress;
mod simulate;
mod solve;
mod warnings;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mechanistic::{Error, Result};

/// Governing equations from time series, and large batches of linear ODEs solved at once.
#[derive(Parser)]
#[command(name = "mnn", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Discover(discover::Arguments),
    Solve(solve::Arguments),
    Simulate(simulate::Arguments),
    Bench(bench::Arguments),
    Info(info::Arguments),
}

fn main() -> ExitCode {
    warnings::show();
    let outcome = match Arguments::parse().command {
        Command::Discover(arguments) => discover::run(&arguments),
        Command::Solve(arguments) => solve::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        tell(format_args!("mnn: {error}"));
        ExitCode::from(match error {
            Error::Interrupted => 130,
            Error::Data(_) => 1,
            _ => 2,
        })
    })
}

/// Prints a line on standard error; if nobody reads it, that is no reason to stop.
fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output; a reader that has closed it (`mnn … | head`) is not an error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}
