//! The execution of one block after another on one host thread.

use super::barrier::{Arrived, BARRIERS};
use super::fault::{FaultKind, Violation};
use super::launch::Launch;
use super::ordering::BlockOrder;
use super::profile::Profile;
use super::special_registers::Place;
use super::warp::{State, Warp};
use crate::counters::LaunchCounters;
use crate::memory::{Region, ZeroedBytes};
use crate::sanitizer::LAST_STAMP;

/// The shared memory of the block that is running.
pub(crate) struct SharedMemory {
    data: ZeroedBytes,
    initialized: ZeroedBytes,
    race: ZeroedBytes,
    bytes: usize,
    granule: usize,
    /// Stamp of the block in the race shadow.
    pub(crate) stamp: u32,
}

impl SharedMemory {
    fn new(bytes: usize, granule: usize) -> Option<Self> {
        Some(Self {
            data: ZeroedBytes::new(bytes)?,
            initialized: ZeroedBytes::new(bytes)?,
            race: ZeroedBytes::new(16 * bytes.div_ceil(granule))?,
            bytes,
            granule,
            stamp: 0,
        })
    }

    /// Forgets what the block before left.
    fn start_block(&mut self) {
        // SAFETY: the pointers are valid for these lengths.
        unsafe { self.initialized.start().write_bytes(0, self.bytes) };
        self.stamp += 1;
        if self.stamp > LAST_STAMP {
            let race_bytes = 16 * self.bytes.div_ceil(self.granule);
            // SAFETY: the pointers are valid for these lengths.
            unsafe { self.race.start().write_bytes(0, race_bytes) };
            self.stamp = 1;
        }
    }
}

/// The state with which one host thread runs blocks of a launch.
pub(crate) struct Worker<'a> {
    pub(crate) launch: &'a Launch<'a>,
    pub(crate) place: Place,
    pub(crate) counters: LaunchCounters,
    pub(crate) profile: Profile,
    pub(crate) shared: SharedMemory,
    /// The region of the latest global access.
    pub(crate) latest_region: Region,
    /// Whether each block released its writes to this one, see [`crate::sanitizer`].
    pub(crate) acquired: Vec<bool>,
    /// Order between blocks, by which they learn of each other's writes.
    pub(crate) order: BlockOrder,
    /// Warps that have arrived at each barrier without waiting.
    pub(crate) arrived: [Vec<Arrived>; BARRIERS as usize],
    /// Block to report a fault for.
    pub(crate) blame: u64,
    /// Whether the warps' registers hold the constants of an earlier block.
    has_run: bool,
}

impl<'a> Worker<'a> {
    /// Makes a worker with its warps, or returns `None` if the host has no memory for them.
    pub(crate) fn new(launch: &'a Launch<'a>) -> Option<(Self, Vec<Warp>)> {
        let kernel = launch.kernel;
        let warps = launch.threads.div_ceil(32);
        let granule = kernel.linked.granule as usize;
        let worker = Self {
            launch,
            place: launch.place,
            counters: LaunchCounters::default(),
            profile: Profile::new(&kernel.linked, warps),
            shared: SharedMemory::new(launch.shared_bytes as usize, granule)?,
            latest_region: Region::EMPTY,
            acquired: Vec::new(),
            order: BlockOrder::default(),
            arrived: Default::default(),
            blame: 0,
            has_run: false,
        };
        let warps = (0..warps)
            .map(|index| Warp::new(&kernel.linked, kernel.local_bytes, index, warps as usize))
            .collect::<Option<_>>()?;
        Some((worker, warps))
    }

    /// Returns shared memory as a region.
    pub(crate) fn shared_region(&self) -> Region {
        Region {
            address: 0,
            bytes: self.shared.bytes as u64,
            data: self.shared.data.start(),
            initialized: self.shared.initialized.start(),
            race: self.shared.race.start().cast(),
            granule_shift: self.shared.granule.trailing_zeros(),
        }
    }

    /// Runs one block to its end.
    pub(crate) fn run_block(
        &mut self,
        warps: &mut [Warp],
        block: u64,
    ) -> Result<(), (u32, Box<Violation>)> {
        let [gx, gy, _] = self.place.grid.map(u64::from);
        self.place.linear_block = block;
        self.place.block_index =
            [block % gx, block / gx % gy, block / gx / gy].map(|index| index as u32);
        self.blame = block;
        self.acquired.clear();
        self.order.start_block();
        self.arrived.iter_mut().for_each(Vec::clear);
        self.shared.start_block();
        let linked = &self.launch.kernel.linked;
        for warp in warps.iter_mut() {
            self.place.warp = warp.index;
            warp.start(linked, &self.place, self.launch.threads, !self.has_run);
        }
        self.has_run = true;
        self.counters.blocks += 1;
        self.counters.threads += u64::from(self.launch.threads);
        self.counters.warps += warps.len() as u64;
        loop {
            let mut progress = false;
            for warp in warps.iter_mut() {
                if warp.state == State::Ready {
                    self.place.warp = warp.index;
                    let index = warp.index;
                    self.run_warp(warp).map_err(|violation| (index, violation))?;
                    progress = true;
                }
            }
            progress |= self.release_barriers(warps)?;
            if !progress {
                return self.finish_block(warps);
            }
        }
    }

    /// Checks that all warps have ended when none can go on: one that waits at a barrier is a fault.
    fn finish_block(&self, warps: &[Warp]) -> Result<(), (u32, Box<Violation>)> {
        let waiting = warps.iter().find_map(|warp| match warp.state {
            State::AtBarrier(barrier) => Some((warp.index, barrier)),
            _ => None,
        });
        let Some((warp, barrier)) = waiting else {
            return Ok(());
        };
        let message = format!(
            "warp {warp} waits at barrier {barrier} for ever: the other threads of the block wait \
             elsewhere or have ended"
        );
        Err((warp, Violation::new(FaultKind::BarrierDivergence, None, message)))
    }
}
