//! The CUDA backend against the CPU, the oracle: all results, over random shapes, broadcast axes, row
//! families, formulations; condition-aware.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Subject;
use super::solver::{condition, on_random_cases};
use crate::support::{
    self,
    case::{Case, Sizes},
    results::Results,
};
use mechanistic::{Options, Plan, Smoothness};

const SIZES: Sizes = Sizes { batch: 40, points: 9, order: 1, initial: (1, 1), ..Sizes::SMALL };

/// Every number that a solve and its derivatives return, by name.
fn results(subject: &Subject, case: &Case) -> Vec<(&'static str, Vec<f64>)> {
    let mut solver = subject.solver(case.problem().shape(), &case.options);
    let Results { status, arrays } = support::results::results(&mut solver, case).unwrap();
    assert!(status.iter().all(|status| status.is_ok()), "{status:?}");
    arrays
}

/// The largest value of the arrays of these names.
fn largest(results: &[(&'static str, Vec<f64>)], names: &[&str]) -> f64 {
    let named = results.iter().filter(|(name, _)| names.contains(name));
    named.flat_map(|(_, values)| values).fold(0.0, |largest, value| largest.max(value.abs()))
}

/// What an array's rounding errors are measured by: its largest value, or that of the terms where
/// these cancel. Rows that can be met leave no residual, r = β − a·z, and rows that determine the
/// solution leave a·g no part of g: the gradients of weights and steps are sums of r (a·g),
/// r (∂a·g) and (a·g) (∂a·z).
fn scale(what: &'static str, results: &[(&'static str, Vec<f64>)]) -> f64 {
    let terms = match what {
        // One of the unknowns (z, ε), with the rounding errors of all of them.
        "epsilon" => largest(results, &["solution"]),
        "tangent of epsilon" => largest(results, &["tangent"]),
        "epsilon of inverse" => largest(results, &["inverse"]),
        "residuals" => largest(results, &["solution"]),
        "gradient of weights" | "gradient of steps" => {
            let adjoint = ["gradient of rhs", "gradient of initial_values"];
            largest(results, &["solution"]) * largest(results, &adjoint)
        }
        _ => 0.0,
    };
    largest(results, &[what]).max(terms)
}

/// How far the two backends were apart: by the name of an array, the largest difference over what is
/// allowed.
#[derive(Default)]
struct Agreement(RefCell<BTreeMap<&'static str, f64>>);

impl Agreement {
    /// 1e-10 of the array's largest value for well-conditioned problems. The normal equations square
    /// the condition number, and both backends round differently.
    fn check(&self, subject: &Subject, case: &Case, condition: f64) {
        let expected = results(&Subject::cpu(), case);
        let tolerance = 1e-10_f64.max(1e-15 * condition * condition);
        for ((what, actual), (_, values)) in results(subject, case).iter().zip(&expected) {
            assert_eq!(actual.len(), values.len(), "{what}");
            let scale = scale(what, &expected);
            for (index, (actual, expected)) in actual.iter().zip(values).enumerate() {
                let difference = (actual - expected).abs();
                assert!(
                    difference <= tolerance * scale,
                    "{what}[{index}]: {actual} instead of {expected}, {tolerance:.0e} of {scale}, \
                     {:?}",
                    case.problem().shape()
                );
                if difference > 0.0 {
                    let mut largest = self.0.borrow_mut();
                    let largest = largest.entry(what).or_default();
                    *largest = largest.max(difference / (tolerance * scale));
                }
            }
        }
    }

    /// Shown with `--nocapture`.
    fn print(&self) {
        println!("largest difference between CUDA and CPU, over the tolerance:");
        for (what, ratio) in self.0.borrow().iter() {
            println!("  {what}: {ratio:.1e}");
        }
    }
}

pub fn everything_agrees_on_random_problems(subject: &Subject) {
    let agreement = Agreement::default();
    on_random_cases(subject, 800, 1e4, |case, condition| {
        agreement.check(subject, case, condition);
    });
    agreement.print();
}

pub fn large_batches_and_long_grids_agree(subject: &Subject) {
    let agreement = Agreement::default();
    for smoothness in Smoothness::ALL {
        let options = Options { smoothness, ..Options::default() };
        // B, N, K, order, (I, J), shared axes.
        for (batch, points, states, order, shared) in
            [(70, 5, 1, 2, 0b1_1110_0010), (3, 40, 2, 1, 0), (1, 90, 1, 2, 0), (2, 6, 4, 2, 0b101)]
        {
            let sizes = Sizes {
                batch,
                points,
                states,
                order,
                extra: 0,
                equations: states,
                initial: (1, order),
                shared,
            };
            let case = Case::new(sizes, options, 9);
            agreement.check(subject, &case, condition(&case));
        }
    }
    agreement.print();
}

/// The simulated device runs blocks and warps in the same order every time, so only on a real one
/// (`MECHANISTIC_TEST_GPU`) can this fail; that no result depends on an order is what the
/// simulator's search for races is for.
pub fn results_are_the_same_in_every_run(subject: &Subject) {
    let case = Case::new(Sizes { shared: 0b1_1111_1111, ..SIZES }, Options::default(), 4);
    let first = results(subject, &case);
    for _ in 0..2 {
        assert_eq!(results(subject, &case), first);
    }
}

pub fn the_plan_tells_how_a_batch_is_solved(subject: &Subject) {
    let case = Case::<f64>::new(SIZES, Options::default(), 4);
    let plan: Plan = subject.solver::<f64>(case.problem().shape(), &case.options).plan();
    // With one step of refinement.
    let spread = plan.path.starts_with("span: ");
    let [forward, adjoint] = if spread { [7, 8] } else { [1, 2] };
    assert_eq!((plan.device.as_str(), plan.parts, plan.forward_launches), ("cuda:0", 1, forward));
    assert!(plan.adjoint_launches <= adjoint && plan.workspace_bytes > 0, "{plan}");
    let text = plan.to_string();
    let launches = format!("launches:  {forward} forward");
    for line in ["device:    cuda:0", "path:      ", "parts:     1", &launches] {
        assert!(text.contains(line), "{text}");
    }
}
