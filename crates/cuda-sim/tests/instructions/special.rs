//! Approximate instructions: within the error the ISA states, and exact where it says so.

use super::support::{column, map};

fn arguments() -> Vec<f32> {
    (1..200).map(|i| i as f32 * 0.0371).chain([1e-20, 1e20, 1e-40]).collect()
}

/// Greatest relative error on positive arguments.
#[track_caller]
fn check_relative(text: &str, f: fn(f64) -> f64, bound: f64) {
    let a = arguments();
    for (&a, found) in a.iter().zip(map::<f32>(text, &[column(&a)])) {
        let expected = f(f64::from(a));
        if expected.abs() > f64::from(f32::MAX) {
            assert_eq!(found, f32::INFINITY, "{text} of {a:e}");
            continue;
        }
        let error = (f64::from(found) - expected).abs();
        // A subnormal result is good to its last bit.
        let least = f64::from(f32::from_bits(1));
        assert!(error <= bound * expected.abs() + least, "{text} of {a:e}: {found:e}");
    }
}

/// Greatest absolute error.
#[track_caller]
fn check_absolute(text: &str, f: fn(f64) -> f64, bound: f64) {
    let a: Vec<f32> = (-60..60).map(|i| i as f32 * 0.0523).collect();
    for (&a, found) in a.iter().zip(map::<f32>(text, &[column(&a)])) {
        let error = (f64::from(found) - f(f64::from(a))).abs();
        assert!(error <= bound, "{text} of {a}: {found}");
    }
}

#[test]
fn f32_functions() {
    let ulp = 2f64.powi(-23);
    check_relative("rcp.approx.f32 %d, %a;", f64::recip, ulp);
    check_relative("sqrt.approx.f32 %d, %a;", f64::sqrt, 2f64.powi(-23));
    check_relative("rsqrt.approx.f32 %d, %a;", |a| a.sqrt().recip(), 2f64.powf(-22.9));
    check_relative("ex2.approx.f32 %d, %a;", f64::exp2, 2f64.powi(-22));
    check_relative("tanh.approx.f32 %d, %a;", f64::tanh, 2f64.powi(-11));
    check_absolute("sin.approx.f32 %d, %a;", f64::sin, 2f64.powf(-20.5));
    check_absolute("cos.approx.f32 %d, %a;", f64::cos, 2f64.powf(-20.5));
    check_absolute(
        "abs.f32 %f0, %a;\nadd.f32 %f0, %f0, 0f3F800000;\nlg2.approx.f32 %d, %f0;",
        |a| f64::from(a.abs() as f32 + 1.0).log2(),
        2f64.powi(-22),
    );
    check_relative("div.approx.f32 %d, 0f40400000, %a;", |a| 3.0 / a, 2.0 * ulp);
    check_relative("div.full.f32 %d, 0f40400000, %a;", |a| 3.0 / a, 2.0 * ulp);
}

#[test]
fn special_values() {
    let run = |text: &str, a: f32| map::<f32>(text, &[column(&[a])])[0];
    assert_eq!(run("rcp.approx.f32 %d, %a;", -0.0), f32::NEG_INFINITY);
    assert_eq!(run("rcp.approx.ftz.f32 %d, %a;", 1e-40), f32::INFINITY);
    assert_eq!(run("rsqrt.approx.f32 %d, %a;", 0.0), f32::INFINITY);
    assert!(run("rsqrt.approx.f32 %d, %a;", -1.0).is_nan());
    assert_eq!(run("lg2.approx.f32 %d, %a;", 0.0), f32::NEG_INFINITY);
    assert!(run("lg2.approx.f32 %d, %a;", -2.0).is_nan());
    assert_eq!(run("ex2.approx.f32 %d, %a;", f32::NEG_INFINITY), 0.0);
    assert_eq!(run("ex2.approx.ftz.f32 %d, %a;", -127.5), 0.0);
    assert!(run("sin.approx.f32 %d, %a;", f32::INFINITY).is_nan());
    assert_eq!(run("tanh.approx.f32 %d, %a;", f32::NEG_INFINITY), -1.0);
    // A divisor from 2^126 on gives zero, and NaN with an infinite dividend.
    let large = 2f32.powi(126);
    assert_eq!(run("div.approx.f32 %d, 0f7E000000, %a;", large), 0.0);
    assert_eq!(run("div.approx.f32 %d, 0f7E000000, %a;", large / 2.0), 1.0);
    assert!(run("div.approx.f32 %d, 0f7F800000, %a;", large).is_nan());
    assert_eq!(run("div.full.f32 %d, 0f7E000000, %a;", large), 0.5);
}

#[test]
fn f64_starting_values() {
    let a: Vec<f64> = (1..100).map(|i| i as f64 * 0.173).collect();
    let reciprocals: Vec<f64> = map("rcp.approx.ftz.f64 %d, %a;", &[column(&a)]);
    let roots: Vec<f64> = map("rsqrt.approx.ftz.f64 %d, %a;", &[column(&a)]);
    for ((a, reciprocal), root) in a.iter().zip(reciprocals).zip(roots) {
        assert!((reciprocal * a - 1.0).abs() < 2f64.powi(-19));
        assert!((root * a.sqrt() - 1.0).abs() < 2f64.powi(-19));
        // The lower 32 bits are zero.
        assert_eq!((reciprocal.to_bits() | root.to_bits()) as u32, 0);
    }
}

#[test]
fn f64_reciprocal_roots() {
    // y = 1/√a misses by e if a·y² = 1 + 2e.
    let a: Vec<f64> = (1..500).map(|i| i as f64 * 0.3713).chain([1e-310, 1e300]).collect();
    for (&a, y) in a.iter().zip(map::<f64>("rsqrt.approx.f64 %d, %a;", &[column(&a)])) {
        let product = a * y;
        let rest = a.mul_add(y, -product);
        let error = ((-product).mul_add(y, 1.0) - rest * y) / 2.0;
        assert!(error.abs() <= 2f64.powf(-52.8), "{a:e}: {error:e}");
    }
    let special: Vec<f64> =
        map("rsqrt.approx.f64 %d, %a;", &[column(&[0.0f64, -0.0, f64::INFINITY])]);
    assert_eq!(special, [f64::INFINITY, f64::NEG_INFINITY, 0.0]);
}
