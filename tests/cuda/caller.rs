//! Solves in memory and in the order of a stream of a caller, who calls the driver himself. That a CUDA
//! graph captures them is tested in cuda_graphs.rs.

use cudarc::driver::CudaContext;
use cudarc::driver::result::{ctx, device, mem_pool};
use cudarc::driver::sys::CUmemPool_attribute;
use mechanistic::Inputs;
use mechanistic::cuda::{DeviceArray, Values};

use crate::support::caller::{Caller, problem};
use crate::support::driver;

#[test]
fn memory_and_stream_of_a_caller() {
    driver::simulated();
    let (case, cotangent, gpu, mut solver) = problem();
    let mut caller = Caller::new(&case, &cotangent);
    caller.ask(&gpu, &mut solver).unwrap();
    caller.check(&case, &cotangent);
    assert!(solver.status().unwrap().iter().all(|status| status.is_ok()));
    // The arrays are the caller's still.
    caller.ask(&gpu, &mut solver).unwrap();
    caller.check(&case, &cotangent);
    driver::assert_no_reports();
}

#[test]
fn statuses_are_written_without_waiting() {
    driver::simulated();
    let (mut case, _, gpu, mut solver) = problem();
    let steps = &mut case.inputs.steps.data;
    let of_system = steps.len() / case.batch;
    steps[of_system + 2] = -1.0;
    case.inputs.coefficients.data[0] = f64::NAN;
    let array = |values: &[f64]| DeviceArray::from_host(&gpu, "input", values).unwrap();
    let arrays = Inputs::from(<[&[f64]; 4]>::from(case.arrays()).map(array));
    let len = case.problem().shape().solution().iter().product();
    let mut values = DeviceArray::unwritten(&gpu, "solution", len).unwrap();
    let mut codes = DeviceArray::<i32>::unwritten(&gpu, "status", case.batch).unwrap();
    let unsolved = solver.copy_status(&mut codes).unwrap_err().to_string();
    assert!(unsolved.contains("must be solved"), "{unsolved}");
    solver.solve(arrays.as_ref().map(Values::from), &mut values).unwrap();
    solver.copy_status(&mut codes).unwrap();
    let mut found = [7; 4];
    codes.copy_to_host("status", &mut found).unwrap();
    assert_eq!(found, [1, 2, 0, 0]);
    let mut few = DeviceArray::<i32>::unwritten(&gpu, "status", 3).unwrap();
    let refused = solver.copy_status(&mut few).unwrap_err().to_string();
    assert!(
        refused.contains("status") && refused.contains("expected 4 values, got 3"),
        "{refused}"
    );
    driver::assert_no_reports();
}

#[test]
fn the_callers_context_stays_current() {
    driver::simulated();
    let current = || ctx::get_current().unwrap();
    // A thread that has no context has none afterwards.
    let alone = std::thread::spawn(move || {
        let (_, _, gpu, solver) = problem();
        // SAFETY: it is of no further use on this thread.
        unsafe { ctx::set_current(std::ptr::null_mut()) }.unwrap();
        // SAFETY: null is the default stream.
        unsafe { gpu.in_order_of(std::ptr::null_mut(), || Ok(())) }.unwrap();
        drop(solver);
        current().is_none()
    });
    assert!(alone.join().unwrap());
    // Nor does the context of another library go.
    let (_, _, gpu, solver) = problem();
    let other = CudaContext::new_non_primary(0, 0).unwrap();
    other.bind_to_thread().unwrap();
    let work = || DeviceArray::<f64>::zeros(&gpu, "zeros", 5);
    // SAFETY: null is the default stream.
    let zeros = unsafe { gpu.in_order_of(std::ptr::null_mut(), work) }.unwrap();
    assert_eq!(current(), Some(other.cu_ctx()));
    drop((solver, zeros));
    assert_eq!(current(), Some(other.cu_ctx()));
    driver::assert_no_reports();
}

#[test]
fn the_devices_pool_is_left_alone() {
    driver::simulated();
    let (_, _, gpu, _solver) = problem();
    let mut threshold = u64::MAX;
    // SAFETY: the device is open, and the attribute is a 64-bit number.
    unsafe {
        let pool = device::get_default_mem_pool(gpu.ordinal() as i32).unwrap();
        assert_eq!(device::get_mem_pool(gpu.ordinal() as i32), Ok(pool));
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        mem_pool::get_attribute(pool, attribute, (&raw mut threshold).cast()).unwrap();
    }
    assert_eq!(threshold, 0);
}

#[test]
fn addresses_that_no_array_can_have_are_refused() {
    driver::simulated();
    let (_, _, gpu, _) = problem();
    for (address, len) in [(0, 3), (12, 3), (7, 0)] {
        // SAFETY: it is not used.
        let array = unsafe { DeviceArray::<f64>::lent(&gpu, "steps", address, len) };
        let error = array.err().unwrap().to_string();
        assert!(error.contains("steps") && error.contains(&format!("{address:#x}")), "{error}");
    }
}
