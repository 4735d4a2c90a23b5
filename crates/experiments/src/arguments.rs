//! The command line that all experiments have.

use std::path::PathBuf;

use clap::Parser;
use mechanistic::DeviceName;

/// How an experiment is run.
#[derive(Clone, Debug, Parser)]
#[command(max_term_width = 100)]
pub struct Arguments {
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceName,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Run at the paper's scale
    #[arg(long)]
    pub full: bool,
    /// Training steps [default: the experiment's]
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Save what is trained to this folder as it goes and when it is interrupted, and go on from there
    #[arg(long, value_name = "FOLDER")]
    pub checkpoints: Option<PathBuf>,
    /// Measured data, for the experiments that take some
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Where figure and result are written
    #[arg(long, value_name = "FOLDER", default_value = "target/figures")]
    pub output: PathBuf,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
    /// A much smaller experiment with the same claim, for the tests.
    #[arg(skip)]
    pub small: bool,
}

impl Arguments {
    /// The arguments of a test: the small experiment, in silence.
    #[must_use]
    pub fn small() -> Self {
        Arguments { small: true, quiet: true, ..Arguments::parse_from(["experiment"]) }
    }

    /// Chooses by scale: the tests', the default, the paper's.
    #[must_use]
    pub fn scale<T>(&self, small: T, default: T, full: T) -> T {
        match (self.small, self.full) {
            (true, _) => small,
            (false, false) => default,
            (false, true) => full,
        }
    }
}
