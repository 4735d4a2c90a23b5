//! Results in memory of the caller are those in memory of the solver, bit by bit, whichever of the
//! gradients are asked for.

use super::Subject;
use crate::support::case::{Case, Sizes, noise};
use mechanistic::{
    Cotangent, Error, Formulation, GradientsMut, Inputs, Options, Real, SolutionMut, Weights,
};

const SLACK: Formulation = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };

/// Eleven systems that share nothing, something or everything, also with ends that are tied together;
/// and two that are long enough to be cut into chunks. The last one has an input that is not finite
/// where the systems have right-hand sides of their own.
fn cases<T: Real>() -> impl Iterator<Item = Case<T>> {
    let short = Sizes { batch: 11, ..Sizes::SMALL };
    let long = Sizes { batch: 2, points: 120, ..Sizes::SMALL };
    let plain = Options::default();
    let slack = Options { formulation: SLACK, ..plain };
    let periodic = Options { periodic: true, ..plain };
    [
        (Sizes { shared: 0, ..short }, slack),
        (Sizes { shared: 0b0001_0010, ..short }, plain),
        (Sizes { shared: 0xff, ..short }, slack),
        (Sizes { shared: 0b0010_0001, ..short }, periodic),
        (Sizes { shared: 0, ..long }, plain),
        (Sizes { shared: 0b0101_0010, ..long }, plain),
    ]
    .into_iter()
    .map(|(sizes, options)| {
        let mut case = Case::new(sizes, options, 6).map(|value: f64| T::of(value));
        if sizes.shared >> 2 & 1 == 0 {
            *case.inputs.rhs.data.last_mut().unwrap() = T::nan();
        }
        case
    })
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|value| value.to_double().to_bits()).collect()
}

pub fn results_in_memory_of_the_caller_are_the_same(subject: &Subject) {
    results_are_the_same::<f64>(subject);
}

pub fn results_in_memory_of_the_caller_are_the_same_in_single_precision(subject: &Subject) {
    results_are_the_same::<f32>(subject);
}

fn results_are_the_same<T: Real>(subject: &Subject) {
    let untouched = T::of(7.0);
    for (number, case) in cases::<T>().enumerate() {
        let problem = case.problem();
        let mut own = subject.solver(problem.shape(), &case.options);
        let mut lent = subject.solver(problem.shape(), &case.options);
        let expected = own.solve(&problem).unwrap().clone();
        let broken = case.inputs.rhs.data.iter().any(|value| value.is_nan());
        let solved = expected.status.iter().filter(|status| status.is_ok()).count();
        assert_eq!(solved, case.batch - usize::from(broken), "{number}");
        let mut values = vec![untouched; expected.values.len()];
        let mut epsilon = vec![untouched; case.batch];
        for wanted in [true, false] {
            values.fill(untouched);
            let epsilon = wanted.then_some(&mut epsilon[..]);
            let into = SolutionMut { values: &mut values, epsilon };
            assert_eq!(lent.solve_into(&problem, into).unwrap(), expected.status);
            assert_eq!(bits(&values), bits(&expected.values), "{number}");
        }
        assert_eq!(bits(&epsilon), bits(&expected.epsilon), "{number}");
        let left = lent.solution();
        assert!(left.values.is_empty() && left.epsilon.is_empty());
        assert_eq!((left.shape(), left.trajectory(0, 0, 0).len()), ([0; 4], 0));
        assert_eq!(bits(&left.initial_defect), bits(&expected.initial_defect));

        let (of_values, of_epsilon) = (noise::<T>(3, values.len()), noise::<T>(4, case.batch));
        let cotangent = Cotangent { values: &of_values, epsilon: Some(&of_epsilon) };
        let directions = case.directions(5);
        let tangents = directions.as_ref().map(|direction| Some(direction.as_slice()));
        let expected = own.jvp(&problem, &tangents).unwrap().clone();
        let into = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
        assert_eq!(lent.jvp_into(&problem, &tangents, into).unwrap(), expected.status);
        assert_eq!(bits(&values), bits(&expected.values), "{number}");
        assert_eq!(bits(&epsilon), bits(&expected.epsilon), "{number}");
        let expected = own.inverse(&problem, &cotangent).unwrap().clone();
        let into = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
        assert_eq!(lent.inverse_into(&problem, &cotangent, into).unwrap(), expected.status);
        assert_eq!(bits(&values), bits(&expected.values), "{number}");
        assert_eq!(bits(&epsilon), bits(&expected.epsilon), "{number}");

        let all = own.vjp(&problem, &cotangent).unwrap();
        for wanted in 0..32_u32 {
            let mut gradients = case.arrays().map(|values| vec![untouched; values.len()]);
            let mut bit = 0;
            let inputs = gradients.as_mut().map(|gradient| {
                bit += 1;
                (wanted >> bit & 1 == 1).then_some(&mut gradient[..])
            });
            let mut weights = Weights { equation: 7.0, ..Weights::default() };
            let of_weights = (wanted & 1 == 1).then_some(std::slice::from_mut(&mut weights));
            let into = GradientsMut { inputs, weights: of_weights };
            assert_eq!(lent.vjp_into(&problem, &cotangent, into).unwrap(), all.status);
            for (bit, (found, all)) in (1..).zip(gradients.as_ref().zip(all.inputs.as_ref())) {
                let what = format!("{number}, {wanted:b}, {bit}");
                match wanted >> bit & 1 {
                    1 => assert_eq!(bits(found), bits(all), "{what}"),
                    _ => assert!(found.iter().all(|&value| value == untouched), "{what}"),
                }
            }
            assert_eq!(weights == all.weights, wanted & 1 == 1, "{number}, {wanted:b}");
        }
    }
}

/// What nobody asks for does not make a system's other gradients zero.
pub fn a_gradient_that_is_not_wanted_may_overflow(subject: &Subject) {
    let mut case = Case::<f64>::new(Sizes { batch: 2, ..Sizes::SMALL }, Options::default(), 6);
    let of_system = case.inputs.rhs.data.len() / case.batch;
    case.inputs.rhs.data[..of_system].fill(1e200);
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    assert!(solver.solve(&problem).unwrap().status[0].is_ok());
    let cotangent = vec![1e200; solver.solution().values.len()];
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let all = solver.vjp(&problem, &cotangent).unwrap();
    assert!(!all.status[0].is_ok() && all.status[1].is_ok());
    assert!(all.inputs.rhs[..of_system].iter().all(|&value| value == 0.0));
    let mut rhs = vec![0.0; 2 * of_system];
    let inputs = Inputs { rhs: Some(&mut rhs[..]), ..Inputs::default() };
    let into = GradientsMut { inputs, weights: None };
    let status = solver.vjp_into(&problem, &cotangent, into).unwrap();
    assert!(status.iter().all(|status| status.is_ok()), "{status:?}");
    assert!(rhs.iter().all(|&value| value.is_finite() && value != 0.0));
}

pub fn memory_of_another_length_is_refused(subject: &Subject) {
    let case = Case::<f64>::new(Sizes::SMALL, Options::default(), 6);
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let refused = |outcome: Result<&[mechanistic::Status], Error>, what: &str| match outcome {
        Err(Error::Shape { argument, .. }) => assert_eq!(argument, what),
        other => panic!("{other:?}"),
    };
    let (mut values, mut epsilon) = (vec![0.0; 3 * 5 * 6], [0.0; 3]);
    let short = SolutionMut { values: &mut values[1..], epsilon: None };
    refused(solver.solve_into(&problem, short), "solution");
    let short = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon[1..]) };
    refused(solver.solve_into(&problem, short), "epsilon of solution");
    let whole = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
    solver.solve_into(&problem, whole).unwrap();
    let error = solver.error_estimate(&problem).unwrap_err().to_string();
    assert_eq!(error, "problem: call `solve`: the solution is the caller's");
    let cotangent = values.clone();
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let inputs = Inputs { steps: Some(&mut epsilon[..]), ..Inputs::default() };
    let into = GradientsMut { inputs, weights: None };
    refused(solver.vjp_into(&problem, &cotangent, into), "gradient of steps");
    let short = SolutionMut { values: &mut values[1..], epsilon: None };
    refused(solver.jvp_into(&problem, &Inputs::default(), short), "tangent");
    let short = SolutionMut { values: &mut values[1..], epsilon: None };
    refused(solver.inverse_into(&problem, &cotangent, short), "result");
    let short = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon[1..]) };
    refused(solver.inverse_into(&problem, &cotangent, short), "epsilon of result");
    let short = Cotangent { values: &cotangent.values[1..], epsilon: None };
    let whole = SolutionMut { values: &mut values, epsilon: Some(&mut epsilon) };
    refused(solver.inverse_into(&problem, &short, whole), "cotangent");
}
