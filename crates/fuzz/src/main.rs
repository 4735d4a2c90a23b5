//! The program `fuzz`: `cargo xtask fuzz` calls it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use fuzz::campaign::{self, Plan, Summary};
use fuzz::worker::{self, Share};
use fuzz::{Target, input, kills, replay, targets};

/// Structured fuzzing of everything that reads what a user gives.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run inputs of all targets in turn, or of some, and print a table; failing inputs go to the
    /// corpus
    Run {
        /// Time in all
        #[arg(long, value_name = "M", default_value_t = 1.0)]
        minutes: f64,
        /// Number of the first input [default: from the clock]
        #[arg(long)]
        seed: Option<u64>,
        /// The most inputs of each target
        #[arg(long, value_name = "N", default_value_t = u64::MAX)]
        inputs: u64,
        /// Targets [default: all]
        #[arg(long = "target", value_name = "TARGET", value_parser = target)]
        targets: Vec<Target>,
    },
    /// Run one input: a file, or the input of a number
    Replay {
        #[arg(value_parser = target)]
        target: Target,
        /// A file, or a number
        input: String,
        /// Where to say what is wrong, for a process that watches
        #[arg(long, hide = true)]
        report: Option<PathBuf>,
    },
    /// Write the input of a number to standard output
    Show {
        #[arg(value_parser = target)]
        target: Target,
        /// The number of the input
        number: u64,
    },
    /// Run inputs in this process, which another one watches
    #[command(hide = true)]
    Worker {
        #[arg(value_parser = target)]
        target: Target,
        folder: PathBuf,
        #[arg(long)]
        first: u64,
        #[arg(long)]
        step: u64,
        #[arg(long)]
        count: u64,
        #[arg(long)]
        milliseconds: u64,
    },
    /// Write a file again and again, for a process that kills this one
    #[command(hide = true)]
    Write { kind: kills::Kind, path: PathBuf },
    /// The program mnn
    #[command(hide = true, disable_help_flag = true)]
    Mnn {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

fn target(name: &str) -> Result<Target, String> {
    let found = targets::ALL.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| format!("known are {}", targets::ALL.map(|target| target.name).join(", ")))
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { minutes, seed, inputs, targets } => {
            let targets = if targets.is_empty() { targets::ALL.to_vec() } else { targets };
            run(&targets, minutes, seed, inputs)
        }
        Command::Replay { target, input, report } => run_one(&target, &input, report.as_deref()),
        Command::Show { target, number } => {
            io::Write::write_all(&mut io::stdout(), &input::make(&target, number))
                .map(|()| ExitCode::SUCCESS)
        }
        Command::Worker { target, folder, first, step, count, milliseconds } => {
            let time = Duration::from_millis(milliseconds);
            worker::run(&target, &Share { first, step, count, time }, &folder)
                .map(|()| ExitCode::SUCCESS)
        }
        Command::Write { kind, path } => kills::write_forever(kind, &path),
        Command::Mnn { arguments } => {
            mnn::prepare();
            return mnn::run(std::iter::once("mnn".into()).chain(arguments));
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("fuzz: {error}");
        ExitCode::from(2)
    })
}

/// Runs all targets in turn on all cores and prints a table.
fn run(targets: &[Target], minutes: f64, seed: Option<u64>, inputs: u64) -> io::Result<ExitCode> {
    let program = std::env::current_exe()?;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = seed.unwrap_or_else(|| clock() as u64);
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let time = Duration::try_from_secs_f64(minutes * 60.0 / targets.len() as f64);
    let time = time.map_err(io::Error::other)?;
    println!("seed {seed}, {workers} processes");
    println!("target           inputs   accepted   failures per second");
    let mut clean = true;
    for target in targets {
        let summary = campaign::run(&program, target, &Plan { seed, inputs, time, workers })?;
        let rate = summary.inputs as f64 / summary.time.as_secs_f64();
        let Summary { inputs, accepted, failed, .. } = summary;
        let percent = 100.0 * accepted as f64 / inputs as f64;
        println!("{:<12} {inputs:>10} {percent:>9.0}% {failed:>10} {rate:>10.0}", target.name);
        for failure in &summary.failures {
            clean = false;
            println!("  {}\n  {}", failure.file.display(), failure.finding.message);
        }
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one input in this process and says what is wrong with it.
fn run_one(target: &Target, name: &str, report: Option<&Path>) -> io::Result<ExitCode> {
    worker::limit_memory()?;
    let bytes = match name.parse() {
        Ok(number) => input::make(target, number),
        Err(_) => std::fs::read(name)?,
    };
    let folder = tempfile::tempdir()?;
    let outcome = replay::here(target, &bytes, folder.path());
    match (&outcome, report) {
        (Ok(_), Some(file)) => std::fs::write(file, replay::KEPT)?,
        (Ok(_), None) => {}
        (Err(finding), Some(file)) => replay::report(file, finding)?,
        (Err(finding), None) => eprintln!("{}", finding.message),
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
