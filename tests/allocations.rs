//! A plan is made once a shape; solving and differentiating again allocates nothing. A binary of its
//! own because the allocator that counts is the process's.

mod support;

use mechanistic::{Cotangent, Factorization, Formulation, Options, Solver, Tangents};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::case::{Case, Sizes, noise};

/// The system's allocator, counting by thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn solving_again_allocates_nothing() {
    count_allocations(Factorization::Cholesky);
    count_allocations(Factorization::SquareRoot);
}

fn count_allocations(factorization: Factorization) {
    let options = Options {
        formulation: Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 },
        factorization,
        refinement_steps: Some(1),
        ..Options::default()
    };
    for batch in [1, 3, 200] {
        let case = Case::<f64>::new(Sizes { batch, points: 20, ..Sizes::SMALL }, options, 1);
        let problem = case.problem();
        let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
        let direction = noise(3, case.inputs.steps.data.len());
        let cotangent = noise(1, batch * 20 * 6);
        let mut step = || {
            let tangents = Tangents { steps: Some(&direction), ..Tangents::default() };
            let cotangent = Cotangent { values: &cotangent, epsilon: None };
            solver.solve(&problem).unwrap();
            solver.vjp(&problem, &cotangent).unwrap();
            solver.jvp(&problem, &tangents).unwrap();
            solver.residuals(&problem).unwrap();
            solver.variances(&problem).unwrap();
            solver.error_estimate(&problem).unwrap();
        };
        // On the one thread of a pool, which then does all the work: what the pool itself allocates
        // when work is handed to it from outside is not the solver's.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            step();
            let before = ALLOCATIONS.get();
            for _ in 0..10 {
                step();
            }
            let after = ALLOCATIONS.get();
            assert_eq!(after - before, 0, "batch {batch}");
        });
    }
}
