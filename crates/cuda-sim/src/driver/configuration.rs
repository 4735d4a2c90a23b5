//! The configuration that the environment variables ask for, read once.

use std::{env, ffi::c_int, path::PathBuf, sync::OnceLock};

use crate::{device::Device, faults::Injection};

/// The environment variables of the simulator, parsed.
pub(super) struct Configuration {
    /// Device that `CUDA_SIM_DEVICE` and `CUDA_SIM_MEMORY` describe; `None` is a machine without a
    /// GPU.
    pub(super) device: Option<Device>,
    /// Number of devices, from `CUDA_SIM_DEVICE_COUNT`.
    pub(super) device_count: c_int,
    /// File for the counters, from `CUDA_SIM_COUNTERS`, with the process id for `%p`.
    pub(super) counters: Option<PathBuf>,
    /// Failures to inject, from `CUDA_SIM_FAULTS`.
    pub(super) faults: Vec<Injection>,
    /// Whether a launch itself returns the error of its kernel, from `CUDA_LAUNCH_BLOCKING`.
    pub(super) launch_blocking: bool,
}

impl Configuration {
    pub(super) fn from_environment() -> Result<Self, String> {
        let device = match variable("CUDA_SIM_DEVICE")?.as_deref() {
            None | Some("h100") => Some(Device::h100()),
            Some("a100") => Some(Device::a100()),
            Some("b200") => Some(Device::b200()),
            Some("rtx4090") => Some(Device::rtx4090()),
            Some("none") => None,
            Some(other) => {
                return Err(format!(
                    "CUDA_SIM_DEVICE is {other:?}, not a100, h100, b200, rtx4090 or none"
                ));
            }
        };
        let memory = variable("CUDA_SIM_MEMORY")?.map(|text| parse_bytes(&text)).transpose()?;
        let device = device
            .map(|device| Device { memory_bytes: memory.unwrap_or(device.memory_bytes), ..device });
        let device_count = match variable("CUDA_SIM_DEVICE_COUNT")? {
            None => 1,
            Some(text) => {
                text.parse().ok().filter(|count| (1..=16).contains(count)).ok_or_else(|| {
                    format!("CUDA_SIM_DEVICE_COUNT is {text:?}, not a number from 1 to 16")
                })?
            }
        };
        let counters = variable("CUDA_SIM_COUNTERS")?
            .map(|path| path.replace("%p", &std::process::id().to_string()).into());
        let faults = match variable("CUDA_SIM_FAULTS")? {
            Some(text) => Injection::parse_list(&text)?,
            None => Vec::new(),
        };
        let launch_blocking = variable("CUDA_LAUNCH_BLOCKING")?.is_some_and(|value| value != "0");
        Ok(Self { device, device_count, counters, faults, launch_blocking })
    }
}

/// Returns whether `CUDA_SIM_TRACE` asks for a line on stderr per call.
pub(super) fn trace() -> bool {
    static TRACE: OnceLock<bool> = OnceLock::new();
    *TRACE.get_or_init(|| env::var_os("CUDA_SIM_TRACE").is_some_and(|value| value != "0"))
}

fn variable(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8")),
    }
}

/// Reads a number of bytes with an optional binary unit: `65536`, `64K`, `512M`, `2G`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((end, 'K')) => (&text[..end], 10),
        Some((end, 'M')) => (&text[..end], 20),
        Some((end, 'G')) => (&text[..end], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| format!("CUDA_SIM_MEMORY is {text:?}, not a size such as 512M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("65536"), Ok(65536));
        assert_eq!(parse_bytes("64K"), Ok(65536));
        assert_eq!(parse_bytes("3G"), Ok(3 << 30));
        for wrong in ["", "G", "-1", "0", "1T", "99999999999G"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}
