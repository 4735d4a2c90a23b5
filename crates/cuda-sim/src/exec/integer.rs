//! Integer arithmetic: add to mad24, division, minimum, absolute difference, dot products, carries.

use super::lanes::{Frame, LANES, Lane, Operands, Operation, binary, lanes_of, ternary, unary};
use super::operation::CARRY;
use crate::ptx::decode::{Decoded, Opcode};
use crate::ptx::types::Type;

/// Expands the body with `$t` as the Rust type of the integer type `$ty`.
macro_rules! by_integer {
    ($ty:expr, $t:ident => $body:expr) => {
        match $ty {
            Type::U16 => Some({
                type $t = u16;
                $body
            }),
            Type::S16 => Some({
                type $t = i16;
                $body
            }),
            Type::U32 | Type::B32 => Some({
                type $t = u32;
                $body
            }),
            Type::S32 => Some({
                type $t = i32;
                $body
            }),
            Type::U64 | Type::B64 => Some({
                type $t = u64;
                $body
            }),
            Type::S64 => Some({
                type $t = i64;
                $body
            }),
            _ => None,
        }
    };
}

/// Returns the operation of an opcode with an integer type, if there is one.
pub(crate) fn operation(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    let found = match opcode.name {
        "add" | "sub" | "addc" | "subc" => return Ok(sum(opcode, ty)),
        "mul" => product(opcode, ty)?,
        "mad" => return mad(opcode, ty),
        "madc" => Some(carry_mad(opcode, ty)?),
        "mul24" | "mad24" => product24(opcode, ty)?,
        // Division by zero is undefined in PTX; devices give all ones for the quotient and the
        // dividend for the remainder.
        "div" => by_integer!(ty, T => binary(|a: T, b: T| {
            if b == 0 { !0 } else { a.wrapping_div(b) }
        })),
        "rem" => by_integer!(ty, T => binary(|a: T, b: T| {
            if b == 0 { a } else { a.wrapping_rem(b) }
        })),
        "min" => by_integer!(ty, T => binary(|a: T, b: T| a.min(b))),
        "max" => by_integer!(ty, T => binary(|a: T, b: T| a.max(b))),
        "neg" => by_integer!(ty, T => unary(|a: T| (0 as T).wrapping_sub(a))),
        "abs" => match ty {
            Type::S16 => Some(unary(|a: i16| a.wrapping_abs())),
            Type::S32 => Some(unary(|a: i32| a.wrapping_abs())),
            Type::S64 => Some(unary(|a: i64| a.wrapping_abs())),
            _ => None,
        },
        "sad" => by_integer!(ty, T => ternary(|a: T, b: T, c: T| {
            c.wrapping_add(a.max(b).wrapping_sub(a.min(b)))
        })),
        "dp4a" | "dp2a" => dot_product(opcode, ty)?,
        "vabsdiff4" => byte_differences(opcode, ty)?,
        _ => None,
    };
    Ok(found)
}

fn sum(opcode: &mut Opcode<'_>, ty: Type) -> Option<Operation> {
    let with_carry = opcode.name.ends_with('c');
    let subtract = opcode.name.starts_with("sub");
    if with_carry || opcode.take("cc") {
        let sets_carry = !with_carry || opcode.take("cc");
        let flags = u32::from(subtract) | u32::from(with_carry) << 1 | u32::from(sets_carry) << 2;
        let mut operation = match ty {
            Type::U32 | Type::S32 => binary(|a: u32, _: u32| a),
            Type::U64 | Type::S64 => binary(|a: u64, _: u64| a),
            _ => return None,
        };
        operation.run = if operation.d == 4 { carry_sum::<u32> } else { carry_sum::<u64> };
        operation.e = flags;
        return Some(operation);
    }
    let saturates = ty == Type::S32 && opcode.take("sat");
    if saturates {
        return Some(match subtract {
            true => binary(|a: i32, b: i32| a.saturating_sub(b)),
            false => binary(|a: i32, b: i32| a.saturating_add(b)),
        });
    }
    match subtract {
        true => by_integer!(ty, T => binary(|a: T, b: T| a.wrapping_sub(b))),
        false => by_integer!(ty, T => binary(|a: T, b: T| a.wrapping_add(b))),
    }
}

/// Takes the part of a product that is kept.
fn part(opcode: &mut Opcode<'_>) -> Decoded<&'static str> {
    opcode.take_one(&["lo", "hi", "wide"]).ok_or_else(|| opcode.unknown())
}

fn product(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    Ok(match (part(opcode)?, ty) {
        ("lo", _) => by_integer!(ty, T => binary(|a: T, b: T| a.wrapping_mul(b))),
        ("hi", Type::U16) => {
            Some(binary(|a: u16, b: u16| ((u32::from(a) * u32::from(b)) >> 16) as u16))
        }
        ("hi", Type::S16) => {
            Some(binary(|a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16))
        }
        ("hi", Type::U32) => Some(binary(mul_hi_u32)),
        ("hi", Type::S32) => Some(binary(mul_hi_s32)),
        ("hi", Type::U64) => Some(binary(mul_hi_u64)),
        ("hi", Type::S64) => Some(binary(mul_hi_s64)),
        ("wide", Type::U16) => Some(binary(|a: u16, b: u16| u32::from(a) * u32::from(b))),
        ("wide", Type::S16) => Some(binary(|a: i16, b: i16| i32::from(a) * i32::from(b))),
        ("wide", Type::U32) => Some(binary(|a: u32, b: u32| u64::from(a) * u64::from(b))),
        ("wide", Type::S32) => Some(binary(|a: i32, b: i32| i64::from(a) * i64::from(b))),
        _ => None,
    })
}

fn mul_hi_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

fn mul_hi_s32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

fn mul_hi_u64(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

fn mul_hi_s64(a: i64, b: i64) -> i64 {
    ((i128::from(a) * i128::from(b)) >> 64) as i64
}

fn mad(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    if opcode.take("cc") {
        return carry_mad(opcode, ty).map(Some);
    }
    let part = part(opcode)?;
    let saturates = (part, ty) == ("hi", Type::S32) && opcode.take("sat");
    Ok(match (part, ty) {
        ("lo", _) => by_integer!(ty, T => ternary(|a: T, b: T, c: T| {
            a.wrapping_mul(b).wrapping_add(c)
        })),
        ("hi", Type::U16) => Some(ternary(|a: u16, b: u16, c: u16| {
            (((u32::from(a) * u32::from(b)) >> 16) as u16).wrapping_add(c)
        })),
        ("hi", Type::S16) => Some(ternary(|a: i16, b: i16, c: i16| {
            (((i32::from(a) * i32::from(b)) >> 16) as i16).wrapping_add(c)
        })),
        ("hi", Type::U32) => {
            Some(ternary(|a: u32, b: u32, c: u32| mul_hi_u32(a, b).wrapping_add(c)))
        }
        ("hi", Type::S32) if saturates => {
            Some(ternary(|a: i32, b: i32, c: i32| mul_hi_s32(a, b).saturating_add(c)))
        }
        ("hi", Type::S32) => {
            Some(ternary(|a: i32, b: i32, c: i32| mul_hi_s32(a, b).wrapping_add(c)))
        }
        ("hi", Type::U64) => {
            Some(ternary(|a: u64, b: u64, c: u64| mul_hi_u64(a, b).wrapping_add(c)))
        }
        ("hi", Type::S64) => {
            Some(ternary(|a: i64, b: i64, c: i64| mul_hi_s64(a, b).wrapping_add(c)))
        }
        ("wide", Type::U16) => {
            Some(ternary(|a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c)))
        }
        ("wide", Type::S16) => {
            Some(ternary(|a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c)))
        }
        ("wide", Type::U32) => {
            Some(ternary(|a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c)))
        }
        ("wide", Type::S32) => {
            Some(ternary(|a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c)))
        }
        _ => None,
    })
}

/// Decodes `mul24` and `mad24`, which give the low or the high 32 bits of a product of 24-bit
/// numbers.
fn product24(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    let high = opcode.take_one(&["lo", "hi"]).ok_or_else(|| opcode.unknown())? == "hi";
    let saturates = (opcode.name, ty, high) == ("mad24", Type::S32, true) && opcode.take("sat");
    Ok(match (opcode.name, ty, high) {
        ("mul24", Type::U32, false) => Some(binary(|a: u32, b: u32| u24(a, b) as u32)),
        ("mul24", Type::U32, true) => Some(binary(|a: u32, b: u32| (u24(a, b) >> 16) as u32)),
        ("mul24", Type::S32, false) => Some(binary(|a: i32, b: i32| s24(a, b) as i32)),
        ("mul24", Type::S32, true) => Some(binary(|a: i32, b: i32| (s24(a, b) >> 16) as i32)),
        ("mad24", Type::U32, false) => {
            Some(ternary(|a: u32, b: u32, c: u32| (u24(a, b) as u32).wrapping_add(c)))
        }
        ("mad24", Type::U32, true) => {
            Some(ternary(|a: u32, b: u32, c: u32| ((u24(a, b) >> 16) as u32).wrapping_add(c)))
        }
        ("mad24", Type::S32, false) => {
            Some(ternary(|a: i32, b: i32, c: i32| (s24(a, b) as i32).wrapping_add(c)))
        }
        ("mad24", Type::S32, true) if saturates => {
            Some(ternary(|a: i32, b: i32, c: i32| ((s24(a, b) >> 16) as i32).saturating_add(c)))
        }
        ("mad24", Type::S32, true) => {
            Some(ternary(|a: i32, b: i32, c: i32| ((s24(a, b) >> 16) as i32).wrapping_add(c)))
        }
        _ => None,
    })
}

/// Returns the product of the low 24 bits.
fn u24(a: u32, b: u32) -> u64 {
    u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)
}

/// Returns the product of the sign-extended low 24 bits.
fn s24(a: i32, b: i32) -> i64 {
    i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)
}

/// Decodes `dp4a` and `dp2a`, where the first type is that of `a`, the second that of `b`.
fn dot_product(opcode: &mut Opcode<'_>, _: Type) -> Decoded<Option<Operation>> {
    let high = match opcode.name {
        "dp2a" => opcode.take_one(&["lo", "hi"]).ok_or_else(|| opcode.unknown())? == "hi",
        _ => false,
    };
    // The caller has taken the first of the two types.
    let b_signed = opcode.take_type()?.is_signed();
    let a_signed = opcode.text.contains(".s32.");
    let mut operation = ternary(|a: u32, _: u32, _: u32| a);
    operation.run = if opcode.name == "dp4a" { dp4a } else { dp2a };
    operation.e = u32::from(a_signed) | u32::from(b_signed) << 1 | u32::from(high) << 2;
    Ok(Some(operation))
}

/// Decodes `vabsdiff4.u32.u32.u32`: the absolute differences of four bytes, side by side or added
/// to `c`.
fn byte_differences(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    if [ty, opcode.take_type()?, opcode.take_type()?] != [Type::U32; 3] {
        return Ok(None);
    }
    Ok(Some(if opcode.take("add") {
        ternary(|a: u32, b: u32, c: u32| {
            absolute_differences(a, b)
                .into_iter()
                .fold(c, |sum, byte| sum.wrapping_add(byte.into()))
        })
    } else {
        ternary(|a: u32, b: u32, _: u32| u32::from_le_bytes(absolute_differences(a, b)))
    }))
}

fn absolute_differences(a: u32, b: u32) -> [u8; 4] {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    std::array::from_fn(|i| a[i].abs_diff(b[i]))
}

fn byte(word: u32, i: usize, signed: bool) -> i32 {
    let byte = word.to_le_bytes()[i];
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

unsafe fn dp4a(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        dot(frame, operands, mask, |a, b, flags| {
            (0..4).map(|i| byte(a, i, flags & 1 != 0) * byte(b, i, flags & 2 != 0)).sum()
        });
    }
}

unsafe fn dp2a(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        dot(frame, operands, mask, |a, b, flags| {
            let half = |i: usize| {
                let half = (a >> (16 * i)) as u16;
                if flags & 1 != 0 { i32::from(half as i16) } else { i32::from(half) }
            };
            let first = if flags & 4 != 0 { 2 } else { 0 };
            (0..2).map(|i| half(i).wrapping_mul(byte(b, first + i, flags & 2 != 0))).sum()
        });
    }
}

unsafe fn dot(frame: Frame, operands: &Operands, mask: u32, f: impl Fn(u32, u32, u32) -> i32) {
    // SAFETY: by contract of the callers.
    unsafe {
        let (a, b) = (frame.get::<u32>(operands.a), frame.get::<u32>(operands.b));
        let mut out = frame.get::<u32>(operands.c);
        for lane in 0..LANES {
            out[lane] = out[lane].wrapping_add(f(a[lane], b[lane], operands.e) as u32);
        }
        frame.set(operands.d, &out, mask);
    }
}

/// An unsigned word that can be added with a carry.
trait Word: Lane {
    fn to_u128(self) -> u128;
    fn from_u128(value: u128) -> Self;
}

impl Word for u32 {
    fn to_u128(self) -> u128 {
        self.into()
    }
    fn from_u128(value: u128) -> Self {
        value as Self
    }
}

impl Word for u64 {
    fn to_u128(self) -> u128 {
        self.into()
    }
    fn from_u128(value: u128) -> Self {
        value as Self
    }
}

/// Computes `add.cc`, `addc`, `sub.cc`, `subc`. The flags are 1 subtract, 2 take the carry, 4 set
/// the carry. A borrow is kept as a carry of 1.
unsafe fn carry_sum<T: Word>(frame: Frame, operands: &Operands, mask: u32) {
    let bits = 8 * size_of::<T>() as u32;
    let (subtract, takes, sets) = (operands.e & 1 != 0, operands.e & 2 != 0, operands.e & 4 != 0);
    // SAFETY: the decoder checked the widths.
    unsafe {
        let (a, b) = (frame.get::<T>(operands.a), frame.get::<T>(operands.b));
        let carries = if takes { frame.predicate(CARRY) } else { 0 };
        let (mut out, mut carried) = ([T::default(); LANES], 0);
        for lane in lanes_of(mask) {
            let carry = u128::from(carries >> lane & 1);
            let (a, b) = (a[lane].to_u128(), b[lane].to_u128());
            let full = if subtract { a.wrapping_sub(b).wrapping_sub(carry) } else { a + b + carry };
            out[lane] = T::from_u128(full);
            carried |= u32::from(full >> bits & 1 != 0) << lane;
        }
        frame.set(operands.d, &out, mask);
        if sets {
            frame.set_predicate(CARRY, carried, mask);
        }
    }
}

/// Decodes `mad.cc` and `madc`. The flags are 1 high part, 2 take the carry, 4 set the carry, 8
/// signed product.
fn carry_mad(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Operation> {
    let with_carry = opcode.name == "madc";
    let sets_carry = !with_carry || opcode.take("cc");
    let high = opcode.take_one(&["lo", "hi"]).ok_or_else(|| opcode.unknown())? == "hi";
    let mut operation = match ty {
        Type::U32 | Type::S32 => ternary(|a: u32, _: u32, _: u32| a),
        Type::U64 | Type::S64 => ternary(|a: u64, _: u64, _: u64| a),
        _ => return Err(opcode.unknown()),
    };
    operation.run = if operation.d == 4 { run_carry_mad::<u32> } else { run_carry_mad::<u64> };
    operation.e = u32::from(high)
        | u32::from(with_carry) << 1
        | u32::from(sets_carry) << 2
        | u32::from(ty.is_signed()) << 3;
    Ok(operation)
}

unsafe fn run_carry_mad<T: Word>(frame: Frame, operands: &Operands, mask: u32) {
    let bits = 8 * size_of::<T>() as u32;
    let flags = operands.e;
    // SAFETY: the decoder checked the widths.
    unsafe {
        let a = frame.get::<T>(operands.a);
        let (b, c) = (frame.get::<T>(operands.b), frame.get::<T>(operands.c));
        let carries = if flags & 2 != 0 { frame.predicate(CARRY) } else { 0 };
        let (mut out, mut carried) = ([T::default(); LANES], 0);
        for lane in lanes_of(mask) {
            let (a, b) = (a[lane].to_u128(), b[lane].to_u128());
            let product =
                if flags & 8 != 0 { (signed(a, bits) * signed(b, bits)) as u128 } else { a * b };
            let part = if flags & 1 != 0 { product >> bits } else { product };
            let full =
                T::from_u128(part).to_u128() + c[lane].to_u128() + u128::from(carries >> lane & 1);
            out[lane] = T::from_u128(full);
            carried |= u32::from(full >> bits != 0) << lane;
        }
        frame.set(operands.d, &out, mask);
        if flags & 4 != 0 {
            frame.set_predicate(CARRY, carried, mask);
        }
    }
}

/// Returns the low `bits` as a signed number.
fn signed(value: u128, bits: u32) -> i128 {
    (value << (128 - bits)) as i128 >> (128 - bits)
}
