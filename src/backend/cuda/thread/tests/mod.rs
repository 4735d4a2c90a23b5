//! Everything that the path computes, against the processor.

mod chunks;

use half::{bf16, f16};

use super::chunks::Chunks;
use super::plan::Plan;
use super::*;
use crate::adjoint::Cotangent;
use crate::backend::Engine as _;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::path::results::SolutionBuffers;
use crate::backend::cuda::solve::batch::{Batch, Part};
use crate::backend::cuda::testing::agreement::{self, Case, Sizes, noise};
use crate::backend::cuda::{solve::engine::Engine, testing};
use crate::inputs::Inputs;
use crate::options::{Options, RowScaling, Smoothness, Weights};
use crate::problem::{Problem, View};
use crate::shape::ProblemShape;
use crate::solution::{Solution, Status};

fn plan(shape: &ProblemShape, options: &Options, chunks: Option<Chunks>) -> Plan {
    let limits = *testing::device().limits();
    let plan = match chunks {
        None => Plan::new(shape, options),
        Some(chunks) => Plan::chunked(shape, options, chunks, limits.shared_memory),
    };
    plan.expect("a size with kernels")
}

/// An engine of the device with this path.
fn engine<T: Real>(shape: &ProblemShape, options: &Options, chunks: Option<Chunks>) -> Engine<T> {
    let device = testing::device();
    let path = ThreadPath::<T>::new(&device, plan(shape, options, chunks)).unwrap();
    Engine::with_path(&device, shape, options, Box::new(path)).unwrap()
}

fn compare<T: Real>(case: &Case<T>, tolerance: f64, what: &str) -> Solution<T> {
    compare_with(case, None, tolerance, what)
}

/// The same with time cut into chunks. They eliminate in another order: another pivot may be the one
/// that breaks down.
fn compare_with<T: Real>(
    case: &Case<T>,
    chunks: Option<Chunks>,
    tolerance: f64,
    what: &str,
) -> Solution<T> {
    let device = engine::<T>(case.problem().shape(), &case.options, chunks);
    let part: fn(Status) -> Status = match chunks {
        None => |status| status,
        Some(_) => |status| match status {
            Status::Breakdown { .. } => Status::Breakdown { point: 0, pivot: 0 },
            other => other,
        },
    };
    agreement::compare_in_part(device, case, tolerance, what, part)
}

const SIZES: Sizes = Sizes {
    batch: 37,
    points: 9,
    states: 1,
    order: 2,
    extra: 0,
    equations: 1,
    initial: (1, 2),
    shared: 0,
};

fn options(smoothness: Smoothness) -> Options {
    let weights = Weights { equation: 0.9, initial: 1.2, smoothness: 1.1, periodic: 1.0 };
    Options { smoothness, weights, roughness: 0.1, ..Options::default() }
}

/// (K, order, extra) of every size with kernels.
const STATES_AND_ORDERS: [(usize, usize, usize); 9] = [
    (1, 1, 0),
    (1, 2, 0),
    (1, 3, 0),
    (2, 1, 0),
    (2, 2, 0),
    (3, 1, 0),
    (1, 1, 1),
    (1, 2, 1),
    (2, 1, 1),
];

#[test]
fn every_size_agrees_with_the_processor() {
    for (seed, (states, order, extra)) in STATES_AND_ORDERS.into_iter().enumerate() {
        for smoothness in [Smoothness::Taylor, Smoothness::TaylorHold, Smoothness::Hermite] {
            let sizes = Sizes { states, order, extra, equations: states, ..SIZES };
            let options = options(smoothness);
            let what = format!("K {states}, order {order}+{extra}, {smoothness:?}");
            let case = Case::<f64>::new(sizes, options, seed as u64);
            compare(&case, 1e-10, &format!("f64, {what}"));
            let case = Case::<f32>::new(sizes, options, seed as u64);
            compare(&case, 1e-4, &format!("f32, {what}"));
        }
    }
}

#[test]
fn every_broadcast_axis_agrees_with_the_processor() {
    for (seed, shared) in [
        0b0000_0001,
        0b0000_0010,
        0b0000_0011,
        0b0000_0100,
        0b0000_1000,
        0b0000_1100,
        0b0001_0000,
        0b0010_0000,
        0b0100_0000,
        0b0110_0000,
        0b1000_0000,
        0b1110_0000,
        0b1101_0101,
        0b1111_1111,
    ]
    .into_iter()
    .enumerate()
    {
        let sizes = Sizes {
            states: 2,
            order: 1,
            equations: 2,
            points: 21,
            initial: (2, 1),
            shared,
            ..SIZES
        };
        let options = Options { scaling: RowScaling::Balanced, ..options(Smoothness::TaylorHold) };
        let case = Case::<f64>::new(sizes, options, 100 + seed as u64);
        compare(&case, 1e-10, &format!("shared {shared:08b}"));
        let case = Case::<f32>::new(sizes, options, 100 + seed as u64);
        compare(&case, 1e-4, &format!("f32, shared {shared:08b}"));
    }
}

#[test]
fn batches_of_any_length_and_many_equations_agree_with_the_processor() {
    for (batch, points, equations, initial) in
        [(1, 2, 1, (0, 0)), (31, 3, 4, (3, 3)), (32, 40, 2, (40, 3)), (65, 17, 7, (2, 1))]
    {
        let sizes = Sizes { batch, points, equations, initial, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::Taylor), batch as u64);
        compare(
            &case,
            1e-10,
            &format!("B {batch}, N {points}, E {equations}, initial {initial:?}"),
        );
    }
}

#[test]
fn any_number_of_refinements_agrees_with_the_processor() {
    for refinement in [0, 1, 2] {
        let options =
            Options { refinement_steps: Some(refinement), ..options(Smoothness::TaylorHold) };
        let sizes = Sizes { states: 2, equations: 2, ..SIZES };
        let what = format!("refinement {refinement}");
        compare(&Case::<f32>::new(sizes, options, 7), 2e-4, &what);
        compare(&Case::<f64>::new(sizes, options, 7), 1e-10, &what);
    }
}

#[test]
fn faults_of_one_system_do_not_reach_the_others() {
    let options = options(Smoothness::TaylorHold);
    let mut case = Case::<f64>::new(Sizes { batch: 70, ..SIZES }, options, 3);
    let whole = compare(&case, 1e-10, "sound");
    let size = case.points * 3;
    case.arrays.coefficients[2 * size + 5] = f64::NAN;
    case.arrays.rhs[5 * case.points + 8] = f64::INFINITY;
    case.arrays.initial_values[7 * 2] = f64::NEG_INFINITY;
    case.arrays.steps[33 * (case.points - 1) + 6] = f64::NAN;
    case.arrays.steps[40 * (case.points - 1) + 2] = 0.0;
    case.arrays.steps[69 * (case.points - 1) + 7] = -0.5;
    // c·b overflows, though both are finite.
    case.arrays.coefficients[50 * size..][..3].fill(4.0);
    case.arrays.rhs[50 * case.points] = f64::MAX;
    let broken = compare(&case, 1e-10, "faults");
    assert_eq!(agreement::count_faulty(&whole, &broken), 7);
}

#[test]
fn undetermined_systems_break_down_at_the_same_pivot() {
    // Without an equation, all polynomials of degree 2 satisfy the smoothness rows. Two initial
    // values leave one direction undetermined (with more, rounding decides which pivot is weakest).
    for given in [2, 3] {
        let sizes = Sizes { batch: 33, initial: (1, given), ..SIZES };
        let mut case = Case::<f64>::new(sizes, options(Smoothness::Taylor), 5);
        for system in [0, 20, 32] {
            case.arrays.coefficients[system * 27..(system + 1) * 27].fill(0.0);
        }
        let solution = compare(&case, 1e-10, &format!("{given} initial values"));
        for (system, status) in solution.status.iter().enumerate() {
            let undetermined = given < 3 && [0, 20, 32].contains(&system);
            let broken = matches!(status, Status::Breakdown { .. });
            assert_eq!(broken, undetermined, "{given} initial values, {system}: {status:?}");
        }
    }
}

#[test]
fn results_are_the_same_in_every_run() {
    let sizes = Sizes { shared: 0b0111_0001, ..SIZES };
    let case = Case::<f64>::new(sizes, options(Smoothness::Hermite), 9);
    let problem = case.problem();
    let values: usize = problem.shape().solution().iter().product();
    let cotangent: Vec<f64> = noise(11, values).collect();
    let run = || {
        let mut engine = engine::<f64>(problem.shape(), &case.options, None);
        let mut solution = Solution::allocate(problem.shape()).unwrap();
        engine.solve(&problem, &mut solution).unwrap();
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = engine.vjp(&problem, &cotangent, &solution.status).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        [
            &solution.values,
            &gradients.inputs.coefficients,
            &gradients.inputs.steps,
            &gradients.inputs.rhs,
        ]
        .map(|v| bits(v))
    };
    assert_eq!(run(), run());
}

#[test]
fn what_has_no_kernels_is_left_to_others() {
    let shape =
        |sizes: Sizes| Case::<f64>::new(sizes, Options::default(), 0).problem().shape().clone();
    let supports = |sizes: Sizes, options: Options| Plan::new(&shape(sizes), &options).is_some();
    let options = Options::default();
    assert!(supports(SIZES, options));
    assert!(!supports(Sizes { states: 4, ..SIZES }, options));
    assert!(!supports(Sizes { order: 2, states: 3, ..SIZES }, options));
    assert!(!supports(SIZES, Options { periodic: true, ..options }));
    let central = Smoothness::TaylorCentral;
    assert!(!supports(SIZES, Options { smoothness: central, ..options }));
    let formulation = crate::options::Formulation::SharedSlack { gamma: 1.0, alpha: 1.0 };
    assert!(!supports(SIZES, Options { formulation, ..options }));
    // Coefficients that stand still must fit the shared memory of a block.
    assert!(!supports(Sizes { equations: 60, shared: 0b10, ..SIZES }, options));
    assert!(supports(Sizes { equations: 60, ..SIZES }, options));
}

/// Values that every storage has exactly.
#[test]
fn inputs_are_read_in_any_storage() {
    fn check<T: Real>(chunks: Option<Chunks>) {
        let sizes = Sizes { batch: 3, points: 19, ..SIZES };
        let mut case = Case::<T>::new(sizes, options(Smoothness::Taylor), 4);
        for array in case.arrays.as_mut() {
            for value in array {
                *value = T::of((value.to_double() * 16.0).round() / 16.0);
            }
        }
        let problem = case.problem();
        let shape = problem.shape();
        let mut engine = engine::<T>(shape, &case.options, chunks);
        let values: usize = shape.solution().iter().product();
        let mut expected = Solution::allocate(problem.shape()).unwrap();
        engine.solve(&problem, &mut expected).unwrap();

        let device = testing::device();
        let path = ThreadPath::<T>::new(&device, plan(shape, &case.options, chunks)).unwrap();
        let nothing = |_| Ok(());
        let made = Batch::with_path(&device, shape, &case.options, Box::new(path), nothing);
        let (mut batch, ()) = made.unwrap();
        let Inputs { coefficients, rhs, initial_values, steps } = &case.arrays;
        let half: Vec<f16> = coefficients.iter().map(|x| f16::from_f64(x.to_double())).collect();
        let brain: Vec<bf16> = rhs.iter().map(|x| bf16::from_f64(x.to_double())).collect();
        let single: Vec<f32> = initial_values.iter().map(|x| x.to_double() as f32).collect();
        let double: Vec<f64> = steps.iter().map(|x| x.to_double()).collect();
        let half = Buffer::from_host(&device, "coefficients", &half).unwrap();
        let brain = Buffer::from_host(&device, "rhs", &brain).unwrap();
        let single = Buffer::from_host(&device, "initial_values", &single).unwrap();
        let double = Buffer::from_host(&device, "steps", &double).unwrap();
        let inputs = Inputs {
            coefficients: (&half).into(),
            rhs: (&brain).into(),
            initial_values: (&single).into(),
            steps: (&double).into(),
        };
        let mut solution = SolutionBuffers::<T>::new(&device, shape, 3).unwrap();
        let whole = Part { first: 0, systems: 3 };
        batch.solve(whole, inputs, &mut solution.view_mut(3)).unwrap();
        let mut actual = vec![T::zero(); values];
        solution.values.copy_to_host("solution", &mut actual).unwrap();
        assert!(expected.status.iter().all(|status| status.is_ok()));
        assert_eq!(actual, expected.values);
        assert_eq!(testing::reports(), Vec::<String>::new());
    }
    for chunks in [None, Some(Chunks { bits: 2 })] {
        check::<f32>(chunks);
        check::<f64>(chunks);
    }
}

/// Error of u, rounded to single precision, of u'' + u = 0, u(0) = 1, u'(0) = 0 at 1001 points.
fn oscillator_error(chunks: Option<Chunks>, refinement: Option<usize>) -> f64 {
    const POINTS: usize = 1001;
    let data = [&[1.0_f32, 0.0, 1.0][..], &[0.0], &[1.0, 0.0], &[0.01]];
    let problem = Problem::builder()
        .points(POINTS)
        .coefficients(View::new(&[1, 1, 1, 1, 3], data[0]))
        .rhs(View::new(&[1, 1, 1], data[1]))
        .initial_values(View::new(&[1, 1, 1, 2], data[2]))
        .steps(View::new(&[1, 1], data[3]))
        .build()
        .and_then(|problem| problem.with_extra_derivatives(1))
        .unwrap();
    let smoothness = Smoothness::Hermite;
    let options = Options { smoothness, refinement_steps: refinement, ..Options::default() };
    let mut solution = Solution::allocate(problem.shape()).unwrap();
    engine::<f32>(problem.shape(), &options, chunks).solve(&problem, &mut solution).unwrap();
    assert_eq!(solution.status, [Status::Ok]);
    let step = f64::from(data[3][0]);
    let u = solution.values.iter().step_by(4).enumerate();
    u.map(|(t, &u)| (f64::from(u) - (t as f64 * step).cos()).abs()).fold(0.0, f64::max)
}

#[test]
fn single_precision_keeps_its_digits_over_many_steps() {
    for (chunks, what) in [(None, "a system a thread"), (Some(Chunks { bits: 5 }), "32 chunks")] {
        let unrefined = oscillator_error(chunks, Some(0));
        let refined = oscillator_error(chunks, None);
        println!("{what}: {unrefined:.1e}, refined {refined:.1e}");
        // Half a unit of the last place of 1, and what the discretization adds.
        assert!(refined <= 3.1e-8, "{what}: {refined:e}");
        assert!(unrefined <= 1e-6, "{what}: {unrefined:e}");
    }
}
