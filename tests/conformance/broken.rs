//! Numerical trouble is the status of one system and leaves its neighbors bit-identical.

use super::Subject;
use crate::support::case::{Case, Sizes, noise};
use approx::assert_abs_diff_eq;
use mechanistic::{
    Cotangent, Error, Factorization, Formulation, GradientsMut, Options, Problem, Real, Smoothness,
    Status, Tangents, View, Weights,
};

const BATCH: usize = 11;

const SIZES: Sizes = Sizes { batch: BATCH, points: 6, ..Sizes::SMALL };

/// A batch of well-posed systems, two tiles wide, with its own values everywhere.
fn healthy() -> Case {
    Case::new(SIZES, Options::default(), 7)
}

/// Solves and differentiates; returns status, solution and the gradient of the coefficients.
fn run(subject: &Subject, case: &Case) -> (Vec<Status>, Vec<f64>, Vec<f64>) {
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let solution = solver.solve(&problem).unwrap().clone();
    let cotangent = vec![1.0; solution.values.len()];
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap().inputs.coefficients.clone();
    (solution.status, solution.values, gradients)
}

pub fn a_broken_system_is_reported_and_leaves_its_neighbors_bit_identical(subject: &Subject) {
    for &factorization in subject.factorizations() {
        let mut healthy = healthy();
        healthy.options.factorization = factorization;
        damage_one_after_another(subject, &healthy);
    }
}

fn damage_one_after_another(subject: &Subject, healthy: &Case) {
    let (status, values, gradients) = run(subject, healthy);
    assert!(status.iter().all(|status| status.is_ok()));
    let size = values.len() / BATCH;
    let gradient_size = gradients.len() / BATCH;

    type Damage = fn(&mut Case, usize);
    type Expected = fn(Status) -> bool;
    let kinds: [(Damage, Expected); 9] = [
        (
            |case, b| case.inputs.coefficients.data[b * 72] = f64::NAN,
            |status| status == Status::NonFiniteInput { argument: "coefficients" },
        ),
        (
            |case, b| case.inputs.coefficients.data[b * 72 + 71] = f64::INFINITY,
            |status| status == Status::NonFiniteInput { argument: "coefficients" },
        ),
        (
            |case, b| case.inputs.rhs.data[b * 12 + 3] = f64::NEG_INFINITY,
            |status| status == Status::NonFiniteInput { argument: "rhs" },
        ),
        (
            |case, b| case.inputs.initial_values.data[b * 4] = f64::NAN,
            |status| status == Status::NonFiniteInput { argument: "initial_values" },
        ),
        (
            |case, b| case.inputs.steps.data[b * 10] = f64::NAN,
            |status| status == Status::NonFiniteInput { argument: "steps" },
        ),
        (
            |case, b| case.inputs.steps.data[b * 10 + 5] = 0.0,
            |status| status == Status::InvalidStep { step: 2 },
        ),
        (
            |case, b| case.inputs.steps.data[b * 10 + 8] = -0.1,
            |status| status == Status::InvalidStep { step: 4 },
        ),
        (
            // No equation and only u and u' given: nothing ties down u''.
            |case, b| case.inputs.coefficients.data[b * 72..][..72].fill(0.0),
            |status| matches!(status, Status::Breakdown { .. }),
        ),
        (
            |case, b| case.inputs.coefficients.data[b * 72..][..72].fill(1e200),
            |status| matches!(status, Status::Breakdown { .. } | Status::Overflow),
        ),
    ];
    for (kind, (damage, expected)) in kinds.into_iter().enumerate() {
        for broken in [0, 3, 8, BATCH - 1] {
            let mut case = healthy.clone();
            damage(&mut case, broken);
            let (status, damaged, damaged_gradients) = run(subject, &case);
            for system in 0..BATCH {
                let values = &values[system * size..][..size];
                let damaged = &damaged[system * size..][..size];
                let gradients = &gradients[system * gradient_size..][..gradient_size];
                let damaged_gradients =
                    &damaged_gradients[system * gradient_size..][..gradient_size];
                if system == broken {
                    assert!(expected(status[system]), "kind {kind}: {:?}", status[system]);
                    assert!(damaged.iter().all(|value| value.is_nan()), "kind {kind}");
                    assert!(damaged_gradients.iter().all(|&value| value == 0.0), "kind {kind}");
                } else {
                    assert_eq!(status[system], Status::Ok, "kind {kind}");
                    assert_eq!(damaged, values, "kind {kind}, system {system}");
                    assert_eq!(damaged_gradients, gradients, "kind {kind}, system {system}");
                }
            }
        }
    }
}

pub fn a_breakdown_names_its_pivot_and_an_overflow_is_told_from_it(subject: &Subject) {
    // One state of order 1 at four points. Without smoothness rows every value stands alone.
    for &factorization in subject.factorizations() {
        let status =
            |diagonal: [f64; 8], rhs: [f64; 2], formulation: Formulation, periodic: bool| {
                let coefficients: Vec<f64> =
                    diagonal.chunks(2).flat_map(|c| [c[0], 0.0, 0.0, c[1]]).collect();
                let problem = Problem::builder()
                    .points(4)
                    .coefficients(View::new(&[1, 4, 2, 1, 2], &coefficients))
                    .rhs(View::new(&[1, 1, 2], &rhs))
                    .initial_values(View::new(&[1, 0, 1, 0], &[]))
                    .steps(View::new(&[1, 1], &[0.1]))
                    .build()
                    .unwrap();
                let weights = Weights { smoothness: 0.0, ..Weights::default() };
                let options =
                    Options { weights, formulation, periodic, factorization, ..Options::default() };
                let mut solver = subject.solver::<f64>(problem.shape(), &options);
                solver.solve(&problem).unwrap().status[0]
            };
        let zero_at = |index: usize| std::array::from_fn(|i| if i == index { 0.0 } else { 1.0 });
        let least_squares = Formulation::LeastSquares;
        let slack = Formulation::SharedSlack { gamma: 1.0, alpha: 1.0 };
        let breakdown = |point, pivot| Status::Breakdown { point, pivot };
        assert_eq!(status([1.0; 8], [1.0; 2], least_squares, false), Status::Ok);
        assert_eq!(status(zero_at(5), [1.0; 2], least_squares, false), breakdown(2, 1));
        assert_eq!(status(zero_at(7), [1.0; 2], least_squares, true), breakdown(3, 1));
        assert_eq!(status([1.0; 8], [1.0; 2], slack, false), breakdown(4, 0));
        assert_eq!(status([1.0; 8], [1.0; 2], slack, true), breakdown(4, 0));
        assert_eq!(status([1e-10; 8], [1e300; 2], least_squares, false), Status::Overflow);
    }
}

pub fn a_broken_system_has_no_derivative_and_no_residuals(subject: &Subject) {
    let mut case = healthy();
    // The second system's; every number in its workspace stays finite.
    case.inputs.steps.data[10] = -0.1;
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    solver.solve(&problem).unwrap();
    let residuals = solver.residuals(&problem).unwrap();
    for (system, residuals) in residuals.iter().enumerate() {
        assert_eq!(residuals.equation.is_nan(), system == 1);
        assert_eq!(residuals.smoothness.is_nan(), system == 1);
    }
    let steps = vec![1.0; case.inputs.steps.data.len()];
    let tangents = Tangents { steps: Some(&steps), ..Tangents::default() };
    let tangent = solver.jvp(&problem, &tangents).unwrap();
    for (system, values) in tangent.values.chunks(36).enumerate() {
        assert_eq!(tangent.status[system].is_ok(), system != 1);
        assert!(values.iter().all(|value| value.is_finite()));
        assert_eq!(values.iter().all(|&value| value == 0.0), system == 1);
    }
    let (q, of_slack) = (noise::<f64>(2, BATCH * 36), [1.0; BATCH]);
    let q = Cotangent { values: &q, epsilon: Some(&of_slack) };
    let broken = solver.inverse(&problem, &q).unwrap().clone();
    let healthy = healthy();
    let problem = healthy.problem();
    solver.solve(&problem).unwrap();
    let whole = solver.inverse(&problem, &q).unwrap();
    let systems = broken.values.chunks(36).zip(whole.values.chunks(36));
    for (system, (values, whole)) in systems.enumerate() {
        assert_eq!(broken.status[system].is_ok(), system != 1);
        match system {
            1 => assert!(values.iter().all(|&value| value == 0.0)),
            _ => assert_eq!(values, whole),
        }
    }
}

pub fn a_broken_system_adds_nothing_to_the_gradient_of_shared_inputs(subject: &Subject) {
    // Bit 0: the coefficients are shared by the batch.
    let mut case = Case::new(Sizes { batch: 4, shared: 1, ..SIZES }, Options::default(), 3);
    case.inputs.rhs.data[13] = f64::NAN;
    let (status, _, gradients) = run(subject, &case);
    assert!(!status[1].is_ok() && status[0].is_ok());
    assert!(gradients.iter().all(|value| value.is_finite()));
    assert!(gradients.iter().any(|&value| value != 0.0));
}

/// As if the system had no cotangent at all, down to the last bit of the others and of sums.
pub fn gradients_that_are_not_finite_are_reported_and_left_out(subject: &Subject) {
    let not_finite = Status::NonFiniteInput { argument: "the cotangent" };
    // The bits of what the batch shares: nothing, the coefficients, these and the steps.
    for shared in [0, 1, 1 | 1 << 5] {
        for broken in [0, 3, BATCH - 1] {
            let mut case = Case::new(Sizes { shared, ..SIZES }, Options::default(), 7);
            // So that products of the solution and of the last cotangent below overflow.
            case.inputs.initial_values.data[broken * 4..][..4].fill(1e200);
            let problem = case.problem();
            let mut solver = subject.solver::<f64>(problem.shape(), &case.options);
            let solution = solver.solve(&problem).unwrap();
            assert!(solution.status.iter().all(|status| status.is_ok()));
            let size = solution.values.len() / BATCH;
            let mut vjp = |first: f64, others: f64| {
                let mut cotangent = vec![1.0; BATCH * size];
                cotangent[broken * size..][..size].fill(others);
                cotangent[broken * size] = first;
                let cotangent = Cotangent { values: &cotangent, epsilon: None };
                solver.vjp(&problem, &cotangent).unwrap().clone()
            };
            let without = vjp(0.0, 0.0);
            assert!(without.status.iter().all(|status| status.is_ok()));
            for (first, others, expected) in [
                (f64::NAN, 1.0, not_finite),
                (1.0, f64::NEG_INFINITY, not_finite),
                (1.0, 1e150, Status::Overflow),
            ] {
                let found = vjp(first, others);
                for (system, status) in found.status.iter().enumerate() {
                    let expected = if system == broken { expected } else { Status::Ok };
                    assert_eq!(*status, expected, "{shared} {broken} {first} {others}: {system}");
                }
                for (found, without) in found.inputs.into_iter().zip(without.inputs.as_ref()) {
                    assert_eq!(found, *without, "{shared} {broken} {first} {others}");
                }
                assert_eq!(found.weights, without.weights);
            }
            // What was left out is left out of that call alone.
            assert_eq!(vjp(0.0, 0.0).inputs.rhs, without.inputs.rhs);

            // Whichever gradient is wanted, or none.
            let mut values = vec![1.0; BATCH * size];
            values[broken * size] = f64::NAN;
            let cotangent = Cotangent { values: &values, epsilon: None };
            let mut places = without.inputs.map(|gradient| vec![0.0; gradient.len()]);
            for wanted in 0..5 {
                let mut at = 0;
                let inputs = places.as_mut().map(|place| {
                    at += 1;
                    (at == wanted).then_some(&mut place[..])
                });
                let gradients = GradientsMut { inputs, weights: None };
                let status = solver.vjp_into(&problem, &cotangent, gradients).unwrap();
                for (system, status) in status.iter().enumerate() {
                    let expected = if system == broken { not_finite } else { Status::Ok };
                    assert_eq!(*status, expected, "{shared} {broken} {wanted}: {system}");
                }
            }
        }
    }
}

/// The gradients of what the batch shares are sums over the points, too: those of one system alone
/// are beyond the largest number that is stored, and no term of them need be.
pub fn a_sum_of_one_system_that_cannot_be_stored_is_its_overflow(subject: &Subject) {
    fn check<T: Real>(subject: &Subject, largest: f64) {
        const BROKEN: usize = 4;
        // The coefficients and the steps are shared by the batch and over time.
        let shared = 0b11 | 0b11 << 5;
        let mut case = Case::new(Sizes { shared, ..SIZES }, Options::default(), 7);
        // The gradients of what is not shared are much smaller.
        case.inputs.initial_values.data[BROKEN * 4..][..4].fill(1e4);
        let case = case.map(|value| T::of(value));
        let problem = case.problem();
        let mut solver = subject.solver::<T>(problem.shape(), &case.options);
        let size = solver.solve(&problem).unwrap().values.len() / BATCH;
        let mut vjp = |scale: f64| {
            let mut cotangent = vec![T::one(); BATCH * size];
            cotangent[BROKEN * size..][..size].fill(T::of(scale));
            let cotangent = Cotangent { values: &cotangent, epsilon: None };
            solver.vjp(&problem, &cotangent).unwrap().clone()
        };
        let without = vjp(0.0);
        let greatest =
            |values: &[T]| values.iter().fold(0.0, |m: f64, v| m.max(v.to_double().abs()));
        let of_unit = greatest(&vjp(1e6).inputs.coefficients) / 1e6;
        let found = vjp(1.2 * (largest / of_unit));
        for (system, status) in found.status.iter().enumerate() {
            let expected = if system == BROKEN { Status::Overflow } else { Status::Ok };
            assert_eq!(*status, expected, "{}: {system}", T::NAME);
        }
        assert_eq!(found.inputs, without.inputs, "{}", T::NAME);
    }
    check::<f32>(subject, f32::MAX.into());
    check::<f64>(subject, f64::MAX);
}

/// The gradient of the weights is in double. Where one system makes it more than single precision
/// holds, all gradients are finite, and those of the others are what they are without this system.
pub fn a_gradient_of_the_weights_beyond_single_precision_changes_no_other(subject: &Subject) {
    const BROKEN: usize = 4;
    // The gradient of a small weight before large numbers is large, and that of the numbers small.
    const LARGE: f64 = 1e4;
    let weights = Weights { equation: 1.0 / LARGE, ..Weights::default() };
    let mut case = Case::<f64>::new(SIZES, Options { weights, ..Options::default() }, 7);
    for array in [&mut case.inputs.coefficients, &mut case.inputs.rhs] {
        array.data.iter_mut().for_each(|value| *value *= LARGE);
    }
    let case = case.map(|value| value as f32);
    let problem = case.problem();
    let mut solver = subject.solver::<f32>(problem.shape(), &case.options);
    let solution = solver.solve(&problem).unwrap();
    assert!(solution.status.iter().all(|status| status.is_ok()));
    let size = solution.values.len() / BATCH;
    let mut vjp = |scale: f64| {
        let mut cotangent = vec![1.0; BATCH * size];
        cotangent[BROKEN * size..][..size].fill(scale as f32);
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        solver.vjp(&problem, &cotangent).unwrap().clone()
    };
    let largest = f64::from(f32::MAX);
    let without = vjp(0.0);
    let weights = |Weights { equation, initial, smoothness, .. }: Weights| {
        [equation, initial, smoothness].into_iter().fold(0.0, |m: f64, w| m.max(w.abs()))
    };
    let of_unit = weights(vjp(1e6).weights) / 1e6;
    let found = vjp(1.2 * (largest / of_unit));
    assert!(found.status.iter().all(|status| status.is_ok()), "{:?}", found.status);
    assert!(weights(found.weights) > largest && weights(found.weights).is_finite());
    for (found, without) in found.inputs.as_ref().zip(without.inputs.as_ref()).into_iter() {
        let of_system = found.len() / BATCH;
        for system in 0..BATCH {
            let [found, without] =
                [found, without].map(|all| &all[system * of_system..][..of_system]);
            assert!(found.iter().all(|value| value.is_finite()), "{system}");
            assert_eq!(found == without, system != BROKEN, "{system}");
        }
    }
}

pub fn tangents_that_are_not_finite_are_reported(subject: &Subject) {
    let case = healthy();
    let problem = case.problem();
    let mut solver = subject.solver::<f64>(problem.shape(), &case.options);
    let size = solver.solve(&problem).unwrap().values.len() / BATCH;
    let own = case.inputs.rhs.data.len() / BATCH;
    let mut jvp = |value: f64| {
        let mut rhs = vec![1.0; BATCH * own];
        rhs[3 * own..][..own].fill(value);
        let tangents = Tangents { rhs: Some(&rhs), ..Tangents::default() };
        solver.jvp(&problem, &tangents).unwrap().clone()
    };
    let whole = jvp(1.0);
    for (value, expected) in [
        (f64::NAN, Status::NonFiniteInput { argument: "the tangent of rhs" }),
        (f64::MAX, Status::Overflow),
    ] {
        let tangent = jvp(value);
        for system in 0..BATCH {
            let values = &tangent.values[system * size..][..size];
            if system == 3 {
                assert_eq!(tangent.status[system], expected);
                assert!(values.iter().all(|value| value.is_nan()));
            } else {
                assert_eq!(tangent.status[system], Status::Ok);
                assert_eq!(*values, whole.values[system * size..][..size]);
            }
        }
    }
}

pub fn an_inverse_that_is_not_finite_is_reported(subject: &Subject) {
    let case = healthy();
    let problem = case.problem();
    let mut solver = subject.solver::<f64>(problem.shape(), &case.options);
    let size = solver.solve(&problem).unwrap().values.len() / BATCH;
    let mut inverse = |value: f64, slack: f64| {
        let (mut q, mut epsilon) = (vec![1.0; BATCH * size], [1.0; BATCH]);
        q[3 * size..][..size].fill(value);
        epsilon[3] = slack;
        let q = Cotangent { values: &q, epsilon: Some(&epsilon) };
        solver.inverse(&problem, &q).unwrap().clone()
    };
    let whole = inverse(1.0, 1.0);
    let broken = Status::NonFiniteInput { argument: "the cotangent" };
    // These problems have no slack, and its entry is looked at all the same.
    for (value, slack, expected) in
        [(f64::NAN, 1.0, broken), (1.0, f64::NAN, broken), (f64::MAX, 1.0, Status::Overflow)]
    {
        let inverse = inverse(value, slack);
        for system in 0..BATCH {
            let values = &inverse.values[system * size..][..size];
            if system == 3 {
                assert_eq!(inverse.status[system], expected);
                assert!(values.iter().all(|value| value.is_nan()));
            } else {
                assert_eq!(inverse.status[system], Status::Ok);
                assert_eq!(*values, whole.values[system * size..][..size]);
            }
        }
    }
}

pub fn derivatives_need_a_solve_and_arrays_that_fit(subject: &Subject) {
    let case = healthy();
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &case.options);
    let good = vec![0.0; BATCH * 6 * 6];
    let cotangent = Cotangent { values: &good, epsilon: None };
    assert!(solver.vjp(&problem, &cotangent).is_err());
    assert!(solver.jvp(&problem, &Tangents::default()).is_err());
    assert!(solver.inverse(&problem, &cotangent).is_err());
    assert!(solver.residuals(&problem).is_err());
    solver.solve(&problem).unwrap();
    assert!(solver.vjp(&problem, &cotangent).is_ok());
    let short = Cotangent { values: &good[1..], epsilon: None };
    assert!(matches!(solver.vjp(&problem, &short), Err(Error::Shape { .. })));
    let short = Cotangent { values: &good, epsilon: Some(&good[..2]) };
    assert!(matches!(solver.vjp(&problem, &short), Err(Error::Shape { .. })));
    let tangents = Tangents { steps: Some(&good[..3]), ..Tangents::default() };
    assert!(matches!(solver.jvp(&problem, &tangents), Err(Error::Shape { .. })));

    let other = Case::new(Sizes { points: 7, ..SIZES }, Options::default(), 7);
    assert!(solver.solve(&other.problem()).is_err());
}

pub fn residuals_are_the_norms_of_the_defects(subject: &Subject) {
    // Overdetermined by two contradicting initial values of u, nothing else at odds.
    let problem = Problem::builder()
        .points(3)
        .coefficients(View::new(&[1, 1, 1, 1, 2], &[0.0, 1.0]))
        .rhs(View::new(&[1, 1, 1], &[0.0]))
        .initial_values(View::new(&[1, 2, 1, 1], &[0.0, 2.0]))
        .steps(View::new(&[1, 1], &[1.0]))
        .build()
        .unwrap();
    // With heavy equation and smoothness rows u is constant: the mean, 1, off by 1 at both points.
    let weights = Weights { equation: 1e4, smoothness: 1e4, ..Weights::default() };
    let options = Options { weights, refinement_steps: Some(2), ..Options::default() };
    let mut solver = subject.solver::<f64>(problem.shape(), &options);
    assert_abs_diff_eq!(solver.solve(&problem).unwrap().values[4], 1.0, epsilon = 1e-6);
    let residuals = solver.residuals(&problem).unwrap()[0];
    assert_abs_diff_eq!(residuals.initial, 2.0_f64.sqrt(), epsilon = 1e-6);
    assert!(residuals.equation < 1e-3 && residuals.smoothness < 1e-3, "{residuals:?}");
    assert_eq!(residuals.periodic, 0.0);
}

pub fn a_system_without_digits_left_is_a_breakdown(subject: &Subject) {
    // u'' + u = 0 over 1000 steps of 0.01, determined by initial values whose rows, squared, drown in
    // the rounding of the others.
    fn status<T: Real>(subject: &Subject, initial: f64) -> Status {
        let values = |values: &[f64]| values.iter().map(|&value| T::of(value)).collect::<Vec<T>>();
        let data = [&[1.0, 0.0, 1.0][..], &[0.0], &[1.0, 0.0], &[0.01]].map(values);
        let problem = Problem::builder()
            .points(1000)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
            .rhs(View::new(&[1, 1, 1], &data[1]))
            .initial_values(View::new(&[1, 1, 1, 2], &data[2]))
            .steps(View::new(&[1, 1], &data[3]))
            .build()
            .unwrap();
        let factorization = Factorization::Cholesky;
        let weights = Weights { initial, ..Weights::default() };
        let options = Options { factorization, weights, ..Options::default() };
        let mut solver = subject.solver::<T>(problem.shape(), &options);
        solver.solve(&problem).unwrap().status[0]
    }
    for (weight, sound) in [(1.0, true), (1e-9, false)] {
        for status in [status::<f64>(subject, weight), status::<f32>(subject, weight)] {
            let broken = matches!(status, Status::Breakdown { .. });
            assert!(if sound { status == Status::Ok } else { broken }, "{weight:e}: {status:?}");
        }
    }
}

/// u'' + 0.3 u' = 0.5 leaves a constant undetermined unless u is given somewhere, in any precision
/// and however the factor is computed: rounding must not pass for information.
pub fn what_the_rows_do_not_determine_is_a_breakdown(subject: &Subject) {
    fn status<T: Real>(subject: &Subject, points: usize, given: usize, options: Options) -> Status {
        let of = |values: &[f64]| values.iter().map(|&value| T::of(value)).collect::<Vec<T>>();
        let data = [&[0.0, 0.3, 1.0][..], &[0.5], &[1.0, 0.0][..given], &[0.07]].map(of);
        let initial_values = [1, 1, 1, given];
        let problem = Problem::builder()
            .points(points)
            .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
            .rhs(View::new(&[1, 1, 1], &data[1]))
            .initial_values(View::new(&initial_values, &data[2]))
            .steps(View::new(&[1, 1], &data[3]))
            .build()
            .and_then(|problem| problem.with_extra_derivatives(1))
            .unwrap();
        let mut solver = subject.solver::<T>(problem.shape(), &options);
        solver.solve(&problem).unwrap().status[0]
    }
    for points in [5, 20, 300, 3000].into_iter().take(subject.cases(4) as usize + 1) {
        for smoothness in Smoothness::ALL {
            for &factorization in subject.factorizations() {
                let options = Options { smoothness, factorization, ..Options::default() };
                let single = status::<f32>(subject, points, 0, options);
                let double = status::<f64>(subject, points, 0, options);
                for status in [single, double] {
                    let broken = matches!(status, Status::Breakdown { .. });
                    assert!(broken, "{points} points, {options:?}: {single:?} {double:?}");
                }
                assert_eq!(status::<f64>(subject, points, 2, options), Status::Ok);
            }
            let options = Options { smoothness, ..Options::default() };
            assert_eq!(status::<f32>(subject, points, 2, options), Status::Ok);
        }
    }
}
