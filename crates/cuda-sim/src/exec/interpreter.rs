//! The interpreter, which runs the instructions of a warp one after the other.

use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::lanes::{Frame, LANES, lanes_of};
use super::operation::{Call, EXIT, Op};
use super::warp::{Activation, Path, State, Warp};

/// The number of instructions that a warp runs before the next warp has its turn, so that warps
/// that wait for each other through memory make progress.
const QUANTUM: u64 = 1 << 16;

type Outcome<T> = Result<T, Box<Violation>>;

impl Worker<'_> {
    /// Runs a warp until it ends, waits at a barrier, or has used its turn.
    pub(crate) fn run_warp(&mut self, warp: &mut Warp) -> Outcome<()> {
        let turn_ends = warp.executed + QUANTUM;
        while warp.state == State::Ready && warp.executed < turn_ends {
            if !self.settle(warp) {
                warp.state = State::Done;
                break;
            }
            self.run_path(warp, turn_ends)?;
        }
        if warp.executed > self.launch.device.watchdog_instructions {
            let message = format!(
                "the warp has executed {} instructions: an endless loop, or a wait for another \
                 block",
                warp.executed
            );
            return Err(Violation::new(FaultKind::Timeout, None, message));
        }
        Ok(())
    }

    /// Runs the top path until its end, a jump that changes the paths, or the end of the turn.
    /// On return the path's program counter is that of the next instruction; on an error, that of
    /// the instruction at fault.
    fn run_path(&mut self, warp: &mut Warp, turn_ends: u64) -> Outcome<()> {
        let launch = self.launch;
        let linked = &launch.kernel.linked;
        let Some(&Activation { function, .. }) = warp.activations.last() else {
            return Ok(());
        };
        let Some(&Path { mut pc, reconverge, mask: active, .. }) = warp.paths.last() else {
            return Ok(());
        };
        let code = &linked.functions[function].code.code;
        let frame = warp.frame(linked, function);
        while pc != reconverge && warp.executed < turn_ends {
            let instruction = &code[pc as usize];
            // SAFETY: the decoder only makes predicates of the frame.
            let mask =
                unsafe { frame.predicate(instruction.guard) ^ instruction.guard_flip } & active;
            warp.executed += 1;
            let count = self.profile.of(warp.index, function, pc);
            count[0] += 1;
            count[1] += u64::from(mask.count_ones());
            let flow = if let Op::Alu { run, operands } = &instruction.op {
                // SAFETY: the decoder checked the operands against the frame.
                unsafe { run(frame, operands, mask) };
                Flow::Next
            } else {
                set_pc(warp, pc);
                self.step(warp, frame, &instruction.op, mask, active)?
            };
            match flow {
                Flow::Next => pc += 1,
                Flow::Jump(target) => pc = target,
                Flow::NextPath => {
                    set_pc(warp, pc + 1);
                    return Ok(());
                }
                Flow::PathsChanged => return Ok(()),
            }
        }
        set_pc(warp, pc);
        Ok(())
    }

    /// Runs any instruction but arithmetic. The path's program counter is that of the instruction.
    fn step(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        op: &Op,
        mask: u32,
        active: u32,
    ) -> Outcome<Flow> {
        // SAFETY (all blocks below): the decoder checked the operands against the frame.
        match op {
            Op::Branch { target, reconverge } => {
                return Ok(self.branch(warp, mask, active, *target, *reconverge));
            }
            Op::BranchIndexed { index, targets, reconverge } => {
                let indices = unsafe { frame.get::<u32>(*index) };
                return self.branch_indexed(warp, mask, active, &indices, targets, *reconverge);
            }
            Op::Exit => {
                warp.exit(mask);
                return Ok(Flow::NextPath);
            }
            Op::Return => {
                return_lanes(warp, mask);
                return Ok(Flow::NextPath);
            }
            Op::Barrier(barrier) => return self.arrive(warp, frame, barrier, mask),
            _ if mask == 0 => {}
            Op::Alu { run, operands } => unsafe { run(frame, operands, mask) },
            Op::SetPredicate(set) => unsafe { set.run(frame, mask) },
            Op::Call(call) => {
                self.call(warp, call, mask);
                return Ok(Flow::PathsChanged);
            }
            Op::Access(access) => self.access(warp, frame, access, mask)?,
            Op::Atomic(atomic) => self.atomic(warp, frame, atomic, mask)?,
            Op::Collective(collective) => collective.run(warp, frame, mask)?,
            Op::WarpBarrier { mask: members } => {
                let members = unsafe { frame.get::<u32>(*members) };
                super::collectives::check_members(warp, &members, mask, "bar.warp.sync")?;
                warp.synchronize_lanes();
                self.counters.barriers += 1;
            }
            Op::Fence { device } => self.fence(*device),
            Op::AsyncCopy(copy) => self.async_copy(warp, frame, copy, mask)?,
            Op::Mma(mma) => self.mma(warp, frame, mma, mask)?,
            Op::SpecialRegister { which, d, bytes } => {
                let value = which.clock(warp.executed);
                match bytes {
                    8 => unsafe { frame.set(*d, &[value; LANES], mask) },
                    _ => unsafe { frame.set(*d, &[value as u32; LANES], mask) },
                }
            }
            Op::Trap => {
                let lane = Some(mask.trailing_zeros());
                return Err(Violation::new(FaultKind::Trap, lane, "trap instruction".into()));
            }
            Op::AssertFail { arguments } => return Err(self.assertion(warp, *arguments, mask)),
            Op::Print { arguments, result } => self.print(warp, *arguments, *result, mask),
            Op::Nothing => {}
        }
        Ok(Flow::Next)
    }

    fn branch(
        &mut self,
        warp: &mut Warp,
        taken: u32,
        active: u32,
        target: u32,
        reconverge: u32,
    ) -> Flow {
        self.counters.branches += 1;
        if taken == 0 {
            return Flow::Next;
        }
        if taken == active {
            return Flow::Jump(target);
        }
        self.counters.divergent_branches += 1;
        let Some(path) = warp.paths.last_mut() else {
            return Flow::PathsChanged;
        };
        let next = path.pc + 1;
        part(warp, reconverge, &[(next, active & !taken), (target, taken)]);
        Flow::PathsChanged
    }

    fn branch_indexed(
        &mut self,
        warp: &mut Warp,
        mask: u32,
        active: u32,
        indices: &[u32; LANES],
        targets: &[u32],
        reconverge: u32,
    ) -> Outcome<Flow> {
        self.counters.branches += 1;
        let mut ways: Vec<(u32, u32)> = Vec::new();
        for lane in lanes_of(mask) {
            let Some(&target) = targets.get(indices[lane] as usize) else {
                let message = format!("brx.idx: index {} of {}", indices[lane], targets.len());
                return Err(Violation::new(FaultKind::Trap, Some(lane as u32), message));
            };
            match ways.iter_mut().find(|(pc, _)| *pc == target) {
                Some((_, lanes)) => *lanes |= 1 << lane,
                None => ways.push((target, 1 << lane)),
            }
        }
        if mask != active {
            let next = warp.paths.last().map_or(EXIT, |path| path.pc + 1);
            ways.push((next, active & !mask));
        }
        if let [(target, _)] = ways[..] {
            return Ok(Flow::Jump(target));
        }
        self.counters.divergent_branches += 1;
        ways.reverse();
        part(warp, reconverge, &ways);
        Ok(Flow::PathsChanged)
    }

    fn call(&self, warp: &mut Warp, call: &Call, mask: u32) {
        let linked = &self.launch.kernel.linked;
        let Some(&Activation { function: caller, .. }) = warp.activations.last() else {
            return;
        };
        let callee = linked.functions[caller].callees[&call.function];
        let (from, to) = (linked.functions[caller].local, linked.functions[callee].local);
        for &(source, target, bytes) in &call.arguments {
            copy_local(warp, mask, from + source, to + target, bytes);
        }
        // The caller's path stays at the call until the callee has returned.
        let base = warp.paths.len();
        warp.activations.push(Activation { function: callee, base, mask });
        warp.paths.push(Path { pc: 0, reconverge: EXIT, mask, parked: false });
    }

    /// Drops the paths that have ended, back to one that can run; returns `false` if the warp has
    /// ended.
    fn settle(&self, warp: &mut Warp) -> bool {
        while let Some(&activation) = warp.activations.last() {
            if warp.paths.len() == activation.base {
                warp.activations.pop();
                self.finish_call(warp, activation);
                continue;
            }
            match warp.paths.last() {
                Some(path) if path.mask != 0 && path.pc != path.reconverge => return true,
                _ => warp.paths.pop(),
            };
        }
        false
    }

    /// Ends a call whose callee has returned in all lanes.
    fn finish_call(&self, warp: &mut Warp, callee: Activation) {
        let linked = &self.launch.kernel.linked;
        let Some(&Activation { function: caller, .. }) = warp.activations.last() else {
            return;
        };
        let Some(path) = warp.paths.last_mut() else {
            return;
        };
        let op = &linked.functions[caller].code.code[path.pc as usize].op;
        path.pc += 1;
        let Op::Call(call) = op else { return };
        let (from, to) = (linked.functions[callee.function].local, linked.functions[caller].local);
        for &(source, target, bytes) in &call.results {
            copy_local(warp, callee.mask, from + source, to + target, bytes);
        }
    }
}

/// The way in which a warp goes on after an instruction.
pub(super) enum Flow {
    Next,
    Jump(u32),
    /// The paths have changed; the current one goes on with the next instruction.
    NextPath,
    /// The paths have changed and hold the instructions to go on with.
    PathsChanged,
}

fn set_pc(warp: &mut Warp, pc: u32) {
    if let Some(path) = warp.paths.last_mut() {
        path.pc = pc;
    }
}

/// Splits the top path into several, which meet again at `reconverge`.
fn part(warp: &mut Warp, reconverge: u32, ways: &[(u32, u32)]) {
    let Some(path) = warp.paths.pop() else { return };
    // The path itself waits at the meeting point, unless it was to end at that point anyway.
    if path.reconverge != reconverge {
        warp.paths.push(Path { pc: reconverge, ..path });
    }
    for &(pc, mask) in ways.iter().filter(|(pc, _)| *pc != reconverge) {
        warp.paths.push(Path { pc, reconverge, mask, parked: false });
    }
}

/// Takes lanes off the paths of the current function: they have returned.
fn return_lanes(warp: &mut Warp, mask: u32) {
    let base = warp.activations.last().map_or(0, |activation| activation.base);
    for path in &mut warp.paths[base..] {
        path.mask &= !mask;
    }
}

fn copy_local(warp: &mut Warp, mask: u32, from: u32, to: u32, bytes: u32) {
    for lane in lanes_of(mask) {
        let start = lane * warp.local_bytes as usize;
        let from = start + from as usize;
        warp.local.copy_within(from..from + bytes as usize, start + to as usize);
    }
}
