//! Digits of the solution before it is rounded to the precision of the problem.

use super::*;
use crate::backend::cpu::lanes::Pack;
use crate::options::{Factorization, Smoothness};
use crate::problem::{Problem, View};

/// What a solve of u'' + u = 0, u(0) = 0, u'(0) = 1 on 1000 points with Hermite rows ends with.
struct Outcome {
    status: Status,
    /// Largest error of u.
    error: f64,
    /// The same, of the rounded values.
    rounded: f64,
}

/// The exact solution is that on the grid which the steps, in the precision of `T`, make.
fn oscillator<T: Real>(factorization: Factorization, refinement: usize) -> Outcome {
    const POINTS: usize = 1000;
    let of = |values: &[f64]| values.iter().map(|&value| T::of(value)).collect::<Vec<T>>();
    let data = [&[1.0, 0.0, 1.0][..], &[0.0], &[0.0, 1.0], &[0.01]].map(of);
    let problem = Problem::new(
        1,
        POINTS,
        View::new(&[1, 1, 1, 1, 3], &data[0]),
        View::new(&[1, 1, 1], &data[1]),
        View::new(&[1, 1, 1, 2], &data[2]),
        View::new(&[1, 1], &data[3]),
    )
    .and_then(|problem| problem.extended(1))
    .unwrap();
    let options = Options {
        smoothness: Smoothness::Hermite,
        factorization,
        refinement: Some(refinement),
        ..Options::default()
    };
    let layout = Layout::new(problem.shape(), &options);
    let context = Context { problem: &problem, options: &options, layout: &layout };
    let mut scratch = Scratch::<Pack<T, 1>>::new(problem.shape(), &options, &layout).unwrap();
    let mut tile = Tile::new(TileSystems { first: 0, last: 0 }, &layout).unwrap();
    let (mut values, mut epsilon) = (vec![T::zero(); layout.values], [T::zero()]);
    let mut sink = SolutionSink { origin: 0, values: &mut values, epsilon: &mut epsilon };
    let mut status = [Status::Ok];
    tile.solve(context, &mut scratch, &mut sink, &mut status);

    let step = data[3][0].to_double();
    let error = |rounded: bool| {
        let u = tile.unknowns.iter().step_by(4).map(|value| value.lane(0));
        let errors = u.enumerate().map(|(t, u)| {
            let u = if rounded { T::of(u).to_double() } else { u };
            (u - (t as f64 * step).sin()).abs()
        });
        // NaN if any is.
        errors.fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst })
    };
    Outcome { status: status[0], error: error(false), rounded: error(true) }
}

#[test]
fn refinement_wins_back_the_digits_of_the_factor() {
    use Factorization::{Cholesky, SquareRoot};
    println!("| precision | factorisation | steps | error of u | rounded | status |");
    println!("|---|---|---|---|---|---|");
    let show = |precision: &str, factorization: Factorization, steps: usize, outcome: Outcome| {
        let Outcome { status, error, rounded } = outcome;
        let name = factorization.name();
        println!("| {precision} | {name} | {steps} | {error:.1e} | {rounded:.1e} | {status:?} |");
        (status, error, rounded)
    };
    let double = |factorization, steps| {
        let (status, error, _) =
            show("f64", factorization, steps, oscillator::<f64>(factorization, steps));
        assert_eq!(status, Status::Ok);
        error
    };
    let single = |factorization, steps| {
        show("f32", factorization, steps, oscillator::<f32>(factorization, steps))
    };

    assert!(double(Cholesky, 0) > 1e-9);
    assert!(double(Cholesky, 1) <= 1e-9);
    assert!(double(SquareRoot, 0) <= 1e-9);
    assert!(double(SquareRoot, 1) <= 1e-9);
    for steps in [0, 3] {
        let (status, error, _) = single(Cholesky, steps);
        assert!(matches!(status, Status::Breakdown { .. }));
        // What the numbers behind the breakdown are worth.
        assert!(error.is_nan() || error > 0.1);
    }
    let (status, error, _) = single(SquareRoot, 0);
    assert!(status == Status::Ok && error <= 1e-4, "{error:e}");
    for steps in [2, 3] {
        let (status, error, rounded) = single(SquareRoot, steps);
        assert_eq!(status, Status::Ok);
        assert!(error <= 1e-8 && rounded <= 1.2e-7, "{error:e}, {rounded:e}");
    }
}
