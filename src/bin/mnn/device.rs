//! `--device`, the same for every subcommand.

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum Device {
    /// The processor, all its cores
    #[default]
    Cpu,
}
