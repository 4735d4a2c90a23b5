//! Misuse is an error that names the argument.

use mechanistic::{
    Error, Formulation, Inputs, Options, Problem, ProblemShape, Solver, View, Weights,
};

fn shape() -> ProblemShape {
    let axes = Inputs {
        coefficients: &[3, 5, 2, 2, 3][..],
        rhs: &[3, 5, 2],
        initial_values: &[3, 1, 2, 2],
        steps: &[3, 4, 2],
    };
    ProblemShape::new(3, 5, axes).unwrap()
}

fn views<'a>(shapes: [&'a [usize]; 4], data: &'a [Vec<f64>; 4]) -> [View<'a, f64>; 4] {
    std::array::from_fn(|index| View::new(shapes[index], &data[index]))
}

#[test]
fn every_wrong_dimension_is_an_error_that_names_the_array() {
    // B = 3, N = 5, E = 2, K = 2, Q = 3, I = 1, J = 2.
    let good: [&[usize]; 4] = [&[3, 5, 2, 2, 3], &[3, 5, 2], &[3, 1, 2, 2], &[3, 4, 2]];
    let try_shapes = |shapes: [&[usize]; 4]| {
        let data = shapes.map(|shape| vec![0.5; shape.iter().product()]);
        let [coefficients, rhs, initial_values, steps] = views(shapes, &data);
        Problem::builder()
            .batch(3)
            .points(5)
            .coefficients(coefficients)
            .rhs(rhs)
            .initial_values(initial_values)
            .steps(steps)
            .build()
            .map(|_| ())
    };
    try_shapes(good).unwrap();
    let names = ["coefficients", "rhs", "initial_values", "steps"];
    let wrong: [(usize, &[usize]); 22] = [
        (0, &[2, 5, 2, 2, 3]),
        (0, &[3, 4, 2, 2, 3]),
        (0, &[3, 5, 0, 2, 3]),
        (0, &[3, 5, 2, 0, 3]),
        (0, &[3, 5, 2, 2, 1]),
        (0, &[3, 5, 2, 2, 0]),
        (0, &[3, 5, 2, 2]),
        (0, &[0, 5, 2, 2, 3]),
        (1, &[4, 5, 2]),
        (1, &[3, 6, 2]),
        (1, &[3, 5, 3]),
        (1, &[3, 5]),
        (2, &[2, 1, 2, 2]),
        (2, &[3, 6, 2, 2]),
        (2, &[3, 1, 1, 2]),
        (2, &[3, 1, 2, 4]),
        (2, &[3, 1, 2]),
        (3, &[2, 4, 2]),
        (3, &[3, 5, 2]),
        (3, &[3, 4, 3]),
        (3, &[3]),
        (3, &[3, 4, 2, 1]),
    ];
    for (argument, shape) in wrong {
        let mut shapes = good;
        shapes[argument] = shape;
        let error = try_shapes(shapes).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Shape { .. }), "{text}");
        assert!(text.starts_with(names[argument]), "{text}");
        assert!(text.ends_with(&format!("{shape:?}")), "{text}");
    }
    // Too few values for the shape.
    let data = [vec![0.5; 7], vec![0.0; 30], vec![0.0; 12], vec![0.1; 24]];
    let [coefficients, rhs, initial_values, steps] = views(good, &data);
    let error = Problem::builder()
        .batch(3)
        .points(5)
        .coefficients(coefficients)
        .rhs(rhs)
        .initial_values(initial_values)
        .steps(steps)
        .build()
        .unwrap_err();
    assert!(error.to_string().starts_with("coefficients: shape [3, 5, 2, 2, 3]"), "{error}");
}

#[test]
fn empty_and_absurd_sizes_are_errors() {
    let try_sizes = |batch: usize, points: usize, q: usize, data: &[f64]| {
        let shape = [1, 1, 1, 1, q];
        let problem = Problem::builder()
            .batch(batch)
            .points(points)
            .coefficients(View::new(&shape, data))
            .rhs(View::new(&[1, 1, 1], &[0.0]))
            .initial_values(View::new(&[1, 0, 1, 0], &[]))
            .steps(View::new(&[1, 1], &[0.1]))
            .build()?;
        Solver::<f64>::new(problem.shape(), &Options::default()).map(|_| ())
    };
    let one = [1.0, 1.0];
    assert!(try_sizes(0, 5, 2, &one).unwrap_err().to_string().starts_with("batch"));
    assert!(try_sizes(1, 0, 2, &one).unwrap_err().to_string().starts_with("points"));
    assert!(try_sizes(1, 1, 2, &one).unwrap_err().to_string().starts_with("points"));
    for (batch, points) in [
        (usize::MAX, 2),
        (1, usize::MAX),
        (usize::MAX, usize::MAX),
        (1 << 40, 1 << 20),
        (1, 1 << 48),
        (1 << 48, 2),
    ] {
        let error = try_sizes(batch, points, 2, &one).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    }
    // K and E: a shape needs no data.
    for (batch, points, equations, states) in
        [(1, 2, 1, 1 << 46), (1, 2, 1, usize::MAX), (1 << 20, 1 << 20, 1 << 40, 1)]
    {
        let coefficients = [1, 1, equations, states, 2];
        let initial = [1, 0, states, 0];
        let axes = Inputs {
            coefficients: &coefficients[..],
            rhs: &[1, 1, equations],
            initial_values: &initial,
            steps: &[1, 1],
        };
        let error = ProblemShape::new(batch, points, axes)
            .and_then(|shape| Solver::<f64>::new(&shape, &Options::default()).map(|_| ()))
            .unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    }
}

#[test]
fn impossible_options_are_errors() {
    let shape = shape();
    let with = |options: &Options| Solver::<f64>::new(&shape, options).map(|_| ()).unwrap_err();
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let weights = Weights { smoothness: weight, ..Weights::default() };
        let error = with(&Options { weights, ..Options::default() });
        assert!(error.to_string().starts_with("weights.smoothness"), "{error}");
    }
    let formulation = Formulation::SharedSlack { gamma: f64::NAN, alpha: 1.0 };
    let error = with(&Options { formulation, ..Options::default() });
    assert!(error.to_string().starts_with("gamma"), "{error}");
}

#[test]
fn a_problem_of_another_shape_is_told_where_it_differs() {
    let problem = || {
        Problem::builder()
            .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
            .rhs(View::new(&[1, 1, 1], &[0.0]))
            .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
            .steps(View::new(&[1, 1], &[0.1]))
    };
    let made = problem().points(5).build().unwrap().with_extra_derivatives(1).unwrap();
    let mut solver = Solver::<f64>::new(made.shape(), &Options::default()).unwrap();
    let mut message = |other| solver.solve(other).map(|_| ()).unwrap_err().to_string();
    let fewer = message(&problem().points(5).build().unwrap());
    assert_eq!(fewer, "problem: the solver was made for 1 extra derivatives, the problem has 0");
}
