//! `gpu-bench` measures a GPU and what this library does on it. The script of `cargo xtask
//! gpu-bundle` runs its commands one after another; each prints a table and writes it as JSON.

mod card;
mod counted;
mod counters;
mod device_problem;
mod estimates;
mod first;
mod images;
mod table;
mod times;
mod tiny;
mod training;

use std::{io::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use mechanistic::{Device, cuda::CudaDevice};

/// What fails, for people to read.
type Failure = Box<dyn std::error::Error>;

/// Measure a GPU and what this library does on it
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Write the table to this file too, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take tiny sizes, for a simulated driver, whose times mean nothing
    #[arg(long, global = true)]
    tiny: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The card, its driver, and the most that it copies and computes
    Card,
    /// The time from opening the device to the first solution, in a new process
    First,
    /// Times of solves and gradients with data on the device
    Times {
        /// The document with the estimates to put beside
        #[arg(long, value_name = "FILE")]
        estimates: Option<PathBuf>,
        /// Begin no row after so many seconds
        #[arg(long, value_name = "S", default_value_t = 150.0)]
        seconds: f64,
    },
    /// Times of a training step of the tape; MECHANISTIC_CUBLAS=on or off chooses who multiplies
    Training,
    /// Every kind of solve and derivative on every path, once and tiny, for sanitizers
    Tiny,
    /// Ten kernels, once each, for profilers that count
    Counted,
    /// What Nsight Compute counted of these beside what the simulated driver did
    Counters {
        /// CSV of `ncu --csv --page raw`
        #[arg(long, value_name = "FILE")]
        ncu: Option<PathBuf>,
        /// JSON of `CUDA_SIM_COUNTERS`
        #[arg(long, value_name = "FILE")]
        simulated: PathBuf,
    },
    /// Write the embedded PTX of every kernel to a directory, to be changed and read from there
    /// (MECHANISTIC_CUDA_MODULES)
    Images {
        /// Where the files go
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("gpu-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command. A table with a row that failed is a failure too, after it was written.
fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let tiny = arguments.tiny;
    let table = match &arguments.command {
        Command::Card => card::measure(tiny)?,
        Command::First => first::measure()?,
        Command::Times { estimates, seconds } => {
            times::measure(&device()?, estimates.as_deref(), *seconds, tiny)?
        }
        Command::Training => training::measure(&device()?, tiny)?,
        Command::Tiny => tiny::run(&device()?)?,
        Command::Counted => counted::run(&device()?, tiny)?,
        Command::Counters { ncu, simulated } => counters::compare(ncu.as_deref(), simulated)?,
        Command::Images { directory } => images::write(directory)?,
    };
    if let Some(file) = &arguments.json {
        std::fs::write(file, table.to_json())
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    std::io::stdout().write_all(table.to_string().as_bytes())?;
    Ok(if table.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Opens the first device.
fn device() -> Result<Arc<CudaDevice>, Failure> {
    Ok(Device::cuda(0)?.gpu()?.clone())
}

/// Returns the median, or `None` of no values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
