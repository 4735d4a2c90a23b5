//! Order between blocks.

use super::support::{Machine, kernel};
use cuda_sim::exec::FaultKind;

/// Every block writes a word; the last one to take a ticket adds them up.
fn last_block_sums(fence: &str) -> Result<u32, FaultKind> {
    let body = format!(
        "mad.lo.u64 %w0, %i, 4, %arg0;\nadd.u32 %t1, %cta_, 100;\nst.global.u32 [%w0], %t1;\n\
         {fence}\natom.global.add.u32 %t2, [%arg1], 1;\nsetp.ne.u32 %p1, %t2, 7;\n\
         @%p1 bra $end;\n{fence}\nmov.u32 %t3, 0;\nmov.u32 %t4, 0;\nmov.u64 %w1, %arg0;\n$loop:\n\
         ld.global.u32 %t5, [%w1];\nadd.u32 %t3, %t3, %t5;\nadd.u64 %w1, %w1, 4;\n\
         add.u32 %t4, %t4, 1;\nsetp.lt.u32 %p2, %t4, 8;\n@%p2 bra $loop;\n\
         st.global.u32 [%arg2], %t3;\n$end:"
    );
    let machine = Machine::new(&kernel("", 3, &body));
    let (words, ticket) = (machine.upload(&[0u32; 8]), machine.upload(&[0u32]));
    let sum = machine.upload(&[0u32]);
    machine.launch("k", 8, 1, &[words, ticket, sum]).map_err(|fault| fault.kind)?;
    Ok(machine.download(sum, 1)[0])
}

#[test]
fn a_fence_and_a_ticket_order_blocks() {
    assert_eq!(last_block_sums("membar.gl;"), Ok((0..8).map(|block| 100 + block).sum()));
    assert_eq!(last_block_sums("fence.acq_rel.gpu;"), Ok(828));
    assert_eq!(last_block_sums(""), Err(FaultKind::Race));
    assert_eq!(last_block_sums("membar.cta;"), Err(FaultKind::Race));
}

#[test]
fn races_between_blocks_are_always_found() {
    // Block b reads what block b + 1 writes.
    let body = "mad.lo.u64 %w0, %i, 4, %arg0;\nst.global.u32 [%w0], %cta_;\n\
                ld.global.u32 %t1, [%w0+4];";
    let mut reports = Vec::new();
    for _ in 0..5 {
        let machine = Machine::new(&kernel("", 1, body));
        let fault = machine.launch("k", 16, 1, &[machine.upload(&[0u32; 17])]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Race);
        reports.push(fault.block);
    }
    assert_eq!(reports, [1; 5]);
}

#[test]
fn blocks_may_share_what_they_only_read() {
    let body = "ld.global.u32 %t1, [%arg1];\nmad.lo.u64 %w0, %i, 4, %arg0;\n\
                st.global.u32 [%w0], %t1;";
    let machine = Machine::new(&kernel("", 2, body));
    let (out, input) = (machine.upload(&[0u32; 512]), machine.upload(&[5u32]));
    let counters = machine.launch("k", 16, 32, &[out, input]).unwrap();
    assert_eq!((counters.distinct_bytes_read, counters.distinct_bytes_written), (4, 2048));
    assert_eq!((counters.global_load_sectors, counters.global_store_sectors), (16, 64));
}

#[test]
fn waiting_for_another_block_times_out() {
    let body = "$wait:\nld.volatile.global.u32 %t1, [%arg0];\nsetp.eq.u32 %p1, %t1, 0;\n\
                @%p1 bra $wait;";
    let machine = Machine::new(&kernel("", 1, body)).with_watchdog(100_000);
    let fault = machine.launch("k", 1, 32, &[machine.upload(&[0u32])]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Timeout);
}

#[test]
fn warps_may_wait_for_each_other() {
    // Warp 0 waits for a flag that warp 1 sets.
    let body = ".shared .align 4 .u32 flag;\nmov.u32 %t1, flag;\nsetp.eq.u32 %p3, %tid_, 0;\n\
        @%p3 st.shared.u32 [%t1], 0;\nbar.sync 0;\nsetp.ge.u32 %p1, %tid_, 32;\n@%p1 bra $set;\n\
        $wait:\nld.volatile.shared.u32 %t2, [%t1];\nsetp.eq.u32 %p2, %t2, 0;\n@%p2 bra $wait;\n\
        bra $end;\n$set:\nst.volatile.shared.u32 [%t1], 1;\n$end:";
    Machine::new(&kernel("", 0, body)).launch("k", 1, 64, &[]).unwrap();
}

#[test]
fn strong_accesses_see_the_blocks_in_order() {
    for space in [".global", ""] {
        // What block b reads are the reductions of the blocks up to itself.
        let body = format!(
            "red.global.add.u32 [%arg1], 1;\nld.volatile{space}.u32 %t1, [%arg1];\n\
             mad.lo.u64 %w0, %i, 4, %arg0;\nst.global.u32 [%w0], %t1;\n\
             st.volatile{space}.u32 [%arg2], %cta_;"
        );
        let machine = Machine::new(&kernel("", 3, &body));
        let seen = machine.upload(&[0u32; 5000]);
        let (sum, last) = (machine.upload(&[0u32]), machine.upload(&[0u32]));
        machine.launch("k", 5000, 1, &[seen, sum, last]).unwrap();
        assert_eq!(machine.download::<u32>(seen, 5000), (1..=5000).collect::<Vec<_>>());
        assert_eq!(machine.download::<u32>(last, 1), [4999]);
    }
}

#[test]
fn blocks_may_write_equal_values() {
    let body = "cvt.u64.u32 %w1, %tid_;\n\
                mad.lo.u64 %w0, %w1, 4, %arg0;\nmov.u32 %t1, 0;\n$loop:\n\
                st.global.u32 [%w0], 7;\nadd.u64 %w0, %w0, 128;\nadd.u32 %t1, %t1, 1;\n\
                setp.lt.u32 %p1, %t1, 20000;\n@%p1 bra $loop;";
    for _ in 0..20 {
        let machine = Machine::new(&kernel("", 1, body));
        let words = machine.upload(&vec![0u32; 32 * 20000]);
        machine.launch("k", 2, 32, &[words]).unwrap();
    }
}

#[test]
fn blocks_that_agree_only_at_the_end_race() {
    // One block writes 5 and then 6, the other 6: which of them comes first must not matter.
    for first in [0, 1] {
        let body = format!(
            "setp.eq.u32 %p1, %cta_, {first};\n@%p1 st.global.u32 [%arg0], 5;\n\
             st.global.u32 [%arg0], 6;"
        );
        for _ in 0..20 {
            let machine = Machine::new(&kernel("", 1, &body));
            let fault = machine.launch("k", 2, 1, &[machine.upload(&[0u32])]).unwrap_err();
            assert_eq!((fault.kind, fault.block), (FaultKind::Race, 1), "{first}");
        }
    }
}

#[test]
fn strong_loads_of_one_word_race_with_plain_stores() {
    let run = |store: &str| {
        let body = format!(
            "setp.eq.u32 %p1, %cta_, 0;\n@%p1 {store}.global.u32 [%arg0], 5;\n\
             @!%p1 ld.volatile.global.u32 %t1, [%arg0];"
        );
        let machine = Machine::new(&kernel("", 1, &body));
        machine.launch("k", 2, 32, &[machine.upload(&[0u32])]).map(drop).map_err(|f| f.kind)
    };
    assert_eq!(run("st"), Err(FaultKind::Race));
    assert_eq!(run("st.volatile"), Ok(()));
}
