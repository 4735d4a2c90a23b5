//! Results are bit-identical from run to run, whatever the number of threads and whatever else is
//! in the batch.

mod support;

use mechanistic::{Cotangent, Factorization, Formulation, Options, Smoothness, Solver};
use support::random::{Case, Owned};

/// Everything that a new solver returns.
fn bits(case: &Case) -> Vec<u64> {
    bits_of(&mut Solver::new(case.problem().shape(), &case.options).unwrap(), case)
}

/// Everything that a solve and its derivatives return, as one list of bits.
fn bits_of(solver: &mut Solver<f64>, case: &Case) -> Vec<u64> {
    let problem = case.problem();
    let solution = solver.solve(&problem).unwrap().clone();
    let cotangent = Case::noise(5, solution.values.len());
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap();
    let arrays = [
        &solution.values,
        &solution.epsilon,
        &gradients.inputs.coefficients,
        &gradients.inputs.rhs,
        &gradients.inputs.initial_values,
        &gradients.inputs.steps,
    ];
    let weights = gradients.weights;
    let weights = [weights.equation, weights.initial, weights.smoothness, weights.periodic];
    arrays.into_iter().flatten().chain(&weights).map(|value| value.to_bits()).collect()
}

fn options(factorization: Factorization) -> Options {
    Options {
        factorization,
        smoothness: Smoothness::TaylorCentral,
        formulation: Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 },
        refinement_steps: Some(1),
        ..Options::default()
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    // Everything shared by the batch (bits 0, 2, 4, 5): the gradients are sums over 700 systems.
    for (shared, factorization) in
        [(0b0011_0101, Factorization::Cholesky), (0, Factorization::SquareRoot)]
    {
        let case = Case::new(700, 8, 2, 2, 2, (1, 2), shared, options(factorization), 1);
        let with_threads = |count: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
            pool.install(|| bits(&case))
        };
        let one = with_threads(1);
        assert_eq!(one, with_threads(1));
        assert_eq!(one, with_threads(2));
        assert_eq!(one, with_threads(5));
    }
}

#[test]
fn what_was_solved_before_does_not_matter() {
    for (shared, factorization) in
        [(0b0011_0101, Factorization::SquareRoot), (0, Factorization::Cholesky)]
    {
        let case = |seed| Case::new(20, 6, 2, 2, 2, (1, 2), shared, options(factorization), seed);
        let (first, mut broken) = (case(1), case(2));
        broken.rhs.data[3] = f64::NAN;
        let mut solver = Solver::new(first.problem().shape(), &first.options).unwrap();
        let expected = bits(&first);
        assert_eq!(bits_of(&mut solver, &first), expected);
        bits_of(&mut solver, &broken);
        assert_eq!(bits_of(&mut solver, &first), expected);
    }
}

#[test]
fn the_rest_of_the_batch_does_not_matter() {
    alone_as_in_company(Factorization::Cholesky);
    alone_as_in_company(Factorization::SquareRoot);
}

fn alone_as_in_company(factorization: Factorization) {
    let batch = 13;
    let case = Case::new(batch, 7, 2, 2, 2, (1, 2), 0, options(factorization), 2);
    let problem = case.problem();
    let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
    let together = solver.solve(&problem).unwrap().values.clone();
    let size = together.len() / batch;
    for system in 0..batch {
        let alone = |array: &Owned| {
            let count = array.data.len() / batch;
            let mut shape = array.shape.clone();
            shape[0] = 1;
            Owned { shape, data: array.data[system * count..][..count].to_vec() }
        };
        let single = Case {
            batch: 1,
            coefficients: alone(&case.coefficients),
            rhs: alone(&case.rhs),
            initial_values: alone(&case.initial_values),
            steps: alone(&case.steps),
            ..case.clone()
        };
        let problem = single.problem();
        let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
        let values = &solver.solve(&problem).unwrap().values;
        assert_eq!(values[..], together[system * size..][..size], "system {system}");
    }
}
