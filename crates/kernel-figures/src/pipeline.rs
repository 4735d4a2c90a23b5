//! The cycles that the warps of one scheduler take, instruction by instruction: each waits for the
//! stall count of the one before, for the barriers that its code names, and for its unit.
//!
//! Left out are: instructions that are not in the cache, conflicts of register banks, the queues of
//! the memory, and jumps, which cost what their stall counts say.

use std::collections::VecDeque;

use crate::{
    latency::{BARRIER, Latencies, Unit},
    machine_code::Instruction,
};

/// The warps of a scheduler and what they share.
#[derive(Clone, Copy, Debug)]
pub struct Scheduler<'a> {
    /// Machine code of the kernel.
    pub code: &'a [Instruction],
    /// Places of the instructions that each warp executes, in order.
    pub way: &'a [u32],
    /// Constants of the device.
    pub latencies: &'a Latencies,
    /// Number of warps that the scheduler holds.
    pub warps: usize,
    /// Number of schedulers with as many warps that share the unit of memory, 1 to 4.
    pub sharing: usize,
    /// Share of the loads that miss L2.
    pub missing: f64,
    /// Passes over the banks of shared memory beyond the least, per request.
    pub conflicts: f64,
}

#[derive(Clone, Default)]
struct Warp {
    place: usize,
    ready: f64,
    barriers: [f64; 6],
    /// Share of a load that missed, until it is a whole one.
    missed: f64,
    /// When the asynchronous copies end that no group has yet, and those of each group.
    copies: f64,
    groups: VecDeque<f64>,
}

impl Scheduler<'_> {
    /// Returns the cycles until all warps have ended.
    pub fn cycles(&self) -> f64 {
        let mut warps = vec![Warp::default(); self.warps];
        let mut free = [0.0_f64; Unit::COUNT];
        let mut now = 0.0_f64;
        loop {
            let earliest = |warp: &Warp| {
                let instruction = &self.code[*self.way.get(warp.place)? as usize];
                let unit_free = free[Unit::of(instruction) as usize];
                Some(self.earliest(warp, instruction).max(unit_free))
            };
            let next = warps.iter().enumerate().filter_map(|(i, warp)| Some((earliest(warp)?, i)));
            let Some((at, index)) = next.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                return now;
            };
            let warp = &mut warps[index];
            let instruction = &self.code[self.way[warp.place] as usize];
            let at = at.max(now);
            let unit = Unit::of(instruction);
            free[unit as usize] = at + self.occupied(unit, instruction);
            self.issue(warp, instruction, at);
            warp.place += 1;
            // A scheduler issues one instruction a cycle.
            now = at + 1.0;
        }
    }

    /// Returns when the warp's next instruction can be issued, if its unit is free.
    fn earliest(&self, warp: &Warp, instruction: &Instruction) -> f64 {
        let waited = (0..6).filter(|barrier| instruction.waits >> barrier & 1 != 0);
        let barriers = waited.map(|barrier| warp.barriers[barrier]).fold(warp.ready, f64::max);
        if !instruction.is_any(&["DEPBAR.LE"]) {
            return barriers;
        }
        // `DEPBAR.LE SB0, 0x1` waits until at most one group of copies is left.
        let left = instruction.operands.rsplit("0x").next().unwrap_or("");
        let left = usize::from_str_radix(left, 16).unwrap_or(0);
        let ended = warp.groups.len().saturating_sub(left);
        warp.groups.iter().take(ended).copied().fold(barriers, f64::max)
    }

    fn occupied(&self, unit: Unit, instruction: &Instruction) -> f64 {
        let cycles = self.latencies.occupied[unit as usize];
        if unit != Unit::Memory {
            return cycles;
        }
        let width = match () {
            () if instruction.operation.contains(".128") => 4.0,
            () if instruction.operation.contains(".64") => 2.0,
            () => 1.0,
        };
        let conflicts = if instruction.is_any(&["LDS", "STS"]) { self.conflicts } else { 0.0 };
        self.sharing as f64 * (width * cycles + conflicts)
    }

    fn issue(&self, warp: &mut Warp, instruction: &Instruction, at: f64) {
        warp.ready = at + f64::from(instruction.stall.max(1));
        if instruction.is_any(&["BAR.SYNC", "BAR.RED"]) {
            warp.ready = at + BARRIER;
        }
        let is_load = instruction.is_any(&["LDG.", "LDGSTS", "LD."]);
        warp.missed += if is_load { self.missing } else { 0.0 };
        let from_global = is_load && warp.missed >= 1.0;
        warp.missed -= f64::from(from_global);
        let result = at + self.latencies.result(instruction, from_global);
        if let Some(barrier) = instruction.result_barrier {
            let barrier = &mut warp.barriers[usize::from(barrier)];
            *barrier = barrier.max(result);
        }
        if let Some(barrier) = instruction.operand_barrier {
            let barrier = &mut warp.barriers[usize::from(barrier)];
            *barrier = barrier.max(at + self.latencies.operands());
        }
        if instruction.is_any(&["LDGSTS"]) {
            warp.copies = warp.copies.max(result);
        } else if instruction.is_any(&["LDGDEPBAR"]) {
            warp.groups.push_back(warp.copies);
        } else if instruction.is_any(&["DEPBAR.LE"]) {
            while warp.groups.front().is_some_and(|&ended| ended <= at) {
                warp.groups.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_sim::device::Device;

    fn instruction(operation: &str, stall: u32) -> Instruction {
        Instruction { operation: operation.into(), stall, ..Instruction::default() }
    }

    fn cycles(code: &[Instruction], warps: usize, missing: f64) -> f64 {
        let way: Vec<u32> = (0..code.len() as u32).collect();
        let latencies = &Latencies::of(&Device::h100());
        let sharing = 1;
        Scheduler { code, way: &way, latencies, warps, sharing, missing, conflicts: 0.0 }.cycles()
    }

    #[test]
    fn warps_wait_for_results_and_units() {
        let load = Instruction { result_barrier: Some(2), ..instruction("LDG.E.64", 2) };
        let use_it = Instruction { waits: 1 << 2, ..instruction("DADD", 8) };
        // The addition is issued once the load has come, from L2 or from beyond.
        assert_eq!(cycles(&[load.clone(), use_it.clone()], 1, 0.0), 263.0 + 1.0);
        assert_eq!(cycles(&[load.clone(), use_it.clone()], 1, 1.0), 478.8 + 1.0);
        // Other warps wait at the same time: the last load is issued 6 cycles later.
        assert_eq!(cycles(&[load, use_it], 4, 0.0), 263.0 + 6.0 + 1.0);
        // 16 lanes of double precision: an instruction every second cycle.
        let chain = vec![instruction("DFMA", 1); 10];
        assert_eq!(cycles(&chain, 1, 0.0), 19.0);
        let dependent = vec![instruction("DFMA", 8); 10];
        assert_eq!(cycles(&dependent, 1, 0.0), 73.0);
        assert_eq!(cycles(&dependent, 2, 0.0), 75.0);
    }

    #[test]
    fn copies_are_waited_for_by_group() {
        let copy = instruction("LDGSTS.E.64", 1);
        let commit = instruction("LDGDEPBAR", 1);
        let wait = |left: u32| Instruction {
            operands: format!("SB0, 0x{left}"),
            ..instruction("DEPBAR.LE", 1)
        };
        let code =
            |left| vec![copy.clone(), commit.clone(), copy.clone(), commit.clone(), wait(left)];
        let [one, none] = [1, 0].map(|left| cycles(&code(left), 1, 0.0));
        assert_eq!(none - one, 2.0);
    }
}
