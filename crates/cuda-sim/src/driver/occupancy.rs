//! The occupancy: how many blocks of a kernel fit on a multiprocessor.

use std::ffi::{c_int, c_uint, c_void};

use super::{
    CuResult, Driver, Outcome, contexts::current, exports, functions::Function, handles::Handle,
    say, write,
};
use crate::roofline::{Resources, WARP};

/// The unit in which shared memory is granted, in bytes.
const SHARED_UNIT: u32 = 128;

/// The callback `CUoccupancyB2DSize`: dynamic shared memory as a function of the block size.
type SharedOfBlock = Option<unsafe extern "C" fn(c_int) -> usize>;

/// Returns how many blocks of `threads` threads fit on a multiprocessor at once; 0 if not even one
/// does.
pub(super) fn resident_blocks(
    driver: &Driver,
    function: &Function,
    threads: u32,
    dynamic_shared: u32,
) -> Outcome<u32> {
    let registers = function.registers()?;
    let shared = function.kernel().static_shared.saturating_add(dynamic_shared);
    if threads > function.max_threads(&driver.device) {
        return Ok(0);
    }
    let resources = Resources {
        threads_per_block: threads,
        registers_per_thread: registers,
        shared_per_block: shared,
    };
    Ok(resources.blocks_per_multiprocessor(&driver.device))
}

fn max_active_blocks(
    blocks: *mut c_int,
    function: Handle,
    threads: c_int,
    dynamic_shared: usize,
) -> Outcome {
    let (driver, _) = current()?;
    let function = driver.functions.get(function)?;
    let threads = u32::try_from(threads).ok().filter(|&threads| threads > 0);
    let threads = threads.ok_or(CuResult::InvalidValue)?;
    let shared = u32::try_from(dynamic_shared).map_err(|_| CuResult::InvalidValue)?;
    let resident = resident_blocks(driver, &function, threads, shared)?;
    // SAFETY: the caller of the exported function vouches for `blocks`.
    unsafe { write(blocks, resident as c_int) }
}

/// Finds the block size with the most resident threads, the larger one where two are equal, and the
/// number of blocks that fills the device.
fn max_potential_block_size(
    grid: *mut c_int,
    block: *mut c_int,
    function: Handle,
    shared_of_block: SharedOfBlock,
    dynamic_shared: usize,
    limit: c_int,
) -> Outcome {
    let (driver, _) = current()?;
    let function = driver.functions.get(function)?;
    let most = function.max_threads(&driver.device);
    let most = match u32::try_from(limit) {
        Ok(limit) if limit > 0 => most.min(limit),
        _ => most,
    };
    let mut best = (0, 0, 0);
    let whole_warps = (1..=most / WARP).map(|warps| warps * WARP);
    for threads in whole_warps.chain((most % WARP != 0).then_some(most)) {
        let shared = match shared_of_block {
            // SAFETY: the contract of the API: a function of the block size.
            Some(of_block) => unsafe { of_block(threads as c_int) },
            None => dynamic_shared,
        };
        let shared = u32::try_from(shared).unwrap_or(u32::MAX);
        let blocks = resident_blocks(driver, &function, threads, shared)?;
        best = best.max((blocks * threads, threads, blocks));
    }
    let (_, threads, blocks) = best;
    // SAFETY: the caller of the exported function vouches for both.
    unsafe {
        write(grid, (blocks * driver.device.multiprocessors) as c_int)?;
        write(block, threads as c_int)
    }
}

fn no_clusters(function: &str) -> Outcome {
    current()?;
    say(&format!("{function}: clusters are not supported"));
    Err(CuResult::NotSupported)
}

exports! {
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: *mut c_int,
        function: Handle,
        threads: c_int,
        dynamic_shared: usize,
    ) {
        max_active_blocks(blocks, function, threads, dynamic_shared)
    }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: *mut c_int,
        function: Handle,
        threads: c_int,
        dynamic_shared: usize,
        _flags: c_uint,
    ) {
        max_active_blocks(blocks, function, threads, dynamic_shared)
    }
    fn cuOccupancyMaxPotentialBlockSize(
        grid: *mut c_int,
        block: *mut c_int,
        function: Handle,
        shared_of_block: SharedOfBlock,
        dynamic_shared: usize,
        limit: c_int,
    ) {
        max_potential_block_size(grid, block, function, shared_of_block, dynamic_shared, limit)
    }
    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: *mut c_int,
        block: *mut c_int,
        function: Handle,
        shared_of_block: SharedOfBlock,
        dynamic_shared: usize,
        limit: c_int,
        _flags: c_uint,
    ) {
        max_potential_block_size(grid, block, function, shared_of_block, dynamic_shared, limit)
    }
    fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: *mut usize,
        function: Handle,
        blocks: c_int,
        threads: c_int,
    ) {
        let (driver, _) = current()?;
        let function = driver.functions.get(function)?;
        let (Ok(blocks @ 1..), Ok(threads @ 1..)) = (u32::try_from(blocks), u32::try_from(threads))
        else {
            return Err(CuResult::InvalidValue);
        };
        let device = &driver.device;
        if resident_blocks(driver, &function, threads, 0)? < blocks {
            return write(bytes, 0);
        }
        let share = device.shared_per_multiprocessor / blocks / SHARED_UNIT * SHARED_UNIT;
        let own = share.saturating_sub(device.shared_reserved_per_block);
        let available = own.saturating_sub(function.kernel().static_shared);
        write(bytes, available.min(device.shared_per_block_optin) as usize)
    }
    fn cuOccupancyMaxActiveClusters(
        _clusters: *mut c_int,
        _function: Handle,
        _config: *const c_void,
    ) {
        no_clusters("cuOccupancyMaxActiveClusters")
    }
    fn cuOccupancyMaxPotentialClusterSize(
        _size: *mut c_int,
        _function: Handle,
        _config: *const c_void,
    ) {
        no_clusters("cuOccupancyMaxPotentialClusterSize")
    }
}
