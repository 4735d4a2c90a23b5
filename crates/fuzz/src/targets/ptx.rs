//! PTX text for the simulated driver: parsed, loaded, launched.
//!
//! Whatever the text, it is refused with its line, or its kernels run to their end or to a fault
//! that is reported, within the watchdog's number of instructions, with the same result in every run.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use cuda_sim::device::Device;
use cuda_sim::exec::{LaunchConfig, launch};
use cuda_sim::memory::DeviceMemory;
use cuda_sim::ptx::{Kernel, Module};

use super::{Outcome, Target, ensure};
use crate::entropy::chance;

pub const TARGET: Target = Target {
    name: "ptx",
    generate,
    run,
    samples: &[
        include_bytes!("../../samples/calls.ptx"),
        include_bytes!("../../samples/divergence.ptx"),
        include_bytes!("../../samples/histogram.ptx"),
        include_bytes!("../../samples/reduction.ptx"),
        include_bytes!("../../samples/scan.ptx"),
        include_bytes!("../../samples/variables.ptx"),
    ],
    words: &[
        ".reg .b32 %r9;",
        ".shared .align 8 .b8 s[4294967295];",
        ".local .b8 l[1073741824];",
        ".global .u32 v[2] = {1, 2};",
        ".entry k()",
        ".func f()",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ";",
        ",",
        "-",
        "0x",
        "0f7F800000",
        "0d7FF0000000000000",
        "@%p1",
        "bra.uni",
        "bar.sync 0;",
        ".u64",
        ".pred",
        ".v4",
        ".maxntid 1",
        "ret;",
        "exit;",
        "//",
        "/*",
        "\"",
        ".align 3",
        ".param .b64 p;",
        "call.uni f, ();",
        "%tid.x",
        "%laneid",
        ".version",
        ".extern",
    ],
    tested: 4000,
};

/// Instructions, in which `#` and a letter stand for an operand: `#T` a register of 32 bits, `#W` of
/// 64, `#H` of 16, `#F` of f32, `#G` of f64, `#P` a predicate, `#I` a number, `#A` an address,
/// `#L` a label.
const INSTRUCTIONS: [&str; 84] = [
    "add.s32 #T, #T, #I",
    "add.cc.u32 #T, #T, #T",
    "addc.u32 #T, #T, #T",
    "sub.u64 #W, #W, #I",
    "mul.lo.s32 #T, #T, #I",
    "mul.hi.u64 #W, #W, #W",
    "mul.wide.u32 #W, #T, #T",
    "mad.lo.s64 #W, #W, #W, #W",
    "div.s32 #T, #T, #I",
    "rem.s64 #W, #W, #W",
    "div.u16 #H, #H, #H",
    "abs.s64 #W, #W",
    "neg.s32 #T, #T",
    "min.s32 #T, #T, #I",
    "max.u64 #W, #W, #W",
    "popc.b64 #T, #W",
    "clz.b32 #T, #T",
    "bfind.shiftamt.u64 #T, #W",
    "fns.b32 #T, #T, #T, #T",
    "brev.b64 #W, #W",
    "bfe.s32 #T, #T, #I, #I",
    "bfi.b64 #W, #W, #W, #T, #T",
    "shl.b32 #T, #T, #I",
    "shr.s64 #W, #W, #T",
    "shf.l.wrap.b32 #T, #T, #T, #T",
    "prmt.b32.rc16 #T, #T, #T, #T",
    "lop3.b32 #T, #T, #T, #T, #I",
    "bmsk.clamp.b32 #T, #T, #T",
    "szext.wrap.s32 #T, #T, #T",
    "dp4a.s32.u32 #T, #T, #T, #T",
    "sad.s32 #T, #T, #T, #T",
    "and.pred #P, #P, #P",
    "xor.b16 #H, #H, #H",
    "not.b64 #W, #W",
    "cnot.b32 #T, #T",
    "add.rn.f32 #F, #F, #F",
    "fma.rz.f64 #G, #G, #G, #G",
    "div.rn.f64 #G, #G, #G",
    "div.approx.ftz.f32 #F, #F, #F",
    "sqrt.rp.f64 #G, #G",
    "rcp.rm.f32 #F, #F",
    "ex2.approx.f32 #F, #F",
    "lg2.approx.f32 #F, #F",
    "sin.approx.f32 #F, #F",
    "min.nan.f32 #F, #F, #F",
    "copysign.f64 #G, #G, #G",
    "testp.subnormal.f64 #P, #G",
    "cvt.rzi.s32.f64 #T, #G",
    "cvt.rn.f32.u64 #F, #W",
    "cvt.sat.s16.s32 #H, #T",
    "cvt.rpi.f64.f64 #G, #G",
    "cvt.rn.f16.f32 #H, #F",
    "cvt.s64.s32 #W, #T",
    "fma.rn.f16x2 #T, #T, #T, #T",
    "setp.lt.and.s32 #P|#P, #T, #I, #P",
    "setp.nan.f64 #P, #G, #G",
    "set.gt.u32.f32 #T, #F, #F",
    "selp.b64 #W, #W, #W, #P",
    "slct.s32.f32 #T, #T, #T, #F",
    "mov.u32 #T, %tid.x",
    "mov.u64 #W, #I",
    "mov.b64 {#T, #T}, #W",
    "mov.b64 #W, {#T, #T}",
    "ld.global.u32 #T, [#A]",
    "ld.global.v2.f64 {#G, #G}, [#A]",
    "st.global.u8 [#A], #T",
    "st.global.v4.u32 [#A], {#T, #T, #T, #T}",
    "ld.volatile.global.u64 #W, [#A]",
    "ld.shared.u32 #T, [shared + #I]",
    "st.shared.u64 [shared], #W",
    "atom.global.add.u32 #T, [#A], #T",
    "red.global.add.f64 [#A], #G",
    "atom.global.cas.b64 #W, [#A], #W, #W",
    "shfl.sync.bfly.b32 #T|#P, #T, #I, #I, #I",
    "vote.sync.ballot.b32 #T, #P, #I",
    "match.any.sync.b32 #T, #T, -1",
    "redux.sync.add.s32 #T, #T, -1",
    "activemask.b32 #T",
    "bar.sync #I",
    "bar.red.popc.u32 #T, 0, #P",
    "barrier.sync.aligned 1, 32",
    "@#P bra #L",
    "bra.uni #L",
    "@!#P exit",
];

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let mut text = String::from(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u32 \
         b)\n{\n.reg .b32 %t<8>;\n.reg .b64 %w<8>;\n.reg .b16 %h<8>;\n.reg .f32 %f<8>;\n\
         .reg .f64 %g<8>;\n.reg .pred %p<8>;\n.shared .align 16 .b8 shared[64];\n\
         ld.param.u64 %w0, [a];\nld.param.u32 %t1, [b];\nmov.u32 %t0, %tid.x;\n\
         mul.wide.u32 %w1, %t0, 16;\nadd.u64 %w1, %w0, %w1;\n",
    );
    for line in 0..u.int_in_range(1..=24)? {
        if line % 6 == 0 {
            text += &format!("L{}:\n", line / 6);
        }
        let mut parts = u.choose(&INSTRUCTIONS)?.split('#');
        text += parts.next().unwrap_or_default();
        for part in parts {
            let (kind, rest) = part.split_at(1);
            text += &operand(u, kind)?;
            text += rest;
        }
        text += ";\n";
    }
    Ok((text + "L4:\nret;\n}\n").into_bytes())
}

fn operand(u: &mut Unstructured<'_>, kind: &str) -> Choice<String> {
    let kind = if chance(u, 1, 100)? { *u.choose(&["T", "W", "H", "F", "P", "I"])? } else { kind };
    let register = u.int_in_range(0..=7)?;
    Ok(match kind {
        "I" => match chance(u, 1, 4)? {
            true => u.arbitrary::<i64>()?.to_string(),
            false => u.int_in_range(-2..=40)?.to_string(),
        },
        "A" => {
            let offset = if chance(u, 1, 16)? { u.arbitrary::<i32>()? } else { 8 * register };
            format!("%w{} + {offset}", register % 2)
        }
        "L" => format!("L{}", register % 5),
        _ => format!("%{}{register}", kind.to_lowercase()),
    })
}

/// The most instructions of a warp.
const WATCHDOG: u64 = 20_000;
/// Device memory, in bytes.
const MEMORY: u64 = 64 << 20;

/// Accepted is a text with a kernel that runs to its end.
fn run(input: &[u8], _: &Path) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let kernels = match Module::parse(&text) {
        Ok(module) => module.kernels().len(),
        Err(error) => {
            let lines = text.lines().count() as u32 + 1;
            ensure(error.line <= lines && !error.message.is_empty(), || {
                format!("an error on line {} of {lines}: {}", error.line, error.message)
            })?;
            return Ok(false);
        }
    };
    let mut ended = false;
    for kernel in 0..kernels.min(4) {
        for threads in [1, 40] {
            let first = outcome(&text, kernel, threads);
            ended |= first.is_ok();
            // Which of several faults is reported may depend on the host's threads.
            let again = outcome(&text, kernel, threads);
            ensure(first.as_ref().ok() == again.as_ref().ok(), || {
                format!("two runs differ: {:?}, {:?}", first.err(), again.err())
            })?;
        }
    }
    Ok(ended)
}

/// Returns what a launch leaves in memory, or its fault.
fn outcome(text: &str, kernel: usize, threads: u32) -> Result<Vec<u8>, String> {
    let memory = DeviceMemory::new(MEMORY);
    let array = memory.allocate(4096).expect("there is memory");
    memory.fill(array, &[1], 4096).expect("it is allocated");
    let module = Module::parse(text).map_err(|error| error.to_string())?;
    let module = module.load(&memory).map_err(|error| error.to_string())?;
    let kernel = &module.kernels()[kernel];
    let config = LaunchConfig { grid: [2, 1, 1], block: [threads, 1, 1], dynamic_shared: 256 };
    let device = Device { watchdog_instructions: WATCHDOG, ..Device::a100() };
    launch(&module, kernel, config, &parameters(kernel, array), &memory, &device)
        .map_err(|fault| fault.to_string())?;
    let mut bytes = vec![0; 4096];
    memory.read(array, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Returns parameters of a kernel: the array where there is room for an address, else a small number.
fn parameters(kernel: &Kernel, array: u64) -> Vec<u8> {
    let mut bytes = vec![0; kernel.param_bytes];
    for parameter in &kernel.params {
        let value = if parameter.size >= 8 { array } else { 16 };
        let size = parameter.size.min(8);
        bytes[parameter.offset..][..size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    bytes
}
