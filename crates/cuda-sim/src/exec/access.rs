//! A memory request of a warp, from addresses to bytes, through every check and counter.

use super::block::Worker;
use super::coalescing::is_contiguous;
use super::fault::{FaultKind, Violation};
use super::lanes::{ALL, LANES, lanes_of};
use super::moves::space_of;
use super::warp::Warp;
use crate::memory::Region;
use crate::ptx::decode::Space;
use crate::sanitizer::{Accessor, Conflict, Kind, Shadow, lock_stores};

/// The addresses of a request, by lane.
pub(crate) type Addresses = [u64; LANES];

/// A transfer that a request makes: `bytes` per lane between memory and `data + lane · stride`.
#[derive(Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) bytes: u32,
    pub(crate) kind: Kind,
    pub(crate) data: *mut u8,
    pub(crate) stride: usize,
}

impl Transfer {
    fn is_load(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::StrongRead)
    }

    fn verb(&self) -> &'static str {
        if self.is_load() { "load" } else { "store" }
    }

    /// Returns the lane's side of the transfer.
    ///
    /// # Safety
    /// `data` has room for all the lanes.
    unsafe fn lane(&self, lane: usize) -> *mut u8 {
        // SAFETY: by contract.
        unsafe { self.data.add(lane * self.stride) }
    }
}

type Checked = Result<(), Box<Violation>>;

impl Worker<'_> {
    /// Carries out a request of the lanes in `mask`, which is not empty.
    ///
    /// `transfer.data` must be valid for every lane in `mask`.
    pub(crate) fn transfer(
        &mut self,
        warp: &mut Warp,
        space: Space,
        addresses: &Addresses,
        mask: u32,
        transfer: &Transfer,
    ) -> Checked {
        match space {
            Space::Generic => return self.generic_transfer(warp, addresses, mask, transfer),
            Space::Local => return self.local_transfer(warp, addresses, mask, transfer),
            Space::KernelParam => return self.param_transfer(addresses, mask, transfer),
            Space::Global | Space::Const | Space::Shared => {}
        }
        check_alignment(space, addresses, mask, transfer.bytes, transfer.verb())?;
        if space == Space::Shared {
            self.count_shared(addresses, mask, transfer.bytes, transfer.is_load());
            let region = self.shared_region();
            let inside = inside(&region, addresses, mask, transfer.bytes);
            if inside != mask {
                return Err(self.shared_out_of_bounds(addresses, mask & !inside, transfer));
            }
            return self.in_region(warp, space, &region, addresses, mask, transfer);
        }
        if space == Space::Const {
            if !transfer.is_load() {
                let message = "store to constant memory".into();
                let lane = Some(mask.trailing_zeros());
                return Err(Violation::new(FaultKind::IllegalAddress, lane, message));
            }
            self.counters.constant_load_bytes +=
                u64::from(transfer.bytes) * u64::from(mask.count_ones());
        } else {
            self.count_global(addresses, mask, transfer.bytes, transfer.is_load());
        }
        let mut rest = mask;
        while rest != 0 {
            let lane = rest.trailing_zeros();
            let address = addresses[lane as usize];
            let what = (space, transfer.verb());
            let region = self.global_region(address, lane, transfer.bytes, what)?;
            let group = inside(&region, addresses, rest, transfer.bytes);
            if group >> lane & 1 == 0 {
                return Err(self.illegal_address(address, lane, transfer.bytes, what));
            }
            self.in_region(warp, space, &region, addresses, group, transfer)?;
            rest &= !group;
        }
        Ok(())
    }

    /// Returns the allocation that holds a global address; `what` names the access in a report.
    pub(crate) fn global_region(
        &mut self,
        address: u64,
        lane: u32,
        bytes: u32,
        what: (Space, &str),
    ) -> Result<Region, Box<Violation>> {
        if address.wrapping_sub(self.latest_region.address) < self.latest_region.bytes {
            return Ok(self.latest_region);
        }
        match self.launch.view.region_of(address) {
            Some(&region) => {
                self.latest_region = region;
                Ok(region)
            }
            None => Err(self.illegal_address(address, lane, bytes, what)),
        }
    }

    fn illegal_address(
        &self,
        address: u64,
        lane: u32,
        bytes: u32,
        (space, verb): (Space, &str),
    ) -> Box<Violation> {
        let why = self.launch.memory.explain(address, bytes.into());
        let message = format!("{space} {verb} of {bytes} bytes: {why}");
        Violation::new(FaultKind::IllegalAddress, Some(lane), message)
    }

    pub(crate) fn shared_out_of_bounds(
        &self,
        addresses: &Addresses,
        lanes: u32,
        transfer: &Transfer,
    ) -> Box<Violation> {
        let lane = lanes.trailing_zeros();
        let message = format!(
            "shared {} of {} bytes at offset {:#x}: the block has {} bytes of shared memory",
            transfer.verb(),
            transfer.bytes,
            addresses[lane as usize],
            self.shared_region().bytes
        );
        Violation::new(FaultKind::OutOfBounds, Some(lane), message)
    }

    fn generic_transfer(
        &mut self,
        warp: &mut Warp,
        addresses: &Addresses,
        mask: u32,
        transfer: &Transfer,
    ) -> Checked {
        let mut rest = mask;
        while rest != 0 {
            let first = addresses[rest.trailing_zeros() as usize];
            let (space, window) = space_of(first);
            let group = lanes_of(rest)
                .filter(|&lane| space_of(addresses[lane]).0 == space)
                .fold(0, |group, lane| group | 1 << lane);
            let offsets = addresses.map(|address| address.wrapping_sub(window));
            self.transfer(warp, space, &offsets, group, transfer)?;
            rest &= !group;
        }
        Ok(())
    }

    fn local_transfer(
        &mut self,
        warp: &mut Warp,
        addresses: &Addresses,
        mask: u32,
        transfer: &Transfer,
    ) -> Checked {
        let bytes = transfer.bytes as usize;
        check_alignment(Space::Local, addresses, mask, transfer.bytes, transfer.verb())?;
        let moved = u64::from(transfer.bytes) * u64::from(mask.count_ones());
        self.counters.local_requests += 1;
        if transfer.is_load() {
            self.counters.local_load_bytes += moved;
        } else {
            self.counters.local_store_bytes += moved;
        }
        let size = u64::from(warp.local_bytes);
        for lane in lanes_of(mask) {
            let at = addresses[lane];
            if at > size || size - at < u64::from(transfer.bytes) {
                let message = format!(
                    "local {} of {bytes} bytes at offset {at:#x}: the thread has {size} bytes of \
                     local memory",
                    transfer.verb()
                );
                return Err(Violation::new(FaultKind::OutOfBounds, Some(lane as u32), message));
            }
            let start = lane * warp.local_bytes as usize + at as usize;
            let memory = warp.local[start..start + bytes].as_mut_ptr();
            // SAFETY: both sides have `bytes` bytes.
            unsafe {
                if transfer.is_load() {
                    transfer.lane(lane).copy_from(memory, bytes);
                } else {
                    memory.copy_from(transfer.lane(lane), bytes);
                }
            }
        }
        Ok(())
    }

    fn param_transfer(&mut self, addresses: &Addresses, mask: u32, transfer: &Transfer) -> Checked {
        let bytes = transfer.bytes as usize;
        let params = self.launch.params;
        self.counters.constant_load_bytes += bytes as u64 * u64::from(mask.count_ones());
        for lane in lanes_of(mask) {
            let found = usize::try_from(addresses[lane])
                .ok()
                .and_then(|at| params.get(at..at.checked_add(bytes)?));
            let Some(source) = found.filter(|_| transfer.is_load()) else {
                let message = format!(
                    "{} of {bytes} bytes at offset {:#x} of {} bytes of parameters",
                    transfer.verb(),
                    addresses[lane],
                    params.len()
                );
                return Err(Violation::new(FaultKind::OutOfBounds, Some(lane as u32), message));
            };
            // SAFETY: the lane's side has `bytes` bytes.
            unsafe { transfer.lane(lane).copy_from(source.as_ptr(), bytes) };
        }
        Ok(())
    }

    /// Carries out a request inside one region, whose alignment and bounds have been checked.
    fn in_region(
        &mut self,
        warp: &mut Warp,
        space: Space,
        region: &Region,
        addresses: &Addresses,
        mask: u32,
        transfer: &Transfer,
    ) -> Checked {
        let bytes = transfer.bytes as usize;
        let first = addresses[mask.trailing_zeros() as usize];
        let at = (first - region.address) as usize;
        if mask == ALL && is_contiguous(addresses, transfer.bytes) {
            return self.contiguous(warp, space, region, at, transfer);
        }
        if transfer.is_load() && lanes_of(mask).all(|lane| addresses[lane] == first) {
            self.check_initialized(space, region, at, bytes, mask.trailing_zeros())?;
            if space != Space::Const {
                let accessor = self.accessor(warp, space);
                let mut touched = 0;
                for granule in granules(region, at, bytes) {
                    // SAFETY: the granule lies inside the region.
                    let shadow = unsafe { Shadow::at(region.race, granule) };
                    match accessor.note_broadcast(shadow, mask, transfer.kind) {
                        Ok(is_first) => touched += u64::from(is_first) << region.granule_shift,
                        Err(conflict) => {
                            let at = (granule << region.granule_shift) as u64;
                            let lane = mask.trailing_zeros();
                            return Err(self.race(
                                warp,
                                space,
                                region,
                                at,
                                lane,
                                transfer.kind,
                                conflict,
                            ));
                        }
                    }
                }
                self.count_touched(space, transfer, touched);
            }
            for lane in lanes_of(mask) {
                // SAFETY: the range lies inside the region.
                unsafe { transfer.lane(lane).copy_from(region.data.add(at), bytes) };
            }
            return Ok(());
        }
        let locks = self.locks_stores(space, transfer);
        for lane in lanes_of(mask) {
            let at = (addresses[lane] - region.address) as usize;
            let _stores = locks.then(|| lock_stores(addresses[lane], bytes));
            if transfer.is_load() {
                self.check_initialized(space, region, at, bytes, lane as u32)?;
            }
            if space != Space::Const {
                // SAFETY: the lane's side has `bytes` bytes.
                let new = unsafe { transfer.lane(lane) };
                self.note(warp, space, region, at, bytes, lane as u32, transfer, new)?;
            }
            // SAFETY: the range lies inside the region, and the lane's side has as many bytes.
            unsafe {
                let memory = region.data.add(at);
                if transfer.is_load() {
                    transfer.lane(lane).copy_from(memory, bytes);
                } else {
                    memory.copy_from(transfer.lane(lane), bytes);
                    region.initialized.add(at).write_bytes(1, bytes);
                }
            }
        }
        Ok(())
    }

    /// Carries out a request whose lanes lie side by side, with one check for the whole range.
    fn contiguous(
        &mut self,
        warp: &mut Warp,
        space: Space,
        region: &Region,
        at: usize,
        transfer: &Transfer,
    ) -> Checked {
        let bytes = transfer.bytes as usize;
        let all = LANES * bytes;
        if transfer.is_load() {
            // SAFETY: the range lies inside the region.
            let flags = unsafe { std::slice::from_raw_parts(region.initialized.add(at), all) };
            if flags.iter().fold(1, |all, &flag| all & flag) == 0 {
                let lane = flags.iter().position(|&flag| flag == 0).unwrap_or(0) / bytes;
                self.check_initialized(space, region, at + lane * bytes, bytes, lane as u32)?;
            }
        }
        let _stores = self
            .locks_stores(space, transfer)
            .then(|| lock_stores(region.address + at as u64, all));
        if space != Space::Const {
            let accessor = self.accessor(warp, space);
            let (mut touched, mut found) = (0, None);
            let per_lane = bytes >> region.granule_shift;
            let shift = per_lane.trailing_zeros();
            let start = at >> region.granule_shift;
            for granule in 0..all >> region.granule_shift {
                let lane = granule >> shift;
                // SAFETY: the granule lies inside the region; so do the bytes compared.
                let shadow = unsafe { Shadow::at(region.race, start + granule) };
                let keeps_value = || unsafe {
                    let offset = (granule << region.granule_shift) & (bytes - 1);
                    let memory = region.data.add((start + granule) << region.granule_shift);
                    same(memory, transfer.lane(lane).add(offset), 1 << region.granule_shift)
                };
                match accessor.note(shadow, lane as u32, transfer.kind, keeps_value) {
                    Ok(is_first) => touched += u64::from(is_first),
                    Err(conflict) => {
                        found = Some((granule, lane as u32, conflict));
                        break;
                    }
                }
            }
            if let Some((granule, lane, conflict)) = found {
                let at = ((start + granule) << region.granule_shift) as u64;
                return Err(self.race(warp, space, region, at, lane, transfer.kind, conflict));
            }
            self.count_touched(space, transfer, touched << region.granule_shift);
        }
        // SAFETY: the range lies inside the region, and each lane's side has `bytes` bytes.
        unsafe {
            let memory = region.data.add(at);
            match (transfer.is_load(), transfer.stride == bytes) {
                (true, true) => transfer.data.copy_from_nonoverlapping(memory, all),
                (false, true) => memory.copy_from_nonoverlapping(transfer.data, all),
                (true, false) => {
                    for lane in 0..LANES {
                        transfer.lane(lane).copy_from(memory.add(lane * bytes), bytes);
                    }
                }
                (false, false) => {
                    for lane in 0..LANES {
                        memory.add(lane * bytes).copy_from(transfer.lane(lane), bytes);
                    }
                }
            }
            if !transfer.is_load() {
                region.initialized.add(at).write_bytes(1, all);
            }
        }
        Ok(())
    }

    /// Records one lane's access in the race shadow; `new` are the bytes that a write stores.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn note(
        &mut self,
        warp: &Warp,
        space: Space,
        region: &Region,
        at: usize,
        bytes: usize,
        lane: u32,
        transfer: &Transfer,
        new: *const u8,
    ) -> Checked {
        let accessor = self.accessor(warp, space);
        let mut touched = 0;
        for granule in granules(region, at, bytes) {
            // SAFETY: the granule lies inside the region; so do the bytes compared.
            let shadow = unsafe { Shadow::at(region.race, granule) };
            let start = granule << region.granule_shift;
            let keeps_value = || unsafe {
                same(region.data.add(start), new.add(start - at), 1 << region.granule_shift)
            };
            match accessor.note(shadow, lane, transfer.kind, keeps_value) {
                Ok(is_first) => touched += u64::from(is_first) << region.granule_shift,
                Err(conflict) => {
                    let at = start as u64;
                    return Err(self.race(warp, space, region, at, lane, transfer.kind, conflict));
                }
            }
        }
        self.count_touched(space, transfer, touched);
        Ok(())
    }

    /// Fails if a byte of the range was never written.
    pub(crate) fn check_initialized(
        &self,
        space: Space,
        region: &Region,
        at: usize,
        bytes: usize,
        lane: u32,
    ) -> Checked {
        // SAFETY: the range lies inside the region.
        let flags = unsafe { std::slice::from_raw_parts(region.initialized.add(at), bytes) };
        if flags.iter().fold(1, |all, &flag| all & flag) != 0 {
            return Ok(());
        }
        let place = if space == Space::Shared {
            format!("shared memory at offset {at:#x}")
        } else {
            format!(
                "global memory at {:#x}, {at} bytes into an allocation of {} bytes",
                region.address + at as u64,
                region.bytes
            )
        };
        let message = format!("load of {bytes} bytes that were never written: {place}");
        Err(Violation::new(FaultKind::Uninitialized, Some(lane), message))
    }

    /// Returns whether nobody else may store between the race check of the request and its own
    /// store.
    fn locks_stores(&self, space: Space, transfer: &Transfer) -> bool {
        self.launch.is_parallel && space == Space::Global && transfer.kind == Kind::Write
    }

    fn accessor<'w>(&'w self, warp: &'w Warp, space: Space) -> Accessor<'w> {
        let global = space != Space::Shared;
        Accessor {
            stamp: if global { self.launch.view.stamp() } else { self.shared.stamp },
            block: if global { self.place.linear_block as u32 } else { 0 },
            first_thread: 32 * warp.index,
            time: warp.time,
            known: &warp.known,
            barrier_time: warp.barrier_time,
            acquired: &self.acquired,
            is_shared: global && self.launch.is_parallel,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn race(
        &mut self,
        warp: &Warp,
        space: Space,
        region: &Region,
        at: u64,
        lane: u32,
        kind: Kind,
        conflict: Conflict,
    ) -> Box<Violation> {
        let thread = 32 * warp.index + lane;
        let verb = |is_write: bool| if is_write { "write" } else { "read" };
        let is_write = matches!(kind, Kind::Write | Kind::Atomic);
        let (place, other) = if space == Space::Shared {
            let other = format!("thread {}", conflict.entry.thread());
            (format!("shared memory at offset {at:#x}"), other)
        } else {
            let block = u64::from(conflict.entry.block());
            // The race is reported for the later block, whichever of the two came second in this
            // run.
            self.blame = block.max(self.place.linear_block);
            let other = format!("thread {} of block {block}", conflict.entry.thread());
            (format!("global memory at {:#x}", region.address + at), other)
        };
        let message = format!(
            "{} by thread {thread} races with {} by {other}: {place}, with no barrier between",
            verb(is_write),
            verb(conflict.is_write)
        );
        Violation::new(FaultKind::Race, Some(lane), message)
    }

    fn count_touched(&mut self, space: Space, transfer: &Transfer, bytes: u64) {
        if space == Space::Shared {
            return;
        }
        if transfer.is_load() {
            self.counters.distinct_bytes_read += bytes;
        } else {
            self.counters.distinct_bytes_written += bytes;
        }
    }
}

/// Returns the lanes of `mask` whose bytes lie inside the region.
pub(crate) fn inside(region: &Region, addresses: &Addresses, mask: u32, bytes: u32) -> u32 {
    let Some(last) = region.bytes.checked_sub(bytes.into()) else {
        return 0;
    };
    let mut group = 0;
    for (lane, &address) in addresses.iter().enumerate() {
        group |= u32::from(address.wrapping_sub(region.address) <= last) << lane;
    }
    group & mask
}

pub(crate) fn check_alignment(
    space: Space,
    addresses: &Addresses,
    mask: u32,
    bytes: u32,
    verb: &str,
) -> Checked {
    let low = u64::from(bytes) - 1;
    let combined = if mask == ALL {
        addresses.iter().fold(0, |combined, &address| combined | address)
    } else {
        lanes_of(mask).fold(0, |combined, lane| combined | addresses[lane])
    };
    if combined & low == 0 {
        return Ok(());
    }
    let lane = lanes_of(mask).find(|&lane| addresses[lane] & low != 0).unwrap_or(0);
    let message = format!(
        "{space} {verb} of {bytes} bytes at {:#x}, which is not a multiple of {bytes}",
        addresses[lane]
    );
    Err(Violation::new(FaultKind::MisalignedAddress, Some(lane as u32), message))
}

/// Returns the granules of a range.
fn granules(region: &Region, at: usize, bytes: usize) -> std::ops::RangeInclusive<usize> {
    at >> region.granule_shift..=(at + bytes - 1) >> region.granule_shift
}

/// Returns whether the bytes are equal.
unsafe fn same(a: *const u8, b: *const u8, bytes: usize) -> bool {
    // SAFETY: the caller's ranges are valid.
    unsafe { std::slice::from_raw_parts(a, bytes) == std::slice::from_raw_parts(b, bytes) }
}
