//! CUDA graphs that capture solves. A binary of its own because all that the library asks of the device
//! while a stream is captured goes into the graph.

mod support;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use support::caller::{Caller, problem};
use support::driver;

#[test]
fn a_graph_captures_a_solve_and_its_gradients() {
    driver::simulated();
    let (case, cotangent, gpu, mut solver) = problem();
    let mut caller = Caller::new(&case, &cotangent);
    caller.stream.synchronize().unwrap();
    let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    caller.stream.begin_capture(mode).unwrap();
    caller.ask(&gpu, &mut solver).unwrap();
    let flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = caller.stream.end_capture(flags).unwrap().expect("work was captured");
    for _ in 0..2 {
        for copy in &mut caller.copies {
            caller.stream.memset_zeros(copy).unwrap();
        }
        graph.launch().unwrap();
        caller.check(&case, &cotangent);
    }
    driver::assert_no_reports();
}
