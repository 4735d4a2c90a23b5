//! Floating-point arithmetic in every rounding mode and for every format, by exact integers.
//!
//! The host rounds f32 and f64 to nearest itself; this module is for the other modes and for the
//! 16-bit formats. A fused multiply-add is computed exactly in 256 bits and rounded once; sums and
//! products are special cases of it. Quotients and square roots start from the nearest result and
//! are moved by one unit where the sign of the exact residual asks for it.

/// A rounding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// To nearest, ties away from zero.
    NearestAway,
    /// Towards zero.
    Zero,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

impl Rounding {
    /// Returns the mode with this number.
    pub(crate) fn from_index(index: u32) -> Self {
        [Self::Nearest, Self::NearestAway, Self::Zero, Self::Down, Self::Up][index as usize % 5]
    }
}

/// A binary format, by its precision and exponent range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the significand, the hidden one included.
    pub(crate) precision: i32,
    /// Exponent of the least subnormal number.
    pub(crate) least: i32,
    /// Exponent of the greatest power of two.
    pub(crate) greatest: i32,
}

impl Format {
    pub(crate) const F16: Self = Self { precision: 11, least: -24, greatest: 15 };
    pub(crate) const BF16: Self = Self { precision: 8, least: -133, greatest: 127 };
    pub(crate) const TF32: Self = Self { precision: 11, least: -136, greatest: 127 };
    pub(crate) const F32: Self = Self { precision: 24, least: -149, greatest: 127 };
    pub(crate) const F64: Self = Self { precision: 53, least: -1074, greatest: 1023 };

    /// Returns the greatest finite number.
    fn max(self) -> f64 {
        let ones = (1u64 << self.precision) - 1;
        ones as f64 * power_of_two(self.greatest - self.precision + 1)
    }
}

/// Returns 2^exponent, for exponents of normal and subnormal f64.
fn power_of_two(exponent: i32) -> f64 {
    if exponent >= -1022 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent + 1074).max(0))
    }
}

/// Returns sign, significand and exponent of a finite number: ±significand · 2^exponent.
fn split(x: f64) -> (bool, u64, i32) {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    match exponent {
        0 => (x.is_sign_negative(), fraction, -1074),
        _ => (x.is_sign_negative(), fraction | 1 << 52, exponent - 1075),
    }
}

/// An unsigned 256-bit number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct U256 {
    high: u128,
    low: u128,
}

impl U256 {
    fn leading_zeros(self) -> u32 {
        if self.high != 0 { self.high.leading_zeros() } else { 128 + self.low.leading_zeros() }
    }

    fn shift_left(self, n: u32) -> Self {
        match n {
            0 => self,
            1..128 => Self { high: self.high << n | self.low >> (128 - n), low: self.low << n },
            _ => Self { high: self.low.checked_shl(n - 128).unwrap_or(0), low: 0 },
        }
    }

    /// Returns the number shifted right, where ones shifted out are kept as the lowest bit.
    fn shift_right_sticky(self, n: u32) -> Self {
        if n == 0 {
            return self;
        }
        let (shifted, lost) = match n {
            1..128 => (
                Self { high: self.high >> n, low: self.low >> n | self.high << (128 - n) },
                self.low << (128 - n) != 0,
            ),
            128 => (Self { high: 0, low: self.high }, self.low != 0),
            129..256 => (
                Self { high: 0, low: self.high >> (n - 128) },
                self.low != 0 || self.high << (256 - n) != 0,
            ),
            _ => (Self { high: 0, low: 0 }, self.low != 0 || self.high != 0),
        };
        Self { low: shifted.low | u128::from(lost), ..shifted }
    }

    fn add(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high + other.high + u128::from(carry), low }
    }

    fn sub(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high - other.high - u128::from(borrow), low }
    }
}

/// The bit at which the larger addend's top bit is placed: one below the top leaves room for a
/// carry.
const TOP: i32 = 254;

/// Returns a·b + c, rounded once to `format`. The operands are numbers of that format or narrower.
pub(crate) fn fma(a: f64, b: f64, c: f64, format: Format, rounding: Rounding) -> f64 {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) {
        return a.mul_add(b, c);
    }
    let ((a_negative, a, a_exponent), (b_negative, b, b_exponent)) = (split(a), split(b));
    let (c_negative, c, c_exponent) = split(c);
    let product_negative = a_negative != b_negative;
    let product = u128::from(a) * u128::from(b);
    if product == 0 && c == 0 {
        return zero_sum(product_negative, c_negative, rounding);
    }
    // Both addends are placed with their top bit at TOP, with the exponent of bit 0.
    let place = |value: u128, exponent: i32| {
        let value = U256 { high: 0, low: value };
        let shift = TOP - 255 + value.leading_zeros() as i32;
        (value.shift_left(shift as u32), exponent - shift)
    };
    let addend = (c_negative, place(u128::from(c), c_exponent));
    let product_addend = (product_negative, place(product, a_exponent + b_exponent));
    let (large, small) = if c == 0 {
        return round(product_addend.0, product_addend.1.0, product_addend.1.1, format, rounding);
    } else if product == 0 {
        return round(addend.0, addend.1.0, addend.1.1, format, rounding);
    } else if (addend.1.1, addend.1.0) > (product_addend.1.1, product_addend.1.0) {
        (addend, product_addend)
    } else {
        (product_addend, addend)
    };
    let (negative, (value, exponent)) = large;
    let distance = (exponent - small.1.1).min(300) as u32;
    let other = small.1.0.shift_right_sticky(distance);
    if negative == small.0 {
        return round(negative, value.add(other), exponent, format, rounding);
    }
    let difference = value.sub(other);
    if difference == (U256 { high: 0, low: 0 }) {
        return zero_sum(true, false, rounding);
    }
    round(negative, difference, exponent, format, rounding)
}

/// Returns the sum of two zeros, or of two numbers that cancel.
fn zero_sum(a_negative: bool, b_negative: bool, rounding: Rounding) -> f64 {
    let negative = if a_negative == b_negative { a_negative } else { rounding == Rounding::Down };
    if negative { -0.0 } else { 0.0 }
}

/// Returns ±value · 2^exponent rounded to `format`; the value is not zero.
fn round(negative: bool, value: U256, exponent: i32, format: Format, rounding: Rounding) -> f64 {
    let top = 255 - value.leading_zeros() as i32 + exponent;
    // This is the exponent of the last bit that is kept.
    let last = (top - format.precision + 1).max(format.least);
    // Two more bits are kept, the lower one sticky.
    let shift = last - 2 - exponent;
    let scaled = if shift >= 0 {
        value.shift_right_sticky(shift as u32)
    } else {
        value.shift_left(-shift as u32)
    };
    let (kept, rest) = ((scaled.low >> 2) as u64, scaled.low & 3);
    let up = match rounding {
        Rounding::Nearest => rest > 2 || rest == 2 && kept & 1 != 0,
        Rounding::NearestAway => rest >= 2,
        Rounding::Zero => false,
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
    };
    let kept = kept + u64::from(up);
    let magnitude = if 64 - kept.leading_zeros() as i32 + last > format.greatest + 1 {
        let to_max = match rounding {
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
            _ => false,
        };
        if to_max { format.max() } else { f64::INFINITY }
    } else {
        scale(kept, last)
    };
    if negative { -magnitude } else { magnitude }
}

/// Returns kept · 2^last, which is a number of f64.
fn scale(kept: u64, last: i32) -> f64 {
    // The scaling takes two exact steps, because the power alone may be below the normal range.
    if last < -1022 {
        kept as f64 * power_of_two(-1022) * power_of_two(last + 1022)
    } else {
        kept as f64 * power_of_two(last)
    }
}

/// Returns a number of f64 (or exact in it) rounded to `format`.
pub(crate) fn convert(x: f64, format: Format, rounding: Rounding) -> f64 {
    if x == 0.0 || !x.is_finite() { x } else { fma(x, 1.0, 0.0, format, rounding) }
}

/// Returns a / b for f32 and f64.
pub(crate) fn div(a: f64, b: f64, format: Format, rounding: Rounding) -> f64 {
    let nearest = match format {
        Format::F64 => a / b,
        _ => f64::from(a as f32 / b as f32),
    };
    if !a.is_finite() || !b.is_finite() || a == 0.0 || b == 0.0 {
        return nearest;
    }
    let sign_of_quotient = if (a < 0.0) != (b < 0.0) { -1 } else { 1 };
    // This is the sign of the exact quotient minus the nearest one.
    let beyond = if nearest.is_infinite() {
        -sign_of_quotient
    } else {
        let residual = sign_of_fma(-nearest, b, a);
        if b < 0.0 { -residual } else { residual }
    };
    nudge(nearest, sign_of_quotient, beyond, format, rounding)
}

/// Returns √a for f32 and f64.
pub(crate) fn sqrt(a: f64, format: Format, rounding: Rounding) -> f64 {
    let nearest = match format {
        Format::F64 => a.sqrt(),
        _ => f64::from((a as f32).sqrt()),
    };
    if !(a > 0.0 && a.is_finite()) {
        return nearest;
    }
    nudge(nearest, 1, sign_of_fma(-nearest, nearest, a), format, rounding)
}

/// Returns the sign of the exact a·b + c.
fn sign_of_fma(a: f64, b: f64, c: f64) -> i32 {
    if fma(a, b, c, Format::F64, Rounding::Up) > 0.0 {
        1
    } else if fma(a, b, c, Format::F64, Rounding::Down) < 0.0 {
        -1
    } else {
        0
    }
}

/// Returns the nearest result moved to the directed one; `beyond` is the sign of exact minus
/// nearest.
fn nudge(nearest: f64, sign: i32, beyond: i32, format: Format, rounding: Rounding) -> f64 {
    let (up, down) = match rounding {
        Rounding::Nearest | Rounding::NearestAway => (false, false),
        Rounding::Zero => (sign < 0 && beyond > 0, sign > 0 && beyond < 0),
        Rounding::Down => (false, beyond < 0),
        Rounding::Up => (beyond > 0, false),
    };
    match format {
        Format::F64 if up => nearest.next_up(),
        Format::F64 if down => nearest.next_down(),
        _ if up => f64::from((nearest as f32).next_up()),
        _ if down => f64::from((nearest as f32).next_down()),
        _ => nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit patterns that reach every case: extremes, subnormals, near-cancellation.
    fn numbers() -> Vec<f64> {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut out = vec![0.0, -0.0, 1.0, -1.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, -5e-324, 1.5];
        out.extend((0..40).map(|_| f64::from_bits(random())).filter(|x| x.is_finite()));
        out.extend((0..40).map(|_| f64::from_bits(random() & !(0x7F0 << 52) | 0x3F0 << 52)));
        out
    }

    #[test]
    fn nearest_is_what_the_host_computes() {
        for &a in &numbers() {
            for &b in &numbers() {
                for &c in &numbers() {
                    let expected = a.mul_add(b, c);
                    let found = fma(a, b, c, Format::F64, Rounding::Nearest);
                    assert_eq!(found.to_bits(), expected.to_bits(), "{a:e} * {b:e} + {c:e}");
                }
                let (x, y) = (a as f32, b as f32);
                if x.is_finite() && y.is_finite() {
                    let product = fma(x.into(), y.into(), 0.0, Format::F32, Rounding::Nearest);
                    // 0 · y + 0 loses the sign of a zero product; the callers add −0 instead.
                    assert_eq!(product as f32, x * y);
                }
            }
            let narrow = convert(a, Format::F32, Rounding::Nearest);
            assert_eq!((narrow as f32).to_bits(), (a as f32).to_bits());
        }
    }

    #[test]
    fn directed_modes_enclose_the_exact_result() {
        for &a in &numbers() {
            for &b in &numbers() {
                for format in [Format::F64, Format::F32] {
                    let (a, b) = match format {
                        Format::F64 => (a, b),
                        _ => (f64::from(a as f32), f64::from(b as f32)),
                    };
                    if !(a.is_finite() && b.is_finite()) {
                        continue;
                    }
                    let [down, near, up, zero] =
                        [Rounding::Down, Rounding::Nearest, Rounding::Up, Rounding::Zero]
                            .map(|rounding| fma(a, b, 0.7, format, rounding));
                    assert!(down <= near && near <= up, "{a:e} {b:e}");
                    assert_eq!(zero, if up <= 0.0 { up } else { down });
                    if b != 0.0 {
                        let [down, near, up] = [Rounding::Down, Rounding::Nearest, Rounding::Up]
                            .map(|rounding| div(a, b, format, rounding));
                        assert!(down <= near && near <= up, "{a:e} / {b:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_third_and_root_two_are_bracketed() {
        let down = div(1.0, 3.0, Format::F64, Rounding::Down);
        let up = div(1.0, 3.0, Format::F64, Rounding::Up);
        assert_eq!(up, down.next_up());
        assert_eq!(div(-1.0, 3.0, Format::F64, Rounding::Down), -up);
        assert_eq!(div(-1.0, 3.0, Format::F64, Rounding::Zero), -down);
        let down = sqrt(2.0, Format::F32, Rounding::Down);
        assert!(down * down < 2.0);
        let up = sqrt(2.0, Format::F32, Rounding::Up);
        assert!(up * up > 2.0 && (up as f32) == (down as f32).next_up());
        assert_eq!(sqrt(9.0, Format::F64, Rounding::Up), 3.0);
        // Overflow stops at the greatest number when rounding towards zero.
        assert_eq!(fma(1e300, 1e300, 0.0, Format::F64, Rounding::Zero), f64::MAX);
        assert_eq!(convert(1e300, Format::F32, Rounding::Down), f64::from(f32::MAX));
        assert_eq!(convert(65520.0, Format::F16, Rounding::Nearest), f64::INFINITY);
        assert_eq!(convert(65520.0, Format::F16, Rounding::Zero), 65504.0);
    }
}
