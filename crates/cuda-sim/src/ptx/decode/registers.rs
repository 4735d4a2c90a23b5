//! The places of registers, assigned by a linear scan over live intervals.
//!
//! PTX names every value anew; giving values that are never live together the same place keeps a
//! warp's registers small enough for the host's caches. Lanes that wait for others keep their
//! values: instructions only write active lanes, and what is live in a lane follows the control
//! flow of that lane.

use super::control_flow::ControlFlow;

/// The registers that an instruction reads and writes, by number.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) uses: Vec<u32>,
    pub(super) defs: Vec<u32>,
    /// Whether the instruction is guarded, so that its results keep their value in some lanes.
    pub(super) guarded: bool,
}

/// The places of the registers of a function.
pub(super) struct Layout {
    /// Byte offset of every register.
    pub(super) places: Vec<u32>,
    /// Size of all registers.
    pub(super) bytes: u32,
    /// Registers that may be read before they are written.
    pub(super) cleared: Vec<u32>,
}

/// Lays out registers of the given `widths` (bytes per lane); those in `constants` keep their
/// place for themselves.
pub(super) fn lay_out(
    effects: &[Effects],
    flow: &ControlFlow,
    widths: &[u32],
    constants: &[u32],
) -> Layout {
    let live_in = live_at_start(effects, flow, widths.len());
    let mut intervals = vec![(usize::MAX, 0); widths.len()];
    let mut extend = |register: usize, at: usize| {
        let (first, last) = &mut intervals[register];
        *first = (*first).min(at);
        *last = (*last).max(at);
    };
    for (at, effect) in effects.iter().enumerate() {
        for &register in effect.uses.iter().chain(&effect.defs) {
            extend(register as usize, at);
        }
    }
    let mut predecessors = vec![Vec::new(); flow.successors.len()];
    for (block, successors) in flow.successors.iter().enumerate() {
        for &next in successors {
            predecessors[next].push(block);
        }
    }
    for (block, live) in live_in.iter().enumerate() {
        for register in live.ones() {
            extend(register, flow.starts[block]);
            // A register that is live at the start of a block is live at the end of all blocks that
            // lead to it.
            for &before in &predecessors[block] {
                extend(register, flow.starts[before + 1] - 1);
            }
        }
    }
    for &constant in constants {
        intervals[constant as usize] = (0, usize::MAX);
    }

    let mut by_start: Vec<_> =
        (0..widths.len()).filter(|&register| intervals[register].0 != usize::MAX).collect();
    by_start.sort_by_key(|&register| intervals[register].0);
    let mut slots = vec![0u32; widths.len()];
    let mut counts = [0u32; 3];
    let mut free: [Vec<u32>; 3] = Default::default();
    let mut ends = std::collections::BinaryHeap::new();
    for register in by_start {
        let (first, last) = intervals[register];
        while let Some(&std::cmp::Reverse((end, finished))) = ends.peek() {
            if end >= first {
                break;
            }
            ends.pop();
            let finished: usize = finished;
            free[class(widths[finished])].push(slots[finished]);
        }
        let class = class(widths[register]);
        slots[register] = free[class].pop().unwrap_or_else(|| {
            counts[class] += 1;
            counts[class] - 1
        });
        ends.push(std::cmp::Reverse((last, register)));
    }

    let starts = [0, 256 * counts[0], 256 * counts[0] + 128 * counts[1]];
    let bytes = starts[2] + 64 * counts[2];
    let places = (0..widths.len())
        .map(|register| {
            let class = class(widths[register]);
            starts[class] + slots[register] * (256 >> class)
        })
        .collect();
    let is_constant = |register: &usize| constants.contains(&(*register as u32));
    let entry = live_in.first().map(|live| live.ones().collect::<Vec<_>>()).unwrap_or_default();
    let cleared = entry.into_iter().filter(|r| !is_constant(r)).map(|r| r as u32).collect();
    Layout { places, bytes, cleared }
}

/// Returns the class of a register by its width: 8, 4 and 2 bytes.
fn class(width: u32) -> usize {
    match width {
        8 => 0,
        4 => 1,
        _ => 2,
    }
}

/// Returns the registers that are live at the start of every block.
fn live_at_start(effects: &[Effects], flow: &ControlFlow, registers: usize) -> Vec<BitSet> {
    let blocks = flow.successors.len();
    let mut read_first = vec![BitSet::new(registers); blocks];
    let mut written = vec![BitSet::new(registers); blocks];
    for block in 0..blocks {
        for effect in &effects[flow.starts[block]..flow.starts[block + 1]] {
            let read = effect.uses.iter().chain(effect.defs.iter().filter(|_| effect.guarded));
            for &register in read {
                if !written[block].has(register as usize) {
                    read_first[block].insert(register as usize);
                }
            }
            for &register in effect.defs.iter().filter(|_| !effect.guarded) {
                written[block].insert(register as usize);
            }
        }
    }
    let mut live = read_first;
    let mut changed = true;
    while changed {
        changed = false;
        for block in (0..blocks).rev() {
            for &next in &flow.successors[block] {
                let through = live[next].clone();
                changed |= live[block].absorb(&through, &written[block]);
            }
        }
    }
    live
}

#[derive(Clone)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 != 0
    }

    fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    /// Adds what is in `other` and not in `except`; returns whether anything was new.
    fn absorb(&mut self, other: &Self, except: &Self) -> bool {
        let mut changed = false;
        for ((word, other), except) in self.0.iter_mut().zip(&other.0).zip(&except.0) {
            let new = *word | other & !except;
            changed |= new != *word;
            *word = new;
        }
        changed
    }

    fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            let rest = |&word: &u64| Some(word & (word - 1)).filter(|&rest| rest != 0);
            std::iter::successors(Some(word).filter(|&word| word != 0), rest)
                .map(move |word| 64 * i + word.trailing_zeros() as usize)
        })
    }
}
