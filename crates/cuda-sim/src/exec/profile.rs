//! How often each instruction of a kernel ran, by the warps of its blocks.

use std::collections::BTreeMap;

use crate::counters::LaunchCounters;
use crate::ptx::link::Linked;

/// The executions of every instruction: for each warp of a block (summed over the blocks), for each
/// function of the kernel.
pub(crate) struct Profile {
    warps: Vec<Vec<Vec<[u64; 2]>>>,
}

impl Profile {
    pub(crate) fn new(linked: &Linked, warps: u32) -> Self {
        let of_warp: Vec<Vec<[u64; 2]>> =
            linked.functions.iter().map(|f| vec![[0; 2]; f.code.code.len()]).collect();
        Self { warps: vec![of_warp; warps as usize] }
    }

    /// Returns the number of executions of an instruction: by warps, by threads.
    #[inline]
    pub(crate) fn of(&mut self, warp: u32, function: usize, pc: u32) -> &mut [u64; 2] {
        &mut self.warps[warp as usize][function][pc as usize]
    }

    /// Adds what another host thread has counted of the same kernel.
    pub(crate) fn add(&mut self, other: &Self) {
        let ours = self.warps.iter_mut().flatten().flatten();
        for (ours, theirs) in ours.zip(other.warps.iter().flatten().flatten()) {
            ours[0] += theirs[0];
            ours[1] += theirs[1];
        }
    }

    /// Adds the instructions to the counters, by class.
    pub(crate) fn count_into(&self, linked: &Linked, counters: &mut LaunchCounters) {
        for of_warp in &self.warps {
            for (function, counts) in linked.functions.iter().zip(of_warp) {
                for (&class, &[warps, threads]) in function.code.classes.iter().zip(counts) {
                    counters.warp_instructions[class as usize] += warps;
                    counters.thread_instructions[class as usize] += threads;
                }
            }
        }
    }

    /// Returns, for each line of the PTX that ran, how often the warp ran it that ran it most often,
    /// summed over the blocks.
    pub(crate) fn lines(&self, linked: &Linked) -> BTreeMap<u32, u64> {
        let mut lines = BTreeMap::new();
        for (index, function) in linked.functions.iter().enumerate() {
            for (pc, &(line, _)) in function.code.lines.iter().enumerate() {
                let most = self.warps.iter().map(|warp| warp[index][pc][0]).max();
                if let Some(most) = most.filter(|&most| most > 0) {
                    let known: &mut u64 = lines.entry(line).or_default();
                    *known = most.max(*known);
                }
            }
        }
        lines
    }
}
