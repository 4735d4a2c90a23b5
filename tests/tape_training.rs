//! Whole training steps on a CUDA device: what they compute, what they copy, what they do when the
//! device fails.
#![cfg(feature = "cuda")]

mod backends;

use std::sync::Mutex;

use backends::{cuda, simulator};
use cuda_sim::driver::CuResult;
use cuda_sim::faults::Operation;
use mechanistic::cuda::{Cuda, CudaDevice};
use mechanistic::nn::{
    Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule, load_checkpoint,
    save_checkpoint,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Cpu, Error, Inputs, Options, Real, Result};

const BATCH: usize = 3;
const POINTS: usize = 8;

/// Faults and counts belong to the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Network → time-varying stiffness → solve → loss → backward → optimizer.
struct Model<T: Real, B: Backend> {
    parameters: Parameters<T, B>,
    optimizer: Optimizer<T, B>,
    tape: Tape<T, B>,
    net: Mlp,
    start: ParameterId,
}

fn array<T: Real>(shape: &[usize], data: &[f64]) -> Array<T> {
    Array::new(shape, data.iter().map(|x| T::of(*x)).collect()).unwrap()
}

impl<T: Real, B: Backend> Model<T, B> {
    fn new(backend: &B, rule: Rule) -> Self {
        let (mut parameters, mut rng) = (Parameters::<T>::new(), Rng::new(11));
        let sizes = [1, 20, POINTS];
        let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Tanh, &mut rng).unwrap();
        let start = array(&[1, 1, 1, 2], &[0.5, 0.0]);
        let start = parameters.insert("start", start).unwrap();
        let schedule = Schedule::Cosine { steps: 50, floor: 0.1 };
        let optimizer = Optimizer::new(rule, 0.02).with_schedule(schedule).with_clip(0.5);
        let tape = Tape::on(backend.clone());
        Model { parameters: parameters.to().unwrap(), optimizer, tape, net, start }
    }

    fn loss(&mut self) -> Result<Var> {
        let tape = &mut self.tape;
        let frequencies: Vec<f64> = (0..BATCH).map(|b| 0.5 + 0.4 * b as f64).collect();
        let curve = |w: &f64| (0..POINTS).map(|t| (w * 0.2 * t as f64).cos()).collect::<Vec<_>>();
        let data: Vec<f64> = frequencies.iter().flat_map(curve).collect();
        let x = tape.constant(array(&[BATCH, 1], &frequencies));
        let stiffness = self.net.forward(tape, &self.parameters, x)?;
        let stiffness = tape.reshape(stiffness, [BATCH, POINTS, 1, 1, 1])?;
        let rest = tape.constant(array(&[2], &[0.0, 1.0]));
        let rest = tape.broadcast_to(rest, [BATCH, POINTS, 1, 1, 2])?;
        let ode = Ode {
            batch: BATCH,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.concat(&[stiffness, rest], 4)?,
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.parameter(&self.parameters, self.start)?,
                steps: tape.constant(array(&[1, 1], &[0.2])),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..1)?;
        let target = tape.constant(array(&[BATCH, POINTS, 1, 1], &data));
        tape.mse(u, target)
    }

    /// The loss before the step.
    fn step(&mut self) -> Result<T> {
        self.tape.clear();
        let loss = self.loss()?;
        let gradients = self.tape.backward(loss)?;
        self.optimizer.step(&mut self.parameters, &gradients)?;
        self.tape.scalar(loss)
    }

    fn values(&self) -> Vec<Vec<f64>> {
        let numbers = |id| -> Vec<f64> {
            self.parameters.get(id).unwrap().data().iter().map(|x| x.to_double()).collect()
        };
        self.parameters.names().map(|(id, _)| numbers(id)).collect()
    }
}

/// Losses of some steps, and the parameters after them.
fn train<T: Real, B: Backend>(backend: &B, rule: Rule, steps: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut model = Model::<T, B>::new(backend, rule);
    let losses = (0..steps).map(|_| model.step().unwrap().to_double()).collect();
    (losses, model.values())
}

#[test]
fn training_is_that_of_the_cpu() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    for rule in [Rule::Sgd { momentum: 0.9 }, Rule::adam(), Rule::adam_w(0.01)] {
        let (losses, values) = train::<f64, Cpu>(&Cpu, rule, 6);
        let (cuda_losses, cuda_values) = train::<f64, Cuda>(cuda(), rule, 6);
        assert!(losses[5] < losses[0], "{losses:?}");
        for (a, b) in losses.iter().zip(&cuda_losses) {
            assert!((a - b).abs() <= 1e-9 * a, "{rule:?}: {a} {b}");
        }
        for (a, b) in values.concat().iter().zip(cuda_values.concat()) {
            assert!((a - b).abs() <= 1e-8, "{rule:?}: {a} {b}");
        }
    }
    let (single, _) = train::<f32, Cpu>(&Cpu, Rule::adam(), 6);
    let (cuda_single, _) = train::<f32, Cuda>(cuda(), Rule::adam(), 6);
    for (a, b) in single.iter().zip(&cuda_single) {
        assert!((a - b).abs() <= 1e-3 * a, "{a} {b}");
    }
    assert_eq!(simulator().reports().unwrap(), Vec::<String>::new());
}

#[test]
fn training_again_gives_the_same_bits() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let first = train::<f64, Cuda>(cuda(), Rule::adam(), 4);
    assert_eq!(first, train::<f64, Cuda>(cuda(), Rule::adam(), 4));
}

/// A step copies its constants to the device, and the loss and the gradient's norm back: nothing
/// else, whatever is computed between them.
#[test]
fn a_step_stays_on_the_device() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    for _ in 0..2 {
        model.step().unwrap();
    }
    // x, rest, rhs, steps, target, the cotangent of the loss; norm; loss.
    let expected = 6 + 1 + 1;
    let fails_at = |nth: u64, model: &mut Model<f64, Cuda>| {
        simulator().inject(Operation::Copy, nth, CuResult::InvalidValue).unwrap();
        let failed = model.step().is_err();
        simulator().clear_faults().unwrap();
        failed
    };
    assert!(fails_at(expected, &mut model), "fewer copies than expected");
    assert!(!fails_at(expected + 1, &mut model), "more copies than expected");
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    for rule in [Rule::sgd(), Rule::adam()] {
        let mut parameters = Parameters::<f64>::new();
        let id = parameters.insert("w", Array::vector([4.0, 0.0])).unwrap();
        let mut parameters = parameters.to::<Cuda>().unwrap();
        let mut optimizer = Optimizer::new(rule, 0.1);
        let mut tape = Tape::on(cuda().clone());
        let mut step = |parameters: &mut Parameters<f64, Cuda>, shift: f64| {
            tape.clear();
            let w = tape.parameter(parameters, id).unwrap();
            let w = tape.shift(w, shift).unwrap();
            let root = tape.sqrt(w).unwrap();
            let loss = tape.sum_all(root).unwrap();
            let gradients = tape.backward(loss).unwrap();
            let outcome = optimizer.step(parameters, &gradients);
            (outcome, optimizer.check())
        };
        // √ at 0 has an infinite slope: the step after it tells, as `check` does.
        let (at_once, checked) = step(&mut parameters, 0.0);
        at_once.unwrap();
        let message = checked.unwrap_err().to_string();
        assert!(message.contains("gradient of step 0 is not finite"), "{message}");
        assert_eq!(parameters.get(id).unwrap().data(), [4.0, 0.0]);
        assert!(matches!(step(&mut parameters, 1.0).0, Err(Error::Data(_))));
        assert_eq!(parameters.get(id).unwrap().data(), [4.0, 0.0]);
        let (at_once, checked) = step(&mut parameters, 1.0);
        at_once.and(checked).unwrap();
        assert!(parameters.get(id).unwrap().data().iter().all(|w| *w < 4.0));
    }
}

#[test]
fn a_checkpoint_moves_between_devices() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkpoint.safetensors");
    let mut model = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    for _ in 0..3 {
        model.step().unwrap();
    }
    save_checkpoint(&path, &model.parameters, &model.optimizer).unwrap();
    let expected: Vec<f64> = (0..3).map(|_| model.step().unwrap()).collect();
    let mut same = Model::<f64, Cuda>::new(cuda(), Rule::adam());
    load_checkpoint(&path, &mut same.parameters, &mut same.optimizer).unwrap();
    assert_eq!(expected, (0..3).map(|_| same.step().unwrap()).collect::<Vec<_>>());
    let mut other = Model::<f64, Cpu>::new(&Cpu, Rule::adam());
    load_checkpoint(&path, &mut other.parameters, &mut other.optimizer).unwrap();
    for expected in expected {
        let loss = other.step().unwrap();
        assert!((loss - expected).abs() <= 1e-9 * expected, "{loss} {expected}");
    }
}

/// Whatever fails is an error, nothing is left on the device, and the next step is right. Modules
/// that cannot be loaded are in cuda_faults.rs.
#[test]
fn every_failure_of_the_device_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let gpu = CudaDevice::get(0).unwrap();
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
