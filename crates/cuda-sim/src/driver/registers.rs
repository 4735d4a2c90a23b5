//! Registers of a kernel: a decision of the assembler, so `ptxas` is asked when someone wants to
//! know.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{CuResult, Outcome, say, targets::Target};
use crate::device::Device;

/// What `ptxas` says of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Registers of a thread.
    pub(super) registers: u32,
    /// Bytes that a thread stores to, and loads from, local memory for want of registers.
    pub(super) spill_stores: u32,
    pub(super) spill_loads: u32,
}

/// What `ptxas` says of a module's kernels, found out once.
pub(super) struct Resources {
    ptx: String,
    architecture: String,
    usage: OnceLock<Result<BTreeMap<String, Usage>, String>>,
}

impl Resources {
    pub(super) fn new(ptx: String, device: &Device) -> Self {
        let (major, minor) = device.compute_capability;
        let architecture = match Target::of(&ptx) {
            Some(target) if target.is_specific() => target.name.to_owned(),
            _ => format!("sm_{major}{minor}"),
        };
        Self { ptx, architecture, usage: OnceLock::new() }
    }

    /// Registers per thread of a kernel.
    ///
    /// # Errors
    /// [`CuResult::NotSupported`] where `ptxas` is missing or refuses the module.
    pub(super) fn registers(&self, kernel: &str) -> Outcome<u32> {
        match self.known() {
            Ok(usage) => match usage.get(kernel) {
                Some(usage) => Ok(usage.registers),
                None => Err(CuResult::Unknown),
            },
            Err(message) => {
                say(message);
                Err(CuResult::NotSupported)
            }
        }
    }

    /// Everything known of a kernel, silently.
    pub(super) fn usage_if_known(&self, kernel: &str) -> Option<Usage> {
        self.known().as_ref().ok()?.get(kernel).copied()
    }

    fn known(&self) -> &Result<BTreeMap<String, Usage>, String> {
        self.usage.get_or_init(|| {
            let ptxas = find_ptxas().ok_or(
                "the number of registers is ptxas's decision, and there is no ptxas: put it on \
                 PATH, set CUDA_HOME, or set NVCC to the nvcc beside it",
            )?;
            assemble(&ptxas, &self.ptx, &self.architecture).map(|said| parse(&said))
        })
    }
}

/// The `ptxas` to use, if [`crate::simulator::Simulator::use_ptxas`] named one.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Names the `ptxas` to use; the first call counts.
pub(super) fn use_ptxas(path: PathBuf) {
    let _ = CHOSEN.set(path);
}

/// The `ptxas` that was named, or that beside the compiler of `NVCC`, on `PATH`, or in `CUDA_HOME`
/// or `CUDA_PATH`.
fn find_ptxas() -> Option<PathBuf> {
    if let Some(chosen) = CHOSEN.get() {
        return Some(chosen.clone());
    }
    let beside_nvcc = env::var_os("NVCC").and_then(|nvcc| Some(Path::new(&nvcc).parent()?.into()));
    let path = env::var_os("PATH").unwrap_or_default();
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
    let homes = homes.map(|home| Path::new(&home).join("bin"));
    let mut directories = beside_nvcc.into_iter().chain(env::split_paths(&path)).chain(homes);
    directories.find_map(|directory: PathBuf| {
        let ptxas = directory.join("ptxas");
        ptxas.is_file().then_some(ptxas)
    })
}

/// Assembles a module and returns what `ptxas -v` says.
fn assemble(ptxas: &Path, ptx: &str, architecture: &str) -> Result<String, String> {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("cuda-sim-{}-{number}.ptx", std::process::id()));
    fs::write(&file, ptx).map_err(|error| format!("{}: {error}", file.display()))?;
    let output = Command::new(ptxas)
        .args(["-v", "-arch", architecture, "-o", "/dev/null"])
        .arg(&file)
        .output();
    let _ = fs::remove_file(&file);
    let output = output.map_err(|error| format!("cannot start {}: {error}", ptxas.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{} -arch {architecture} failed: {said}", ptxas.display()))
    }
}

/// Usage by kernel in the output of `ptxas -v`: a line `Compiling entry function 'name' …`, one
/// with `n bytes spill stores, m bytes spill loads`, and `Used r registers, …`.
fn parse(said: &str) -> BTreeMap<String, Usage> {
    let mut kernel = None;
    let mut usage = Usage::default();
    let mut kernels = BTreeMap::new();
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split('\'').next();
            usage = Usage::default();
        } else if let Some(spill_stores) = number_before(line, " bytes spill stores") {
            usage.spill_stores = spill_stores;
            usage.spill_loads = number_before(line, " bytes spill loads").unwrap_or(0);
        } else if let Some(registers) = number_before(line, " registers")
            && let Some(name) = kernel.take()
        {
            usage.registers = registers;
            kernels.insert(name.to_owned(), usage);
        }
    }
    kernels
}

/// The number that stands before these words.
fn number_before(line: &str, words: &str) -> Option<u32> {
    let (before, _) = line.split_once(words)?;
    before.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_output_is_understood() {
        let said = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'fill' for 'sm_80'
ptxas info    : Function properties for fill
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers, 372 bytes cmem[0]
ptxas info    : Compiling entry function 'scan' for 'sm_80'
ptxas info    : Used 24 registers";
        let fill = Usage { registers: 8, spill_stores: 12, spill_loads: 20 };
        let scan = Usage { registers: 24, ..Usage::default() };
        let expected = [("fill".to_owned(), fill), ("scan".to_owned(), scan)];
        assert_eq!(parse(said), BTreeMap::from(expected));
    }

    #[test]
    fn a_specific_target_is_kept() {
        let architecture = |ptx: &str| Resources::new(ptx.to_owned(), &Device::h100()).architecture;
        assert_eq!(architecture(".version 8.0\n.target sm_80, debug\n"), "sm_90");
        assert_eq!(architecture(".version 8.0\n.target sm_90a\n"), "sm_90a");
    }
}
