//! Directed rounding. The nearest result and the sign of its exact error (by error-free
//! transformations) say what the directed result is.

use super::support::{column, map};

const MODES: [&str; 3] = ["rz", "rm", "rp"];

/// Numbers far from overflow and underflow, so that the transformations below are exact.
fn numbers() -> Vec<f64> {
    let mut all = vec![1.0, -1.0, 3.0, 1.0 / 3.0, -0.1, 1e10, -7e-5, 123.456, 1.0 + f64::EPSILON];
    let mut state = 1u64;
    for _ in 0..12 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
        all.push((unit - 0.5) * 2f64.powi((state % 60) as i32 - 30));
    }
    all
}

fn pairs<T: Copy>(numbers: &[T]) -> (Vec<T>, Vec<T>) {
    numbers.iter().flat_map(|&a| numbers.iter().map(move |&b| (a, b))).unzip()
}

/// The sum and its rounding error, exactly (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// The directed result next to `nearest`, whose exact value is `nearest + error`.
fn directed(nearest: f64, error: f64, mode: &str) -> f64 {
    let up = error > 0.0 && (mode == "rp" || mode == "rz" && nearest < 0.0);
    let down = error < 0.0 && (mode == "rm" || mode == "rz" && nearest > 0.0);
    match (up, down) {
        (true, _) => nearest.next_up(),
        (_, true) => nearest.next_down(),
        _ => nearest,
    }
}

/// `high + low` rounded to f32 in a direction; `high` is that sum rounded to f64.
fn directed32(high: f64, low: f64, mode: &str) -> f32 {
    let nearest = high as f32;
    let error = (high - f64::from(nearest)) + low;
    let up = error > 0.0 && (mode == "rp" || mode == "rz" && nearest < 0.0);
    let down = error < 0.0 && (mode == "rm" || mode == "rz" && nearest > 0.0);
    match (up, down) {
        (true, _) => nearest.next_up(),
        (_, true) => nearest.next_down(),
        _ => nearest,
    }
}

#[test]
fn f64_in_every_direction() {
    let (a, b) = pairs(&numbers());
    for mode in MODES {
        let run = |text: String| map::<f64>(&text, &[column(&a), column(&b)]);
        let sums = run(format!("add.{mode}.f64 %d, %a, %b;"));
        let products = run(format!("mul.{mode}.f64 %d, %a, %b;"));
        let quotients = run(format!("div.{mode}.f64 %d, %a, %b;"));
        let fused = run(format!("fma.{mode}.f64 %d, %a, %b, 0d3FF0000000000000;"));
        let roots = run(format!("abs.f64 %d, %a;\nsqrt.{mode}.f64 %d, %d;"));
        let reciprocals = run(format!("rcp.{mode}.f64 %d, %a;"));
        for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
            let (sum, error) = two_sum(a, b);
            let zero_of_sum = if sum == 0.0 && mode == "rm" { -0.0 } else { sum };
            assert_eq!(
                sums[i].to_bits(),
                directed(zero_of_sum, error, mode).to_bits(),
                "{a:e} + {b:e} {mode}"
            );
            let product = a * b;
            let rest = a.mul_add(b, -product);
            assert_eq!(products[i], directed(product, rest, mode), "{a:e} * {b:e} {mode}");
            let quotient = a / b;
            // The remainder has the error's sign times that of b.
            let error = (-quotient).mul_add(b, a) * b.signum();
            assert_eq!(quotients[i], directed(quotient, error, mode), "{a:e} / {b:e} {mode}");
            let reciprocal = 1.0 / a;
            let error = (-reciprocal).mul_add(a, 1.0) * a.signum();
            assert_eq!(reciprocals[i], directed(reciprocal, error, mode), "1 / {a:e} {mode}");
            let root = a.abs().sqrt();
            let error = (-root).mul_add(root, a.abs());
            assert_eq!(roots[i], directed(root, error, mode), "sqrt {a:e} {mode}");
            // a·b + 1 = fused + error; the error's sign comes from the exact product's two parts.
            let near = a.mul_add(b, 1.0);
            let (high, low) = two_sum(product, 1.0);
            let error = (high - near) + (low + rest);
            assert_eq!(fused[i], directed(near, error, mode), "{a:e} * {b:e} + 1 {mode}");
        }
    }
}

#[test]
fn f32_in_every_direction() {
    let singles: Vec<f32> = numbers().into_iter().map(|x| x as f32).collect();
    let (a, b) = pairs(&singles);
    for mode in MODES {
        let run = |text: String| map::<f32>(&text, &[column(&a), column(&b)]);
        let sums = run(format!("add.{mode}.f32 %d, %a, %b;"));
        let products = run(format!("mul.{mode}.f32 %d, %a, %b;"));
        let fused = run(format!("fma.{mode}.f32 %d, %a, %b, 0f3F9D70A4;"));
        let quotients = run(format!("div.{mode}.f32 %d, %a, %b;"));
        let narrowed = map::<f32>(
            &format!("cvt.{mode}.f32.f64 %d, %a;"),
            &[column(&a.iter().map(|&a| f64::from(a) / 3.0).collect::<Vec<_>>())],
        );
        for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
            let (x, y) = (f64::from(a), f64::from(b));
            let (high, low) = two_sum(x, y);
            assert_eq!(sums[i], directed32(high, low, mode), "{a:e} + {b:e} {mode}");
            assert_eq!(products[i], directed32(x * y, 0.0, mode), "{a:e} * {b:e} {mode}");
            let c = f64::from(f32::from_bits(0x3F9D_70A4));
            let (high, low) = two_sum(x * y, c);
            assert_eq!(fused[i], directed32(high, low, mode), "{a:e} * {b:e} + c {mode}");
            let quotient = a / b;
            let error = (-f64::from(quotient)).mul_add(y, x) * y.signum();
            let expected = directed32(f64::from(quotient), error, mode);
            assert_eq!(quotients[i], expected, "{a:e} / {b:e} {mode}");
            assert_eq!(narrowed[i], directed32(x / 3.0, 0.0, mode), "{a:e} / 3 {mode}");
        }
    }
}

#[test]
fn overflow_and_underflow_in_every_direction() {
    let run = |text: &str, a: f64, b: f64| map::<f64>(text, &[column(&[a]), column(&[b])])[0];
    assert_eq!(run("mul.rz.f64 %d, %a, %b;", f64::MAX, 2.0), f64::MAX);
    assert_eq!(run("mul.rp.f64 %d, %a, %b;", f64::MAX, 2.0), f64::INFINITY);
    assert_eq!(run("mul.rm.f64 %d, %a, %b;", -f64::MAX, 2.0), f64::NEG_INFINITY);
    assert_eq!(run("mul.rp.f64 %d, %a, %b;", -f64::MAX, 2.0), f64::MIN);
    let least = f64::from_bits(1);
    assert_eq!(run("mul.rp.f64 %d, %a, %b;", least, 0.25), least);
    assert_eq!(run("mul.rz.f64 %d, %a, %b;", least, 0.75), 0.0);
    assert_eq!(run("add.rm.f64 %d, %a, %b;", 1.0, -1.0).to_bits(), (-0.0f64).to_bits());
    assert_eq!(run("add.rp.f64 %d, %a, %b;", 1.0, -1.0).to_bits(), 0.0f64.to_bits());
    assert_eq!(run("div.rz.f64 %d, %a, %b;", f64::MAX, 0.5), f64::MAX);
}
