//! Which kernels run. A binary of its own because the simulator's list of launches is the process's.

mod support;

use std::sync::Mutex;

use mechanistic::cuda::{CudaPath, DeviceArray, DeviceSolver, Values};
use mechanistic::{Device, Options, Solver};
use support::backends::cuda;
use support::case::{Case, Sizes};
use support::driver::{assert_no_reports, simulated, simulator};
use support::results::results;
use support::tape_agreement::{agree, any, positive};

/// Of the tests that count launches of solves, one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What is neither a solve nor a gradient is computed by teams on every path.
#[test]
fn every_path_runs_its_own_kernels() {
    let _alone = ALONE.lock().unwrap();
    let simulator = simulator();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    for (path, plan, kernels) in [
        (CudaPath::Thread, "thread: ", ["thread_solve", "thread_adjoint"]),
        (CudaPath::Chunk, "chunk: ", ["thread_chunk_solve", "thread_chunk_adjoint"]),
        (CudaPath::Span, "span: ", ["thread_span_factorize", "thread_span_gradients"]),
        (CudaPath::Team, "team of ", ["team_forward_warp", "team_adjoint_warp"]),
        (CudaPath::TeamChunk, "threads a chunk", ["team_forward_chunk", "team_adjoint_chunk"]),
    ] {
        let sizes = Sizes { points: 40, states: 1, equations: 1, ..Sizes::SMALL };
        let case = Case::new(sizes, Options::default(), 4);
        let shape = case.problem().shape().clone();
        let mut solver = Solver::on_cuda_path(&gpu, &shape, &case.options, path).unwrap();
        let chosen = solver.plan().path;
        assert!(chosen.contains(plan), "{path:?}: {chosen}");
        let before = simulator.launches().unwrap().len();
        results(&mut solver, &case).unwrap();
        let launches = simulator.launches().unwrap().split_off(before);
        for kernel in kernels.iter().chain(&["team_tangent", "team_defects", "team_variances"]) {
            let ran = launches.iter().any(|launch| launch.kernel.starts_with(kernel));
            assert!(ran, "{path:?}: {kernel} did not run");
        }
        assert_no_reports();
    }
}

/// Coefficients and steps that all systems share are factorized once, and again when one of them changes; what lies on
/// the device may have changed each time.
#[test]
fn a_matrix_of_all_systems_is_factorized_once() {
    let _alone = ALONE.lock().unwrap();
    let simulator = simulator();
    let gpu = Device::cuda(0).unwrap().gpu().unwrap().clone();
    let sizes = Sizes { batch: 70, states: 1, equations: 1, shared: 0b0010_0001, ..Sizes::SMALL };
    let first = Case::new(sizes, Options::default(), 4);
    let [mut rhs, mut coefficient, mut step] = [(); 3].map(|()| first.clone());
    rhs.inputs.rhs.data[3] = 0.5;
    coefficient.inputs.coefficients.data[3] += 0.5;
    step.inputs.steps.data[3] += 0.5;
    let shape = first.problem().shape().clone();
    let count = |work: &mut dyn FnMut()| {
        let before = simulator.launches().unwrap().len();
        work();
        let launches = simulator.launches().unwrap().split_off(before);
        let of = |kernel: &str| launches.iter().filter(|l| l.kernel.starts_with(kernel)).count();
        ["thread_solve", "thread_resolve", "thread_"].map(of)
    };
    let path = CudaPath::Thread;
    let mut solver = Solver::on_cuda_path(&gpu, &shape, &first.options, path).unwrap();
    assert!(solver.plan().path.contains("one factor of all systems"), "{}", solver.plan());
    assert_eq!(solver.plan().forward_launches, 2);
    for (case, factorizations) in [
        (&first, 1),
        (&first, 0),
        (&rhs, 0),
        (&coefficient, 1),
        (&first, 1),
        (&step, 1),
        (&step, 0),
    ] {
        let found =
            count(&mut || assert_eq!(solver.solve(&case.problem()).unwrap().status.len(), 70));
        assert_eq!(found, [factorizations, 1, factorizations + 1]);
    }
    let mut solver = DeviceSolver::<f64>::on_path(&gpu, &shape, &first.options, path).unwrap();
    let arrays =
        first.arrays().map(|values| DeviceArray::from_host(&gpu, "input", values).unwrap());
    let values = shape.solution().iter().product();
    let mut solution = DeviceArray::unwritten(&gpu, "solution", values).unwrap();
    for _ in 0..2 {
        let inputs = arrays.as_ref().map(Values::from);
        assert_eq!(count(&mut || solver.solve(inputs, &mut solution).unwrap()), [1, 1, 2]);
    }
    assert_no_reports();
}

/// Launches so far of this library's matrix product.
fn own_products() -> usize {
    let launches = simulator().launches().unwrap();
    launches.iter().filter(|launch| launch.kernel.starts_with("matmul")).count()
}

/// By cuBLAS and by this library's own kernels; sums over k where there is nothing to tile.
#[test]
fn matrix_products() {
    // cuBLAS takes one product and a batch with one stride; sums over a batch it does not.
    let for_cublas: [(&[usize], &[usize]); 13] = [
        (&[1, 1], &[1, 1]),
        (&[16, 16], &[16, 16]),
        (&[17, 33], &[33, 65]),
        (&[64, 64], &[64, 64]),
        (&[65, 1], &[1, 66]),
        (&[100, 17], &[17, 70]),
        (&[5, 300], &[300, 4]),
        (&[20, 1500], &[1500, 24]),
        (&[1500, 20], &[20, 24]),
        (&[4, 50, 30], &[30, 20]),
        (&[4, 21, 30], &[4, 30, 20]),
        (&[2, 3, 18, 16], &[2, 3, 16, 17]),
        (&[500, 2, 3], &[500, 3, 2]),
    ];
    let others: [(&[usize], &[usize]); 7] = [
        (&[2, 1, 20, 30], &[3, 30, 17]),
        (&[30, 20], &[5, 20, 18]),
        (&[3, 1, 2, 3], &[1, 4, 3, 2]),
        (&[100, 3], &[3, 70]),
        (&[300, 5], &[5, 300]),
        (&[20, 0], &[0, 20]),
        (&[0, 20], &[20, 20]),
    ];
    let simulated = simulated().is_some();
    for with_cublas in [true, false] {
        let cuda = &cuda().clone().with_cublas(with_cublas);
        let before = if simulated { own_products() } else { 0 };
        for (a, b) in for_cublas {
            agree!(cuda, [any(a), positive(b)], |tape, x| tape.matmul(x[0], x[1]));
        }
        if simulated {
            assert_eq!(own_products() == before, with_cublas, "the wrong kernels multiplied");
        }
        for (a, b) in others {
            agree!(cuda, [any(a), positive(b)], |tape, x| tape.matmul(x[0], x[1]));
        }
    }
    assert_no_reports();
}
