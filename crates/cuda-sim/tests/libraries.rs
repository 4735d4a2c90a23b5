//! Kernels made of NVIDIA's device libraries: block algorithms and mathematical functions.

mod support;

use cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg};
use support::{context, kernel, load, numbers};

fn line(blocks: u32, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

#[test]
fn a_block_sorts_sums_and_scans() {
    let stream = context().new_stream().unwrap();
    let sort = kernel(stream.context(), "blocks.cu", "sort_and_scan");
    let mut keys: Vec<u32> = numbers(11, 512).iter().map(|&x| (x * 4e6) as u32).collect();
    let input = stream.clone_htod(&keys).unwrap();
    let mut sorted: CudaSlice<u32> = stream.alloc_zeros(512).unwrap();
    let mut sums: CudaSlice<u32> = stream.alloc_zeros(512).unwrap();
    let mut total: CudaSlice<u32> = stream.alloc_zeros(1).unwrap();
    let mut launch = stream.launch_builder(&sort);
    launch.arg(&input).arg(&mut sorted).arg(&mut sums).arg(&mut total);
    // SAFETY: as the kernel's header says.
    unsafe { launch.launch(line(1, 128)) }.unwrap();
    keys.sort_unstable();
    assert_eq!(stream.clone_dtoh(&sorted).unwrap(), keys);
    let mut sum = 0u32;
    let expected: Vec<u32> = keys
        .iter()
        .map(|key| {
            sum = sum.wrapping_add(*key);
            sum
        })
        .collect();
    assert_eq!(stream.clone_dtoh(&sums).unwrap(), expected);
    let modulo: u32 = keys.iter().map(|key| key % 16).sum();
    assert_eq!(stream.clone_dtoh(&total).unwrap(), [modulo]);
}

#[test]
fn tiles_of_a_block_cooperate() {
    let stream = context().new_stream().unwrap();
    let tiles = kernel(stream.context(), "blocks.cu", "tiles");
    let values: Vec<i32> = numbers(12, 96).iter().map(|&x| (x * 1000.0) as i32 - 500).collect();
    let input = stream.clone_htod(&values).unwrap();
    let [mut sums, mut maxima, mut odd]: [CudaSlice<i32>; 3] =
        std::array::from_fn(|_| stream.alloc_zeros(96).unwrap());
    let mut launch = stream.launch_builder(&tiles);
    launch.arg(&input).arg(&mut sums).arg(&mut maxima).arg(&mut odd);
    // SAFETY: as many numbers as threads.
    unsafe { launch.launch(line(1, 96)) }.unwrap();
    let of_tile = |of: fn(&[i32]) -> i32| -> Vec<i32> {
        values.chunks(16).flat_map(|tile| [of(tile); 16]).collect()
    };
    assert_eq!(stream.clone_dtoh(&sums).unwrap(), of_tile(|tile| tile.iter().sum()));
    assert_eq!(stream.clone_dtoh(&maxima).unwrap(), of_tile(|tile| *tile.iter().max().unwrap()));
    let is_odd = |value: &&i32| **value % 2 != 0;
    let expected: Vec<i32> = values
        .chunks(32)
        .flat_map(|warp| {
            let count = warp.iter().filter(is_odd).count() as i32;
            warp.iter().map(move |value| if value % 2 != 0 { count } else { 0 })
        })
        .collect();
    assert_eq!(stream.clone_dtoh(&odd).unwrap(), expected);
}

/// The functions of `mathematics.cu` on the host, in f64.
fn on_host(x: f64) -> [f64; 12] {
    [
        x.sin(),
        x.cos(),
        x.exp(),
        (1.0 + x * x).ln(),
        x.abs().powf(1.5),
        x.tanh(),
        x.atan(),
        x.cbrt(),
        x.abs().sqrt(),
        x.sinh(),
        x.atan2(2.0),
        x % 0.3,
    ]
}

#[test]
fn mathematical_functions_agree_with_the_host() {
    const COUNT: usize = 256;
    let stream = context().new_stream().unwrap();
    let module = load(stream.context(), "mathematics.cu");
    let mut arguments: Vec<f64> = numbers(13, COUNT).iter().map(|x| 20.0 * x - 10.0).collect();
    arguments[..4].copy_from_slice(&[0.0, 1e-5, -1e-5, 1.0]);

    let in_f64 = stream.clone_htod(&arguments).unwrap();
    let mut out_f64: CudaSlice<f64> = stream.alloc_zeros(12 * COUNT).unwrap();
    let functions = module.load_function("functions_f64").unwrap();
    let mut launch = stream.launch_builder(&functions);
    launch.arg(&in_f64).arg(&mut out_f64);
    // SAFETY: as many threads as arguments.
    unsafe { launch.launch(line(4, 64)) }.unwrap();
    for (x, values) in arguments.iter().zip(stream.clone_dtoh(&out_f64).unwrap().chunks(12)) {
        for (function, (value, expected)) in values.iter().zip(on_host(*x)).enumerate() {
            // Both libraries stay within 2 units in the last place, as documented.
            let error = (value - expected).abs();
            let allowed = 4.0 * f64::EPSILON * expected.abs();
            assert!(error <= allowed, "function {function} of {x}: {value}, not {expected}");
        }
    }

    let narrow: Vec<f32> = arguments.iter().map(|&x| x as f32).collect();
    let in_f32 = stream.clone_htod(&narrow).unwrap();
    let mut out_f32: CudaSlice<f32> = stream.alloc_zeros(12 * COUNT).unwrap();
    let functions = module.load_function("functions_f32").unwrap();
    let mut launch = stream.launch_builder(&functions);
    launch.arg(&in_f32).arg(&mut out_f32);
    // SAFETY: as many threads as arguments.
    unsafe { launch.launch(line(4, 64)) }.unwrap();
    for (x, values) in narrow.iter().zip(stream.clone_dtoh(&out_f32).unwrap().chunks(12)) {
        let mut expected = on_host(f64::from(*x));
        // The f32 remainder has the divisor rounded to f32; it is exact.
        expected[11] = f64::from(x % 0.3);
        expected[3] = f64::from(1.0 + x * x).ln();
        for (function, (value, expected)) in values.iter().zip(expected).enumerate() {
            // At most 4 units in the last place (powf), by the CUDA programming guide.
            let error = (f64::from(*value) - expected).abs();
            let allowed = 4.0 * f64::from(f32::EPSILON) * expected.abs();
            assert!(error <= allowed, "function {function} of {x}: {value}, not {expected}");
        }
    }
}
