//! f16 and bf16 arithmetic, one or two values to a register.
//!
//! Every operation is computed exactly and rounded once to the format; `ex2` and `tanh` are
//! computed in f64 and rounded once.

use super::lanes::{Frame, LANES, Lane, Operands, Operation, binary, lanes_of, ternary, unary};
use super::rounding::{self, Format, Rounding};
use crate::ptx::decode::{Decoded, Opcode};
use crate::ptx::types::Type;

/// The bits of `Operands::e`: the format, and modifiers.
const BF16: u32 = 1;
const FTZ: u32 = 2;
const SAT: u32 = 4;
const RELU: u32 = 8;

/// Returns the value that 16 bits represent.
pub(crate) fn decode16(bits: u16, bf16: bool) -> f64 {
    if bf16 {
        return f64::from(f32::from_bits(u32::from(bits) << 16));
    }
    let sign = if bits >> 15 != 0 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3FF));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

/// Returns the bits of a value, rounded to the format; NaN is 0x7fff.
pub(crate) fn encode16(value: f64, bf16: bool, mode: Rounding) -> u16 {
    if value.is_nan() {
        return 0x7FFF;
    }
    let format = if bf16 { Format::BF16 } else { Format::F16 };
    let value = rounding::convert(value, format, mode);
    if bf16 {
        return ((value as f32).to_bits() >> 16) as u16;
    }
    let sign = u16::from(value.is_sign_negative()) << 15;
    let magnitude = value.abs();
    sign | if magnitude.is_infinite() {
        0x7C00
    } else if magnitude < 2f64.powi(-14) {
        (magnitude * 2f64.powi(24)) as u16
    } else {
        let bits = magnitude.to_bits();
        let exponent = (bits >> 52) as i32 - 1023 + 15;
        (exponent as u16) << 10 | (bits >> 42 & 0x3FF) as u16
    }
}

/// Returns the value, or zero of its sign if it is a subnormal number of the format.
pub(crate) fn flush16(value: f64, bf16: bool) -> f64 {
    let least_normal = if bf16 { 2f64.powi(-126) } else { 2f64.powi(-14) };
    if value.abs() < least_normal { 0.0f64.copysign(value) } else { value }
}

/// A scalar operation on exact values; the last argument is the format to round to.
trait Scalar: Fn(f64, f64, f64, Format) -> f64 + Copy {}
impl<F: Fn(f64, f64, f64, Format) -> f64 + Copy> Scalar for F {}

/// Returns the operation of an opcode on 16-bit floating point, if there is one.
pub(crate) fn operation(opcode: &mut Opcode<'_>, ty: Type) -> Decoded<Option<Operation>> {
    let (bf16, packed) = match ty {
        Type::F16 => (false, false),
        Type::F16x2 => (false, true),
        Type::Bf16 => (true, false),
        Type::Bf16x2 => (true, true),
        _ => return Ok(None),
    };
    opcode.take("rn");
    let mut flags = if bf16 { BF16 } else { 0 };
    for (modifier, flag) in [("ftz", FTZ), ("sat", SAT), ("relu", RELU)] {
        if opcode.take(modifier) {
            flags |= flag;
        }
    }
    let exact = |a, b, c, format| rounding::fma(a, b, c, format, Rounding::Nearest);
    let approximate = opcode.take("approx");
    Ok(Some(match opcode.name {
        "ex2" if approximate => make(1, packed, flags, |a, _, _, _| a.exp2()),
        "tanh" if approximate => make(1, packed, flags, |a, _, _, _| a.tanh()),
        _ if approximate => return Ok(None),
        "add" => make(2, packed, flags, move |a, b, _, f| exact(a, 1.0, b, f)),
        "sub" => make(2, packed, flags, move |a, b, _, f| exact(a, 1.0, -b, f)),
        "mul" => make(2, packed, flags, |a, b, _, _| a * b),
        "fma" => make(3, packed, flags, exact),
        "neg" => make(1, packed, flags, |a, _, _, _| -a),
        "abs" => make(1, packed, flags, |a, _, _, _| a.abs()),
        "min" | "max" => {
            let nan = opcode.take("NaN");
            if opcode.take("xorsign") {
                return Ok(None);
            }
            match (opcode.name, nan) {
                ("min", false) => make(2, packed, flags, |a, b, _, _| lesser(a, b)),
                ("min", true) => make(2, packed, flags, |a, b, _, _| nan_or(a, b, lesser(a, b))),
                (_, false) => make(2, packed, flags, |a, b, _, _| -lesser(-a, -b)),
                (_, true) => make(2, packed, flags, |a, b, _, _| nan_or(a, b, -lesser(-a, -b))),
            }
        }
        _ => return Ok(None),
    }))
}

/// Returns the lesser number, where −0 is below +0, and a NaN loses.
fn lesser(a: f64, b: f64) -> f64 {
    let a_first = a < b || a == b && a.is_sign_negative();
    if a_first || b.is_nan() { a } else { b }
}

fn nan_or(a: f64, b: f64, otherwise: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { otherwise }
}

fn make<F: Scalar + 'static>(sources: u32, packed: bool, flags: u32, f: F) -> Operation {
    let _ = f;
    let (shape, run): (_, super::lanes::Alu) = match (packed, sources) {
        (false, 1) => (unary(|a: u16| a), run::<u16, F>),
        (false, 2) => (binary(|a: u16, _: u16| a), run::<u16, F>),
        (false, _) => (ternary(|a: u16, _: u16, _: u16| a), run::<u16, F>),
        (true, 1) => (unary(|a: u32| a), run::<u32, F>),
        (true, 2) => (binary(|a: u32, _: u32| a), run::<u32, F>),
        (true, _) => (ternary(|a: u32, _: u32, _: u32| a), run::<u32, F>),
    };
    Operation { run, e: flags, ..shape }
}

/// A register of one or two 16-bit values.
trait Halves: Lane {
    const COUNT: usize;
    fn half(self, i: usize) -> u16;
    fn from_halves(halves: [u16; 2]) -> Self;
}

impl Halves for u16 {
    const COUNT: usize = 1;
    fn half(self, _: usize) -> u16 {
        self
    }
    fn from_halves(halves: [u16; 2]) -> Self {
        halves[0]
    }
}

impl Halves for u32 {
    const COUNT: usize = 2;
    fn half(self, i: usize) -> u16 {
        (self >> (16 * i)) as u16
    }
    fn from_halves(halves: [u16; 2]) -> Self {
        u32::from(halves[1]) << 16 | u32::from(halves[0])
    }
}

unsafe fn run<T: Halves, F: Scalar>(frame: Frame, operands: &Operands, mask: u32) {
    let f = super::lanes::conjure::<F>();
    let flags = operands.e;
    let bf16 = flags & BF16 != 0;
    let format = if bf16 { Format::BF16 } else { Format::F16 };
    let flush = |x: f64| if flags & FTZ != 0 { flush16(x, bf16) } else { x };
    // SAFETY: the decoder checked the widths; sources that are not there alias the first register.
    unsafe {
        let (a, b) = (frame.get::<T>(operands.a), frame.get::<T>(operands.b));
        let c = frame.get::<T>(operands.c);
        let mut out = [T::default(); LANES];
        for lane in lanes_of(mask) {
            let mut halves = [0; 2];
            for (i, half) in halves.iter_mut().enumerate().take(T::COUNT) {
                let input = |x: T| flush(decode16(x.half(i), bf16));
                let mut value = f(input(a[lane]), input(b[lane]), input(c[lane]), format);
                if flags & SAT != 0 {
                    value = if value > 0.0 { value.min(1.0) } else { 0.0 };
                }
                if flags & RELU != 0 && value < 0.0 {
                    value = 0.0;
                }
                let value = rounding::convert(value, format, Rounding::Nearest);
                *half = encode16(flush(value), bf16, Rounding::Nearest);
            }
            out[lane] = T::from_halves(halves);
        }
        frame.set(operands.d, &out, mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            for bf16 in [false, true] {
                let value = decode16(bits, bf16);
                let found = encode16(value, bf16, Rounding::Nearest);
                assert!(found == bits || value.is_nan() && found == 0x7FFF, "{bits:#x}");
            }
        }
        assert_eq!(decode16(0x3C00, false), 1.0);
        assert_eq!(decode16(0x0001, false), 2f64.powi(-24));
        assert_eq!(encode16(1.0 + 2f64.powi(-11), false, Rounding::Nearest), 0x3C00);
        assert_eq!(encode16(1.0 + 3.0 * 2f64.powi(-11), false, Rounding::Nearest), 0x3C02);
    }
}
