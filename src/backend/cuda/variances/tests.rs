use super::Variances;
use crate::backend::Solvable as _;
use crate::backend::cuda::team::VariancesPath;
use crate::backend::cuda::team::plan::{Kind, Plan};
use crate::backend::cuda::testing::{
    self,
    agreement::{Case, Sizes},
};
use crate::device::Device;
use crate::options::{Formulation, Options, Smoothness};
use crate::solver::{Solution, Status};

const SIZES: Sizes = Sizes {
    batch: 3,
    points: 5,
    states: 2,
    order: 2,
    extra: 0,
    equations: 2,
    initial: (1, 2),
    shared: 0,
};

/// Compares with the processor, with so many bytes of shared memory a block; the second system is
/// broken.
fn agree(sizes: Sizes, options: Options, shared_memory: Option<usize>, kind: Kind) {
    let device = testing::device();
    let mut limits = *device.limits();
    limits.shared_memory = shared_memory.unwrap_or(limits.shared_memory);
    let mut case = Case::<f64>::new(sizes, options, 23);
    let rhs = case.arrays[1].len() / sizes.batch;
    case.arrays[1][rhs] = f64::NAN;
    let problem = case.problem();
    let (shape, size) = (problem.shape(), problem.shape().solution().iter().product::<usize>());

    let mut processor = f64::engine(&Device::Cpu, shape, &options).unwrap();
    let mut solution = Solution {
        values: vec![0.0; size],
        epsilon: vec![0.0; sizes.batch],
        status: vec![Status::Ok; sizes.batch],
    };
    processor.solve(&problem, &mut solution).unwrap();
    for (system, status) in solution.status.iter().enumerate() {
        assert_eq!(status.is_ok(), system != 1, "{status:?}");
    }
    let expected = processor.variances(&problem, &solution.status).unwrap();
    let largest = |values: &[f64]| values.iter().fold(0.0_f64, |most, value| most.max(*value));

    let plan = Plan::for_variances(shape, &options, &limits).unwrap();
    assert_eq!(plan.kind, kind, "{plan}");
    let path = VariancesPath::<f64>::with_plan(&device, plan).unwrap();
    let mut variances = Variances::with_path(&device, shape, &options, path).unwrap();
    // The status of the solve that came before counts, too.
    let mut status = solution.status.clone();
    status[2] = Status::Overflow;
    let actual = variances.compute(&problem, &status).unwrap();
    let size = size / sizes.batch;
    for (system, (actual, expected)) in actual.chunks(size).zip(expected.chunks(size)).enumerate() {
        for (actual, expected_value) in actual.iter().zip(expected) {
            assert_eq!(actual.is_nan(), system > 0, "system {system}");
            let tolerance = 1e-10 * largest(expected);
            let close = system > 0 || (actual - expected_value).abs() <= tolerance;
            assert!(close, "{actual} instead of {expected_value}, {plan}, {options:?}");
        }
    }
    assert_eq!(testing::reports(), Vec::<String>::new());
}

#[test]
fn every_kind_of_team_agrees_with_the_processor() {
    let slack = Formulation::SharedSlack { gamma: 0.3, alpha: 0.4 };
    for smoothness in Smoothness::ALL {
        for (periodic, formulation) in [
            (false, Formulation::LeastSquares),
            (false, slack),
            (true, Formulation::LeastSquares),
            (true, slack),
        ] {
            let options = Options { smoothness, periodic, formulation, ..Options::default() };
            let small = Sizes { states: 1, equations: 1, ..SIZES };
            agree(small, options, None, Kind::Warp);
            agree(SIZES, options, Some(0), Kind::Global);
            // As many equations as unknowns at a point: the variances have all their digits.
            let large = Sizes { states: 11, equations: 33, points: 4, ..SIZES };
            agree(large, options, None, Kind::Block);
        }
    }
}
