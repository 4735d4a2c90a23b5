//! Conversions by cvt: between integers and floating point, rounding to integers, packing of
//! halves.

use super::half::{decode16, encode16};
use super::lanes::{Alu, Frame, LANES, Lane, Operands, lanes_of, unary};
use super::operation::Op;
use super::rounding::{self, Format, Rounding};
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};
use crate::ptx::types::Type;

/// The types a conversion can have, in the order of their numbers in `Operands::e`.
const TYPES: [Type; 14] = [
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S8,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F16,
    Type::Bf16,
    Type::F32,
    Type::F64,
    Type::Tf32,
    Type::B8,
];

// The fields of `Operands::e`.
const TO_SHIFT: u32 = 4;
const MODE_SHIFT: u32 = 8;
const TO_INTEGRAL: u32 = 1 << 12;
const FTZ: u32 = 1 << 13;
const SAT: u32 = 1 << 14;
const RELU: u32 = 1 << 15;
const SOURCE_WIDTH_SHIFT: u32 = 16;
const RESULT_WIDTH_SHIFT: u32 = 20;

/// Decodes `cvt.rounding.ftz.sat.dtype.stype d, a` and `cvt.rounding.f16x2.f32 d, a, b`.
pub(crate) fn decode<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let integral = opcode.take_one(&["rni", "rzi", "rmi", "rpi"]);
    let floating = opcode.take_one(&["rn", "rz", "rm", "rp", "rna"]);
    let mode = match integral.or(floating) {
        Some("rzi" | "rz") => Rounding::Zero,
        Some("rmi" | "rm") => Rounding::Down,
        Some("rpi" | "rp") => Rounding::Up,
        Some("rna") => Rounding::NearestAway,
        _ => Rounding::Nearest,
    };
    let mut flags = (mode as u32) << MODE_SHIFT;
    for (present, flag) in [
        (integral.is_some(), TO_INTEGRAL),
        (opcode.take("ftz"), FTZ),
        (opcode.take("sat"), SAT),
        (opcode.take("relu"), RELU),
    ] {
        flags |= if present { flag } else { 0 };
    }
    let (to, from) = (opcode.take_type()?, opcode.take_type()?);
    if let (Type::F16x2 | Type::Bf16x2, Type::F32, [d, a, b]) = (to, from, operands) {
        let e = flags | u32::from(to == Type::Bf16x2);
        let (a, b) = (decoder.source(a, 4)?, decoder.source(b, 4)?);
        let d = decoder.result(d, 4)?;
        let operands = Operands { d, e, a, b, c: 0 };
        return Ok((Op::Alu { run: pack_halves, operands }, Class::Convert));
    }
    let [d, a] = operands else {
        return Err("cvt takes a result and a source".into());
    };
    let number = |ty: Type| TYPES.iter().position(|&t| t == ty).ok_or_else(|| opcode.unknown());
    let (to_number, from_number) = (number(to)? as u32, number(from)? as u32);
    let (a, source_width) = decoder.source_any(a, from.register_bytes())?;
    let (d, result_width) = decoder.result_any(d)?;
    if source_width < from.bytes() || result_width < to.bytes() {
        return Err(format!("{} of registers that are too narrow", opcode.text));
    }
    let exact_widths = source_width == from.bytes() && result_width == to.bytes();
    let run = if exact_widths { fast(to, from, flags) } else { None };
    flags |= from_number | to_number << TO_SHIFT;
    flags |= source_width << SOURCE_WIDTH_SHIFT | result_width << RESULT_WIDTH_SHIFT;
    let run = run.unwrap_or(convert);
    let operands = Operands { d, e: flags, a, b: 0, c: 0 };
    Ok((Op::Alu { run, operands }, Class::Convert))
}

/// Returns frequent conversions as vector code.
fn fast(to: Type, from: Type, flags: u32) -> Option<Alu> {
    let nearest = (Rounding::Nearest as u32) << MODE_SHIFT;
    let operation = match (to, from) {
        (Type::U64, Type::U32) => unary(|a: u32| u64::from(a)),
        (Type::S64, Type::S32) => unary(|a: i32| i64::from(a)),
        (Type::U32, Type::U64) => unary(|a: u64| a as u32),
        (Type::F64, Type::S32) => unary(|a: i32| f64::from(a)),
        (Type::F64, Type::U32) => unary(|a: u32| f64::from(a)),
        (Type::F32, Type::S32) => unary(|a: i32| a as f32),
        (Type::F64, Type::F32) => unary(|a: f32| f64::from(a)),
        (Type::F32, Type::F64) => unary(|a: f64| super::float::canonical(a as f32)),
        _ => return None,
    };
    (flags == nearest).then_some(operation.run)
}

/// A value on its way from one type to another.
#[derive(Clone, Copy)]
enum Value {
    Integer(i128),
    Real(f64),
}

/// Carries out any conversion, lane by lane; `Operands::e` says which.
unsafe fn convert(frame: Frame, operands: &Operands, mask: u32) {
    let e = operands.e;
    // SAFETY: the decoder wrote the widths of the registers.
    unsafe {
        let a: [u64; LANES] = match e >> SOURCE_WIDTH_SHIFT & 15 {
            2 => frame.get::<u16>(operands.a).map(u64::from),
            4 => frame.get::<u32>(operands.a).map(u64::from),
            _ => frame.get::<u64>(operands.a),
        };
        let mut out = [0u64; LANES];
        for lane in lanes_of(mask) {
            out[lane] = convert_one(a[lane], e);
        }
        match e >> RESULT_WIDTH_SHIFT & 15 {
            2 => frame.set(operands.d, &out.map(|x| x as u16), mask),
            4 => frame.set(operands.d, &out.map(|x| x as u32), mask),
            _ => frame.set(operands.d, &out, mask),
        }
    }
}

fn convert_one(bits: u64, e: u32) -> u64 {
    let from = TYPES[(e & 15) as usize];
    let to = TYPES[(e >> TO_SHIFT & 15) as usize];
    let mode = Rounding::from_index(e >> MODE_SHIFT & 15);
    let ftz = e & FTZ != 0;
    let mut value = read(bits, from);
    if let Value::Real(x) = &mut value {
        if ftz && from == Type::F32 {
            *x = super::float::flush(*x as f32).into();
        }
        let rounds_to_integral = e & TO_INTEGRAL != 0 || !to.is_float();
        if rounds_to_integral {
            *x = integral(*x, mode);
        }
    }
    if to.is_float() {
        let x = match value {
            Value::Integer(i) => integer_to_real(i, format_of(to), mode),
            Value::Real(x) => x,
        };
        write_real(x, to, e, mode)
    } else {
        write_integer(value, from, to, e & SAT != 0)
    }
}

fn read(bits: u64, from: Type) -> Value {
    match from {
        Type::U8 | Type::B8 => Value::Integer((bits as u8).into()),
        Type::U16 => Value::Integer((bits as u16).into()),
        Type::U32 => Value::Integer((bits as u32).into()),
        Type::S8 => Value::Integer((bits as i8).into()),
        Type::S16 => Value::Integer((bits as i16).into()),
        Type::S32 => Value::Integer((bits as i32).into()),
        Type::S64 => Value::Integer((bits as i64).into()),
        Type::F16 => Value::Real(decode16(bits as u16, false)),
        Type::Bf16 => Value::Real(decode16(bits as u16, true)),
        Type::F32 | Type::Tf32 => Value::Real(f32::from_bits(bits as u32).into()),
        Type::F64 => Value::Real(f64::from_bits(bits)),
        _ => Value::Integer(bits.into()),
    }
}

fn integral(x: f64, mode: Rounding) -> f64 {
    match mode {
        Rounding::Nearest => x.round_ties_even(),
        Rounding::NearestAway => x.round(),
        Rounding::Zero => x.trunc(),
        Rounding::Down => x.floor(),
        Rounding::Up => x.ceil(),
    }
}

fn format_of(ty: Type) -> Format {
    match ty {
        Type::F16 => Format::F16,
        Type::Bf16 => Format::BF16,
        Type::Tf32 => Format::TF32,
        Type::F32 => Format::F32,
        _ => Format::F64,
    }
}

/// Converts an integer of up to 64 bits, rounded once: its two halves are exact in f64.
fn integer_to_real(i: i128, format: Format, mode: Rounding) -> f64 {
    let (high, low) = ((i >> 32) as f64, (i & 0xFFFF_FFFF) as f64);
    if i == 0 { 0.0 } else { rounding::fma(high, 4294967296.0, low, format, mode) }
}

fn write_real(mut x: f64, to: Type, e: u32, mode: Rounding) -> u64 {
    if e & SAT != 0 {
        x = if x > 0.0 { x.min(1.0) } else { 0.0 };
    }
    if e & RELU != 0 && x < 0.0 {
        x = 0.0;
    }
    // After rounding to an integral value nothing is left to round, but for bf16 and f16.
    let mode = if e & TO_INTEGRAL != 0 { Rounding::Nearest } else { mode };
    match to {
        Type::F16 => encode16(x, false, mode).into(),
        Type::Bf16 => encode16(x, true, mode).into(),
        Type::F64 => x.to_bits(),
        _ => {
            let mut single = rounding::convert(x, format_of(to), mode) as f32;
            if e & FTZ != 0 {
                single = super::float::flush(single);
            }
            super::float::canonical(single).to_bits().into()
        }
    }
}

/// Returns the least and the greatest value of an integer type.
fn range(ty: Type) -> (i128, i128) {
    let bits = 8 * ty.bytes();
    if ty.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// Converts a value to an integer. Floating point always saturates; integers do so only with
/// `.sat`. NaN becomes 0, or only the top bit set if the source is f64 or the result has 64 bits.
fn write_integer(value: Value, from: Type, to: Type, saturate: bool) -> u64 {
    let (least, greatest) = range(to);
    let i = match value {
        Value::Integer(i) if saturate => i.clamp(least, greatest),
        Value::Integer(i) => i,
        Value::Real(x) if x.is_nan() => {
            let wide = from == Type::F64 || to.bytes() == 8;
            if wide { 1 << (8 * to.bytes() - 1) } else { 0 }
        }
        Value::Real(x) => (x as i128).clamp(least, greatest),
    };
    // The result is extended to the register's width by the type's sign.
    match to {
        Type::U8 | Type::B8 => (i as u8).into(),
        Type::U16 => (i as u16).into(),
        Type::U32 => (i as u32).into(),
        Type::S8 => i as i8 as u64,
        Type::S16 => i as i16 as u64,
        Type::S32 => i as i32 as u64,
        _ => i as u64,
    }
}

/// Computes `cvt.f16x2.f32` and `cvt.bf16x2.f32`, where the first source becomes the upper half.
unsafe fn pack_halves(frame: Frame, operands: &Operands, mask: u32) {
    let e = operands.e;
    let mode = Rounding::from_index(e >> MODE_SHIFT & 15);
    // SAFETY: the decoder checked the widths.
    unsafe {
        let (a, b) = (frame.get::<f32>(operands.a), frame.get::<f32>(operands.b));
        let mut out = [u32::default(); LANES];
        for lane in lanes_of(mask) {
            let half = |x: f32| {
                let x = if e & RELU != 0 && x < 0.0 { 0.0 } else { x };
                u32::from(encode16(x.into(), e & 1 != 0, mode))
            };
            out[lane] = half(a[lane]) << 16 | half(b[lane]);
        }
        frame.set(operands.d, &out, mask);
    }
}

/// Returns the operation that copies a register of any width.
pub(crate) fn copy(bytes: u32) -> Alu {
    fn identity<T: Lane>() -> Alu {
        unary(|a: T| a).run
    }
    match bytes {
        2 => identity::<u16>(),
        4 => identity::<u32>(),
        _ => identity::<u64>(),
    }
}
