//! The records of what happened: the launches with their counters, and the reports of everything
//! that was wrong.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use super::{Driver, functions::Function, lock, say};
use crate::{
    counters::LaunchCounters,
    exec::LaunchConfig,
    roofline::{Resources, Roofline},
};

/// A launch that ran to its end.
struct Launch {
    function: Arc<Function>,
    config: LaunchConfig,
    counters: LaunchCounters,
}

/// The launches and the reports of the process; and for each kernel, by its name, the executions of
/// the lines of its PTX ([`exec::launch_profiled`](crate::exec::launch_profiled)), summed over its
/// launches.
#[derive(Default)]
pub(super) struct Records {
    launches: Mutex<Vec<Launch>>,
    reports: Mutex<Vec<String>>,
    profiles: Mutex<BTreeMap<String, BTreeMap<u32, u64>>>,
}

impl Records {
    pub(super) fn add_launch(
        &self,
        function: &Arc<Function>,
        config: LaunchConfig,
        counters: LaunchCounters,
        lines: BTreeMap<u32, u64>,
    ) {
        let mut profiles = lock(&self.profiles);
        let profile = profiles.entry(function.kernel().name.clone()).or_default();
        for (line, executions) in lines {
            *profile.entry(line).or_default() += executions;
        }
        let function = function.clone();
        lock(&self.launches).push(Launch { function, config, counters });
    }

    /// Prints a report and keeps it.
    pub(super) fn report(&self, message: String) {
        say(&message);
        lock(&self.reports).push(message);
    }

    pub(super) fn reports(&self) -> Vec<String> {
        lock(&self.reports).clone()
    }

    pub(super) fn clear(&self) {
        lock(&self.launches).clear();
        lock(&self.reports).clear();
        lock(&self.profiles).clear();
    }

    /// Calls `visit` with every line of this kernel's PTX that ran, and its executions.
    pub(super) fn for_each_line(&self, kernel: &str, mut visit: impl FnMut(u32, u64)) {
        for (&line, &executions) in lock(&self.profiles).get(kernel).into_iter().flatten() {
            visit(line, executions);
        }
    }

    /// Calls `visit` with every launch: its kernel, shape and counters.
    pub(super) fn for_each_launch(
        &self,
        mut visit: impl FnMut(&str, &LaunchConfig, &LaunchCounters),
    ) {
        for launch in lock(&self.launches).iter() {
            visit(&launch.function.kernel().name, &launch.config, &launch.counters);
        }
    }

    /// Returns everything that was counted, as JSON: the device; per kernel the sums, and
    /// registers, occupancy and roofline where `ptxas` is at hand; every launch.
    pub(super) fn to_json(&self, driver: &Driver) -> String {
        let launches = lock(&self.launches);
        let mut kernels: BTreeMap<(&str, usize), Vec<&Launch>> = BTreeMap::new();
        for launch in launches.iter() {
            // Modules may have kernels of the same name.
            let module = Arc::as_ptr(&launch.function.module) as usize;
            let name = launch.function.kernel().name.as_str();
            kernels.entry((name, module)).or_default().push(launch);
        }
        let kernels = kernels.values().map(|launches| kernel_json(driver, launches));
        let single = launches.iter().map(|launch| {
            format!("{{{},\"counters\":{}}}", shape_json(launch), launch.counters.to_json())
        });
        format!(
            "{{\n\"device\":{},\n\"kernels\":[\n{}\n],\n\"launches\":[\n{}\n]\n}}\n",
            quoted(driver.device.name),
            kernels.collect::<Vec<_>>().join(",\n"),
            single.collect::<Vec<_>>().join(",\n"),
        )
    }

    /// Writes the counters to the file that `CUDA_SIM_COUNTERS` names; the file is always complete.
    pub(super) fn save(&self, driver: &Driver) {
        let Some(path) = &driver.configuration.counters else {
            return;
        };
        if let Err(error) = replace(path, &self.to_json(driver)) {
            say(&format!("CUDA_SIM_COUNTERS: {}: {error}", path.display()));
        }
    }
}

/// Returns the sums of one kernel's launches, and the estimates for the device.
fn kernel_json(driver: &Driver, launches: &[&Launch]) -> String {
    let first = launches[0];
    let kernel = first.function.kernel();
    let mut sums = LaunchCounters::default();
    let mut roofline = Roofline::default();
    for launch in launches {
        sums.add(&launch.counters);
        roofline.add(&Roofline::of(&launch.counters, &driver.device));
    }
    let mut json = format!(
        "{{\"kernel\":{},\"static_shared\":{},\"local_bytes\":{},\"counters\":{},\
         \"roofline_model\":{}",
        quoted(&kernel.name),
        kernel.static_shared,
        kernel.local_bytes,
        sums.to_json(),
        roofline.to_json(),
    );
    if let Some(usage) = first.function.usage_if_known() {
        // The occupancy is that of the last launch's shape.
        let last = launches[launches.len() - 1];
        let occupancy = Resources {
            threads_per_block: last.config.block.iter().product(),
            registers_per_thread: usage.registers,
            shared_per_block: kernel.static_shared + last.config.dynamic_shared,
        }
        .occupancy(&driver.device);
        let _ = write!(
            json,
            ",\"registers\":{},\"spill_store_bytes\":{},\"spill_load_bytes\":{},\
             \"theoretical_occupancy\":{occupancy:.4}",
            usage.registers, usage.spill_stores, usage.spill_loads
        );
    }
    json.push('}');
    json
}

fn shape_json(launch: &Launch) -> String {
    let LaunchConfig { grid, block, dynamic_shared } = launch.config;
    format!(
        "\"kernel\":{},\"grid\":{grid:?},\"block\":{block:?},\"dynamic_shared\":{dynamic_shared}",
        quoted(&launch.function.kernel().name)
    )
}

/// Returns a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// Writes a file beside `path` and renames it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.tmp", std::process::id()));
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
