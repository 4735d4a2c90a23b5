//! Instructions on bits: logic, shifts and bit fields.

use super::lanes::{Frame, Operands, Operation, binary, ternary, unary};
use crate::ptx::decode::{Decoded, Opcode};
use crate::ptx::types::Type;

/// Expands the body with `$t` as the unsigned Rust type as wide as `$ty`.
macro_rules! by_width {
    ($ty:expr, $t:ident => $body:expr) => {
        match $ty.bytes() {
            2 => Some({
                type $t = u16;
                $body
            }),
            4 => Some({
                type $t = u32;
                $body
            }),
            8 => Some({
                type $t = u64;
                $body
            }),
            _ => None,
        }
    };
}

/// Returns the operation of an opcode on bits, if it is one. `lop3` and `prmt` with a mode, which
/// have operands of their own, are decoded in [`super::decode_instruction`].
pub(crate) fn operation(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    Ok(match opcode.name {
        "and" => by_width!(ty, T => binary(|a: T, b: T| a & b)),
        "or" => by_width!(ty, T => binary(|a: T, b: T| a | b)),
        "xor" => by_width!(ty, T => binary(|a: T, b: T| a ^ b)),
        "not" => by_width!(ty, T => unary(|a: T| !a)),
        "cnot" => by_width!(ty, T => unary(|a: T| T::from(a == 0))),
        // A shift by the width or more gives zero, or the sign in every bit.
        "shl" => by_width!(ty, T => binary(|a: T, b: u32| {
            if b < T::BITS { a << b } else { 0 }
        })),
        "shr" => match ty {
            Type::S16 => Some(binary(|a: i16, b: u32| a >> b.min(15))),
            Type::S32 => Some(binary(|a: i32, b: u32| a >> b.min(31))),
            Type::S64 => Some(binary(|a: i64, b: u32| a >> b.min(63))),
            _ => by_width!(ty, T => binary(|a: T, b: u32| {
                if b < T::BITS { a >> b } else { 0 }
            })),
        },
        "shf" => Some(funnel_shift(opcode)?),
        "popc" => match ty.bytes() {
            4 => Some(unary(|a: u32| a.count_ones())),
            8 => Some(unary(|a: u64| a.count_ones())),
            _ => None,
        },
        "clz" => match ty.bytes() {
            4 => Some(unary(|a: u32| a.leading_zeros())),
            8 => Some(unary(|a: u64| a.leading_zeros())),
            _ => None,
        },
        "brev" => match ty.bytes() {
            4 => Some(unary(|a: u32| a.reverse_bits())),
            8 => Some(unary(|a: u64| a.reverse_bits())),
            _ => None,
        },
        "bfind" => find(opcode, ty),
        "bfe" => match ty {
            Type::U32 => Some(ternary(|a: u32, b: u32, c: u32| {
                extract(u64::from(a), b, c, 32, false) as u32
            })),
            Type::S32 => {
                Some(ternary(|a: u32, b: u32, c: u32| extract(u64::from(a), b, c, 32, true) as u32))
            }
            Type::U64 => Some(ternary(|a: u64, b: u32, c: u32| extract(a, b, c, 64, false))),
            Type::S64 => Some(ternary(|a: u64, b: u32, c: u32| extract(a, b, c, 64, true))),
            _ => None,
        },
        "bmsk" => match opcode.take_one(&["clamp", "wrap"]) {
            Some("clamp") => Some(binary(|a: u32, b: u32| field_mask(a, b, 32) as u32)),
            Some(_) => Some(binary(|a: u32, b: u32| field_mask(a & 31, b & 31, 32) as u32)),
            None => None,
        },
        "szext" => match (opcode.take_one(&["clamp", "wrap"]), ty) {
            (Some("clamp"), Type::U32) => Some(binary(|a: u32, b: u32| extend(a, b, false))),
            (Some("clamp"), Type::S32) => Some(binary(|a: u32, b: u32| extend(a, b, true))),
            (Some(_), Type::U32) => Some(binary(|a: u32, b: u32| extend(a, b & 31, false))),
            (Some(_), Type::S32) => Some(binary(|a: u32, b: u32| extend(a, b & 31, true))),
            _ => None,
        },
        "prmt" => Some(permute(opcode)),
        "fns" => Some(ternary(find_nth_set)),
        _ => None,
    })
}

/// Decodes `shf.l` and `shf.r`, which shift the 64 bits `b:a` and keep one word.
fn funnel_shift(opcode: &mut Opcode<'_>) -> Decoded<Operation> {
    let direction = opcode.take_one(&["l", "r"]);
    let mode = opcode.take_one(&["clamp", "wrap"]);
    Ok(match (direction, mode) {
        (Some("l"), Some("wrap")) => {
            ternary(|a: u32, b: u32, c: u32| ((pair(a, b) << (c & 31)) >> 32) as u32)
        }
        (Some("l"), Some(_)) => {
            ternary(|a: u32, b: u32, c: u32| ((pair(a, b) << c.min(32)) >> 32) as u32)
        }
        (Some(_), Some("wrap")) => {
            ternary(|a: u32, b: u32, c: u32| (pair(a, b) >> (c & 31)) as u32)
        }
        (Some(_), Some(_)) => ternary(|a: u32, b: u32, c: u32| (pair(a, b) >> c.min(32)) as u32),
        _ => return Err(opcode.unknown()),
    })
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Decodes `bfind`, which gives the position of the most significant bit that differs from the
/// sign, or all ones.
fn find(opcode: &mut Opcode<'_>, ty: Type) -> Option<Operation> {
    let shift_amount = opcode.take("shiftamt");
    Some(match (ty, shift_amount) {
        (Type::U32, false) => unary(|a: u32| top_bit(u64::from(a))),
        (Type::S32, false) => unary(|a: i32| top_bit(u64::from((a ^ a >> 31) as u32))),
        (Type::U64, false) => unary(|a: u64| top_bit(a)),
        (Type::S64, false) => unary(|a: i64| top_bit((a ^ a >> 63) as u64)),
        (Type::U32, true) => unary(|a: u32| shift_to_top(u64::from(a), 31)),
        (Type::S32, true) => unary(|a: i32| shift_to_top(u64::from((a ^ a >> 31) as u32), 31)),
        (Type::U64, true) => unary(|a: u64| shift_to_top(a, 63)),
        (Type::S64, true) => unary(|a: i64| shift_to_top((a ^ a >> 63) as u64, 63)),
        _ => return None,
    })
}

fn top_bit(a: u64) -> u32 {
    63u32.wrapping_sub(a.leading_zeros())
}

fn shift_to_top(a: u64, top: u32) -> u32 {
    if a == 0 { u32::MAX } else { top - top_bit(a) }
}

/// Computes `bfe`: `length` bits from `position`, sign-extended if asked; positions and lengths
/// count modulo 256.
fn extract(a: u64, position: u32, length: u32, bits: u32, signed: bool) -> u64 {
    let (position, length) = (position & 255, length & 255);
    if length == 0 {
        return 0;
    }
    // The sign is the last bit of the field, or the top bit if the field runs past it.
    let last = (position + length - 1).min(bits - 1);
    let sign = if signed && a >> last & 1 != 0 { u64::MAX } else { 0 };
    let field = if position < bits { a >> position } else { 0 };
    let kept = if position < bits { (last + 1 - position).min(length) } else { 0 };
    if kept >= 64 {
        return field;
    }
    let mask = (1u64 << kept) - 1;
    field & mask | sign & !mask
}

/// Returns a mask of `length` ones from `position` in a word of `bits`.
fn field_mask(position: u32, length: u32, bits: u32) -> u64 {
    if position >= bits {
        return 0;
    }
    let ones = if length >= 64 { u64::MAX } else { (1u64 << length) - 1 };
    ones << position & (u64::MAX >> (64 - bits))
}

/// Returns the low `length` bits, zero- or sign-extended.
fn extend(a: u32, length: u32, signed: bool) -> u32 {
    extract(u64::from(a), 0, length.min(32), 32, signed) as u32
}

/// Computes `bfi`: the low `length` bits of `a` put into `b` at `position`.
pub(crate) fn insert(a: u64, b: u64, position: u32, length: u32, bits: u32) -> u64 {
    let mask = field_mask(position & 255, (length & 255).min(bits), bits);
    let shifted = if position & 255 < bits { a << (position & 255) } else { 0 };
    b & !mask | shifted & mask
}

/// Computes `fns`: the position of the n-th set bit of a mask, counted from `base` in the direction
/// of n.
fn find_nth_set(mask: u32, base: u32, n: i32) -> u32 {
    let is_set = |position: &u32| mask >> position & 1 != 0;
    let found = match n {
        0 => Some(base).filter(|base| *base < 32 && is_set(base)),
        1.. => (base.min(32)..32).filter(is_set).nth(n as usize - 1),
        _ => (0..=base.min(31)).rev().filter(is_set).nth(n.unsigned_abs() as usize - 1),
    };
    found.unwrap_or(u32::MAX)
}

/// Decodes `prmt`, which chooses bytes of `b:a` by nibbles of `c`, or by a mode.
fn permute(opcode: &mut Opcode<'_>) -> Operation {
    match opcode.take_one(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]) {
        None => ternary(|a: u32, b: u32, c: u32| choose(pair(a, b), c)),
        Some("f4e") => ternary(|a: u32, b: u32, c: u32| (pair(a, b) >> (8 * (c & 3))) as u32),
        Some("b4e") => ternary(|a: u32, b: u32, c: u32| {
            choose(pair(a, b), [0x5670, 0x6701, 0x7012, 0x0123][(c & 3) as usize])
        }),
        Some("rc8") => ternary(|a: u32, b: u32, c: u32| choose(pair(a, b), 0x1111 * (c & 3))),
        Some("ecl") => ternary(|a: u32, b: u32, c: u32| {
            choose(pair(a, b), [0x3210, 0x3211, 0x3222, 0x3333][(c & 3) as usize])
        }),
        Some("ecr") => ternary(|a: u32, b: u32, c: u32| {
            choose(pair(a, b), [0x0000, 0x1110, 0x2210, 0x3210][(c & 3) as usize])
        }),
        Some(_) => ternary(|a: u32, b: u32, c: u32| {
            choose(pair(a, b), if c & 1 != 0 { 0x3232 } else { 0x1010 })
        }),
    }
}

/// Returns the bytes chosen by the four nibbles of `selector`, whose bit 3 replicates the byte's
/// sign.
fn choose(bytes: u64, selector: u32) -> u32 {
    let mut out = 0;
    for i in 0..4 {
        let nibble = selector >> (4 * i) & 15;
        let byte = (bytes >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 == 0 { byte } else { (byte as i8 >> 7) as u8 };
        out |= u32::from(byte) << (8 * i);
    }
    out
}

/// Computes `lop3`, whose truth table is `Operands::e`.
pub(crate) unsafe fn lop3(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let a = frame.get::<u32>(operands.a);
        let b = frame.get::<u32>(operands.b);
        let c = frame.get::<u32>(operands.c);
        let table: [u32; 8] =
            std::array::from_fn(|i| if operands.e >> i & 1 != 0 { u32::MAX } else { 0 });
        let out = std::array::from_fn(|lane| {
            let (a, b, c) = (a[lane], b[lane], c[lane]);
            let by_c = |i: usize| table[i] & !c | table[i + 1] & c;
            (by_c(0) & !b | by_c(2) & b) & !a | (by_c(4) & !b | by_c(6) & b) & a
        });
        frame.set(operands.d, &out, mask);
    }
}

/// Returns the operation on predicates of this name; bits 0 and 1 of `Operands::e` complement the
/// sources.
pub(crate) fn predicate_operation(name: &str) -> Option<super::lanes::Alu> {
    unsafe fn sources(frame: Frame, operands: &Operands) -> (u32, u32) {
        let flip = |bit: u32| {
            if operands.e >> bit & 1 != 0 { u32::MAX } else { 0 }
        };
        // SAFETY: the operands are predicates of the frame.
        unsafe { (frame.predicate(operands.a) ^ flip(0), frame.predicate(operands.b) ^ flip(1)) }
    }
    macro_rules! logic {
        ($a:ident, $b:ident => $body:expr) => {{
            unsafe fn run(frame: Frame, operands: &Operands, mask: u32) {
                // SAFETY: the operands are predicates of the frame.
                unsafe {
                    let ($a, $b) = sources(frame, operands);
                    let _ = $b;
                    frame.set_predicate(operands.d, $body, mask);
                }
            }
            run
        }};
    }
    Some(match name {
        "and" => logic!(a, b => a & b),
        "or" => logic!(a, b => a | b),
        "xor" => logic!(a, b => a ^ b),
        "not" => logic!(a, b => !a),
        "mov" => logic!(a, b => a),
        _ => return None,
    })
}
