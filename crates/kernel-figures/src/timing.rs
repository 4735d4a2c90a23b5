//! Estimates of the time of launches, with latency: the machine code's stall counts and barriers,
//! the ways that the simulated warps went, and the warps that a multiprocessor holds at once.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
};

use cuda_sim::{
    counters::LaunchCounters,
    device::Device,
    roofline::{SCHEDULERS, SECTOR, WARP},
    simulator::LaunchRecord,
};

use crate::{
    estimate::{Estimate, resources},
    flow,
    latency::Latencies,
    machine_code::{self, Instruction},
    misses::Direction,
    pipeline::Scheduler,
    resources::{architectures, find_ptxas},
    workloads::{Measured, Run},
};

/// The estimate of some launches on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimated {
    /// Seconds, never less than the bound from counts.
    pub seconds: f64,
    /// Cycles of the busiest scheduler.
    pub cycles: f64,
    /// Instructions that it issues.
    pub instructions: f64,
}

/// A kernel on an architecture.
struct Kernel {
    ptx: String,
    code: Vec<Instruction>,
    registers: u32,
}

/// Estimates times; kernels are assembled when they are first asked for.
pub struct Timing {
    ptxas: PathBuf,
    kernels: RefCell<HashMap<(String, &'static str), Rc<Kernel>>>,
}

impl Timing {
    /// Finds the assembler.
    ///
    /// # Errors
    /// Those of [`find_ptxas`].
    pub fn new() -> Result<Self, String> {
        Ok(Timing { ptxas: find_ptxas()?, kernels: RefCell::default() })
    }

    /// Estimates a workload with all its systems: its solve and its gradient, on each of
    /// [`architectures`].
    ///
    /// # Errors
    /// There is no such kernel, or a tool fails.
    pub fn of_workload(&self, measured: &Measured) -> Result<[[Estimated; 3]; 2], String> {
        let times = measured.workload.batch as f64 / measured.workload.simulated as f64;
        let mut estimated = [[Estimated::default(); 3]; 2];
        for direction in Direction::ALL {
            for (estimated, architecture) in
                estimated[direction as usize].iter_mut().zip(architectures())
            {
                *estimated = self.of(measured.run(direction), times, &architecture)?;
            }
        }
        Ok(estimated)
    }

    /// Estimates the launches of a run, one after the other, each scaled to `times` its size, on a
    /// device of this architecture.
    fn of(
        &self,
        run: &Run,
        times: f64,
        (architecture, device): &(&'static str, Device),
    ) -> Result<Estimated, String> {
        let mut sum = Estimated::default();
        for launch in &run.launches {
            let kernel = self.kernel(&launch.kernel, architecture)?;
            let of_kernel = |other: &&LaunchRecord| other.kernel == launch.kernel;
            let blocks: u64 =
                run.launches.iter().filter(of_kernel).map(|l| l.counters.blocks).sum();
            let per_block = |(&line, &count): (&u32, &u64)| (line, count as f64 / blocks as f64);
            let executions: BTreeMap<u32, f64> =
                run.profiles[&launch.kernel].iter().map(per_block).collect();
            let way = flow::walk(&kernel.code, &kernel.ptx, &executions);
            let (bound, _) = Estimate::of_all(std::slice::from_ref(launch), times, device);
            let next = kernel.estimate(&way, launch, times, device);
            sum.seconds += next.seconds.max(bound);
            sum.cycles += next.cycles;
            sum.instructions += next.instructions;
        }
        Ok(sum)
    }

    fn kernel(&self, name: &str, architecture: &'static str) -> Result<Rc<Kernel>, String> {
        let key = (name.to_owned(), architecture);
        if let Some(kernel) = self.kernels.borrow().get(&key) {
            return Ok(kernel.clone());
        }
        let images = mechanistic::cuda::kernel_images().iter().find(|image| image.name == name);
        let ptx = images.ok_or_else(|| format!("no kernel {name}"))?.ptx();
        let usage = cuda_sim::assembler::assemble(&self.ptxas, &ptx, architecture)?;
        let code = machine_code::read(&self.ptxas, &ptx, architecture)?;
        let registers = usage.get(name).map_or(0, |usage| usage.registers);
        let kernel = Rc::new(Kernel { ptx, code, registers });
        self.kernels.borrow_mut().insert(key, kernel.clone());
        Ok(kernel)
    }
}

impl Kernel {
    fn estimate(
        &self,
        way: &[u32],
        launch: &LaunchRecord,
        times: f64,
        device: &Device,
    ) -> Estimated {
        let counters = &launch.counters;
        let resources = resources(launch, self.registers, 0);
        let resident = resources.blocks_per_multiprocessor(device).max(1);
        let warps_per_block = resources.threads_per_block / WARP;
        let blocks = (times * counters.blocks as f64).ceil() as u32;
        // Blocks of the multiprocessor with the most of them, in rounds.
        let most = blocks.div_ceil(device.multiprocessors);
        let round = |blocks: u32| {
            let warps = blocks * warps_per_block;
            let scheduler = Scheduler {
                code: &self.code,
                way,
                latencies: &Latencies::of(device),
                warps: warps.div_ceil(SCHEDULERS) as usize,
                sharing: warps.min(SCHEDULERS) as usize,
                missing: missing(counters, times, device),
                conflicts: counters.bank_conflicts_per_request(),
            };
            [scheduler.cycles(), (scheduler.warps * way.len()) as f64]
        };
        let mut sums = [0.0; 2];
        for (rounds, blocks) in [(most / resident, resident), (1, most % resident)] {
            if rounds > 0 && blocks > 0 {
                let of_round = round(blocks);
                sums[0] += f64::from(rounds) * of_round[0];
                sums[1] += f64::from(rounds) * of_round[1];
            }
        }
        let [cycles, instructions] = sums;
        Estimated { seconds: cycles / (1e3 * f64::from(device.clock_khz)), cycles, instructions }
    }
}

/// Returns the share of the loads that miss L2: of what a launch reads without having written it, if
/// everything fits there; else all.
fn missing(counters: &LaunchCounters, times: f64, device: &Device) -> f64 {
    let (read, written) = (counters.distinct_bytes_read, counters.distinct_bytes_written);
    if times * read.max(written) as f64 > f64::from(device.l2_bytes) {
        return 1.0;
    }
    let moved = (SECTOR * counters.global_load_sectors).max(1);
    (read.saturating_sub(written) as f64 / moved as f64).min(1.0)
}
