//! Every allocation, copy, memset and launch of a solve with its derivatives fails once: always an
//! error that says what was being done, never a panic, a leak or a wrong answer; then all is well
//! again.

mod support;

use cuda_sim::driver::CuResult;
use cuda_sim::faults::Operation;
use cuda_sim::simulator::Simulator;
use mechanistic::cuda::CudaDevice;
use mechanistic::{Cotangent, Device, Error, Options, Result, Solver, Tangents};
use support::random::Case;

/// Everything that a new solver returns, as bits.
fn step(device: &Device, case: &Case) -> Result<Vec<u64>> {
    let problem = case.problem();
    let mut solver = Solver::on(device, problem.shape(), &case.options)?;
    let solution = solver.solve(&problem)?.clone();
    let cotangent = Case::noise(1, solution.values.len());
    let gradients = solver.vjp(&problem, &Cotangent { values: &cotangent, epsilon: None })?.clone();
    let rhs = Case::noise(2, case.rhs.data.len());
    let tangents = Tangents { rhs: Some(&rhs), ..Tangents::default() };
    let tangent = solver.jvp(&problem, &tangents)?.values.clone();
    let residuals = solver.residuals(&problem)?.iter().map(|r| r.equation);
    let arrays = [
        &solution.values,
        &gradients.coefficients,
        &gradients.rhs,
        &gradients.initial_values,
        &gradients.steps,
        &tangent,
    ];
    Ok(arrays.into_iter().flatten().copied().chain(residuals).map(f64::to_bits).collect())
}

/// One test: injected faults are the process's.
#[test]
fn every_operation_may_fail_once() {
    let simulator = Simulator::preload().unwrap();
    let gpu = CudaDevice::get(0).unwrap();
    let device = Device::cuda(0).unwrap();
    // Shared coefficients (bit 0), and more systems than a block has: there are partial sums to add up.
    let case = Case::new(40, 4, 1, 2, 1, (1, 2), 1, Options::default(), 3);
    let expected = step(&device, &case).unwrap();
    let free = gpu.free_memory().unwrap();
    let all_is_well = |what: &str| {
        simulator.clear_faults().unwrap();
        assert_eq!(gpu.free_memory().unwrap(), free, "leak after {what}");
        assert_eq!(step(&device, &case).unwrap(), expected, "after {what}");
        assert_eq!(simulator.reports().unwrap(), Vec::<String>::new(), "after {what}");
    };

    let mut allocations = 0;
    for (operation, error, least) in [
        (Operation::Allocation, CuResult::Unknown, 15),
        (Operation::Copy, CuResult::Unknown, 15),
        (Operation::Launch, CuResult::LaunchOutOfResources, 5),
    ] {
        let mut failed = 0;
        loop {
            let what = format!("{operation:?} {}", failed + 1);
            simulator.inject(operation, failed + 1, error).unwrap();
            match step(&device, &case) {
                Err(Error::Device { doing, message }) => {
                    assert!(!doing.is_empty() && message.contains("CUDA"), "{doing}: {message}");
                }
                Err(other) => panic!("{what}: {other}"),
                Ok(results) => {
                    assert_eq!(results, expected, "{what}");
                    break;
                }
            }
            failed += 1;
            all_is_well(&what);
        }
        assert!(failed >= least, "only {failed} of {operation:?} failed");
        simulator.clear_faults().unwrap();
        if operation == Operation::Allocation {
            allocations = failed;
        }
    }

    // Memory that runs out is asked for once more after freed memory was given back; then the
    // workspace is made smaller, and what cannot be is an error that says how much it was.
    let mut errors = 0;
    for nth in 1..=allocations {
        simulator.inject(Operation::Allocation, nth, CuResult::OutOfMemory).unwrap();
        assert_eq!(step(&device, &case).unwrap(), expected);
        simulator.inject(Operation::Allocation, nth, CuResult::OutOfMemory).unwrap();
        simulator.inject(Operation::Allocation, nth + 1, CuResult::OutOfMemory).unwrap();
        match step(&device, &case) {
            Ok(results) => assert_eq!(results, expected),
            Err(Error::OutOfMemory { what, bytes }) => {
                assert!(bytes > 0 && what.ends_with("on the device"), "{what}: {bytes}");
                errors += 1;
            }
            Err(other) => panic!("{other}"),
        }
        all_is_well(&format!("lack of memory in allocation {nth}"));
    }
    assert!(errors > 0);
}
