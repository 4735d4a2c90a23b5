//! Every allocation, copy, memset, launch and module load of a solve with its derivatives fails
//! once, on every path: always an error that says what was being done, never a panic, a leak or a
//! wrong answer; then all is well again. The same for a training step is in tape_faults.rs. A binary
//! of its own because injected faults, the device's free memory and the modules that are loaded belong
//! to the process.

mod support;

use std::sync::Arc;

use cuda_sim::driver::CuResult;
use cuda_sim::faults::Operation;
use cuda_sim::simulator::Simulator;
use mechanistic::cuda::{Cuda, CudaDevice, CudaPath};
use mechanistic::tape::{Array, Tape};
use mechanistic::{Cotangent, Device, Error, Options, Result, Solver};
use support::case::{Case, Sizes};
use support::results::results;

/// Everything that a new solver returns, as bits.
fn step(device: &Arc<CudaDevice>, path: CudaPath, case: &Case) -> Result<Vec<u64>> {
    let mut solver = Solver::on_cuda_path(device, case.problem().shape(), &case.options, path)?;
    Ok(results(&mut solver, case)?.bits())
}

/// An error of the device says what was being done.
fn assert_explained(error: Error, what: &str) {
    match error {
        Error::Device { doing, message } => {
            assert!(!doing.is_empty() && message.contains("CUDA"), "{what}: {doing}: {message}");
        }
        other => panic!("{what}: {other}"),
    }
}

/// Lets the loading of every module fail once: what is loaded stays, so after the first failure it
/// is always the second load from then on. Returns how many failed.
fn every_module_fails_once(simulator: &Simulator, use_them: impl Fn() -> Result<()>) -> usize {
    let mut failed = 0;
    loop {
        let nth = if failed == 0 { 1 } else { 2 };
        simulator.inject(Operation::ModuleLoad, nth, CuResult::Unknown).unwrap();
        let outcome = use_them();
        simulator.clear_faults().unwrap();
        match outcome {
            Ok(()) => return failed,
            Err(error) => assert_explained(error, "loading a module"),
        }
        failed += 1;
    }
}

/// One test: what is loaded stays.
#[test]
fn every_operation_may_fail_once() {
    let simulator = Simulator::preload().unwrap();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    // Every kernel is a module of its own, loaded when it is first needed: here those of x², its sum
    // and their gradients.
    let gradient_of_a_sum = || {
        let mut tape = Tape::<f64, Cuda>::on(Cuda::on(&gpu)?);
        let x = tape.leaf(Array::vector([1.0, 2.0]));
        let square = tape.mul(x, x)?;
        let sum = tape.sum_all(square)?;
        tape.backward(sum).map(drop)
    };
    let tape_modules = every_module_fails_once(&simulator, gradient_of_a_sum);
    assert!(tape_modules >= 3, "only {tape_modules} modules of the tape failed");
    // (path, how its plan begins, systems, points): chunks of teams take eight points at least.
    for (path, name, batch, points) in [
        (CudaPath::Team, "team", 40, 4),
        (CudaPath::Thread, "thread", 40, 4),
        (CudaPath::Chunk, "chunk", 40, 4),
        (CudaPath::Span, "span", 40, 8),
        (CudaPath::TeamChunk, "team of 16 threads a chunk, 2 chunks", 2, 16),
    ] {
        // Shared coefficients (bit 0), and more systems than a block has: there are partial sums to
        // add up.
        let sizes = Sizes { batch, points, states: 1, equations: 1, shared: 1, ..Sizes::SMALL };
        let case = Case::new(sizes, Options::default(), 3);
        let modules = every_module_fails_once(&simulator, || step(&gpu, path, &case).map(drop));
        assert!(modules >= 2, "{modules} modules of the path {path:?} failed");
        let problem = case.problem();
        let plan = Solver::<f64>::on_cuda_path(&gpu, problem.shape(), &case.options, path).unwrap();
        assert!(plan.plan().path.starts_with(name), "{}", plan.plan());
        drop(plan);
        gradients_of_a_failed_vjp_are_not_offered(&simulator, &gpu, path, &case);
        every_operation_fails_once(&simulator, &gpu, path, &case);
    }
}

/// What a call that fails has left half done is not offered as its result.
fn gradients_of_a_failed_vjp_are_not_offered(
    simulator: &Simulator,
    gpu: &Arc<CudaDevice>,
    path: CudaPath,
    case: &Case,
) {
    let problem = case.problem();
    let mut solver = Solver::on_cuda_path(gpu, problem.shape(), &case.options, path).unwrap();
    let ones = vec![1.0; solver.solve(&problem).unwrap().values.len()];
    let cotangent = Cotangent { values: &ones, epsilon: None };
    let expected = solver.vjp(&problem, &cotangent).unwrap().clone();
    assert!(expected.weights.equation != 0.0);
    simulator.inject(Operation::Launch, 1, CuResult::LaunchOutOfResources).unwrap();
    assert_explained(solver.vjp(&problem, &cotangent).unwrap_err(), "launching the adjoint");
    simulator.clear_faults().unwrap();
    let offered = solver.gradients();
    assert!(offered.inputs.as_ref().into_iter().all(|gradient| gradient.is_empty()));
    assert_eq!(offered.weights.equation, 0.0);
    let again = solver.vjp(&problem, &cotangent).unwrap();
    assert_eq!(again.inputs, expected.inputs);
    assert_eq!(again.weights, expected.weights);
}

/// Allocations, copies, memsets and launches.
fn every_operation_fails_once(
    simulator: &Simulator,
    gpu: &Arc<CudaDevice>,
    path: CudaPath,
    case: &Case,
) {
    let expected = step(gpu, path, case).unwrap();
    let free = gpu.free_memory().unwrap();
    let all_is_well = |what: &str| {
        simulator.clear_faults().unwrap();
        assert_eq!(gpu.free_memory().unwrap(), free, "leak after {what}");
        assert_eq!(step(gpu, path, case).unwrap(), expected, "after {what}");
        assert_eq!(simulator.reports().unwrap(), Vec::<String>::new(), "after {what}");
    };

    let mut allocations = 0;
    // A solve clears nothing: should it ever, the memset will be among those that fail.
    for (operation, error, least) in [
        (Operation::Allocation, CuResult::Unknown, 15),
        (Operation::Copy, CuResult::Unknown, 15),
        (Operation::Memset, CuResult::Unknown, 0),
        (Operation::Launch, CuResult::LaunchOutOfResources, 5),
    ] {
        let mut failed = 0;
        loop {
            let what = format!("{operation:?} {}", failed + 1);
            simulator.inject(operation, failed + 1, error).unwrap();
            match step(gpu, path, case) {
                Err(error) => assert_explained(error, &what),
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
        assert_eq!(step(gpu, path, case).unwrap(), expected);
        simulator.inject(Operation::Allocation, nth, CuResult::OutOfMemory).unwrap();
        simulator.inject(Operation::Allocation, nth + 1, CuResult::OutOfMemory).unwrap();
        match step(gpu, path, case) {
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
