//! Every sanitizer finds a planted bug, says where it is, and is silent on a kernel without it; and
//! a context in which a kernel failed answers nothing but that.
//!
//! The kernels are in `kernels/sanitizers.cu`. Most have their bug for one value of a number that
//! they are given, and none for another; races have a second kernel without the bug. The
//! simulator's reports are those of the whole process and tests run side by side: tests that launch
//! the same kernel must look for different words.

mod support;

use std::{fs, sync::Arc};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg,
    result, sys::CUresult,
};
use support::{context, kernel, reports_with};

/// Returns the number of the line of `sanitizers.cu` that is marked `BUG <name>`.
fn line_of(name: &str) -> usize {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/sanitizers.cu");
    let source = fs::read_to_string(source).unwrap();
    let marked = |line: &str| line.trim_end().ends_with(&format!("// BUG {name}"));
    1 + source.lines().position(marked).expect("the line is marked")
}

/// Returns a launch of blocks and threads along x only.
fn along_x(blocks: u32, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

/// A kernel of `sanitizers.cu` in a context of its own.
struct Case {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    kernel: CudaFunction,
}

impl Case {
    fn new(name: &str) -> Self {
        let context = context();
        Self {
            stream: context.default_stream(),
            kernel: kernel(&context, "sanitizers.cu", name),
            context,
        }
    }

    fn zeros(&self, count: usize) -> CudaSlice<i32> {
        self.stream.alloc_zeros(count).unwrap()
    }

    /// Launches with a pointer and a number, waits, and returns how that went.
    fn run(&self, config: LaunchConfig, data: &CudaSlice<i32>, number: i32) -> CUresult {
        let mut launch = self.stream.launch_builder(&self.kernel);
        launch.arg(data).arg(&number);
        // SAFETY: whatever the kernel does wrong, the simulator notices.
        unsafe { launch.launch(config) }.unwrap();
        self.outcome()
    }

    /// Waits for the launches and returns how they went.
    fn outcome(&self) -> CUresult {
        match self.context.synchronize() {
            Ok(()) => CUresult::CUDA_SUCCESS,
            Err(DriverError(error)) => error,
        }
    }
}

/// Checks that exactly one report mentions the kernel and these words, and that it names the line
/// of the source that is marked as the kernel's bug.
fn assert_reported(kernel: &str, words: &[&str]) {
    let all: Vec<&str> = [kernel].into_iter().chain(words.iter().copied()).collect();
    let reports = reports_with(&all);
    let everything = reports_with(&[kernel]);
    assert_eq!(reports.len(), 1, "{all:?} in {everything:#?}");
    let place = format!("sanitizers.cu:{}", line_of(kernel));
    let mut words = reports[0].split_whitespace().map(|word| word.trim_end_matches(','));
    assert!(words.any(|word| word.ends_with(&place)), "{place} in {}", reports[0]);
}

#[test]
fn global_memory_out_of_bounds() {
    let good = Case::new("global_bounds");
    assert_eq!(good.run(along_x(2, 64), &good.zeros(100), 100), CUresult::CUDA_SUCCESS);
    let bad = Case::new("global_bounds");
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(bad.run(along_x(2, 64), &bad.zeros(100), 101), illegal);
    // Thread 36 of block 1 writes behind the 400 bytes.
    assert_reported("global_bounds", &["out of bounds", "400 bytes", "(1, 0, 0)", "(36, 0, 0)"]);
}

#[test]
fn use_after_free() {
    let case = Case::new("read_global");
    let (freed, out) = (case.zeros(32), case.zeros(32));
    let address = freed.leak();
    // SAFETY: freed once; the use afterwards is the test.
    unsafe {
        result::free_sync(address).unwrap();
        let mut launch = case.stream.launch_builder(&case.kernel);
        launch.arg(&address).arg(&out);
        launch.launch(along_x(1, 32)).unwrap();
    }
    assert_eq!(case.outcome(), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_reported("read_global", &["freed", &format!("{address:#x}")]);
}

#[test]
fn misaligned_addresses() {
    let good = Case::new("alignment");
    assert_eq!(good.run(along_x(1, 1), &good.zeros(8), 8), CUresult::CUDA_SUCCESS);
    let bad = Case::new("alignment");
    let misaligned = CUresult::CUDA_ERROR_MISALIGNED_ADDRESS;
    assert_eq!(bad.run(along_x(1, 1), &bad.zeros(8), 4), misaligned);
    assert_reported("alignment", &["store of 8 bytes", "4, which is not a multiple of 8"]);
}

#[test]
fn shared_memory_out_of_bounds() {
    let good = Case::new("shared_bounds");
    assert_eq!(good.run(along_x(1, 32), &good.zeros(32), 31), CUresult::CUDA_SUCCESS);
    let bad = Case::new("shared_bounds");
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(bad.run(along_x(1, 32), &bad.zeros(32), 32), illegal);
    assert_reported("shared_bounds", &["offset 0x80", "128 bytes of shared memory", "(7, 0, 0)"]);
}

#[test]
fn local_memory_out_of_bounds() {
    let good = Case::new("local_bounds");
    assert_eq!(good.run(along_x(1, 1), &good.zeros(16), 15), CUresult::CUDA_SUCCESS);
    let bad = Case::new("local_bounds");
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(bad.run(along_x(1, 1), &bad.zeros(16), 16), illegal);
    assert_reported("local_bounds", &["offset 0x40", "64 bytes of local memory"]);
}

#[test]
fn every_space_has_bounds_and_alignment() {
    let misaligned = CUresult::CUDA_ERROR_MISALIGNED_ADDRESS;
    let illegal = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    for (name, right, wrong, expected, words) in [
        ("shared_alignment", 8, 12, misaligned, "not a multiple of 8"),
        ("local_alignment", 8, 10, misaligned, "not a multiple of 4"),
        ("constant_bounds", 7, 8, illegal, "constant"),
        ("atomic_bounds", 63, 64, illegal, "out of bounds"),
    ] {
        let good = Case::new(name);
        let outcome = good.run(along_x(1, 8), &good.zeros(64), right);
        assert_eq!(outcome, CUresult::CUDA_SUCCESS, "{name}");
        let bad = Case::new(name);
        assert_eq!(bad.run(along_x(1, 8), &bad.zeros(64), wrong), expected, "{name}");
        assert_reported(name, &[words]);
    }
}

#[test]
fn reads_of_unwritten_global_memory() {
    // One case with everything written, one with all but the last word.
    for (written, expected) in
        [(32, CUresult::CUDA_SUCCESS), (31, CUresult::CUDA_ERROR_LAUNCH_FAILED)]
    {
        let case = Case::new("read_global");
        // SAFETY: what is read without being written is the test.
        let mut input = unsafe { case.stream.alloc::<i32>(32) }.unwrap();
        let out = case.zeros(32);
        case.stream.memset_zeros(&mut input.slice_mut(..written)).unwrap();
        let mut launch = case.stream.launch_builder(&case.kernel);
        launch.arg(&input).arg(&out);
        // SAFETY: in bounds.
        unsafe { launch.launch(along_x(1, 32)) }.unwrap();
        assert_eq!(case.outcome(), expected, "{written} words written");
    }
    assert_reported("read_global", &["never written", "(31, 0, 0)"]);
}

#[test]
fn reads_of_unwritten_shared_memory() {
    let good = Case::new("read_shared");
    assert_eq!(good.run(along_x(1, 32), &good.zeros(32), 32), CUresult::CUDA_SUCCESS);
    let bad = Case::new("read_shared");
    let failed = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    assert_eq!(bad.run(along_x(1, 32), &bad.zeros(32), 30), failed);
    assert_reported("read_shared", &["never written", "shared", "(30, 0, 0)"]);
}

/// Launches a kernel that only takes a pointer.
fn run_without_number(name: &str, config: LaunchConfig) -> CUresult {
    let case = Case::new(name);
    let data = case.zeros(64);
    let mut launch = case.stream.launch_builder(&case.kernel);
    launch.arg(&data);
    // SAFETY: in bounds.
    unsafe { launch.launch(config) }.unwrap();
    case.outcome()
}

#[test]
fn races_on_shared_memory() {
    assert_eq!(run_without_number("shared_ordered", along_x(1, 64)), CUresult::CUDA_SUCCESS);
    let failed = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    assert_eq!(run_without_number("shared_race", along_x(1, 64)), failed);
    assert_eq!(reports_with(&["kernel shared_race", "races with read", "shared memory"]).len(), 1);
    assert_eq!(reports_with(&["shared_ordered"]), [""; 0]);
}

#[test]
fn races_on_global_memory() {
    assert_eq!(run_without_number("global_atomic", along_x(8, 32)), CUresult::CUDA_SUCCESS);
    assert_eq!(run_without_number("global_race", along_x(1, 32)), CUresult::CUDA_SUCCESS);
    let failed = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    assert_eq!(run_without_number("global_race", along_x(8, 32)), failed);
    assert_reported("global_race", &["races with write", "of block", "global memory"]);
    assert_eq!(reports_with(&["global_atomic"]), [""; 0]);
}

#[test]
fn barriers_that_not_all_threads_reach() {
    let good = Case::new("barrier");
    assert_eq!(good.run(along_x(1, 64), &good.zeros(1), 64), CUresult::CUDA_SUCCESS);
    // Half of the second warp stays away, then all of it.
    for limit in [48, 32] {
        let bad = Case::new("barrier");
        let hangs = CUresult::CUDA_ERROR_LAUNCH_TIMEOUT;
        assert_eq!(bad.run(along_x(1, 64), &bad.zeros(1), limit), hangs, "{limit} threads");
    }
    let place = format!("sanitizers.cu:{}", line_of("barrier"));
    assert_eq!(reports_with(&["divergent barrier", "0x0000ffff of warp 1", &place]).len(), 1);
    assert_eq!(reports_with(&["missing barrier", "warp 1", &place]).len(), 1);
}

#[test]
fn assertions_and_traps() {
    let good = Case::new("asserts");
    assert_eq!(good.run(along_x(1, 32), &good.zeros(32), 32), CUresult::CUDA_SUCCESS);
    let bad = Case::new("asserts");
    assert_eq!(bad.run(along_x(1, 32), &bad.zeros(32), 9), CUresult::CUDA_ERROR_ASSERT);
    assert_reported("asserts", &["threadIdx.x != wrong", "(9, 0, 0)"]);
    let good = Case::new("traps");
    assert_eq!(good.run(along_x(1, 32), &good.zeros(32), 32), CUresult::CUDA_SUCCESS);
    let bad = Case::new("traps");
    assert_eq!(bad.run(along_x(1, 32), &bad.zeros(32), 9), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_reported("traps", &["trap instruction", "thread (9, 0, 0)"]);
}

#[test]
fn an_error_of_a_kernel_comes_with_the_next_call_that_waits() {
    let case = Case::new("traps");
    // SAFETY: everything happens in one stream.
    unsafe { case.context.disable_event_tracking() };
    let (mut data, wrong) = (case.zeros(64), 1i32);
    let mut launch = case.stream.launch_builder(&case.kernel);
    launch.arg(&data).arg(&wrong);
    // SAFETY: in bounds.
    unsafe { launch.launch(along_x(2, 32)) }.unwrap();
    // Calls that only order work do not know yet.
    case.stream.memset_zeros(&mut data).unwrap();
    let event = case.stream.record_event(None).unwrap();
    let failed = Err(DriverError(CUresult::CUDA_ERROR_LAUNCH_FAILED));
    assert_eq!(event.synchronize(), failed);
    assert_eq!(case.stream.memset_zeros(&mut data), failed);
}

#[test]
fn a_failed_context_answers_nothing_else() {
    let case = Case::new("alignment");
    let data = case.zeros(8);
    let misaligned = Err(DriverError(CUresult::CUDA_ERROR_MISALIGNED_ADDRESS));
    assert_eq!(case.run(along_x(1, 1), &data, 2), CUresult::CUDA_ERROR_MISALIGNED_ADDRESS);
    let mut launch = case.stream.launch_builder(&case.kernel);
    let aligned = 0i32;
    launch.arg(&data).arg(&aligned);
    // SAFETY: the failed context refuses the launch.
    assert_eq!(unsafe { launch.launch(along_x(1, 1)) }.map(drop), misaligned);
    assert_eq!(case.stream.clone_dtoh(&data).map(drop), misaligned);
    assert_eq!(case.stream.alloc_zeros::<u8>(1).map(drop), misaligned);
    assert_eq!(case.stream.synchronize(), misaligned);
    assert_eq!(case.context.new_stream().map(drop), misaligned);
    assert_eq!(case.context.mem_get_info().map(drop), misaligned);
    // The device is still there, and so are other contexts.
    assert!(case.context.name().is_ok());
    let other = Case::new("alignment");
    assert_eq!(other.run(along_x(1, 1), &other.zeros(8), 0), CUresult::CUDA_SUCCESS);
}

#[test]
fn leaks_are_reported_when_the_context_ends() {
    let context = context();
    // SAFETY: never used, and never freed: that is the test.
    let address = unsafe { result::malloc_sync(123_456) }.unwrap();
    drop(context);
    let reports = reports_with(&["leak", "123456 bytes", &format!("{address:#x}")]);
    assert_eq!(reports.len(), 1);
}
