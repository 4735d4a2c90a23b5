//! A launch of a kernel: its checks, its host threads, and the report of a fault.
//!
//! Blocks are independent, so they are handed to the host's threads in order and run in parallel.
//! Everything they do to global memory is then either private to a block, an integer reduction
//! whose order does not matter, or a race, which is an error. Kernels with atomics on global memory
//! whose outcome does depend on the order of blocks (floating-point sums, exchanges, and all whose
//! result is used) and kernels with volatile, relaxed, acquire or release accesses to it run their
//! blocks one after the other in the order of their index. Either way the memory after a launch and
//! the counters are the same in every run.

use super::block::Worker;
use super::fault::{Fault, FaultKind, Violation};
use super::profile::Profile;
use super::special_registers::Place;
use super::warp::{State, Warp};
use crate::counters::LaunchCounters;
use crate::device::Device;
use crate::memory::{DeviceMemory, MemoryView};
use crate::ptx::{Kernel, LoadedModule};
use crate::sanitizer::MAX_BLOCKS;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

/// The number of host threads that run blocks, asked once: the question reads files.
static HOST_THREADS: LazyLock<u64> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u64));

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

/// The data that all host threads of a launch share.
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) params: &'a [u8],
    pub(crate) view: MemoryView,
    pub(crate) memory: &'a DeviceMemory,
    pub(crate) device: &'a Device,
    /// The place of the first warp of the first block.
    pub(crate) place: Place,
    /// Threads of a block.
    pub(crate) threads: u32,
    /// Shared memory of a block.
    pub(crate) shared_bytes: u32,
    /// Whether several host threads run blocks.
    pub(crate) is_parallel: bool,
}

impl LaunchConfig {
    fn blocks(&self) -> u64 {
        self.grid.iter().fold(1, |blocks: u64, &extent| blocks.saturating_mul(extent.into()))
    }

    /// Checks that the simulator can run a grid of this size, which a device may have.
    ///
    /// # Errors
    /// The message says how many blocks there are and how many are possible.
    pub(crate) fn check_blocks(&self) -> Result<(), String> {
        match self.blocks() {
            blocks if blocks > MAX_BLOCKS => {
                Err(format!("a grid of {blocks} blocks; this simulator has {MAX_BLOCKS}"))
            }
            _ => Ok(()),
        }
    }
}

/// Runs `kernel` of `module` to its end and returns the counters. `params` are the kernel's
/// parameters packed at the offsets of [`Kernel::params`].
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
    launch_profiled(module, kernel, config, params, memory, device).map(|(counters, _)| counters)
}

/// Runs a kernel as [`launch`] does, and returns the executions of each line of its PTX as well: by
/// that warp of a block which runs the line most often, summed over the blocks.
pub(crate) fn launch_profiled(
    module: &LoadedModule,
    kernel: &Kernel,
    config: LaunchConfig,
    params: &[u8],
    memory: &DeviceMemory,
    device: &Device,
) -> Result<(LaunchCounters, BTreeMap<u32, u64>), Box<Fault>> {
    let refuse = |kind, message: String| {
        let report = format!("launch of kernel {}: {message}", kernel.name);
        Box::new(Fault { kind, report, block: 0 })
    };
    check(kernel, &config, params, device)
        .map_err(|message| refuse(FaultKind::InvalidConfiguration, message))?;
    config.check_blocks().map_err(|message| refuse(FaultKind::Unsupported, message))?;
    let blocks = config.blocks();
    let threads: u32 = config.block.iter().product();
    let linked = &kernel.linked;
    let host_out_of_memory = || {
        let report = format!("kernel {}: the host is out of memory", kernel.name);
        Box::new(Fault { kind: FaultKind::Unsupported, report, block: 0 })
    };
    let (view, _guard) =
        memory.begin_launch(u64::from(linked.granule)).ok_or_else(host_out_of_memory)?;
    let workers = if linked.is_order_dependent { 1 } else { blocks.min(*HOST_THREADS) };
    let shared_bytes = kernel.static_shared + config.dynamic_shared;
    let place = Place {
        grid: config.grid,
        block: config.block,
        multiprocessors: device.multiprocessors,
        warps_per_multiprocessor: device.threads_per_multiprocessor / 32,
        dynamic_shared: config.dynamic_shared,
        total_shared: shared_bytes,
        ..Place::default()
    };
    let launch = Launch {
        kernel,
        params,
        view,
        memory,
        device,
        place,
        threads,
        shared_bytes,
        is_parallel: workers > 1,
    };
    let progress = Progress {
        next: AtomicU64::new(0),
        limit: AtomicU64::new(blocks),
        fault: Mutex::new(None),
    };
    let run = || run_blocks(module, &launch, &progress);
    let mut results = Vec::new();
    if workers == 1 {
        results.push(run());
    } else {
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
            results.extend(handles.into_iter().map(|handle| match handle.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
        });
    }
    if let Some(fault) = progress.fault.into_inner().unwrap_or_else(|p| p.into_inner()) {
        return Err(Box::new(fault));
    }
    let mut counters = LaunchCounters { launches: 1, ..LaunchCounters::default() };
    let mut profile = Profile::new(linked, threads.div_ceil(32));
    for result in results {
        let (counted, profiled) = result.ok_or_else(host_out_of_memory)?;
        counters.add(&counted);
        profile.add(&profiled);
    }
    profile.count_into(linked, &mut counters);
    let lines = profile.lines(linked);
    Ok((counters, lines))
}

/// The progress of the host threads.
struct Progress {
    /// Number of the next block that nobody has begun.
    next: AtomicU64,
    /// Number of the block from which on blocks need not run, because an earlier one has a fault.
    limit: AtomicU64,
    fault: Mutex<Option<Fault>>,
}

/// Runs blocks until none is left; returns `None` if the host has no memory for it.
fn run_blocks(
    module: &LoadedModule,
    launch: &Launch<'_>,
    progress: &Progress,
) -> Option<(LaunchCounters, Profile)> {
    let (mut worker, mut warps) = Worker::new(launch)?;
    loop {
        let block = progress.next.fetch_add(1, Ordering::SeqCst);
        if block >= progress.limit.load(Ordering::SeqCst) {
            break;
        }
        if let Err((warp, violation)) = worker.run_block(&mut warps, block) {
            let report = report(module, &worker, &warps[warp as usize], &violation);
            let fault = Fault { kind: violation.kind, report, block: worker.blame };
            progress.limit.fetch_min(fault.block + 1, Ordering::SeqCst);
            let mut first = progress.fault.lock().unwrap_or_else(|p| p.into_inner());
            let is_earlier = first
                .as_ref()
                .is_none_or(|first| (fault.block, &fault.report) < (first.block, &first.report));
            if is_earlier {
                *first = Some(fault);
            }
        }
    }
    Some((worker.counters, worker.profile))
}

fn check(
    kernel: &Kernel,
    config: &LaunchConfig,
    params: &[u8],
    device: &Device,
) -> Result<(), String> {
    let LaunchConfig { grid, block, dynamic_shared } = *config;
    for axis in 0..3 {
        if grid[axis] == 0 || grid[axis] > device.grid_extent[axis] {
            return Err(format!(
                "a grid of {grid:?} blocks; the device has {:?}",
                device.grid_extent
            ));
        }
        if block[axis] == 0 || block[axis] > device.block_extent[axis] {
            let most = device.block_extent;
            return Err(format!("a block of {block:?} threads; the device has {most:?}"));
        }
    }
    let threads = block.iter().map(|&extent| u64::from(extent)).product::<u64>();
    if threads > device.threads_per_block.into() {
        let most = device.threads_per_block;
        return Err(format!("a block of {threads} threads; the device has {most}"));
    }
    if let Some(required) = kernel.required_threads.filter(|required| *required != block) {
        return Err(format!("a block of {block:?} threads; the kernel requires {required:?}"));
    }
    if let Some(most) = kernel.max_threads {
        let most: u64 = most.iter().map(|&extent| u64::from(extent)).product();
        if threads > most {
            return Err(format!("a block of {threads} threads; the kernel allows {most}"));
        }
    }
    let shared = u64::from(kernel.static_shared) + u64::from(dynamic_shared);
    if shared > device.shared_per_block_optin.into() {
        let most = device.shared_per_block_optin;
        return Err(format!("{shared} bytes of shared memory in a block; the device has {most}"));
    }
    if params.len() != kernel.param_bytes {
        let wanted = kernel.param_bytes;
        return Err(format!("{} bytes of parameters; the kernel takes {wanted}", params.len()));
    }
    Ok(())
}

/// Returns everything known about a fault, in one text.
fn report(
    module: &LoadedModule,
    worker: &Worker<'_>,
    warp: &Warp,
    violation: &Violation,
) -> String {
    let kernel = worker.launch.kernel;
    let [bx, by, bz] = worker.place.block_index;
    let mut report =
        format!("{}\n  kernel {}, block ({bx}, {by}, {bz})", violation.message, kernel.name);
    match violation.lane {
        Some(lane) => {
            let thread = 32 * warp.index + lane;
            let [x, y, _] = worker.place.block;
            let (tx, ty, tz) = (thread % x, thread / x % y, thread / x / y);
            report += &format!(", thread ({tx}, {ty}, {tz}), warp {} lane {lane}", warp.index);
        }
        None => report += &format!(", warp {}", warp.index),
    }
    for (depth, activation) in warp.activations.iter().enumerate().rev() {
        let function = &kernel.linked.functions[activation.function];
        // The path at the top of those that belong to this activation.
        let end = warp.activations.get(depth + 1).map_or(warp.paths.len(), |above| above.base);
        let Some(path) = end.checked_sub(1).and_then(|top| warp.paths.get(top)) else {
            continue;
        };
        // A warp that waits at a barrier has gone past it already.
        let waits =
            depth + 1 == warp.activations.len() && matches!(warp.state, State::AtBarrier(_));
        let pc = (path.pc as usize).saturating_sub(waits.into());
        let pc = pc.min(function.code.lines.len().saturating_sub(1));
        let Some(&(line, source)) = function.code.lines.get(pc) else {
            continue;
        };
        report += &format!("\n  PTX line {line} in {}", function.code.name);
        if let Some(file) = module.file(source.file) {
            report += &format!(", {file}:{}", source.line);
        }
        if let Some((file, line)) = source.inlined_at
            && let Some(file) = module.file(file)
        {
            report += &format!(", inlined at {file}:{line}");
        }
    }
    report
}
