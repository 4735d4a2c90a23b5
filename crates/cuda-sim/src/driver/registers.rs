//! The registers of kernels, which are the assembler's decision, so that `ptxas` is asked when
//! someone wants to know them.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{CuResult, Outcome, say, targets::Target};
use crate::{
    assembler::{Usage, assemble},
    device::Device,
};

/// The resources of a module's kernels, which `ptxas` is asked for once.
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

    /// Returns the registers per thread of a kernel.
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

    /// Returns everything known of a kernel, without a message if nothing is.
    pub(super) fn usage_if_known(&self, kernel: &str) -> Option<Usage> {
        self.known().as_ref().ok()?.get(kernel).copied()
    }

    fn known(&self) -> &Result<BTreeMap<String, Usage>, String> {
        self.usage.get_or_init(|| {
            let ptxas = find_ptxas().ok_or(
                "the number of registers is ptxas's decision, and there is no ptxas: put it on \
                 PATH, set CUDA_HOME, or set NVCC to the nvcc beside it",
            )?;
            assemble(&ptxas, &self.ptx, &self.architecture)
        })
    }
}

/// The `ptxas` to use, if [`crate::simulator::Simulator::use_ptxas`] named one.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Chooses the `ptxas` to use; only the first call has an effect.
pub(super) fn use_ptxas(path: PathBuf) {
    let _ = CHOSEN.set(path);
}

/// Returns the `ptxas` that was chosen, or that beside the compiler of `NVCC`, on `PATH`, or in
/// `CUDA_HOME` or `CUDA_PATH`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specific_target_is_kept() {
        let architecture = |ptx: &str| Resources::new(ptx.to_owned(), &Device::h100()).architecture;
        assert_eq!(architecture(".version 8.0\n.target sm_80, debug\n"), "sm_90");
        assert_eq!(architecture(".version 8.0\n.target sm_90a\n"), "sm_90a");
    }
}
