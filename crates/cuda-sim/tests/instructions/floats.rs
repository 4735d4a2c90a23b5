//! f32 and f64 arithmetic, rounded to nearest, with flushing and saturation.

use super::support::{Value, check1, check2, check3, column, map};

#[test]
fn f64_arithmetic() {
    check2("add.f64 %d, %a, %b;", |a: f64, b: f64| a + b);
    check2("sub.rn.f64 %d, %a, %b;", |a: f64, b: f64| a - b);
    check2("mul.f64 %d, %a, %b;", |a: f64, b: f64| a * b);
    check2("div.rn.f64 %d, %a, %b;", |a: f64, b: f64| a / b);
    check3("fma.rn.f64 %d, %a, %b, %c;", |a: f64, b: f64, c: f64| a.mul_add(b, c));
    check1("rcp.rn.f64 %d, %a;", |a: f64| 1.0 / a);
    check1("sqrt.rn.f64 %d, %a;", |a: f64| a.sqrt());
    check1("neg.f64 %d, %a;", |a: f64| -a);
    check1("abs.f64 %d, %a;", |a: f64| a.abs());
    check2("copysign.f64 %d, %a, %b;", |a: f64, b: f64| b.copysign(a));
}

#[test]
fn f32_arithmetic() {
    check2("add.f32 %d, %a, %b;", |a: f32, b: f32| a + b);
    check2("sub.f32 %d, %a, %b;", |a: f32, b: f32| a - b);
    check2("mul.rn.f32 %d, %a, %b;", |a: f32, b: f32| a * b);
    check2("div.rn.f32 %d, %a, %b;", |a: f32, b: f32| a / b);
    check3("fma.rn.f32 %d, %a, %b, %c;", |a: f32, b: f32, c: f32| a.mul_add(b, c));
    check1("rcp.rn.f32 %d, %a;", |a: f32| 1.0 / a);
    check1("sqrt.rn.f32 %d, %a;", |a: f32| a.sqrt());
    check1("neg.f32 %d, %a;", |a: f32| -a);
    check1("abs.f32 %d, %a;", |a: f32| a.abs());
    check2("copysign.f32 %d, %a, %b;", |a: f32, b: f32| b.copysign(a));
}

/// Subnormal numbers to zero.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

fn saturate(x: f32) -> f32 {
    if x.is_nan() || x <= 0.0 { 0.0 } else { x.min(1.0) }
}

#[test]
fn flushing_and_saturation() {
    check2("add.ftz.f32 %d, %a, %b;", |a: f32, b: f32| flush(flush(a) + flush(b)));
    check2("mul.ftz.f32 %d, %a, %b;", |a: f32, b: f32| flush(flush(a) * flush(b)));
    check2("add.sat.f32 %d, %a, %b;", |a: f32, b: f32| saturate(a + b));
    check3("fma.rn.ftz.sat.f32 %d, %a, %b, %c;", |a: f32, b: f32, c: f32| {
        saturate(flush(flush(a).mul_add(flush(b), flush(c))))
    });
    check1("sqrt.rn.ftz.f32 %d, %a;", |a: f32| flush(flush(a).sqrt()));
    check1("abs.ftz.f32 %d, %a;", |a: f32| flush(a).abs());
}

#[test]
fn nan_results_of_f32_are_canonical() {
    let nans = [f32::from_bits(0x7FC1_2345), f32::from_bits(0xFF80_0001), f32::INFINITY];
    let found: Vec<u32> = map(
        "add.f32 %f0, %a, %b;\nmov.b32 %d, %f0;",
        &[column(&nans), column(&[1.0f32, 2.0, f32::NEG_INFINITY])],
    );
    assert_eq!(found, [0x7FFF_FFFF; 3]);
}

/// The lesser of two numbers; −0 < +0.
fn lesser<T: Value + PartialOrd>(a: T, b: T, is_negative: fn(T) -> bool) -> T {
    if a < b || (a == b && is_negative(a)) { a } else { b }
}

#[test]
fn extremes() {
    check2("min.f64 %d, %a, %b;", |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ => lesser(a, b, f64::is_sign_negative),
    });
    check2("max.f64 %d, %a, %b;", |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ => -lesser(-a, -b, f64::is_sign_negative),
    });
    let min = |a: f32, b: f32| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ => lesser(a, b, f32::is_sign_negative),
    };
    let max = move |a: f32, b: f32| -min(-a, -b);
    check2("min.f32 %d, %a, %b;", min);
    check2("max.f32 %d, %a, %b;", max);
    let any_nan = |a: f32, b: f32| a.is_nan() || b.is_nan();
    check2(
        "min.NaN.f32 %d, %a, %b;",
        |a: f32, b: f32| {
            if any_nan(a, b) { f32::NAN } else { min(a, b) }
        },
    );
    check2("max.ftz.NaN.f32 %d, %a, %b;", |a: f32, b: f32| {
        if any_nan(a, b) { f32::NAN } else { max(flush(a), flush(b)) }
    });
    check2("max.xorsign.abs.f32 %d, %a, %b;", |a: f32, b: f32| {
        let negative = a.is_sign_negative() != b.is_sign_negative();
        max(a.abs(), b.abs()).copysign(if negative { -1.0 } else { 1.0 })
    });
}
