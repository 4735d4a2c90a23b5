//! Loads and stores in every state space.

use super::support::{HEADER, Machine, column, kernel, map};
use cuda_sim::device::Device;
use cuda_sim::exec::FaultKind;

#[test]
fn widths_and_extensions() {
    let bytes: Vec<u8> = (0..64u8).map(|i| 0x70u8.wrapping_add(5 * (i % 50))).collect();
    for (load, element, value) in [
        ("u8", 1, (|b: &[u8]| u64::from(b[0])) as fn(&[u8]) -> u64),
        ("s8", 1, |b| b[0] as i8 as u64),
        ("u16", 2, |b| u64::from(u16::from_le_bytes([b[0], b[1]]))),
        ("s16", 2, |b| i16::from_le_bytes([b[0], b[1]]) as u64),
        ("b32", 4, |b| u64::from(u32::from_le_bytes(b[..4].try_into().unwrap()))),
        ("s32", 4, |b| i32::from_le_bytes(b[..4].try_into().unwrap()) as u64),
    ] {
        let body = format!(
            "mad.lo.u64 %w0, %i, {element}, %arg1;\nld.global.{load} %w1, [%w0];\n\
             mad.lo.u64 %w2, %i, 8, %arg0;\nst.global.u64 [%w2], %w1;"
        );
        let machine = Machine::new(&kernel("", 2, &body));
        let out = machine.upload(&[0u64; 16]);
        let input = machine.memory.allocate(64).unwrap();
        machine.memory.write(input, &bytes).unwrap();
        machine.launch("k", 1, 16, &[out, input]).unwrap();
        let expected: Vec<u64> = (0..16).map(|i| value(&bytes[i * element..])).collect();
        assert_eq!(machine.download::<u64>(out, 16), expected, "{load}");
    }
}

#[test]
fn narrow_stores_keep_their_neighbors() {
    let body = "mad.lo.u64 %w0, %i, 4, %arg0;\ncvt.u32.u64 %t1, %i;\nadd.u32 %t1, %t1, 256;\n\
                st.global.u8 [%w0+1], %t1;\nst.global.u16 [%w0+2], %t1;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0xAABB_CCDDu32; 32]);
    machine.launch("k", 1, 32, &[out]).unwrap();
    let expected: Vec<u32> = (0..32).map(|i| (0x100 + i) << 16 | i << 8 | 0xDD).collect();
    assert_eq!(machine.download::<u32>(out, 32), expected);
}

#[test]
fn vectors() {
    let body = "mad.lo.u64 %w0, %i, 16, %arg1;\nld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%w0];\n\
                ld.global.nc.v2.f64 {%g0, _}, [%w0];\nmad.lo.u64 %w1, %i, 16, %arg0;\n\
                st.global.v4.f32 [%w1], {%f3, %f2, %f1, 0f40490FDB};\n\
                mad.lo.u64 %w2, %i, 8, %arg2;\nst.global.f64 [%w2], %g0;";
    let machine = Machine::new(&kernel("", 3, body));
    let input: Vec<f32> = (0..256).map(|i| i as f32).collect();
    let (out, doubles) = (machine.upload(&[0f32; 256]), machine.upload(&[0f64; 64]));
    let counters = machine.launch("k", 2, 32, &[out, machine.upload(&input), doubles]).unwrap();
    let pi = f32::from_bits(0x4049_0FDB);
    let expected: Vec<f32> = input.chunks(4).flat_map(|x| [x[3], x[2], x[1], pi]).collect();
    assert_eq!(machine.download::<f32>(out, 256), expected);
    let pairs: Vec<f64> = input
        .chunks(4)
        .map(|x| f64::from_bits(u64::from(x[1].to_bits()) << 32 | u64::from(x[0].to_bits())))
        .collect();
    assert_eq!(machine.download::<f64>(doubles, 64), pairs);
    // Two warps: 512 bytes for each of the two vector loads, 512 and 256 for the stores.
    assert_eq!((counters.global_load_requests, counters.global_load_sectors), (4, 64));
    assert_eq!((counters.global_store_bytes, counters.global_store_sectors), (1536, 48));
    assert_eq!((counters.distinct_bytes_read, counters.distinct_bytes_written), (1024, 1536));
}

#[test]
fn constant_global_and_generic_variables() {
    let declarations = ".const .align 4 .u32 table[4] = {10, 20, 30, 40};\n\
        .global .align 8 .u64 pointer = generic(values)+8;\n\
        .global .align 4 .s32 values[4] = {1, -2, 3, -4};\n.global .f32 zero[2];";
    let body = "cvt.u32.u64 %t1, %i;\nand.b32 %t1, %t1, 3;\nmul.wide.u32 %w0, %t1, 4;\n\
        mov.u64 %w1, table;\nadd.s64 %w1, %w1, %w0;\nld.const.u32 %t2, [%w1];\n\
        ld.global.u64 %w2, [pointer];\nld.s32 %t3, [%w2];\nld.global.s32 %t4, [values+12];\n\
        ld.global.u32 %t5, [zero+4];\nadd.u32 %t2, %t2, %t3;\nadd.u32 %t2, %t2, %t4;\n\
        add.u32 %t2, %t2, %t5;\nmad.lo.u64 %w3, %i, 4, %arg0;\nst.u32 [%w3], %t2;";
    let machine = Machine::new(&kernel(declarations, 1, body));
    let out = machine.upload(&[0u32; 8]);
    machine.launch("k", 1, 8, &[out]).unwrap();
    let expected: Vec<u32> = (0..8).map(|i| [10, 20, 30, 40][i % 4] + 3 - 4).collect();
    assert_eq!(machine.download::<u32>(out, 8), expected);
}

#[test]
fn shared_memory_static_dynamic_and_generic() {
    let body = ".shared .align 8 .b8 own[256];\nmov.u32 %t1, own;\ncvt.u32.u64 %t2, %i;\n\
        shl.b32 %t3, %t2, 2;\nadd.u32 %t3, %t3, %t1;\nst.shared.u32 [%t3], %t2;\nbar.sync 0;\n\
        mov.u64 %w0, own;\ncvta.shared.u64 %w0, %w0;\nsub.u32 %t4, 63, %t2;\n\
        mul.wide.u32 %w1, %t4, 4;\nadd.u64 %w1, %w1, %w0;\nld.u32 %t5, [%w1];\n\
        cvta.to.shared.u64 %w2, %w1;\nld.shared.u32 %t6, [%w2];\nadd.u32 %t5, %t5, %t6;\n\
        isspacep.shared %p1, %w1;\n@!%p1 mov.u32 %t5, 0;\n\
        mad.lo.u64 %w3, %i, 4, %arg0;\nst.global.u32 [%w3], %t5;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 64]);
    let counters = machine.launch("k", 1, 64, &[out]).unwrap();
    let expected: Vec<u32> = (0..64).map(|i| 2 * (63 - i)).collect();
    assert_eq!(machine.download::<u32>(out, 64), expected);
    assert_eq!((counters.shared_store_requests, counters.shared_load_requests), (2, 4));
    assert_eq!((counters.bank_conflicts, counters.shared_wavefronts), (0, 6));
}

#[test]
fn local_arrays_belong_to_their_thread() {
    let body = ".local .align 16 .b8 array[64];\ncvt.u32.u64 %t1, %i;\nmov.u64 %w0, array;\n\
        cvta.local.u64 %w1, %w0;\nst.local.v4.u32 [%w0+16], {%t1, %t1, %t1, %t1};\n\
        add.u32 %t2, %t1, 1;\nst.u32 [%w1+24], %t2;\nld.local.v2.u32 {%t3, %t4}, [%w0+24];\n\
        mad.lo.u32 %t3, %t4, 1000, %t3;\nmad.lo.u64 %w3, %i, 4, %arg0;\n\
        st.global.u32 [%w3], %t3;";
    let machine = Machine::new(&kernel("", 1, body));
    let out = machine.upload(&[0u32; 40]);
    let counters = machine.launch("k", 1, 40, &[out]).unwrap();
    let expected: Vec<u32> = (0..40).map(|i| 1000 * i + i + 1).collect();
    assert_eq!(machine.download::<u32>(out, 40), expected);
    assert_eq!((counters.local_store_bytes, counters.local_load_bytes), (40 * 20, 40 * 8));
}

#[test]
fn parameters_by_value() {
    let ptx = format!(
        "{HEADER}.visible .entry k(.param .u64 k_0, .param .align 8 .b8 k_1[24], .param .u8 k_2, \
         .param .f32 k_3)\n{{\n.reg .b64 %w<6>;\n.reg .b32 %t<4>;\n.reg .b16 %h;\n.reg .f32 %f;\n\
         ld.param.u64 %w0, [k_0];\nld.param.v2.u32 {{%t0, %t1}}, [k_1+16];\n\
         mov.b64 %w1, k_1;\nld.param.u64 %w2, [%w1+8];\nld.param.u8 %h, [k_2];\n\
         ld.param.f32 %f, [k_3];\nst.global.v2.u32 [%w0], {{%t0, %t1}};\n\
         st.global.u64 [%w0+8], %w2;\nst.global.u16 [%w0+16], %h;\nst.global.f32 [%w0+20], %f;\n\
         ret;\n}}\n"
    );
    let module = cuda_sim::ptx::Module::parse(&ptx).unwrap();
    let offsets: Vec<_> = module.kernels()[0].params.iter().map(|p| (p.offset, p.size)).collect();
    assert_eq!(offsets, [(0, 8), (8, 24), (32, 1), (36, 4)]);
    let machine = Machine::new(&ptx);
    let out = machine.upload(&[0u64; 3]);
    // The parameter buffer as 64-bit words: pointer, struct of three words, byte and float.
    let last = 0xAB | u64::from(1.5f32.to_bits()) << 32;
    machine.launch("k", 1, 1, &[out, 1, 22, 0x4_0000_0003, last]).unwrap();
    let bytes = machine.download::<u64>(out, 3);
    assert_eq!(bytes[..2], [0x4_0000_0003, 22]);
    assert_eq!(bytes[2], 0xAB | u64::from(1.5f32.to_bits()) << 32);
}

#[test]
fn faults_name_kind_thread_and_line() {
    for (body, kind, words) in [
        (
            "mad.lo.u64 %w0, %i, 4, %arg0;\nld.global.u32 %t1, [%w0+4];",
            FaultKind::IllegalAddress,
            "thread (31, 0, 0)",
        ),
        ("ld.global.u32 %t1, [%arg0+2];", FaultKind::MisalignedAddress, "not a multiple of 4"),
        (
            ".shared .b8 s[16];\nmov.u32 %t1, s;\nst.shared.u32 [%t1+16], %t1;",
            FaultKind::OutOfBounds,
            "16 bytes of shared memory",
        ),
        (
            ".shared .b8 s[16];\nmov.u32 %t1, s;\nld.shared.u32 %t2, [%t1];",
            FaultKind::Uninitialized,
            "never written",
        ),
        (
            ".local .b8 l[16];\nmov.u32 %t1, l;\nld.local.u32 %t2, [%t1+64];",
            FaultKind::OutOfBounds,
            "local load",
        ),
        ("mov.u64 %w0, 64;\nld.u32 %t1, [%w0];", FaultKind::IllegalAddress, "global load"),
    ] {
        let machine = Machine::new(&kernel("", 1, body));
        let fault = machine.launch("k", 1, 32, &[machine.upload(&[0u32; 32])]).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.report.contains(words), "{fault}");
        assert!(fault.report.contains("PTX line") && fault.report.contains("kernel k"), "{fault}");
    }
}

#[test]
fn never_written_global_memory_is_found_by_the_byte() {
    let body = "mad.lo.u64 %w0, %i, 4, %arg0;\nld.global.u32 %t1, [%w0];";
    let machine = Machine::new(&kernel("", 1, body));
    let data = machine.memory.allocate(128).unwrap();
    machine.memory.fill(data, &[0], 127).unwrap();
    let fault = machine.launch("k", 1, 32, &[data]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Uninitialized);
    assert!(fault.report.contains("thread (31, 0, 0)"), "{fault}");
    machine.memory.fill(data + 127, &[0], 1).unwrap();
    machine.launch("k", 1, 32, &[data]).unwrap();
    machine.memory.free(data).unwrap();
    let fault = machine.launch("k", 1, 32, &[data]).unwrap_err();
    assert!(fault.report.contains("was freed"), "{fault}");
}

#[test]
fn special_registers_say_where_a_thread_is() {
    let ptx = format!(
        "{HEADER}.visible .entry k(.param .u64 k_0)\n{{\n.reg .b64 %w<4>;\n.reg .b32 %t<16>;\n\
         ld.param.u64 %w0, [k_0];\nmov.u32 %t0, %tid.x;\nmov.u32 %t1, %tid.y;\n\
         mov.u32 %t2, %tid.z;\nmov.u32 %t3, %ctaid.y;\nmov.u32 %t4, %laneid;\n\
         mov.u32 %t5, %lanemask_lt;\nmov.u32 %t6, %warpid;\nmov.u32 %t7, %nctaid.x;\n\
         mad.lo.u32 %t8, %t2, 3, %t1;\nmad.lo.u32 %t8, %t8, 5, %t0;\nmov.u32 %t9, %ctaid.x;\n\
         mad.lo.u32 %t9, %t3, %t7, %t9;\nmad.lo.u32 %t9, %t9, 60, %t8;\n\
         mad.wide.u32 %w1, %t9, 16, %w0;\nst.global.v4.u32 [%w1], {{%t8, %t4, %t5, %t6}};\nret;\n}}\n"
    );
    let memory = cuda_sim::memory::DeviceMemory::new(1 << 20);
    let module = cuda_sim::ptx::Module::parse(&ptx).unwrap().load(&memory).unwrap();
    let out = memory.allocate(4 * 60 * 16).unwrap();
    let config =
        cuda_sim::exec::LaunchConfig { grid: [2, 2, 1], block: [5, 3, 4], dynamic_shared: 0 };
    let device = cuda_sim::device::Device::a100();
    let kernel = module.kernel("k").unwrap();
    cuda_sim::exec::launch(&module, kernel, config, &out.to_le_bytes(), &memory, &device).unwrap();
    let mut bytes = vec![0; 4 * 60 * 16];
    memory.read(out, &mut bytes).unwrap();
    for (i, row) in bytes.chunks(16).enumerate() {
        let words: Vec<u32> =
            row.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let thread = (i % 60) as u32;
        assert_eq!(words, [thread, thread % 32, (1 << (thread % 32)) - 1, thread / 32]);
    }
}

#[test]
fn nwarpid_follows_the_device() {
    let text = kernel("", 1, "mov.u32 %t1, %nwarpid;\nst.global.u32 [%arg0], %t1;");
    for (device, warps) in [(Device::a100(), 64u32), (Device::rtx4090(), 48)] {
        let machine = Machine::new(&text).with_device(device);
        let out = machine.upload(&[0u32]);
        machine.launch("k", 1, 1, &[out]).unwrap();
        assert_eq!(machine.download::<u32>(out, 1), [warps]);
    }
}

#[test]
fn clocks_count_up() {
    let found: Vec<u32> = map(
        "mov.u32 %t1, %clock;\nmov.u64 %w1, %clock64;\nmov.u32 %t2, %clock;\n\
         sub.u32 %d, %t2, %t1;",
        &[column(&[0u32])],
    );
    assert_eq!(found, [2]);
}
