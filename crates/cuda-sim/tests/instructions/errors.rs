//! What a module load refuses, and with which line.

use super::support::{HEADER, Machine, kernel};
use cuda_sim::device::Device;
use cuda_sim::exec::{FaultKind, LaunchConfig, launch};
use cuda_sim::memory::DeviceMemory;
use cuda_sim::ptx::Module;

/// The error for one wrong line in a kernel.
fn error(line: &str) -> String {
    let ptx = format!(
        "{HEADER}.visible .entry k()\n{{\n.reg .b32 %r<4>;\n.reg .b64 %d<4>;\n.reg .f32 %f<4>;\n\
         .reg .pred %p<2>;\n{line}\nret;\n}}\n"
    );
    let error = Module::parse(&ptx).unwrap_err();
    // Three lines of header, the entry, the brace and four declarations come first.
    assert_eq!(error.line, 10, "{error}");
    error.message
}

#[test]
fn unknown_instructions_fail_with_their_line() {
    for line in [
        "frobnicate.u32 %r0, %r1;",
        "add.rz.u32 %r0, %r1, %r2;",
        "add.bogus.f32 %f0, %f1, %f2;",
        "mul.u32 %r0, %r1, %r2;",
        "shfl.idx.b32 %r0, %r1, 0, 31;",
        "match.any.sync.u32 %r0, %r1, -1;",
        "match.any.sync.b16 %r0, %r1, -1;",
        "setp.foo.s32 %p0, %r0, %r1;",
        "tex.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [t, {%f0, %f1}];",
        "wgmma.fence.sync.aligned;",
    ] {
        let message = error(line);
        assert!(
            ["unknown instruction", "expected", "no type"].iter().any(|w| message.contains(w)),
            "{line}: {message}"
        );
    }
}

#[test]
fn wrong_operands_fail_with_their_line() {
    for (line, words) in [
        ("add.u32 %r0, %r1, %d2;", "64 bits instead of 32"),
        ("add.u32 %d0, %r1, %r2;", "64 bits instead of 32"),
        ("add.u32 %r0, %r1;", "takes 3 operands"),
        ("add.u32 %r0, %r1, %r9;", "unknown name '%r9'"),
        ("ld.global.u32 %r0, %d0;", "not an address"),
        ("ld.global.v4.f64 {%d0, %d1, %d2, %d3}, [%d0];", "16 bytes"),
        ("bra $nowhere;", "unknown label"),
        ("@%r0 bra $nowhere;", "not a predicate"),
        ("mov.u32 %r0, nothing;", "unknown name"),
        ("call.uni nothing;", "has no body"),
    ] {
        let message = error(line);
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn launches_out_of_bounds_are_refused() {
    let memory = DeviceMemory::new(1 << 20);
    let ptx =
        kernel("", 0, ".shared .b8 s[1024];\nmov.u32 %t1, s;").replace("k()", "k()\n.maxntid 256");
    let module = Module::parse(&ptx).unwrap().load(&memory).unwrap();
    let device = Device::a100();
    let run = |grid, block, dynamic_shared| {
        let config = LaunchConfig { grid, block, dynamic_shared };
        launch(&module, module.kernel("k").unwrap(), config, &[], &memory, &device)
    };
    assert!(run([1; 3], [256, 1, 1], 0).is_ok());
    assert!(run([1; 3], [1; 3], device.shared_per_block_optin - 1024).is_ok());
    for (grid, block, dynamic) in [
        ([1, 1, 1], [257, 1, 1], 0),
        ([1, 1, 1], [32, 32, 2], 0),
        ([0, 1, 1], [32, 1, 1], 0),
        ([1, 65536, 1], [32, 1, 1], 0),
        ([1, 1, 1], [1, 1, 65], 0),
        ([1, 1, 1], [1, 1, 1], device.shared_per_block_optin - 1023),
    ] {
        let fault = run(grid, block, dynamic).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidConfiguration, "{grid:?} {block:?}");
    }
    // A device has such a grid, the simulator does not.
    for grid in [[(1 << 22) + 1, 1, 1], [i32::MAX as u32, 65535, 65535]] {
        let fault = run(grid, [1; 3], 0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported, "{grid:?}");
        assert!(fault.report.contains("this simulator has 4194304"), "{fault}");
    }
}

#[test]
fn hints_do_nothing() {
    let body = "prefetch.global.L2 [%arg0];\nnanosleep.u32 20;\nmembar.cta;\n\
                ld.global.L1::evict_last.L2::128B.u32 %t1, [%arg0];\nst.global.cs.u32 [%arg0], %t1;";
    let machine = Machine::new(&kernel("", 1, body));
    let data = machine.upload(&[3u32]);
    machine.launch("k", 1, 1, &[data]).unwrap();
    assert_eq!(machine.download::<u32>(data, 1), [3]);
}

/// Malformed text is an error, never a panic: pieces are dropped, doubled and swapped.
#[test]
fn mutilated_text_does_not_panic() {
    let text = super::control::calls();
    let pieces: Vec<&str> =
        text.split_inclusive([' ', '\n', ',', ';', '[', ']', '{', '}']).collect();
    let mut state = 1u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    let mut accepted = 0;
    for _ in 0..3000 {
        let mut mutilated = pieces.clone();
        for _ in 0..=random(3) {
            let (i, j) = (random(mutilated.len()), random(mutilated.len()));
            match random(3) {
                0 => drop(mutilated.remove(i)),
                1 => mutilated.insert(i, pieces[j]),
                _ => mutilated.swap(i, j),
            }
        }
        accepted += u32::from(Module::parse(&mutilated.concat()).is_ok());
    }
    assert!(accepted > 0 && accepted < 3000, "{accepted}");
}

/// Sizes that 32 bits do not hold, and text that nests without end, are errors as well.
#[test]
fn excessive_text_does_not_panic() {
    let message = |ptx: &str| Module::parse(ptx).unwrap_err().message;
    let shared: String =
        (0..5).map(|i| format!(".shared .b8 s{i}[{}];\nmov.u32 %t1, s{i};\n", 1 << 30)).collect();
    assert!(message(&kernel("", 0, &shared)).contains("shared memory"));

    // Each function takes 512 KiB of local memory, all together more than 4 GiB.
    let functions: String = (0..8192)
        .map(|i| format!(".func f{i}()\n{{\n.local .b8 l[{}];\nret;\n}}\n", 512 << 10))
        .collect();
    let calls: String = (0..8192).map(|i| format!("call.uni f{i};\n")).collect();
    let ptx = format!("{HEADER}{functions}.visible .entry k()\n{{\n{calls}ret;\n}}\n");
    assert!(message(&ptx).contains("local memory"));

    // Every function calls the one before it.
    let chain: String =
        (1..20000).map(|i| format!(".func f{i}()\n{{\ncall.uni f{};\nret;\n}}\n", i - 1)).collect();
    let ptx = format!(
        "{HEADER}.func f0()\n{{\nret;\n}}\n{chain}\
         .visible .entry k()\n{{\ncall.uni f19999;\nret;\n}}\n"
    );
    assert!(message(&ptx).contains("nest"));

    for opening in ["-", "{", "("] {
        let nested = opening.repeat(200_000);
        let words = if opening == "-" { "can be negated" } else { "a list in a list" };
        let found = message(&kernel("", 0, &format!("mov.u32 %t1, {nested};")));
        assert!(found.contains(words), "{opening}: {found}");
        let found = message(&format!("{HEADER}.global .u32 v[2] = {nested};\n"));
        assert!(found.contains("is expected here"), "{opening}: {found}");
    }
    let braces = format!("{}7, 8{}", "{".repeat(200_000), "}".repeat(200_000));
    assert!(Module::parse(&format!("{HEADER}.global .u32 v[2] = {braces};\n")).is_ok());
}
