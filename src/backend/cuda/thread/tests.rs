//! Sizes on either side of every border of the kernels, against the processor. What every path is
//! tested for is in `backend/cuda/tests.rs`.

mod one_factor;

use super::chunks::Chunks;
use super::plan::Plan;
use crate::backend::cuda::driver::device::Limits;
use crate::backend::cuda::testing::agreement::compare;
use crate::backend::cuda::testing::case::{Case, Sizes};
use crate::backend::cuda::testing::paths::TestPath;
use crate::inputs::Inputs;
use crate::options::{Options, Smoothness, Weights};
use crate::problem::{Problem, View};
use crate::shape::ProblemShape;
use crate::solution::Status;

const SIZES: Sizes = Sizes { batch: 37, points: 9, states: 1, equations: 1, ..Sizes::SMALL };

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
            compare(TestPath::Thread, &case, 1e-10, &format!("f64, {what}"));
            let case = Case::<f32>::new(sizes, options, seed as u64);
            compare(TestPath::Thread, &case, 1e-4, &format!("f32, {what}"));
        }
    }
}

#[test]
fn batches_of_any_length_and_many_equations_agree_with_the_processor() {
    for (batch, points, equations, initial) in
        [(1, 2, 1, (0, 0)), (31, 3, 4, (3, 3)), (32, 40, 2, (40, 3)), (65, 17, 7, (2, 1))]
    {
        let sizes = Sizes { batch, points, equations, initial, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::Taylor), batch as u64);
        let what = format!("B {batch}, N {points}, E {equations}, initial {initial:?}");
        compare(TestPath::Thread, &case, 1e-10, &what);
    }
}

const CHUNKED: Sizes = Sizes { batch: 5, points: 23, ..SIZES };

#[test]
fn every_size_in_chunks_agrees_with_the_processor() {
    for (seed, (states, order, extra)) in STATES_AND_ORDERS.into_iter().enumerate() {
        for (bits, smoothness) in
            [(1, Smoothness::Taylor), (2, Smoothness::TaylorHold), (3, Smoothness::Hermite)]
        {
            if states * (order + extra + 1) > 4 {
                continue; // takes too many registers
            }
            let sizes = Sizes { states, order, extra, equations: states, ..CHUNKED };
            let options = options(smoothness);
            let what = format!("K {states}, order {order}+{extra}, {smoothness:?}");
            let case = Case::<f64>::new(sizes, options, seed as u64);
            compare(TestPath::ThreadChunks { bits }, &case, 1e-10, &format!("f64, {what}"));
            let case = Case::<f32>::new(sizes, options, seed as u64);
            compare(TestPath::ThreadChunks { bits }, &case, 1e-4, &format!("f32, {what}"));
        }
    }
}

#[test]
fn any_number_of_points_and_chunks_agrees_with_the_processor() {
    // 64 chunks and more are those of several warps.
    for (batch, points, bits, equations, initial) in [
        (1, 4, 1, 1, (0, 0)),
        (33, 5, 1, 1, (5, 2)),
        (3, 64, 5, 2, (40, 3)),
        (2, 97, 5, 3, (1, 2)),
        (2, 300, 6, 1, (1, 2)),
        (1, 259, 7, 1, (200, 1)),
    ] {
        let sizes = Sizes { batch, points, equations, initial, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::Taylor), batch as u64);
        let what = format!("B {batch}, N {points}, {} chunks, initial {initial:?}", 1 << bits);
        compare(TestPath::ThreadChunks { bits }, &case, 1e-10, &what);
    }
    // What is shared by time is summed over the chunks of several warps.
    for (points, bits) in [(131, 6), (515, 8)] {
        let sizes = Sizes { batch: 2, points, shared: 0b0100_1010, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::TaylorHold), 8);
        compare(TestPath::ThreadChunks { bits }, &case, 1e-10, "sums over time");
    }
}

#[test]
fn every_size_in_spans_agrees_with_the_processor() {
    for (seed, (states, order, extra)) in STATES_AND_ORDERS.into_iter().enumerate() {
        if states * (order + extra + 1) > 4 {
            continue; // takes too many registers
        }
        for (bits, span_bits, smoothness) in [
            (2, 1, Smoothness::Taylor),
            (3, 1, Smoothness::TaylorHold),
            (3, 2, Smoothness::Hermite),
        ] {
            let sizes = Sizes { states, order, extra, equations: states, ..CHUNKED };
            let options = options(smoothness);
            let path = TestPath::ThreadSpans { bits, span_bits };
            let what = format!("K {states}, order {order}+{extra}, {smoothness:?}");
            let case = Case::<f64>::new(sizes, options, seed as u64);
            compare(path, &case, 1e-10, &format!("f64, {what}"));
            let case = Case::<f32>::new(sizes, options, seed as u64);
            compare(path, &case, 1e-4, &format!("f32, {what}"));
        }
    }
}

#[test]
fn any_number_of_spans_agrees_with_the_processor() {
    // Several spans in a warp, of a warp each, of several warps each; so many that a join has
    // several warps.
    for (batch, points, bits, span_bits, shared) in [
        (33, 9, 2, 1, 0),
        (3, 67, 5, 2, 0b0100_1010),
        (2, 300, 7, 5, 0),
        (1, 515, 8, 7, 0b0100_1010),
        (2, 263, 7, 1, 0b0100_1010),
        (2, 523, 8, 6, 0b0011_0101),
        (2, 1031, 9, 1, 0),
    ] {
        let sizes = Sizes { batch, points, shared, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::TaylorHold), batch as u64);
        let what =
            format!("B {batch}, N {points}, {} chunks in spans of {}", 1 << bits, 1 << span_bits);
        compare(TestPath::ThreadSpans { bits, span_bits }, &case, 1e-10, &what);
    }
}

#[test]
fn what_has_no_kernels_is_left_to_others() {
    let shape =
        |sizes: Sizes| Case::<f64>::new(sizes, Options::default(), 0).problem().shape().clone();
    let limits = *crate::backend::cuda::testing::device().limits();
    let supports = |sizes: Sizes, options: Options| {
        Plan::new(&shape(sizes), &options, limits.shared_memory).is_some()
    };
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

/// One state, order 2.
fn small_systems(batch: usize, points: usize) -> ProblemShape {
    let axes: Inputs<&[usize]> = Inputs {
        coefficients: &[batch, points, 1, 1, 3],
        rhs: &[batch, points, 1],
        initial_values: &[batch, 1, 1, 2],
        steps: &[1, 1],
    };
    ProblemShape::new(batch, points, axes).unwrap()
}

#[test]
fn spans_that_no_block_can_join_are_left_to_others() {
    let supports = |bits: u32, kib: usize| {
        let chunks = Chunks { bits, span_bits: 5 };
        let shape = small_systems(1, 2 << bits);
        Plan::chunked(&shape, &Options::default(), chunks, kib << 10).is_some()
    };
    // A warp of chunks takes 20 KiB, and the join of 256 spans with 21 values each 42 KiB.
    assert!(supports(6, 20) && !supports(6, 19));
    assert!(supports(13, 43) && !supports(13, 42));
}

#[test]
fn the_chunks_of_long_systems_are_spread_over_blocks() {
    let limits = *crate::backend::cuda::testing::device().limits();
    let limits = Limits { multiprocessors: 132, shared_memory: 227 << 10, ..limits };
    let chunks = |batch: usize, points: usize| {
        let shape = small_systems(batch, points);
        let plan = Plan::best(&shape, &Options::default(), &limits).unwrap();
        plan.chunks.map(|chunks| (chunks.count(), chunks.spans()))
    };
    assert_eq!(chunks(1, 1000), Some((256, 1)));
    assert_eq!(chunks(1, 10_000), Some((2048, 64)));
    assert_eq!(chunks(1, 100_000), Some((16_384, 256)));
    // Two warps a scheduler, however long the system.
    assert_eq!(chunks(1, 1_000_000), Some((32_768, 256)));
    assert_eq!(chunks(1, 10_000_000), Some((32_768, 256)));
    assert_eq!(chunks(16, 1_000_000), Some((2048, 64)));
    // Many systems fill the device without, and fewer take no longer where a block has the chunks of one.
    for (batch, points) in [
        (132, 1000),
        (132, 5000),
        (256, 500),
        (512, 500),
        (256, 1000),
        (1024, 1000),
        (1024, 10_000),
    ] {
        assert_eq!(chunks(batch, points).unwrap().1, 1, "{batch} x {points}");
    }
    assert_eq!(chunks(1536, 50).unwrap().1, 1);
    assert_eq!(chunks(8192, 50), None);
}

/// Error of u, rounded to single precision, of u'' + u = 0, u(0) = 1, u'(0) = 0 at 1001 points.
fn oscillator_error(path: TestPath, refinement: Option<usize>) -> f64 {
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
    let mut solver = path.solver::<f32>(problem.shape(), &options);
    let solution = solver.solve(&problem).unwrap();
    assert_eq!(solution.status, [Status::Ok]);
    let step = f64::from(data[3][0]);
    let u = solution.values.iter().step_by(4).enumerate();
    u.map(|(t, &u)| (f64::from(u) - (t as f64 * step).cos()).abs()).fold(0.0, f64::max)
}

#[test]
fn single_precision_keeps_its_digits_over_many_steps() {
    for path in [
        TestPath::Thread,
        TestPath::ThreadChunks { bits: 5 },
        TestPath::ThreadSpans { bits: 7, span_bits: 5 },
    ] {
        let unrefined = oscillator_error(path, Some(0));
        let refined = oscillator_error(path, None);
        println!("{path:?}: {unrefined:.1e}, refined {refined:.1e}");
        // Half a unit of the last place of 1, and what the discretization adds.
        assert!(refined <= 3.1e-8, "{path:?}: {refined:e}");
        assert!(unrefined <= 1e-6, "{path:?}: {unrefined:e}");
    }
}
