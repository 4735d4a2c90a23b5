//! Device attributes: `CUdevice_attribute` by number, from the device's description.

use std::ffi::c_int;

use super::{CuResult, Outcome, say};
use crate::device::Device;

/// Returns the value of an attribute.
///
/// # Errors
/// [`CuResult::InvalidValue`] for a number cuda.h 13.5 does not have.
pub(super) fn of(device: &Device, attribute: c_int) -> Outcome<c_int> {
    let value = match attribute {
        // These are limits of a launch: threads per block, extents of block and grid, warp size.
        1 => device.threads_per_block,
        2..=4 => device.block_extent[attribute as usize - 2],
        5..=7 => device.grid_extent[attribute as usize - 5],
        10 => 32,
        // These are sizes of shared and constant memory.
        8 => device.shared_per_block,
        9 => device.constant_bytes,
        81 => device.shared_per_multiprocessor,
        97 => device.shared_per_block_optin,
        111 => device.shared_reserved_per_block,
        // These are numbers of registers.
        12 => device.registers_per_block,
        82 => device.registers_per_multiprocessor,
        // These are clocks, buses and sizes.
        13 => device.clock_khz,
        16 => device.multiprocessors,
        36 => device.memory_clock_khz,
        37 => device.memory_bus_bits,
        38 => device.l2_bytes,
        39 => device.threads_per_multiprocessor,
        106 => device.blocks_per_multiprocessor,
        75 => device.compute_capability.0,
        76 => device.compute_capability.1,
        87 => (device.f32_peak / device.f64_peak).round() as u32,
        // These are the largest pitch of a copy, and alignments of textures and surfaces.
        11 => i32::MAX as u32,
        14 | 30 => 512,
        51 => 32,
        // These features are present: overlap, concurrent kernels, two copy engines, unified
        // addresses, stream priorities, L1 caches, managed memory (also while kernels run),
        // preemption, registered host memory, pools.
        15 | 31 | 41 | 78 | 79 | 80 | 83 | 89 | 90 | 99 | 115 => 1,
        40 => 2,
        // This is the place on the PCI bus that the device claims.
        33 => 1,
        126 => 1,
        134 => u32::MAX,
        // Everything else is absent: mapped host memory, textures, clusters, virtual memory,
        // interprocess and graphics interoperation; cooperative launches, because blocks do not
        // run at the same time.
        0..=161 => 0,
        _ => {
            say(&format!("cuDeviceGetAttribute: attribute {attribute} is not known"));
            return Err(CuResult::InvalidValue);
        }
    };
    // Only the NUMA node of the host, -1 for none, uses the sign.
    Ok(value as c_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_follow_the_device() {
        let device = Device::rtx4090();
        assert_eq!(of(&device, 97), Ok(99 << 10));
        assert_eq!((of(&device, 75), of(&device, 76)), (Ok(8), Ok(9)));
        assert_eq!(of(&device, 5), Ok(i32::MAX));
        assert_eq!(of(&device, 19), Ok(0));
        // No cooperative launch.
        assert_eq!(of(&device, 95), Ok(0));
        assert_eq!(of(&device, 1000), Err(CuResult::InvalidValue));
    }
}
