//! The command-line program `mnn` as a library, so that other programs can call what it does in
//! their own process. Each subcommand is a file; this file maps outcomes to exit codes.

pub mod csv;

mod allocator;
mod bench;
mod discover;
mod html_report;
mod info;
mod interrupt;
mod outputs;
mod plot;
mod predict;
mod prediction_plot;
mod progress;
mod simulate;
mod solve;
mod terms;
mod threads;
mod warnings;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use mechanistic::{Error, Result};

pub use allocator::Allocator;

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
    Predict(predict::Arguments),
    Solve(solve::Arguments),
    Simulate(simulate::Arguments),
    Bench(bench::Arguments),
    Info(info::Arguments),
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 numerical failure or data that do not suffice, 2 misuse, unusable input or a
file that could not be written, 130 interrupted (Ctrl-C), 143 terminated (SIGTERM); the latter two
with what was found so far, and with no file half written";

/// Prepares the process for the program, once: the warnings of the library go to standard error,
/// Ctrl-C and SIGTERM end what runs with its last words, and threads are as many as are of use.
///
/// # Panics
/// Panics if the process has a subscriber of `tracing` already.
pub fn prepare() {
    threads::ensure_room();
    warnings::show();
    interrupt::watch();
    threads::start_threads();
}

/// Runs the program with these arguments, the first of which is its own name, and returns its exit
/// code. Results go to standard output and to files, everything else to standard error.
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let interface = interface();
    let parsed = interface.clone().try_get_matches_from(arguments).and_then(|matches| {
        let subcommand = matches.subcommand_name().map(str::to_owned);
        Ok((Arguments::from_arg_matches(&matches)?.command, subcommand))
    });
    let (command, subcommand) = match parsed {
        Ok(parsed) => parsed,
        // What clap has to say, help included, and its exit code: 0 for help, 2 for misuse.
        Err(message) => {
            let _ = message.print();
            return ExitCode::from(message.exit_code() as u8);
        }
    };
    let outcome = match command {
        Command::Discover(arguments) => discover::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Solve(arguments) => solve::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
    };
    let subcommand = subcommand.and_then(|name| interface.find_subcommand(name));
    outcome.unwrap_or_else(|error| report(&naming_flags(error, subcommand)))
}

/// The interface of the program: what is said of every subcommand is said here.
fn interface() -> clap::Command {
    let flag = |argument: clap::Arg| match argument.get_long() {
        // A negative number is a value, which gets a message of its own, and not an unknown flag.
        Some(_) if argument.get_action().takes_values() => argument.allow_negative_numbers(true),
        _ => argument,
    };
    let subcommand = |command: clap::Command| command.mut_args(flag).after_help(EXIT_CODES);
    Arguments::command().after_help(EXIT_CODES).mut_subcommands(subcommand)
}

/// Puts dashes before the name of an argument that is given as a flag: the library calls `order`
/// what is `--order` here.
fn naming_flags(error: Error, subcommand: Option<&clap::Command>) -> Error {
    let Error::Argument { argument, message } = error else { return error };
    let long = argument.replace('_', "-");
    let mut flags = subcommand.into_iter().flat_map(clap::Command::get_arguments);
    let known = flags.any(|flag| flag.get_long() == Some(&long));
    Error::Argument { argument: if known { format!("--{long}") } else { argument }, message }
}

/// Says what went wrong and returns its exit code.
fn report(error: &Error) -> ExitCode {
    tell(format_args!("mnn: {error}"));
    ExitCode::from(match error {
        Error::Data(_) => 1,
        _ => 2,
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
