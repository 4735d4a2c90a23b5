//! Atomic operations.

use super::support::{Machine, Value, kernel};
use cuda_sim::exec::FaultKind;

/// All of 64 threads in 2 blocks apply `op` with their operand to one word in global memory; `f`
/// is the same operation in sequence. Checks the final value and every thread's old value.
#[track_caller]
fn check<T: Value>(op: &str, start: T, operand: impl Fn(u32) -> T, f: impl Fn(T, T) -> T) {
    let ty = T::REGISTER;
    let size = size_of::<T>();
    let (x, y) = if size == 4 { ("%t5", "%t6") } else { ("%w5", "%w6") };
    let (x, y) = if ty.starts_with('f') {
        if size == 4 { ("%f5", "%f6") } else { ("%g5", "%g6") }
    } else {
        (x, y)
    };
    for space in [".global", ""] {
        let body = format!(
            "mad.lo.u64 %w0, %i, {size}, %arg1;\nld.global.{ty} {x}, [%w0];\n\
             atom{space}.{op} {y}, [%arg0], {x};\nst.global.{ty} [%w0], {y};"
        );
        let machine = Machine::new(&kernel("", 2, &body));
        let cell = machine.upload(&[start]);
        let operands: Vec<T> = (0..64).map(&operand).collect();
        let data = machine.upload(&operands);
        let counters = machine.launch("k", 2, 32, &[cell, data]).unwrap();
        let mut value = start;
        for (lane, old) in machine.download::<T>(data, 64).into_iter().enumerate() {
            assert!(old.same(value), "{op} lane {lane}: {old:?}, expected {value:?}");
            value = f(value, operands[lane]);
        }
        assert!(machine.download::<T>(cell, 1)[0].same(value), "{op}");
        assert_eq!(counters.global_atomics, 64);
    }
}

#[test]
fn every_operation_in_order() {
    let spread = |i: u32| i.wrapping_mul(0x9E37_79B9);
    check("add.u32", 5u32, spread, u32::wrapping_add);
    check("add.u64", 5u64, |i| u64::from(spread(i)) << 20, u64::wrapping_add);
    check("add.f32", 0.1f32, |i| i as f32 * 0.3, |a, b| a + b);
    check("add.f64", 0.1f64, |i| f64::from(i) / 7.0, |a, b| a + b);
    check("min.s32", 100i32, |i| spread(i) as i32, i32::min);
    check("max.u32", 100u32, spread, u32::max);
    check("max.s64", -5i64, |i| i64::from(spread(i) as i32), i64::max);
    check("min.u64", u64::MAX, |i| u64::from(spread(i)), u64::min);
    check("and.b32", u32::MAX, |i| !(1 << (i % 32)), |a, b| a & b);
    check("or.b64", 0u64, |i| 1 << i, |a, b| a | b);
    check("xor.b32", 7u32, spread, |a, b| a ^ b);
    check("exch.b32", 7u32, spread, |_, b| b);
    check("exch.b64", 7u64, |i| i.into(), |_, b| b);
    check("inc.u32", 0u32, |_| 9, |a, b| if a >= b { 0 } else { a + 1 });
    check("dec.u32", 3u32, |_| 9, |a, b| if a == 0 || a > b { b } else { a - 1 });
}

#[test]
fn compare_and_swap() {
    // Only the thread that finds its own number puts the next one there.
    let body = "cvt.u32.u64 %t1, %i;\nadd.u32 %t2, %t1, 1;\n\
                atom.global.cas.b32 %t3, [%arg0], %t1, %t2;\nmad.lo.u64 %w0, %i, 4, %arg1;\n\
                st.global.u32 [%w0], %t3;";
    let machine = Machine::new(&kernel("", 2, body));
    let (cell, old) = (machine.upload(&[0u32]), machine.upload(&[0u32; 96]));
    machine.launch("k", 3, 32, &[cell, old]).unwrap();
    assert_eq!(machine.download::<u32>(old, 96), (0..96).collect::<Vec<_>>());
    assert_eq!(machine.download::<u32>(cell, 1), [96]);
}

#[test]
fn reductions_and_shared_atomics() {
    let body = ".shared .align 4 .u32 bins[4];\ncvt.u32.u64 %t1, %i;\nand.b32 %t2, %t1, 3;\n\
        shl.b32 %t3, %t2, 2;\nmov.u32 %t4, bins;\nadd.u32 %t3, %t3, %t4;\n\
        setp.lt.u32 %p1, %tid_, 4;\n@%p1 st.shared.u32 [%t3], 0;\nbar.sync 0;\n\
        red.shared.add.u32 [%t3], %t1;\nbar.sync 0;\n@!%p1 bra $done;\n\
        ld.shared.u32 %t5, [%t3];\nmul.wide.u32 %w1, %t2, 4;\nadd.u64 %w1, %w1, %arg0;\n\
        red.global.add.u32 [%w1], %t5;\n$done:";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 4]);
    let counters = machine.launch("k", 4, 64, &[out]).unwrap();
    let expected: Vec<u32> = (0..4).map(|bin| (0..256).filter(|i| i % 4 == bin).sum()).collect();
    assert_eq!(machine.download::<u32>(out, 4), expected);
    assert_eq!((counters.shared_atomics, counters.global_atomics), (256, 16));
}

#[test]
fn packed_halves() {
    let body = "red.global.add.noftz.f16x2 [%arg0], 0x3C004000;";
    let machine = Machine::new(&kernel("", 1, body));
    let cell = machine.upload(&[0u32]);
    machine.launch("k", 2, 4, &[cell]).unwrap();
    // Eight times (2, 1).
    assert_eq!(machine.download::<u32>(cell, 1), [0x4800_4C00]);
}

#[test]
fn float_sums_are_the_same_every_time() {
    let body = "mad.lo.u64 %w0, %i, 4, %arg1;\nld.global.f32 %f1, [%w0];\n\
                red.global.add.f32 [%arg0], %f1;";
    let data: Vec<f32> = (0..4096).map(|i| (i as f32 * 0.7).sin() * 1e3).collect();
    let expected = data.iter().fold(0f32, |sum, x| sum + x);
    for _ in 0..3 {
        let machine = Machine::new(&kernel("", 2, body));
        let cell = machine.upload(&[0f32]);
        machine.launch("k", 32, 128, &[cell, machine.upload(&data)]).unwrap();
        assert_eq!(machine.download::<f32>(cell, 1), [expected]);
    }
}

#[test]
fn atomics_are_checked() {
    let run = |body: &str| {
        let machine = Machine::new(&kernel("", 1, body));
        let cell = machine.upload(&[0u32; 2]);
        machine.launch("k", 2, 32, &[cell]).unwrap_err()
    };
    assert_eq!(run("red.global.add.u32 [%arg0+8], 1;").kind, FaultKind::IllegalAddress);
    assert_eq!(run("red.global.add.u64 [%arg0+4], 1;").kind, FaultKind::MisalignedAddress);
    // An atomic and a plain access to one word race.
    let fault = run("red.global.add.u32 [%arg0], 1;\nst.global.u32 [%arg0], 7;");
    assert_eq!(fault.kind, FaultKind::Race);
    let uninitialized = ".shared .u32 s;\nmov.u32 %t1, s;\nred.shared.add.u32 [%t1], 1;";
    assert_eq!(run(uninitialized).kind, FaultKind::Uninitialized);
}
