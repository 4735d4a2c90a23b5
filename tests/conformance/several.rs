//! Several cotangents or tangents in one call have the derivatives of each.

use super::Subject;
use crate::support::case::{Case, Sizes, noise};
use crate::support::close::assert_close;
use mechanistic::{
    Cotangent, Error, Formulation, GradientsMut, Inputs, Options, Real, SolutionMut, Status,
    Weights,
};

/// Batches that leave lanes of the CPU free and such that do not, which share nothing, something or everything;
/// long ones, which the CPU cuts; rows and unknowns of all kinds.
fn cases() -> impl Iterator<Item = Case> {
    let plain = Options::default();
    let formulation = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
    let slack = Options { formulation, ..plain };
    let periodic = Options { periodic: true, ..plain };
    let of = |batch: usize, shared: u32| Sizes { batch, shared, ..Sizes::SMALL };
    let long = |batch: usize, shared: u32| Sizes { points: 100, ..of(batch, shared) };
    [
        (of(2, 0b0001_0010), plain),
        (of(1, 0b1111_1111), slack),
        (of(1, 0), plain),
        (of(2, 0b0101_0101), periodic),
        (Sizes { initial: (0, 0), ..of(3, 0b0010_0101) }, slack),
        (of(3, 0b1_1111_1111), slack),
        (of(4, 0b0001_0001), plain),
        (of(5, 0b0010_0100), plain),
        (of(11, 0b0010_0001), slack),
        (long(1, 0), plain),
        (long(2, 0b0011_0101), plain),
    ]
    .into_iter()
    .map(|(sizes, options)| Case::new(sizes, options, 6))
}

pub fn several_derivatives_are_those_of_each(subject: &Subject) {
    for mut case in cases().take(subject.cases(11) as usize) {
        for &factorization in subject.factorizations() {
            case.options.factorization = factorization;
            are_those_of_each(subject, &case, 1e-10);
            are_those_of_each(subject, &case.map(|value| value as f32), 1e-5);
        }
    }
}

fn are_those_of_each<T: Real>(subject: &Subject, case: &Case<T>, tolerance: f64) {
    let what = format!("{} systems, {} points, {:?}", case.batch, case.points, case.options);
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let size = solver.solve(&problem).unwrap().values.len();
    let lens = case.arrays().map(<[T]>::len);
    for &count in [3, 2, 8, 13].iter().take(subject.cases(4) as usize) {
        let (values, epsilon) = (noise::<T>(3, count * size), noise::<T>(4, count * case.batch));
        let cotangents = Cotangent { values: &values, epsilon: Some(&epsilon) };
        for of_weights in [false, true] {
            let mut gradients = lens.map(|len| vec![T::of(7.0); count * len]);
            let mut weights = vec![Weights::default(); count];
            let into = GradientsMut {
                inputs: gradients.as_mut().map(|gradient| Some(&mut gradient[..])),
                weights: of_weights.then_some(&mut weights[..]),
            };
            let status = solver.vjp_into(&problem, &cotangents, into).unwrap().to_vec();
            assert_eq!(status, vec![Status::Ok; count * case.batch], "{what}");
            for number in 0..count {
                let cotangent = Cotangent {
                    values: &values[number * size..][..size],
                    epsilon: Some(&epsilon[number * case.batch..][..case.batch]),
                };
                let one = solver.vjp(&problem, &cotangent).unwrap();
                let all = gradients.as_ref().zip(one.inputs.as_ref());
                for (name, (all, one)) in Inputs::NAMES.zip(all) {
                    let part = &all[number * one.len()..][..one.len()];
                    assert_close(part, one, tolerance, &format!("{name}, {count}, {what}"));
                }
                assert_eq!(weights[number] == one.weights, of_weights, "{what}");
            }
        }

        let directions = lens.map(|len| noise::<T>(5, count * len));
        for still in [false, true] {
            let mut tangents = directions.as_ref().map(|direction| Some(&direction[..]));
            if still {
                tangents.steps = None;
            }
            let (mut moved, mut slack) =
                (vec![T::of(7.0); count * size], vec![T::of(7.0); count * case.batch]);
            let into = SolutionMut { values: &mut moved, epsilon: Some(&mut slack) };
            let status = solver.jvp_into(&problem, &tangents, into).unwrap().to_vec();
            assert_eq!(status, vec![Status::Ok; count * case.batch], "{what}");
            for number in 0..count {
                let part = tangents.zip(lens);
                let part = part.map(|(tangent, len)| tangent.map(|x| &x[number * len..][..len]));
                let one = solver.jvp(&problem, &part).unwrap();
                assert_close(&moved[number * size..][..size], &one.values, tolerance, &what);
                let slack = &slack[number * case.batch..][..case.batch];
                assert_close(slack, &one.epsilon, tolerance, &what);
            }
        }
    }
}

pub fn one_of_several_cotangents_that_is_not_finite_leaves_the_others_alone(subject: &Subject) {
    let sizes = Sizes { batch: 3, shared: 0b0010_0001, ..Sizes::SMALL };
    let mut case = Case::<f64>::new(sizes, Options::default(), 6);
    // The last system is not solved.
    *case.inputs.rhs.data.last_mut().unwrap() = f64::NAN;
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let solved = solver.solve(&problem).unwrap().clone();
    let (size, count) = (solved.values.len(), 5);
    let mut values = noise::<f64>(3, count * size);
    let lens = case.arrays().map(<[f64]>::len);
    let mut gradients = |values: &[f64]| {
        let mut gradients = lens.map(|len| vec![7.0; count * len]);
        let inputs = gradients.as_mut().map(|gradient| Some(&mut gradient[..]));
        let into = GradientsMut { inputs, weights: None };
        let cotangents = Cotangent { values, epsilon: None };
        let status = solver.vjp_into(&problem, &cotangents, into).unwrap().to_vec();
        (status, gradients)
    };
    let (status, expected) = gradients(&values);
    assert_eq!(status, solved.status.repeat(count));
    // That of the second system, third cotangent.
    values[2 * size + size / 3 + 1] = f64::INFINITY;
    let (status, found) = gradients(&values);
    for (number, status) in status.chunks(3).enumerate() {
        let broken = Status::NonFiniteInput { argument: "the cotangent" };
        let second = if number == 2 { broken } else { Status::Ok };
        assert_eq!(status, [Status::Ok, second, solved.status[2]]);
    }
    for (name, ((found, expected), len)) in
        Inputs::NAMES.zip(found.as_ref().zip(expected.as_ref()).zip(lens))
    {
        let parts = found.chunks(len).zip(expected.chunks(len)).enumerate();
        for (number, (found, expected)) in parts {
            assert!(found.iter().all(|value| value.is_finite()), "{name}");
            assert_eq!(found == expected, number != 2, "{name}, {number}");
        }
    }
}

/// Two equal systems, whose gradients of the coefficients that they share are finite for each cotangent: but for
/// one cotangent their sum is not.
pub fn a_sum_that_overflows_leaves_other_cotangents_alone(subject: &Subject) {
    let sizes = Sizes { batch: 2, shared: 0b1_1111_1111, ..Sizes::SMALL };
    let mut case = Case::<f64>::new(sizes, Options::default(), 6);
    // The larger the solution, the smaller is a cotangent with such gradients.
    for values in [&mut case.inputs.rhs.data, &mut case.inputs.initial_values.data] {
        values.iter_mut().for_each(|value| *value *= 1e6);
    }
    let case = case.map(|value| value as f32);
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let size = solver.solve(&problem).unwrap().values.len();
    let (len, count) = (case.arrays().coefficients.len(), 4);
    let mut values: Vec<f32> =
        noise::<f32>(3, count * size / 2).chunks(size / 2).flat_map(|one| one.repeat(2)).collect();
    let mut gradients = |values: &[f32]| {
        let mut coefficients = vec![7.0; count * len];
        let inputs = Inputs { coefficients: Some(&mut coefficients[..]), ..Inputs::default() };
        let into = GradientsMut { inputs, weights: None };
        let cotangents = Cotangent { values, epsilon: None };
        let status = solver.vjp_into(&problem, &cotangents, into).unwrap().to_vec();
        (status, coefficients)
    };
    let (status, expected) = gradients(&values);
    assert_eq!(status, vec![Status::Ok; 2 * count]);
    let largest = expected[len..2 * len].iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    values[size..2 * size].iter_mut().for_each(|value| *value *= 1.5 * (f32::MAX / largest));
    let (status, found) = gradients(&values);
    let overflows = |system: usize| status[system] == Status::Overflow;
    assert_eq!(
        (0..2 * count).map(overflows).collect::<Vec<_>>(),
        [0, 0, 1, 1, 0, 0, 0, 0].map(|x| x == 1)
    );
    let parts = found.chunks(len).zip(expected.chunks(len)).enumerate();
    for (number, (found, expected)) in parts {
        assert_eq!(found == expected, number != 1, "{number}");
    }
}

pub fn several_derivatives_without_memory_for_all_are_refused(subject: &Subject) {
    let case = Case::<f64>::new(Sizes { batch: 2, ..Sizes::SMALL }, Options::default(), 6);
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let size = solver.solve(&problem).unwrap().values.len();
    let refused = |outcome: Result<&[Status], Error>, what: &str| match outcome {
        Err(Error::Shape { argument, .. }) => assert_eq!(argument, what),
        other => panic!("{other:?}"),
    };
    let mut values = noise::<f64>(3, 3 * size);
    let cotangents = values.clone();
    let of = |count: usize, epsilon| Cotangent { values: &cotangents[..count * size], epsilon };
    let nothing = || GradientsMut::<f64> { inputs: Inputs::default(), weights: None };
    refused(solver.vjp_into(&problem, &of(3, Some(&[0.0; 5])), nothing()), "cotangent of epsilon");
    let short = Cotangent { values: &cotangents[..3 * size - 1], epsilon: None };
    refused(solver.vjp_into(&problem, &short, nothing()), "cotangent");
    let mut rhs = vec![0.0; 2 * case.inputs.rhs.data.len()];
    let inputs = Inputs { rhs: Some(&mut rhs[..]), ..Inputs::default() };
    let into = GradientsMut { inputs, weights: None };
    refused(solver.vjp_into(&problem, &of(3, None), into), "gradient of rhs");
    let weights = Some(&mut [Weights::default(); 2][..]);
    let into = GradientsMut { inputs: Inputs::default(), weights };
    refused(solver.vjp_into(&problem, &of(3, None), into), "gradient of the weights");
    let tangents = Inputs { rhs: Some(case.arrays().rhs), ..Inputs::default() };
    let into = SolutionMut { values: &mut values, epsilon: None };
    refused(solver.jvp_into(&problem, &tangents, into), "tangent of rhs");
    for outcome in [
        solver.vjp(&problem, &of(3, None)).map(drop),
        solver.inverse(&problem, &of(3, None)).map(drop),
    ] {
        assert!(outcome.unwrap_err().to_string().starts_with("cotangent: "));
    }
}
