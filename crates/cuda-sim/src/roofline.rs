//! The theoretical occupancy and a roofline estimate of a launch: a model, not a measurement.

use crate::{counters::LaunchCounters, device::Device};

/// The threads of a warp.
pub const WARP: u32 = 32;
/// The unit in which registers are granted to a warp (compute capability 8.0 to 9.0; CUDA
/// programming guide, and `cuda_occupancy.h` of the CUDA toolkit).
const REGISTER_UNIT: u32 = 256;
/// The number of schedulers that the register file is split between; a warp lives on one of them.
pub const SCHEDULERS: u32 = 4;
/// The unit in which shared memory is granted to a block, in bytes.
const SHARED_UNIT: u32 = 128;
/// The bytes of a sector, the unit of global-memory traffic.
pub const SECTOR: u64 = 32;

/// The resources that a block of a kernel takes up on a multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads of a block.
    pub threads_per_block: u32,
    /// Registers of a thread, from `ptxas -v`.
    pub registers_per_thread: u32,
    /// Static and dynamic shared memory of a block, in bytes, without what the driver reserves.
    pub shared_per_block: u32,
}

impl Resources {
    /// Returns how many such blocks fit on a multiprocessor at once: the smallest of the numbers
    /// that block slots, warp slots, registers and shared memory allow, or 0 if not even one fits.
    pub fn blocks_per_multiprocessor(self, device: &Device) -> u32 {
        let warps = self.threads_per_block.div_ceil(WARP).max(1);
        let registers_per_warp =
            (self.registers_per_thread.max(1) * WARP).next_multiple_of(REGISTER_UNIT);
        let registers_per_scheduler = device.registers_per_multiprocessor / SCHEDULERS;
        let warps_by_registers = SCHEDULERS * (registers_per_scheduler / registers_per_warp);
        let shared = self
            .shared_per_block
            .saturating_add(device.shared_reserved_per_block)
            .checked_next_multiple_of(SHARED_UNIT)
            .unwrap_or(u32::MAX);
        if self.threads_per_block > device.threads_per_block
            || warps * registers_per_warp > device.registers_per_block
            || self.shared_per_block > device.shared_per_block_optin
        {
            return 0;
        }
        device
            .blocks_per_multiprocessor
            .min(device.threads_per_multiprocessor / WARP / warps)
            .min(warps_by_registers / warps)
            .min(device.shared_per_multiprocessor / shared)
    }

    /// Returns the ratio of resident warps to the most a multiprocessor can hold, 0 to 1.
    pub fn occupancy(self, device: &Device) -> f64 {
        let warps = self.blocks_per_multiprocessor(device) * self.threads_per_block.div_ceil(WARP);
        f64::from(warps) / f64::from(device.threads_per_multiprocessor / WARP)
    }
}

/// Lower bounds of a launch's time on a device, each as if nothing else took time. They are counts
/// of the launch divided by the peak rates of the device: they know no latency, and no caches
/// beyond the two stated extremes of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roofline {
    /// Seconds of f32 arithmetic.
    pub f32_seconds: f64,
    /// Seconds of f64 arithmetic.
    pub f64_seconds: f64,
    /// Seconds of the matrix units, with everything but f64 at the rate of f16 (tf32 is slower).
    pub matrix_seconds: f64,
    /// Seconds to move every distinct byte once: a cache that never forgets.
    pub compulsory_seconds: f64,
    /// Seconds to move all sectors of all requests: no cache at all.
    pub uncached_seconds: f64,
}

impl Roofline {
    /// Estimates one launch.
    pub fn of(counters: &LaunchCounters, device: &Device) -> Self {
        let sectors = counters.global_load_sectors + counters.global_store_sectors;
        Self {
            f32_seconds: counters.f32_flops() as f64 / device.f32_peak,
            f64_seconds: counters.f64_flops() as f64 / device.f64_peak,
            matrix_seconds: counters.matrix_f64_flops as f64 / device.matrix_f64_peak
                + counters.matrix_other_flops as f64 / device.matrix_f16_peak,
            compulsory_seconds: counters.compulsory_bytes() as f64 / device.memory_bandwidth,
            uncached_seconds: (SECTOR * sectors) as f64 / device.memory_bandwidth,
        }
    }

    /// Adds the estimate of a launch that comes after.
    pub fn add(&mut self, next: &Self) {
        self.f32_seconds += next.f32_seconds;
        self.f64_seconds += next.f64_seconds;
        self.matrix_seconds += next.matrix_seconds;
        self.compulsory_seconds += next.compulsory_seconds;
        self.uncached_seconds += next.uncached_seconds;
    }

    /// Returns the least time in seconds that the device could take, and what bounds it.
    pub fn bound(&self) -> (f64, &'static str) {
        let bounds = [
            (self.compulsory_seconds, "memory"),
            (self.f32_seconds, "f32"),
            (self.f64_seconds, "f64"),
            (self.matrix_seconds, "matrix"),
        ];
        bounds.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
    }

    /// Returns all figures as one JSON object.
    pub fn to_json(&self) -> String {
        let (seconds, bound) = self.bound();
        format!(
            "{{\"f32_seconds\":{:e},\"f64_seconds\":{:e},\"matrix_seconds\":{:e},\
             \"compulsory_seconds\":{:e},\"uncached_seconds\":{:e},\
             \"bound\":\"{bound}\",\"bound_seconds\":{seconds:e}}}",
            self.f32_seconds,
            self.f64_seconds,
            self.matrix_seconds,
            self.compulsory_seconds,
            self.uncached_seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Class;

    fn blocks(device: &Device, threads: u32, registers: u32, shared: u32) -> u32 {
        Resources {
            threads_per_block: threads,
            registers_per_thread: registers,
            shared_per_block: shared,
        }
        .blocks_per_multiprocessor(device)
    }

    #[test]
    fn each_resource_limits_the_blocks() {
        let device = Device::a100();
        // 2048 threads of 256; 32 slots of blocks.
        assert_eq!(blocks(&device, 256, 32, 0), 8);
        assert_eq!(blocks(&device, 32, 16, 0), 32);
        // 255 registers: 8192 per warp, 2 warps per scheduler, 8 warps.
        assert_eq!(blocks(&device, 128, 255, 0), 2);
        assert_eq!(blocks(&device, 256, 255, 0), 1);
        assert_eq!(blocks(&device, 1024, 255, 0), 0);
        // 48 KiB and 1 KiB reserved: 3 in 164 KiB. 163 KiB: 1. More than that: 0.
        assert_eq!(blocks(&device, 128, 32, 48 << 10), 3);
        assert_eq!(blocks(&device, 128, 32, 163 << 10), 1);
        assert_eq!(blocks(&device, 128, 32, (163 << 10) + 1), 0);
    }

    #[test]
    fn the_roof_is_the_longest_time() {
        let device = Device::h100();
        let mut counters = LaunchCounters {
            distinct_bytes_read: 1 << 20,
            global_load_sectors: 1 << 16,
            ..Default::default()
        };
        counters.thread_instructions[Class::F64Fma as usize] = 1 << 20;
        let roofline = Roofline::of(&counters, &device);
        assert_eq!(roofline.f64_seconds, f64::from(2 << 20) / device.f64_peak);
        assert_eq!(roofline.compulsory_seconds, f64::from(1 << 20) / device.memory_bandwidth);
        assert_eq!(roofline.uncached_seconds, f64::from(1 << 21) / device.memory_bandwidth);
        assert_eq!(roofline.bound().1, "memory");
        // 2^30 at 66.9 and 2^40 at 989.4 Tflop/s: 16 µs and 1.1 ms.
        counters.matrix_f64_flops = 1 << 30;
        counters.matrix_other_flops = 1 << 40;
        let (seconds, bound) = Roofline::of(&counters, &device).bound();
        assert_eq!(bound, "matrix");
        assert!((seconds - 1127.34e-6).abs() < 0.01e-6, "{seconds}");
    }
}
