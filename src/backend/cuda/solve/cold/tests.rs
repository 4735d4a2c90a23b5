use super::{Cold, Solved};
use crate::adjoint::Cotangent;
use crate::backend::cuda::bindings;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::path::CotangentView;
use crate::backend::cuda::path::problem::{ProblemTemplate, Values};
use crate::backend::cuda::path::results::SolutionBuffers;
use crate::backend::cuda::solve::batch::Part;
use crate::backend::cuda::team::plan::{Kind, Plan};
use crate::backend::cuda::testing::{
    self,
    case::{Case, Sizes, noise},
};
use crate::options::{Formulation, Options, Smoothness};
use crate::solver::Solver;

const SIZES: Sizes = Sizes::SMALL;

/// Compares with the processor, with so many bytes of shared memory a block; the second system is
/// broken.
fn agree(sizes: Sizes, options: Options, shared_memory: Option<usize>, kind: Kind) {
    let device = testing::device();
    let mut limits = *device.limits();
    limits.shared_memory = shared_memory.unwrap_or(limits.shared_memory);
    let mut case = Case::<f64>::new(sizes, options, 23);
    let rhs = case.inputs.rhs.data.len() / sizes.batch;
    case.inputs.rhs.data[rhs] = f64::NAN;
    let problem = case.problem();
    let shape = problem.shape();

    let mut processor = Solver::<f64>::new(shape, &options).unwrap();
    let solution = processor.solve(&problem).unwrap();
    for (system, status) in solution.status.iter().enumerate() {
        assert_eq!(status.is_ok(), system != 1, "{status:?}");
    }
    let variances = processor.variances(&problem).unwrap().to_vec();
    let residuals = processor.residuals(&problem).unwrap()[0];
    let squares = [residuals.equation, residuals.initial, residuals.smoothness, residuals.periodic]
        .map(|norm| norm * norm);
    let directions = case.directions(30);
    let tangents = directions.as_ref().map(|direction| Some(direction.as_slice()));
    let tangent = processor.jvp(&problem, &tangents).unwrap().clone();

    let (q, of_slack) = (noise::<f64>(40, variances.len()), noise::<f64>(41, sizes.batch));
    let cotangent = Cotangent { values: &q, epsilon: Some(&of_slack) };
    let inverse = processor.inverse(&problem, &cotangent).unwrap().clone();

    let plan = Plan::cold(shape, &options, &limits).unwrap();
    assert_eq!(plan.kind, kind, "{plan}");
    let what = format!("{plan}, {options:?}");
    let template = ProblemTemplate::new::<f64>(&device, shape, &options).unwrap();
    let upload = |values: &[f64]| Buffer::from_host(&device, "values", values).unwrap();
    let inputs = case.arrays().map(upload);
    let directions = directions.as_ref().map(|values| upload(values));
    let (q, of_slack) = (upload(&q), upload(&of_slack));
    // A workspace for all systems, and for one.
    for most_systems in [sizes.batch, 1] {
        let mut cold = Cold::<f64>::with_plan(&device, shape, plan, most_systems).unwrap();
        // The second system fails in the cold solve alone, the third in the caller's alone.
        let mut status = vec![bindings::Status::default(); sizes.batch];
        status[2].kind = bindings::STATUS_OVERFLOW;
        let status = Buffer::from_host(&device, "status", &status).unwrap();
        let solved = Solved {
            template: &template,
            part: Part { first: 0, systems: sizes.batch },
            inputs: inputs.as_ref().map(Values::from),
            status: &status.view(),
        };
        let mut response = SolutionBuffers::<f64>::new(&device, shape, sizes.batch).unwrap();
        let mut sums = Buffer::<f64>::zeros(&device, "sums", 4 * sizes.batch).unwrap();
        let download = |buffer: &Buffer<f64>| {
            let mut values = vec![0.0; buffer.len()];
            buffer.copy_to_host("values", &mut values).unwrap();
            values
        };
        cold.variances(solved, &mut response.values.view_mut()).unwrap();
        check(&download(&response.values), &variances, [f64::NAN; 2], &what);
        cold.squared_defects(solved, &mut sums.view_mut()).unwrap();
        check(&download(&sums), &squares, [f64::NAN; 2], &what);
        let given = directions.as_ref().map(|direction| Some(Values::from(direction)));
        cold.tangent(solved, given, &mut response.view_mut(sizes.batch)).unwrap();
        check(&download(&response.values), &tangent.values, [f64::NAN, 0.0], &what);
        check(&download(&response.details.epsilon), &tangent.epsilon, [f64::NAN, 0.0], &what);
        let q = CotangentView { values: q.view(), epsilon: Some(of_slack.view()) };
        cold.inverse(solved, &q, &mut response.view_mut(sizes.batch)).unwrap();
        check(&download(&response.values), &inverse.values, [f64::NAN, 0.0], &what);
        check(&download(&response.details.epsilon), &inverse.epsilon, [f64::NAN, 0.0], &what);
    }
    testing::driver::assert_no_reports();
}

/// The values of the first system are the expected ones, all of the second and of the third are as
/// `others` says.
fn check(actual: &[f64], expected: &[f64], others: [f64; 2], what: &str) {
    let size = actual.len() / SIZES.batch;
    let expected = &expected[..size];
    let scale = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (actual, expected) in actual.iter().zip(expected) {
        let close = (actual - expected).abs() <= 1e-10 * scale;
        assert!(close, "{actual} instead of {expected}, {what}");
    }
    for (system, expected) in actual[size..].chunks(size).zip(others) {
        for &actual in system {
            let same = actual == expected || actual.is_nan() && expected.is_nan();
            assert!(same, "{actual} instead of {expected}, {what}");
        }
    }
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
