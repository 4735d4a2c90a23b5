//! Barriers and what they order.

use super::support::{Machine, kernel};
use cuda_sim::exec::FaultKind;

#[test]
fn reductions_over_the_block() {
    let body = "setp.lt.u32 %p1, %tid_, 40;\nbar.red.popc.u32 %t1, 0, %p1;\n\
        bar.red.and.pred %p2, 0, %p1;\nbarrier.red.or.pred %p3, 1, !%p1;\n\
        selp.u32 %t2, 1000, 0, %p2;\nselp.u32 %t3, 10000, 0, %p3;\nadd.u32 %t1, %t1, %t2;\n\
        add.u32 %t1, %t1, %t3;\nmad.lo.u64 %w0, %i, 4, %arg0;\nst.global.u32 [%w0], %t1;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 80]);
    machine.launch("k", 1, 80, &[out]).unwrap();
    assert_eq!(machine.download::<u32>(out, 80), [10040; 80]);
}

/// Producer warps write shared memory, consumer warps read it.
fn producer_consumer(producer: &str, consumer: &str) -> Result<Vec<u32>, FaultKind> {
    let body = format!(
        ".shared .align 4 .b8 buffer[128];\nmov.u32 %t1, %laneid;\nshl.b32 %t2, %t1, 2;\n\
         mov.u32 %t3, buffer;\nadd.u32 %t2, %t2, %t3;\nsetp.ge.u32 %p1, %tid_, 32;\n\
         @%p1 bra $consumer;\nst.shared.u32 [%t2], %t1;\n{producer}\nbra $end;\n$consumer:\n\
         {consumer}\nld.shared.u32 %t4, [%t2];\nmad.lo.u64 %w0, %i, 4, %arg0;\n\
         st.global.u32 [%w0+-128], %t4;\n$end:"
    );
    let machine = Machine::new(&kernel("", 1, &body));
    let out = machine.upload(&[99u32; 32]);
    machine.launch("k", 1, 64, &[out]).map_err(|fault| fault.kind)?;
    Ok(machine.download(out, 32))
}

#[test]
fn arrive_and_sync_order_producer_and_consumer() {
    let expected: Vec<u32> = (0..32).collect();
    let found = producer_consumer("bar.arrive 3, 64;", "bar.sync 3, 64;");
    assert_eq!(found, Ok(expected.clone()));
    assert_eq!(producer_consumer("bar.sync 2, 64;", "bar.sync 2, 64;"), Ok(expected));
    // Without the barrier they race.
    assert_eq!(producer_consumer("", ""), Err(FaultKind::Race));
    // The consumer waits for ever.
    assert_eq!(producer_consumer("", "bar.sync 3, 64;"), Err(FaultKind::BarrierDivergence));
}

#[test]
fn what_an_arriving_warp_knows_is_passed_on() {
    // Warp 1 writes, tells warp 0, which tells warp 2 without waiting.
    let run = |first: &str| {
        let body = format!(
            ".shared .align 4 .u32 s;\nmov.u32 %t1, s;\nsetp.ge.u32 %p2, %tid_, 64;\n\
             @%p2 bra $reader;\nsetp.eq.u32 %p1, %tid_, 32;\n@%p1 st.shared.u32 [%t1], 1;\n\
             {first}\nsetp.ge.u32 %p3, %tid_, 32;\n@%p3 bra $end;\nbar.arrive 2, 64;\n\
             bra $end;\n$reader:\nbar.sync 2, 64;\nld.shared.u32 %t2, [%t1];\n$end:"
        );
        Machine::new(&kernel("", 0, &body)).launch("k", 1, 96, &[]).map_err(|fault| fault.kind)
    };
    assert!(run("bar.sync 1, 64;").is_ok());
    assert_eq!(run("").unwrap_err(), FaultKind::Race);
}

#[test]
fn races_on_shared_memory_within_a_warp() {
    let run = |between: &str| {
        let body = format!(
            ".shared .align 4 .b8 s[128];\nmov.u32 %t1, s;\nshl.b32 %t2, %tid_, 2;\n\
             add.u32 %t2, %t2, %t1;\nst.shared.u32 [%t2], %tid_;\n{between}\n\
             xor.b32 %t3, %tid_, 1;\nshl.b32 %t3, %t3, 2;\nadd.u32 %t3, %t3, %t1;\n\
             ld.shared.u32 %t4, [%t3];"
        );
        Machine::new(&kernel("", 0, &body)).launch("k", 1, 32, &[])
    };
    let fault = run("").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Race);
    assert!(fault.report.contains("races with write by thread"), "{fault}");
    assert!(run("bar.warp.sync -1;").is_ok());
    assert!(run("bar.sync 0;").is_ok());
}

#[test]
fn lanes_that_write_one_word_must_agree() {
    let run = |value: &str| {
        let body =
            format!(".shared .align 4 .u32 s;\nmov.u32 %t1, s;\nst.shared.u32 [%t1], {value};");
        Machine::new(&kernel("", 0, &body)).launch("k", 1, 64, &[]).map_err(|fault| fault.kind)
    };
    assert!(run("7").is_ok());
    assert_eq!(run("%tid_").unwrap_err(), FaultKind::Race);
}

#[test]
fn divergent_and_missing_barriers() {
    let run = |body: &str, threads| {
        Machine::new(&kernel("", 0, body)).launch("k", 1, threads, &[]).unwrap_err()
    };
    let divergent = "setp.ge.u32 %p1, %tid_, 16;\n@%p1 bra $L;\nbar.sync 0;\n$L:";
    let fault = run(divergent, 32);
    assert_eq!(fault.kind, FaultKind::BarrierDivergence);
    assert!(fault.report.contains("lanes 0xffff0000 are elsewhere"), "{fault}");
    let missing = "setp.ge.u32 %p1, %tid_, 32;\n@%p1 bra $L;\nbar.sync 0;\n$L:";
    let fault = run(missing, 64);
    assert_eq!(fault.kind, FaultKind::BarrierDivergence);
    assert!(fault.report.contains("missing barrier"), "{fault}");
    let early = "setp.ge.u32 %p1, %tid_, 40;\n@%p1 exit;\nbar.sync 0;";
    assert!(run(early, 64).report.contains("ended without reaching barrier 0"));
}

#[test]
fn branches_that_end_in_exits_meet_at_barriers() {
    // Neither side of the branch reaches the other, but both stop at barriers in turn.
    let body = "setp.ge.u32 %p1, %tid_, 16;\nmov.u32 %t1, 1;\n@%p1 bra $upper;\nbra.uni $both;\n\
        $upper:\nmov.u32 %t1, 2;\nsetp.eq.u32 %p2, %tid_, 99;\n@%p2 bra $never;\n$both:\n\
        bar.sync 0;\nmad.lo.u64 %w0, %i, 4, %arg0;\nst.global.u32 [%w0], %t1;\nret;\n$never:\nret;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 32]);
    machine.launch("k", 1, 32, &[out]).unwrap();
    let found = machine.download::<u32>(out, 32);
    assert_eq!((&found[..16], &found[16..]), (&[1; 16][..], &[2; 16][..]));
}
