//! The global memory of the device: a virtual address space of allocations, each with a shadow.
//!
//! Addresses are never used twice, allocations are 256-byte aligned and separated by red zones, so
//! that an access out of bounds or after a free always misses every live allocation and can be
//! explained. Every byte has an *initialized* flag; the race shadow of [`crate::sanitizer`] is
//! attached to an allocation by the first launch that may touch it.

mod bytes;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

pub(crate) use bytes::ZeroedBytes;
pub(crate) use view::{Buffer, MemoryView, Region};

/// The first address handed out: it is beyond all addresses of the host, so that an address tells
/// which memory it belongs to.
pub(crate) const FIRST_ADDRESS: u64 = 1 << 48;
/// The alignment of every allocation, as `cuMemAlloc` guarantees it.
const ALIGNMENT: u64 = 256;
/// The number of unused addresses after every allocation.
const RED_ZONE: u64 = 4096;
/// The number of freed ranges that are remembered to explain a use after free.
const REMEMBERED_FREES: usize = 1 << 16;

/// A live range of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// First address.
    pub address: u64,
    /// Length in bytes, as asked for.
    pub bytes: u64,
}

/// The reason why an operation on device memory was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// The range touches no live allocation, or runs past the end of one.
    OutOfBounds {
        /// First address of the range.
        address: u64,
        /// Length of the range.
        bytes: u64,
        /// Description of the nearest allocation, in words.
        nearest: String,
    },
    /// The range was freed.
    UseAfterFree {
        /// First address of the range.
        address: u64,
        /// Allocation that the range belonged to.
        freed: Allocation,
    },
    /// The allocation was freed before.
    DoubleFree {
        /// Allocation that was freed.
        freed: Allocation,
    },
    /// The address to free is not the first of an allocation.
    NotAnAllocation {
        /// Address that was to be freed.
        address: u64,
        /// Description of the nearest allocation, in words.
        nearest: String,
    },
    /// Less memory is left than was asked for.
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { address, bytes, nearest } => {
                write!(f, "{bytes} bytes at {address:#x} are out of bounds: {nearest}")
            }
            Self::UseAfterFree { address, freed } => write!(
                f,
                "{address:#x} was freed: it is {} bytes into an allocation of {} bytes at {:#x}",
                address - freed.address,
                freed.bytes,
                freed.address
            ),
            Self::DoubleFree { freed } => write!(
                f,
                "the allocation of {} bytes at {:#x} is already freed",
                freed.bytes, freed.address
            ),
            Self::NotAnAllocation { address, nearest } => {
                write!(f, "{address:#x} is not the start of an allocation: {nearest}")
            }
            Self::OutOfMemory { bytes } => write!(f, "no {bytes} bytes of device memory are left"),
        }
    }
}

impl std::error::Error for MemoryError {}

#[derive(Default)]
struct Table {
    live: BTreeMap<u64, Arc<Buffer>>,
    freed: BTreeMap<u64, Allocation>,
    next: u64,
    used: u64,
}

/// The global memory of one device. It is shared between host threads; a launch works on a snapshot
/// of the live allocations.
pub struct DeviceMemory {
    capacity: u64,
    table: RwLock<Table>,
    launch: Mutex<()>,
    /// Stamp of the latest launch in the race shadows.
    stamp: AtomicU32,
}

impl DeviceMemory {
    /// Makes an empty memory of `capacity_bytes`.
    pub fn new(capacity_bytes: u64) -> Self {
        let table = Table { next: FIRST_ADDRESS, ..Table::default() };
        Self {
            capacity: capacity_bytes,
            table: RwLock::new(table),
            launch: Mutex::new(()),
            stamp: AtomicU32::new(0),
        }
    }

    /// Makes an allocation of `bytes` uninitialized bytes and returns its address, or `None` when
    /// less than that is free.
    pub fn allocate(&self, bytes: u64) -> Option<u64> {
        let mut table = self.write_table();
        if bytes == 0 || bytes > self.capacity - table.used {
            return None;
        }
        let address = table.next;
        let buffer = Buffer::new(address, bytes)?;
        table.next = (address + bytes + RED_ZONE).next_multiple_of(ALIGNMENT);
        table.used += bytes;
        table.live.insert(address, Arc::new(buffer));
        Some(address)
    }

    /// Makes an allocation that the host can access as well, at the same address, and returns the
    /// address. It counts as initialized, because the simulator does not see what the host writes.
    pub fn allocate_managed(&self, bytes: u64) -> Option<u64> {
        let mut table = self.write_table();
        if bytes == 0 || bytes > self.capacity - table.used {
            return None;
        }
        let buffer = Buffer::managed(bytes, RED_ZONE)?;
        let address = buffer.address();
        table.used += bytes;
        // The host may give out an address again, so that it is no longer a freed one.
        table.freed.remove(&address);
        table.live.insert(address, Arc::new(buffer));
        Some(address)
    }

    /// Frees the allocation that starts at `address`.
    ///
    /// # Errors
    /// [`MemoryError::DoubleFree`], or [`MemoryError::NotAnAllocation`] for any other address.
    pub fn free(&self, address: u64) -> Result<(), MemoryError> {
        let mut table = self.write_table();
        let Some(buffer) = table.live.remove(&address) else {
            return Err(match table.freed.get(&address) {
                Some(&freed) => MemoryError::DoubleFree { freed },
                None => MemoryError::NotAnAllocation { address, nearest: table.nearest(address) },
            });
        };
        table.used -= buffer.bytes();
        if table.freed.len() >= REMEMBERED_FREES {
            table.freed.pop_first();
        }
        table.freed.insert(address, buffer.allocation());
        Ok(())
    }

    /// Checks that a range is inside one live allocation.
    ///
    /// # Errors
    /// It is not; the error says where the nearest allocation is.
    pub(crate) fn check(&self, address: u64, bytes: u64) -> Result<(), MemoryError> {
        self.locate(address, bytes).map(drop)
    }

    /// Copies `data` to device memory and marks it initialized.
    ///
    /// # Errors
    /// The range is not inside one live allocation.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryError> {
        let Some((buffer, offset)) = self.locate(address, data.len() as u64)? else {
            return Ok(());
        };
        // SAFETY: `locate` checked the range.
        unsafe {
            buffer.data().add(offset).copy_from(data.as_ptr(), data.len());
            buffer.initialized().add(offset).write_bytes(1, data.len());
        }
        Ok(())
    }

    /// Copies device memory to `out`.
    ///
    /// # Errors
    /// The range is not inside one live allocation.
    pub fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryError> {
        let Some((buffer, offset)) = self.locate(address, out.len() as u64)? else {
            return Ok(());
        };
        // SAFETY: `locate` checked the range.
        unsafe { out.as_mut_ptr().copy_from(buffer.data().add(offset), out.len()) };
        Ok(())
    }

    /// Returns whether a range inside one live allocation was written completely.
    pub(crate) fn is_initialized(&self, address: u64, bytes: u64) -> bool {
        let Ok(Some((buffer, offset))) = self.locate(address, bytes) else {
            return bytes == 0;
        };
        // SAFETY: `locate` checked the range.
        let flags =
            unsafe { std::slice::from_raw_parts(buffer.initialized().add(offset), bytes as usize) };
        flags.iter().all(|flag| *flag != 0)
    }

    /// Copies `bytes` bytes from `src` to `dst`, and with them the flags that say whether they were
    /// ever written.
    ///
    /// # Errors
    /// Either range is not inside one live allocation.
    pub fn copy(&self, dst: u64, src: u64, bytes: u64) -> Result<(), MemoryError> {
        let from = self.locate(src, bytes)?;
        let to = self.locate(dst, bytes)?;
        let (Some((from, i)), Some((to, j))) = (from, to) else {
            return Ok(());
        };
        // SAFETY: `locate` checked both ranges; `copy_from` allows them to overlap.
        unsafe {
            to.data().add(j).copy_from(from.data().add(i), bytes as usize);
            to.initialized().add(j).copy_from(from.initialized().add(i), bytes as usize);
        }
        Ok(())
    }

    /// Writes `pattern` `count` times from `address` on and marks the range initialized.
    ///
    /// # Errors
    /// The range is not inside one live allocation.
    pub fn fill(&self, address: u64, pattern: &[u8], count: u64) -> Result<(), MemoryError> {
        let bytes = (pattern.len() as u64).saturating_mul(count);
        let Some((buffer, offset)) = self.locate(address, bytes)? else {
            return Ok(());
        };
        // SAFETY: `locate` checked the range.
        unsafe {
            let start = buffer.data().add(offset);
            match pattern {
                [byte] => start.write_bytes(*byte, count as usize),
                _ => {
                    for i in 0..count as usize {
                        let to = start.add(i * pattern.len());
                        to.copy_from(pattern.as_ptr(), pattern.len());
                    }
                }
            }
            buffer.initialized().add(offset).write_bytes(1, bytes as usize);
        }
        Ok(())
    }

    /// Returns the live allocation that holds `address`.
    pub fn allocation_of(&self, address: u64) -> Option<Allocation> {
        self.read_table().buffer_of(address).map(|buffer| buffer.allocation())
    }

    /// Returns all live allocations, in the order of their addresses.
    pub fn live(&self) -> Vec<Allocation> {
        self.read_table().live.values().map(|buffer| buffer.allocation()).collect()
    }

    /// Returns the free and the total bytes.
    pub fn info(&self) -> (u64, u64) {
        (self.capacity - self.read_table().used, self.capacity)
    }

    /// Explains why a range is not accessible, for a report.
    pub(crate) fn explain(&self, address: u64, bytes: u64) -> MemoryError {
        let table = self.read_table();
        let freed = table.freed.range(..=address).next_back().map(|(_, &freed)| freed);
        match freed {
            Some(freed) if address < freed.address + freed.bytes => {
                MemoryError::UseAfterFree { address, freed }
            }
            _ => MemoryError::OutOfBounds { address, bytes, nearest: table.nearest(address) },
        }
    }

    /// Returns a snapshot of the live allocations for one launch, with race shadows of `granule`
    /// bytes per entry. Launches exclude each other while the returned guard lives.
    pub(crate) fn begin_launch(&self, granule: u64) -> Option<(MemoryView, MutexGuard<'_, ()>)> {
        let guard = self.launch.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let table = self.read_table();
        let mut stamp = self.stamp.load(Ordering::Relaxed) + 1;
        if stamp > crate::sanitizer::LAST_STAMP {
            table.live.values().for_each(|buffer| buffer.drop_race_shadow());
            stamp = 1;
        }
        self.stamp.store(stamp, Ordering::Relaxed);
        let buffers = table.live.values().cloned().collect();
        Some((MemoryView::new(buffers, granule, stamp)?, guard))
    }

    fn locate(
        &self,
        address: u64,
        bytes: u64,
    ) -> Result<Option<(Arc<Buffer>, usize)>, MemoryError> {
        if bytes == 0 {
            return Ok(None);
        }
        let found = self.read_table().buffer_of(address);
        match found {
            Some(buffer) if bytes <= buffer.bytes() - (address - buffer.address()) => {
                let offset = (address - buffer.address()) as usize;
                Ok(Some((buffer, offset)))
            }
            _ => Err(self.explain(address, bytes)),
        }
    }

    // A poisoned lock only means that another thread panicked between two complete updates.
    fn read_table(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write_table(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Table {
    fn buffer_of(&self, address: u64) -> Option<Arc<Buffer>> {
        let (_, buffer) = self.live.range(..=address).next_back()?;
        (address - buffer.address() < buffer.bytes()).then(|| buffer.clone())
    }

    fn nearest(&self, address: u64) -> String {
        let before = self.live.range(..=address).next_back().map(|(_, buffer)| buffer);
        let after = self.live.range(address..).next().map(|(_, buffer)| buffer);
        let past = |b: &Buffer| address - b.address() - b.bytes().min(address - b.address());
        let ahead = |b: &Buffer| b.address() - address;
        match (before, after) {
            (Some(b), a) if a.is_none_or(|a| past(b) <= ahead(a)) => format!(
                "{} bytes into the allocation of {} bytes at {:#x}",
                address - b.address(),
                b.bytes(),
                b.address()
            ),
            (_, Some(a)) => format!(
                "{} bytes before the allocation of {} bytes at {:#x}",
                ahead(a),
                a.bytes(),
                a.address()
            ),
            _ => "there is no live allocation".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_aligned_separated_and_never_reused() {
        let memory = DeviceMemory::new(1 << 20);
        let a = memory.allocate(100).unwrap();
        let b = memory.allocate(100).unwrap();
        assert_eq!((a % 256, b % 256), (0, 0));
        assert!(b >= a + 100 + RED_ZONE);
        memory.free(a).unwrap();
        assert!(memory.allocate(100).unwrap() > b);
        assert_eq!(memory.info(), ((1 << 20) - 200, 1 << 20));
        assert_eq!(memory.allocate(1 << 20), None);
    }

    #[test]
    fn misuse_is_named() {
        let memory = DeviceMemory::new(1 << 20);
        let a = memory.allocate(64).unwrap();
        assert!(matches!(memory.write(a + 60, &[0; 8]), Err(MemoryError::OutOfBounds { .. })));
        assert!(matches!(memory.free(a + 8), Err(MemoryError::NotAnAllocation { .. })));
        memory.free(a).unwrap();
        assert!(matches!(memory.free(a), Err(MemoryError::DoubleFree { .. })));
        assert!(matches!(
            memory.read(a + 4, &mut [0; 4]),
            Err(MemoryError::UseAfterFree { freed, .. }) if freed.address == a
        ));
    }

    #[test]
    fn managed_memory_is_where_the_host_sees_it() {
        let memory = DeviceMemory::new(1 << 20);
        let a = memory.allocate_managed(64).unwrap();
        assert_eq!(a % ALIGNMENT, 0);
        memory.fill(a, &[7], 64).unwrap();
        // SAFETY: the allocation is as long.
        assert_eq!(unsafe { *(a as *const [u8; 64]) }, [7; 64]);
        assert!(memory.fill(a, &[7], 65).is_err());
        memory.free(a).unwrap();
        assert_eq!(memory.info(), (1 << 20, 1 << 20));
    }

    #[test]
    fn fill_and_copy_move_data() {
        let memory = DeviceMemory::new(1 << 20);
        let a = memory.allocate(64).unwrap();
        let b = memory.allocate(64).unwrap();
        memory.fill(a, &[1, 2], 32).unwrap();
        memory.copy(b + 8, a, 16).unwrap();
        let mut out = [0; 4];
        memory.read(b + 8, &mut out).unwrap();
        assert_eq!(out, [1, 2, 1, 2]);
        assert!(memory.fill(a, &[0; 4], 17).is_err());
    }
}
