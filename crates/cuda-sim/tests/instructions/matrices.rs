//! Matrix multiply-accumulate, with the fragment layouts of the PTX ISA.

use super::support::{Machine, Value, kernel};

/// Row and column of a lane's element.
type Place = fn(usize, usize) -> (usize, usize);

/// Loads fragments from arrays of 32 × elements, multiplies, and stores the result likewise.
#[track_caller]
fn check<T: Value, C: Value>(
    instruction: &str,
    [m, n, k]: [usize; 3],
    per_register: usize,
    places: [Place; 3],
    encode: fn(i32) -> u64,
    decode: fn(C) -> f64,
    accumulator: fn(i32) -> C,
) {
    let counts = [m * k / 32 / per_register, k * n / 32 / per_register, m * n / 32];
    let (register, accumulated) = (T::REGISTER, C::REGISTER);
    let mut body = format!(".reg .{register} %a<8>, %b<8>;\n.reg .{accumulated} %c<8>, %e<8>;\n");
    let names = ["a", "b", "c"];
    for (which, name) in names.iter().enumerate() {
        let (ty, size) =
            if which == 2 { (accumulated, size_of::<C>()) } else { (register, size_of::<T>()) };
        for i in 0..counts[which] {
            body += &format!(
                "mad.lo.u64 %w0, %i, {}, %arg{which};\nld.global.{ty} %{name}{i}, [%w0+{}];\n",
                counts[which] * size,
                i * size
            );
        }
    }
    let list = |name: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("%{name}{i}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    body += &format!(
        "{instruction} {}, {}, {}, {};\n",
        list("e", counts[2]),
        list("a", counts[0]),
        list("b", counts[1]),
        list("c", counts[2])
    );
    for i in 0..counts[2] {
        body += &format!(
            "mad.lo.u64 %w0, %i, {}, %arg3;\nst.global.{accumulated} [%w0+{}], %e{i};\n",
            counts[2] * size_of::<C>(),
            i * size_of::<C>()
        );
    }
    // Small integers: exact in every type.
    let value = |which: usize, row: usize, column: usize| {
        ((row * 5 + column * 3 + which * 7) % 9) as i32 - 4
    };
    let fragment = |which: usize, count: usize| -> Vec<u64> {
        (0..32)
            .flat_map(|lane| {
                (0..count).map(move |i| {
                    (0..per_register).fold(0, |bits, part| {
                        let (row, column) = places[which](lane, i * per_register + part);
                        bits | encode(value(which, row, column)) << (16 * part)
                    })
                })
            })
            .collect()
    };
    let machine = Machine::new(&kernel("", 4, &body));
    let upload = |which: usize| {
        let words: Vec<T> = fragment(which, counts[which])
            .into_iter()
            .map(|bits| T::read(&bits.to_le_bytes()[..size_of::<T>()]))
            .collect();
        machine.upload(&words)
    };
    let c: Vec<C> = (0..32)
        .flat_map(|lane| (0..counts[2]).map(move |i| places[2](lane, i)))
        .map(|(row, column)| accumulator(value(2, row, column)))
        .collect();
    let out = machine.upload(&vec![accumulator(0); 32 * counts[2]]);
    let params = [upload(0), upload(1), machine.upload(&c), out];
    let counters = machine.launch("k", 1, 32, &params).unwrap();
    let found = machine.download::<C>(out, 32 * counts[2]);
    for lane in 0..32 {
        for i in 0..counts[2] {
            let (row, column) = places[2](lane, i);
            let expected: i32 = value(2, row, column)
                + (0..k).map(|j| value(0, row, j) * value(1, j, column)).sum::<i32>();
            let found = decode(found[lane * counts[2] + i]);
            assert_eq!(found, f64::from(expected), "{instruction} lane {lane} element {i}");
        }
    }
    let flops = counters.matrix_f64_flops + counters.matrix_other_flops;
    assert_eq!(flops, (2 * m * n * k) as u64);
}

const C_PLACE: Place = |lane, i| (lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2);

#[test]
fn f64() {
    check::<f64, f64>(
        "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
        [8, 8, 4],
        1,
        [|lane, _| (lane / 4, lane % 4), |lane, _| (lane % 4, lane / 4), C_PLACE],
        |x| f64::from(x).to_bits(),
        |x| x,
        f64::from,
    );
}

#[test]
fn tf32() {
    check::<u32, f32>(
        "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32",
        [16, 8, 4],
        1,
        [|lane, i| (lane / 4 + 8 * i, lane % 4), |lane, _| (lane % 4, lane / 4), C_PLACE],
        |x| (x as f32).to_bits().into(),
        f64::from,
        |x| x as f32,
    );
    check::<u32, f32>(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        [16, 8, 8],
        1,
        [
            |lane, i| (lane / 4 + 8 * (i & 1), lane % 4 + 4 * (i >> 1)),
            |lane, i| (lane % 4 + 4 * i, lane / 4),
            C_PLACE,
        ],
        |x| (x as f32).to_bits().into(),
        f64::from,
        |x| x as f32,
    );
}

#[test]
fn f16_and_bf16() {
    let a: Place = |lane, i| {
        (
            lane / 4 + if i & 2 != 0 { 8 } else { 0 },
            lane % 4 * 2 + (i & 1) + if i >= 4 { 8 } else { 0 },
        )
    };
    let b: Place = |lane, i| (lane % 4 * 2 + (i & 1) + if i >= 2 { 8 } else { 0 }, lane / 4);
    let half = |x: i32| {
        let sign = if x < 0 { 0x8000 } else { 0 };
        sign | [0x0000, 0x3C00, 0x4000, 0x4200, 0x4400][x.unsigned_abs() as usize]
    };
    check::<u32, f32>(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
        [16, 8, 16],
        2,
        [a, b, C_PLACE],
        half,
        f64::from,
        |x| x as f32,
    );
    check::<u32, f32>(
        "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32",
        [16, 8, 8],
        2,
        [a, b, C_PLACE],
        |x| u64::from((x as f32).to_bits() >> 16),
        f64::from,
        |x| x as f32,
    );
}
