//! Comparisons and selections: setp, set, selp, slct, testp.

use super::half::{decode16, flush16};
use super::lanes::{Alu, Comparison, Frame, LANES, Lane, Operands, comparison};
use super::operation::{Combine, Op, SCRATCH, SetPredicate};
use crate::counters::Class;
use crate::ptx::Operand;
use crate::ptx::decode::{Decoded, Decoder, Opcode};
use crate::ptx::types::Type;

/// Expands the comparison named `$op` for the Rust type `$t` of ordered values.
macro_rules! ordered {
    ($op:expr, $t:ty) => {
        match $op {
            "eq" => Some(comparison(|a: $t, b: $t| a == b)),
            "ne" => Some(comparison(|a: $t, b: $t| a != b)),
            "lt" | "lo" => Some(comparison(|a: $t, b: $t| a < b)),
            "le" | "ls" => Some(comparison(|a: $t, b: $t| a <= b)),
            "gt" | "hi" => Some(comparison(|a: $t, b: $t| a > b)),
            "ge" | "hs" => Some(comparison(|a: $t, b: $t| a >= b)),
            _ => None,
        }
    };
}

/// Expands the floating-point comparison named `$op`; `$value` makes a number of a register.
macro_rules! floating {
    ($op:expr, $t:ty, $value:expr) => {
        match $op {
            "eq" => Some(comparison(|a: $t, b: $t| $value(a) == $value(b))),
            "ne" => {
                Some(comparison(|a: $t, b: $t| $value(a) != $value(b) && !unordered!($value, a, b)))
            }
            "lt" => Some(comparison(|a: $t, b: $t| $value(a) < $value(b))),
            "le" => Some(comparison(|a: $t, b: $t| $value(a) <= $value(b))),
            "gt" => Some(comparison(|a: $t, b: $t| $value(a) > $value(b))),
            "ge" => Some(comparison(|a: $t, b: $t| $value(a) >= $value(b))),
            "equ" => {
                Some(comparison(|a: $t, b: $t| $value(a) == $value(b) || unordered!($value, a, b)))
            }
            "neu" => Some(comparison(|a: $t, b: $t| $value(a) != $value(b))),
            "ltu" => {
                Some(comparison(|a: $t, b: $t| $value(a) < $value(b) || unordered!($value, a, b)))
            }
            "leu" => {
                Some(comparison(|a: $t, b: $t| $value(a) <= $value(b) || unordered!($value, a, b)))
            }
            "gtu" => {
                Some(comparison(|a: $t, b: $t| $value(a) > $value(b) || unordered!($value, a, b)))
            }
            "geu" => {
                Some(comparison(|a: $t, b: $t| $value(a) >= $value(b) || unordered!($value, a, b)))
            }
            "num" => Some(comparison(|a: $t, b: $t| !unordered!($value, a, b))),
            "nan" => Some(comparison(|a: $t, b: $t| unordered!($value, a, b))),
            _ => None,
        }
    };
}

/// Expands to whether one of two numbers is a NaN.
macro_rules! unordered {
    ($value:expr, $a:expr, $b:expr) => {
        $value($a).is_nan() || $value($b).is_nan()
    };
}

const OPERATORS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu",
    "geu", "num", "nan",
];

#[inline(always)]
fn same<T>(x: T) -> T {
    x
}

fn comparison_of(op: &str, ty: Type, ftz: bool) -> Option<Comparison> {
    match ty {
        Type::F32 if ftz => floating!(op, f32, super::float::flush),
        Type::F32 => floating!(op, f32, same),
        Type::F64 => floating!(op, f64, same),
        Type::F16 if ftz => floating!(op, u16, |x| flush16(decode16(x, false), false)),
        Type::F16 => floating!(op, u16, |x| decode16(x, false)),
        Type::Bf16 => floating!(op, u16, |x| decode16(x, true)),
        Type::U16 | Type::B16 => ordered!(op, u16),
        Type::S16 => ordered!(op, i16),
        Type::U32 | Type::B32 => ordered!(op, u32),
        Type::S32 => ordered!(op, i32),
        Type::U64 | Type::B64 => ordered!(op, u64),
        Type::S64 => ordered!(op, i64),
        _ => None,
    }
}

/// Takes the comparison, its type and its combination with a third predicate.
fn comparison_and_combination(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<(Comparison, Combine)> {
    let op = opcode.take_one(&OPERATORS).ok_or_else(|| opcode.unknown())?;
    let combine = match opcode.take_one(&["and", "or", "xor"]) {
        Some("and") => Combine::And,
        Some("or") => Combine::Or,
        Some(_) => Combine::Xor,
        None => Combine::None,
    };
    let ftz = opcode.take("ftz");
    let compare = comparison_of(op, ty, ftz).ok_or_else(|| opcode.unknown())?;
    Ok((compare, combine))
}

/// Decodes `setp.op.bool.type p|q, a, b, c`.
pub(crate) fn decode_setp<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    if matches!(ty, Type::F16x2 | Type::Bf16x2) {
        return Err(opcode.unknown());
    }
    let (compare, combine) = comparison_and_combination(opcode, ty)?;
    let ([target, a, b] | [target, a, b, _]) = operands else {
        return Err("setp takes three or four operands".into());
    };
    let (c, c_flip) = match (operands.get(3), combine) {
        (Some(c), Combine::And | Combine::Or | Combine::Xor) => decoder.predicate(c)?,
        (None, Combine::None) => (super::operation::TRUE, 0),
        _ => return Err("setp with a boolean operation takes a third source".into()),
    };
    let (p, q) = match *target {
        Operand::Name(p, 0) => (decoder.result_predicate(p)?, None),
        Operand::Pair(p, q) => (decoder.result_predicate(p)?, decoder.result_predicate(q)?),
        _ => return Err("setp writes predicates".into()),
    };
    let (a, b) = (decoder.source(a, ty.bytes())?, decoder.source(b, ty.bytes())?);
    let op = SetPredicate { compare, a, b, combine, c, c_flip, p, q, register: None };
    Ok((Op::SetPredicate(Box::new(op)), Class::Compare))
}

impl SetPredicate {
    /// Sets the active lanes of the predicates.
    ///
    /// # Safety
    /// The operands lie inside the frame.
    pub(crate) unsafe fn run(&self, frame: Frame, mask: u32) {
        // SAFETY: by contract.
        unsafe {
            let result = (self.compare)(frame, self.a, self.b);
            let c = frame.predicate(self.c) ^ self.c_flip;
            if let Some(p) = self.p {
                frame.set_predicate(p, self.combine.apply(result, c), mask);
            }
            if let Some(q) = self.q {
                frame.set_predicate(q, self.combine.apply(!result, c), mask);
            }
            if let Some((run, operands)) = &self.register {
                run(frame, operands, mask);
            }
        }
    }
}

/// Decodes `selp.type d, a, b, p`.
pub(crate) fn decode_selp<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    let [d, a, b, p] = operands else {
        return Err("selp takes four operands".into());
    };
    let run: Alu = match ty.bytes() {
        2 => select::<u16>,
        4 => select::<u32>,
        8 => select::<u64>,
        _ => return Err(opcode.unknown()),
    };
    let (c, e) = decoder.predicate(p)?;
    let (a, b) = (decoder.source(a, ty.bytes())?, decoder.source(b, ty.bytes())?);
    let d = decoder.result(d, ty.bytes())?;
    Ok((Op::Alu { run, operands: Operands { d, e, a, b, c } }, Class::Integer))
}

unsafe fn select<T: Lane>(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let (a, b) = (frame.get::<T>(operands.a), frame.get::<T>(operands.b));
        let choice = frame.predicate(operands.c) ^ operands.e;
        let mut out = [T::default(); LANES];
        for lane in 0..LANES {
            out[lane] = if choice >> lane & 1 != 0 { a[lane] } else { b[lane] };
        }
        frame.set(operands.d, &out, mask);
    }
}

/// Decodes `slct.dtype.ctype d, a, b, c`, which gives a where c ≥ 0 and b elsewhere.
pub(crate) fn decode_slct<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ftz = opcode.take("ftz");
    let (ty, condition) = (opcode.take_type()?, opcode.take_type()?);
    let [d, a, b, c] = operands else {
        return Err("slct takes four operands".into());
    };
    let run: Alu = match (ty.bytes(), condition) {
        (2, Type::S32) => slct::<u16, false>,
        (4, Type::S32) => slct::<u32, false>,
        (8, Type::S32) => slct::<u64, false>,
        (2, Type::F32) => slct::<u16, true>,
        (4, Type::F32) => slct::<u32, true>,
        (8, Type::F32) => slct::<u64, true>,
        _ => return Err(opcode.unknown()),
    };
    let (a, b) = (decoder.source(a, ty.bytes())?, decoder.source(b, ty.bytes())?);
    let c = decoder.source(c, 4)?;
    let d = decoder.result(d, ty.bytes())?;
    Ok((Op::Alu { run, operands: Operands { d, e: u32::from(ftz), a, b, c } }, Class::Integer))
}

unsafe fn slct<T: Lane, const FLOAT: bool>(frame: Frame, operands: &Operands, mask: u32) {
    // SAFETY: the decoder checked the widths.
    unsafe {
        let (a, b) = (frame.get::<T>(operands.a), frame.get::<T>(operands.b));
        let c = frame.get::<u32>(operands.c);
        let mut out = [T::default(); LANES];
        for lane in 0..LANES {
            let x = f32::from_bits(c[lane]);
            let x = if operands.e != 0 { super::float::flush(x) } else { x };
            // The number −0 counts as zero, and a NaN selects b.
            let first = if FLOAT { x >= 0.0 } else { c[lane] as i32 >= 0 };
            out[lane] = if first { a[lane] } else { b[lane] };
        }
        frame.set(operands.d, &out, mask);
    }
}

/// Decodes `testp.op.type p, a`.
pub(crate) fn decode_testp<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let ty = opcode.take_type()?;
    macro_rules! test {
        ($t:ty, $op:expr) => {
            match $op {
                "finite" => comparison(|a: $t, _: $t| a.is_finite()),
                "infinite" => comparison(|a: $t, _: $t| a.is_infinite()),
                "number" => comparison(|a: $t, _: $t| !a.is_nan()),
                "notanumber" => comparison(|a: $t, _: $t| a.is_nan()),
                "normal" => comparison(|a: $t, _: $t| a.is_normal()),
                _ => comparison(|a: $t, _: $t| a.is_subnormal()),
            }
        };
    }
    let tests = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
    let op = opcode.take_one(&tests).ok_or_else(|| opcode.unknown())?;
    let compare = match ty {
        Type::F32 => test!(f32, op),
        Type::F64 => test!(f64, op),
        _ => return Err(opcode.unknown()),
    };
    let [Operand::Name(p, 0), a] = operands else {
        return Err("testp takes a predicate and a source".into());
    };
    let p = decoder.result_predicate(p)?;
    let a = decoder.source(a, ty.bytes())?;
    let (c, combine) = (super::operation::TRUE, Combine::None);
    let op = SetPredicate { compare, a, b: a, combine, c, c_flip: 0, p, q: None, register: None };
    Ok((Op::SetPredicate(Box::new(op)), Class::Compare))
}

/// Decodes `set.op.bool.dtype.stype d, a, b, c`, which gives all ones or 1.0 where the comparison
/// holds.
pub(crate) fn decode_set<'a>(
    decoder: &mut Decoder<'a, '_>,
    opcode: &mut Opcode<'_>,
    operands: &[Operand<'a>],
) -> Decoded<(Op, Class)> {
    let (ty, source) = (opcode.take_type()?, opcode.take_type()?);
    let packed = matches!(source, Type::F16x2 | Type::Bf16x2);
    let ([d, a, b] | [d, a, b, _]) = operands else {
        return Err("set takes three or four operands".into());
    };
    if packed {
        let op = opcode.take_one(&OPERATORS).ok_or_else(|| opcode.unknown())?;
        let index = OPERATORS.iter().position(|&o| o == op).unwrap_or(0) as u32;
        let ftz = opcode.take("ftz");
        let as_ones = !matches!(ty, Type::F16x2 | Type::Bf16x2);
        let bf16 = source == Type::Bf16x2;
        let e = index | u32::from(as_ones) << 8 | u32::from(bf16) << 9 | u32::from(ftz) << 10;
        let (a, b) = (decoder.source(a, 4)?, decoder.source(b, 4)?);
        let d = decoder.result(d, 4)?;
        let operands = Operands { d, e, a, b, c: 0 };
        return Ok((Op::Alu { run: set_packed, operands }, Class::Compare));
    }
    let (compare, combine) = comparison_and_combination(opcode, source)?;
    let (value, run): (u64, Alu) = match ty {
        Type::U32 | Type::S32 => (0xFFFF_FFFF, select::<u32>),
        Type::F32 => (u64::from(1f32.to_bits()), select::<u32>),
        Type::F16 => (0x3C00, select::<u16>),
        Type::Bf16 => (0x3F80, select::<u16>),
        Type::U16 | Type::S16 => (0xFFFF, select::<u16>),
        _ => return Err(opcode.unknown()),
    };
    let (c, c_flip) = match operands.get(3) {
        Some(c) => decoder.predicate(c)?,
        None => (super::operation::TRUE, 0),
    };
    let bytes = ty.bytes();
    let (x, y) = (decoder.source(a, source.bytes())?, decoder.source(b, source.bytes())?);
    let (one, zero) = (decoder.constant_bits(value, bytes), decoder.constant_bits(0, bytes));
    let d = decoder.result(d, bytes)?;
    let choice = Operands { d, e: 0, a: one, b: zero, c: SCRATCH };
    let op = SetPredicate {
        compare,
        a: x,
        b: y,
        combine,
        c,
        c_flip,
        p: Some(SCRATCH),
        q: None,
        register: Some((run, choice)),
    };
    Ok((Op::SetPredicate(Box::new(op)), Class::Compare))
}

/// Computes `set` on two halves, where `Operands::e` holds the operator, 256 for all ones, 512 for
/// bf16, 1024 for subnormal numbers flushed to zero.
unsafe fn set_packed(frame: Frame, operands: &Operands, mask: u32) {
    let operator = OPERATORS[(operands.e & 255) as usize];
    let (as_ones, bf16) = (operands.e & 256 != 0, operands.e & 512 != 0);
    let value = |bits: u32| {
        let value = decode16(bits as u16, bf16);
        if operands.e & 1024 != 0 { flush16(value, bf16) } else { value }
    };
    // SAFETY: the decoder checked the widths.
    unsafe {
        let (a, b) = (frame.get::<u32>(operands.a), frame.get::<u32>(operands.b));
        let out = std::array::from_fn(|lane| {
            let half = |shift: u32| {
                let (a, b) = (value(a[lane] >> shift), value(b[lane] >> shift));
                let one = match (as_ones, bf16) {
                    (true, _) => 0xFFFF,
                    (false, false) => 0x3C00,
                    (false, true) => 0x3F80,
                };
                if holds(operator, a, b) { one << shift } else { 0u32 }
            };
            half(0) | half(16)
        });
        frame.set(operands.d, &out, mask);
    }
}

/// Returns whether the floating-point comparison of this name holds.
fn holds(operator: &str, a: f64, b: f64) -> bool {
    let unordered = a.is_nan() || b.is_nan();
    match operator {
        "eq" => a == b,
        "ne" => a != b && !unordered,
        "lt" => a < b,
        "le" => a <= b,
        "gt" => a > b,
        "ge" => a >= b,
        "equ" => unordered || a == b,
        "neu" => a != b,
        "ltu" => unordered || a < b,
        "leu" => unordered || a <= b,
        "gtu" => unordered || a > b,
        "geu" => unordered || a >= b,
        "num" => !unordered,
        _ => unordered,
    }
}
