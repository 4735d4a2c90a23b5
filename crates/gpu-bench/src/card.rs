//! The card and its driver, and two ceilings: how fast it copies and how fast it multiplies and adds.

use std::{fmt::Write as _, sync::Arc};

use cudarc::driver::{
    CudaContext, CudaStream, LaunchConfig, PushKernelArg,
    sys::{self, CUdevice_attribute as Attribute, CUevent_flags},
};
use cudarc::nvrtc::Ptx;

use crate::{Failure, median, table::Table};

/// Runs of each measurement; the median counts.
const RUNS: usize = 9;
/// Bytes that are copied from one array on the device to another.
const BYTES: usize = 1 << 30;
/// Threads of a block, and blocks for each multiprocessor: as many threads as it holds.
const THREADS: u32 = 256;
const BLOCKS: u32 = 8;
/// Independent sums of a thread, and how often each is written out in the loop.
const SUMS: usize = 8;
const UNROLLED: usize = 8;

/// Measures the card. On a simulated driver the sizes are tiny and the ceilings mean nothing.
pub fn measure(tiny: bool) -> Result<Table, Failure> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let mut table = Table::new(&["what", "value", "unit"]);
    let mut row = |what: &str, value: serde_json::Value, unit: &str| {
        table.push([what.into(), value, unit.into()]);
    };
    row("card", context.name()?.into(), "");
    let mut version = 0;
    // SAFETY: the driver writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    row(
        "driver, by its CUDA version",
        format!("{}.{}", version / 1000, version % 1000 / 10).into(),
        "",
    );
    let (major, minor) = context.compute_capability()?;
    row("compute capability", format!("{major}.{minor}").into(), "");
    row("memory", (context.total_mem()? as f64 / f64::from(1 << 30)).into(), "GiB");
    for (what, attribute, scale, unit) in [
        ("multiprocessors", Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1.0, ""),
        ("clock", Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1e-6, "GHz"),
        ("memory clock", Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1e-6, "GHz"),
        ("L2", Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 1.0 / f64::from(1 << 20), "MiB"),
    ] {
        row(what, (f64::from(context.attribute(attribute)?) * scale).into(), unit);
    }
    let bytes = if tiny { 1 << 16 } else { BYTES.min(context.mem_get_info()?.0 / 4) };
    row("copies, read and written together", copied(&stream, bytes)?.into(), "GB/s");
    let multiprocessors =
        u32::try_from(context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?)?;
    for (name, scale) in [("f64", 1), ("f32", 4)] {
        let (blocks, rounds) = if tiny { (1, 2) } else { (BLOCKS * multiprocessors, 2048 * scale) };
        let rate = multiplied(&context, &stream, name, blocks, rounds)?;
        row(&format!("multiply-adds, {name}"), rate.into(), "TFLOP/s");
    }
    if tiny {
        table.notes.push("tiny sizes: the rates say nothing about a card".into());
    }
    Ok(table)
}

/// Returns the seconds that the device takes, the median of some runs after one.
fn seconds(
    stream: &Arc<CudaStream>,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let now = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let start = now()?;
        work()?;
        times.push(f64::from(start.elapsed_ms(&now()?)?) / 1e3);
    }
    // A simulated driver may measure nothing.
    Ok(median(times).unwrap_or(0.0).max(1e-9))
}

/// Returns the rate of copies in GB/s.
fn copied(stream: &Arc<CudaStream>, bytes: usize) -> Result<f64, Failure> {
    let from = stream.alloc_zeros::<u8>(bytes)?;
    let mut to = stream.alloc_zeros::<u8>(bytes)?;
    let seconds = seconds(stream, || Ok(stream.memcpy_dtod(&from, &mut to)?))?;
    Ok(2.0 * bytes as f64 / seconds / 1e9)
}

/// Returns the rate of fused multiply-adds in TFLOP/s, of two operations each.
fn multiplied(
    context: &Arc<CudaContext>,
    stream: &Arc<CudaStream>,
    number: &str,
    blocks: u32,
    rounds: u32,
) -> Result<f64, Failure> {
    let module = context.load_module(Ptx::from_src(multiply_add(number)))?;
    let function = module.load_function("multiply_add")?;
    let mut sums = stream.alloc_zeros::<f64>((blocks * THREADS) as usize)?;
    let config =
        LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
    let seconds = seconds(stream, || {
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut sums).arg(&rounds);
        // SAFETY: the kernel takes these arguments, and writes one number a thread.
        unsafe { launch.launch(config) }?;
        Ok(())
    })?;
    let operations =
        2.0 * f64::from(blocks * THREADS) * f64::from(rounds) * (SUMS * UNROLLED) as f64;
    Ok(operations / seconds / 1e12)
}

/// Returns PTX in which every thread multiplies and adds to its own numbers, and writes their sum.
fn multiply_add(number: &str) -> String {
    let half = if number == "f64" { "0d3FE0000000000000" } else { "0f3F000000" };
    let bytes = if number == "f64" { 8 } else { 4 };
    let mut ptx = format!(
        ".version 7.0
.target sm_80
.address_size 64
.visible .entry multiply_add(.param .u64 sums, .param .u32 rounds)
{{
    .reg .pred %again;
    .reg .b32 %thread, %block, %size, %left;
    .reg .b64 %sums, %offset;
    .reg .{number} %half, %x<{SUMS}>;
    ld.param.u64 %sums, [sums];
    ld.param.u32 %left, [rounds];
    mov.u32 %thread, %tid.x;
    mov.u32 %block, %ctaid.x;
    mov.u32 %size, %ntid.x;
    mad.lo.s32 %thread, %block, %size, %thread;
    mul.wide.s32 %offset, %thread, {bytes};
    add.s64 %sums, %sums, %offset;
    mov.{number} %half, {half};
"
    );
    for sum in 0..SUMS {
        let _ = writeln!(ptx, "    cvt.rn.{number}.s32 %x{sum}, %thread;");
        let _ = writeln!(ptx, "    fma.rn.{number} %x{sum}, %x{sum}, %half, {half};");
    }
    ptx.push_str("again:\n");
    for sum in (0..UNROLLED).flat_map(|_| 0..SUMS) {
        let _ = writeln!(ptx, "    fma.rn.{number} %x{sum}, %x{sum}, %half, %half;");
    }
    ptx.push_str(
        "    add.s32 %left, %left, -1;
    setp.ne.s32 %again, %left, 0;
    @%again bra again;
",
    );
    for sum in 1..SUMS {
        let _ = writeln!(ptx, "    add.{number} %x0, %x0, %x{sum};");
    }
    let _ = write!(ptx, "    st.global.{number} [%sums], %x0;\n    ret;\n}}\n");
    ptx
}
