//! Kinds of teams and what they share, against the processor. What every path is tested for is in
//! `backend/cuda/tests.rs`.

mod chunks;
mod halves;

use std::sync::Arc;

use super::TeamPath;
use super::plan::{Kind, Plan};
use crate::adjoint::Cotangent;
use crate::backend::cuda::driver::device::{CudaDevice, Limits};
use crate::backend::cuda::testing;
use crate::backend::cuda::testing::agreement::compare;
use crate::backend::cuda::testing::case::{Case, Sizes, noise};
use crate::backend::cuda::testing::paths::{TestPath, solver};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::options::{Formulation, Options, Smoothness};
use crate::real::Real;
use crate::shape::ProblemShape;

const SIZES: Sizes = Sizes::SMALL;

/// Compares what teams compute, with so many bytes of shared memory a block, with the processor.
fn agree<T: Real>(
    sizes: Sizes,
    options: Options,
    shared_memory: Option<usize>,
    kind: Kind,
    tolerance: f64,
) {
    let mut limits = *testing::device().limits();
    limits.shared_memory = shared_memory.unwrap_or(limits.shared_memory);
    let case = Case::<T>::new(sizes, options, 17);
    let plan = Plan::new(case.problem().shape(), &options, &limits).unwrap();
    assert_eq!(plan.kind, kind, "{plan}");
    let path = TestPath::Team { shared_memory };
    compare(path, &case, tolerance, &format!("{plan}, {options:?}"));
}

#[test]
fn every_kind_of_team_agrees_with_the_processor() {
    let slack = Formulation::SharedSlack { gamma: 0.3, alpha: 0.4 };
    for smoothness in Smoothness::ALL {
        for (periodic, formulation) in [(false, Formulation::LeastSquares), (true, slack)] {
            let options = Options { smoothness, periodic, formulation, ..Options::default() };
            // Of one system, of a batch that shares nothing but steps, or all.
            let sizes = Sizes { shared: if periodic { 0xff } else { 1 << 5 }, ..SIZES };
            agree::<f64>(sizes, options, Some(0), Kind::Global, 1e-10);
            agree::<f32>(sizes, options, Some(0), Kind::Global, 1e-6);
            let large = Sizes { states: 5, equations: 5, batch: 2, ..sizes };
            let narrow = !periodic && smoothness != Smoothness::TaylorCentral;
            let kind = if narrow { Kind::Warp } else { Kind::Block };
            agree::<f64>(large, options, None, kind, 1e-10);
        }
    }
}

#[test]
fn what_does_not_fit_the_shared_memory_agrees_with_the_processor() {
    let few = Sizes { batch: 1, points: 3, ..SIZES };
    // The closing point in the border: P² values more, and P = 180.
    let periodic = Options { periodic: true, ..Options::default() };
    let large = Sizes { states: 60, equations: 60, ..few };
    agree::<f64>(large, periodic, None, Kind::Global, 1e-10);
    // Coefficients of 700 equations at a point.
    let equations = Sizes { states: 20, order: 1, equations: 700, initial: (1, 1), ..few };
    agree::<f64>(equations, Options::default(), None, Kind::Global, 1e-10);
}

/// Sums over systems that teams have one after another are those of double precision, rounded once.
#[test]
fn shared_gradients_are_added_up_in_double_precision() {
    let sizes = Sizes { batch: 400, points: 3, shared: 0xff, ..SIZES };
    let device = testing::device();
    let single = Case::<f32>::new(sizes, Options::default(), 29);
    let double = single.map(f64::from);
    fn gradients<T: Real>(device: &Arc<CudaDevice>, case: &Case<T>) -> Vec<T> {
        let problem = case.problem();
        let shape = problem.shape();
        let mut plan = Plan::new(shape, &case.options, device.limits()).unwrap();
        plan.group = 100;
        let path = Box::new(TeamPath::new(device, plan).unwrap());
        let mut solver = solver(shape, &case.options, path);
        let values: usize = shape.solution().iter().product();
        solver.solve(&problem).unwrap();
        // Of one sign, so that the sums grow.
        let cotangent: Vec<T> =
            noise::<f32>(8, values).into_iter().map(|v| T::of(f64::from(v.abs()))).collect();
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = solver.vjp(&problem, &cotangent).unwrap();
        gradients.inputs.as_ref().into_iter().flatten().copied().collect()
    }
    let rounded: Vec<f32> =
        gradients(&device, &double).into_iter().map(|value| value as f32).collect();
    assert_eq!(gradients(&device, &single), rounded);
}

const H100: Limits = Limits {
    compute_capability: (9, 0),
    multiprocessors: 132,
    shared_memory: 227 << 10,
    shared_memory_per_multiprocessor: 228 << 10,
    memory: 80 << 30,
};

#[test]
fn systems_are_put_together_only_where_their_sums_would_be_too_many() {
    let group = |batch: usize, coefficients: [usize; 5]| {
        let [_, _, e, k, qc] = coefficients;
        let shape = ProblemShape::new(
            batch,
            50,
            Inputs {
                coefficients: &coefficients,
                rhs: &[batch, 50, e],
                initial_values: &[batch, 1, k, qc - 1],
                steps: &[batch, 49],
            },
        );
        Plan::new(&shape.unwrap(), &Options::default(), &H100).unwrap().group
    };
    assert_eq!(group(10_000, [10_000, 50, 8, 8, 3]), 1);
    assert_eq!(group(100_000, [100_000, 50, 8, 8, 3]), 7);
    assert_eq!(group(3000, [1, 50, 8, 8, 3]), 1);
    // 40 000 values for each group.
    assert_eq!(group(3000, [1, 50, 20, 20, 2]), 4);
}

#[test]
fn sizes_beyond_what_a_kernel_counts_are_errors() {
    let shape = |points: usize, e: usize, k: usize, q: usize| ProblemShape {
        batch: 1,
        points,
        extra_derivatives: 0,
        coefficients: [1, 1, e, k, q],
        rhs: [1, 1, e],
        initial_values: [1, 1, k, 1],
        steps: [1, 1, 1],
        partly: None,
    };
    for (shape, word) in [
        (shape(1 << 40, 1, 1, 2), "unknowns"),
        (shape(3, 1, 1 << 50, 2), "unknowns"),
        (shape(3, 1, 1, 1 << 55), "smoothness rows"),
        (shape(3, 1 << 40, 1, 2), "equation rows"),
        (shape(3, 1, 1 << 20, 2), "the rows of a time point"),
    ] {
        let shape = shape.checked().unwrap();
        for periodic in [false, true] {
            let options = Options { periodic, ..Options::default() };
            let error = Plan::new(&shape, &options, &H100).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    // A workspace beyond any memory is for the allocation to refuse.
    let long = Plan::new(&shape(1 << 20, 1, 100, 2), &Options::default(), &H100).unwrap();
    assert_eq!(long.workspace(usize::MAX / 2).bytes, usize::MAX);
}
