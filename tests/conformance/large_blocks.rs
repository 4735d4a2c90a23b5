//! Accuracy where the blocks of M are large and badly conditioned.
//!
//! The CPU substitutes with the triangles R_tt; on a GPU a block is multiplied by the inverse X of its
//! triangle. For R x = b, substitution leaves |b − R x| ≤ c·ε |R||x|, whatever R is, and a product
//! |b − R x| ≤ c·ε |R||X||b|, which is up to cond(R) times as much (Higham, "Accuracy and stability of
//! numerical algorithms", sections 8.1 and 14.1). That can be seen in residuals, but hardly in
//! solutions: forming M = AᵀW²A and its factor changes them by ε·cond(M) = ε·cond(R)² anyway. What
//! can be expected of both is thus ε·cond(WA)² without refinement, and with one step ε·cond(WA)
//! while ε·cond(WA)³ is no more than that.

use super::Subject;
use crate::support::case::{Case, Sizes};
use crate::support::close::difference;
use crate::support::dense::Dense;
use mechanistic::{Options, Weights};

/// Equations for this many states, of second order: P is three times as many.
fn sizes(states: usize) -> Sizes {
    Sizes { batch: 1, points: 5, states, equations: states, initial: (1, 2), ..Sizes::SMALL }
}

/// A system whose equations tell half of the states from the other half by `distance` only.
fn nearly_dependent(states: usize, distance: f64) -> Case {
    let sizes = sizes(states);
    let weights = Weights { smoothness: 0.01, ..Weights::default() };
    let mut case = Case::new(sizes, Options { weights, ..Options::default() }, 41);
    let coefficients = &mut case.inputs.coefficients;
    let (values, half) = (sizes.order + 1, states / 2);
    for row in coefficients.data.chunks_exact_mut(states * values) {
        let (first, second) = row.split_at_mut(half * values);
        for (value, other) in second.iter_mut().zip(first) {
            *value = *other + distance * *value;
        }
    }
    case
}

/// The largest error of the solution by the subject, relative to the largest value.
fn error(subject: &Subject, case: &Case, refinement: usize, expected: &[f64]) -> f64 {
    let options = Options { refinement_steps: Some(refinement), ..case.options };
    let problem = case.problem();
    let mut solver = subject.solver(problem.shape(), &options);
    let solution = solver.solve(&problem).unwrap();
    assert!(solution.status[0].is_ok(), "{:?}", solution.status[0]);
    difference(&solution.values, expected)
}

#[test]
fn large_blocks_are_solved_as_well_as_on_the_processor() {
    let (cpu, cuda) = (Subject::cpu(), Subject::cuda());
    // P = 48, which teams eliminate from both ends, and 99.
    for states in [16, 33] {
        for distance in [1.0, 1e-1, 1e-2, 1e-3, 1e-4] {
            let case = nearly_dependent(states, distance);
            let dense = Dense::new(&case, 0);
            let (condition, expected) = (dense.condition(), dense.solve().0);
            for refinement in [0, 1] {
                let [on_cpu, on_gpu] =
                    [&cpu, &cuda].map(|subject| error(subject, &case, refinement, &expected));
                let allowed = 10.0 * on_cpu + 10.0 * f64::EPSILON * condition;
                assert!(on_gpu <= allowed, "{on_gpu:e} where {on_cpu:e} on the processor");
            }
        }
    }
    cuda.finish();
}
