//! Results on the device are compared with those of the processor.

use crate::adjoint::Cotangent;
use crate::backend::Device;
use crate::backend::Engine as _;
use crate::backend::cuda::testing::{
    self,
    case::{Case, noise},
    close::difference,
    paths::TestPath,
};
use crate::inputs::Inputs;
use crate::options::Weights;
use crate::real::Real;
use crate::solution::{Solution, Status};

/// Solution, gradients, directional derivative and residuals by a path on the device and on the
/// processor, where all values of an array may differ by so much of the largest.
pub fn compare<T: Real>(path: TestPath, case: &Case<T>, tolerance: f64, what: &str) -> Solution<T> {
    // Chunks eliminate in another order: another pivot may be the one that breaks down.
    let in_chunks = matches!(path, TestPath::ThreadChunks { .. } | TestPath::TeamChunks { .. });
    let part = |status| match status {
        Status::Breakdown { .. } if in_chunks => Status::Breakdown { point: 0, pivot: 0 },
        status => status,
    };
    let what = &format!("{path:?}, {what}");
    let problem = case.problem();
    let (shape, options) = (problem.shape(), &case.options);
    let values: usize = shape.solution().iter().product();
    let mut device = path.engine::<T>(shape, options);
    let mut processor = crate::backend::engine::<T>(&Device::Cpu, shape, options).unwrap();
    let empty = || Solution::allocate(shape).unwrap();
    let check = |name: &str, actual: &[T], expected: &[T]| {
        let difference = difference(actual, expected);
        assert!(difference <= tolerance, "{what}: {name} differs by {difference:e}");
    };

    let (mut actual, mut expected) = (empty(), empty());
    device.solve(&problem, &mut actual).unwrap();
    processor.solve(&problem, &mut expected).unwrap();
    for (&actual, &expected) in actual.status.iter().zip(&expected.status) {
        assert_eq!(part(actual), part(expected), "{what}");
    }
    check("solution", &actual.values, &expected.values);
    check("epsilon", &actual.epsilon, &expected.epsilon);

    let (cotangent, epsilon) = (noise::<T>(11, values), noise::<T>(10, case.batch));
    let cotangent = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
    let mine = device.vjp(&problem, &cotangent, &actual.status).unwrap();
    let theirs = processor.vjp(&problem, &cotangent, &expected.status).unwrap();
    for (name, (mine, theirs)) in
        Inputs::NAMES.zip(mine.inputs.as_ref().zip(theirs.inputs.as_ref()))
    {
        check(&format!("gradient of {name}"), mine, theirs);
    }
    let families = |weights: &Weights| {
        [weights.equation, weights.initial, weights.smoothness, weights.periodic].map(T::of)
    };
    check("gradient of weights", &families(&mine.weights), &families(&theirs.weights));

    let directions = case.directions(12);
    let all = directions.as_ref().map(|direction| Some(direction.as_slice()));
    for (name, tangents) in
        [("tangent", all), ("tangent along rhs", Inputs { rhs: all.rhs, ..Inputs::default() })]
    {
        let mine = device.jvp(&problem, &tangents, &expected.status).unwrap();
        let theirs = processor.jvp(&problem, &tangents, &expected.status).unwrap();
        check(name, &mine.values, &theirs.values);
        check("tangent of epsilon", &mine.epsilon, &theirs.epsilon);
    }

    let mine = device.residuals(&problem, &actual.status).unwrap();
    for (mine, theirs) in mine.iter().zip(processor.residuals(&problem, &expected.status).unwrap())
    {
        for (mine, theirs) in [
            (mine.equation, theirs.equation),
            (mine.initial, theirs.initial),
            (mine.smoothness, theirs.smoothness),
            (mine.periodic, theirs.periodic),
        ] {
            let close = (mine - theirs).abs() <= tolerance * theirs.abs().max(1.0);
            let same = mine == theirs || mine.is_nan() && theirs.is_nan();
            assert!(close || same, "{what}: {mine} and {theirs}");
        }
    }
    testing::driver::assert_no_reports();
    actual
}
