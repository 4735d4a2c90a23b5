//! f16 and bf16: every operation rounds once.

use super::support::{column, map};

/// The value of f16 bits, from the definition of the format.
fn value16(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), bits & 0x3FF);
    let magnitude = match exponent {
        0 => f64::from(fraction) * 2f64.powi(-24),
        31 if fraction != 0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1.0 + f64::from(fraction) / 1024.0) * 2f64.powi(exponent - 15),
    };
    if sign == 0 { magnitude } else { -magnitude }
}

fn valueb16(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// The bits nearest to an exact value, by search over all of the format (ties to even).
struct Nearest {
    /// Finite non-negative values in order; the index is the bit pattern.
    values: Vec<f64>,
}

impl Nearest {
    fn new(value: fn(u16) -> f64, infinity: u16) -> Self {
        Self { values: (0..infinity).map(value).collect() }
    }

    fn bits(&self, x: f64) -> u16 {
        if x.is_nan() {
            return 0x7FFF;
        }
        let sign = u16::from(x.is_sign_negative()) << 15;
        let x = x.abs();
        let above = self.values.partition_point(|&value| value < x);
        let count = self.values.len();
        // Beyond the last value the next one would be as far again.
        let step = self.values[count - 1] - self.values[count - 2];
        let at = |i: usize| {
            if i < count { self.values[i] } else { self.values[count - 1] + step }
        };
        if above == 0 {
            return sign;
        }
        if x > at(count) {
            return sign | count as u16;
        }
        let (low, high) = (x - at(above - 1), at(above.min(count)) - x);
        let up = high < low || high == low && above % 2 == 0;
        sign | if up { above.min(count) as u16 } else { above as u16 - 1 }
    }
}

fn patterns() -> Vec<u16> {
    let mut all = vec![0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC00, 0x3C01, 0x7BFF, 0x7C00];
    all.extend([0xFC00, 0x7E00, 0x3555, 0x4248, 0xC500, 0x0010, 0x7A00, 0x6400, 0x3F80, 0x4049]);
    all
}

fn triples() -> (Vec<u16>, Vec<u16>, Vec<u16>) {
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for x in patterns() {
        for y in patterns() {
            for z in patterns() {
                a.push(x);
                b.push(y);
                c.push(z);
            }
        }
    }
    (a, b, c)
}

fn check(ty: &str, value: fn(u16) -> f64, infinity: u16) {
    let nearest = Nearest::new(value, infinity);
    let (a, b, c) = triples();
    let run =
        |text: &str| map::<u16>(&format!("{text}{ty} %d, %a, %b;"), &[column(&a), column(&b)]);
    let (sums, products) = (run("add.rn."), run("mul.rn."));
    let (lesser, greater) = (run("min."), run("max."));
    let fused: Vec<u16> =
        map(&format!("fma.rn.{ty} %d, %a, %b, %c;"), &[column(&a), column(&b), column(&c)]);
    for i in 0..a.len() {
        let (x, y, z) = (value(a[i]), value(b[i]), value(c[i]));
        let what = format!("{ty} {x:e}, {y:e}, {z:e}");
        // Sums of bf16 may need more bits than f64 has, but then the lesser term is below half a
        // unit in the last place and not a tie.
        assert_eq!(sums[i], nearest.bits(x + y), "sum of {what}");
        assert_eq!(products[i], nearest.bits(x * y), "product of {what}");
        assert_eq!(fused[i], nearest.bits(x.mul_add(y, z)), "fma of {what}");
        let (low, high) = if y.is_nan() || x < y { (x, y) } else { (y, x) };
        if x.is_nan() || y.is_nan() {
            let number = if x.is_nan() { y } else { x };
            assert_eq!(lesser[i], nearest.bits(number), "min of {what}");
        } else if x != y {
            assert_eq!(lesser[i], nearest.bits(low), "min of {what}");
            assert_eq!(greater[i], nearest.bits(high), "max of {what}");
        }
    }
}

#[test]
fn f16_arithmetic() {
    check("f16", value16, 0x7C00);
}

#[test]
fn bf16_arithmetic() {
    check("bf16", valueb16, 0x7F80);
}

#[test]
fn packed_halves_are_independent() {
    let (a, b, c) = triples();
    let pack = |low: &[u16], high: &[u16]| -> Vec<u32> {
        low.iter().zip(high).map(|(&l, &h)| u32::from(h) << 16 | u32::from(l)).collect()
    };
    let reversed = |x: &[u16]| x.iter().rev().copied().collect::<Vec<u16>>();
    for ty in ["f16", "bf16"] {
        let single: Vec<u16> =
            map(&format!("fma.rn.{ty} %d, %a, %b, %c;"), &[column(&a), column(&b), column(&c)]);
        let double: Vec<u32> = map(
            &format!("fma.rn.{ty}x2 %d, %a, %b, %c;"),
            &[
                column(&pack(&a, &reversed(&a))),
                column(&pack(&b, &reversed(&b))),
                column(&pack(&c, &reversed(&c))),
            ],
        );
        assert_eq!(double, pack(&single, &reversed(&single)));
        let negated: Vec<u32> = map(&format!("neg.{ty}x2 %d, %a;"), &[column(&[0x3C00_8000u32])]);
        assert_eq!(negated, [0xBC00_0000]);
    }
}

#[test]
fn modifiers() {
    let one = |text: &str, a: u16, b: u16| map::<u16>(text, &[column(&[a]), column(&[b])])[0];
    assert_eq!(one("add.sat.f16 %d, %a, %b;", 0x3C00, 0x3C00), 0x3C00);
    assert_eq!(one("add.sat.f16 %d, %a, %b;", 0xBC00, 0x0000), 0x0000);
    assert_eq!(one("add.ftz.f16 %d, %a, %b;", 0x0001, 0x0001), 0x0000);
    assert_eq!(one("fma.rn.relu.f16 %d, %a, %b, %b;", 0xBC00, 0x3C00), 0x0000);
    assert_eq!(one("fma.rn.relu.f16 %d, %a, %b, %b;", 0xC000, 0x3C00), 0x0000);
    assert_eq!(one("max.NaN.f16 %d, %a, %b;", 0x7E00, 0x3C00), 0x7FFF);
    assert_eq!(one("ex2.approx.f16 %d, %a;", 0x4000, 0), 0x4400);
    assert_eq!(one("tanh.approx.bf16 %d, %a;", 0x7F80, 0), 0x3F80);
    // 2^-20 is a normal number of bf16 and a subnormal one of f16.
    assert_eq!(one("ex2.approx.ftz.bf16 %d, %a;", 0xC1A0, 0), (127 - 20) << 7);
    assert_eq!(one("ex2.approx.ftz.f16 %d, %a;", 0xCD00, 0), 0);
    assert_eq!(one("ex2.approx.f16 %d, %a;", 0xCD00, 0), 1 << 4);
    // 2^-127 is subnormal in bf16.
    assert_eq!(one("ex2.approx.ftz.bf16 %d, %a;", 0xC2FE, 0), 0);
    let packed = map::<u32>("ex2.approx.ftz.bf16x2 %d, %a;", &[column(&[0xC1A0_C2FEu32])]);
    assert_eq!(packed, [0x3580_0000]);
}
