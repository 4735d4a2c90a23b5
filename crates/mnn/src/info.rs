//! The command `mnn info`, which shows what this build can do on this machine.

use std::process::ExitCode;

use mechanistic::{Device, Factorization, Result, RowScaling, Smoothness};

/// Show version, backends, devices, features, and the options of `mnn solve` that have names
#[derive(clap::Args)]
pub struct Arguments {}

/// Prints one `name: value` a line.
pub fn run(_: &Arguments) -> Result<ExitCode> {
    let kernels = kernels();
    let backends = if kernels.is_ok() { "cpu cuda" } else { "cpu" };
    let features = [("cuda", cfg!(feature = "cuda")), ("nvtx", cfg!(feature = "nvtx"))];
    let features: Vec<&str> =
        features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let mut devices = vec![format!("cpu ({})", Device::Cpu.name()?)];
    devices.extend(cuda_devices());
    let lines = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("backends", backends.to_owned()),
        ("devices", devices.join(", ")),
        ("kernels", kernels.unwrap_or_else(|reason| format!("none ({reason})"))),
        ("features", features.join(" ")),
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

/// Returns what the CUDA kernels in this program were compiled for, or why there are none.
#[cfg(feature = "cuda")]
fn kernels() -> Result<String, &'static str> {
    match mechanistic::cuda::kernel_architectures() {
        [] => Err("no nvcc was found when this was built; in a checkout, `cargo xtask toolkit` \
                   installs it"),
        architectures => Ok(architectures.join(" ")),
    }
}

/// Returns why there are no CUDA kernels in this program.
#[cfg(not(feature = "cuda"))]
fn kernels() -> Result<String, &'static str> {
    Err("built without the feature `cuda`")
}

/// Returns every CUDA device by its name, or why there is no usable one.
fn cuda_devices() -> Vec<String> {
    let name = |ordinal| -> Result<String> {
        let device = Device::cuda(ordinal)?;
        Ok(format!("{device} ({})", device.name()?))
    };
    // At least the first device is opened, so that its error says what is missing.
    let count = Device::cuda_count().unwrap_or(0).max(1);
    (0..count)
        .map(|ordinal| name(ordinal).unwrap_or_else(|error| format!("no cuda:{ordinal} ({error})")))
        .collect()
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
