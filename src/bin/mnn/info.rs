//! `mnn info`: what this build can do on this machine.

use std::process::ExitCode;

use mechanistic::{Factorization, Result, RowScaling, Smoothness};

/// Show version, backends, devices, features, and the options of `mnn solve` that have names
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints one `name: value` a line.
pub fn run(_: &Arguments) -> Result<ExitCode> {
    let lines = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("backends", "cpu".to_owned()),
        ("devices", format!("cpu ({})", processor())),
        ("features", "cli".to_owned()),
        ("smoothness", Smoothness::ALL.map(Smoothness::name).join(" ")),
        ("scaling", RowScaling::ALL.map(RowScaling::name).join(" ")),
        ("factorization", Factorization::ALL.map(Factorization::name).join(" ")),
        ("cpu threads", rayon::current_num_threads().to_string()),
        ("cpu simd", instruction_sets()),
        ("profile", if cfg!(debug_assertions) { "debug (slow)" } else { "release" }.to_owned()),
    ];
    let text: String =
        lines.iter().map(|(name, value)| format!("{:<15}{value}\n", format!("{name}:"))).collect();
    crate::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The processor's own name, where the system tells it.
fn processor() -> String {
    let description = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = description.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn instruction_sets() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("sse2", true),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found = [("neon", true)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&str, bool); 0] = [];
    let names: Vec<&str> = found.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    if names.is_empty() { "none known".to_owned() } else { names.join(" ") }
}
