//! Conversions.

use super::support::{check1, check2, column, map};

#[test]
fn between_integers() {
    check1("cvt.u64.u32 %d, %a;", |a: u32| u64::from(a));
    check1("cvt.s64.s32 %d, %a;", |a: i32| i64::from(a));
    check1("cvt.u32.u64 %d, %a;", |a: u64| a as u32);
    check1("cvt.s32.s8 %d, %a;", |a: u32| i32::from(a as i8));
    check1("cvt.u32.u16 %d, %a;", |a: u16| u32::from(a));
    check1("cvt.s16.s64 %d, %a;", |a: i64| a as i16);
    check1("cvt.u16.u8 %d, %a;", |a: u16| a & 0xFF);
    check1("cvt.s8.s32 %d, %a;", |a: i32| i32::from(a as i8));
    check1("cvt.sat.u8.s32 %d, %a;", |a: i32| a.clamp(0, 255) as u32);
    check1("cvt.sat.s16.s32 %d, %a;", |a: i32| a.clamp(-32768, 32767) as i16);
    check1("cvt.sat.s32.u32 %d, %a;", |a: u32| a.min(i32::MAX as u32) as i32);
    check1("cvt.sat.u32.s64 %d, %a;", |a: i64| a.clamp(0, u32::MAX.into()) as u32);
}

#[test]
fn integers_to_floats() {
    check1("cvt.rn.f64.s32 %d, %a;", |a: i32| f64::from(a));
    check1("cvt.rn.f64.u64 %d, %a;", |a: u64| a as f64);
    check1("cvt.rn.f64.s64 %d, %a;", |a: i64| a as f64);
    check1("cvt.rn.f32.u32 %d, %a;", |a: u32| a as f32);
    check1("cvt.rn.f32.s32 %d, %a;", |a: i32| a as f32);
    check1("cvt.rn.f32.s64 %d, %a;", |a: i64| a as f32);
    check1("cvt.rn.f32.u8 %d, %a;", |a: u32| f32::from(a as u8));
    check1("cvt.rz.f32.u64 %d, %a;", |a: u64| {
        let nearest = a as f32;
        if nearest as u128 > a.into() { nearest.next_down() } else { nearest }
    });
    check1("cvt.rp.f64.s64 %d, %a;", |a: i64| {
        let nearest = a as f64;
        if (nearest as i128) < a.into() { nearest.next_up() } else { nearest }
    });
}

#[test]
fn floats_to_integers() {
    // Out of range saturates; NaN gives 0, or 2^63 with 64 bits on either side.
    check1("cvt.rzi.s32.f32 %d, %a;", |a: f32| a as i32);
    check1("cvt.rzi.u32.f32 %d, %a;", |a: f32| a as u32);
    check1("cvt.rni.s32.f32 %d, %a;", |a: f32| a.round_ties_even() as i32);
    check1("cvt.rmi.s32.f32 %d, %a;", |a: f32| a.floor() as i32);
    check1("cvt.rpi.s32.f32 %d, %a;", |a: f32| a.ceil() as i32);
    check1("cvt.rzi.s64.f64 %d, %a;", |a: f64| if a.is_nan() { i64::MIN } else { a as i64 });
    check1("cvt.rzi.u64.f64 %d, %a;", |a: f64| if a.is_nan() { 1 << 63 } else { a as u64 });
    check1("cvt.rni.s32.f64 %d, %a;", |a: f64| {
        if a.is_nan() { i32::MIN } else { a.round_ties_even() as i32 }
    });
    check1("cvt.rzi.s16.f32 %d, %a;", |a: f32| a as i16);
    check1("cvt.rzi.u8.f32 %d, %a;", |a: f32| u32::from(a as u8));
}

#[test]
fn between_floats() {
    check1("cvt.f64.f32 %d, %a;", |a: f32| f64::from(a));
    check1("cvt.rn.f32.f64 %d, %a;", |a: f64| a as f32);
    check1("cvt.ftz.f64.f32 %d, %a;", |a: f32| {
        if a.is_subnormal() { 0f64.copysign(a.into()) } else { a.into() }
    });
    check1(
        "cvt.sat.f32.f32 %d, %a;",
        |a: f32| {
            if a.is_nan() || a <= 0.0 { 0.0 } else { a.min(1.0) }
        },
    );
    check1("cvt.rni.f64.f64 %d, %a;", |a: f64| a.round_ties_even());
    check1("cvt.rzi.f32.f32 %d, %a;", |a: f32| a.trunc());
    check1("cvt.rmi.f32.f32 %d, %a;", |a: f32| a.floor());
    check1("cvt.rpi.f64.f64 %d, %a;", |a: f64| a.ceil());
    // tf32 keeps 10 bits of the fraction, ties away from zero.
    check1("cvt.rna.tf32.f32 %d, %a;", |a: f32| {
        if !a.is_finite() {
            return if a.is_nan() { 0x7FFF_FFFF } else { a.to_bits() };
        }
        (a.to_bits() + (1 << 12)) & !0x1FFF
    });
}

#[test]
fn halves() {
    let one = |text: &str, a: f32| map::<u16>(text, &[column(&[a])])[0];
    for (a, bits) in [
        (1.0, 0x3C00),
        (-2.5, 0xC100),
        (65504.0, 0x7BFF),
        (65520.0, 0x7C00),
        (65519.0, 0x7BFF),
        (2f32.powi(-24), 0x0001),
        (2f32.powi(-25), 0x0000),
        (1.0 + 2f32.powi(-11), 0x3C00),
        (1.0 + 3.0 * 2f32.powi(-11), 0x3C02),
        (f32::NAN, 0x7FFF),
    ] {
        assert_eq!(one("cvt.rn.f16.f32 %d, %a;", a), bits, "{a:e}");
    }
    assert_eq!(one("cvt.rz.f16.f32 %d, %a;", 65520.0), 0x7BFF);
    assert_eq!(one("cvt.rn.bf16.f32 %d, %a;", 1.0 + 2f32.powi(-8)), 0x3F80);
    assert_eq!(one("cvt.rn.bf16.f32 %d, %a;", 1.0 + 3.0 * 2f32.powi(-8)), 0x3F82);
    assert_eq!(one("cvt.rz.bf16.f32 %d, %a;", f32::MAX), 0x7F7F);
    assert_eq!(one("cvt.rn.relu.f16.f32 %d, %a;", -3.0), 0);
    let back: Vec<f32> = map("cvt.f32.f16 %d, %a;", &[column(&[0x3C00u16, 0x0001, 0xFC00])]);
    assert_eq!(back, [1.0, 2f32.powi(-24), f32::NEG_INFINITY]);
    let back: Vec<f32> = map("cvt.f32.bf16 %d, %a;", &[column(&[0x4049u16])]);
    assert_eq!(back, [3.140625]);
    check2("cvt.rn.bf16x2.f32 %d, %a, %b;", |a: f32, b: f32| {
        // bf16 is the upper half of f32; adding half a unit less a tie to even rounds.
        let half = |x: f32| match (x.is_nan(), x.to_bits()) {
            (true, _) => 0x7FFF,
            (_, bits) => (bits + 0x7FFF + (bits >> 16 & 1)) >> 16,
        };
        half(a) << 16 | half(b)
    });
    let packed: Vec<u32> =
        map("cvt.rn.f16x2.f32 %d, %a, %b;", &[column(&[1.0f32]), column(&[-2.5f32])]);
    assert_eq!(packed, [0x3C00_C100]);
}

#[test]
fn vectors_are_packed_and_unpacked() {
    check1("mov.b64 {%t1, %t2}, %a;\nmov.b64 %d, {%t2, %t1};", |a: u64| a.rotate_left(32));
    check1("mov.b32 {%h1, %h2}, %a;\nmov.b32 %d, {%h2, %h1};", |a: u32| a.rotate_left(16));
    check1("mov.b64 {_, %t2}, %a;\nmov.u32 %d, %t2;", |a: u64| (a >> 32) as u32);
    check1("mov.b64 {%h1, %h2, %h3, %h4}, %a;\nmov.b64 %d, {%h4, %h3, %h2, %h1};", |a: u64| {
        let [a, b, c, d] = std::array::from_fn(|i| a >> (16 * i) & 0xFFFF);
        a << 48 | b << 32 | c << 16 | d
    });
}
