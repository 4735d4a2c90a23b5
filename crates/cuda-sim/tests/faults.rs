//! Fault injection: the chosen operation fails with the chosen error, and only that one.

mod support;

use cuda_sim::{driver::CuResult, faults::Operation};
use cudarc::driver::{CudaSlice, DriverError, LaunchConfig, PushKernelArg, sys::CUresult};
use support::{context, kernel, simulator};

fn error<T>(result: Result<T, DriverError>) -> CUresult {
    result.err().map_or(CUresult::CUDA_SUCCESS, |DriverError(error)| error)
}

/// One test: injected faults are the process's, and tests run side by side.
#[test]
fn chosen_operations_fail() {
    let simulator = simulator();
    let context = context();
    let stream = context.default_stream();
    let inject = |operation, nth, error| simulator.inject(operation, nth, error).unwrap();

    // The third allocation from now.
    inject(Operation::Allocation, 3, CuResult::OutOfMemory);
    let allocate = || stream.alloc_zeros::<f64>(10);
    let kept = [allocate().unwrap(), allocate().unwrap()];
    assert_eq!(error(allocate()), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(error(allocate()), CUresult::CUDA_SUCCESS);

    // The second copy; memsets are counted apart.
    inject(Operation::Copy, 2, CuResult::Unknown);
    assert_eq!(stream.clone_dtoh(&kept[0]).unwrap(), [0.0; 10]);
    assert_eq!(error(stream.clone_dtoh(&kept[1])), CUresult::CUDA_ERROR_UNKNOWN);
    inject(Operation::Memset, 1, CuResult::InvalidValue);
    assert_eq!(error(allocate()), CUresult::CUDA_ERROR_INVALID_VALUE);

    // A module load, and then none.
    inject(Operation::ModuleLoad, 1, CuResult::UnsupportedPtxVersion);
    let ptx = || cudarc::nvrtc::Ptx::from_src(support::ptx_of("scan.cu"));
    let unsupported = CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    assert_eq!(error(context.load_module(ptx())), unsupported);
    let scan = kernel(&context, "scan.cu", "scan");

    // A launch that is refused leaves the context as it was.
    let data: CudaSlice<i32> = stream.alloc_zeros(32).unwrap();
    let launch = || {
        let mut launch = stream.launch_builder(&scan);
        launch.arg(&data).arg(&data);
        let (grid_dim, block_dim) = ((1, 1, 1), (32, 1, 1));
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 256 };
        // SAFETY: every thread reads and writes its own element before and after the scan.
        unsafe { launch.launch(config) }.map(drop)
    };
    inject(Operation::Launch, 2, CuResult::LaunchOutOfResources);
    assert_eq!(error(launch()), CUresult::CUDA_SUCCESS);
    assert_eq!(error(launch()), CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    assert_eq!(error(launch()), CUresult::CUDA_SUCCESS);

    // Faults that are called off do not come.
    inject(Operation::Copy, 1, CuResult::Unknown);
    simulator.clear_faults().unwrap();
    assert_eq!(error(stream.clone_dtoh(&data)), CUresult::CUDA_SUCCESS);
    assert_eq!(
        simulator.inject(Operation::Copy, 0, CuResult::Unknown),
        Err(CuResult::InvalidValue)
    );
    assert_eq!(
        simulator.inject(Operation::Copy, 1, CuResult::Success),
        Err(CuResult::InvalidValue)
    );

    // A launch that fails as a kernel does takes the context with it, as on a GPU.
    inject(Operation::Launch, 1, CuResult::LaunchFailed);
    assert_eq!(error(launch()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(error(stream.clone_dtoh(&data)), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(error(allocate()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    // Another context is not concerned.
    let other = support::context();
    assert_eq!(error(other.default_stream().alloc_zeros::<u8>(1)), CUresult::CUDA_SUCCESS);
}
