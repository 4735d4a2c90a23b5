//! Moves: mov, packing and unpacking of vectors, cvta.

use super::convert::copy;
use super::lanes::{Alu, Frame, LANES, Operands, binary};
use super::operation::Op;
use super::special_registers::SpecialRegister;
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode, Space};
use crate::ptx::types::Type;

/// The start of the window in which shared memory appears among generic addresses: it lies above
/// the host's addresses (below 2^47, where managed memory is) and below those of device memory
/// (from 2^48).
const SHARED_WINDOW: u64 = 0xa000_0000_0000;
/// The start of the window in which local memory appears among generic addresses.
pub(crate) const LOCAL_WINDOW: u64 = 0xa100_0000_0000;
/// The start of the window in which kernel parameters appear among generic addresses.
const PARAM_WINDOW: u64 = 0xa200_0000_0000;
/// The size of each window.
const WINDOW_BYTES: u64 = 1 << 32;

/// Returns the space that a generic address lies in, and where its window starts.
pub(crate) fn space_of(address: u64) -> (Space, u64) {
    for (space, window) in [
        (Space::Shared, SHARED_WINDOW),
        (Space::Local, LOCAL_WINDOW),
        (Space::KernelParam, PARAM_WINDOW),
    ] {
        if address.wrapping_sub(window) < WINDOW_BYTES {
            return (space, window);
        }
    }
    (Space::Global, 0)
}

/// Decodes `mov.type d, a`, with a vector on either side, or of a predicate.
pub(crate) fn decode_mov<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    let [d, a] = operands else {
        return Err("mov takes a result and a source".into());
    };
    let bytes = ty.register_bytes();
    let op = match (d, a) {
        _ if ty == Type::Pred => {
            let Operand::Name(name, 0) = *d else {
                return Err("mov.pred writes a predicate".into());
            };
            let d = decoder.guard(name)?;
            let (a, flip) = decoder.predicate(a)?;
            let run = super::bits::predicate_operation("mov").ok_or_else(|| opcode.unknown())?;
            Op::Alu { run, operands: Operands { d, e: flip & 1, a, b: a, c: 0 } }
        }
        (Operand::Vector(parts), a) => unpack(decoder, parts, a, bytes)?,
        (d, Operand::Vector(parts)) => pack(decoder, d, parts, bytes)?,
        (d, Operand::Name(name, 0)) if is_clock(name) => {
            let (d, width) = decoder.result_any(d)?;
            let which = SpecialRegister::parse(name).ok_or_else(|| opcode.unknown())?;
            if width != bytes {
                return Err(format!("{name} in a register of {} bits", 8 * width));
            }
            Op::SpecialRegister { which, d, bytes }
        }
        (d, a) => {
            let (a, found) = decoder.source_any(a, bytes)?;
            let d = decoder.result(d, bytes)?;
            let operands = Operands { d, a, ..Operands::default() };
            match (bytes, found) {
                _ if bytes == found => Op::Alu { run: copy(bytes), operands },
                // A special register of 32 bits may be moved to a wider register, and the reverse.
                (8, 4) => Op::Alu { run: super::lanes::unary(|a: u32| u64::from(a)).run, operands },
                (4, 8) => Op::Alu { run: super::lanes::unary(|a: u64| a as u32).run, operands },
                (2, 4) => Op::Alu { run: super::lanes::unary(|a: u32| a as u16).run, operands },
                _ => return Err(format!("mov of {} bits to {} bits", 8 * found, 8 * bytes)),
            }
        }
    };
    Ok((op, Class::Integer))
}

fn is_clock(name: &str) -> bool {
    SpecialRegister::parse(name).is_some_and(|special| !special.is_constant())
}

/// Decodes `mov.b64 d, {a, b}` and the like, which pack a vector.
fn pack<'a>(
    decoder: &mut Decoder<'a, '_>,
    d: &Operand<'a>,
    parts: &[Operand<'a>],
    bytes: u32,
) -> Decoded<Op> {
    let part_bytes = bytes / parts.len().max(1) as u32;
    let mut sources = [0; 4];
    if !matches!(parts.len(), 2 | 4) {
        return Err(format!("a vector of {} registers", parts.len()));
    }
    for (source, part) in sources.iter_mut().zip(parts) {
        *source = decoder.source(part, part_bytes.max(2))?;
    }
    let d = decoder.result(d, bytes)?;
    let [a, b, c, e] = sources;
    let run: Alu = match (bytes, parts.len()) {
        (4, 2) => binary(|a: u16, b: u16| u32::from(b) << 16 | u32::from(a)).run,
        (8, 2) => binary(|a: u32, b: u32| u64::from(b) << 32 | u64::from(a)).run,
        (8, 4) => pack4,
        _ => {
            return Err(format!("{} registers do not make {} bits", parts.len(), 8 * bytes));
        }
    };
    Ok(Op::Alu { run, operands: Operands { d, e, a, b, c } })
}

unsafe fn pack4(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let parts = [operands.a, operands.b, operands.c, operands.e].map(|at| frame.get::<u16>(at));
        let mut out = [0u64; LANES];
        for lane in 0..LANES {
            for (i, part) in parts.iter().enumerate() {
                out[lane] |= u64::from(part[lane]) << (16 * i);
            }
        }
        frame.set(operands.d, &out, mask);
    }
}

/// The place of a result that `_` discards.
const SINK: u32 = u32::MAX;

/// Decodes `mov.b64 {d, e}, a` and the like, which unpack a vector.
fn unpack<'a>(
    decoder: &mut Decoder<'a, '_>,
    parts: &[Operand<'a>],
    a: &Operand<'a>,
    bytes: u32,
) -> Decoded<Op> {
    let part_bytes = bytes / parts.len().max(1) as u32;
    let run: Alu = match (bytes, parts.len()) {
        (4, 2) => unpack_u32,
        (8, 2) => unpack_u64,
        (8, 4) => unpack4,
        _ => {
            return Err(format!("{} bits do not make {} registers", 8 * bytes, parts.len()));
        }
    };
    let a = decoder.source(a, bytes)?;
    let mut results = [SINK; 4];
    for (result, part) in results.iter_mut().zip(parts) {
        *result = decoder.result_or_sink(part, part_bytes)?.unwrap_or(SINK);
    }
    let [d, e, b, c] = results;
    Ok(Op::Alu { run, operands: Operands { d, e, a, b, c } })
}

unsafe fn unpack_u32(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let a = frame.get::<u32>(operands.a);
        for (i, d) in [operands.d, operands.e].into_iter().enumerate().filter(|(_, d)| *d != SINK) {
            frame.set(d, &a.map(|x| (x >> (16 * i)) as u16), mask);
        }
    }
}

unsafe fn unpack_u64(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let a = frame.get::<u64>(operands.a);
        for (i, d) in [operands.d, operands.e].into_iter().enumerate().filter(|(_, d)| *d != SINK) {
            frame.set(d, &a.map(|x| (x >> (32 * i)) as u32), mask);
        }
    }
}

unsafe fn unpack4(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let a = frame.get::<u64>(operands.a);
        let results = [operands.d, operands.e, operands.b, operands.c];
        for (i, d) in results.into_iter().enumerate().filter(|(_, d)| *d != SINK) {
            frame.set(d, &a.map(|x| (x >> (16 * i)) as u16), mask);
        }
    }
}

/// Decodes `cvta.space d, a` and `cvta.to.space d, a`; generic addresses have a window for each
/// space.
pub(crate) fn decode_cvta<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let to = opcode.take("to");
    let space = opcode
        .take_one(&["global", "const", "shared", "shared::cta", "local", "param", "param::entry"])
        .ok_or_else(|| opcode.unknown())?;
    let bytes = opcode.take_type()?.bytes();
    let [d, a] = operands else {
        return Err("cvta takes a result and a source".into());
    };
    let window = match space {
        "global" | "const" => 0,
        "shared" | "shared::cta" => SHARED_WINDOW,
        "local" => LOCAL_WINDOW,
        _ => PARAM_WINDOW,
    };
    if bytes != 8 {
        return Err(format!("{}: only 64-bit addresses are supported", opcode.text));
    }
    let a = decoder.source(a, 8)?;
    let b = decoder.constant_bits(if to { 0u64.wrapping_sub(window) } else { window }, 8);
    let d = decoder.result(d, 8)?;
    let run = binary(|a: u64, b: u64| a.wrapping_add(b)).run;
    Ok((Op::Alu { run, operands: Operands { d, a, b, ..Operands::default() } }, Class::Integer))
}

/// Decodes `isspacep.space p, a`, which tells whether a generic address lies in the space's window.
pub(crate) fn decode_isspacep<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let space = opcode
        .take_one(&["global", "shared", "shared::cta", "local", "param", "const"])
        .ok_or_else(|| opcode.unknown())?;
    let [Operand::Name(p, 0), a] = operands else {
        return Err("isspacep takes a predicate and an address".into());
    };
    let d = decoder.guard(p)?;
    let a = decoder.source(a, 8)?;
    let window = match space {
        "shared" | "shared::cta" => SHARED_WINDOW,
        "local" => LOCAL_WINDOW,
        "param" => PARAM_WINDOW,
        "global" => 0,
        _ => return Err(opcode.unknown()),
    };
    let operands = Operands { d, e: (window >> 32) as u32, a, b: 0, c: 0 };
    Ok((Op::Alu { run: in_window, operands }, Class::Compare))
}

unsafe fn in_window(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let addresses = frame.get::<u64>(operands.a);
        let mut result = 0;
        for (lane, address) in addresses.into_iter().enumerate() {
            let high = (address >> 32) as u32;
            let windows = [SHARED_WINDOW, LOCAL_WINDOW, PARAM_WINDOW].map(|w| (w >> 32) as u32);
            let inside = match operands.e {
                0 => !windows.contains(&high),
                window => high == window,
            };
            result |= u32::from(inside) << lane;
        }
        frame.set_predicate(operands.d, result, mask);
    }
}
