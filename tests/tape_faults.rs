//! What a training step on a CUDA device copies, and what it does when the device fails. A binary of
//! its own because injected faults and the device's free memory belong to the process.

mod support;

use std::sync::Mutex;

use cuda_sim::driver::CuResult;
use cuda_sim::faults::Operation;
use mechanistic::cuda::Cuda;
use mechanistic::nn::Rule;
use mechanistic::tape::Tape;
use mechanistic::{Device, Error, Result};
use support::backends::cuda;
use support::driver::simulator;
use support::training::{Model, array, train};

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A step copies its constants to the device, and the loss and the gradient's norm back: nothing
/// else, whatever is computed between them.
#[test]
fn a_step_stays_on_the_device() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    for _ in 0..2 {
        model.step().unwrap();
    }
    // x, rest, rhs, steps, target; norm; loss.
    let expected = 5 + 1 + 1;
    let fails_at = |nth: u64, model: &mut Model<f64, Cuda>| {
        simulator().inject(Operation::Copy, nth, CuResult::InvalidValue).unwrap();
        let failed = model.step().is_err();
        simulator().clear_faults().unwrap();
        failed
    };
    assert!(fails_at(expected, &mut model), "fewer copies than expected");
    assert!(!fails_at(expected + 1, &mut model), "more copies than expected");
}

/// Whatever fails is an error, nothing is left on the device, and the next step is right. Modules
/// that cannot be loaded are in cuda_faults.rs.
#[test]
fn every_failure_of_the_device_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let expected = train::<f64, Cuda>(cuda(), Rule::adam(), 1).0;
    let free = gpu.free_memory().unwrap();
    let all_is_well = |what: &str| {
        assert_eq!(gpu.free_memory().unwrap(), free, "leak after {what}");
        assert_eq!(train::<f64, Cuda>(cuda(), Rule::adam(), 1).0, expected, "after {what}");
        assert_eq!(simulator().reports().unwrap(), Vec::<String>::new(), "after {what}");
    };
    let mut allocations = 0;
    for (operation, error) in [
        (Operation::Allocation, CuResult::InvalidValue),
        (Operation::Copy, CuResult::InvalidValue),
        (Operation::Memset, CuResult::InvalidValue),
        (Operation::Launch, CuResult::LaunchOutOfResources),
    ] {
        for nth in 1.. {
            let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
            simulator().inject(operation, nth, error).unwrap();
            let outcome = model.step();
            simulator().clear_faults().unwrap();
            drop(model);
            match outcome {
                Ok(loss) => {
                    // There is no n-th any more.
                    assert!(nth > 1, "{operation:?}");
                    assert_eq!(loss, expected[0]);
                    if operation == Operation::Allocation {
                        allocations = nth - 1;
                    }
                    break;
                }
                Err(Error::Device { doing, message }) => {
                    assert!(!doing.is_empty() && message.contains("CUDA"), "{doing}: {message}");
                }
                Err(other) => panic!("{operation:?} {nth}: {other}"),
            }
            all_is_well(&format!("{operation:?} {nth}"));
        }
    }
    // Memory that is full is asked for again, in vain: an error, or a way that needs less.
    for nth in 1..=allocations {
        let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
        for again in 0..2 {
            let error = CuResult::OutOfMemory;
            simulator().inject(Operation::Allocation, nth + again, error).unwrap();
        }
        let outcome = model.step();
        simulator().clear_faults().unwrap();
        drop(model);
        match outcome {
            Ok(loss) => assert_eq!(loss, expected[0], "allocation {nth}"),
            Err(Error::Device { .. } | Error::OutOfMemory { .. }) => {}
            Err(other) => panic!("allocation {nth}: {other}"),
        }
        all_is_well(&format!("lack of memory in allocation {nth}"));
    }
}

/// A product that cuBLAS fails to make is an error that says so; then it multiplies. A cuBLAS that
/// cannot be opened is in cuda_devices.rs.
#[test]
fn every_failure_of_cublas_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let multiply = || -> Result<f64> {
        let mut tape = Tape::<f64, Cuda>::on(cuda().clone().with_cublas(true));
        let a = tape.constant(array(&[16, 16], &[0.5; 256]));
        let c = tape.matmul(a, a)?;
        Ok(tape.value(c)?.data()[0])
    };
    let fails = |operation, nth, error| {
        simulator().inject(operation, nth, error).unwrap();
        let outcome = multiply();
        simulator().clear_faults().unwrap();
        outcome
    };
    // a and c, then the handle. Its memory is asked for once more after freed memory was given back.
    assert_eq!(fails(Operation::Allocation, 3, CuResult::OutOfMemory).unwrap(), 4.0);
    let failed = fails(Operation::Launch, 1, CuResult::LaunchOutOfResources).unwrap_err();
    let message = failed.to_string();
    let expected = "while multiplying matrices with cuBLAS (MECHANISTIC_CUBLAS=off does without): \
                    execution failed (cuBLAS 13)";
    assert_eq!(message, expected);
    assert_eq!(multiply().unwrap(), 4.0);
    assert_eq!(simulator().reports().unwrap(), Vec::<String>::new());
}
