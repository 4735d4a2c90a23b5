//! Running kernels: warps in lock step, blocks in parallel.

mod fault;

use crate::counters::LaunchCounters;
use crate::device::Device;
use crate::memory::DeviceMemory;
use crate::ptx::{Kernel, LoadedModule};
pub use fault::{Fault, FaultKind};

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block, in bytes.
    pub dynamic_shared: u32,
}

/// Runs `kernel` of `module` to its end. `params` are the kernel's parameters packed at the offsets
/// of [`Kernel::params`].
///
/// # Errors
/// The fault of the first block (in block order) that has one; memory is then in an unspecified
/// state, as after a fault on a device.
pub fn launch(
    module: &LoadedModule,
    kernel: &Kernel,
    config: LaunchConfig,
    params: &[u8],
    memory: &DeviceMemory,
    device: &Device,
) -> Result<LaunchCounters, Box<Fault>> {
    let _ = (module, kernel, config, params, memory, device);
    Ok(LaunchCounters::default())
}
