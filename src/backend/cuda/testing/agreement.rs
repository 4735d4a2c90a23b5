//! Results on the device are compared with those of the processor.

use crate::adjoint::Cotangent;
use crate::backend::cuda::testing::{
    self,
    case::{Case, noise},
    close::difference,
    paths::TestPath,
};
use crate::inputs::Inputs;
use crate::options::Weights;
use crate::real::Real;
use crate::rows::pair_rows;
use crate::solution::{Solution, Status};
use crate::solver::Solver;

/// What rounding alone may change in a gradient of a step, and in that of the smoothness weight w.
///
/// With a = C y and a' = C diag(p) y for y = diag(h^p) z, the smoothness rows of one state over one
/// step have the gradient −w²/h Σ (a(z)·a'(g) + a'(z)·a(g)). Where the solution satisfies the rows
/// exactly, as a polynomial does, a(z) is what rounding leaves of a sum that cancels, up to about
/// n·ε Σ|C||y| for the 2Q terms and as many roundings in z itself; an adjoint that is large, as it is
/// where the matrix is nearly singular, multiplies it. So any two ways to compute the gradient may
/// differ by 2n·ε of the sum of the magnitudes of its terms. Gradients of shared steps are sums over
/// what shares them, and that of the weight, −2 w Σ a(z)·a(g), is one over everything.
fn rounding<T: Real>(case: &Case<T>, solution: &Solution<T>, adjoint: &[T]) -> [f64; 2] {
    let problem = case.problem();
    let shape = problem.shape();
    let [batch, points, states, q] = shape.solution();
    let layout = shape.layouts().steps;
    let family = pair_rows(&case.options, q - 1);
    let table = family.table();
    let weight = case.options.weights.smoothness;
    let mut sums = vec![0.0_f64; layout.total(batch)];
    let mut by_weight = 0.0;
    for (system, status) in solution.status.iter().enumerate() {
        if !status.is_ok() {
            continue;
        }
        for (t, k) in (0..points - 1).flat_map(|t| (0..states).map(move |k| (t, k))) {
            let at = system * layout.system + t * layout.inner[0] + k * layout.inner[1];
            let length = problem.inputs.steps[at].to_double();
            // Σ|C||y| and Σ p|C||y| of a row, for z or g.
            let magnitudes = |row: &[f64], values: &[T]| {
                let mut sums = [0.0; 2];
                for (i, c) in row.iter().enumerate() {
                    let unknown = ((system * points + t + i / q) * states + k) * q + i % q;
                    let power = (i % q) as f64 + f64::from(family.shift);
                    let term = (c * values[unknown].to_double() * length.powf(power)).abs();
                    sums = [sums[0] + term, sums[1] + power.abs() * term];
                }
                sums
            };
            for row in table.chunks_exact(2 * q) {
                let (z, g) = (magnitudes(row, &solution.values), magnitudes(row, adjoint));
                sums[at] += weight * weight / length * (z[0] * g[1] + z[1] * g[0]);
                by_weight += 2.0 * weight * z[0] * g[0];
            }
        }
    }
    [sums.into_iter().fold(0.0, f64::max), by_weight].map(|sum| 4.0 * q as f64 * f64::EPSILON * sum)
}

/// Solution, gradients, M⁻¹ q, directional derivative and residuals by a path on the device and on the
/// processor, where all values of an array may differ by so much of the largest.
pub fn compare<T: Real>(path: TestPath, case: &Case<T>, tolerance: f64, what: &str) -> Solution<T> {
    // Halves and chunks eliminate in another order: another pivot may be the one that breaks down. (A team that
    // has a system to itself is compared; no case that breaks down is so large that two would share it.)
    let in_parts = !matches!(path, TestPath::Team { .. });
    let part = |status| match status {
        Status::Breakdown { .. } if in_parts => Status::Breakdown { point: 0, pivot: 0 },
        status => status,
    };
    let what = &format!("{path:?}, {what}");
    let problem = case.problem();
    let (shape, options) = (problem.shape(), &case.options);
    let values: usize = shape.solution().iter().product();
    let mut device = path.solver::<T>(shape, options);
    let mut processor = Solver::<T>::new(shape, options).unwrap();
    let check = |name: &str, actual: &[T], expected: &[T]| {
        let difference = difference(actual, expected);
        assert!(difference <= tolerance, "{what}: {name} differs by {difference:e}");
    };

    let actual = device.solve(&problem).unwrap().clone();
    let expected = processor.solve(&problem).unwrap().clone();
    for (&actual, &expected) in actual.status.iter().zip(&expected.status) {
        assert_eq!(part(actual), part(expected), "{what}");
    }
    check("solution", &actual.values, &expected.values);
    check("epsilon", &actual.epsilon, &expected.epsilon);

    let (cotangent, epsilon) = (noise::<T>(11, values), noise::<T>(10, case.batch));
    let cotangent = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
    let mine = device.vjp(&problem, &cotangent).unwrap();
    let theirs = processor.vjp(&problem, &cotangent).unwrap().clone();
    let adjoint = processor.inverse(&problem, &cotangent).unwrap();
    let [of_step, of_weight] = rounding(case, &expected, &adjoint.values);
    let check_to = |name: &str, actual: &[T], expected: &[T], rounding: f64| {
        let largest = expected
            .iter()
            .fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.to_double().abs()));
        let allowed = tolerance + rounding / largest;
        let difference = difference(actual, expected);
        assert!(difference <= allowed, "{what}: {name} differs by {difference:e}, of {allowed:e}");
    };
    for (name, (mine, theirs)) in
        Inputs::NAMES.zip(mine.inputs.as_ref().zip(theirs.inputs.as_ref()))
    {
        let name = format!("gradient of {name}");
        if name.ends_with("steps") {
            check_to(&name, mine, theirs, of_step);
        } else {
            check(&name, mine, theirs);
        }
    }
    let families = |weights: &Weights| {
        [weights.equation, weights.initial, weights.smoothness, weights.periodic].map(T::of)
    };
    let (mine, theirs) = (families(&mine.weights), families(&theirs.weights));
    check_to("gradient of weights", &mine, &theirs, of_weight);

    let mine = device.inverse(&problem, &cotangent).unwrap();
    check("inverse", &mine.values, &adjoint.values);
    check("epsilon of inverse", &mine.epsilon, &adjoint.epsilon);

    let directions = case.directions(12);
    let all = directions.as_ref().map(|direction| Some(direction.as_slice()));
    for (name, tangents) in
        [("tangent", all), ("tangent along rhs", Inputs { rhs: all.rhs, ..Inputs::default() })]
    {
        let mine = device.jvp(&problem, &tangents).unwrap();
        let theirs = processor.jvp(&problem, &tangents).unwrap();
        check(name, &mine.values, &theirs.values);
        check("tangent of epsilon", &mine.epsilon, &theirs.epsilon);
    }

    let mine = device.residuals(&problem).unwrap();
    for (mine, theirs) in mine.iter().zip(processor.residuals(&problem).unwrap()) {
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
