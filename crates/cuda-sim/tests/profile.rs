//! The executions of the lines of a kernel's PTX.

mod support;

use std::collections::BTreeMap;

use cudarc::{
    driver::{LaunchConfig, PushKernelArg},
    nvrtc::Ptx,
};
use support::{context, simulator};

/// Warp w of a block goes through the loop 3·w + 1 times; the last line of the loop is for the
/// first lane alone, and what follows the jump to the end never runs.
const LOOPS: &str = "\
.version 8.0
.target sm_80
.address_size 64
.visible .entry loops(.param .u64 out)
{
    .reg .u64 %rd<2>;
    .reg .u32 %r<4>;
    .reg .pred %p<3>;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    shr.u32 %r2, %r1, 5;
    mul.lo.u32 %r2, %r2, 3;
    and.b32 %r3, %r1, 31;
    setp.eq.u32 %p1, %r3, 0;
LOOP:
    @%p1 red.global.add.u32 [%rd1], 1;
    setp.eq.u32 %p2, %r2, 0;
    @%p2 bra END;
    sub.u32 %r2, %r2, 1;
    bra LOOP;
    trap;
END:
    ret;
}
";

#[test]
fn a_line_counts_as_often_as_the_warp_runs_it_that_runs_it_most() {
    let stream = context().new_stream().unwrap();
    let module = stream.context().load_module(Ptx::from_src(LOOPS)).unwrap();
    let loops = module.load_function("loops").unwrap();
    let mut out = stream.alloc_zeros::<u32>(1).unwrap();
    let mut run = |blocks: u32| {
        let config =
            LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (96, 1, 1), shared_mem_bytes: 0 };
        let mut launch = stream.launch_builder(&loops);
        launch.arg(&mut out);
        // SAFETY: the kernel adds to one number.
        unsafe { launch.launch(config) }.unwrap();
        simulator().profile("loops").unwrap()
    };
    let line = |part: &str| 1 + LOOPS.lines().position(|line| line.contains(part)).unwrap() as u32;
    // In a block of three warps, the last goes round seven times and jumps back six times.
    let expected = |blocks: u64| -> BTreeMap<u32, u64> {
        let once = ["ld.param", "mov.u32", "shr.u32", "mul.lo", "and.b32", "%p1, %r3", "ret;"];
        let each_round = ["red.global", "%p2, %r2", "bra END"];
        let between = ["sub.u32", "bra LOOP"];
        let of = |parts: &[&str], count: u64| {
            parts.iter().map(|part| (line(part), count * blocks)).collect::<Vec<_>>()
        };
        [of(&once, 1), of(&each_round, 7), of(&between, 6)].concat().into_iter().collect()
    };
    assert_eq!(run(2), expected(2));
    // Launches add up.
    assert_eq!(run(3), expected(5));
    assert_eq!(stream.clone_dtoh(&out).unwrap(), [5 * (1 + 4 + 7)]);
    assert!(simulator().profile("no_such_kernel").unwrap().is_empty());

    simulator().clear_records().unwrap();
    assert!(simulator().profile("loops").unwrap().is_empty());
}
