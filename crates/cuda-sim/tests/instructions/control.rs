//! Branches, calls and how a warp's lanes part and meet.

use super::support::{HEADER, Machine, column, kernel, map};
use cuda_sim::counters::Class;
use cuda_sim::exec::FaultKind;
use cuda_sim::ptx::Module;

#[test]
fn divergent_loops_meet_again() {
    // Lane l goes round l times; then all lanes add once more together.
    let body = "mov.u32 %t1, %laneid;\nmov.u32 %t2, 0;\nsetp.eq.u32 %p1, %t1, 0;\n@%p1 bra $out;\n\
        $loop:\nadd.u32 %t2, %t2, 3;\nsub.u32 %t1, %t1, 1;\nsetp.ne.u32 %p1, %t1, 0;\n\
        @%p1 bra $loop;\n$out:\nfma.rn.f64 %g0, %g0, %g0, %g0;\n\
        mad.lo.u64 %w0, %i, 4, %arg0;\nst.global.u32 [%w0], %t2;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 32]);
    let counters = machine.launch("k", 1, 32, &[out]).unwrap();
    assert_eq!(machine.download::<u32>(out, 32), (0..32).map(|i| 3 * i).collect::<Vec<_>>());
    // The loop runs 31 times; the number of lanes in it falls from 31 to 1.
    assert_eq!((counters.branches, counters.divergent_branches), (32, 1 + 30));
    assert_eq!(counters.thread(Class::F64Fma), 32);
    assert_eq!(counters.warp(Class::F64Fma), 1);
}

#[test]
fn nested_branches() {
    let text = "mov.u32 %d, 0;\nand.b32 %t1, %a, 1;\nsetp.eq.u32 %p1, %t1, 0;\n@%p1 bra $even;\n\
        and.b32 %t2, %a, 2;\nsetp.eq.u32 %p2, %t2, 0;\n@%p2 bra $one;\nadd.u32 %d, %d, 30;\n\
        bra.uni $odd;\n$one:\nadd.u32 %d, %d, 10;\n$odd:\nadd.u32 %d, %d, 1;\nbra $all;\n$even:\n\
        add.u32 %d, %d, 2;\n$all:\nadd.u32 %d, %d, 100;";
    let a: Vec<u32> = (0..32).collect();
    let expected: Vec<u32> = a
        .iter()
        .map(|a| 100 + if a % 2 == 0 { 2 } else { 1 + if a & 2 == 0 { 10 } else { 30 } })
        .collect();
    assert_eq!(map::<u32>(text, &[column(&a)]), expected);
}

#[test]
fn indexed_branches() {
    let text = "and.b32 %t1, %a, 3;\n$table: .branchtargets $zero, $one, $two, $one;\n\
        brx.idx %t1, $table;\n$zero:\nmov.u32 %d, 5;\nbra $end;\n$one:\nmov.u32 %d, 6;\nbra $end;\n\
        $two:\nmov.u32 %d, 7;\n$end:\nadd.u32 %d, %d, 10;";
    let a: Vec<u32> = (0..32).collect();
    let expected: Vec<u32> = a.iter().map(|a| [15, 16, 17, 16][*a as usize % 4]).collect();
    assert_eq!(map::<u32>(text, &[column(&a)]), expected);
}

/// A module with device functions and a kernel that calls one in half the lanes.
pub fn calls() -> String {
    format!(
        "{HEADER}.func (.param .b32 result) inner(.param .b32 inner_0)\n{{\n.reg .b32 %r<4>;\n\
         .reg .pred %p;\nld.param.u32 %r0, [inner_0];\nsetp.gt.u32 %p, %r0, 10;\n\
         @%p bra $big;\nadd.u32 %r1, %r0, 1000;\nst.param.b32 [result+0], %r1;\nret;\n$big:\n\
         st.param.b32 [result+0], %r0;\nret;\n}}\n\
         .func (.param .align 8 .b8 result[16]) outer(.param .b64 outer_0, .param .b32 outer_1)\n\
         {{\n.local .align 8 .b8 depot[8];\n.reg .b32 %r<6>;\n.reg .b64 %d<4>;\n\
         ld.param.u64 %d0, [outer_0];\nld.param.u32 %r0, [outer_1];\nmov.u64 %d2, depot;\n\
         st.local.u64 [%d2], %d0;\n{{\n.param .b32 p;\nst.param.b32 [p+0], %r0;\n\
         .param .b32 q;\ncall.uni (q), inner, (p);\nld.param.b32 %r1, [q+0];\n}}\n\
         ld.local.u64 %d0, [%d2];\nadd.u64 %d1, %d0, 1;\ncvt.u64.u32 %d3, %r1;\n\
         st.param.v2.b64 [result+0], {{%d1, %d3}};\nret;\n}}\n\
         .visible .entry k(.param .u64 k_0)\n{{\n.reg .b32 %r<6>;\n.reg .b64 %d<6>;\n.reg .pred %p;\n\
         ld.param.u64 %d0, [k_0];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 %d1, %r0, 16;\n\
         add.u64 %d0, %d0, %d1;\nmov.u64 %d2, 7;\nmov.u64 %d3, 8;\nand.b32 %r1, %r0, 1;\n\
         setp.eq.u32 %p, %r1, 0;\n@%p bra $skip;\n{{\n.param .b64 p0;\nst.param.b64 [p0+0], %d1;\n\
         .param .b32 p1;\nst.param.b32 [p1+0], %r0;\n.param .align 8 .b8 q[16];\n\
         call.uni (q), outer, (p0, p1);\nld.param.v2.b64 {{%d2, %d3}}, [q+0];\n}}\n$skip:\n\
         st.global.v2.u64 [%d0], {{%d2, %d3}};\nret;\n}}\n"
    )
}

#[test]
fn functions_are_called_with_parameters_in_some_lanes() {
    let machine = Machine::new(&calls());
    let out = machine.upload(&[0u64; 64]);
    machine.launch("k", 1, 32, &[out]).unwrap();
    for (i, pair) in machine.download::<u64>(out, 64).chunks(2).enumerate() {
        let i = i as u64;
        let inner = if i > 10 { i } else { i + 1000 };
        let expected = if i.is_multiple_of(2) { [7, 8] } else { [16 * i + 1, inner] };
        assert_eq!(pair, expected, "thread {i}");
    }
}

#[test]
fn faults_in_functions_show_the_calls() {
    let broken = calls().replace("st.local.u64 [%d2], %d0;", "st.local.u64 [%d2+4096], %d0;");
    let machine = Machine::new(&broken);
    let fault = machine.launch("k", 1, 32, &[machine.upload(&[0u64; 64])]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::OutOfBounds);
    let (outer, kernel) = (fault.report.find(" in outer"), fault.report.find(" in k"));
    assert!(outer.is_some() && outer < kernel, "{fault}");
}

#[test]
fn recursion_is_refused() {
    let ptx = format!(
        "{HEADER}.func f()\n{{\ncall.uni f;\nret;\n}}\n.visible .entry k()\n{{\ncall.uni f;\nret;\n}}\n"
    );
    assert!(Module::parse(&ptx).unwrap_err().message.contains("recursive"));
}

#[test]
fn exits_and_traps() {
    let body = "setp.lt.u32 %p1, %tid_, 8;\n@%p1 exit;\nmad.lo.u64 %w0, %i, 4, %arg0;\n\
                st.global.u32 [%w0], 1;\nsetp.eq.u32 %p2, %tid_, 20;\n@%p2 bra $trap;\nret;\n\
                $trap:\nld.global.u32 %t1, [%arg0];\nsetp.ne.u32 %p3, %t1, 0;\n@%p3 trap;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 32]);
    machine.launch("k", 1, 32, &[out]).unwrap();
    let expected: Vec<u32> = (0..32).map(|i| u32::from(i >= 8)).collect();
    assert_eq!(machine.download::<u32>(out, 32), expected);
    let wrong = machine.upload(&[1u32; 32]);
    let fault = machine.launch("k", 1, 32, &[wrong]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap);
    assert!(fault.report.contains("thread (20, 0, 0)"), "{fault}");
}

#[test]
fn printf_and_failed_assertions() {
    // "%d %f\n", and the texts of an assertion.
    let ptx = format!(
        "{HEADER}.extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);\n\
         .extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, \
         .param .b64 s);\n.global .b8 format[7] = {{37, 100, 32, 37, 102, 10, 0}};\n\
         .global .b8 text[6] = {{120, 32, 62, 32, 48, 0}};\n\
         .visible .entry k(.param .u64 k_0)\n{{\n.local .align 8 .b8 list[16];\n.reg .b64 %d<4>;\n\
         .reg .b32 %r<4>;\n.reg .pred %p;\nld.param.u64 %d0, [k_0];\nmov.u64 %d1, list;\n\
         mov.u32 %r0, %tid.x;\nst.local.u32 [%d1], %r0;\n\
         st.local.f64 [%d1+8], 0d3FF8000000000000;\ncvta.local.u64 %d1, %d1;\n\
         mov.u64 %d2, format;\n{{\n.param .b64 p0;\n.param .b64 p1;\n.param .b32 q;\n\
         st.param.b64 [p0+0], %d2;\nst.param.b64 [p1+0], %d1;\ncall.uni (q), vprintf, (p0, p1);\n\
         ld.param.b32 %r1, [q+0];\n}}\nst.global.u32 [%d0], %r1;\nsetp.lt.u32 %p, %r0, 1;\n\
         @%p bra $end;\nmov.u64 %d3, text;\n{{\n.param .b64 p0;\n.param .b64 p1;\n.param .b32 p2;\n\
         .param .b64 p3;\n.param .b64 p4;\nst.param.b64 [p0+0], %d3;\nst.param.b64 [p1+0], %d3;\n\
         st.param.b32 [p2+0], 42;\nst.param.b64 [p3+0], %d3;\nst.param.b64 [p4+0], %d3;\n\
         call.uni __assertfail, (p0, p1, p2, p3, p4);\n}}\n$end:\nret;\n}}\n"
    );
    let machine = Machine::new(&ptx);
    let out = machine.upload(&[0u32; 1]);
    machine.launch("k", 1, 1, &[out]).unwrap();
    assert_eq!(machine.download::<u32>(out, 1), [2], "arguments printed");
    let fault = machine.launch("k", 1, 2, &[out]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Assert);
    assert!(fault.report.contains("assertion `x > 0` failed at x > 0:42"), "{fault}");
    assert!(fault.report.contains("thread (1, 0, 0)"), "{fault}");
}
