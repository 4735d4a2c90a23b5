//! Asynchronous copies to shared memory.

use super::support::{Machine, kernel};
use cuda_sim::exec::FaultKind;

/// Copies 16 bytes a thread in two groups, waits as told, and reads the neighbor's.
fn copy(wait: &str) -> Result<Vec<u32>, FaultKind> {
    let body = format!(
        ".shared .align 16 .b8 s[1024];\nmov.u32 %t1, s;\nshl.b32 %t2, %tid_, 4;\n\
         add.u32 %t2, %t2, %t1;\nshl.b64 %w0, %i, 4;\nadd.u64 %w0, %w0, %arg1;\n\
         cp.async.cg.shared.global [%t2], [%w0], 16;\ncp.async.commit_group;\n\
         cp.async.ca.shared.global [%t2+512], [%w0], 8, 4;\ncp.async.commit_group;\n{wait}\n\
         bar.sync 0;\nxor.b32 %t3, %tid_, 1;\nshl.b32 %t3, %t3, 4;\nadd.u32 %t3, %t3, %t1;\n\
         ld.shared.u32 %t4, [%t3+4];\nld.shared.v2.u32 {{%t5, %t6}}, [%t3+512];\n\
         add.u32 %t4, %t4, %t5;\nadd.u32 %t4, %t4, %t6;\n\
         mad.lo.u64 %w1, %i, 4, %arg0;\nst.global.u32 [%w1], %t4;"
    );
    let machine = Machine::new(&kernel("", 2, &body));
    let input: Vec<u32> = (0..128).collect();
    let out = machine.upload(&[0u32; 32]);
    let counters =
        machine.launch("k", 1, 32, &[out, machine.upload(&input)]).map_err(|fault| fault.kind)?;
    assert_eq!(counters.async_copy_bytes, 32 * 24);
    Ok(machine.download(out, 32))
}

#[test]
fn groups_are_waited_for() {
    // Word 1 of the neighbor, plus its word 0 from the copy of 4 bytes padded with zeros.
    let expected: Vec<u32> = (0..32u32).map(|i| 4 * (i ^ 1) + 1 + 4 * (i ^ 1)).collect();
    assert_eq!(copy("cp.async.wait_group 0;"), Ok(expected.clone()));
    assert_eq!(copy("cp.async.wait_all;"), Ok(expected));
    // The second group is still under way.
    assert_eq!(copy("cp.async.wait_group 1;"), Err(FaultKind::Uninitialized));
    assert_eq!(copy(""), Err(FaultKind::Uninitialized));
}

/// Thread 32 does `copy` (to `%t1`, the address of 1024 bytes; from `%arg0`, 64 bytes), after
/// thread 0 has read the first word of the destination and all have done `between`; `after` follows
/// a barrier.
fn copy_after_read(between: &str, copy: &str, after: &str) -> Result<(), FaultKind> {
    let body = format!(
        ".shared .align 16 .b8 s[1024];\nmov.u32 %t1, s;\nsetp.eq.u32 %p1, %tid_, 0;\n\
         @%p1 st.shared.u32 [%t1], 1;\n@%p1 ld.shared.u32 %t2, [%t1];\n{between}\n\
         setp.eq.u32 %p2, %tid_, 32;\n@%p2 {copy};\nbar.sync 0;\n{after}"
    );
    let machine = Machine::new(&kernel("", 1, &body));
    let input = machine.upload(&[3u32; 16]);
    machine.launch("k", 1, 64, &[input]).map(drop).map_err(|fault| fault.kind)
}

#[test]
fn a_copy_races_with_reads_before_it_is_issued() {
    let copy = "cp.async.ca.shared.global [%t1], [%arg0], 4";
    let wait = "cp.async.wait_all;";
    assert_eq!(copy_after_read("bar.sync 0;", copy, wait), Ok(()));
    // The barrier before the wait comes too late: the copy may be done before it.
    assert_eq!(copy_after_read("", copy, wait), Err(FaultKind::Race));
}

#[test]
fn copies_are_checked_when_they_are_issued() {
    // Nobody waits for them.
    let run = |copy: &str| copy_after_read("bar.sync 0;", copy, "");
    assert_eq!(run("cp.async.ca.shared.global [%t1+1016], [%arg0], 8"), Ok(()));
    let outside = run("cp.async.ca.shared.global [%t1+1024], [%arg0], 8");
    assert_eq!(outside, Err(FaultKind::OutOfBounds));
    let misaligned = Err(FaultKind::MisalignedAddress);
    assert_eq!(run("cp.async.ca.shared.global [%t1+4], [%arg0], 8"), misaligned);
    // The source is aligned as for all 16 bytes, however few are read.
    assert_eq!(run("cp.async.cg.shared.global [%t1], [%arg0+16], 16, 4"), Ok(()));
    assert_eq!(run("cp.async.cg.shared.global [%t1], [%arg0+4], 16, 4"), misaligned);
    assert_eq!(run("cp.async.cg.shared.global [%t1], [%arg0+4], 16, 0"), Ok(()));
}
