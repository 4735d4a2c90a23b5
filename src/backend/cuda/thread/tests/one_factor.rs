//! The factor of all systems of a batch gives the bits of a factor of their own.

use super::{SIZES, STATES_AND_ORDERS, options};
use crate::adjoint::Cotangent;
use crate::backend::cuda::testing::case::{Case, Sizes, noise};
use crate::backend::cuda::testing::paths::solver;
use crate::backend::cuda::testing::{device, driver};
use crate::backend::cuda::thread::{self, plan::Plan};
use crate::options::{Options, RowScaling, Smoothness, Weights};
use crate::real::Real;
use crate::solution::Status;
use crate::solver::Solver;

/// Coefficients and steps without a batch axis.
const ONE_MATRIX: u32 = 0b0010_0001;
/// And without one of time.
const AT_ALL_POINTS: u32 = 0b0110_0011;
/// Steps that the states share, besides.
const BY_ALL_STATES: u32 = 0b1_1000_0000;

/// A solver with one factor of all systems, or with one of each.
fn solver_of<T: Real>(case: &Case<T>, one_factor: bool) -> Solver<T> {
    let problem = case.problem();
    let shape = problem.shape();
    let shared_memory = device().limits().shared_memory;
    let plan = Plan::new(shape, &case.options, shared_memory).unwrap();
    assert!(plan.one_factor, "{plan}");
    let path = thread::path(&device(), Plan { one_factor, ..plan }).unwrap();
    solver(shape, &case.options, path)
}

/// Statuses, and by name the solution and all gradients as bits.
type Outcome = (Vec<Status>, Vec<(&'static str, Vec<u64>)>);

fn outcome<T: Real>(solver: &mut Solver<T>, case: &Case<T>) -> Outcome {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    let cotangent = noise(20, solution.values.len());
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap();
    let Weights { equation, initial, smoothness, periodic } = gradients.weights;
    let weights = [equation, initial, smoothness, periodic].map(f64::to_bits).to_vec();
    let bits = |values: &[T]| values.iter().map(|value| value.to_double().to_bits()).collect();
    let inputs = &gradients.inputs;
    let arrays = vec![
        ("solution", bits(&solution.values)),
        ("epsilon", bits(&solution.epsilon)),
        ("gradient of coefficients", bits(&inputs.coefficients)),
        ("gradient of rhs", bits(&inputs.rhs)),
        ("gradient of initial values", bits(&inputs.initial_values)),
        ("gradient of steps", bits(&inputs.steps)),
        ("gradient of weights", weights),
    ];
    (solution.status, arrays)
}

fn assert_same((status, arrays): &Outcome, expected: &Outcome, what: &str) {
    assert_eq!(*status, expected.0, "{what}");
    for ((name, array), (_, expected)) in arrays.iter().zip(&expected.1) {
        assert!(array == expected, "{name}, {what}");
    }
    driver::assert_no_reports();
}

fn compare<T: Real>(case: &Case<T>, what: &str) -> Outcome {
    let found = outcome(&mut solver_of(case, true), case);
    assert_same(&found, &outcome(&mut solver_of(case, false), case), what);
    found
}

#[test]
fn every_size_has_the_bits_of_a_factor_for_each_system() {
    for (seed, (states, order, extra)) in STATES_AND_ORDERS.into_iter().enumerate() {
        for (shared, smoothness) in [
            (ONE_MATRIX, Smoothness::Hermite),
            (AT_ALL_POINTS, Smoothness::Taylor),
            (ONE_MATRIX | BY_ALL_STATES | 0b1000, Smoothness::TaylorHold),
        ] {
            let sizes = Sizes { states, order, extra, equations: states, shared, ..SIZES };
            let scaling = RowScaling::Balanced;
            for options in [options(smoothness), Options { scaling, ..options(smoothness) }] {
                let what = format!("{sizes:?}, {options:?}");
                let case = Case::<f64>::new(sizes, options, seed as u64);
                let (status, _) = compare(&case, &what);
                assert!(status.iter().all(|status| status.is_ok()), "{what}: {status:?}");
                compare(&Case::<f32>::new(sizes, options, seed as u64), &what);
            }
        }
    }
}

#[test]
fn batches_of_any_length_and_refinement_have_the_bits_of_a_factor_for_each_system() {
    for (batch, points, equations, initial, refinement) in [
        (33, 2, 1, (1, 2), 0),
        (64, 3, 4, (3, 3), 1),
        (97, 40, 2, (40, 3), 2),
        (65, 17, 7, (0, 0), 1),
    ] {
        for shared in [ONE_MATRIX, ONE_MATRIX | 0b1_0100, AT_ALL_POINTS | 0b1_1000] {
            let sizes = Sizes { batch, points, equations, initial, shared, ..SIZES };
            let options =
                Options { refinement_steps: Some(refinement), ..options(Smoothness::TaylorHold) };
            let what = format!("{sizes:?}, {refinement} steps");
            compare(&Case::<f64>::new(sizes, options, batch as u64), &what);
        }
    }
}

/// A solver keeps the factor as long as coefficients and steps stay.
#[test]
fn a_factor_that_was_kept_gives_what_a_new_one_does() {
    for shared in [ONE_MATRIX, AT_ALL_POINTS | BY_ALL_STATES] {
        let sizes = Sizes { batch: 70, states: 2, order: 1, equations: 2, shared, ..SIZES };
        let first = Case::<f64>::new(sizes, options(Smoothness::Hermite), 3);
        let [mut rhs, mut coefficient, mut step, mut broken] = [(); 4].map(|()| first.clone());
        rhs.inputs.rhs.data = noise(31, first.inputs.rhs.data.len());
        rhs.inputs.initial_values.data = noise(32, first.inputs.initial_values.data.len());
        *coefficient.inputs.coefficients.data.last_mut().unwrap() *= 1.5;
        *step.inputs.steps.data.last_mut().unwrap() *= 1.5;
        broken.inputs.coefficients.data[0] = f64::NAN;
        let mut solver = solver_of(&first, true);
        let cases =
            [&first, &rhs, &first, &coefficient, &first, &step, &step, &broken, &broken, &first];
        for (number, case) in cases.into_iter().enumerate() {
            let found = outcome(&mut solver, case);
            let expected = outcome(&mut solver_of(case, false), case);
            assert_same(&found, &expected, &format!("solve {number}, {shared:b}"));
        }
    }
}

#[test]
fn a_right_hand_side_that_is_not_finite_leaves_the_others_alone() {
    let sizes = Sizes { batch: 70, shared: ONE_MATRIX, ..SIZES };
    let mut sound = Case::<f64>::new(sizes, options(Smoothness::TaylorHold), 3);
    // Times the largest right-hand side they overflow.
    sound.inputs.coefficients.data[5 * 3..][..3].fill(4.0);
    for system in [0, 31, 69] {
        let [mut rhs, mut initial, mut large] = [(); 3].map(|()| sound.clone());
        rhs.inputs.rhs.data[system * sizes.points + 5] = f64::NAN;
        initial.inputs.initial_values.data[system * 2] = f64::INFINITY;
        large.inputs.rhs.data[system * sizes.points + 5] = f64::MAX;
        for (case, expected) in [
            (rhs, Status::NonFiniteInput { argument: "rhs" }),
            (initial, Status::NonFiniteInput { argument: "initial_values" }),
            (large, Status::Overflow),
        ] {
            let (status, _) = compare(&case, &format!("system {system}, {expected:?}"));
            for (other, status) in status.into_iter().enumerate() {
                assert_eq!(status, if other == system { expected } else { Status::Ok });
            }
        }
    }
}

#[test]
fn every_system_reports_a_matrix_that_is_wrong() {
    type Change = fn(&mut Case);
    type Expected = fn(&Status) -> bool;
    let changes: [(Change, Expected); 5] = [
        (
            |case| case.inputs.coefficients.data[7] = f64::NAN,
            |status| *status == Status::NonFiniteInput { argument: "coefficients" },
        ),
        (
            |case| case.inputs.steps.data[2] = -1.0,
            |status| *status == Status::InvalidStep { step: 2 },
        ),
        (
            |case| case.inputs.steps.data[6] = f64::INFINITY,
            |status| *status == Status::NonFiniteInput { argument: "steps" },
        ),
        // Without equations, two initial values leave a polynomial undetermined.
        (
            |case| case.inputs.coefficients.data.fill(0.0),
            |status| matches!(status, Status::Breakdown { .. }),
        ),
        // Squares overflow.
        (
            |case| case.inputs.coefficients.data.fill(1e200),
            |status| matches!(status, Status::Breakdown { .. }),
        ),
    ];
    let sizes = Sizes { batch: 70, shared: ONE_MATRIX, ..SIZES };
    for (number, (change, expected)) in changes.into_iter().enumerate() {
        let mut case = Case::<f64>::new(sizes, options(Smoothness::Taylor), 3);
        change(&mut case);
        let (status, _) = compare(&case, &format!("change {number}"));
        assert!(status.iter().all(expected), "change {number}: {status:?}");
        // What is wrong with a system itself goes first where it does without one factor.
        case.inputs.rhs.data[3] = f64::NAN;
        compare(&case, &format!("change {number}, and a right-hand side"));
    }
}

#[test]
fn one_factor_takes_the_memory_of_a_tile() {
    let of = |batch: usize, shared: u32| {
        let sizes = Sizes { batch, shared, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::Taylor), 3);
        let problem = case.problem();
        let limits = *device().limits();
        Plan::new(problem.shape(), &case.options, limits.shared_memory).unwrap().workspace(batch)
    };
    let (own, one) = (of(320, 0), of(320, ONE_MATRIX));
    // Ten tiles of factors, of N·(6 + 9) values a system.
    let factor = 32 * SIZES.points * 15 * 8;
    assert_eq!((own.solution - own.factor, own.of_factor), (10 * factor, None));
    assert_eq!((one.factor, one.of_factor), (0, Some(factor)));
    assert_eq!(own.bytes - one.bytes, 9 * factor - 256);
    // Systems of one tile are factorized side by side.
    assert_eq!(of(32, ONE_MATRIX).of_factor, None);
}
