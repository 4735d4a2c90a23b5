//! The resources (registers, spills, stack and shared memory) of every kernel on every
//! architecture, as NVIDIA's assembler `ptxas` reports them.
//!
//! An architecture is added in [`architectures`]; arrays with a usage for each of the three, here
//! and in `document.rs`, then need a fourth, and docs/kernels.md has to be written again. A change
//! of [`fingerprint`] makes all modules count as changed, there and in the answers that `cache.rs`
//! keeps.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use cuda_sim::{
    assembler::{Usage, assemble},
    device::Device,
};

use mechanistic::cuda::KernelImages;

use crate::cache::remembered;

/// Returns the architectures that the table covers, each with a GPU that has it.
pub fn architectures() -> [(&'static str, Device); 3] {
    [("sm_80", Device::a100()), ("sm_90", Device::h100()), ("sm_100", Device::b200())]
}

/// The embedded kernels of one source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Name of the module; `<name>.cu` in `kernels/` is its source, with an underscore for a slash.
    pub name: String,
    /// Fingerprint of the text ([`fingerprint`]): texts with the same one have the same code.
    pub fingerprint: String,
    /// PTX of each kernel.
    ptx: Vec<String>,
}

/// The kernels of one module by name, with their usage on each of [`architectures`].
pub type Kernels = BTreeMap<String, [Usage; 3]>;

impl Module {
    /// Makes a module of the PTX of its kernels.
    pub fn new(name: &str, ptx: Vec<String>) -> Self {
        Module { name: name.into(), fingerprint: fingerprint(&ptx.concat()), ptx }
    }

    /// Returns all modules of the library.
    ///
    /// # Errors
    /// The library was built without nvcc.
    pub fn embedded() -> Result<Vec<Self>, String> {
        let kernels = mechanistic::cuda::kernel_images();
        if kernels.is_empty() {
            return Err("the library was built without kernels: `cargo xtask toolkit` installs \
                        the compiler"
                .into());
        }
        let modules = kernels.chunk_by(|one, other| one.module == other.module);
        let read = |kernels: &[KernelImages]| {
            Module::new(kernels[0].module, kernels.iter().map(KernelImages::ptx).collect())
        };
        Ok(modules.map(read).collect())
    }
}

/// Returns the FNV-1a hash (Fowler, Noll and Vo) of a module's text. Left out is what does not
/// change its code: lines that are comments, and those that name places in the source.
pub fn fingerprint(ptx: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let code = |line: &&str| {
        let line = line.trim_start();
        !["//", ".loc", ".file"].iter().any(|prefix| line.starts_with(prefix))
    };
    for byte in ptx.lines().filter(code).flat_map(|line| line.bytes().chain([b'\n'])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Returns the path of the assembler, which lies beside the compiler.
///
/// # Errors
/// There is no compiler, or no assembler beside it.
pub fn find_ptxas() -> Result<PathBuf, String> {
    let ptxas = cuda_toolkit::require_nvcc()?.with_file_name("ptxas");
    if ptxas.is_file() { Ok(ptxas) } else { Err(format!("no {}", ptxas.display())) }
}

/// Returns the assembler's version, such as `13.5.37`; another version may assign other resources.
///
/// # Errors
/// The assembler cannot be started, or says something else.
pub fn version_of(ptxas: &Path) -> Result<String, String> {
    let failed = |what: &str| format!("{} --version: {what}", ptxas.display());
    let output = Command::new(ptxas).arg("--version").output();
    let output = output.map_err(|error| failed(&error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // The line reads `Cuda compilation tools, release 13.5, V13.5.37`.
    let version = said.split_whitespace().find_map(|word| {
        word.strip_prefix('V').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    version.map(str::to_owned).ok_or_else(|| failed(&said))
}

/// Assembles modules for all architectures, several at a time, and returns the usage of their
/// kernels in the order of the modules. What this `version` of the assembler was asked before is
/// taken from the files of `cache.rs`.
///
/// # Errors
/// The assembler refuses a module (the message is its own), or its answer cannot be stored.
pub fn assemble_all(
    ptxas: &Path,
    version: &str,
    modules: &[&Module],
) -> Result<Vec<Kernels>, String> {
    let architectures = architectures();
    let texts = |index: usize| modules[index].ptx.iter().map(move |ptx| (index, ptx));
    let texts: Vec<(usize, &String)> = (0..modules.len()).flat_map(texts).collect();
    let tasks = texts.len() * architectures.len();
    let next = AtomicUsize::new(0);
    let kernels = Mutex::new(vec![Kernels::new(); modules.len()]);
    let work = || -> Result<(), String> {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return Ok(());
            }
            let ((index, ptx), column) =
                (texts[task / architectures.len()], task % architectures.len());
            let (module, architecture) = (modules[index], architectures[column].0);
            let usage = remembered(version, &fingerprint(ptx), architecture, || {
                eprintln!("assembling a kernel of {} for {architecture}", module.name);
                assemble(ptxas, ptx, architecture)
            })?;
            let mut kernels = kernels.lock().expect("no worker panics");
            for (kernel, usage) in usage {
                kernels[index].entry(kernel).or_default()[column] = usage;
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(tasks);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    Ok(kernels.into_inner().expect("no worker panics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_of_the_code() {
        let ptx = ".version 8.8\n\t.loc 1 5 3\nadd.f64 %fd1, %fd2, %fd3;\n.file 1 \"/a/b.cu\"\n";
        let moved = "// made elsewhere\n.version 8.8\nadd.f64 %fd1, %fd2, %fd3;\n";
        let other = ".version 8.8\nadd.f64 %fd1, %fd2, %fd4;\n";
        assert_eq!(fingerprint(ptx), fingerprint(moved));
        assert_ne!(fingerprint(ptx), fingerprint(other));
    }
}
