//! Time cut into chunks.

use super::*;

const CHUNKED: Sizes = Sizes { batch: 5, points: 23, ..SIZES };

fn cut(bits: u32) -> Option<Chunks> {
    Some(Chunks { bits })
}

#[test]
fn every_size_agrees_with_the_processor() {
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
            compare_with(&case, cut(bits), 1e-10, &format!("f64, {what}"));
            let case = Case::<f32>::new(sizes, options, seed as u64);
            compare_with(&case, cut(bits), 1e-4, &format!("f32, {what}"));
        }
    }
}

#[test]
fn every_broadcast_axis_agrees_with_the_processor() {
    for (seed, shared) in [
        0b0000_0001,
        0b0000_0010,
        0b0000_0011,
        0b0000_1100,
        0b0001_0000,
        0b0010_0000,
        0b0100_0000,
        0b1110_0000,
        0b1101_0101,
        0b1111_1111,
    ]
    .into_iter()
    .enumerate()
    {
        let sizes = Sizes { states: 2, order: 1, equations: 2, initial: (2, 1), shared, ..CHUNKED };
        let options = Options { scaling: RowScaling::Balanced, ..options(Smoothness::TaylorHold) };
        let case = Case::<f64>::new(sizes, options, 100 + seed as u64);
        compare_with(&case, cut(2), 1e-10, &format!("shared {shared:08b}"));
        let case = Case::<f32>::new(sizes, options, 100 + seed as u64);
        compare_with(&case, cut(3), 1e-4, &format!("f32, shared {shared:08b}"));
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
        compare_with(&case, cut(bits), 1e-10, &what);
    }
    // What is shared by time is summed over the chunks of several warps.
    for (points, bits) in [(131, 6), (515, 8)] {
        let sizes = Sizes { batch: 2, points, shared: 0b0100_1010, ..SIZES };
        let case = Case::<f64>::new(sizes, options(Smoothness::TaylorHold), 8);
        compare_with(&case, cut(bits), 1e-10, "sums over time");
    }
}

#[test]
fn any_number_of_refinements_agrees_with_the_processor() {
    for refinement in [0, 2] {
        let options =
            Options { refinement_steps: Some(refinement), ..options(Smoothness::TaylorHold) };
        let sizes = Sizes { states: 2, order: 1, equations: 2, ..CHUNKED };
        compare_with(&Case::<f64>::new(sizes, options, 7), cut(3), 1e-10, "f64");
        compare_with(&Case::<f32>::new(sizes, options, 7), cut(3), 2e-4, "f32");
    }
}

#[test]
fn faults_of_one_system_do_not_reach_the_others() {
    for bits in [2, 3] {
        let options = options(Smoothness::TaylorHold);
        let mut case = Case::<f64>::new(Sizes { batch: 12, ..CHUNKED }, options, 3);
        let whole = compare_with(&case, cut(bits), 1e-10, "sound");
        let (size, steps) = (case.points * 3, case.points - 1);
        case.arrays.coefficients[2 * size + 35] = f64::NAN;
        case.arrays.rhs[5 * case.points + 18] = f64::INFINITY;
        case.arrays.initial_values[7 * 2] = f64::NEG_INFINITY;
        case.arrays.steps[steps + 11] = f64::NAN;
        // Two invalid steps, in the middle: the first counts.
        case.arrays.steps[9 * steps + 13] = 0.0;
        case.arrays.steps[9 * steps + 20] = -1.0;
        case.arrays.steps[11 * steps + 21] = -0.5;
        // c·b overflows, though both are finite.
        case.arrays.coefficients[10 * size + 30..][..3].fill(4.0);
        case.arrays.rhs[10 * case.points + 10] = f64::MAX;
        let broken = compare_with(&case, cut(bits), 1e-10, "faults");
        assert_eq!(broken.status[9], Status::InvalidStep { step: 13 });
        assert_eq!(agreement::count_faulty(&whole, &broken), 7);
    }
}

#[test]
fn undetermined_systems_break_down() {
    // As with a system a thread: one direction is left undetermined.
    for given in [2, 3] {
        let sizes = Sizes { batch: 9, points: 11, initial: (1, given), ..CHUNKED };
        let mut case = Case::<f64>::new(sizes, options(Smoothness::Taylor), 5);
        let size = case.points * 3;
        for system in [0, 4, 8] {
            case.arrays.coefficients[system * size..(system + 1) * size].fill(0.0);
        }
        let solution = compare_with(&case, cut(2), 1e-10, &format!("{given} initial values"));
        for (system, status) in solution.status.iter().enumerate() {
            let undetermined = given < 3 && [0, 4, 8].contains(&system);
            let broken = matches!(status, Status::Breakdown { .. });
            assert_eq!(broken, undetermined, "{given} initial values, {system}: {status:?}");
        }
    }
}

#[test]
fn a_breakdown_names_its_point() {
    // Without smoothness rows every point stands alone; with zero coefficients it has no pivot.
    let weights = Weights { smoothness: 0.0, ..Weights::default() };
    let options = Options { weights, ..options(Smoothness::Taylor) };
    let sizes = Sizes { batch: 23, order: 1, equations: 2, initial: (0, 0), ..CHUNKED };
    let mut case = Case::<f64>::new(sizes, options, 5);
    for system in 0..23 {
        case.arrays.coefficients[(system * 23 + system) * 4..][..4].fill(0.0);
    }
    let problem = case.problem();
    let mut solution = Solution::allocate(problem.shape()).unwrap();
    engine::<f64>(problem.shape(), &case.options, cut(3)).solve(&problem, &mut solution).unwrap();
    for (point, status) in solution.status.iter().enumerate() {
        assert_eq!(*status, Status::Breakdown { point, pivot: 0 });
    }
}

/// Solution and gradient of a system do not depend on those that are solved with it.
#[test]
fn a_batch_in_parts_gives_the_same() {
    let case = Case::<f64>::new(CHUNKED, options(Smoothness::Hermite), 9);
    let run = |case: &Case<f64>| {
        let problem = case.problem();
        let values: usize = problem.shape().solution().iter().product();
        let mut engine = engine::<f64>(problem.shape(), &case.options, cut(3));
        let mut solution = Solution::allocate(problem.shape()).unwrap();
        engine.solve(&problem, &mut solution).unwrap();
        let cotangent = vec![1.0; values];
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = engine.vjp(&problem, &cotangent, &solution.status).unwrap().clone();
        [solution.values, gradients.inputs.coefficients, gradients.inputs.steps]
    };
    let whole = run(&case);
    for system in 0..case.batch {
        let mut alone = case.clone();
        alone.batch = 1;
        for (shape, array) in alone.shapes.as_mut().zip(alone.arrays.as_mut()) {
            let size = array.len() / shape[0];
            shape[0] = 1;
            *array = array[system * size..][..size].to_vec();
        }
        for (alone, whole) in run(&alone).iter().zip(&whole) {
            let size = alone.len();
            assert_eq!(*alone, whole[system * size..][..size], "system {system}");
        }
    }
}
