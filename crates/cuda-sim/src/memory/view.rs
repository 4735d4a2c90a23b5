//! The view that a launch has of the global memory: the allocations that were live when it began.

use super::{Allocation, ZeroedBytes};
use std::sync::{Arc, Mutex};

/// The host memory of one device allocation: its bytes, their *initialized* flags (one byte each)
/// and, once launches have asked for them, race shadows.
///
/// Simulated threads on several host threads work on the same buffer through raw pointers. Two
/// conflicting accesses without synchronization are a race in the simulated program, which the
/// race shadow (atomic) reports; the bytes themselves then hold one of the values, as on a device.
pub(crate) struct Buffer {
    address: u64,
    bytes: u64,
    data: ZeroedBytes,
    initialized: ZeroedBytes,
    /// Race shadows with the granule that each is made for: kernels of different granules take
    /// turns, and clearing one at every change took an eighth of a training step.
    race: Mutex<Vec<(u64, Arc<ZeroedBytes>)>>,
}

impl Buffer {
    pub(crate) fn new(address: u64, bytes: u64) -> Option<Self> {
        let length = usize::try_from(bytes).ok()?;
        Some(Self {
            address,
            bytes,
            data: ZeroedBytes::new(length)?,
            initialized: ZeroedBytes::new(length)?,
            race: Mutex::default(),
        })
    }

    /// Makes a buffer at the address where the host has it, followed by `gap` bytes that belong to
    /// no allocation.
    pub(crate) fn managed(bytes: u64, gap: u64) -> Option<Self> {
        let length = usize::try_from(bytes).ok()?;
        let data = ZeroedBytes::new(usize::try_from(bytes.checked_add(gap)?).ok()?)?;
        let initialized = ZeroedBytes::new(length)?;
        // SAFETY: the flags were just allocated with this length.
        unsafe { initialized.start().write_bytes(1, length) };
        Some(Self {
            address: data.start() as u64,
            bytes,
            data,
            initialized,
            race: Mutex::default(),
        })
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn allocation(&self) -> Allocation {
        Allocation { address: self.address, bytes: self.bytes }
    }

    pub(crate) fn data(&self) -> *mut u8 {
        self.data.start()
    }

    pub(crate) fn initialized(&self) -> *mut u8 {
        self.initialized.start()
    }

    pub(crate) fn drop_race_shadows(&self) {
        self.race.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    /// Returns the race shadow with one pair of entries per `granule` bytes, or `None` if the host
    /// has no memory for it.
    fn race_shadow(&self, granule: u64) -> Option<Arc<ZeroedBytes>> {
        let mut race = self.race.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, shadow)) = race.iter().find(|(made_for, _)| *made_for == granule) {
            return Some(shadow.clone());
        }
        let entries = self.bytes.div_ceil(granule);
        let shadow = Arc::new(ZeroedBytes::new((entries * 16) as usize)?);
        race.push((granule, shadow.clone()));
        Some(shadow)
    }
}

/// An allocation as a launch accesses it.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// First address, in the space of the accessing instruction.
    pub(crate) address: u64,
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// Bytes of the allocation.
    pub(crate) data: *mut u8,
    /// Flags that say of each byte whether it is initialized.
    pub(crate) initialized: *mut u8,
    /// Race shadow, which has for every granule the entry of the last reads and that of the last
    /// writes.
    pub(crate) race: *mut u64,
    /// Logarithm (base 2) of the granule in bytes.
    pub(crate) granule_shift: u32,
}

impl Region {
    /// A region without memory.
    pub(crate) const EMPTY: Self = Self {
        address: 0,
        bytes: 0,
        data: std::ptr::null_mut(),
        initialized: std::ptr::null_mut(),
        race: std::ptr::null_mut(),
        granule_shift: 0,
    };
}

/// The allocations that were live when a launch began.
pub(crate) struct MemoryView {
    regions: Vec<Region>,
    stamp: u32,
    /// Keeps the regions' memory alive.
    _buffers: Vec<(Arc<Buffer>, Arc<ZeroedBytes>)>,
}

// SAFETY: the regions point into `_buffers`; see `Buffer` for concurrent accesses.
unsafe impl Send for MemoryView {}
// SAFETY: the regions point into `_buffers`, as for `Send`.
unsafe impl Sync for MemoryView {}

impl MemoryView {
    /// Makes a view of `buffers`, which are in the order of their addresses, with race shadows of
    /// `granule` bytes, a power of two. Returns `None` if the host has no memory for the shadows.
    pub(super) fn new(buffers: Vec<Arc<Buffer>>, granule: u64, stamp: u32) -> Option<Self> {
        let mut regions = Vec::with_capacity(buffers.len());
        let mut kept = Vec::with_capacity(buffers.len());
        for buffer in buffers {
            let race = buffer.race_shadow(granule)?;
            regions.push(Region {
                address: buffer.address(),
                bytes: buffer.bytes(),
                data: buffer.data(),
                initialized: buffer.initialized(),
                race: race.start().cast(),
                granule_shift: granule.trailing_zeros(),
            });
            kept.push((buffer, race));
        }
        Some(Self { regions, stamp, _buffers: kept })
    }

    /// Returns the stamp of this launch in the race shadows.
    pub(crate) fn stamp(&self) -> u32 {
        self.stamp
    }

    /// Returns the allocation that holds `address`.
    pub(crate) fn region_of(&self, address: u64) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.address <= address);
        let region = self.regions.get(after.checked_sub(1)?)?;
        (address - region.address < region.bytes).then_some(region)
    }
}
