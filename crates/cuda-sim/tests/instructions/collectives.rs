//! Warp collectives.

use super::support::{Machine, column, kernel, map};
use cuda_sim::exec::FaultKind;

/// `shfl` as the ISA's pseudo-code has it: the source lane, and whether it is in range.
fn source(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, mask) = (b & 31, c & 31, c >> 8 & 31);
    let max = lane & mask | clamp & !mask;
    let min = lane & mask;
    let (source, inside) = match mode {
        "up" => (lane as i32 - b as i32, lane as i32 - b as i32 >= max as i32),
        "down" => ((lane + b) as i32, lane + b <= max),
        "bfly" => ((lane ^ b) as i32, (lane ^ b) <= max),
        _ => ((min | b & !mask) as i32, (min | b & !mask) <= max),
    };
    if inside { (source as u32, true) } else { (lane, false) }
}

#[test]
fn shuffles() {
    let values: Vec<u32> = (0..32).map(|i| 1000 + 7 * i).collect();
    for mode in ["up", "down", "bfly", "idx"] {
        for b in [0, 1, 5, 16, 31] {
            // Whole warp, and segments of 8 and 16 lanes.
            for width in [32, 16, 8] {
                let clamp = if mode == "up" { 0 } else { 31 };
                let c = (32 - width) << 8 | clamp;
                let text = format!(
                    "shfl.sync.{mode}.b32 %t1|%p1, %a, {b}, {c}, -1;\nselp.u32 %t2, 10000, 0, %p1;\n\
                     add.u32 %d, %t1, %t2;"
                );
                // Two warps run; the second one shuffles zeros.
                let found: Vec<u32> = map(&text, &[column(&values)]);
                let expected: Vec<u32> = (0..32)
                    .map(|lane| {
                        let (source, inside) = source(mode, lane, b, c);
                        values[source as usize] + if inside { 10000 } else { 0 }
                    })
                    .collect();
                assert_eq!(found, expected, "{mode} {b} width {width}");
            }
        }
    }
}

#[test]
fn votes() {
    let ballot: Vec<u32> = map(
        "setp.gt.u32 %p1, %a, 5;\nvote.sync.ballot.b32 %d, %p1, -1;",
        &[column(&(0..32).collect::<Vec<u32>>())],
    );
    assert_eq!(ballot, [0xFFFF_FFC0; 32]);
    for (mode, input, expected) in [
        ("all", [1u32; 32], 1u32),
        ("any", [0; 32], 0),
        ("uni", [0; 32], 1),
        ("all", std::array::from_fn(|i| u32::from(i != 4)), 0),
        ("any", std::array::from_fn(|i| u32::from(i == 4)), 1),
        ("uni", std::array::from_fn(|i| u32::from(i == 4)), 0),
    ] {
        let text = format!(
            "setp.ne.u32 %p1, %a, 0;\nvote.sync.{mode}.pred %p2, %p1, -1;\nselp.u32 %d, 1, 0, %p2;"
        );
        assert_eq!(map::<u32>(&text, &[column(&input)]), [expected; 32], "{mode}");
    }
    let inverted: Vec<u32> =
        map("setp.ne.u32 %p1, %a, 0;\nvote.sync.ballot.b32 %d, !%p1, -1;", &[column(&[1u32; 32])]);
    assert_eq!(inverted, [0; 32]);
}

#[test]
fn matches() {
    let values: Vec<u32> = (0..32).map(|i| i % 3).collect();
    let found: Vec<u32> = map("match.any.sync.b32 %d, %a, -1;", &[column(&values)]);
    for (lane, mask) in found.into_iter().enumerate() {
        let expected = (0..32).filter(|i| i % 3 == lane % 3).fold(0, |mask, i| mask | 1u32 << i);
        assert_eq!(mask, expected);
    }
    let text =
        "match.all.sync.b64 %t1|%p1, %a, -1;\nselp.u32 %t2, 1, 0, %p1;\nadd.u32 %d, %t1, %t2;";
    assert_eq!(map::<u32>(text, &[column(&[7u64 << 40; 32])]), [0; 32]);
    let mut different = [7u64 << 40; 32];
    different[9] = 1;
    assert_eq!(map::<u32>(text, &[column(&different)]), [0; 32]);
    let same: Vec<u32> = map("match.all.sync.b32 %d|%p1, %a, -1;", &[column(&[3u32; 32])]);
    assert_eq!(same, [u32::MAX; 32]);
}

#[test]
fn reductions() {
    let values: Vec<i32> = (0..32).map(|i| (i * 37 % 32) - 16).collect();
    let bits: Vec<u32> = values.iter().map(|&x| x as u32).collect();
    for (op, expected) in [
        ("add.s32", values.iter().sum::<i32>() as u32),
        ("min.s32", *values.iter().min().unwrap() as u32),
        ("max.s32", *values.iter().max().unwrap() as u32),
        ("min.u32", *bits.iter().min().unwrap()),
        ("max.u32", *bits.iter().max().unwrap()),
        ("and.b32", bits.iter().fold(!0, |x, y| x & y)),
        ("or.b32", bits.iter().fold(0, |x, y| x | y)),
        ("xor.b32", bits.iter().fold(0, |x, y| x ^ y)),
    ] {
        let found: Vec<u32> = map(&format!("redux.sync.{op} %d, %a, -1;"), &[column(&bits)]);
        assert_eq!(found, [expected; 32], "{op}");
    }
}

#[test]
fn masks_of_part_of_a_warp() {
    // The lower half sums its own lanes while the upper half is elsewhere.
    let text = "mov.u32 %d, 0;\nmov.u32 %t1, %laneid;\nsetp.ge.u32 %p1, %t1, 16;\n@%p1 bra $L;\n\
                activemask.b32 %t2;\nredux.sync.add.u32 %d, %t1, 0xFFFF;\nadd.u32 %d, %d, %t2;\n$L:";
    let found: Vec<u32> = map(text, &[column(&[0u32; 32])]);
    assert_eq!(found[..16], [120 + 0xFFFF; 16]);
    assert_eq!(found[16..], [0; 16]);
    let elected: Vec<u32> = map(
        "elect.sync %t1|%p1, -1;\nselp.u32 %d, 1, 0, %p1;\nshl.b32 %t1, %t1, 4;\nadd.u32 %d, %d, %t1;",
        &[column(&[0u32; 32])],
    );
    assert_eq!(elected.iter().sum::<u32>(), 1);
    assert_eq!(elected[0], 1);
}

#[test]
fn absent_lanes_are_found() {
    let run =
        |body: &str, threads: u32| Machine::new(&kernel("", 0, body)).launch("k", 1, threads, &[]);
    let divergent = "mov.u32 %t1, %laneid;\nsetp.ge.u32 %p1, %t1, 16;\n@%p1 bra $L;\n\
                     shfl.sync.bfly.b32 %t2, %t1, 1, 31, -1;\n$L:";
    let fault = run(divergent, 32).unwrap_err();
    assert_eq!(fault.kind, FaultKind::BarrierDivergence);
    assert!(fault.report.contains("0x0000ffff execute it"), "{fault}");
    // A partial warp: lane 15 reads lane 16, which has no thread.
    let down = "mov.u32 %t1, %laneid;\nshfl.sync.down.b32 %t2, %t1, 1, 31, -1;";
    let fault = run(down, 16).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Uninitialized);
    assert!(fault.report.contains("lane 15 reads lane 16"), "{fault}");
    assert!(run(down, 32).is_ok());
}
