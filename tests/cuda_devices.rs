//! A machine with two GPUs: which one is taken, and that their arrays are not mixed up. A binary of its
//! own because the number of devices is set in the environment of the process.

use cuda_sim::driver::CuResult;
use cuda_sim::faults::Operation;
use cuda_sim::simulator::Simulator;
use mechanistic::cuda::{Cuda, DeviceArray, DeviceSolver, Values};
use mechanistic::nn::Parameters;
use mechanistic::tape::{Array, Tape};
use mechanistic::{Device, Inputs, Options, ProblemShape};

/// One test: the machine is the process's.
#[test]
fn two_devices_are_told_apart() {
    // SAFETY: before the driver is loaded nothing in this process reads the environment from
    // another thread.
    unsafe { std::env::set_var("CUDA_SIM_DEVICE_COUNT", "2") };
    let simulator = Simulator::preload().unwrap();
    assert_eq!(Device::cuda_count().unwrap(), 2);

    // The best device is the first that takes the kernels.
    let unusable = |nth| simulator.inject(Operation::ModuleLoad, nth, CuResult::InvalidPtx);
    unusable(1).and(unusable(2)).unwrap();
    assert_eq!(Device::best().to_string(), "cpu");
    unusable(1).unwrap();
    assert_eq!(Device::best().to_string(), "cuda:1");
    assert_eq!(Device::best().to_string(), "cuda:0");

    let [first, second] =
        [0, 1].map(|ordinal| Device::cuda(ordinal).unwrap().gpu().unwrap().clone());
    let message = Device::cuda(2).unwrap_err().to_string();
    assert!(message.contains("this machine has devices 0 to 1"), "{message}");

    // A solver takes the arrays of its own device.
    let axes = Inputs {
        coefficients: &[1, 1, 1, 1, 2][..],
        rhs: &[1, 1, 1],
        initial_values: &[1, 1, 1, 1],
        steps: &[1, 1],
    };
    let shape = ProblemShape::new(1, 5, axes).unwrap();
    let mut solver = DeviceSolver::<f64>::new(&second, &shape, &Options::default()).unwrap();
    let values = Inputs {
        coefficients: &[1.0, 2.0][..],
        rhs: &[0.5],
        initial_values: &[1.0],
        steps: &[0.1],
    };
    let upload =
        |device| values.map(|values| DeviceArray::from_host(device, "an input", values).unwrap());
    let (here, there) = (upload(&second), upload(&first));
    let mut solution = DeviceArray::unwritten(&second, "solution", 10).unwrap();
    solver.solve(here.as_ref().map(Values::from), &mut solution).unwrap();
    let mut mixed = here.as_ref().map(Values::from);
    mixed.rhs = Values::from(&there.rhs);
    let message = solver.solve(mixed, &mut solution).unwrap_err().to_string();
    assert_eq!(message, "rhs: lies on cuda:0, the solver on cuda:1");

    // A tape takes the parameters of its own device.
    let mut parameters = Parameters::<f64>::new();
    let id = parameters.insert("net.weight", Array::vector([1.0, 2.0])).unwrap();
    let host = parameters;
    let parameters = host.to::<Cuda>().unwrap();
    let sum = |device, parameters: &Parameters<f64, Cuda>| {
        let mut tape = Tape::on(Cuda::on(device).unwrap());
        let x = tape.parameter(parameters, id)?;
        let sum = tape.sum_all(x)?;
        tape.scalar(sum)
    };
    assert_eq!(sum(&first, &parameters).unwrap(), 3.0);
    let message = sum(&second, &parameters).unwrap_err().to_string();
    let expected = "parameter \"net.weight\": lies on cuda:0, the tape computes on cuda:1";
    assert_eq!(message, expected);
    assert_eq!(sum(&second, &parameters.to().unwrap()).unwrap(), 3.0);

    // Gradients of one device are no memory for a tape of the other.
    let mut tapes = [&first, &second].map(|device| Tape::<f64, _>::on(Cuda::on(device).unwrap()));
    for round in 0..2 {
        let [mine, theirs] = &mut tapes;
        let [gradients, others] = [&mut *mine, &mut *theirs].map(|tape| {
            tape.clear();
            let x = tape.leaf(Array::vector([1.0, 2.0]));
            let square = tape.mul(x, x).unwrap();
            let sum = tape.sum_all(square).unwrap();
            let gradients = tape.backward(sum).unwrap();
            assert_eq!(gradients.value(x).unwrap().data(), [2.0, 4.0], "{round}");
            gradients
        });
        mine.recycle(others);
        theirs.recycle(gradients);
    }

    // A cuBLAS that cannot be opened is done without, and what demands it is refused; another device
    // has its own.
    let multiply = |device| -> mechanistic::Result<(f64, usize)> {
        let own = || {
            let launches = simulator.launches().unwrap();
            launches.iter().filter(|launch| launch.kernel.starts_with("matmul")).count()
        };
        let before = own();
        let mut tape = Tape::<f64, Cuda>::on(Cuda::on(device)?);
        let a = tape.constant(Array::new([16, 16], vec![0.5; 256])?);
        let c = tape.matmul(a, a)?;
        let value = tape.value(c)?.data()[0];
        Ok((value, own() - before))
    };
    // a and c, then the handle, whose memory is asked for twice.
    for nth in [3, 4] {
        simulator.inject(Operation::Allocation, nth, CuResult::OutOfMemory).unwrap();
    }
    assert_eq!(multiply(&second).unwrap(), (4.0, 1));
    simulator.clear_faults().unwrap();
    assert_eq!(multiply(&second).unwrap(), (4.0, 1));
    // SAFETY: nothing else in this process reads the environment from another thread.
    unsafe { std::env::set_var("MECHANISTIC_CUBLAS", "on") };
    let message = multiply(&second).unwrap_err().to_string();
    assert!(message.contains("which MECHANISTIC_CUBLAS=on demands: this machine has"), "{message}");
    assert_eq!(multiply(&first).unwrap(), (4.0, 0));
    // SAFETY: as above.
    unsafe { std::env::remove_var("MECHANISTIC_CUBLAS") };

    // What was allocated here is freed on any thread, whichever device was used last.
    drop((solver, solution, here, parameters));
    assert_eq!(sum(&second, &host.to().unwrap()).unwrap(), 3.0);
    let free = first.free_memory().unwrap();
    let others = upload(&first);
    assert!(first.free_memory().unwrap() < free);
    std::thread::spawn(move || drop((there, others))).join().unwrap();
    assert!(first.free_memory().unwrap() > free);
    first.synchronize().and(second.synchronize()).unwrap();
    assert_eq!(simulator.reports().unwrap(), Vec::<String>::new());
}
