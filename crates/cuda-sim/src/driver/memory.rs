//! Device memory: functions that allocate it, free it and inspect it.

use std::{
    collections::BTreeMap,
    ffi::{c_int, c_uint, c_void},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    CuResult, Driver, Outcome, captures,
    contexts::{Context, current, current_finished, current_waited_for},
    exports,
    handles::Handle,
    lock,
    queues::{finish_all, submit},
    say,
    streams::{Target, target},
    work::Work,
    write,
};
use crate::{faults::Operation, memory::FIRST_ADDRESS};

/// The number of bytes that the rows of a pitched allocation start at multiples of.
const PITCH: usize = 512;

/// The flags `CUmemAttach_flags` of a new allocation: every stream may access it, or at first the
/// host alone.
const ATTACH_GLOBAL: c_uint = 1;
const ATTACH_HOST: c_uint = 2;

/// A live allocation with everything that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) bytes: u64,
    pub(super) context: Handle,
    /// Pool that the allocation came from.
    pool: Option<Handle>,
    /// Number of the allocation in the process, counted from 1.
    pub(super) number: u64,
    /// Name of the function that made it.
    pub(super) origin: &'static str,
    /// State of an allocation node of a graph: whether the node has run and nothing has freed it
    /// since. Its addresses stay reserved as long as the graph exists.
    graph: Option<bool>,
    /// Whether its freeing was ordered into a stream.
    free_ordered: bool,
}

/// All allocations by address.
#[derive(Default)]
pub(super) struct Allocations {
    records: Mutex<BTreeMap<u64, Record>>,
    made: AtomicU64,
}

impl Allocations {
    /// Allocates from the device, for `pool` if one is given.
    pub(super) fn allocate(
        &self,
        driver: &Driver,
        context: &Context,
        bytes: usize,
        pool: Option<Handle>,
        origin: &'static str,
    ) -> Outcome<u64> {
        driver.faults.check(Operation::Allocation)?;
        let bytes = bytes as u64;
        let address = driver.memory.allocate(bytes).or_else(|| {
            // Memory whose freeing still waits in a stream.
            finish_all(driver, |_| true);
            driver.memory.allocate(bytes)
        });
        let address = address.ok_or(CuResult::OutOfMemory)?;
        self.add(driver, context, address, bytes, pool, origin);
        Ok(address)
    }

    /// Allocates memory that the host can access, too.
    fn allocate_managed(&self, driver: &Driver, context: &Context, bytes: usize) -> Outcome<u64> {
        driver.faults.check(Operation::Allocation)?;
        let bytes = bytes as u64;
        let allocated = driver.memory.allocate_managed(bytes);
        let address = allocated.ok_or(CuResult::OutOfMemory)?;
        self.add(driver, context, address, bytes, None, "cuMemAllocManaged");
        Ok(address)
    }

    fn add(
        &self,
        driver: &Driver,
        context: &Context,
        address: u64,
        bytes: u64,
        pool: Option<Handle>,
        origin: &'static str,
    ) {
        if let Some(pool) = pool.and_then(|pool| driver.pools.find(pool)) {
            pool.add(bytes);
        }
        let record = Record {
            bytes,
            context: context.handle,
            pool,
            number: self.made.fetch_add(1, Ordering::Relaxed) + 1,
            origin,
            graph: None,
            free_ordered: false,
        };
        lock(&self.records).insert(address, record);
    }

    /// Checks the freeing of an allocation when it is ordered into a stream.
    pub(super) fn announce_free(&self, driver: &Driver, address: u64) -> Outcome {
        let refused = |message: String| {
            driver.records.report(format!("invalid free: {message}"));
            Err(CuResult::InvalidValue)
        };
        match lock(&self.records).get_mut(&address) {
            // Whether a graph's allocation is alive is seen when the node runs.
            Some(record) if record.graph.is_some() => Ok(()),
            Some(record) if record.free_ordered => {
                refused(format!("the freeing of {address:#x} was ordered before"))
            }
            Some(record) => {
                record.free_ordered = true;
                Ok(())
            }
            None => refused(driver.memory.explain(address, 1).to_string()),
        }
    }

    /// Frees memory that `allocate` returned, or ends the life of a graph's allocation.
    pub(super) fn free(&self, driver: &Driver, address: u64) -> Outcome {
        let mut records = lock(&self.records);
        if let Some(alive) = records.get_mut(&address).and_then(|r| r.graph.as_mut()) {
            if !std::mem::replace(alive, false) {
                let message = format!("free of {address:#x}: the graph's allocation is not alive");
                driver.records.report(message);
                return Err(CuResult::InvalidValue);
            }
            return Ok(());
        }
        let record = records.remove(&address);
        drop(records);
        driver.memory.free(address).map_err(|error| {
            driver.records.report(format!("invalid free: {error}"));
            CuResult::InvalidValue
        })?;
        if let Some(Record { bytes, pool: Some(pool), .. }) = record
            && let Some(pool) = driver.pools.find(pool)
        {
            pool.remove(bytes);
        }
        Ok(())
    }

    /// Turns a fresh allocation into a graph's: not alive until its node runs.
    fn give_to_graph(&self, address: u64) {
        if let Some(record) = lock(&self.records).get_mut(&address) {
            record.graph = Some(false);
        }
    }

    /// Runs the allocation node of a graph.
    pub(super) fn begin_life(&self, address: u64) -> Outcome {
        match lock(&self.records).get_mut(&address).and_then(|r| r.graph.as_mut()) {
            Some(alive) if !*alive => {
                *alive = true;
                Ok(())
            }
            _ => {
                say("graph launch: memory allocated by the previous launch was never freed");
                Err(CuResult::InvalidValue)
            }
        }
    }

    /// Frees the memory that a previous launch of a graph left alive.
    pub(super) fn end_lives(&self, addresses: &[u64]) {
        let mut records = lock(&self.records);
        for address in addresses {
            if let Some(record) = records.get_mut(address).filter(|r| r.graph.is_some()) {
                record.graph = Some(false);
            }
        }
    }

    /// Gives up the addresses of a graph that no longer exists.
    pub(super) fn release_graph_memory(&self, driver: &Driver, addresses: &[u64]) {
        for address in addresses {
            // The memory is already gone if the context was destroyed first.
            if lock(&self.records).remove(address).is_some()
                && let Err(error) = driver.memory.free(*address)
            {
                driver.records.report(format!("memory of a graph: {error}"));
            }
        }
    }

    /// Returns the memory that nobody has freed, of one context or of all.
    pub(super) fn leaks(&self, context: Option<Handle>) -> Vec<(u64, Record)> {
        lock(&self.records)
            .iter()
            .filter(|(_, record)| context.is_none_or(|context| context == record.context))
            .filter(|(_, record)| record.graph != Some(false))
            .map(|(&address, record)| (address, record.clone()))
            .collect()
    }

    /// Frees everything of a context that ends.
    pub(super) fn free_all_of(&self, driver: &Driver, context: Handle) {
        let mut records = lock(&self.records);
        records.retain(|&address, record| {
            let keep = record.context != context;
            if !keep && let Err(error) = driver.memory.free(address) {
                driver.records.report(format!("memory of a context that ends: {error}"));
            }
            keep
        });
    }
}

/// Orders an allocation into a stream, or adds a node where the stream is being captured.
fn allocate_async(
    address: *mut u64,
    bytes: usize,
    pool: Option<Handle>,
    stream: Handle,
    origin: &'static str,
) -> Outcome {
    let (driver, context) = current()?;
    let target = target(driver, &context, stream)?;
    // The stream-ordered allocator accepts an empty allocation; no address belongs to it.
    let allocated = match bytes {
        0 => 0,
        _ => {
            let pool = pool.unwrap_or_else(|| driver.device_pools.current());
            driver.pools.get(pool)?;
            driver.allocations.allocate(driver, &context, bytes, Some(pool), origin)?
        }
    };
    if let (Target::Capture(capture), true) = (target, bytes > 0) {
        driver.allocations.give_to_graph(allocated);
        capture.own(allocated);
        capture.record(stream, Work::Allocate(allocated))?;
    }
    // SAFETY: the caller of the exported function vouches for `address`.
    unsafe { write(address, allocated) }
}

/// Checks that an address is of managed memory, which is wherever it is needed: advice on its place
/// changes nothing.
fn check_managed(driver: &Driver, address: u64) -> Outcome {
    let allocation = driver.memory.allocation_of(address);
    let managed = allocation.is_some() && address < FIRST_ADDRESS;
    if managed { Ok(()) } else { Err(CuResult::InvalidValue) }
}

exports! {
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let (driver, context) = current()?;
        finish_all(driver, |stream| stream.context == context.handle);
        let (free_bytes, total_bytes) = driver.memory.info();
        write(free, free_bytes as usize)?;
        write(total, total_bytes as usize)
    }
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        let (driver, context) = current_waited_for()?;
        captures::refuse_if_unsafe(driver)?;
        if bytes == 0 {
            return Err(CuResult::InvalidValue);
        }
        let origin = "cuMemAlloc";
        write(address, driver.allocations.allocate(driver, &context, bytes, None, origin)?)
    }
    fn cuMemAllocPitch_v2(
        address: *mut u64,
        pitch: *mut usize,
        width: usize,
        height: usize,
        element: c_uint,
    ) {
        let (driver, context) = current_waited_for()?;
        captures::refuse_if_unsafe(driver)?;
        let row = width.checked_next_multiple_of(PITCH).ok_or(CuResult::InvalidValue)?;
        let bytes = row.checked_mul(height).filter(|&bytes| bytes > 0);
        let bytes = bytes.filter(|_| matches!(element, 4 | 8 | 16)).ok_or(CuResult::InvalidValue)?;
        let origin = "cuMemAllocPitch";
        write(address, driver.allocations.allocate(driver, &context, bytes, None, origin)?)?;
        write(pitch, row)
    }
    fn cuMemAllocManaged(address: *mut u64, bytes: usize, flags: c_uint) {
        let (driver, context) = current_waited_for()?;
        captures::refuse_if_unsafe(driver)?;
        if bytes == 0 || !matches!(flags, ATTACH_GLOBAL | ATTACH_HOST) {
            return Err(CuResult::InvalidValue);
        }
        write(address, driver.allocations.allocate_managed(driver, &context, bytes)?)
    }
    fn cuStreamAttachMemAsync(stream: Handle, address: u64, _bytes: usize, _flags: c_uint) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        check_managed(driver, address)
    }
    fn cuMemPrefetchAsync(address: u64, _bytes: usize, _device: c_int, stream: Handle) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        check_managed(driver, address)
    }
    fn cuMemPrefetchAsync_v2(
        address: u64,
        _bytes: usize,
        _location: u64,
        _flags: c_uint,
        stream: Handle,
    ) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        check_managed(driver, address)
    }
    fn cuMemAdvise(address: u64, _bytes: usize, _advice: c_int, _device: c_int) {
        check_managed(current()?.0, address)
    }
    fn cuMemAdvise_v2(address: u64, _bytes: usize, _advice: c_int, _location: u64) {
        check_managed(current()?.0, address)
    }
    fn cuMemFree_v2(address: u64) {
        captures::refuse_if_unsafe(current()?.0)?;
        let (driver, _) = current_finished()?;
        if address == 0 { Ok(()) } else { driver.allocations.free(driver, address) }
    }
    fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: Handle) {
        allocate_async(address, bytes, None, stream, "cuMemAllocAsync")
    }
    fn cuMemAllocFromPoolAsync(address: *mut u64, bytes: usize, pool: Handle, stream: Handle) {
        allocate_async(address, bytes, Some(pool), stream, "cuMemAllocFromPoolAsync")
    }
    fn cuMemFreeAsync(address: u64, stream: Handle) {
        if address == 0 {
            let (driver, context) = current()?;
            return target(driver, &context, stream).map(drop);
        }
        submit(stream, Work::Free(address))
    }
    fn cuMemGetAddressRange_v2(start: *mut u64, bytes: *mut usize, address: u64) {
        let (driver, _) = current()?;
        let found = driver.memory.allocation_of(address).ok_or(CuResult::NotFound)?;
        if !start.is_null() {
            write(start, found.address)?;
        }
        if bytes.is_null() { Ok(()) } else { write(bytes, found.bytes as usize) }
    }
    fn cuPointerGetAttribute(value: *mut c_void, attribute: c_int, address: u64) {
        let (driver, _) = current()?;
        let found = driver.memory.allocation_of(address).ok_or(CuResult::InvalidValue)?;
        match attribute {
            // The value is CU_MEMORYTYPE_DEVICE.
            2 => write(value.cast::<c_uint>(), 2),
            3 => write(value.cast::<u64>(), address),
            8 => write(value.cast::<u8>(), (address < FIRST_ADDRESS).into()),
            9 => write(value.cast::<c_int>(), 0),
            11 => write(value.cast::<u64>(), found.address),
            12 => write(value.cast::<usize>(), found.bytes as usize),
            _ => {
                say(&format!("cuPointerGetAttribute: attribute {attribute} is not supported"));
                Err(CuResult::NotSupported)
            }
        }
    }
}
