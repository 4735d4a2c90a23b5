//! Real kernels, compiled by nvcc: results against the host, counters against figures worked out
//! by hand.

mod support;

use std::sync::Arc;

use cuda_sim::counters::Class;
use cudarc::driver::{CudaSlice, CudaStream, LaunchConfig, PushKernelArg, sys};
use support::{context, counters_of, kernel, launches_of, load, numbers};

fn shape(grid: (u32, u32, u32), block: (u32, u32, u32), dynamic_shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: grid, block_dim: block, shared_mem_bytes: dynamic_shared }
}

fn line(blocks: u32, threads: u32) -> LaunchConfig {
    shape((blocks, 1, 1), (threads, 1, 1), 0)
}

fn stream() -> Arc<CudaStream> {
    context().new_stream().unwrap()
}

#[test]
fn reduction_by_shuffles() {
    let stream = stream();
    let sums = kernel(stream.context(), "reduction.cu", "block_sums");
    let data: Vec<f32> = (0..1024).map(|i| (i % 17) as f32).collect();
    let input = stream.clone_htod(&data).unwrap();
    let mut out: CudaSlice<f32> = stream.alloc_zeros(4).unwrap();
    let mut launch = stream.launch_builder(&sums);
    launch.arg(&input).arg(&mut out).arg(&1024i32);
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(line(4, 256)) }.unwrap();
    // Small integers: exact in any order.
    let expected: Vec<f32> = data.chunks(256).map(|block| block.iter().sum()).collect();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);

    // 4 blocks of 8 warps; a warp does 5 shuffles and additions, the first of a block 3 more.
    let counters = counters_of("block_sums", [4, 1, 1]);
    assert_eq!((counters.blocks, counters.warps, counters.threads), (4, 32, 1024));
    assert_eq!(counters.warp(Class::Collective), 32 * 5 + 4 * 3);
    assert_eq!(counters.thread(Class::Collective), 32 * (32 * 5 + 4 * 3));
    assert_eq!(counters.thread(Class::F32Add), 32 * (32 * 5 + 4 * 3));
    assert_eq!(counters.f32_flops(), counters.thread(Class::F32Add));
    // A warp reads 128 contiguous bytes: 4 sectors.
    assert_eq!((counters.global_load_requests, counters.global_load_sectors), (32, 32 * 4));
    assert_eq!((counters.global_store_requests, counters.global_store_sectors), (4, 4));
    assert_eq!((counters.global_load_bytes, counters.global_store_bytes), (4096, 16));
    assert_eq!((counters.distinct_bytes_read, counters.distinct_bytes_written), (4096, 16));
    // One lane of every warp writes its part, eight lanes of the first read them.
    assert_eq!((counters.shared_store_requests, counters.shared_store_bytes), (32, 32 * 4));
    assert_eq!((counters.shared_load_requests, counters.shared_load_bytes), (4, 4 * 8 * 4));
    assert_eq!((counters.bank_conflicts, counters.barriers), (0, 32));
}

#[test]
fn transposes_with_and_without_bank_conflicts() {
    const N: usize = 64;
    let stream = stream();
    let module = load(stream.context(), "transpose.cu");
    let data: Vec<f32> = (0..N * N).map(|i| i as f32).collect();
    let expected: Vec<f32> = (0..N * N).map(|i| data[i % N * N + i / N]).collect();
    let input = stream.clone_htod(&data).unwrap();
    let counters = ["transpose_direct", "transpose_conflicts", "transpose_padded"].map(|name| {
        let transpose = module.load_function(name).unwrap();
        let mut out: CudaSlice<f32> = stream.alloc_zeros(N * N).unwrap();
        let mut launch = stream.launch_builder(&transpose);
        launch.arg(&input).arg(&mut out).arg(&(N as i32));
        // SAFETY: as the kernels' header says.
        unsafe { launch.launch(shape((2, 2, 1), (32, 8, 1), 0)) }.unwrap();
        assert_eq!(stream.clone_dtoh(&out).unwrap(), expected, "{name}");
        counters_of(name, [2, 2, 1])
    });
    let [direct, conflicts, padded] = counters;
    // 4 blocks of 8 warps with 4 elements per thread: 128 requests each way. A row of 32 floats is
    // 4 sectors; a column is 32.
    for c in [&direct, &conflicts, &padded] {
        assert_eq!((c.global_load_requests, c.global_load_sectors), (128, 128 * 4));
        assert_eq!(c.global_store_requests, 128);
        assert_eq!(c.compulsory_bytes(), 2 * 4 * (N * N) as u64);
    }
    assert_eq!(direct.global_store_sectors, 128 * 32);
    assert_eq!(direct.sectors_per_request(), (4.0 + 32.0) / 2.0);
    for c in [&conflicts, &padded] {
        assert_eq!(c.global_store_sectors, 128 * 4);
        assert_eq!((c.shared_store_requests, c.shared_load_requests), (128, 128));
        assert_eq!(c.barriers, 32);
    }
    // Reading a column of a tile 32 words wide goes to one bank 32 times.
    assert_eq!((conflicts.bank_conflicts, conflicts.shared_wavefronts), (128 * 31, 128 + 128 * 32));
    assert_eq!((padded.bank_conflicts, padded.shared_wavefronts), (0, 128 + 128));
}

#[test]
fn tiled_product_with_asynchronous_copies() {
    const N: usize = 64;
    let stream = stream();
    let product = kernel(stream.context(), "matmul.cu", "matmul");
    let random = |seed| -> Vec<f32> { numbers(seed, N * N).iter().map(|&x| x as f32).collect() };
    let (a, b) = (random(1), random(2));
    let (on_device_a, on_device_b) =
        (stream.clone_htod(&a).unwrap(), stream.clone_htod(&b).unwrap());
    let mut c: CudaSlice<f32> = stream.alloc_zeros(N * N).unwrap();
    let mut launch = stream.launch_builder(&product);
    launch.arg(&on_device_a).arg(&on_device_b).arg(&mut c).arg(&(N as i32));
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(shape((4, 4, 1), (16, 16, 1), 4096)) }.unwrap();
    // The kernel sums in the order of k with fused multiply-adds: so does this.
    let expected: Vec<f32> = (0..N * N)
        .map(|i| (0..N).fold(0.0f32, |sum, k| a[i / N * N + k].mul_add(b[k * N + i % N], sum)))
        .collect();
    assert_eq!(stream.clone_dtoh(&c).unwrap(), expected);

    // 16 blocks of 8 warps, 4 steps over k.
    let counters = counters_of("matmul", [4, 4, 1]);
    assert_eq!(counters.thread(Class::F32Fma), (N * N * N) as u64);
    assert_eq!(counters.f32_flops(), 2 * (N * N * N) as u64);
    assert_eq!(counters.async_copy_bytes, 16 * 4 * 2 * 256 * 4);
    assert_eq!(counters.barriers, 16 * 8 * 4 * 2);
    assert_eq!(counters.bank_conflicts, 0);
    // A warp stores two rows of 16 floats: 2 sectors each.
    assert_eq!((counters.global_store_requests, counters.global_store_sectors), (128, 128 * 4));
    let matrix = 4 * (N * N) as u64;
    assert_eq!(
        (counters.distinct_bytes_read, counters.distinct_bytes_written),
        (2 * matrix, matrix)
    );
}

#[test]
fn scan_in_shared_memory() {
    let stream = stream();
    let scan = kernel(stream.context(), "scan.cu", "scan");
    let data: Vec<i32> = (0..1024).map(|i| i * 7 % 31 - 15).collect();
    let input = stream.clone_htod(&data).unwrap();
    let mut out: CudaSlice<i32> = stream.alloc_zeros(1024).unwrap();
    let mut launch = stream.launch_builder(&scan);
    launch.arg(&input).arg(&mut out);
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(shape((1, 1, 1), (1024, 1, 1), 8192)) }.unwrap();
    let expected: Vec<i32> = data
        .iter()
        .scan(0, |sum, &x| {
            *sum += x;
            Some(*sum)
        })
        .collect();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);

    // 32 warps, 10 steps. In a step every warp loads its values, and those warps that have a
    // thread at or beyond the offset load the others': all up to offset 16, 32 - offset / 32 after.
    let counters = counters_of("scan", [1, 1, 1]);
    let others = 5 * 32 + (31 + 30 + 28 + 24 + 16);
    assert_eq!(counters.shared_load_requests, 10 * 32 + others + 32);
    assert_eq!(counters.shared_store_requests, 32 + 10 * 32);
    assert_eq!(counters.barriers, 32 * (1 + 10));
    assert_eq!((counters.bank_conflicts, counters.global_load_sectors), (0, 32 * 4));
}

#[test]
fn histogram_by_atomics() {
    const N: usize = 10_000;
    let stream = stream();
    let histogram = kernel(stream.context(), "histogram.cu", "histogram");
    let data: Vec<u32> = numbers(3, N).iter().map(|&x| (x * 1e6) as u32).collect();
    let input = stream.clone_htod(&data).unwrap();
    let mut bins: CudaSlice<u32> = stream.alloc_zeros(64).unwrap();
    let mut launch = stream.launch_builder(&histogram);
    launch.arg(&input).arg(&mut bins).arg(&(N as i32));
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(line(4, 256)) }.unwrap();
    let mut expected = [0; 64];
    data.iter().for_each(|x| expected[*x as usize % 64] += 1);
    assert_eq!(stream.clone_dtoh(&bins).unwrap(), expected);

    let counters = counters_of("histogram", [4, 1, 1]);
    assert_eq!((counters.shared_atomics, counters.global_atomics), (N as u64, 4 * 64));
    // 1024 threads: 9 sweeps of 32 warps, and 784 values left for 25 warps.
    assert_eq!(counters.global_load_requests, 9 * 32 + 25);
    assert_eq!(counters.global_load_bytes, 4 * N as u64);
    assert_eq!(counters.distinct_bytes_written, 4 * 64);
    assert_eq!(counters.barriers, 2 * 32);
}

#[test]
fn divergence_costs_what_it_costs() {
    let stream = stream();
    let module = load(stream.context(), "divergence.cu");
    let factors = numbers(4, 128);
    let input = stream.clone_htod(&factors).unwrap();
    let counters = ["iterate_by_lane", "iterate_evenly"].map(|name| {
        let iterate = module.load_function(name).unwrap();
        let mut out: CudaSlice<f64> = stream.alloc_zeros(128).unwrap();
        let mut launch = stream.launch_builder(&iterate);
        launch.arg(&input).arg(&mut out);
        // SAFETY: as many threads as numbers.
        unsafe { launch.launch(line(2, 64)) }.unwrap();
        let times = |i| {
            if name == "iterate_evenly" { 32 } else { i % 32 + 1 }
        };
        let value = |i: usize| (0..times(i)).fold(0.5, |x: f64, _| factors[i].mul_add(x, 1.0));
        let expected: Vec<f64> = (0..128).map(value).collect();
        assert_eq!(stream.clone_dtoh(&out).unwrap(), expected, "{name}");
        counters_of(name, [2, 1, 1])
    });
    let [by_lane, evenly] = counters;
    // 4 warps. Lane l goes l + 1 times round: a warp 32 times, its threads 528 times together.
    assert_eq!((by_lane.warp(Class::F64Fma), evenly.warp(Class::F64Fma)), (4 * 32, 4 * 32));
    assert_eq!((by_lane.thread(Class::F64Fma), evenly.thread(Class::F64Fma)), (4 * 528, 4 * 1024));
    // One lane leaves at a time, the last one alone.
    assert_eq!((by_lane.divergent_branches, evenly.divergent_branches), (4 * 31, 0));
    // All lanes are active throughout; only the last branch back is taken by none.
    let full = 32 * (evenly.total_warp_instructions() - 4);
    assert_eq!(evenly.total_thread_instructions(), full);
    assert!(by_lane.active_lane_efficiency() < 0.65);
}

#[test]
fn nested_divergence_agrees_with_the_host() {
    let stream = stream();
    let collatz = kernel(stream.context(), "divergence.cu", "collatz");
    let mut steps: CudaSlice<i32> = stream.alloc_zeros(1000).unwrap();
    let mut launch = stream.launch_builder(&collatz);
    launch.arg(&mut steps).arg(&1000i32);
    // SAFETY: more threads than numbers; the kernel minds.
    unsafe { launch.launch(line(8, 128)) }.unwrap();
    let count = |i: u64| {
        let next = |&x: &u64| Some(if x % 2 == 0 { x / 2 } else { 3 * x + 1 });
        std::iter::successors(Some(i), next).take_while(|&x| x != 1).count() as i32
    };
    let expected: Vec<i32> = (1..=1000).map(count).collect();
    assert_eq!(stream.clone_dtoh(&steps).unwrap(), expected);
    assert!(counters_of("collatz", [8, 1, 1]).divergent_branches > 0);
}

/// The factor of a symmetric 4 x 4 matrix, lower triangle by rows, in the kernel's order.
fn cholesky(a: &[f64; 10]) -> [f64; 10] {
    let at = |i: usize, j: usize| i * (i + 1) / 2 + j;
    let mut l = *a;
    for j in 0..4 {
        for k in 0..j {
            l[at(j, j)] = (-l[at(j, k)]).mul_add(l[at(j, k)], l[at(j, j)]);
        }
        l[at(j, j)] = l[at(j, j)].sqrt();
        for i in j + 1..4 {
            for k in 0..j {
                l[at(i, j)] = (-l[at(i, k)]).mul_add(l[at(j, k)], l[at(i, j)]);
            }
            l[at(i, j)] /= l[at(j, j)];
        }
    }
    l
}

#[test]
fn cholesky_in_registers_is_exact() {
    const SYSTEMS: usize = 256;
    let stream = stream();
    let factor = kernel(stream.context(), "cholesky.cu", "cholesky4");
    // Diagonally dominant, interleaved.
    let random = numbers(5, 10 * SYSTEMS);
    let diagonal = |entry: usize| matches!(entry, 0 | 2 | 5 | 9);
    let data: Vec<f64> = (0..10 * SYSTEMS)
        .map(|i| random[i] + if diagonal(i / SYSTEMS) { 4.0 } else { 0.0 })
        .collect();
    let mut matrices = stream.clone_htod(&data).unwrap();
    let mut launch = stream.launch_builder(&factor);
    launch.arg(&mut matrices).arg(&(SYSTEMS as i32));
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(line(2, 128)) }.unwrap();
    let factors = stream.clone_dtoh(&matrices).unwrap();
    for s in 0..SYSTEMS {
        let of = |values: &[f64]| std::array::from_fn(|entry| values[entry * SYSTEMS + s]);
        assert_eq!(of(&factors), cholesky(&of(&data)), "system {s}");
    }

    // Column j has j multiply-adds in each of its 4 - j entries: 3 + 4 + 3.
    let counters = counters_of("cholesky4", [2, 1, 1]);
    assert_eq!(counters.thread(Class::F64Fma), 10 * SYSTEMS as u64);
    assert_eq!(counters.f64_flops(), 20 * SYSTEMS as u64);
    // 8 warps; an entry of 32 matrices is 256 contiguous bytes, 8 sectors.
    assert_eq!((counters.global_load_requests, counters.global_load_sectors), (80, 80 * 8));
    assert_eq!((counters.global_store_requests, counters.global_store_sectors), (80, 80 * 8));
    assert_eq!((counters.local_requests, counters.shared_load_requests), (0, 0));
    // 10 numbers of two registers are live at once; a few more for addresses.
    assert!((20..64).contains(&factor.num_regs().unwrap()));
}

#[test]
fn functions_are_called() {
    let stream = stream();
    let calls = kernel(stream.context(), "calls.cu", "calls");
    let data = numbers(6, 70);
    let input = stream.clone_htod(&data).unwrap();
    let mut out: CudaSlice<f64> = stream.alloc_zeros(70).unwrap();
    let mut launch = stream.launch_builder(&calls);
    launch.arg(&input).arg(&mut out).arg(&70i32);
    // SAFETY: more threads than numbers; the kernel minds.
    unsafe { launch.launch(line(3, 32)) }.unwrap();
    let value = |i: usize| {
        let terms = i % 4 + 1;
        let square = |k: usize| {
            let x = data[i] + k as f64;
            x.mul_add(x, 0.5)
        };
        2.0 * (1..=terms).fold(0.0, |sum, k| sum + square(k)) + terms as f64
    };
    let expected: Vec<f64> = (0..70).map(value).collect();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);
    // 17 times 1 + 2 + 3 + 4 terms and 1 + 2 for the last two threads: 173 terms, each with the one
    // fma of square_plus. What nvcc makes of the sums is its own affair.
    let counters = counters_of("calls", [3, 1, 1]);
    assert_eq!(counters.thread(Class::F64Fma), 173);
    assert_eq!((counters.threads, counters.global_store_bytes), (96, 70 * 8));
}

#[test]
fn module_variables_have_addresses() {
    let stream = stream();
    let module = load(stream.context(), "variables.cu");
    let look_up = module.load_function("look_up").unwrap();
    let mut out: CudaSlice<f32> = stream.alloc_zeros(32).unwrap();
    for _ in 0..2 {
        let mut launch = stream.launch_builder(&look_up);
        launch.arg(&mut out);
        // SAFETY: as many threads as numbers.
        unsafe { launch.launch(line(1, 32)) }.unwrap();
    }
    let expected: Vec<f32> = (0..32).map(|i| (i % 8 + 1) as f32).collect();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);
    let counter = module.get_global("counter", &stream).unwrap();
    assert_eq!(stream.clone_dtoh(&counter).unwrap(), 44i32.to_le_bytes());
    let table = module.get_global("table", &stream).unwrap();
    assert_eq!(stream.clone_dtoh(&table).unwrap()[4..8], 2f32.to_le_bytes());
    assert!(module.get_global("missing", &stream).is_err());
}

#[test]
fn graphs_replay_kernels_and_keep_their_parameters() {
    let stream = stream();
    // SAFETY: everything happens in one stream.
    unsafe { stream.context().disable_event_tracking() };
    let module = load(stream.context(), "variables.cu");
    let look_up = module.load_function("look_up").unwrap();
    let mut out: CudaSlice<f32> = stream.alloc_zeros(8).unwrap();
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    stream.begin_capture(mode).unwrap();
    stream.memset_zeros(&mut out).unwrap();
    let mut launch = stream.launch_builder(&look_up);
    launch.arg(&mut out);
    // SAFETY: as many threads as numbers.
    unsafe { launch.launch(line(1, 8)) }.unwrap();
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let small = |launch: &&cuda_sim::simulator::LaunchRecord| launch.config.block == [8, 1, 1];
    let ran = || launches_of("look_up").iter().filter(small).count();
    assert_eq!(ran(), 0);
    graph.launch().unwrap();
    graph.launch().unwrap();
    assert_eq!(ran(), 2);
    assert_eq!(stream.clone_dtoh(&out).unwrap(), [1., 2., 3., 4., 5., 6., 7., 8.]);
}

#[test]
fn results_and_counters_are_the_same_every_time() {
    let run = || {
        let stream = stream();
        let collatz = kernel(stream.context(), "divergence.cu", "collatz");
        let mut steps: CudaSlice<i32> = stream.alloc_zeros(4000).unwrap();
        let mut launch = stream.launch_builder(&collatz);
        launch.arg(&mut steps).arg(&4000i32);
        // SAFETY: more threads than numbers; the kernel minds.
        unsafe { launch.launch(line(64, 64)) }.unwrap();
        stream.clone_dtoh(&steps).unwrap()
    };
    assert_eq!(run(), run());
    let mut launches = launches_of("collatz");
    launches.retain(|launch| launch.config.grid == [64, 1, 1]);
    assert_eq!(launches.len(), 2);
    assert_eq!(launches[0], launches[1]);
}
