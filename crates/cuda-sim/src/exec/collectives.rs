//! Warp collectives: shfl, vote, match, redux, activemask, elect.

use super::fault::{FaultKind, Violation};
use super::lanes::{Frame, LANES, lanes_of};
use super::operation::Op;
use super::warp::Warp;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};
use crate::ptx::types::Type;

/// A collective operation: what it does, and the register with the mask of its lanes.
#[derive(Debug)]
pub(crate) struct Collective {
    kind: CollectiveKind,
    members: u32,
}

#[derive(Clone, Copy, Debug)]
enum CollectiveKind {
    Shuffle { mode: Mode, d: u32, in_range: Option<u32>, a: u32, b: u32, c: u32 },
    Vote { mode: Vote, d: u32, source: u32, flip: u32 },
    MatchAny { d: u32, a: u32, bytes: u32 },
    MatchAll { d: u32, all: Option<u32>, a: u32, bytes: u32 },
    Reduce { op: Reduce, d: u32, a: u32 },
    ActiveMask { d: u32 },
    Elect { d: Option<u32>, p: u32 },
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug)]
enum Vote {
    All,
    Any,
    Uniform,
    Ballot,
}

#[derive(Clone, Copy, Debug)]
enum Reduce {
    Add,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
    Xor,
}

/// Decodes a collective.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    if !opcode.take("sync") && opcode.name != "activemask" {
        return Err(format!("{}: only the .sync form exists", opcode.unknown()));
    }
    let (kind, members) = match (opcode.name, operands) {
        ("shfl", [target, a, b, c, members]) => {
            let mode = match opcode.take_one(&["up", "down", "bfly", "idx"]) {
                Some("up") => Mode::Up,
                Some("down") => Mode::Down,
                Some("bfly") => Mode::Butterfly,
                Some(_) => Mode::Index,
                None => return Err(opcode.unknown()),
            };
            opcode.take_type()?;
            let (d, in_range) = result_and_predicate(decoder, target)?;
            let (a, b) = (decoder.source(a, 4)?, decoder.source(b, 4)?);
            let c = decoder.source(c, 4)?;
            (CollectiveKind::Shuffle { mode, d, in_range, a, b, c }, members)
        }
        ("vote", [target, a, members]) => {
            let (source, flip) = decoder.predicate(a)?;
            let mode = match opcode.take_one(&["all", "any", "uni", "ballot"]) {
                Some("all") => Vote::All,
                Some("any") => Vote::Any,
                Some("uni") => Vote::Uniform,
                Some(_) => Vote::Ballot,
                None => return Err(opcode.unknown()),
            };
            opcode.take_type()?;
            let d = match (mode, target) {
                (Vote::Ballot, target) => decoder.result(target, 4)?,
                (_, Operand::Name(name, 0)) => decoder.guard(name)?,
                _ => return Err("vote writes a predicate".into()),
            };
            (CollectiveKind::Vote { mode, d, source, flip }, members)
        }
        ("match", [target, a, members]) => {
            let all = opcode.take_one(&["any", "all"]).ok_or_else(|| opcode.unknown())? == "all";
            let bytes = match opcode.take_type()? {
                Type::B32 => 4,
                Type::B64 => 8,
                _ => return Err(opcode.unknown()),
            };
            let a = decoder.source(a, bytes)?;
            let (d, p) = result_and_predicate(decoder, target)?;
            let kind = match all {
                true => CollectiveKind::MatchAll { d, all: p, a, bytes },
                false => CollectiveKind::MatchAny { d, a, bytes },
            };
            (kind, members)
        }
        ("redux", [target, a, members]) => {
            let op = opcode.take_one(&["add", "min", "max", "and", "or", "xor"]);
            let op = match (op, opcode.take_type()?) {
                (Some("add"), Type::U32 | Type::S32) => Reduce::Add,
                (Some("min"), Type::U32) => Reduce::MinU,
                (Some("max"), Type::U32) => Reduce::MaxU,
                (Some("min"), Type::S32) => Reduce::MinS,
                (Some("max"), Type::S32) => Reduce::MaxS,
                (Some("and"), Type::B32) => Reduce::And,
                (Some("or"), Type::B32) => Reduce::Or,
                (Some("xor"), Type::B32) => Reduce::Xor,
                _ => return Err(opcode.unknown()),
            };
            let a = decoder.source(a, 4)?;
            (CollectiveKind::Reduce { op, d: decoder.result(target, 4)?, a }, members)
        }
        ("activemask", [target]) => {
            opcode.take_type()?;
            let d = decoder.result(target, 4)?;
            let members = decoder.constant_bits(0, 4);
            let collective = Collective { kind: CollectiveKind::ActiveMask { d }, members };
            return Ok((Op::Collective(Box::new(collective)), Class::Collective));
        }
        ("elect", [Operand::Pair(d, p), members]) => {
            let d = decoder.result_or_sink(&Operand::Name(d, 0), 4)?;
            (CollectiveKind::Elect { d, p: decoder.guard(p)? }, members)
        }
        _ => return Err(opcode.unknown()),
    };
    let members = decoder.source(members, 4)?;
    Ok((Op::Collective(Box::new(Collective { kind, members })), Class::Collective))
}

/// Decodes a result `d`, or a result with a predicate `d|p`.
fn result_and_predicate<'a>(
    decoder: &mut Decoder<'a, '_>,
    target: &Operand<'a>,
) -> Decoded<(u32, Option<u32>)> {
    match *target {
        Operand::Pair(d, p) => {
            Ok((decoder.result(&Operand::Name(d, 0), 4)?, decoder.result_predicate(p)?))
        }
        _ => Ok((decoder.result(target, 4)?, None)),
    }
}

/// Checks that the executing lanes are those that their member masks name (lanes that have exited
/// aside), and returns the groups of lanes with the same mask.
pub(crate) fn check_members(
    warp: &Warp,
    members: &[u32; LANES],
    mask: u32,
    what: &str,
) -> Result<(), Box<Violation>> {
    for lane in lanes_of(mask) {
        let named = members[lane];
        let agree = lanes_of(named & mask).all(|other| members[other] == named);
        if named >> lane & 1 == 0 || named & warp.live & !mask != 0 || !agree {
            let message = format!(
                "{what}: lane {lane} names lanes {named:#010x}, but lanes {mask:#010x} execute it"
            );
            return Err(Violation::new(FaultKind::BarrierDivergence, Some(lane as u32), message));
        }
    }
    Ok(())
}

impl Collective {
    /// Carries out the collective operation, which orders the accesses of its lanes.
    pub(crate) fn run(
        &self,
        warp: &mut Warp,
        frame: Frame,
        mask: u32,
    ) -> Result<(), Box<Violation>> {
        // SAFETY (all blocks below): the decoder checked the operands against the frame.
        if let CollectiveKind::ActiveMask { d } = self.kind {
            unsafe { frame.set(d, &[mask; LANES], mask) };
            return Ok(());
        }
        let members = unsafe { frame.get::<u32>(self.members) };
        if !(mask == u32::MAX && members.iter().all(|&named| named == u32::MAX)) {
            check_members(warp, &members, mask, self.name())?;
        }
        warp.synchronize_lanes();
        match self.kind {
            CollectiveKind::Shuffle { mode, d, in_range, a, b, c } => {
                return unsafe { shuffle(frame, mask, mode, d, in_range, [a, b, c]) };
            }
            CollectiveKind::Vote { mode, d, source, flip } => {
                let votes = unsafe { frame.predicate(source) ^ flip } & mask;
                let mut results = [0; LANES];
                for lane in lanes_of(mask) {
                    let group = members[lane] & mask;
                    let yes = votes & group;
                    results[lane] = match mode {
                        Vote::Ballot => yes,
                        Vote::All => u32::from(yes == group),
                        Vote::Any => u32::from(yes != 0),
                        Vote::Uniform => u32::from(yes == group || yes == 0),
                    };
                }
                match mode {
                    Vote::Ballot => unsafe { frame.set(d, &results, mask) },
                    _ => unsafe { frame.set_predicate(d, bits(&results, mask), mask) },
                }
            }
            CollectiveKind::MatchAny { d, a, bytes } => {
                let values = unsafe { wide(frame, a, bytes) };
                let mut results = [0; LANES];
                for lane in lanes_of(mask) {
                    results[lane] = lanes_of(members[lane] & mask)
                        .filter(|&other| values[other] == values[lane])
                        .fold(0, |same, other| same | 1 << other);
                }
                unsafe { frame.set(d, &results, mask) };
            }
            CollectiveKind::MatchAll { d, all, a, bytes } => {
                let values = unsafe { wide(frame, a, bytes) };
                let mut results = [0; LANES];
                for lane in lanes_of(mask) {
                    let group = members[lane] & mask;
                    let same = lanes_of(group).all(|other| values[other] == values[lane]);
                    results[lane] = if same { group } else { 0 };
                }
                unsafe {
                    frame.set(d, &results, mask);
                    if let Some(all) = all {
                        frame.set_predicate(all, bits(&results, mask), mask);
                    }
                }
            }
            CollectiveKind::Reduce { op, d, a } => {
                let values = unsafe { frame.get::<u32>(a) };
                let mut results = [0; LANES];
                for lane in lanes_of(mask) {
                    let group = lanes_of(members[lane] & mask).map(|other| values[other]);
                    results[lane] = group.reduce(|x, y| op.apply(x, y)).unwrap_or(0);
                }
                unsafe { frame.set(d, &results, mask) };
            }
            CollectiveKind::Elect { d, p } => {
                let mut leaders = [0; LANES];
                for lane in lanes_of(mask) {
                    leaders[lane] = (members[lane] & mask).trailing_zeros();
                }
                let elected = lanes_of(mask)
                    .filter(|&lane| leaders[lane] == lane as u32)
                    .fold(0, |elected, lane| elected | 1 << lane);
                unsafe {
                    if let Some(d) = d {
                        frame.set(d, &leaders, mask);
                    }
                    frame.set_predicate(p, elected, mask);
                }
            }
            CollectiveKind::ActiveMask { .. } => {}
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.kind {
            CollectiveKind::Shuffle { .. } => "shfl.sync",
            CollectiveKind::Vote { .. } => "vote.sync",
            CollectiveKind::MatchAny { .. } | CollectiveKind::MatchAll { .. } => "match.sync",
            CollectiveKind::Reduce { .. } => "redux.sync",
            CollectiveKind::ActiveMask { .. } => "activemask",
            CollectiveKind::Elect { .. } => "elect.sync",
        }
    }
}

impl Reduce {
    fn apply(self, x: u32, y: u32) -> u32 {
        match self {
            Self::Add => x.wrapping_add(y),
            Self::MinU => x.min(y),
            Self::MaxU => x.max(y),
            Self::MinS => (x as i32).min(y as i32) as u32,
            Self::MaxS => (x as i32).max(y as i32) as u32,
            Self::And => x & y,
            Self::Or => x | y,
            Self::Xor => x ^ y,
        }
    }
}

fn bits(values: &[u32; LANES], mask: u32) -> u32 {
    lanes_of(mask).filter(|&lane| values[lane] != 0).fold(0, |bits, lane| bits | 1 << lane)
}

unsafe fn wide(frame: Frame, register: u32, bytes: u32) -> [u64; LANES] {
    // SAFETY: the decoder checked the width.
    unsafe {
        match bytes {
            8 => frame.get(register),
            _ => frame.get::<u32>(register).map(u64::from),
        }
    }
}

/// Carries out `shfl` as the PTX ISA spells it out; `sources` are value, lane and clamp.
unsafe fn shuffle(
    frame: Frame,
    mask: u32,
    mode: Mode,
    d: u32,
    in_range: Option<u32>,
    sources: [u32; 3],
) -> Result<(), Box<Violation>> {
    // SAFETY: the decoder checked the operands against the frame.
    let [a, b, c] = sources.map(|register| unsafe { frame.get::<u32>(register) });
    let (mut results, mut valid) = ([0; LANES], 0);
    for lane in lanes_of(mask) {
        let (distance, clamp, segments) = (b[lane] & 31, c[lane] & 31, c[lane] >> 8 & 31);
        let own = lane as u32;
        let last = own & segments | clamp & !segments;
        let first = own & segments;
        let (source, inside) = match mode {
            Mode::Up => (own.wrapping_sub(distance), own as i32 - distance as i32 >= last as i32),
            Mode::Down => (own + distance, own + distance <= last),
            Mode::Butterfly => (own ^ distance, (own ^ distance) <= last),
            Mode::Index => {
                let source = first | distance & !segments;
                (source, source <= last)
            }
        };
        let source = if inside { source } else { own };
        if mask >> source & 1 == 0 {
            let message =
                format!("shfl.sync: lane {lane} reads lane {source}, which does not execute it");
            return Err(Violation::new(FaultKind::Uninitialized, Some(own), message));
        }
        results[lane] = a[source as usize];
        valid |= u32::from(inside) << lane;
    }
    // SAFETY: the decoder checked the operands against the frame.
    unsafe {
        frame.set(d, &results, mask);
        if let Some(in_range) = in_range {
            frame.set_predicate(in_range, valid, mask);
        }
    }
    Ok(())
}
