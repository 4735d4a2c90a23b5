//! f32 and f64 arithmetic.
//!
//! Round-to-nearest without modifiers runs as vector code on the host. Everything else (directed
//! rounding, `.ftz`, `.sat`) goes lane by lane through [`flagged`], with the modifiers in
//! `Operands::e`. NaN results of f32 are the canonical 0x7fffffff.
//!
//! PTX lets an assembler fuse an `add` or `sub` with a `mul` where neither names a rounding mode;
//! this simulator rounds each, so a device may differ from these results in the last bit.
//!
//! Approximate instructions are computed in f64 and rounded once, far inside the error that the
//! PTX ISA states for them (`ex2` 2 ulp, `rcp`, `sqrt` and `tanh` 1 ulp to 2^-11, `rsqrt` 2^-22.9,
//! `sin` and `cos` 2^-20.5 absolute, `lg2` 2^-22 absolute, `div` 2 ulp; f64 `rsqrt` 2^-52.8);
//! `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64` keep the upper 32 bits, as the ISA says.

use super::lanes::{Frame, LANES, Operands, Operation, binary, lanes_of, ternary, unary};
use super::rounding::{self, Format, Rounding};
use crate::ptx::decode::{Decoded, Opcode};
use crate::ptx::types::Type;

/// The bits of `Operands::e` that [`flagged`] reads: the rounding mode in the low three bits, then
/// these.
const FTZ: u32 = 1 << 3;
const SAT: u32 = 1 << 4;

/// The canonical NaN of f32.
const NAN: u32 = 0x7FFF_FFFF;

/// Returns a NaN in its canonical form, and other numbers as they are.
#[inline(always)]
pub(crate) fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(NAN) } else { x }
}

/// Returns the number, or zero of its sign if it is subnormal.
#[inline(always)]
pub(crate) fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(x) } else { x }
}

/// Takes the rounding mode of an opcode, if one is written: `rn`, `rz`, `rm`, `rp`.
fn rounding_mode(opcode: &mut Opcode<'_>) -> Option<u32> {
    Some(match opcode.take_one(&["rn", "rz", "rm", "rp"])? {
        "rn" => Rounding::Nearest as u32,
        "rz" => Rounding::Zero as u32,
        "rm" => Rounding::Down as u32,
        _ => Rounding::Up as u32,
    })
}

/// Returns the operation of an opcode on f32 or f64, if there is one.
pub(crate) fn operation(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    if !matches!(ty, Type::F32 | Type::F64) {
        return Ok(None);
    }
    let approximation = opcode.take_one(&["approx", "full"]);
    let mode = rounding_mode(opcode);
    let mut flags = mode.unwrap_or(Rounding::Nearest as u32);
    if opcode.take("ftz") {
        flags |= FTZ;
    }
    if opcode.take("sat") {
        flags |= SAT;
    }
    Ok(match ty {
        Type::F32 if approximation == Some("full") && opcode.name == "div" => {
            Some(flagged2(flags, |a, b, _, _| a / b))
        }
        Type::F32 if approximation.is_some() => f32_approximate(opcode, flags),
        Type::F64 if approximation.is_some() => f64_approximate(opcode, flags),
        Type::F32 => f32_operation(opcode, flags),
        Type::F64 => f64_operation(opcode, flags),
        _ => None,
    })
}

/// A scalar f32 operation of up to three sources, given the rounding mode.
trait Scalar32: Fn(f32, f32, f32, Rounding) -> f32 + Copy {}
impl<F: Fn(f32, f32, f32, Rounding) -> f32 + Copy> Scalar32 for F {}

/// A scalar f64 operation of up to three sources, given the rounding mode.
trait Scalar64: Fn(f64, f64, f64, Rounding) -> f64 + Copy {}
impl<F: Fn(f64, f64, f64, Rounding) -> f64 + Copy> Scalar64 for F {}

fn f32_operation(opcode: &mut Opcode<'_>, flags: u32) -> Option<Operation> {
    let exact = |a: f32, b: f32, c: f32, mode| {
        rounding::fma(a.into(), b.into(), c.into(), Format::F32, mode) as f32
    };
    Some(match opcode.name {
        "add" if flags == 0 => binary(|a: f32, b: f32| canonical(a + b)),
        "sub" if flags == 0 => binary(|a: f32, b: f32| canonical(a - b)),
        "mul" if flags == 0 => binary(|a: f32, b: f32| canonical(a * b)),
        "fma" | "mad" if flags == 0 => ternary(|a: f32, b: f32, c: f32| canonical(a.mul_add(b, c))),
        "div" if flags == 0 => binary(|a: f32, b: f32| canonical(a / b)),
        "rcp" if flags == 0 => unary(|a: f32| canonical(1.0 / a)),
        "sqrt" if flags == 0 => unary(|a: f32| canonical(a.sqrt())),
        "add" => flagged2(flags, move |a, b, _, mode| match mode {
            Rounding::Nearest => a + b,
            _ => exact(a, 1.0, b, mode),
        }),
        "sub" => flagged2(flags, move |a, b, _, mode| match mode {
            Rounding::Nearest => a - b,
            _ => exact(a, 1.0, -b, mode),
        }),
        "mul" => flagged2(flags, move |a, b, _, mode| match mode {
            Rounding::Nearest => a * b,
            _ if a * b == 0.0 && (a == 0.0 || b == 0.0) => a * b,
            _ => exact(a, b, 0.0, mode),
        }),
        "fma" | "mad" => flagged3(flags, move |a, b, c, mode| match mode {
            Rounding::Nearest => a.mul_add(b, c),
            _ => exact(a, b, c, mode),
        }),
        "div" => flagged2(flags, |a, b, _, mode| {
            rounding::div(a.into(), b.into(), Format::F32, mode) as f32
        }),
        "rcp" => {
            flagged1(flags, |a, _, _, mode| rounding::div(1.0, a.into(), Format::F32, mode) as f32)
        }
        "sqrt" => {
            flagged1(flags, |a, _, _, mode| rounding::sqrt(a.into(), Format::F32, mode) as f32)
        }
        "neg" if flags == 0 => unary(|a: f32| -a),
        "abs" if flags == 0 => unary(|a: f32| a.abs()),
        "neg" => flagged1(flags, |a, _, _, _| -a),
        "abs" => flagged1(flags, |a, _, _, _| a.abs()),
        "min" | "max" => f32_extremum(opcode, flags),
        // The result has the sign of the first source and the magnitude of the second.
        "copysign" => binary(|a: f32, b: f32| b.copysign(a)),
        _ => return None,
    })
}

/// Returns the operation of `min` and `max`: −0 is below +0; a NaN loses against a number unless
/// `.NaN` is written; `.xorsign.abs` compares magnitudes and gives the product's sign.
fn f32_extremum(opcode: &mut Opcode<'_>, flags: u32) -> Operation {
    let (nan, xorsign) = (opcode.take("NaN"), opcode.take("xorsign"));
    if xorsign {
        opcode.take("abs");
    }
    let is_max = opcode.name == "max";
    match (is_max, nan, xorsign, flags) {
        (false, false, false, 0) => binary(|a: f32, b: f32| canonical(lesser(a, b))),
        (true, false, false, 0) => binary(|a: f32, b: f32| canonical(greater(a, b))),
        (false, false, false, _) => flagged2(flags, |a, b, _, _| lesser(a, b)),
        (true, false, false, _) => flagged2(flags, |a, b, _, _| greater(a, b)),
        (false, true, false, _) => flagged2(flags, |a, b, _, _| nan_or(a, b, lesser(a, b))),
        (true, true, false, _) => flagged2(flags, |a, b, _, _| nan_or(a, b, greater(a, b))),
        (false, false, true, _) => flagged2(flags, |a, b, _, _| xor_sign(a, b, lesser)),
        (true, false, true, _) => flagged2(flags, |a, b, _, _| xor_sign(a, b, greater)),
        (false, true, true, _) => {
            flagged2(flags, |a, b, _, _| nan_or(a, b, xor_sign(a, b, lesser)))
        }
        (true, true, true, _) => {
            flagged2(flags, |a, b, _, _| nan_or(a, b, xor_sign(a, b, greater)))
        }
    }
}

#[inline(always)]
pub(crate) fn lesser(a: f32, b: f32) -> f32 {
    let a_first = a < b || a == b && a.is_sign_negative();
    if a_first || b.is_nan() { a } else { b }
}

#[inline(always)]
pub(crate) fn greater(a: f32, b: f32) -> f32 {
    let a_first = a > b || a == b && a.is_sign_positive();
    if a_first || b.is_nan() { a } else { b }
}

#[inline(always)]
pub(crate) fn nan_or(a: f32, b: f32, otherwise: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { otherwise }
}

fn xor_sign(a: f32, b: f32, pick: fn(f32, f32) -> f32) -> f32 {
    let sign = (a.to_bits() ^ b.to_bits()) & 1 << 31;
    f32::from_bits(pick(a.abs(), b.abs()).to_bits() & !(1 << 31) | sign)
}

fn f64_operation(opcode: &mut Opcode<'_>, flags: u32) -> Option<Operation> {
    if flags & (FTZ | SAT) != 0 {
        return None;
    }
    let directed = flags != 0;
    let exact = |a, b, c, mode| rounding::fma(a, b, c, Format::F64, mode);
    Some(match opcode.name {
        "add" if !directed => binary(|a: f64, b: f64| a + b),
        "sub" if !directed => binary(|a: f64, b: f64| a - b),
        "mul" if !directed => binary(|a: f64, b: f64| a * b),
        "fma" | "mad" if !directed => ternary(|a: f64, b: f64, c: f64| a.mul_add(b, c)),
        "div" if !directed => binary(|a: f64, b: f64| a / b),
        "rcp" if !directed => unary(|a: f64| 1.0 / a),
        "sqrt" if !directed => unary(|a: f64| a.sqrt()),
        "add" => directed2(flags, move |a, b, _, mode| exact(a, 1.0, b, mode)),
        "sub" => directed2(flags, move |a, b, _, mode| exact(a, 1.0, -b, mode)),
        "mul" => {
            directed2(
                flags,
                move |a, b, _, mode| {
                    if a == 0.0 || b == 0.0 { a * b } else { exact(a, b, 0.0, mode) }
                },
            )
        }
        "fma" | "mad" => directed3(flags, exact),
        "div" => directed2(flags, |a, b, _, mode| rounding::div(a, b, Format::F64, mode)),
        "rcp" => directed1(flags, |a, _, _, mode| rounding::div(1.0, a, Format::F64, mode)),
        "sqrt" => directed1(flags, |a, _, _, mode| rounding::sqrt(a, Format::F64, mode)),
        "neg" => unary(|a: f64| -a),
        "abs" => unary(|a: f64| a.abs()),
        "min" => binary(|a: f64, b: f64| {
            let a_first = a < b || a == b && a.is_sign_negative();
            if a_first || b.is_nan() { a } else { b }
        }),
        "max" => binary(|a: f64, b: f64| {
            let a_first = a > b || a == b && a.is_sign_positive();
            if a_first || b.is_nan() { a } else { b }
        }),
        "copysign" => binary(|a: f64, b: f64| b.copysign(a)),
        _ => return None,
    })
}

fn f32_approximate(opcode: &mut Opcode<'_>, flags: u32) -> Option<Operation> {
    let through = |f: fn(f64) -> f64, a: f32| f(f64::from(a)) as f32;
    Some(match opcode.name {
        "rcp" => flagged1(flags, |a, _, _, _| 1.0 / a),
        "sqrt" => flagged1(flags, |a, _, _, _| a.sqrt()),
        "rsqrt" => flagged1(flags, |a, _, _, _| (1.0 / f64::from(a).sqrt()) as f32),
        "sin" => flagged1(flags, move |a, _, _, _| through(f64::sin, a)),
        "cos" => flagged1(flags, move |a, _, _, _| through(f64::cos, a)),
        "lg2" => flagged1(flags, move |a, _, _, _| through(f64::log2, a)),
        "ex2" => flagged1(flags, move |a, _, _, _| through(f64::exp2, a)),
        "tanh" => flagged1(flags, move |a, _, _, _| through(f64::tanh, a)),
        // The reciprocal of a divisor in [2^126, 2^128] is flushed to zero.
        "div" => {
            flagged2(
                flags,
                |a, b, _, _| {
                    if b.abs() >= 2f32.powi(126) { a * 0f32.copysign(b) } else { a / b }
                },
            )
        }
        _ => return None,
    })
}

fn f64_approximate(opcode: &mut Opcode<'_>, flags: u32) -> Option<Operation> {
    /// Returns the upper 32 bits of a number, where subnormal numbers become zero.
    fn upper(x: f64) -> f64 {
        let x = f64::from_bits(x.to_bits() & !0xFFFF_FFFF);
        if x.abs() < f64::MIN_POSITIVE { 0.0f64.copysign(x) } else { x }
    }
    Some(match (opcode.name, flags) {
        ("rcp", FTZ) => unary(|a: f64| upper(1.0 / upper(a))),
        ("rsqrt", FTZ) => unary(|a: f64| upper(1.0 / upper(a).sqrt())),
        ("rsqrt", 0) => unary(reciprocal_root),
        _ => return None,
    })
}

/// Returns 1/√a with one Newton step on the exact residual, which is far more accurate than the
/// 2^-52.8 of the ISA.
fn reciprocal_root(a: f64) -> f64 {
    let y = 1.0 / a.sqrt();
    if !(y.is_finite() && y > 0.0) {
        return y;
    }
    let product = a * y;
    let rest = a.mul_add(y, -product);
    let residual = (-product).mul_add(y, 1.0) - rest * y;
    (0.5 * y).mul_add(residual, y)
}

fn flagged1<F: Scalar32 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: flagged::<F>, e: flags, ..unary(|a: f32| a) }
}

fn flagged2<F: Scalar32 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: flagged::<F>, e: flags, ..binary(|a: f32, _: f32| a) }
}

fn flagged3<F: Scalar32 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: flagged::<F>, e: flags, ..ternary(|a: f32, _: f32, _: f32| a) }
}

fn directed1<F: Scalar64 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: run_directed::<F>, e: flags, ..unary(|a: f64| a) }
}

fn directed2<F: Scalar64 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: run_directed::<F>, e: flags, ..binary(|a: f64, _: f64| a) }
}

fn directed3<F: Scalar64 + 'static>(flags: u32, f: F) -> Operation {
    let _ = f;
    Operation { run: run_directed::<F>, e: flags, ..ternary(|a: f64, _: f64, _: f64| a) }
}

/// Carries out an f32 operation with the modifiers in `Operands::e`. Sources that an operation does
/// not have alias the first register, and are not used.
unsafe fn flagged<F: Scalar32>(frame: Frame, operands: &Operands, mask: u32) {
    let f = super::lanes::conjure::<F>();
    let mode = Rounding::from_index(operands.e & 7);
    let (ftz, sat) = (operands.e & FTZ != 0, operands.e & SAT != 0);
    let input = |x: f32| if ftz { flush(x) } else { x };
    // SAFETY: the decoder checked the widths of the sources there are; offset 0 is that of a
    // register of at least 128 bytes in every frame with an f32 register.
    unsafe {
        let a = frame.get::<f32>(operands.a);
        let (b, c) = (frame.get::<f32>(operands.b), frame.get::<f32>(operands.c));
        let mut out = [0.0; LANES];
        for lane in lanes_of(mask) {
            let mut value = f(input(a[lane]), input(b[lane]), input(c[lane]), mode);
            if ftz {
                value = flush(value);
            }
            if sat {
                // A NaN becomes +0.
                value = if value > 0.0 { value.min(1.0) } else { 0.0 };
            }
            out[lane] = canonical(value);
        }
        frame.set(operands.d, &out, mask);
    }
}

/// Carries out an f64 operation with a directed rounding mode.
unsafe fn run_directed<F: Scalar64>(frame: Frame, operands: &Operands, mask: u32) {
    let f = super::lanes::conjure::<F>();
    let mode = Rounding::from_index(operands.e & 7);
    // SAFETY: the decoder checked the widths of the sources there are; the others alias a register
    // of at least 128 bytes, as in `flagged`.
    unsafe {
        let a = frame.get::<f64>(operands.a);
        let (b, c) = (frame.get::<f64>(operands.b), frame.get::<f64>(operands.c));
        let mut out = [0.0; LANES];
        for lane in lanes_of(mask) {
            out[lane] = f(a[lane], b[lane], c[lane], mode);
        }
        frame.set(operands.d, &out, mask);
    }
}
