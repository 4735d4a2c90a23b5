//! The decoding of instructions: it hands every opcode to its family.

use super::lanes::{Alu, Frame, LANES, Operands, Operation};
use super::operation::Op;
use super::{
    atomics, barrier, bits, collectives, compare, convert, cp_async, float, half, integer,
    load_store, mma, moves,
};
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};
use crate::ptx::types::Type;

/// Decodes any instruction but branches, calls and returns.
pub(crate) fn decode_instruction<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    match opcode.name {
        "mov" => moves::decode_mov(decoder, opcode, operands),
        "cvta" => moves::decode_cvta(decoder, opcode, operands),
        "isspacep" => moves::decode_isspacep(decoder, opcode, operands),
        "ld" | "ldu" | "st" => load_store::decode(decoder, opcode, operands),
        "atom" | "red" => atomics::decode(decoder, opcode, operands),
        "cvt" => convert::decode(decoder, opcode, operands),
        "setp" => compare::decode_setp(decoder, opcode, operands),
        "set" => compare::decode_set(decoder, opcode, operands),
        "selp" => compare::decode_selp(decoder, opcode, operands),
        "slct" => compare::decode_slct(decoder, opcode, operands),
        "testp" => compare::decode_testp(decoder, opcode, operands),
        "lop3" => decode_lop3(decoder, opcode, operands),
        "bfi" => decode_bfi(decoder, opcode, operands),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => {
            collectives::decode(decoder, opcode, operands)
        }
        "bar" | "barrier" => barrier::decode(decoder, opcode, operands),
        "cp" => cp_async::decode(decoder, opcode, operands),
        "mma" => mma::decode(decoder, opcode, operands),
        "membar" | "fence" => decode_fence(opcode),
        "nanosleep" | "prefetch" | "prefetchu" | "discard" | "applypriority" | "pmevent" => {
            decode_hint(decoder, opcode, operands)
        }
        "and" | "or" | "xor" | "not" if opcode.last_type() == Some(Type::Pred) => {
            decode_predicate_logic(decoder, opcode, operands)
        }
        _ => decode_arithmetic(decoder, opcode, operands),
    }
}

/// Decodes arithmetic, which has a result and up to three sources of fixed widths.
fn decode_arithmetic<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    let mut found = float::operation(opcode, ty)?;
    for family in [half::operation, integer::operation, bits::operation] {
        if found.is_none() {
            found = family(opcode, ty)?;
        }
    }
    let Operation { run, d, sources, e } = found.ok_or_else(|| opcode.unknown())?;
    let wanted = sources.iter().filter(|&&bytes| bytes != 0).count();
    if operands.len() != wanted + 1 {
        return Err(format!("{} takes {} operands", opcode.text, wanted + 1));
    }
    let mut places = [0; 3];
    for ((place, &bytes), operand) in places.iter_mut().zip(&sources).zip(&operands[1..]) {
        *place = decoder.source(operand, bytes)?;
    }
    let d = decoder.result(&operands[0], d)?;
    let [a, b, c] = places;
    Ok((Op::Alu { run, operands: Operands { d, e, a, b, c } }, class(opcode, ty)))
}

fn class(opcode: &Opcode<'_>, ty: Type) -> Class {
    let special = ["sin", "cos", "ex2", "lg2", "rsqrt", "tanh"].contains(&opcode.name)
        || opcode.name == "rcp" && opcode.text.contains("approx")
        || opcode.name == "sqrt" && opcode.text.contains("approx");
    match (opcode.name, ty) {
        _ if special => Class::Special,
        ("fma" | "mad", Type::F32) => Class::F32Fma,
        ("add" | "sub", Type::F32) => Class::F32Add,
        ("mul", Type::F32) => Class::F32Mul,
        (_, Type::F32) => Class::F32Other,
        ("fma" | "mad", Type::F64) => Class::F64Fma,
        ("add" | "sub", Type::F64) => Class::F64Add,
        ("mul", Type::F64) => Class::F64Mul,
        (_, Type::F64) => Class::F64Other,
        (_, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => Class::Half,
        _ => Class::Integer,
    }
}

/// Decodes `lop3.b32 d, a, b, c, table`.
fn decode_lop3<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    let ([d, a, b, c, Operand::Integer(table)], Type::B32) = (operands, ty) else {
        return Err(opcode.unknown());
    };
    let e = *table as u32 & 0xFF;
    let (a, b) = (decoder.source(a, 4)?, decoder.source(b, 4)?);
    let c = decoder.source(c, 4)?;
    let d = decoder.result(d, 4)?;
    Ok((Op::Alu { run: bits::lop3, operands: Operands { d, e, a, b, c } }, Class::Integer))
}

/// Decodes `bfi.type d, a, b, position, length`, whose fifth operand goes to `Operands::e`.
fn decode_bfi<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    unsafe fn insert32(frame: Frame, operands: &Operands, mask: u32) {
        // SAFETY: the decoder checked the widths.
        unsafe {
            let (a, b) = (frame.get::<u32>(operands.a), frame.get::<u32>(operands.b));
            let (at, length) = (frame.get::<u32>(operands.c), frame.get::<u32>(operands.e));
            let mut out = [0; LANES];
            for lane in 0..LANES {
                let (a, b) = (u64::from(a[lane]), u64::from(b[lane]));
                out[lane] = bits::insert(a, b, at[lane], length[lane], 32) as u32;
            }
            frame.set(operands.d, &out, mask);
        }
    }
    unsafe fn insert64(frame: Frame, operands: &Operands, mask: u32) {
        // SAFETY: the decoder checked the widths.
        unsafe {
            let (a, b) = (frame.get::<u64>(operands.a), frame.get::<u64>(operands.b));
            let (at, length) = (frame.get::<u32>(operands.c), frame.get::<u32>(operands.e));
            let mut out = [0; LANES];
            for lane in 0..LANES {
                out[lane] = bits::insert(a[lane], b[lane], at[lane], length[lane], 64);
            }
            frame.set(operands.d, &out, mask);
        }
    }
    let bytes = opcode.take_type()?.bytes();
    let run: Alu = match bytes {
        4 => insert32,
        8 => insert64,
        _ => return Err(opcode.unknown()),
    };
    let [d, a, b, at, length] = operands else {
        return Err(opcode.unknown());
    };
    let (a, b) = (decoder.source(a, bytes)?, decoder.source(b, bytes)?);
    let (c, e) = (decoder.source(at, 4)?, decoder.source(length, 4)?);
    let d = decoder.result(d, bytes)?;
    Ok((Op::Alu { run, operands: Operands { d, e, a, b, c } }, Class::Integer))
}

fn decode_predicate_logic<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    opcode.take_type()?;
    let run = bits::predicate_operation(opcode.name).ok_or_else(|| opcode.unknown())?;
    let ([Operand::Name(d, 0), a] | [Operand::Name(d, 0), a, _]) = operands else {
        return Err(opcode.unknown());
    };
    let d = decoder.guard(d)?;
    let (a, a_flip) = decoder.predicate(a)?;
    let (b, b_flip) = decoder.predicate(operands.get(2).unwrap_or(&operands[1]))?;
    let e = a_flip & 1 | b_flip & 2;
    Ok((Op::Alu { run, operands: Operands { d, e, a, b, c: 0 } }, Class::Compare))
}

/// Decodes `membar.level` and `fence.semantics.scope`.
fn decode_fence(opcode: &mut Opcode<'_>) -> Decoded<(Op, Class)> {
    opcode.take_one(&["sc", "acq_rel", "acquire", "release"]);
    let scope = opcode.take_one(&["cta", "cluster", "gpu", "sys", "gl"]);
    let scope = scope.ok_or_else(|| opcode.unknown())?;
    let device = matches!(scope, "gpu" | "sys" | "gl");
    Ok((Op::Fence { device }, Class::Barrier))
}

/// Decodes instructions that have no effect on the outcome; their operands are still checked.
fn decode_hint<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    match (opcode.name, operands) {
        ("nanosleep", [time]) => {
            opcode.take_type()?;
            decoder.source(time, 4)?;
        }
        ("pmevent", _) => {
            opcode.take("mask");
        }
        (_, [address, ..]) => {
            decoder.address(address)?;
            opcode.take_one(&["global", "local"]);
            opcode.take("tensormap");
            opcode.take_prefixed("L");
            opcode.take_prefixed("L");
        }
        _ => return Err(opcode.unknown()),
    }
    Ok((Op::Nothing, Class::Memory))
}
