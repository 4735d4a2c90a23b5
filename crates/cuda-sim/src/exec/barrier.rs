//! Barriers of a block: bar.sync, bar.arrive, bar.red and their `barrier` spellings.

use super::block::Worker;
use super::fault::{FaultKind, Violation};
use super::interpreter::Flow;
use super::lanes::{Frame, LANES};
use super::operation::Op;
use super::warp::{State, Warp};
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};

/// The number of barriers of a block.
pub(crate) const BARRIERS: u32 = 16;

/// A barrier instruction.
#[derive(Debug)]
pub(crate) struct Barrier {
    /// Registers with the barrier's number and the number of threads; all threads if `None`.
    id: u32,
    count: Option<u32>,
    waits: bool,
    reduction: Option<Reduction>,
}

/// The reduction of `bar.red`: what is done with the predicates of all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduction {
    kind: ReductionKind,
    /// Predicate slot, and what it is exclusive-or'ed with.
    source: u32,
    flip: u32,
    /// Register for `popc`, predicate slot otherwise.
    result: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReductionKind {
    Popc,
    And,
    Or,
}

/// A warp at a barrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    count: Option<u32>,
    mask: u32,
    votes: u32,
    reduction: Option<Reduction>,
}

/// A warp that has arrived at a barrier without waiting, as it was at its arrival.
#[derive(Debug)]
pub(crate) struct Arrived {
    warp: u32,
    time: u32,
    /// Times up to which it knew the accesses of the other warps.
    known: Vec<u32>,
}

/// Decodes `bar` and `barrier`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    opcode.take("cta");
    opcode.take("aligned");
    if opcode.name == "bar" && opcode.take("warp") {
        let ([mask], true) = (operands, opcode.take("sync")) else {
            return Err(opcode.unknown());
        };
        return Ok((Op::WarpBarrier { mask: decoder.source(mask, 4)? }, Class::Barrier));
    }
    let kind = opcode.take_one(&["sync", "arrive", "red"]).ok_or_else(|| opcode.unknown())?;
    let mut reduction = None;
    let (id, count) = match (kind, operands) {
        ("sync", [id]) => (id, None),
        ("sync" | "arrive", [id, count]) => (id, Some(count)),
        ("red", [d, id, rest @ .., p]) if rest.len() <= 1 => {
            let kind = match opcode.take_one(&["popc", "and", "or"]) {
                Some("popc") => ReductionKind::Popc,
                Some("and") => ReductionKind::And,
                Some(_) => ReductionKind::Or,
                None => return Err(opcode.unknown()),
            };
            opcode.take(if kind == ReductionKind::Popc { "u32" } else { "pred" });
            let (source, flip) = decoder.predicate(p)?;
            let result = match (kind, d) {
                (ReductionKind::Popc, d) => decoder.result(d, 4)?,
                (_, Operand::Name(name, 0)) => decoder.guard(name)?,
                _ => return Err("bar.red writes a predicate".into()),
            };
            reduction = Some(Reduction { kind, source, flip, result });
            (id, rest.first())
        }
        _ => return Err(opcode.unknown()),
    };
    let id = decoder.source(id, 4)?;
    let count = count.map(|count| decoder.source(count, 4)).transpose()?;
    let barrier = Barrier { id, count, waits: kind != "arrive", reduction };
    Ok((Op::Barrier(Box::new(barrier)), Class::Barrier))
}

impl Worker<'_> {
    /// Lets a warp arrive at a barrier.
    pub(super) fn arrive(
        &mut self,
        warp: &mut Warp,
        frame: Frame,
        barrier: &Barrier,
        mask: u32,
    ) -> Result<Flow, Box<Violation>> {
        if mask == 0 {
            return Ok(Flow::Next);
        }
        if mask != warp.live {
            self.forget_instruction(warp, mask);
            if warp.park() {
                return Ok(Flow::PathsChanged);
            }
            let missing = warp.live & !mask;
            let message = format!(
                "divergent barrier: lanes {mask:#010x} of warp {} are at it, lanes {missing:#010x} \
                 are elsewhere",
                warp.index
            );
            let lane = Some(mask.trailing_zeros());
            return Err(Violation::new(FaultKind::BarrierDivergence, lane, message));
        }
        let lane = mask.trailing_zeros();
        // SAFETY: the decoder checked the operands against the frame.
        let (id, count) = unsafe {
            let count = barrier.count.map(|count| frame.get::<u32>(count)[lane as usize]);
            (frame.get::<u32>(barrier.id)[lane as usize], count)
        };
        if id >= BARRIERS || count.is_some_and(|count| count % 32 != 0 || count == 0) {
            let message =
                format!("barrier {id} with {count:?} threads: 0 to 15 and a multiple of 32");
            return Err(Violation::new(FaultKind::BarrierDivergence, Some(lane), message));
        }
        self.counters.barriers += 1;
        if !barrier.waits {
            self.arrived[id as usize].push(Arrived {
                warp: warp.index,
                time: warp.time,
                known: warp.known.clone(),
            });
            warp.synchronize_lanes();
            return Ok(Flow::Next);
        }
        let votes = barrier.reduction.map_or(0, |reduction| {
            // SAFETY: the decoder checked the operands against the frame.
            unsafe { frame.predicate(reduction.source) ^ reduction.flip }
        });
        let reduction = barrier.reduction;
        warp.arrival = Some(Arrival { count, mask, votes: votes & mask, reduction });
        warp.state = State::AtBarrier(id);
        Ok(Flow::NextPath)
    }

    /// Takes back the count of an instruction that will run again.
    fn forget_instruction(&mut self, warp: &mut Warp, mask: u32) {
        warp.executed -= 1;
        if let (Some(activation), Some(path)) = (warp.activations.last(), warp.paths.last()) {
            let count = self.profile.of(warp.index, activation.function, path.pc);
            count[0] -= 1;
            count[1] -= u64::from(mask.count_ones());
        }
    }

    /// Lets warps go on whose barrier is complete; returns whether there were any.
    pub(super) fn release_barriers(
        &mut self,
        warps: &mut [Warp],
    ) -> Result<bool, (u32, Box<Violation>)> {
        let mut released = false;
        for id in 0..BARRIERS {
            let waiting: Vec<usize> =
                (0..warps.len()).filter(|&i| warps[i].state == State::AtBarrier(id)).collect();
            let Some(&first) = waiting.first() else {
                continue;
            };
            let Some(arrival) = warps[first].arrival else {
                continue;
            };
            let arrived = &self.arrived[id as usize];
            let complete = match arrival.count {
                Some(count) => 32 * (waiting.len() + arrived.len()) >= count as usize,
                None => waiting.len() + arrived.len() == warps.len(),
            };
            if !complete {
                self.check_reachable(warps, &waiting, &arrival, id)?;
                continue;
            }
            if arrival.count.is_none() {
                check_all_threads(warps, self.launch.threads, id)?;
            }
            let arrived = std::mem::take(&mut self.arrived[id as usize]);
            self.release(warps, &waiting, &arrived);
            released = true;
        }
        Ok(released)
    }

    /// Fails if a barrier of the whole block waits for warps that have ended.
    fn check_reachable(
        &self,
        warps: &[Warp],
        waiting: &[usize],
        arrival: &Arrival,
        id: u32,
    ) -> Result<(), (u32, Box<Violation>)> {
        let ended = warps.iter().find(|warp| warp.state == State::Done);
        let (Some(ended), None) = (ended, arrival.count) else {
            return Ok(());
        };
        let message = format!(
            "missing barrier: warp {} waits at barrier {id}, which warp {} has ended without \
             reaching",
            warps[waiting[0]].index, ended.index
        );
        let violation = Violation::new(FaultKind::BarrierDivergence, None, message);
        Err((warps[waiting[0]].index, violation))
    }

    fn release(&mut self, warps: &mut [Warp], waiting: &[usize], arrived: &[Arrived]) {
        let mut votes = 0;
        let (mut all, mut any) = (true, false);
        let mut time = arrived.iter().map(|arrived| arrived.time).max().unwrap_or(0);
        let mut known = vec![0; warps.len()];
        let merge = |known: &mut [u32], theirs: &[u32]| {
            for (known, &theirs) in known.iter_mut().zip(theirs) {
                *known = (*known).max(theirs);
            }
        };
        for &i in waiting {
            let warp = &warps[i];
            time = time.max(warp.time);
            merge(&mut known, &warp.known);
            if let Some(arrival) = warp.arrival {
                votes += arrival.votes.count_ones();
                all &= arrival.votes == arrival.mask;
                any |= arrival.votes != 0;
            }
        }
        let time = time + 1;
        for &i in waiting {
            known[i] = time;
        }
        for arrived in arrived {
            merge(&mut known, &arrived.known);
            let own = &mut known[arrived.warp as usize];
            *own = (*own).max(arrived.time + 1);
        }
        let linked = &self.launch.kernel.linked;
        for &i in waiting {
            let warp = &mut warps[i];
            warp.known.clone_from(&known);
            warp.barrier_time = time;
            warp.set_time(time);
            warp.state = State::Ready;
            let Some(Arrival { mask, reduction: Some(reduction), .. }) = warp.arrival.take() else {
                continue;
            };
            let function = warp.activations.last().map_or(0, |activation| activation.function);
            let frame = warp.frame(linked, function);
            let predicate = if reduction.kind == ReductionKind::And { all } else { any };
            // SAFETY: the decoder checked the operands against the frame.
            unsafe {
                match reduction.kind {
                    ReductionKind::Popc => frame.set(reduction.result, &[votes; LANES], mask),
                    _ => frame.set_predicate(
                        reduction.result,
                        if predicate { u32::MAX } else { 0 },
                        mask,
                    ),
                }
            }
        }
    }
}

/// Fails if a thread has ended without reaching a barrier of the whole block.
fn check_all_threads(warps: &[Warp], threads: u32, id: u32) -> Result<(), (u32, Box<Violation>)> {
    for warp in warps {
        let ended = warp.threads(threads) & !warp.live;
        if ended != 0 {
            let message = format!(
                "missing barrier: lanes {ended:#010x} of warp {} have ended without reaching \
                 barrier {id}",
                warp.index
            );
            let violation = Violation::new(FaultKind::BarrierDivergence, None, message);
            return Err((warp.index, violation));
        }
    }
    Ok(())
}
