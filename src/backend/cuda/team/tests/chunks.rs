//! Chunks of the time points, each a team's.

use super::{H100, SIZES};
use crate::backend::cuda::team::plan::Plan;
use crate::backend::cuda::testing::agreement::compare;
use crate::backend::cuda::testing::case::{Case, Sizes};
use crate::backend::cuda::testing::paths::TestPath;
use crate::inputs::Inputs;
use crate::options::{Formulation, Options, Smoothness};
use crate::real::Real;
use crate::shape::ProblemShape;

/// Compares what so many chunks compute with the processor.
fn agree<T: Real>(sizes: Sizes, options: Options, chunks: usize, tolerance: f64) {
    let case = Case::<T>::new(sizes, options, 23);
    let path = TestPath::TeamChunks { chunks, systems: 1 };
    compare(path, &case, tolerance, &format!("{sizes:?}, {options:?}"));
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
        let path = TestPath::TeamChunks { chunks: 4, systems: 3 };
        compare(path, &case, 1e-10, &format!("shared {shared:#x}"));
    }
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
