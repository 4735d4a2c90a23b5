//! Chunks of the time points, each a team's.

use super::{H100, SIZES};
use crate::backend::Engine as _;
use crate::backend::cuda::team::TeamPath;
use crate::backend::cuda::team::plan::Plan;
use crate::backend::cuda::testing::agreement::{Case, Sizes, compare, count_faulty};
use crate::backend::cuda::{solve::engine::Engine, testing};
use crate::inputs::Inputs;
use crate::options::{Formulation, Options, Smoothness, Weights};
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{Solution, Status};

/// With so many chunks, and a system a block.
fn engine<T: Real>(shape: &ProblemShape, options: &Options, chunks: usize) -> Engine<T> {
    grouped_engine(shape, options, chunks, 1)
}

/// With so many chunks, and systems a block.
fn grouped_engine<T: Real>(
    shape: &ProblemShape,
    options: &Options,
    chunks: usize,
    group: usize,
) -> Engine<T> {
    let device = testing::device();
    let plan = Plan::new(shape, options, device.limits()).unwrap();
    let mut plan = plan.with_chunks(chunks, device.limits()).unwrap();
    plan.group = group;
    let path = TeamPath::new(&device, plan).unwrap();
    Engine::with_path(&device, shape, options, Box::new(path)).unwrap()
}

/// Compares what so many chunks compute with the processor.
fn agree<T: Real>(sizes: Sizes, options: Options, chunks: usize, tolerance: f64) {
    let case = Case::<T>::new(sizes, options, 23);
    let engine = engine(case.problem().shape(), &options, chunks);
    compare(engine, &case, tolerance, &format!("{chunks} chunks, {sizes:?}, {options:?}"));
}

#[test]
fn chunks_of_time_agree_with_the_processor() {
    let slack = Formulation::SharedSlack { gamma: 0.3, alpha: 0.4 };
    for smoothness in Smoothness::ALL {
        for (periodic, formulation) in
            [(false, Formulation::LeastSquares), (true, slack), (true, Formulation::LeastSquares)]
        {
            let options = Options { smoothness, periodic, formulation, ..Options::default() };
            for (batch, points, states, order, shared, chunks) in [
                (1, 37, 1, 1, 0, 4),
                (3, 18, 2, 1, 0xff, 2),
                (3, 41, 2, 2, 0xfd, 4),
                (2, 70, 3, 1, 1 << 5, 8),
                (1, 40, 2, 2, 0, 3),
            ] {
                let sizes = Sizes {
                    batch,
                    points,
                    states,
                    order,
                    equations: states,
                    initial: (1, order),
                    shared,
                    ..SIZES
                };
                agree::<f64>(sizes, options, chunks, 1e-10);
            }
        }
    }
    // Larger blocks; more initial values and more derivatives than usual; single precision.
    let hermite = Options { smoothness: Smoothness::Hermite, ..Options::default() };
    let extended =
        Sizes { points: 50, states: 3, extra: 1, equations: 3, initial: (9, 2), ..SIZES };
    agree::<f64>(extended, hermite, 3, 1e-10);
    agree::<f32>(extended, hermite, 4, 1e-5);
    let wide = Sizes { points: 17, states: 10, equations: 10, initial: (2, 2), ..SIZES };
    let taylor = Options { smoothness: Smoothness::TaylorHold, ..Options::default() };
    agree::<f64>(wide, taylor, 2, 1e-10);
}

#[test]
fn a_block_solves_one_system_after_another() {
    // The second block has one system less; the sums over the batch are those of two blocks.
    let options = Options { smoothness: Smoothness::Hermite, periodic: true, ..Options::default() };
    for shared in [1 << 5, 0xff] {
        let sizes = Sizes { batch: 5, points: 41, shared, ..SIZES };
        let case = Case::<f64>::new(sizes, options, 31);
        let engine = grouped_engine(case.problem().shape(), &options, 4, 3);
        compare(engine, &case, 1e-10, &format!("groups of 3, shared {shared:#x}"));
    }
}

#[test]
fn faults_of_one_system_do_not_reach_the_others() {
    let options = Options { smoothness: Smoothness::TaylorHold, ..Options::default() };
    let sizes = Sizes { batch: 9, points: 41, states: 1, equations: 1, ..SIZES };
    for chunks in [2, 5] {
        let mut case = Case::<f64>::new(sizes, options, 3);
        let shape = case.problem().shape().clone();
        let run = |case: &Case<f64>, what: &str| {
            compare(engine(&shape, &options, chunks), case, 1e-10, &format!("{chunks}, {what}"))
        };
        let sound = run(&case, "sound");
        let (size, steps) = (case.points * 3, case.points - 1);
        // In the first chunk, in a middle one, in the last.
        case.arrays.coefficients[size + 7] = f64::NAN;
        case.arrays.rhs[2 * case.points + 20] = f64::INFINITY;
        case.arrays.initial_values[3 * 2] = f64::NEG_INFINITY;
        case.arrays.steps[4 * steps + 39] = f64::NAN;
        // Two invalid steps: the first counts.
        case.arrays.steps[5 * steps + 11] = 0.0;
        case.arrays.steps[5 * steps + 33] = -1.0;
        // c·b overflows, though both are finite.
        case.arrays.coefficients[6 * size + 90..][..3].fill(4.0);
        case.arrays.rhs[6 * case.points + 30] = f64::MAX;
        let broken = run(&case, "faults");
        assert_eq!(broken.status[5], Status::InvalidStep { step: 11 });
        assert_eq!(count_faulty(&sound, &broken), 6);
    }
}

#[test]
fn a_breakdown_names_its_point() {
    // Without smoothness rows every point stands alone; with zero coefficients it has no pivot.
    const POINTS: usize = 23;
    let weights = Weights { smoothness: 0.0, ..Weights::default() };
    let options = Options { weights, smoothness: Smoothness::Taylor, ..Options::default() };
    let sizes = Sizes {
        batch: POINTS,
        points: POINTS,
        states: 1,
        order: 1,
        equations: 2,
        initial: (0, 0),
        ..SIZES
    };
    let mut case = Case::<f64>::new(sizes, options, 5);
    for system in 0..POINTS {
        case.arrays.coefficients[(system * POINTS + system) * 4..][..4].fill(0.0);
    }
    let problem = case.problem();
    let mut solution = Solution::allocate(problem.shape()).unwrap();
    engine(problem.shape(), &options, 2).solve(&problem, &mut solution).unwrap();
    for (point, status) in solution.status.iter().enumerate() {
        assert_eq!(*status, Status::Breakdown { point, pivot: 0 });
    }
    assert_eq!(testing::reports(), Vec::<String>::new());
}

#[test]
fn teams_share_a_system_where_the_device_would_be_idle() {
    let chunks = |batch: usize, points: usize| {
        let shape = ProblemShape::new(
            batch,
            points,
            Inputs {
                coefficients: &[batch, points, 3, 3, 2],
                rhs: &[batch, points, 3],
                initial_values: &[batch, 1, 3, 1],
                steps: &[batch, points - 1],
            },
        );
        Plan::best(&shape.unwrap(), &Options::default(), &H100).unwrap().chunks
    };
    assert_eq!(chunks(1, 1000), 16);
    assert_eq!(chunks(132, 1000), 16);
    // One block after another on every multiprocessor.
    assert_eq!(chunks(6 * 132, 1000), 1);
    assert_eq!(chunks(1, 16), 1);
}
