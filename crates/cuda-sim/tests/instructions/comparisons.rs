//! Comparisons and selections.

use super::support::{Value, check_pairs, check2, check3, column, map};
use std::cmp::Ordering;

fn select(op: &str, ty: &str) -> String {
    format!("setp.{op}.{ty} %p1, %a, %b;\nselp.u32 %d, 1, 0, %p1;")
}

fn expect(op: &str, order: Option<Ordering>) -> u32 {
    use Ordering::{Equal, Greater, Less};
    u32::from(match op {
        "eq" => order == Some(Equal),
        "ne" => matches!(order, Some(Less | Greater)),
        "lt" | "lo" => order == Some(Less),
        "le" | "ls" => matches!(order, Some(Less | Equal)),
        "gt" | "hi" => order == Some(Greater),
        "ge" | "hs" => matches!(order, Some(Greater | Equal)),
        "equ" => matches!(order, None | Some(Equal)),
        "neu" => order != Some(Equal),
        "ltu" => matches!(order, None | Some(Less)),
        "leu" => matches!(order, None | Some(Less | Equal)),
        "gtu" => matches!(order, None | Some(Greater)),
        "geu" => matches!(order, None | Some(Greater | Equal)),
        "num" => order.is_some(),
        _ => order.is_none(),
    })
}

fn check_all<T: Value + PartialOrd>(ty: &str, ops: &[&str]) {
    for op in ops {
        check2(&select(op, ty), |a: T, b: T| expect(op, a.partial_cmp(&b)));
    }
}

#[test]
fn integers() {
    let signed = ["eq", "ne", "lt", "le", "gt", "ge"];
    check_all::<i32>("s32", &signed);
    check_all::<i64>("s64", &signed);
    check_all::<i16>("s16", &signed);
    check_all::<u32>("u32", &["lo", "ls", "hi", "hs", "lt", "ge"]);
    check_all::<u64>("u64", &["lo", "hs", "gt"]);
    check_all::<u32>("b32", &["eq", "ne"]);
}

#[test]
fn floats() {
    let ops = [
        "eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
    ];
    check_all::<f32>("f32", &ops);
    check_all::<f64>("f64", &ops);
    check2(&select("eq.ftz", "f32"), |a: f32, b: f32| {
        let flush = |x: f32| if x.is_subnormal() { 0.0 } else { x };
        u32::from(flush(a) == flush(b))
    });
    // 1 < 1.5, NaN unordered.
    let halves = |op: &str| -> Vec<u32> {
        map(&select(op, "f16"), &[column(&[0x3C00u16, 0x7E00]), column(&[0x3E00u16, 0x3C00])])
    };
    assert_eq!(halves("lt"), [1, 0]);
    assert_eq!(halves("ltu"), [1, 1]);
    // 2^-24 is greater than zero, unless it is flushed.
    let tiny = |text: &str| map::<u32>(text, &[column(&[1u16]), column(&[0u16])])[0];
    assert_eq!((tiny(&select("gt", "f16")), tiny(&select("gt.ftz", "f16"))), (1, 0));
    assert_eq!(tiny("set.gt.u32.f16 %d, %a, %b;"), u32::MAX);
    assert_eq!(tiny("set.gt.ftz.u32.f16 %d, %a, %b;"), 0);
    let pair = |text: &str| map::<u32>(text, &[column(&[0x0001_3C00u32]), column(&[0u32])])[0];
    assert_eq!(pair("set.gt.u32.f16x2 %d, %a, %b;"), 0xFFFF_FFFF);
    assert_eq!(pair("set.gt.ftz.u32.f16x2 %d, %a, %b;"), 0x0000_FFFF);
}

#[test]
fn combined_predicates_and_complements() {
    for (op, f) in [
        ("and", (|x, c| x && c) as fn(bool, bool) -> bool),
        ("or", |x, c| x || c),
        ("xor", |x, c| x != c),
    ] {
        for (not, flip) in [("", false), ("!", true)] {
            let text = format!(
                "setp.ne.s32 %p3, %c, 0;\nsetp.lt.{op}.s32 %p1|%p2, %a, %b, {not}%p3;\n\
                 selp.u32 %t1, 1, 0, %p1;\nselp.u32 %t2, 2, 0, %p2;\nadd.u32 %d, %t1, %t2;"
            );
            check3(&text, |a: i32, b: i32, c: i32| {
                let c = (c != 0) != flip;
                u32::from(f(a < b, c)) + 2 * u32::from(f(a >= b, c))
            });
        }
    }
}

#[test]
fn guards_and_predicate_constants() {
    check_pairs(
        "setp.lt.s32 %p1, %a, %b;\nmov.u32 %d, 0;\n@%p1 mov.u32 %d, 1;\n@!%p1 add.u32 %d, %d, 2;",
        &i32::samples(),
        &i32::samples(),
        |a: i32, b: i32| if a < b { 1 } else { 2u32 },
    );
}

#[test]
fn set_makes_numbers() {
    check2("set.lt.u32.s32 %d, %a, %b;", |a: i32, b: i32| if a < b { u32::MAX } else { 0 });
    check2("set.gtu.f32.f64 %d, %a, %b;", |a: f64, b: f64| if a <= b { 0.0 } else { 1.0f32 });
    check3(
        "setp.ne.u32 %p1, %c, 0;\nset.eq.and.s32.u32 %d, %a, %b, %p1;",
        |a: u32, b: u32, c: u32| if a == b && c != 0 { u32::MAX } else { 0 },
    );
    // Halves: (1, 2) against (1, 3).
    let packed: Vec<u32> = map(
        "set.eq.f16x2.f16x2 %d, %a, %b;",
        &[column(&[0x4000_3C00u32]), column(&[0x4200_3C00u32])],
    );
    assert_eq!(packed, [0x0000_3C00]);
}

#[test]
fn selections() {
    check3(
        "setp.ne.u32 %p1, %c, 0;\nselp.b64 %d, %a, %b, %p1;",
        |a: u64, b: u64, c: u32| {
            if c != 0 { a } else { b }
        },
    );
    check3("slct.u32.s32 %d, %a, %b, %c;", |a: u32, b: u32, c: i32| if c >= 0 { a } else { b });
    check3("slct.u64.f32 %d, %a, %b, %c;", |a: u64, b: u64, c: f32| if c >= 0.0 { a } else { b });
}

#[test]
fn classes_of_numbers() {
    for (op, f) in [
        ("finite", f32::is_finite as fn(f32) -> bool),
        ("infinite", f32::is_infinite),
        ("number", |x| !x.is_nan()),
        ("notanumber", f32::is_nan),
        ("normal", f32::is_normal),
        ("subnormal", f32::is_subnormal),
    ] {
        super::support::check1(
            &format!("testp.{op}.f32 %p1, %a;\nselp.u32 %d, 1, 0, %p1;"),
            |a: f32| u32::from(f(a)),
        );
    }
    super::support::check1("testp.normal.f64 %p1, %a;\nselp.u32 %d, 1, 0, %p1;", |a: f64| {
        u32::from(a.is_normal())
    });
}
