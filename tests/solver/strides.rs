//! Inputs with strides, and with several axes of the batch: everything is as with the same values in row-major
//! arrays with one axis of the batch.

use mechanistic::{
    Cotangent, Formulation, Inputs, Options, Problem, Real, Result, Smoothness, Solver, Tangents,
    View,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::case::{Case, Sizes, noise};
use crate::support::strided::{
    Order, Strided, assert_same_gradients, lent, one_axis_each, several_axes, with_one_axis,
};

fn problem<'a, T>(views: Inputs<View<'a, T>>, case: &Case<T>) -> Result<Problem<'a, T>> {
    Problem::builder()
        .batch(case.batch)
        .points(case.points)
        .coefficients(views.coefficients)
        .rhs(views.rhs)
        .initial_values(views.initial_values)
        .steps(views.steps)
        .build()?
        .with_extra_derivatives(case.extra_derivatives)
}

/// Solves a case of these sizes whose batch has these axes, of which each input shares some at random, with its
/// arrays in any order, and compares it with the row-major one.
fn compare<T: Real>(axes: &[usize], sizes: Sizes, options: Options, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let batch: usize = axes.iter().product();
    let several = several_axes::<T>(axes, sizes, options, seed, &mut random);
    let lent = lent(&several, axes, Order::Any, &mut random);
    let one = with_one_axis(&several, axes);

    let strided = problem(lent.as_ref().map(Strided::view), &several).unwrap();
    let dense = one.problem();
    let [mut solver, mut expected] =
        [&strided, &dense].map(|problem| Solver::<T>::new(problem.shape(), &options).unwrap());
    let size = sizes.points * sizes.states * (sizes.order + 1 + sizes.extra);
    let cotangent = noise::<T>(seed + 1, batch * size);
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let solution = solver.solve(&strided).unwrap();
    let same = expected.solve(&dense).unwrap();
    let message = format!("axes {axes:?}, shapes {:?}", several.inputs.as_ref().map(|x| &x.shape));
    assert_eq!(solution.status, same.status, "{message}");
    assert!(solution.status.iter().all(|status| status.is_ok()), "{:?}", solution.status);
    assert_eq!(solution.values, same.values, "{message}");
    assert_eq!(solution.initial_defect, same.initial_defect, "{message}");
    assert_eq!(solver.residuals(&strided).unwrap(), expected.residuals(&dense).unwrap());

    let gradients = solver.vjp(&strided, &cotangent).unwrap().inputs.clone();
    let same = &expected.vjp(&dense, &cotangent).unwrap().inputs;
    assert_same_gradients(&gradients, same, &several, axes);
    // Sums are the same every time.
    let again = solver.vjp(&strided, &cotangent).unwrap().inputs.clone();
    assert_eq!(again, solver.vjp(&strided, &cotangent).unwrap().inputs);

    let tangents = several.directions(seed + 2);
    let expanded = one_axis_each(&several, &tangents, axes);
    let moved: Tangents<'_, T> = tangents.as_ref().map(|tangent| Some(&tangent[..]));
    let moved_expected: Tangents<'_, T> = expanded.as_ref().map(|tangent| Some(&tangent[..]));
    let derivative = solver.jvp(&strided, &moved).unwrap().values.clone();
    assert_eq!(derivative, expected.jvp(&dense, &moved_expected).unwrap().values, "{message}");
}

const AXES: [&[usize]; 7] =
    [&[1], &[13], &[3, 4], &[5, 1, 4], &[2, 3, 4], &[30, 2], &[2, 2, 2, 3, 2]];

#[test]
fn strides_and_axes_of_the_batch_change_nothing() {
    for (i, axes) in AXES.into_iter().enumerate() {
        for shared in [0, 0b0_0100_1010, 0b0_1100_0000] {
            let seed = (10 * i + shared) as u64;
            let sizes = Sizes { points: 11, shared: shared as u32, ..Sizes::SMALL };
            compare::<f64>(axes, Sizes { extra: 1, ..sizes }, Options::default(), seed);
            let single = Sizes { states: 1, equations: 1, initial: (1, 2), ..sizes };
            compare::<f32>(axes, single, Options::default(), seed + 100);
        }
    }
}

#[test]
fn every_kind_of_solve_reads_strides() {
    let sizes = Sizes { points: 12, ..Sizes::SMALL };
    let slack = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
    for (i, options) in [
        Options { smoothness: Smoothness::TaylorCentral, ..Options::default() },
        Options { formulation: slack, smoothness: Smoothness::Taylor, ..Options::default() },
        Options { periodic: true, ..Options::default() },
        Options { follow_growth: true, ..Options::default() },
    ]
    .into_iter()
    .enumerate()
    {
        compare::<f64>(&[3, 7], sizes, options, 300 + i as u64);
    }
    // A long system, which is cut into chunks; and coefficients of more values than are read at once.
    for (axes, points) in [(&[1][..], 700), (&[3], 3000), (&[1, 2], 300)] {
        let long = Sizes { points, extra: 1, ..Sizes::SMALL };
        compare::<f64>(axes, long, Options::default(), points as u64);
    }
    let wide = Sizes { states: 12, equations: 40, points: 6, ..Sizes::SMALL };
    compare::<f64>(&[2, 5], wide, Options::default(), 400);
}

/// A few systems share a matrix, and many have one factor for it; their right-hand sides lie step first.
#[test]
fn one_factor_serves_strided_right_hand_sides() {
    let (systems, points) = (40, 9);
    let rhs = noise::<f64>(1, systems * points);
    let transposed: Vec<_> =
        (0..systems * points).map(|i| rhs[i % points * systems + i / points]).collect();
    let with = |rhs| {
        let problem = Problem::builder()
            .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
            .rhs(rhs)
            .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
            .steps(View::new(&[1, 1], &[0.1]))
            .build()
            .unwrap();
        let mut solver = Solver::new(problem.shape(), &Options::default()).unwrap();
        let values = solver.solve(&problem).unwrap().values.clone();
        assert!(solver.plan().path.contains("of all systems"));
        values
    };
    let (shape, strides) = ([systems, points, 1], [1, systems as isize, 1]);
    let strided = View::strided(&shape, &strides, &rhs);
    assert_eq!(with(strided), with(View::new(&shape, &transposed)));
}

#[test]
fn numbers_that_are_not_finite_are_told_by_their_system() {
    let mut rhs = vec![0.0; 6 * 5];
    rhs[3 * 6 + 4] = f64::NAN;
    let problem = Problem::builder()
        .coefficients(View::new(&[1, 1, 1, 1, 1, 2], &[1.0, 1.0]))
        .rhs(View::strided(&[2, 3, 5, 1], &[3, 1, 6, 1], &rhs))
        .initial_values(View::new(&[1, 1, 1, 1, 1], &[1.0]))
        .steps(View::strided(&[2, 3, 4], &[0, 1, 0], &[0.1, -0.1, 0.1]))
        .build()
        .unwrap();
    assert_eq!((problem.shape().batch(), problem.shape().points()), (6, 5));
    assert_eq!(problem.shape().steps(), [3, 1, 1]);
    let mut solver = Solver::new(problem.shape(), &Options::default()).unwrap();
    let status: Vec<_> =
        solver.solve(&problem).unwrap().status.iter().map(ToString::to_string).collect();
    for (system, status) in status.iter().enumerate() {
        match system {
            4 => assert!(status.contains("rhs"), "{status}"),
            1 => assert!(status.contains("step"), "{status}"),
            _ => assert_eq!(status, "solved"),
        }
    }
}

#[test]
fn strides_that_do_not_fit_are_refused_by_name() {
    let with = |shape: &[usize], strides: &[isize], len: usize| {
        let rhs = vec![0.0; len];
        Problem::builder()
            .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
            .rhs(View::strided(shape, strides, &rhs))
            .steps(View::new(&[1, 1], &[0.1]))
            .build()
            .map(|problem| problem.shape().batch())
            .map_err(|error| error.to_string())
    };
    assert_eq!(with(&[3, 4, 1], &[1, 3, 0], 12), Ok(3));
    assert_eq!(with(&[3, 4, 1], &[2, 7, 100], 26), Ok(3));
    let of = "rhs: shape [3, 4, 1] with strides";
    for (strides, len, message) in [
        (&[2, 7, 0][..], 25, "[2, 7, 0] spans 26 values, the array has 25"),
        (&[1, 3], 12, "[1, 3]: one for each axis is expected"),
        (&[-1, 3, 1], 12, "[-1, 3, 1]: a stride is negative"),
        (
            &[isize::MAX, 3, 1],
            12,
            "[9223372036854775807, 3, 1] spans more values than can be counted, the array has 12",
        ),
    ] {
        let found = with(&[3, 4, 1], strides, len).unwrap_err();
        assert_eq!(found, format!("{of} {message}"));
    }
}

#[test]
fn leading_axes_that_do_not_fit_are_refused_by_name() {
    let with = |batch: Option<usize>, rhs: &[usize], steps: &[usize]| {
        let data = vec![0.1; 1000];
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        let builder = Problem::builder()
            .coefficients(View::new(&[3, 1, 5, 1, 1, 2], &data[..30]))
            .rhs(View::new(rhs, &data[..size(rhs)]))
            .steps(View::new(steps, &data[..size(steps)]));
        let builder = match batch {
            Some(batch) => builder.batch(batch),
            None => builder,
        };
        builder.build().map(|problem| problem.shape().batch()).map_err(|error| error.to_string())
    };
    assert_eq!(with(None, &[1, 4, 5, 1], &[1, 1, 4]), Ok(12));
    assert_eq!(with(Some(12), &[3, 4, 1, 1], &[1, 4, 4, 1]), Ok(12));
    let message = with(None, &[2, 4, 5, 1], &[1, 1, 4]).unwrap_err();
    assert!(message.starts_with("rhs: ") && message.contains("(3 or 1, 4 or 1)"), "{message}");
    assert!(message.ends_with("[2, 4, 5, 1]"), "{message}");
    let message = with(None, &[4, 5, 1], &[1, 1, 4]).unwrap_err();
    assert!(message.starts_with("rhs: ") || message.starts_with("coefficients: "), "{message}");
    let message = with(Some(11), &[1, 4, 5, 1], &[1, 1, 4]).unwrap_err();
    assert_eq!(message, "batch: the leading axes [3, 4] do not have 11 systems");
}

/// A solver is one for a pattern of sharing, however many axes there are.
#[test]
fn equal_patterns_of_sharing_have_equal_shapes() {
    let shape = |batch: usize, c: &[usize], b: &[usize], v: &[usize], s: &[usize]| {
        let axes = Inputs { coefficients: c, rhs: b, initial_values: v, steps: s };
        mechanistic::ProblemShape::new(batch, 5, axes).unwrap()
    };
    let one = shape(12, &[12, 5, 1, 1, 2], &[12, 5, 1], &[1, 1, 1, 1], &[1, 4]);
    let two = shape(12, &[3, 4, 5, 1, 1, 2], &[3, 4, 5, 1], &[1, 1, 1, 1, 1], &[1, 1, 4]);
    assert_eq!(one, two);
    let partly = shape(12, &[3, 1, 5, 1, 1, 2], &[3, 4, 5, 1], &[1, 1, 1, 1, 1], &[1, 1, 4]);
    assert_eq!(partly.coefficients(), [3, 5, 1, 1, 2]);
    let more =
        shape(12, &[3, 1, 1, 5, 1, 1, 2], &[3, 2, 2, 5, 1], &[1, 1, 1, 1, 1, 1], &[1, 1, 1, 4]);
    assert_eq!(partly, more);
    let other = shape(12, &[1, 3, 5, 1, 1, 2], &[4, 3, 5, 1], &[1, 1, 1, 1, 1], &[1, 1, 4]);
    assert_ne!(partly, other);
    let solver = Solver::<f64>::new(&partly, &Options::default()).unwrap();
    assert!(solver.shape() == &partly);
}
