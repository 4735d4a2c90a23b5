//! The resources of a module's kernels (registers, spills, stack, shared memory) as `ptxas`,
//! NVIDIA's assembler, assigns them on an architecture. Nobody else can know them, so that `ptxas`
//! is asked.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// The resources that one kernel uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that a thread stores to local memory for want of registers.
    pub spill_stores: u32,
    /// Bytes that a thread loads back from its spills.
    pub spill_loads: u32,
    /// Bytes of a thread's stack frame: spills, and arrays whose indices are not known in advance.
    pub stack: u32,
    /// Bytes of static shared memory of a block.
    pub shared: u32,
}

/// Assembles a module's text for an architecture such as `sm_90`; returns the kernels' usage by name.
///
/// # Errors
/// `ptxas` cannot be started or refuses the module; the message has what it printed.
pub fn assemble(
    ptxas: &Path,
    ptx: &str,
    architecture: &str,
) -> Result<BTreeMap<String, Usage>, String> {
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
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(parse(&said))
    } else {
        Err(format!("{} -arch {architecture} failed: {said}", ptxas.display()))
    }
}

/// Reads the usage by kernel from the output of `ptxas -v`: a line `Compiling entry function 'name'
/// …`, then `f bytes stack frame, n bytes spill stores, m bytes spill loads`, and `Used r
/// registers, …`.
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
            usage.stack = number_before(line, " bytes stack frame").unwrap_or(0);
        } else if let Some(registers) = number_before(line, " registers")
            && let Some(name) = kernel.take()
        {
            usage.registers = registers;
            usage.shared = number_before(line, " bytes smem").unwrap_or(0);
            kernels.insert(name.to_owned(), usage);
        }
    }
    kernels
}

/// Returns the number that stands before these words.
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
ptxas info    : Compile time = 2.519 ms
ptxas info    : Compiling entry function 'scan' for 'sm_80'
ptxas info    : Used 24 registers
ptxas info    : Compiling entry function 'sum' for 'sm_90'
ptxas info    : Function properties for sum
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 4096 bytes smem";
        let fill = Usage { registers: 8, spill_stores: 12, spill_loads: 20, stack: 16, shared: 0 };
        let scan = Usage { registers: 24, ..Usage::default() };
        let sum = Usage { registers: 32, shared: 4096, ..Usage::default() };
        let expected = [("fill", fill), ("scan", scan), ("sum", sum)];
        let expected = expected.map(|(name, usage)| (name.to_owned(), usage));
        assert_eq!(parse(said), BTreeMap::from(expected));
    }
}
