//! Page-locked host memory, which is allocated by the driver or registered with it.

use std::{
    alloc::{Layout, alloc, dealloc},
    collections::BTreeMap,
    ffi::{c_uint, c_void},
    sync::Mutex,
};

use super::{
    CuResult, Outcome, captures,
    contexts::{current, current_finished, current_waited_for},
    exports,
    guards::{Guard, Purpose},
    handles::Handle,
    lock, say, write,
};
use crate::faults::Operation;

/// The size of a page, to which the driver aligns page-locked memory.
pub(super) const PAGE: usize = 4096;

struct Block {
    /// Layout with which the memory was allocated; `None` if the caller's memory was registered.
    layout: Option<Layout>,
    bytes: usize,
    flags: c_uint,
    context: Handle,
}

/// All page-locked memory by address.
#[derive(Default)]
pub(super) struct HostMemory(Mutex<BTreeMap<usize, Block>>);

impl HostMemory {
    fn allocate(&self, bytes: usize, flags: c_uint, context: Handle) -> Outcome<*mut c_void> {
        // Pages that nobody else has, so that they can be guarded.
        let layout = Layout::from_size_align(bytes, PAGE).map_err(|_| CuResult::InvalidValue)?;
        let layout = layout.pad_to_align();
        if bytes == 0 {
            return Err(CuResult::InvalidValue);
        }
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            return Err(CuResult::OutOfMemory);
        }
        let layout = Some(layout);
        let block = Block { layout, bytes, flags, context };
        lock(&self.0).insert(start as usize, block);
        Ok(start.cast())
    }

    fn free(&self, start: usize) -> Outcome {
        let mut blocks = lock(&self.0);
        match blocks.get(&start) {
            Some(Block { layout: Some(layout), .. }) => {
                // SAFETY: allocated in `allocate` with this layout, and forgotten right below.
                unsafe { dealloc(start as *mut u8, *layout) };
                blocks.remove(&start);
                Ok(())
            }
            _ => Err(CuResult::InvalidValue),
        }
    }

    fn register(&self, start: usize, bytes: usize, flags: c_uint, context: Handle) -> Outcome {
        let end = start.checked_add(bytes).filter(|&end| start != 0 && end > start);
        let end = end.ok_or(CuResult::InvalidValue)?;
        let mut blocks = lock(&self.0);
        let overlaps = |(&other, block): (&usize, &Block)| other + block.bytes > start;
        if blocks.range(..end).next_back().is_some_and(overlaps) {
            return Err(CuResult::HostMemoryAlreadyRegistered);
        }
        let layout = None;
        blocks.insert(start, Block { layout, bytes, flags, context });
        Ok(())
    }

    fn unregister(&self, start: usize) -> Outcome {
        let mut blocks = lock(&self.0);
        match blocks.get(&start) {
            Some(Block { layout: None, .. }) => {
                blocks.remove(&start);
                Ok(())
            }
            _ => Err(CuResult::HostMemoryNotRegistered),
        }
    }

    /// Returns whether an address lies in page-locked memory.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.block_of(address).is_some()
    }

    /// Returns whether an address lies in page-locked memory that the driver has allocated.
    pub(super) fn is_own(&self, address: usize) -> bool {
        self.block_of(address) == Some(true)
    }

    /// Returns whether the page-locked memory of an address was allocated by the driver.
    fn block_of(&self, address: usize) -> Option<bool> {
        let blocks = lock(&self.0);
        let (start, block) = blocks.range(..=address).next_back()?;
        (address < start + block.bytes).then_some(block.layout.is_some())
    }

    /// Guards bytes for a copy that waits, if the driver has allocated them.
    pub(super) fn guard(&self, start: usize, bytes: usize, purpose: Purpose) -> Option<Guard> {
        if self.is_own(start) && bytes > 0 { Guard::new(start, bytes, purpose) } else { None }
    }

    /// Returns the memory that nobody has freed, of one context or of all, as address and bytes.
    pub(super) fn leaks(&self, context: Option<Handle>) -> Vec<(usize, usize)> {
        lock(&self.0)
            .iter()
            .filter(|(_, block)| context.is_none_or(|context| context == block.context))
            .filter(|(_, block)| block.layout.is_some())
            .map(|(&start, block)| (start, block.bytes))
            .collect()
    }

    /// Frees everything of a context that ends.
    pub(super) fn free_all_of(&self, context: Handle) {
        lock(&self.0).retain(|&start, block| {
            let keep = block.context != context;
            if let (false, Some(layout)) = (keep, block.layout) {
                // SAFETY: allocated in `allocate` with this layout, and forgotten right now.
                unsafe { dealloc(start as *mut u8, layout) };
            }
            keep
        });
    }
}

fn allocate(start: *mut *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    let (driver, context) = current_waited_for()?;
    captures::refuse_if_unsafe(driver)?;
    driver.faults.check(Operation::Allocation)?;
    let block = driver.host_memory.allocate(bytes, flags, context.handle)?;
    // SAFETY: the caller of the exported function vouches for `start`.
    unsafe { write(start, block) }
}

exports! {
    fn cuMemHostAlloc(start: *mut *mut c_void, bytes: usize, flags: c_uint) {
        allocate(start, bytes, flags)
    }
    fn cuMemAllocHost_v2(start: *mut *mut c_void, bytes: usize) {
        allocate(start, bytes, 0)
    }
    fn cuMemFreeHost(start: *mut c_void) {
        let (driver, _) = current_finished()?;
        driver.host_memory.free(start as usize).inspect_err(|_| {
            let message = format!("cuMemFreeHost: {start:p} is not a live host allocation");
            driver.records.report(message);
        })
    }
    fn cuMemHostRegister_v2(start: *mut c_void, bytes: usize, flags: c_uint) {
        let (driver, context) = current()?;
        driver.host_memory.register(start as usize, bytes, flags, context.handle)
    }
    fn cuMemHostUnregister(start: *mut c_void) {
        let (driver, _) = current_finished()?;
        driver.host_memory.unregister(start as usize)
    }
    fn cuMemHostGetFlags(flags: *mut c_uint, start: *mut c_void) {
        let (driver, _) = current()?;
        let known = lock(&driver.host_memory.0).get(&(start as usize)).map(|block| block.flags);
        write(flags, known.ok_or(CuResult::InvalidValue)?)
    }
    fn cuMemHostGetDevicePointer_v2(_address: *mut u64, _start: *mut c_void, _flags: c_uint) {
        current()?;
        say("cuMemHostGetDevicePointer: host memory is not mapped into the simulated device");
        Err(CuResult::NotSupported)
    }
}
