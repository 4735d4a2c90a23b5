//! A warp: its registers, its local memory, and the paths that its lanes are on.

use super::barrier::Arrival;
use super::cp_async::AsyncCopies;
use super::lanes::Frame;
use super::operation::EXIT;
use super::special_registers::Place;
use crate::memory::ZeroedBytes;
use crate::ptx::link::{InitialValue, Linked};
use crate::sanitizer::LAST_TIME;

/// A path: lanes that run together. Paths form a stack; the top one runs until it reaches the point
/// where it meets the path below, the immediate post-dominator of the branch that parted them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) pc: u32,
    pub(crate) reconverge: u32,
    pub(crate) mask: u32,
    /// Whether the path waits at a barrier for the lanes of other paths.
    pub(crate) parked: bool,
}

/// A call of a function that the warp is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation {
    /// Index in [`Linked::functions`].
    pub(crate) function: usize,
    /// Number of paths below those of this function.
    pub(crate) base: usize,
    /// Lanes that called the function.
    pub(crate) mask: u32,
}

/// The reason why a warp stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    AtBarrier(u32),
    Done,
}

/// A warp of a block.
pub(crate) struct Warp {
    pub(crate) index: u32,
    registers: ZeroedBytes,
    pub(crate) predicates: Vec<u32>,
    /// Local memory of the lanes, one after the other.
    pub(crate) local: Vec<u8>,
    pub(crate) local_bytes: u32,
    pub(crate) paths: Vec<Path>,
    pub(crate) activations: Vec<Activation>,
    /// Lanes with a thread that has not exited.
    pub(crate) live: u32,
    pub(crate) state: State,
    /// Barrier that the warp has arrived at.
    pub(crate) arrival: Option<Arrival>,
    /// Number of instructions executed.
    pub(crate) executed: u64,
    /// Time of the warp's accesses, see [`crate::sanitizer`].
    pub(crate) time: u32,
    pub(crate) known: Vec<u32>,
    pub(crate) barrier_time: u32,
    pub(crate) copies: AsyncCopies,
}

/// The bytes after the registers that operations may read (and ignore).
const SLACK: usize = 256;

impl Warp {
    /// Makes a warp for a kernel, or returns `None` if the host has no memory for it.
    pub(crate) fn new(linked: &Linked, local_bytes: u32, index: u32, warps: usize) -> Option<Self> {
        let local_bytes = local_bytes.next_multiple_of(16);
        Some(Self {
            index,
            registers: ZeroedBytes::new(linked.register_bytes as usize + SLACK)?,
            predicates: vec![0; linked.predicates as usize],
            local: vec![0; 32 * local_bytes as usize],
            local_bytes,
            paths: Vec::new(),
            activations: Vec::new(),
            live: 0,
            state: State::Done,
            arrival: None,
            executed: 0,
            time: 0,
            known: vec![0; warps],
            barrier_time: 0,
            copies: AsyncCopies::default(),
        })
    }

    /// Prepares the warp for a block. `first` says that nothing is in its registers yet.
    pub(crate) fn start(&mut self, linked: &Linked, place: &Place, threads: u32, first: bool) {
        self.fill_registers(linked, place, first);
        for function in &linked.functions {
            let start = function.predicates as usize;
            let predicates = &mut self.predicates[start..start + function.code.predicates as usize];
            predicates.fill(0);
            predicates[super::operation::TRUE as usize] = u32::MAX;
        }
        self.live = self.threads(threads);
        self.local.fill(0);
        self.paths.clear();
        self.paths.push(Path { pc: 0, reconverge: EXIT, mask: self.live, parked: false });
        self.activations.clear();
        self.activations.push(Activation { function: 0, base: 0, mask: self.live });
        self.state = State::Ready;
        self.arrival = None;
        self.executed = 0;
        self.time = 0;
        self.known.fill(0);
        self.barrier_time = 0;
        self.copies.clear();
    }

    /// Returns the lanes that have a thread in a block of `threads`.
    pub(crate) fn threads(&self, threads: u32) -> u32 {
        u32::MAX >> (32 - (threads - 32 * self.index).min(32))
    }

    fn fill_registers(&mut self, linked: &Linked, place: &Place, first: bool) {
        for &(offset, bytes, value) in &linked.initial {
            let values: [u64; 32] = match value {
                InitialValue::Bits(bits) if first || bits == 0 => [bits; 32],
                InitialValue::Special(special) if first || special.depends_on_block() => {
                    std::array::from_fn(|lane| special.value(place, lane as u32))
                }
                _ => continue,
            };
            let frame = Frame { registers: self.registers.start(), predicates: &mut 0 };
            // SAFETY: the linker places every register inside the register file.
            unsafe {
                match bytes {
                    2 => frame.set(offset, &values.map(|x| x as u16), u32::MAX),
                    4 => frame.set(offset, &values.map(|x| x as u32), u32::MAX),
                    _ => frame.set(offset, &values, u32::MAX),
                }
            }
        }
    }

    /// Returns the registers and predicates of a function.
    pub(crate) fn frame(&mut self, linked: &Linked, function: usize) -> Frame {
        let function = &linked.functions[function];
        // SAFETY: the linker places every function inside the register file.
        let registers = unsafe { self.registers.start().add(function.registers as usize) };
        let predicates = self.predicates[function.predicates as usize..].as_mut_ptr();
        Frame { registers, predicates }
    }

    /// Orders the accesses of the warp's lanes so far before those that follow.
    pub(crate) fn synchronize_lanes(&mut self) {
        self.set_time(self.time + 1);
    }

    /// Moves the warp's time on. Past the last time that the shadows can hold, every access counts
    /// as having happened before.
    pub(crate) fn set_time(&mut self, time: u32) {
        self.time = time.min(LAST_TIME);
        self.known[self.index as usize] = time.min(LAST_TIME + 1);
    }

    /// Lets another path of the warp run first, because the top one waits for its lanes: branches
    /// that end in an exit on one side never meet again, but their lanes do at barriers. Paths that
    /// wait at the same instruction become one. Returns `false` if no other path can run.
    pub(crate) fn park(&mut self) -> bool {
        let base = self.activations.last().map_or(0, |activation| activation.base);
        let Some(mut top) = self.paths.pop() else {
            return false;
        };
        let siblings =
            |path: &Path| path.reconverge == top.reconverge && path.pc != path.reconverge;
        let first =
            self.paths.iter().rposition(|path| !siblings(path)).map_or(0, |i| i + 1).max(base);
        let mut merged = false;
        let mut at = first;
        while at < self.paths.len() {
            if self.paths[at].parked && self.paths[at].pc == top.pc {
                top.mask |= self.paths.remove(at).mask;
                merged = true;
            } else {
                at += 1;
            }
        }
        let next = self.paths[first..].iter().rposition(|path| !path.parked && path.mask != 0);
        let Some(next) = next else {
            self.paths.push(top);
            return merged;
        };
        let next = self.paths.remove(first + next);
        self.paths.push(Path { parked: true, ..top });
        self.paths.push(next);
        true
    }

    /// Takes lanes off every path: they have exited.
    pub(crate) fn exit(&mut self, mask: u32) {
        self.live &= !mask;
        for path in &mut self.paths {
            path.mask &= !mask;
        }
        for activation in &mut self.activations {
            activation.mask &= !mask;
        }
    }
}
