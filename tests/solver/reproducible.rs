//! Results are bit-identical from run to run, whatever the number of threads and whatever else is
//! in the batch.

use crate::support::case::{Case, Sizes};
use crate::support::results::results;
use mechanistic::{Factorization, Formulation, Options, Smoothness, Solver};

/// Everything that a new solver returns, as bits.
fn bits(case: &Case) -> Vec<u64> {
    bits_of(&mut Solver::new(case.problem().shape(), &case.options).unwrap(), case)
}

fn bits_of(solver: &mut Solver<f64>, case: &Case) -> Vec<u64> {
    results(solver, case).unwrap().bits()
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
    let small = |shared, factorization| {
        let sizes = Sizes { batch: 700, points: 8, shared, ..Sizes::SMALL };
        Case::new(sizes, options(factorization), 1)
    };
    // Two threads for each long system.
    let long =
        |batch| Case::new(Sizes { batch, points: 2050, ..Sizes::SMALL }, Options::default(), 1);
    for case in [
        small(0b0011_0101, Factorization::Cholesky),
        // One factor for all, with rows on two points, whose coupling is kept.
        Case::new(
            Sizes { batch: 700, points: 8, shared: 0b0010_0001, ..Sizes::SMALL },
            Options::default(),
            1,
        ),
        small(0, Factorization::SquareRoot),
        long(1),
        long(2),
    ] {
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
    for (shared, factorization) in [
        (0b0011_0101, Factorization::SquareRoot),
        (0, Factorization::Cholesky),
        (0b0010_0001, Factorization::Cholesky),
    ] {
        let sizes = Sizes { batch: 20, points: 6, shared, ..Sizes::SMALL };
        let case = |seed| Case::new(sizes, options(factorization), seed);
        let (first, mut broken) = (case(1), case(2));
        broken.inputs.rhs.data[3] = f64::NAN;
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
    let sizes = Sizes { batch, points: 7, ..Sizes::SMALL };
    let case = Case::<f64>::new(sizes, options(factorization), 2);
    let problem = case.problem();
    let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
    let together = solver.solve(&problem).unwrap().values.clone();
    let size = together.len() / batch;
    for system in 0..batch {
        let single = case.system(system);
        let problem = single.problem();
        let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
        let values = &solver.solve(&problem).unwrap().values;
        assert_eq!(values[..], together[system * size..][..size], "system {system}");
    }
}
