//! Functions: attributes, limits of a launch, occupancy.

mod support;

use std::sync::Arc;

use cuda_sim::{device::Device, roofline::Resources};
use cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg,
    sys::{CUfunction_attribute as FunctionAttribute, CUresult},
};
use support::{context, kernel, reports_with};

const INVALID: Result<(), DriverError> = Err(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE));

fn shape(grid: (u32, u32, u32), block: (u32, u32, u32), dynamic_shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: grid, block_dim: block, shared_mem_bytes: dynamic_shared }
}

fn stream() -> Arc<CudaStream> {
    context().new_stream().unwrap()
}

/// Launches a kernel that takes one pointer.
fn launch(
    stream: &Arc<CudaStream>,
    function: &CudaFunction,
    config: LaunchConfig,
) -> Result<(), DriverError> {
    let out: CudaSlice<i32> = stream.alloc_zeros(256).unwrap();
    let mut launch = stream.launch_builder(function);
    launch.arg(&out);
    // SAFETY: at most 256 threads.
    unsafe { launch.launch(config) }.map(drop)
}

#[test]
fn launch_bounds_are_kept() {
    let stream = stream();
    let bounded = kernel(stream.context(), "limits.cu", "bounded");
    assert_eq!(bounded.max_threads_per_block(), Ok(64));
    assert_eq!(launch(&stream, &bounded, shape((1, 1, 1), (64, 1, 1), 0)), Ok(()));
    let too_many = launch(&stream, &bounded, shape((1, 1, 1), (65, 1, 1), 0));
    assert_eq!(too_many, Err(DriverError(CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)));
    assert_eq!(reports_with(&["bounded refused", "65 threads", "compiled for 64"]).len(), 1);
}

#[test]
fn registers_limit_the_block() {
    let stream = stream();
    let function = kernel(stream.context(), "limits.cu", "many_registers");
    assert!((96..=255).contains(&function.num_regs().unwrap()));
    let numbers: CudaSlice<f32> = stream.alloc_zeros(96 * 1024).unwrap();
    let attempt = |threads| {
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers);
        // SAFETY: 96 numbers per thread.
        unsafe { launch.launch(shape((1, 1, 1), (threads, 1, 1), 0)) }.map(drop)
    };
    assert_eq!(attempt(256), Ok(()));
    let out_of_resources = CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    assert_eq!(attempt(1024), Err(DriverError(out_of_resources)));
    assert_eq!(reports_with(&["many_registers refused", "1024 threads of"]).len(), 1);
}

#[test]
fn attributes_describe_the_kernel() {
    let stream = stream();
    let function = kernel(stream.context(), "limits.cu", "shared_kilobyte");
    assert_eq!(function.shared_size_bytes(), Ok(1024));
    assert_eq!(function.local_size_bytes(), Ok(0));
    assert_eq!(function.max_threads_per_block(), Ok(1024));
    assert_eq!(function.binary_version(), Ok(90));
    // Static and dynamic shared memory count together.
    let most = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(function.get_attribute(most), Ok(47 << 10));
    assert_eq!(function.set_attribute(most, 226 << 10), Ok(()));
    assert_eq!(function.set_attribute(most, (226 << 10) + 1), INVALID);
    // Attributes belong to the function of the module, not to the handle in hand.
    assert_eq!(function.get_attribute(most), Ok(226 << 10));
}

#[test]
fn occupancy_counts_what_fits() {
    let stream = stream();
    let function = kernel(stream.context(), "limits.cu", "shared_kilobyte");
    let registers = function.num_regs().unwrap() as u32;
    // A kernel this small needs few.
    assert!((4..=32).contains(&registers), "{registers}");
    let device = Device::h100();
    let fit = |threads, dynamic| {
        Resources {
            threads_per_block: threads,
            registers_per_thread: registers,
            shared_per_block: 1024 + dynamic,
        }
        .blocks_per_multiprocessor(&device)
    };
    for (threads, dynamic) in [(32, 0), (256, 0), (1024, 0), (128, 50 << 10), (128, 113 << 10)] {
        let blocks =
            function.occupancy_max_active_blocks_per_multiprocessor(threads, dynamic, None);
        assert_eq!(blocks, Ok(fit(threads, dynamic as u32)), "{threads} threads, {dynamic} bytes");
    }
    // By hand: 2048 threads; 32 blocks; 228 KiB over 52 and 115 KiB (1 static, 1 reserved).
    let by_hand = [fit(256, 0), fit(32, 0), fit(128, 50 << 10), fit(128, 113 << 10)];
    assert_eq!(by_hand, [8, 32, 4, 1]);
    extern "C" fn no_shared(_threads: std::ffi::c_int) -> usize {
        0
    }
    let (grid, block) = function.occupancy_max_potential_block_size(no_shared, 0, 0, None).unwrap();
    // All 2048 threads are resident with the largest block.
    assert_eq!((grid, block), (2 * 132, 1024));
    // Two blocks share 228 KiB: 114 each, less 1 reserved and 1 static.
    let available = function.occupancy_available_dynamic_smem_per_block(2, 128);
    assert_eq!(available, Ok(112 << 10));
    assert_eq!(function.occupancy_available_dynamic_smem_per_block(33, 128), Ok(0));
}

#[test]
fn cooperative_launches_have_one_block() {
    let stream = stream();
    let bounded = kernel(stream.context(), "limits.cu", "bounded");
    let out: CudaSlice<i32> = stream.alloc_zeros(64).unwrap();
    let attempt = |blocks| {
        let mut launch = stream.launch_builder(&bounded);
        launch.arg(&out);
        // SAFETY: as many numbers as threads.
        unsafe { launch.launch_cooperative(shape((blocks, 1, 1), (64, 1, 1), 0)) }.map(drop)
    };
    assert_eq!(attempt(1), Ok(()));
    let not_supported = CUresult::CUDA_ERROR_NOT_SUPPORTED;
    assert_eq!(attempt(2), Err(DriverError(not_supported)));
}

#[test]
fn dynamic_shared_memory_is_opted_into() {
    let stream = stream();
    let product = kernel(stream.context(), "matmul.cu", "matmul");
    let zeros: CudaSlice<f32> = stream.alloc_zeros(256).unwrap();
    let mut c: CudaSlice<f32> = stream.alloc_zeros(256).unwrap();
    let mut attempt = |bytes| {
        let mut launch = stream.launch_builder(&product);
        launch.arg(&zeros).arg(&zeros).arg(&mut c).arg(&16i32);
        // SAFETY: as the kernel's header says; more shared memory does no harm.
        unsafe { launch.launch(shape((1, 1, 1), (16, 16, 1), bytes)) }.map(drop)
    };
    let most = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(product.get_attribute(most), Ok(48 << 10));
    attempt(48 << 10).unwrap();
    assert_eq!(attempt((48 << 10) + 1), INVALID);
    assert!(!reports_with(&["launch of matmul refused", "49153 bytes", "49152"]).is_empty());
    product.set_attribute(most, 100 << 10).unwrap();
    attempt(100 << 10).unwrap();
    assert_eq!(attempt((100 << 10) + 1), INVALID);
    assert_eq!(product.set_attribute(most, (227 << 10) + 1), INVALID);
    // A refused launch is not a failed kernel.
    stream.synchronize().unwrap();
}

#[test]
fn no_shared_memory_is_left_beside_too_much_of_it() {
    // One byte more than a block of the device has.
    let ptx = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry crowded()\n{{\n\
         .reg .b32 %r;\n.shared .b8 s[{}];\nmov.u32 %r, s;\nret;\n}}\n",
        (227 << 10) + 1
    );
    let module = context().load_module(cudarc::nvrtc::Ptx::from_src(ptx)).unwrap();
    let crowded = module.load_function("crowded").unwrap();
    let most = FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(crowded.set_attribute(most, 1), INVALID);
    assert_eq!(crowded.set_attribute(most, 0), Ok(()));
}

#[test]
fn launch_limits_are_those_of_the_device() {
    let stream = stream();
    let scan = kernel(stream.context(), "scan.cu", "scan");
    let data: CudaSlice<i32> = stream.alloc_zeros(4).unwrap();
    let attempt = |grid, block| {
        let mut launch = stream.launch_builder(&scan);
        launch.arg(&data).arg(&data);
        // SAFETY: none of these launches starts.
        unsafe { launch.launch(shape(grid, block, 0)) }.map(drop)
    };
    assert_eq!(attempt((1, 1, 1), (1025, 1, 1)), INVALID);
    assert_eq!(attempt((1, 1, 1), (32, 32, 2)), INVALID);
    assert_eq!(attempt((1, 1, 1), (1, 1, 65)), INVALID);
    assert_eq!(attempt((1, 65536, 1), (1, 1, 1)), INVALID);
    assert_eq!(attempt((0, 1, 1), (1, 1, 1)), INVALID);
    assert_eq!(reports_with(&["launch of scan refused", "65536", "65535"]).len(), 1);
    // A device has such a grid, the simulator does not.
    let not_supported = CUresult::CUDA_ERROR_NOT_SUPPORTED;
    assert_eq!(attempt(((1 << 22) + 1, 1, 1), (1, 1, 1)), Err(DriverError(not_supported)));
    assert_eq!(reports_with(&["scan", "4194305 blocks; this simulator has 4194304"]).len(), 1);
}
