//! A batch whose systems share coefficients and steps has one matrix: it is factorized once, and everything is as if
//! each system had coefficients and steps of its own.

use crate::support::case::{Case, Owned, Sizes, noise};
use crate::support::close::assert_close;
use crate::support::dense::Dense;
use crate::support::results::Results;
use mechanistic::{
    Cotangent, Factorization, Formulation, Inputs, Options, RowScaling, Smoothness, Solver, Status,
    Weights,
};

/// Coefficients and steps without a batch axis.
const ONE_MATRIX: u32 = 0b0010_0001;
/// And without one of time.
const AT_ALL_POINTS: u32 = 0b0110_0011;
/// Steps that the states share, besides.
const BY_ALL_STATES: u32 = 0b1_1000_0000;

fn solver(case: &Case) -> Solver<f64> {
    Solver::new(case.problem().shape(), &case.options).unwrap()
}

/// Returns whether the systems of a case have one factor.
fn has_one_factor(case: &Case) -> bool {
    solver(case).plan().path.contains("factor of all systems")
}

/// Adds up the parts of the systems as the library does: eight systems in pairs, then tile after tile, which is
/// the order of the groups too as long as each has one tile.
fn sum_over_systems(parts: &[f64], batch: usize) -> Vec<f64> {
    let size = parts.len() / batch;
    let sum = |i: usize| {
        let part = |system: usize| if system < batch { parts[system * size + i] } else { 0.0 };
        let tile = |first: usize| {
            let [a, b, c, d, e, f, g, h] = std::array::from_fn(|lane| part(first + lane));
            ((a + b) + (c + d)) + ((e + f) + (g + h))
        };
        (0..batch).step_by(8).map(tile).sum()
    };
    (0..size).map(sum).collect()
}

/// Everything that a new solver returns, by name; of what the systems may share, the sum over them.
fn everything(case: &Case, directions: &Case) -> Results {
    everything_of(&mut solver(case), case, directions)
}

/// Everything that this solver returns.
fn everything_of(solver: &mut Solver<f64>, case: &Case, directions: &Case) -> Results {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    let residuals = solver.residuals(&problem).unwrap();
    let residuals =
        residuals.iter().flat_map(|r| [r.equation, r.initial, r.smoothness, r.periodic]).collect();
    let variances = solver.variances(&problem).unwrap().to_vec();
    let (values, epsilon) = (noise(20, solution.values.len()), noise(21, case.batch));
    let cotangent = Cotangent { values: &values, epsilon: Some(&epsilon) };
    let gradients = solver.vjp(&problem, &cotangent).unwrap().clone();
    let inverse = solver.inverse(&problem, &cotangent).unwrap().clone();
    let tangents = directions.arrays().map(Some);
    let tangent = solver.jvp(&problem, &tangents).unwrap().clone();
    let Inputs { coefficients, rhs, initial_values, steps } = gradients.inputs;
    let sum = |array: &Owned, gradient: Vec<f64>| match array.shape[0] {
        1 => gradient,
        batch => sum_over_systems(&gradient, batch),
    };
    let Weights { equation, initial, smoothness, periodic } = gradients.weights;
    let arrays = vec![
        ("solution", solution.values),
        ("epsilon", solution.epsilon),
        ("residuals", residuals),
        ("variances", variances),
        ("gradient of coefficients", sum(&case.inputs.coefficients, coefficients)),
        ("gradient of rhs", rhs),
        ("gradient of initial values", initial_values),
        ("gradient of steps", sum(&case.inputs.steps, steps)),
        ("gradient of weights", vec![equation, initial, smoothness, periodic]),
        ("inverse", inverse.values),
        ("epsilon of inverse", inverse.epsilon),
        ("tangent", tangent.values),
        ("epsilon of tangent", tangent.epsilon),
    ];
    Results { status: solution.status, arrays }
}

/// A case, and the directions in which its inputs move.
fn cases(sizes: Sizes, options: Options) -> [Case; 2] {
    let case = Case::new(sizes, options, 3);
    let mut directions = case.clone();
    for (array, direction) in directions.inputs.as_mut().zip(case.directions(22)) {
        array.data = direction;
    }
    [case, directions]
}

#[test]
fn one_factor_gives_what_a_factor_for_each_system_does() {
    let hermite = Options::default();
    let taylor = Options {
        smoothness: Smoothness::TaylorHold,
        refinement_steps: Some(0),
        ..Options::default()
    };
    let central = Options { smoothness: Smoothness::TaylorCentral, ..hermite };
    let slack = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
    let small = Sizes { batch: 17, points: 6, shared: ONE_MATRIX, ..Sizes::SMALL };
    let at_all_points = Sizes { shared: AT_ALL_POINTS | BY_ALL_STATES, ..small };
    let three = Sizes { states: 3, equations: 3, order: 1, initial: (1, 1), ..small };
    let one = Sizes { states: 1, equations: 1, ..small };
    let cases_of = [
        // Chains of small blocks, blocks of any size, and more points than are brought into lanes at once.
        (Sizes { batch: 24, points: 40, ..three }, hermite),
        (Sizes { batch: 29, ..three }, taylor),
        (Sizes { points: 70, batch: 33, ..one }, taylor),
        (one, Options { refinement_steps: Some(2), ..hermite }),
        (Sizes { order: 1, initial: (1, 1), ..one }, hermite),
        (Sizes { extra: 1, ..one }, hermite),
        (Sizes { order: 5, initial: (1, 5), ..one }, taylor),
        (small, Options { scaling: RowScaling::Balanced, ..hermite }),
        (Sizes { batch: 64, ..at_all_points }, taylor),
        (Sizes { states: 5, equations: 5, ..at_all_points }, hermite),
        (Sizes { initial: (2, 2), shared: ONE_MATRIX | BY_ALL_STATES, ..small }, hermite),
        // Right-hand sides or initial values that the systems share, too.
        (Sizes { shared: ONE_MATRIX | 0b1100, ..small }, hermite),
        (Sizes { shared: ONE_MATRIX | 0b1_0000, ..small }, taylor),
        (Sizes { batch: 20, ..small }, Options { formulation: slack, ..taylor }),
        (small, Options { formulation: slack, ..central }),
        (small, central),
        (small, Options { periodic: true, ..hermite }),
        (small, Options { periodic: true, formulation: slack, ..central }),
    ];
    for (sizes, options) in cases_of {
        let [case, directions] = cases(sizes, options);
        let what = format!("{sizes:?}, {options:?}");
        let all = case.with_own_matrices();
        assert!(has_one_factor(&case) && !has_one_factor(&all), "{what}");
        let Results { status, arrays } = everything(&case, &directions);
        assert!(status.iter().all(|status| status.is_ok()), "{what}: {status:?}");
        let of_each = everything(&all, &directions.with_own_matrices());
        assert_eq!(status, of_each.status, "{what}");
        for ((name, array), (_, of_each)) in arrays.iter().zip(&of_each.arrays) {
            assert!(array == of_each, "{name}, {what}");
        }
    }
}

#[test]
fn a_factor_that_was_kept_gives_what_a_new_one_does() {
    let hermite = Options::default();
    let central = Options { smoothness: Smoothness::TaylorCentral, ..hermite };
    let slack = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
    let small = Sizes { batch: 17, points: 6, shared: ONE_MATRIX, ..Sizes::SMALL };
    let chain = Sizes { states: 3, equations: 3, order: 1, initial: (1, 1), ..small };
    for (sizes, options) in [
        (Sizes { batch: 40, points: 70, ..small }, hermite),
        (Sizes { shared: AT_ALL_POINTS | BY_ALL_STATES, ..small }, hermite),
        (small, central),
        (small, Options { formulation: slack, periodic: true, ..central }),
        // Of up to 16 systems each tile has its own factor.
        (Sizes { batch: 16, points: 70, ..chain }, hermite),
        (Sizes { batch: 16, ..small }, Options { formulation: slack, periodic: true, ..central }),
        (Sizes { batch: 9, shared: AT_ALL_POINTS | BY_ALL_STATES, ..small }, hermite),
        (Sizes { batch: 5, ..chain }, Options { refinement_steps: Some(0), ..hermite }),
        (Sizes { batch: 2, points: 70, ..small }, hermite),
        (Sizes { batch: 2, ..chain }, Options { smoothness: Smoothness::TaylorHold, ..hermite }),
    ] {
        let [first, directions] = cases(sizes, options);
        assert_eq!(has_one_factor(&first), sizes.batch > 16);
        let [mut rhs, mut coefficient, mut step, mut broken] = [(); 4].map(|()| first.clone());
        let [mut wrong, mut singular] = [(); 2].map(|()| first.clone());
        rhs.inputs.rhs.data = noise(31, first.inputs.rhs.data.len());
        rhs.inputs.initial_values.data = noise(32, first.inputs.initial_values.data.len());
        *coefficient.inputs.coefficients.data.last_mut().unwrap() *= 1.5;
        *step.inputs.steps.data.last_mut().unwrap() *= 1.5;
        broken.inputs.coefficients.data[0] = f64::NAN;
        wrong.inputs.rhs.data[0] = f64::NAN;
        // Without equations, two initial values leave a polynomial undetermined.
        singular.inputs.coefficients.data.fill(0.0);
        let mut other_singular = singular.clone();
        other_singular.inputs.rhs.data = rhs.inputs.rhs.data.clone();
        let mut solver = solver(&first);
        for case in [
            [&first, &rhs, &first, &coefficient],
            [&first, &step, &step, &broken],
            [&broken, &wrong, &first, &singular],
            [&other_singular, &wrong, &rhs, &first],
        ]
        .into_iter()
        .flatten()
        {
            let found = everything_of(&mut solver, case, &directions);
            let expected = everything(case, &directions);
            assert_eq!(found.status, expected.status);
            for ((name, array), (_, expected)) in found.arrays.iter().zip(&expected.arrays) {
                let bits = |array: &[f64]| array.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert!(bits(array) == bits(expected), "{name}, {sizes:?}, {options:?}");
            }
        }
    }
}

#[test]
fn other_matrices_are_factorized_for_each_system() {
    let sizes = Sizes { batch: 20, points: 6, shared: ONE_MATRIX, ..Sizes::SMALL };
    let options = Options::default();
    let follow_growth = Options { follow_growth: true, ..options };
    let square_root = Options { factorization: Factorization::SquareRoot, ..options };
    for (sizes, options) in [
        // The scale of the rows depends on the solution, and rotations take the right-hand side along.
        (sizes, follow_growth),
        (sizes, square_root),
        // Few systems need not wait for each other.
        (Sizes { batch: 16, ..sizes }, options),
    ] {
        let [case, directions] = cases(sizes, options);
        assert!(!has_one_factor(&case), "{sizes:?}, {options:?}");
        let expected = everything(&case.with_own_matrices(), &directions.with_own_matrices());
        assert!(everything(&case, &directions) == expected, "{sizes:?}, {options:?}");
    }
    for shared in [0b0010_0000, 0b0000_0001] {
        assert!(!has_one_factor(&Case::new(Sizes { shared, ..sizes }, options, 3)));
    }
}

#[test]
fn one_factor_takes_the_memory_of_a_tile() {
    let of = |batch: usize, shared: u32| {
        let case =
            Case::new(Sizes { batch, points: 50, shared, ..Sizes::SMALL }, Options::default(), 3);
        solver(&case).plan().workspace_bytes
    };
    // What a tile of eight systems more takes.
    let [own, one] = [0, ONE_MATRIX].map(|shared| of(808, shared) - of(800, shared));
    let (unknowns, triangle) = (50 * 6, 50 * 21);
    assert_eq!([own, one], [8 * 8 * (unknowns + triangle), 8 * 8 * unknowns]);
}

#[test]
fn a_right_hand_side_that_is_not_finite_leaves_the_others_alone() {
    let sizes = Sizes { batch: 21, points: 7, shared: ONE_MATRIX, ..Sizes::SMALL };
    let [healthy, directions] = cases(sizes, Options::default());
    let expected = everything(&healthy, &directions).arrays;
    for system in [0, 3, 20] {
        let mut case = healthy.clone();
        case.inputs.rhs.data[system * 14 + 5] = f64::NAN;
        assert!(has_one_factor(&case));
        let Results { status, arrays } = everything(&case, &directions);
        for (other, status) in status.iter().enumerate() {
            let broken = Status::NonFiniteInput { argument: "rhs" };
            assert_eq!(*status, if other == system { broken } else { Status::Ok });
        }
        for ((name, array), (_, expected)) in arrays.iter().zip(&expected) {
            if ["coefficients", "steps", "weights"].iter().any(|input| name.ends_with(input)) {
                assert!(array.iter().all(|value| value.is_finite()), "{name}");
                continue;
            }
            let size = array.len() / sizes.batch;
            let parts = array.chunks_exact(size).zip(expected.chunks_exact(size)).enumerate();
            for (_, (part, expected)) in parts.filter(|(other, _)| *other != system) {
                assert_eq!(part, expected, "{name}");
            }
        }
    }
}

#[test]
fn every_system_reports_a_matrix_that_is_wrong() {
    type Change = fn(&mut Case);
    type Expected = fn(&Status) -> bool;
    let sizes = Sizes { batch: 19, points: 7, shared: ONE_MATRIX, ..Sizes::SMALL };
    let changes: [(Change, Expected); 5] = [
        (
            |case| case.inputs.coefficients.data[31] = f64::NAN,
            |status| *status == Status::NonFiniteInput { argument: "coefficients" },
        ),
        (
            |case| case.inputs.steps.data[4] = -1.0,
            |status| *status == Status::InvalidStep { step: 2 },
        ),
        (
            |case| case.inputs.steps.data[11] = f64::INFINITY,
            |status| *status == Status::NonFiniteInput { argument: "steps" },
        ),
        // Without equations, two initial values leave a polynomial undetermined.
        (
            |case| case.inputs.coefficients.data.fill(0.0),
            |status| matches!(status, Status::Breakdown { .. }),
        ),
        (|case| case.inputs.rhs.data.fill(f64::MAX), |status| *status == Status::Overflow),
    ];
    for smoothness in [Smoothness::Hermite, Smoothness::TaylorCentral] {
        for (change, expected) in &changes {
            let [mut case, directions] = cases(sizes, Options { smoothness, ..Options::default() });
            change(&mut case);
            assert!(has_one_factor(&case));
            let status = everything(&case, &directions).status;
            assert!(status.iter().all(expected), "{status:?}");
            assert_eq!(
                status,
                everything(&case.with_own_matrices(), &directions.with_own_matrices()).status
            );
        }
    }
}

/// ℓ = cotangent · solution, by the dense reference.
fn loss(case: &Case, cotangent: &[f64]) -> f64 {
    let size = cotangent.len() / case.batch;
    let of_system = |(system, along): (usize, &[f64])| {
        let (values, _) = Dense::new(case, system).solve();
        values.iter().zip(along).map(|(value, along)| value * along).sum::<f64>()
    };
    cotangent.chunks_exact(size).enumerate().map(of_system).sum()
}

#[test]
fn gradients_of_shared_inputs_are_central_differences_of_the_dense_reference() {
    let sizes = Sizes { batch: 18, points: 4, shared: ONE_MATRIX, ..Sizes::SMALL };
    let case = Case::new(sizes, Options::default(), 3);
    assert!(has_one_factor(&case));
    let (problem, mut solver) = (case.problem(), solver(&case));
    let solution = solver.solve(&problem).unwrap();
    let dense = (0..case.batch).flat_map(|system| Dense::new(&case, system).solve().0);
    assert_close(&solution.values, &dense.collect::<Vec<f64>>(), 1e-10, "solution");
    let cotangent = noise::<f64>(1, solution.values.len());
    let of_loss = Cotangent { values: &cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &of_loss).unwrap();
    for (input, gradient) in gradients.inputs.as_ref().into_iter().enumerate() {
        for index in (0..gradient.len()).step_by(gradient.len() / 7 + 1) {
            let moved = |step: f64| {
                let mut moved = case.clone();
                let inputs: [&mut Owned; 4] = moved.inputs.as_mut().into();
                inputs[input].data[index] += step;
                loss(&moved, &cotangent)
            };
            let step = 1e-5;
            let expected = (moved(step) - moved(-step)) / (2.0 * step);
            let what = format!("gradient of input {input} at {index}");
            assert_close(&[gradient[index]], &[expected], 1e-6, &what);
        }
    }
}
