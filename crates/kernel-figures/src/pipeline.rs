//! The cycles that the warps of one scheduler take, instruction by instruction: each waits for the
//! stall count of the one before, for the barriers that its code names, and for its unit.
//!
//! Left out are: instructions that are not in the cache, conflicts of register banks, the queues of
//! the memory, and jumps, which cost what their stall counts say.

use std::collections::VecDeque;

use crate::{
    latency::{BARRIER, Latencies, OPERANDS, Unit},
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

/// What the pipeline has to know of an instruction, found once for each place in the code.
#[derive(Clone, Copy)]
struct Step {
    unit: Unit,
    kind: Kind,
    /// Cycles for which it occupies its unit.
    occupied: f64,
    /// Cycles until the warp's next instruction may be issued.
    stall: f64,
    /// Cycles until its result is there, from L2 and from beyond.
    results: [f64; 2],
    result_barrier: Option<u8>,
    operand_barrier: Option<u8>,
    /// Barriers that it waits for, a bit each.
    waits: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A load from global memory to registers.
    Load,
    /// A copy from global to shared memory.
    Copy,
    /// Makes a group of the copies before it.
    Commit,
    /// Waits until at most so many groups of copies are left.
    Wait { left: usize },
    /// Anything else.
    Other,
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
        let steps: Vec<Step> = self.code.iter().map(|instruction| self.step(instruction)).collect();
        let mut warps = vec![Warp::default(); self.warps];
        let mut free = [0.0_f64; Unit::COUNT];
        let mut now = 0.0_f64;
        loop {
            let earliest = |warp: &Warp| {
                let step = &steps[*self.way.get(warp.place)? as usize];
                Some(warp.earliest(step).max(free[step.unit as usize]))
            };
            let next = warps.iter().enumerate().filter_map(|(i, warp)| Some((earliest(warp)?, i)));
            let Some((at, index)) = next.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                return now;
            };
            let warp = &mut warps[index];
            let step = &steps[self.way[warp.place] as usize];
            let at = at.max(now);
            free[step.unit as usize] = at + step.occupied;
            warp.issue(step, at, self.missing);
            warp.place += 1;
            // A scheduler issues one instruction a cycle.
            now = at + 1.0;
        }
    }

    fn step(&self, instruction: &Instruction) -> Step {
        let is = |operations: &[&str]| instruction.is_any(operations);
        let kind = match () {
            () if is(&["LDGSTS"]) => Kind::Copy,
            () if is(&["LDG.", "LD."]) => Kind::Load,
            () if is(&["LDGDEPBAR"]) => Kind::Commit,
            () if is(&["DEPBAR.LE"]) => {
                // `DEPBAR.LE SB0, 0x1` waits until at most one group of copies is left.
                let left = instruction.operands.rsplit("0x").next().unwrap_or("");
                Kind::Wait { left: usize::from_str_radix(left, 16).unwrap_or(0) }
            }
            () => Kind::Other,
        };
        let unit = Unit::of(instruction);
        let stall = f64::from(instruction.stall.max(1));
        Step {
            unit,
            kind,
            occupied: self.occupied(unit, instruction),
            stall: if is(&["BAR.SYNC", "BAR.RED"]) { BARRIER } else { stall },
            results: [false, true].map(|missed| self.latencies.result(instruction, missed)),
            result_barrier: instruction.result_barrier,
            operand_barrier: instruction.operand_barrier,
            waits: instruction.waits,
        }
    }

    fn occupied(&self, unit: Unit, instruction: &Instruction) -> f64 {
        let cycles = self.latencies.occupied[unit as usize];
        if instruction.is_any(&["DMMA"]) {
            return self.latencies.tensor;
        }
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
}

impl Warp {
    /// Returns when the warp's next instruction can be issued, if its unit is free.
    fn earliest(&self, step: &Step) -> f64 {
        let waited = (0..6).filter(|barrier| step.waits >> barrier & 1 != 0);
        let barriers = waited.map(|barrier| self.barriers[barrier]).fold(self.ready, f64::max);
        let Kind::Wait { left } = step.kind else { return barriers };
        let ended = self.groups.len().saturating_sub(left);
        self.groups.iter().take(ended).copied().fold(barriers, f64::max)
    }

    /// Issues the warp's next instruction; `missing` is the share of the loads that miss L2.
    fn issue(&mut self, step: &Step, at: f64, missing: f64) {
        self.ready = at + step.stall;
        let is_load = matches!(step.kind, Kind::Load | Kind::Copy);
        self.missed += if is_load { missing } else { 0.0 };
        let from_global = is_load && self.missed >= 1.0;
        self.missed -= f64::from(from_global);
        let result = at + step.results[usize::from(from_global)];
        if let Some(barrier) = step.result_barrier {
            let barrier = &mut self.barriers[usize::from(barrier)];
            *barrier = barrier.max(result);
        }
        if let Some(barrier) = step.operand_barrier {
            let barrier = &mut self.barriers[usize::from(barrier)];
            *barrier = barrier.max(at + OPERANDS);
        }
        match step.kind {
            Kind::Copy => self.copies = self.copies.max(result),
            Kind::Commit => self.groups.push_back(self.copies),
            Kind::Wait { .. } => {
                while self.groups.front().is_some_and(|&ended| ended <= at) {
                    self.groups.pop_front();
                }
            }
            Kind::Load | Kind::Other => {}
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
