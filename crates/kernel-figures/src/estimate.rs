//! Estimates of what a launch could reach on a GPU: occupancy, and the least time that its counts
//! allow.

use cuda_sim::{
    device::Device,
    roofline::{Resources, Roofline, SCHEDULERS, WARP},
    simulator::LaunchRecord,
};

/// Lower bounds of the time of a launch in seconds, of which the largest holds. They know neither
/// latency nor caches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Time to move the bytes.
    memory: f64,
    /// Time of the floating-point arithmetic.
    arithmetic: f64,
    /// Time to issue all instructions.
    issue: f64,
}

impl Estimate {
    /// Estimates one launch, scaled to `times` its size. Where there are fewer warps than
    /// schedulers, the other schedulers idle.
    pub fn of(launch: &LaunchRecord, times: f64, device: &Device) -> Self {
        let roofline = Roofline::of(&launch.counters, device);
        // Each issues one instruction a clock.
        let schedulers = f64::from(SCHEDULERS * device.multiprocessors);
        let busy = schedulers.min(times * launch.counters.warps as f64);
        let clock = 1e3 * f64::from(device.clock_khz);
        Estimate {
            memory: times * roofline.uncached_seconds,
            arithmetic: times * (roofline.f32_seconds + roofline.f64_seconds) * schedulers / busy,
            issue: times * launch.counters.total_warp_instructions() as f64 / (busy * clock),
        }
    }

    /// Estimates launches one after the other, each scaled to `times` its size; returns the seconds
    /// and what bounds most of them.
    pub fn of_all(launches: &[LaunchRecord], times: f64, device: &Device) -> (f64, &'static str) {
        let mut sum = Estimate::default();
        for launch in launches {
            let next = Self::of(launch, times, device);
            sum.memory += next.memory;
            sum.arithmetic += next.arithmetic;
            sum.issue += next.issue;
        }
        let bounds = [(sum.memory, "memory"), (sum.arithmetic, "arithmetic"), (sum.issue, "issue")];
        bounds.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are three")
    }
}

/// Returns the number of warps that a multiprocessor holds at once, relative to the most it can
/// hold.
pub fn occupancy(launch: &LaunchRecord, registers: u32, shared: u32, device: &Device) -> f64 {
    resources(launch, registers, shared).occupancy(device)
}

/// Returns what a block of a launch takes up, in whole warps: `registers` of a thread, and `shared` bytes
/// of shared memory besides the dynamic ones.
pub fn resources(launch: &LaunchRecord, registers: u32, shared: u32) -> Resources {
    let threads = launch.config.block.iter().product::<u32>();
    Resources {
        threads_per_block: threads.next_multiple_of(WARP),
        registers_per_thread: registers,
        shared_per_block: shared + launch.config.dynamic_shared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_sim::{
        counters::{Class, LaunchCounters},
        exec::LaunchConfig,
    };

    #[test]
    fn idle_schedulers_do_not_help() {
        let device = Device::a100();
        let config = LaunchConfig { grid: [1, 1, 1], block: [32, 1, 1], dynamic_shared: 0 };
        let mut counters = LaunchCounters { warps: 1, ..LaunchCounters::default() };
        counters.thread_instructions[Class::F64Fma as usize] = 32 << 20;
        counters.warp_instructions[Class::F64Fma as usize] = 1 << 20;
        let launch = LaunchRecord { kernel: "one".into(), config, counters };
        let one = Estimate::of(&launch, 1.0, &device);
        // One warp issues at most one instruction a clock.
        assert_eq!(one.issue, f64::from(1 << 20) / 1.41e9);
        let many = Estimate::of(&launch, 864.0, &device);
        assert_eq!(many.arithmetic / one.arithmetic, 2.0);
        let (seconds, bound) = Estimate::of_all(&[launch.clone(), launch.clone()], 1.0, &device);
        assert_eq!((seconds, bound), (2.0 * one.arithmetic, "arithmetic"));
        assert_eq!(occupancy(&launch, 128, 0, &device), 16.0 / 64.0);
    }
}
