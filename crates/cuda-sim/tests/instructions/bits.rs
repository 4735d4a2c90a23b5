//! Logic, shifts and bit fields.

use super::support::{check_pairs, check1, check2, check3, column, map};

const SHIFTS: [u32; 8] = [0, 1, 5, 31, 32, 33, 64, u32::MAX];

#[test]
fn logic() {
    check2("and.b32 %d, %a, %b;", |a: u32, b: u32| a & b);
    check2("or.b64 %d, %a, %b;", |a: u64, b: u64| a | b);
    check2("xor.b16 %d, %a, %b;", |a: u16, b: u16| a ^ b);
    check1("not.b32 %d, %a;", |a: u32| !a);
    check1("cnot.b32 %d, %a;", |a: u32| u32::from(a == 0));
    for table in [0x00, 0x96, 0xE8, 0xCA, 0x1B, 0xFF] {
        check3(&format!("lop3.b32 %d, %a, %b, %c, {table};"), |a: u32, b: u32, c: u32| {
            (0..32).fold(0, |out, bit| {
                let index = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | c >> bit & 1;
                out | (table >> index & 1) << bit
            })
        });
    }
}

#[test]
fn predicate_logic() {
    for (op, f) in [
        ("and.pred %p3, %p1, %p2;", (|a, b| a && b) as fn(bool, bool) -> bool),
        ("or.pred %p3, %p1, %p2;", |a, b| a || b),
        ("xor.pred %p3, %p1, %p2;", |a, b| a != b),
        ("not.pred %p3, %p1;", |a, _| !a),
        ("mov.pred %p3, %p2;", |_, b| b),
        ("and.pred %p3, !%p1, %p2;", |a, b| !a && b),
    ] {
        let text = format!(
            "setp.ne.u32 %p1, %a, 0;\nsetp.ne.u32 %p2, %b, 0;\n{op}\nselp.u32 %d, 1, 0, %p3;"
        );
        check_pairs(&text, &[0u32, 1], &[0u32, 1], |a, b| u32::from(f(a != 0, b != 0)));
    }
}

#[test]
fn shifts_saturate() {
    let wide = |shift: u32| shift.min(127);
    check_pairs("shl.b32 %d, %a, %b;", &samples(), &SHIFTS, |a: u32, b| {
        (u128::from(a) << wide(b)) as u32
    });
    check_pairs("shr.u32 %d, %a, %b;", &samples(), &SHIFTS, |a: u32, b| {
        (u128::from(a) >> wide(b)) as u32
    });
    check_pairs("shr.s32 %d, %a, %b;", &samples(), &SHIFTS, |a: u32, b| {
        (i128::from(a as i32) >> wide(b)) as u32
    });
    let long: Vec<u64> =
        samples().iter().map(|&x| u64::from(x).wrapping_mul(0x1_0000_0003)).collect();
    check_pairs("shl.b64 %d, %a, %b;", &long, &SHIFTS, |a: u64, b| if b > 63 { 0 } else { a << b });
    check_pairs("shr.s64 %d, %a, %b;", &long, &SHIFTS, |a: u64, b| {
        (i128::from(a as i64) >> wide(b)) as u64
    });
    check_pairs("shr.u16 %d, %a, %b;", &[1u16, 0x8000, 0xFFFF], &SHIFTS, |a: u16, b| {
        (u128::from(a) >> wide(b)) as u16
    });
}

fn samples() -> Vec<u32> {
    vec![0, 1, 0x8000_0000, 0xDEAD_BEEF, u32::MAX, 0x1234_5678]
}

#[test]
fn funnel_shifts() {
    let joined = |a: u32, b: u32| u64::from(b) << 32 | u64::from(a);
    check3("shf.l.wrap.b32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        (joined(a, b) << (c % 32) >> 32) as u32
    });
    check3("shf.r.wrap.b32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        (joined(a, b) >> (c % 32)) as u32
    });
    check3("shf.r.clamp.b32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        (joined(a, b) >> c.min(32)) as u32
    });
    check3("shf.l.clamp.b32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        if c >= 32 { a } else { (joined(a, b) << c >> 32) as u32 }
    });
}

#[test]
fn counting_and_reversing() {
    check1("popc.b32 %d, %a;", |a: u32| a.count_ones());
    check1("popc.b64 %d, %a;", |a: u64| a.count_ones());
    check1("clz.b32 %d, %a;", |a: u32| a.leading_zeros());
    check1("clz.b64 %d, %a;", |a: u64| a.leading_zeros());
    check1("brev.b32 %d, %a;", |a: u32| a.reverse_bits());
    check1("brev.b64 %d, %a;", |a: u64| a.reverse_bits());
    check1("bfind.u32 %d, %a;", |a: u32| a.checked_ilog2().unwrap_or(u32::MAX));
    check1("bfind.s32 %d, %a;", |a: i32| {
        let magnitude = if a < 0 { !a } else { a } as u32;
        magnitude.checked_ilog2().unwrap_or(u32::MAX)
    });
    check1("bfind.shiftamt.u64 %d, %a;", |a: u64| a.checked_ilog2().map_or(u32::MAX, |n| 63 - n));
}

/// `bfe` as the ISA's pseudo-code has it, bit by bit.
fn extract(a: u64, position: u32, length: u32, signed: bool, bits: u32) -> u64 {
    let (position, length, top) = (position & 255, length & 255, bits - 1);
    let bit = |i: u32| if i > top { 0 } else { a >> i & 1 };
    let sign = if !signed || length == 0 { 0 } else { bit((position + length - 1).min(top)) };
    (0..bits).fold(0, |d, i| {
        let value = if i < length && position + i <= top { bit(position + i) } else { sign };
        d | value << i
    })
}

#[test]
fn bit_fields() {
    check3("bfe.u32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        extract(a.into(), b, c, false, 32) as u32
    });
    check3("bfe.s32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        extract(a.into(), b, c, true, 32) as u32
    });
    check3("bfe.s64 %d, %a, %b, %c;", |a: u64, b: u32, c: u32| extract(a, b, c, true, 64));
    for (position, length) in [(0, 8), (4, 28), (30, 9), (31, 1), (40, 3), (5, 0), (0, 32)] {
        let text = format!("bfi.b32 %d, %a, %b, {position}, {length};");
        check2(&text, |a: u32, b: u32| {
            (0..32).fold(0, |d, i: u32| {
                let inside = i >= position && i < position + length;
                let bit = if inside { a >> (i - position) & 1 } else { b >> i & 1 };
                d | bit << i
            })
        });
    }
    check2("bfi.b64 %d, %a, %b, 20, 33;", |a: u64, b: u64| {
        let mask = ((1u64 << 33) - 1) << 20;
        b & !mask | a << 20 & mask
    });
}

#[test]
fn byte_permutations() {
    check3("prmt.b32 %d, %a, %b, %c;", |a: u32, b: u32, c: u32| {
        let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
        let chosen = std::array::from_fn(|i| {
            let selector = c >> (4 * i) & 15;
            let byte = bytes[(selector & 7) as usize];
            if selector & 8 == 0 {
                byte
            } else if byte & 0x80 != 0 {
                0xFF
            } else {
                0
            }
        });
        u32::from_le_bytes(chosen)
    });
    let modes: [(&str, [u32; 4]); 6] = [
        ("f4e", [0x3210, 0x4321, 0x5432, 0x6543]),
        ("b4e", [0x5670, 0x6701, 0x7012, 0x0123]),
        ("rc8", [0x0000, 0x1111, 0x2222, 0x3333]),
        ("ecl", [0x3210, 0x3211, 0x3222, 0x3333]),
        ("ecr", [0x0000, 0x1110, 0x2210, 0x3210]),
        ("rc16", [0x1010, 0x3232, 0x1010, 0x3232]),
    ];
    for (mode, selectors) in modes {
        for (c, selector) in selectors.into_iter().enumerate() {
            let columns = || [column(&[0x3322_1100u32]), column(&[0x7766_5544u32])];
            let by_mode: Vec<u32> = map(&format!("prmt.b32.{mode} %d, %a, %b, {c};"), &columns());
            let by_selector: Vec<u32> =
                map(&format!("prmt.b32 %d, %a, %b, {selector};"), &columns());
            assert_eq!(by_mode, by_selector, "{mode} {c}");
        }
    }
}

#[test]
fn nth_set_bit() {
    let mask = 0b1011_0100u32;
    for (base, n, expected) in [
        (0, 1, 2),
        (0, 3, 5),
        (3, 1, 4),
        (5, -2, 4),
        (4, 0, 4),
        (3, 0, u32::MAX),
        (0, 5, u32::MAX),
        (31, -1, 7),
    ] {
        let text = format!("fns.b32 %d, %a, {base}, {n};");
        assert_eq!(map::<u32>(&text, &[column(&[mask])]), [expected], "{base} {n}");
    }
}
