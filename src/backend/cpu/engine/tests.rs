//! Solutions and gradients are the same bits with every set of instructions.

use super::*;
use crate::backend::Device;
use crate::backend::cpu::lanes::{Portable, choose_all};
use crate::options::{Factorization, Formulation, RowScaling, Smoothness};
use crate::problem::View;
use crate::solver::Solver;

/// Makes a solver of this batch.
fn solver<V: Vector, R: Real>(batch: Result<Batch<V, R>>, problem: &Problem<'_, R>) -> Solver<R> {
    let batch = batch.unwrap();
    let options = batch.options;
    Solver::with_engine(&Device::Cpu, problem.shape(), &options, || Ok(Box::new(batch))).unwrap()
}

/// A problem whose solution and gradients are computed.
#[derive(Clone, Copy)]
struct Case<'a> {
    problem: &'a Problem<'a, f64>,
    options: &'a Options,
    cotangent: &'a [f64],
}

impl Choice for Case<'_> {
    type Output = Vec<u64>;
    fn with<V: Vector>(self) -> Vec<u64> {
        let Case { problem, options, cotangent } = self;
        let mut solver = solver(Batch::<V, f64>::new(problem.shape(), options, true), problem);
        let solution = solver.solve(problem).unwrap().clone();
        assert!(
            solution.status.iter().all(|status| status.is_ok()),
            "{options:?}: {:?}",
            solution.status
        );
        let cotangent = Cotangent { values: cotangent, epsilon: None };
        let gradients = solver.vjp(problem, &cotangent).unwrap();
        let Weights { equation, initial, smoothness, periodic } = gradients.weights;
        let mut numbers = vec![equation, initial, smoothness, periodic];
        for values in gradients.inputs.as_ref() {
            numbers.extend(values);
        }
        numbers.extend(solution.values.iter().chain(&solution.epsilon));
        numbers.into_iter().map(f64::to_bits).collect()
    }
}

#[test]
fn all_instructions_find_the_same_solutions_and_gradients() {
    let taylor = Options {
        smoothness: Smoothness::TaylorHold,
        refinement_steps: Some(0),
        ..Options::default()
    };
    let hermite = Options::default();
    let balanced = RowScaling::Balanced;
    // States, order, whether states have steps of their own and two points initial values, options.
    let cases = [
        (1, 2, false, taylor),
        (1, 1, false, hermite),
        (3, 1, false, taylor),
        (2, 1, false, hermite),
        (2, 2, false, taylor),
        (2, 2, true, Options { scaling: balanced, refinement_steps: Some(2), ..taylor }),
        (3, 1, true, Options { follow_growth: true, ..hermite }),
        (2, 3, false, hermite),
        (1, 4, false, taylor),
        (1, 2, false, Options { smoothness: Smoothness::TaylorCentral, ..hermite }),
        (
            2,
            2,
            false,
            Options { formulation: Formulation::SharedSlack { gamma: 1.0, alpha: 1e-3 }, ..taylor },
        ),
        (1, 2, false, Options { periodic: true, ..taylor }),
        (2, 1, false, Options { factorization: Factorization::SquareRoot, ..hermite }),
    ];
    // The last tile has surplus lanes, and a range of points ends before the last point.
    let (batch, points) = (11, 37);
    for (states, order, own, options) in cases {
        // No row is a combination of others, as those of a sine at equal distances are.
        let number = |i: usize| (i as f64 * i as f64 * 0.37).sin();
        let numbers = |count: usize| (0..count).map(number).collect::<Vec<_>>();
        let [initial_points, step_states] = if own { [2, states] } else { [1, 1] };
        let shapes = [
            &[batch, points, states, states, order + 1][..],
            &[1, points, states],
            &[batch, initial_points, states, order],
            &[batch, points - 1, step_states],
        ];
        let [coefficients, rhs, initial, mut steps] =
            shapes.map(|axes| numbers(axes.iter().product()));
        for step in &mut steps {
            *step = 0.1 + 0.02 * *step;
        }
        let problem = Problem::builder()
            .batch(batch)
            .points(points)
            .coefficients(View::new(shapes[0], &coefficients))
            .rhs(View::new(shapes[1], &rhs))
            .initial_values(View::new(shapes[2], &initial))
            .steps(View::new(shapes[3], &steps))
            .build()
            .unwrap();
        let cotangent = numbers(problem.shape().solution().iter().product());
        let case = Case { problem: &problem, options: &options, cotangent: &cotangent };
        let found = choose_all(case);
        assert!(found.iter().all(|bits| *bits == found[0]), "{states} states, order {order}");
    }
}

/// The arrays of a problem of few long systems.
struct Long {
    sizes: [usize; 2],
    shapes: [Vec<usize>; 4],
    arrays: [Vec<f64>; 4],
}

impl Long {
    /// Makes (systems, points) of (states, order), which share coefficients and steps by systems or
    /// by points.
    fn new(
        [batch, points]: [usize; 2],
        [states, order]: [usize; 2],
        [by_systems, by_points]: [bool; 2],
    ) -> Self {
        let systems = if by_systems { 1 } else { batch };
        let [along, between] = if by_points { [1, 1] } else { [points, points - 1] };
        let shapes = [
            vec![systems, along, states, states, order + 1],
            vec![batch, points, states],
            vec![batch, 1, states, order],
            vec![systems, between, 1],
        ];
        let number = |i: usize| (i as f64 * i as f64 * 0.37).sin();
        let mut arrays = shapes
            .each_ref()
            .map(|axes| (0..axes.iter().product()).map(number).collect::<Vec<f64>>());
        let [coefficients, .., steps] = &mut arrays;
        // Each equation is mostly that of a state of its own, and stable.
        for (e, row) in coefficients.chunks_exact_mut(states * (order + 1)).enumerate() {
            row.iter_mut().for_each(|c| *c *= 0.1);
            row[e % states * (order + 1)..][..=order].iter_mut().for_each(|c| *c += 1.0);
        }
        steps.iter_mut().for_each(|step| *step = 0.5 + 0.1 * *step);
        Long { sizes: [batch, points], shapes, arrays }
    }

    fn problem(&self) -> Problem<'_, f64> {
        let [coefficients, rhs, initial, steps] = &self.arrays;
        Problem::builder()
            .batch(self.sizes[0])
            .points(self.sizes[1])
            .coefficients(View::new(&self.shapes[0], coefficients))
            .rhs(View::new(&self.shapes[1], rhs))
            .initial_values(View::new(&self.shapes[2], initial))
            .steps(View::new(&self.shapes[3], steps))
            .build()
            .unwrap()
    }
}

#[test]
fn all_instructions_find_the_same_with_one_factor_for_all_systems() {
    let hermite = Options::default();
    let central = Options { smoothness: Smoothness::TaylorCentral, ..hermite };
    // States and order, of which small blocks are kept in registers where vectors are.
    for (block, options) in [
        ([1, 1], hermite),
        ([1, 2], hermite),
        ([3, 1], hermite),
        ([2, 3], hermite),
        ([2, 2], central),
    ] {
        let arrays = Long::new([21, 37], block, [true, false]);
        let problem = &arrays.problem();
        let batch = Batch::<Portable, f64>::new(problem.shape(), &options, true);
        assert!(batch.unwrap().leader.is_some());
        let count = problem.shape().solution().iter().product();
        let cotangent: Vec<f64> = (0..count).map(|i: usize| (i as f64).cos()).collect();
        let found = choose_all(Case { problem, options: &options, cotangent: &cotangent });
        assert!(found.iter().all(|bits| *bits == found[0]), "{block:?}, {options:?}");
    }
}

#[test]
fn the_factor_of_all_systems_is_kept_as_long_as_nothing_of_it_changes() {
    // The values and the statuses of a solve, and those with a new batch.
    fn solve(batch: &mut Batch<Portable, f64>, long: &Long) -> (Vec<u64>, Vec<Status>) {
        let problem = long.problem();
        let mut values = vec![0.0; problem.shape().solution().iter().product()];
        let mut status = vec![Status::Ok; problem.shape().batch()];
        let solution = SolutionMut { values: &mut values, epsilon: None };
        batch.solve(&problem, solution, &mut status).unwrap();
        (values.into_iter().map(f64::to_bits).collect(), status)
    }
    let new = |long: &Long| {
        Batch::<Portable, f64>::new(long.problem().shape(), &Options::default(), true).unwrap()
    };
    let anew = |long: &Long| solve(&mut new(long), long);
    // Multiplies the factor of all, or that of each tile.
    fn scale(batch: &mut Batch<Portable, f64>, by: f64) {
        if let Some(leader) = &mut batch.leader {
            return leader.factor.values.iter_mut().for_each(|value| *value *= by);
        }
        for group in &mut batch.groups {
            let Members::Tiles(tiles, _) = &mut group.members else { panic!("systems are cut") };
            for tile in tiles {
                tile.scale_factor(by);
            }
        }
    }

    for systems in [2, 5, 16, 20] {
        let mut long = Long::new([systems, 9], [2, 1], [true, false]);
        let mut batch = new(&long);
        assert_eq!(solve(&mut batch, &long), anew(&long));
        // With other right-hand sides and initial values, what is there in its place shows in the solution.
        for values in &mut long.arrays[1..3] {
            values.reverse();
        }
        scale(&mut batch, 2.0);
        assert_ne!(solve(&mut batch, &long), anew(&long));
        scale(&mut batch, 0.5);
        assert_eq!(solve(&mut batch, &long), anew(&long));
        // The smallest change of one value is noticed, and a new factor made.
        for (input, index) in [(0, 0), (0, 9 * 8 - 1), (3, 0), (3, 7)] {
            scale(&mut batch, 2.0);
            let value = &mut long.arrays[input][index];
            *value = value.next_up();
            assert_eq!(solve(&mut batch, &long), anew(&long), "{systems}, {input}, {index}");
        }
    }
}

#[test]
fn free_lanes_compute_further_derivatives_where_that_saves_time() {
    // Whether so many cotangents of (systems, points) are computed in lanes; of whole systems, if they are cut.
    let in_lanes = |count: usize, sizes: [usize; 2]| {
        let long = Long::new(sizes, [1, 1], [false; 2]);
        let problem = long.problem();
        let shape = problem.shape();
        let mut batch = Batch::<Portable, f64>::new(shape, &Options::default(), true).unwrap();
        let size: usize = shape.solution().iter().product();
        let mut values = vec![0.0; size];
        let mut status = vec![Status::Ok; shape.batch()];
        let solution = SolutionMut { values: &mut values, epsilon: None };
        batch.solve(&problem, solution, &mut status).unwrap();
        let cotangents = Cotangent { values: &vec![1.0; count * size], epsilon: None };
        let mut rhs = vec![0.0; count * long.arrays[1].len()];
        let inputs = Inputs { rhs: Some(&mut rhs[..]), ..Inputs::default() };
        let mut gradients = GradientsMut { inputs, weights: None };
        let given = status.repeat(count);
        let mut found = given.clone();
        batch.vjps(&problem, &cotangents, &given, &mut gradients, &mut found).unwrap();
        let uncut = batch.uncut.as_ref().is_some_and(|uncut| uncut.batch.several.is_some());
        (batch.several.is_some(), uncut)
    };
    assert_eq!(in_lanes(2, [1, 20]), (true, false));
    assert_eq!(in_lanes(9, [4, 20]), (true, false));
    assert_eq!(in_lanes(9, [5, 20]), (false, false));
    assert_eq!(in_lanes(1, [1, 20]), (false, false));
    assert_eq!(in_lanes(9, [2, 100]), (false, true));
    // To factor once more would take longer; and so would sweeps over many points.
    assert_eq!(in_lanes(2, [1, 100]), (false, false));
    assert_eq!(in_lanes(9, [1, 600]), (false, false));
}

/// A long system solved in chunks or whole.
#[derive(Clone, Copy)]
struct Cut<'a>(&'a Problem<'a, f64>, &'a Options, bool);

impl Choice for Cut<'_> {
    type Output = (Vec<Status>, Vec<Vec<f64>>);
    fn with<V: Vector>(self) -> Self::Output {
        let Cut(problem, options, may_cut) = self;
        let batch = Batch::<V, f64>::new(problem.shape(), options, may_cut).unwrap();
        assert_eq!(batch.is_cut(), may_cut);
        let mut solver = solver(Ok(batch), problem);
        let solution = solver.solve(problem).unwrap().clone();
        let cotangent: Vec<f64> = (0..solution.values.len()).map(|i| (i as f64).cos()).collect();
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        let gradients = solver.vjp(problem, &cotangent).unwrap();
        let Weights { equation, initial, smoothness, .. } = gradients.weights;
        let mut found = vec![solution.values.clone(), vec![equation, initial, smoothness]];
        found.extend(gradients.inputs.as_ref().into_iter().cloned());
        let directions = problem
            .inputs
            .map(|values| (0..values.len()).map(|i| (0.1 * i as f64).sin()).collect::<Vec<f64>>());
        let tangents = directions.as_ref().map(|direction| Some(direction.as_slice()));
        found.push(solver.jvp(problem, &tangents).unwrap().values.clone());
        found.push(solver.inverse(problem, &cotangent).unwrap().values.clone());
        let residuals = solver.residuals(problem).unwrap();
        let families = |r: &Residuals| [r.equation, r.initial, r.smoothness];
        found.push(residuals.iter().flat_map(families).collect());
        found.push(solver.variances(problem).unwrap().to_vec());
        (solution.status, found)
    }
}

/// Places of the solution's values, and of the gradients of weights and right-hand sides, among what is found.
const VALUES: usize = 0;
const WEIGHTS: usize = 1;
const RHS: usize = 3;

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn chunks_find_what_whole_systems_do() {
    let taylor = Options {
        smoothness: Smoothness::TaylorHold,
        refinement_steps: Some(0),
        ..Options::default()
    };
    let hermite = Options::default();
    let balanced = Options { scaling: RowScaling::Balanced, ..hermite };
    // What decays is less than every number at the end of a chunk.
    let mut decaying = Long::new([1, 4000], [1, 1], [false; 2]);
    for (values, value) in decaying.arrays.iter_mut().zip([1.0, 0.0, 1.0, 0.5]) {
        values.fill(value);
    }
    let cases = [
        (decaying, hermite),
        (Long::new([1, 98], [1, 2], [false; 2]), taylor),
        (Long::new([1, 101], [1, 2], [false, true]), hermite),
        (Long::new([2, 105], [2, 1], [true, false]), balanced),
        (Long::new([3, 104], [2, 2], [true, true]), taylor),
        (Long::new([2, 300], [1, 3], [false, false]), hermite),
        (Long::new([1, 130], [1, 4], [false, true]), taylor),
        (Long::new([2, 107], [1, 2], [false, true]), hermite),
        (Long::new([1, 2049], [1, 2], [false; 2]), taylor),
        // Two sets of chunks, and threads for both.
        (Long::new([1, 2050], [1, 2], [false; 2]), taylor),
        (Long::new([2, 2063], [1, 1], [true, false]), hermite),
        (Long::new([1, 2100], [2, 1], [false, true]), balanced),
    ];
    for (long, options) in &cases {
        let problem = long.problem();
        let (status, all) = choose(Cut(&problem, options, false));
        assert!(status.iter().all(|status| status.is_ok()), "{status:?}");
        let found = choose_all(Cut(&problem, options, true));
        let what = format!("{:?}, {options:?}", long.shapes);
        for (status, chunks) in &found {
            assert!(status.iter().all(|status| status.is_ok()), "{what}: {status:?}");
            assert_eq!(*chunks, found[0].1, "{what}: instructions");
            for (index, (chunks, whole)) in chunks.iter().zip(&all).enumerate() {
                let mut allowed = 1e-10 * largest(whole);
                if index == WEIGHTS {
                    // Sums of products (β − a·z)(a·g), of which β and a·z nearly cancel.
                    allowed += 1e-13 * largest(&all[VALUES]) * largest(&all[RHS]);
                }
                for (chunks, whole) in chunks.iter().zip(whole) {
                    let difference = (chunks - whole).abs();
                    assert!(difference <= allowed, "{what}, {index}: {chunks} {whole}");
                }
            }
        }
    }
}

#[test]
fn chunks_report_what_whole_systems_do() {
    let options = Options::default();
    // With 2100 points there are two sets of chunks.
    let status = |points: usize, change: fn(&mut [Vec<f64>; 4], usize)| {
        let mut long = Long::new([2, points], [1, 2], [false; 2]);
        change(&mut long.arrays, points);
        let problem = long.problem();
        let of = |may_cut| choose(Cut(&problem, &options, may_cut)).0;
        [of(true), of(false)]
    };
    type Arrays = [Vec<f64>; 4];
    let changes: [fn(&mut Arrays, usize); 9] = [
        |[coefficients, ..], n| coefficients[3 * n + 40] = f64::NAN,
        |[coefficients, ..], n| coefficients[3 * (n - n / 8)] = f64::NAN,
        |[_, rhs, ..], n| rhs[2 * n - 2] = f64::INFINITY,
        |[_, rhs, ..], n| rhs[n - n / 3] = f64::INFINITY,
        |[.., steps], _| steps[15] = -1.0,
        |[.., steps], n| steps[n - n / 4] = -1.0,
        |[.., initial, _], _| initial[1] = f64::NAN,
        |[coefficients, rhs, ..], _| {
            coefficients[9..12].fill(1e10);
            rhs[3] = f64::MAX;
        },
        |[coefficients, rhs, ..], n| {
            let late = n - n / 5;
            coefficients[3 * late..3 * late + 3].fill(1e10);
            rhs[late] = f64::MAX;
        },
    ];
    for points in [120, 2100] {
        for (index, change) in changes.into_iter().enumerate() {
            let [chunks, whole] = status(points, change);
            assert_eq!(chunks, whole, "{points} points, {index}");
            let good = chunks.iter().filter(|status| status.is_ok()).count();
            assert_eq!(good, 1, "{points} points, {index}: {chunks:?}");
        }
        // Without equations, two initial values leave a polynomial undetermined, wherever that shows.
        for statuses in status(points, |[coefficients, ..], n| coefficients[..3 * n].fill(0.0)) {
            assert!(matches!(statuses[..], [Status::Breakdown { .. }, Status::Ok]), "{statuses:?}");
        }
    }
}

/// The statuses of gradients in single precision, where the cotangent of the first system is multiplied
/// by a number.
struct Scaled<'a>(&'a Problem<'a, f32>, f32, bool);

impl Choice for Scaled<'_> {
    type Output = Vec<Status>;
    fn with<V: Vector>(self) -> Vec<Status> {
        let Scaled(problem, scale, may_cut) = self;
        let batch = Batch::<V, f32>::new(problem.shape(), &Options::default(), may_cut);
        let mut solver = solver(batch, problem);
        let solution = solver.solve(problem).unwrap().clone();
        let of_system = solution.values.len() / problem.shape().batch;
        let factor = |i: usize| if i < of_system { scale } else { 1.0 };
        let cotangent: Vec<f32> =
            (0..solution.values.len()).map(|i| factor(i) * (1.0 + (i as f32).cos())).collect();
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        solver.vjp(problem, &cotangent).unwrap().status.clone()
    }
}

/// What matters is the sum over the chunks of a system, not the shares of these.
#[test]
fn gradients_of_chunks_overflow_where_those_of_whole_systems_do() {
    let long = Long::new([2, 120], [1, 2], [false, true]);
    let arrays = long.arrays.each_ref().map(|values| values.iter().map(|x| *x as f32).collect());
    let [coefficients, rhs, initial, steps]: [Vec<f32>; 4] = arrays;
    let problem = Problem::builder()
        .batch(2)
        .points(120)
        .coefficients(View::new(&long.shapes[0], &coefficients))
        .rhs(View::new(&long.shapes[1], &rhs))
        .initial_values(View::new(&long.shapes[2], &initial))
        .steps(View::new(&long.shapes[3], &steps))
        .build()
        .unwrap();
    let mut overflows = 0;
    for power in 0..40 {
        // From 1e33 to 1e38, in steps small enough for shares that are finite and sums that are not.
        let scale = 10f32.powf(33.0 + 0.125 * power as f32);
        let [cut, whole] = [true, false].map(|may_cut| choose(Scaled(&problem, scale, may_cut)));
        assert_eq!(cut, whole, "{scale:e}");
        assert!(cut[1].is_ok(), "{scale:e}: {cut:?}");
        overflows += usize::from(cut[0] == Status::Overflow);
    }
    assert!(0 < overflows && overflows < 40, "{overflows} of 40");
}
