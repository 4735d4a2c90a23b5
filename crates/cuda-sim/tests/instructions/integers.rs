//! Integer arithmetic.

use super::support::{check1, check2, check3};

#[test]
fn sums_and_differences() {
    check2("add.u16 %d, %a, %b;", |a: u16, b: u16| a.wrapping_add(b));
    check2("add.s32 %d, %a, %b;", |a: i32, b: i32| a.wrapping_add(b));
    check2("sub.s32 %d, %a, %b;", |a: i32, b: i32| a.wrapping_sub(b));
    check2("add.s64 %d, %a, %b;", |a: i64, b: i64| a.wrapping_add(b));
    check2("sub.u64 %d, %a, %b;", |a: u64, b: u64| a.wrapping_sub(b));
    check2("add.sat.s32 %d, %a, %b;", |a: i32, b: i32| a.saturating_add(b));
    check2("sub.sat.s32 %d, %a, %b;", |a: i32, b: i32| a.saturating_sub(b));
}

#[test]
fn products() {
    check2("mul.lo.s16 %d, %a, %b;", |a: i16, b: i16| a.wrapping_mul(b));
    check2("mul.lo.s32 %d, %a, %b;", |a: i32, b: i32| a.wrapping_mul(b));
    check2("mul.lo.u64 %d, %a, %b;", |a: u64, b: u64| a.wrapping_mul(b));
    check2("mul.hi.u16 %d, %a, %b;", |a: u16, b: u16| ((a as u32 * b as u32) >> 16) as u16);
    check2("mul.hi.s32 %d, %a, %b;", |a: i32, b: i32| ((a as i64 * b as i64) >> 32) as i32);
    check2("mul.hi.u32 %d, %a, %b;", |a: u32, b: u32| ((a as u64 * b as u64) >> 32) as u32);
    check2("mul.hi.s64 %d, %a, %b;", |a: i64, b: i64| ((a as i128 * b as i128) >> 64) as i64);
    check2("mul.hi.u64 %d, %a, %b;", |a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64);
    check2("mul.wide.s16 %d, %a, %b;", |a: i16, b: i16| a as i32 * b as i32);
    check2("mul.wide.s32 %d, %a, %b;", |a: i32, b: i32| a as i64 * b as i64);
    check2("mul.wide.u32 %d, %a, %b;", |a: u32, b: u32| a as u64 * b as u64);
    check2("mul24.lo.s32 %d, %a, %b;", |a: i32, b: i32| {
        ((a << 8 >> 8) as i64 * (b << 8 >> 8) as i64) as i32
    });
    check2("mul24.hi.u32 %d, %a, %b;", |a: u32, b: u32| {
        (((a & 0xFF_FFFF) as u64 * (b & 0xFF_FFFF) as u64) >> 16) as u32
    });
}

#[test]
fn multiply_and_add() {
    check3("mad.lo.s32 %d, %a, %b, %c;", |a: i32, b: i32, c: i32| {
        a.wrapping_mul(b).wrapping_add(c)
    });
    check3("mad.hi.u32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        (((a as u64 * b as u64) >> 32) as u32).wrapping_add(c)
    });
    check3("mad.hi.sat.s32 %d, %a, %b, %c;", |a: i32, b: i32, c: i32| {
        (((a as i64 * b as i64) >> 32) as i32).saturating_add(c)
    });
    check3("mad.wide.s32 %d, %a, %b, %c;", |a: i32, b: i32, c: i64| {
        (a as i64 * b as i64).wrapping_add(c)
    });
    check3("mad24.lo.u32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        (((a & 0xFF_FFFF) as u64 * (b & 0xFF_FFFF) as u64) as u32).wrapping_add(c)
    });
}

#[test]
fn division_and_remainder() {
    // Division by zero is undefined in PTX.
    check2("max.u32 %b, %b, 1;\ndiv.u32 %d, %a, %b;", |a: u32, b: u32| a / b.max(1));
    check2("or.b32 %b, %b, 1;\ndiv.s32 %d, %a, %b;", |a: i32, b: i32| a.wrapping_div(b | 1));
    check2("or.b32 %b, %b, 1;\nrem.s32 %d, %a, %b;", |a: i32, b: i32| a.wrapping_rem(b | 1));
    check2("or.b64 %b, %b, 1;\nrem.u64 %d, %a, %b;", |a: u64, b: u64| a % (b | 1));
    check2("or.b64 %b, %b, 1;\ndiv.s64 %d, %a, %b;", |a: i64, b: i64| a.wrapping_div(b | 1));
    check2("or.b16 %b, %b, 1;\ndiv.u16 %d, %a, %b;", |a: u16, b: u16| a / (b | 1));
}

#[test]
fn extremes_signs_and_differences() {
    check2("min.s16 %d, %a, %b;", |a: i16, b: i16| a.min(b));
    check2("max.u32 %d, %a, %b;", |a: u32, b: u32| a.max(b));
    check2("min.s64 %d, %a, %b;", |a: i64, b: i64| a.min(b));
    check1("neg.s32 %d, %a;", |a: i32| a.wrapping_neg());
    check1("abs.s64 %d, %a;", |a: i64| a.wrapping_abs());
    check3("sad.s32 %d, %a, %b, %c;", |a: i32, b: i32, c: i32| {
        c.wrapping_add((a as i64 - b as i64).unsigned_abs() as i32)
    });
    check3("sad.u16 %d, %a, %b, %c;", |a: u16, b: u16, c: u16| c.wrapping_add(a.abs_diff(b)));
}

#[test]
fn dot_products() {
    let bytes = |x: u32| x.to_le_bytes();
    check3("dp4a.s32.s32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        let products =
            bytes(a).into_iter().zip(bytes(b)).map(|(x, y)| x as i8 as i32 * y as i8 as i32);
        c.wrapping_add(products.sum::<i32>() as u32)
    });
    check3("dp4a.u32.s32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        let products = bytes(a).into_iter().zip(bytes(b)).map(|(x, y)| x as i32 * y as i8 as i32);
        c.wrapping_add(products.sum::<i32>() as u32)
    });
    check3("dp2a.hi.s32.u32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        let low = (a as i16 as i32).wrapping_mul(bytes(b)[2] as i32);
        let high = ((a >> 16) as i16 as i32).wrapping_mul(bytes(b)[3] as i32);
        c.wrapping_add(low.wrapping_add(high) as u32)
    });
}

#[test]
fn differences_of_bytes() {
    let differences = |a: u32, b: u32| -> Vec<u8> {
        a.to_le_bytes().into_iter().zip(b.to_le_bytes()).map(|(x, y)| x.abs_diff(y)).collect()
    };
    check2("vabsdiff4.u32.u32.u32 %d, %a, %b, 0;", |a: u32, b: u32| {
        u32::from_le_bytes(differences(a, b).try_into().unwrap())
    });
    check3("vabsdiff4.u32.u32.u32.add %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        differences(a, b).into_iter().fold(c, |sum, x| sum.wrapping_add(x.into()))
    });
}

#[test]
fn carries_make_wider_numbers() {
    let join = "mov.b64 {%t1, %t2}, %a;\nmov.b64 {%t3, %t4}, %b;\n";
    check2(
        &format!(
            "{join}add.cc.u32 %t5, %t1, %t3;\naddc.u32 %t6, %t2, %t4;\nmov.b64 %d, {{%t5, %t6}};"
        ),
        |a: u64, b: u64| a.wrapping_add(b),
    );
    check2(
        &format!(
            "{join}sub.cc.u32 %t5, %t1, %t3;\nsubc.u32 %t6, %t2, %t4;\nmov.b64 %d, {{%t5, %t6}};"
        ),
        |a: u64, b: u64| a.wrapping_sub(b),
    );
    // The high words of a 64 × 64 bit product from 32-bit pieces.
    check2(
        &format!(
            "{join}mul.hi.u32 %t5, %t1, %t3;\nmad.lo.cc.u32 %t5, %t2, %t3, %t5;\n\
             madc.hi.u32 %t6, %t2, %t3, 0;\nmad.lo.cc.u32 %t5, %t1, %t4, %t5;\n\
             madc.hi.cc.u32 %t6, %t1, %t4, %t6;\naddc.u32 %t7, 0, 0;\n\
             mad.lo.cc.u32 %t6, %t2, %t4, %t6;\nmadc.hi.u32 %t7, %t2, %t4, %t7;\n\
             mov.b64 %d, {{%t6, %t7}};"
        ),
        |a: u64, b: u64| ((a as u128 * b as u128) >> 64) as u64,
    );
}
