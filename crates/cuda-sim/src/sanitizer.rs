//! Race detection by shadow memory.
//!
//! For every granule of memory (the narrowest access of the kernel) two entries are kept: one for
//! the reads and one for the writes of this launch. An entry names a thread and the time of its
//! access; times order the accesses of a warp around its synchronizations, and every warp knows up
//! to which time the accesses of every other warp happened before its own (a vector clock, moved on
//! by barriers; `bar.warp.sync` and the warp collectives order the lanes of one warp). Two accesses
//! race if at least one writes, they are not both atomic, and neither happened before the other.
//!
//! It has limits. When many threads read a granule at once, only that there were several is kept; a
//! barrier of part of a block then counts as ordering all of them. A write of the value that memory
//! already holds does not race with other writes of the block. Writes of different blocks do not
//! race if they all are plain and of one value, or all atomic. (It is not enough that they merely
//! end with one value: whether an intermediate value is seen would depend on which block comes
//! first.) Different blocks of a launch are never ordered, except through `Accessor::acquired`.
//! After 2^20 synchronizations of a warp its later accesses are no longer told apart from earlier
//! ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

const TIME_BITS: u32 = 20;
const THREAD_SHIFT: u32 = TIME_BITS;
const BLOCK_SHIFT: u32 = THREAD_SHIFT + 10;
const STAMP_SHIFT: u32 = BLOCK_SHIFT + 22;
const SPREAD_SHIFT: u32 = STAMP_SHIFT + 8;
const ATOMIC_SHIFT: u32 = SPREAD_SHIFT + 2;
const MIXED_SHIFT: u32 = ATOMIC_SHIFT + 1;

/// The last launch stamp that a shadow entry can hold.
pub(crate) const LAST_STAMP: u32 = (1 << 8) - 1;
/// The number of blocks of a launch that shadow entries can tell apart.
pub(crate) const MAX_BLOCKS: u64 = 1 << 22;
/// The last time that a shadow entry can hold.
pub(crate) const LAST_TIME: u32 = (1 << TIME_BITS) - 1;

/// The set of threads that a shadow entry stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spread {
    One,
    OneWarp,
    OneBlock,
    Blocks,
}

/// A shadow entry: the thread and the time of an access.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    fn new(stamp: u32, block: u32, thread: u32, time: u32) -> Self {
        Self(
            u64::from(time)
                | u64::from(thread) << THREAD_SHIFT
                | u64::from(block) << BLOCK_SHIFT
                | u64::from(stamp) << STAMP_SHIFT,
        )
    }

    fn time(self) -> u32 {
        self.0 as u32 & LAST_TIME
    }

    /// Returns the number of the thread in its block.
    pub(crate) fn thread(self) -> u32 {
        (self.0 >> THREAD_SHIFT) as u32 & 1023
    }

    /// Returns the number of the block.
    pub(crate) fn block(self) -> u32 {
        (self.0 >> BLOCK_SHIFT) as u32 & ((1 << 22) - 1)
    }

    fn stamp(self) -> u32 {
        (self.0 >> STAMP_SHIFT) as u32 & LAST_STAMP
    }

    #[inline(always)]
    fn spread(self) -> Spread {
        match self.0 >> SPREAD_SHIFT & 3 {
            0 => Spread::One,
            1 => Spread::OneWarp,
            2 => Spread::OneBlock,
            _ => Spread::Blocks,
        }
    }

    fn is_atomic(self) -> bool {
        self.0 >> ATOMIC_SHIFT & 1 != 0
    }

    /// Returns whether the writes of this launch, by any thread, were both plain and atomic, or of
    /// several values.
    fn is_mixed(self) -> bool {
        self.0 >> MIXED_SHIFT != 0
    }

    fn with_spread(self, spread: Spread) -> Self {
        Self(self.0 & !(3 << SPREAD_SHIFT) | (spread as u64) << SPREAD_SHIFT)
    }

    fn with_atomic(self, atomic: bool) -> Self {
        Self(self.0 & !(1 << ATOMIC_SHIFT) | u64::from(atomic) << ATOMIC_SHIFT)
    }

    fn with_mixed(self, mixed: bool) -> Self {
        Self(self.0 & !(1 << MIXED_SHIFT) | u64::from(mixed) << MIXED_SHIFT)
    }
}

/// A kind of access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain load.
    Read,
    /// A volatile, relaxed or acquire load: ordered with atomics.
    StrongRead,
    /// A plain store.
    Write,
    /// An atomic operation, or a volatile, relaxed or release store.
    Atomic,
}

/// The logarithm (base 2) of the bytes of memory that one of the [`STORES`] guards: as many as a
/// warp stores at most.
const STRIPE_SHIFT: u32 = 9;

/// Locks that host threads hold from the race check of a plain store to the store itself, so that
/// another block's store of the same value, checked next, finds that value in memory. Atomic
/// operations need none: beside plain stores they race whatever the values.
static STORES: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];

/// Takes the locks for stores to a range of at most 512 bytes, which is not empty.
pub(crate) fn lock_stores(address: u64, bytes: usize) -> [Option<MutexGuard<'static, ()>>; 2] {
    let stripe = |address: u64| (address >> STRIPE_SHIFT) as usize % STORES.len();
    let lock = |i: usize| STORES[i].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (a, b) = (stripe(address), stripe(address + bytes as u64 - 1));
    // The locks are taken in the order of their index, so that two threads never wait for each
    // other.
    let first = lock(a.min(b));
    [Some(first), (a != b).then(|| lock(a.max(b)))]
}

/// The warp that accesses memory, and what is known of the order of its access and those of others.
pub(crate) struct Accessor<'a> {
    pub(crate) stamp: u32,
    pub(crate) block: u32,
    /// First thread of the warp.
    pub(crate) first_thread: u32,
    /// Time of the warp's access.
    pub(crate) time: u32,
    /// Time for every warp of the block before which its accesses happened before this one.
    pub(crate) known: &'a [u32],
    /// Time before which the accesses of the whole block happened before this one.
    pub(crate) barrier_time: u32,
    /// Whether the accesses of each block happened before this one.
    pub(crate) acquired: &'a [bool],
    /// Whether other host threads work on the same shadow.
    pub(crate) is_shared: bool,
}

/// An access that another one races with.
#[derive(Clone, Copy)]
pub(crate) struct Conflict {
    pub(crate) entry: Entry,
    /// Whether this access was a write.
    pub(crate) is_write: bool,
}

/// The shadow of one granule.
#[derive(Clone, Copy)]
pub(crate) struct Shadow<'a> {
    reads: &'a AtomicU64,
    writes: &'a AtomicU64,
}

impl Shadow<'_> {
    /// Returns the shadow of granule `index` of the shadow memory at `base`.
    ///
    /// # Safety
    /// `base` is 8-byte aligned and has two entries for every granule up to `index`; they are only
    /// accessed through `Shadow` while this one lives.
    #[inline(always)]
    pub(crate) unsafe fn at(base: *mut u64, index: usize) -> Self {
        // SAFETY: by contract.
        unsafe {
            Self {
                reads: AtomicU64::from_ptr(base.add(2 * index)),
                writes: AtomicU64::from_ptr(base.add(2 * index + 1)),
            }
        }
    }
}

impl Accessor<'_> {
    /// Records an access by a lane. Returns whether it is the first of its kind to the granule in
    /// this launch, or the access that it races with. `keeps_value` is asked whether a write leaves
    /// the granule as it is.
    #[inline(always)]
    pub(crate) fn note(
        &self,
        shadow: Shadow<'_>,
        lane: u32,
        kind: Kind,
        keeps_value: impl Fn() -> bool,
    ) -> Result<bool, Conflict> {
        let own = Entry::new(self.stamp, self.block, self.first_thread + lane, self.time);
        match kind {
            Kind::Read => self.note_read(shadow, own),
            Kind::StrongRead => self.note_strong_read(shadow, own),
            Kind::Write => self.note_write(shadow, own, keeps_value),
            Kind::Atomic => self.note_write(shadow, own.with_atomic(true), || false),
        }
    }

    /// Records that all the lanes of `mask` read the same granule, by loads of one kind.
    #[inline(always)]
    pub(crate) fn note_broadcast(
        &self,
        shadow: Shadow<'_>,
        mask: u32,
        kind: Kind,
    ) -> Result<bool, Conflict> {
        let lane = mask.trailing_zeros();
        let own = Entry::new(self.stamp, self.block, self.first_thread + lane, self.time);
        let several = mask & (mask - 1) != 0;
        let spread = if several { Spread::OneWarp } else { Spread::One };
        let own = own.with_spread(spread);
        if kind == Kind::StrongRead {
            return self.note_strong_read(shadow, own);
        }
        self.note_read(shadow, own)
    }

    fn note_strong_read(&self, shadow: Shadow<'_>, own: Entry) -> Result<bool, Conflict> {
        let writes = Entry(shadow.writes.load(Ordering::SeqCst));
        let races = self.is_unordered(writes, own) && !writes.is_atomic();
        if races { Err(Conflict { entry: writes, is_write: true }) } else { Ok(false) }
    }

    #[inline(always)]
    fn note_read(&self, shadow: Shadow<'_>, own: Entry) -> Result<bool, Conflict> {
        let mut old = Entry(shadow.reads.load(Ordering::Relaxed));
        if old == own {
            return Ok(false);
        }
        loop {
            let new = self.merge(old, own);
            if !self.is_shared {
                shadow.reads.store(new.0, Ordering::Relaxed);
                break;
            }
            // The exchange is sequentially consistent, so that of a read and a write at the same
            // time at least one sees the other.
            match shadow.reads.compare_exchange(old.0, new.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(found) => old = Entry(found),
            }
        }
        let writes = Entry(shadow.writes.load(Ordering::SeqCst));
        if self.is_unordered(writes, own) {
            return Err(Conflict { entry: writes, is_write: true });
        }
        Ok(old.stamp() != self.stamp)
    }

    #[inline(always)]
    fn note_write(
        &self,
        shadow: Shadow<'_>,
        own: Entry,
        keeps_value: impl Fn() -> bool,
    ) -> Result<bool, Conflict> {
        let mut old = Entry(shadow.writes.load(Ordering::Relaxed));
        let mut mixed;
        loop {
            mixed = old.stamp() == self.stamp
                && (old.is_mixed()
                    || old.is_atomic() != own.is_atomic()
                    || !own.is_atomic() && !keeps_value());
            let new = self.merge(old, own).with_mixed(mixed);
            if !self.is_shared {
                shadow.writes.store(new.0, Ordering::Relaxed);
                break;
            }
            match shadow.writes.compare_exchange(old.0, new.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break,
                Err(found) => old = Entry(found),
            }
        }
        if self.is_unordered(old, own) {
            let other_blocks = old.block() != self.block || old.spread() == Spread::Blocks;
            let both_atomic = old.is_atomic() && own.is_atomic();
            let races = if other_blocks { mixed } else { !both_atomic && !keeps_value() };
            if races {
                return Err(Conflict { entry: old, is_write: true });
            }
        }
        let reads = Entry(shadow.reads.load(Ordering::SeqCst));
        if self.is_unordered(reads, own) {
            return Err(Conflict { entry: reads, is_write: false });
        }
        Ok(old.stamp() != self.stamp)
    }

    /// Returns whether the entry is of this launch, and not known to have happened before `own`.
    #[inline(always)]
    fn is_unordered(&self, entry: Entry, own: Entry) -> bool {
        entry.stamp() == self.stamp && !self.happened_before(entry, own)
    }

    #[inline(always)]
    fn happened_before(&self, entry: Entry, own: Entry) -> bool {
        if entry.spread() == Spread::Blocks {
            return false;
        }
        if entry.block() != self.block {
            return self.acquired.get(entry.block() as usize).is_some_and(|&acquired| acquired);
        }
        let warp = entry.thread() as usize / 32;
        match entry.spread() {
            Spread::One => {
                entry.thread() == own.thread() && own.spread() == Spread::One
                    || entry.time() < self.known[warp]
            }
            Spread::OneWarp => entry.time() < self.known[warp],
            _ => entry.time() < self.barrier_time,
        }
    }

    /// Returns the entry for `own` after `old`, which is `own` alone if all of `old` happened
    /// before.
    #[inline(always)]
    fn merge(&self, old: Entry, own: Entry) -> Entry {
        if !self.is_unordered(old, own) {
            return own;
        }
        let spread = if old.block() != self.block || old.spread() == Spread::Blocks {
            Spread::Blocks
        } else if old.thread() / 32 != own.thread() / 32 || old.spread() == Spread::OneBlock {
            Spread::OneBlock
        } else if old.spread() == Spread::OneWarp || old.thread() != own.thread() {
            Spread::OneWarp
        } else {
            own.spread()
        };
        // The later time is kept: whoever knows that the later access happened before knows it of
        // both.
        let later = if old.time() > own.time() { old.time() } else { own.time() };
        let atomic = old.is_atomic() && own.is_atomic();
        Entry(own.0 & !u64::from(LAST_TIME) | u64::from(later))
            .with_spread(spread)
            .with_atomic(atomic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        known: Vec<u32>,
        cell: [AtomicU64; 2],
    }

    impl World {
        fn new() -> Self {
            Self { known: vec![0; 2], cell: Default::default() }
        }

        fn access(&self, block: u32, thread: u32, time: u32, kind: Kind) -> bool {
            self.note(block, thread, time, kind, false)
        }

        /// A write by thread 0 of a block.
        fn write(&self, block: u32, kind: Kind, keeps_value: bool) -> bool {
            self.note(block, 0, 0, kind, keeps_value)
        }

        fn note(&self, block: u32, thread: u32, time: u32, kind: Kind, keeps: bool) -> bool {
            let accessor = Accessor {
                stamp: 1,
                block,
                first_thread: thread / 32 * 32,
                time,
                known: &self.known,
                barrier_time: self.known.iter().copied().min().unwrap(),
                acquired: &[],
                is_shared: true,
            };
            let shadow = Shadow { reads: &self.cell[0], writes: &self.cell[1] };
            accessor.note(shadow, thread % 32, kind, || keeps).is_err()
        }
    }

    #[test]
    fn conflicting_accesses_race_until_a_barrier() {
        for (first, second, races) in [
            (Kind::Read, Kind::Read, false),
            (Kind::Read, Kind::Write, true),
            (Kind::Write, Kind::Read, true),
            (Kind::Write, Kind::Write, true),
            (Kind::Atomic, Kind::Atomic, false),
            (Kind::Atomic, Kind::Read, true),
            (Kind::Write, Kind::Atomic, true),
            (Kind::Atomic, Kind::StrongRead, false),
            (Kind::Write, Kind::StrongRead, true),
        ] {
            for (block, thread) in [(0, 1), (0, 40), (1, 0)] {
                let world = World::new();
                assert!(!world.access(0, 0, 0, first));
                assert_eq!(world.access(block, thread, 0, second), races, "{first:?} {second:?}");
            }
            let mut world = World::new();
            assert!(!world.access(0, 0, 0, first));
            world.known = vec![1, 1];
            assert!(!world.access(0, 40, 1, second), "after a barrier");
        }
    }

    #[test]
    fn writes_of_two_blocks_race_in_every_order_or_in_none() {
        let (plain, atomic) = (Kind::Write, Kind::Atomic);
        for (own, other, races) in [
            ([(plain, 5), (plain, 5)], (plain, 5), false),
            ([(plain, 5), (plain, 6)], (plain, 6), true),
            ([(plain, 6), (plain, 5)], (plain, 6), true),
            ([(plain, 5), (atomic, 5)], (plain, 5), true),
            ([(plain, 5), (atomic, 5)], (atomic, 5), true),
            ([(atomic, 5), (atomic, 6)], (atomic, 7), false),
            ([(atomic, 5), (plain, 5)], (atomic, 5), true),
        ] {
            for at in 0..3 {
                let world = World::new();
                let mut writes = vec![(0, own[0]), (0, own[1])];
                writes.insert(at, (1, other));
                let mut memory = 0;
                let mut found = false;
                for (block, (kind, value)) in writes {
                    found |= world.write(block, kind, memory == value);
                    memory = value;
                }
                assert_eq!(found, races, "{own:?}, {other:?} at {at}");
            }
        }
    }

    #[test]
    fn every_reader_counts() {
        let world = World::new();
        assert!(!world.access(0, 0, 0, Kind::Read));
        assert!(!world.access(0, 5, 0, Kind::Read));
        assert!(world.access(0, 5, 0, Kind::Write), "thread 0 read it too");
        let world = World::new();
        assert!(!world.access(0, 5, 0, Kind::Read));
        assert!(!world.access(0, 5, 0, Kind::Write), "only the thread itself read it");
    }
}
