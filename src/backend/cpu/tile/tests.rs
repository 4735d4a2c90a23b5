//! Digits of the solution before it is rounded to the precision of the problem.

use super::*;
use crate::backend::cpu::lanes::Portable;
use crate::options::{Factorization, Smoothness};
use crate::problem::{Problem, View};
use crate::real::Real;

/// The outcome of a solve of u'' + u = 0, u(0) = 0, u'(0) = 1 on 1000 points with Hermite rows.
struct Outcome {
    status: Status,
    /// Largest error of u.
    error: f64,
    /// Largest error of u after rounding to the precision of the problem.
    rounded: f64,
}

/// The exact solution is that on the grid which the steps, in the precision of `T`, make.
fn oscillator<T: Real>(factorization: Factorization, refinement: usize) -> Outcome {
    const POINTS: usize = 1000;
    let of = |values: &[f64]| values.iter().map(|&value| T::of(value)).collect::<Vec<T>>();
    let data = [&[1.0, 0.0, 1.0][..], &[0.0], &[0.0, 1.0], &[0.01]].map(of);
    let problem = Problem::builder()
        .points(POINTS)
        .coefficients(View::new(&[1, 1, 1, 1, 3], &data[0]))
        .rhs(View::new(&[1, 1, 1], &data[1]))
        .initial_values(View::new(&[1, 1, 1, 2], &data[2]))
        .steps(View::new(&[1, 1], &data[3]))
        .build()
        .and_then(|problem| problem.with_extra_derivatives(1))
        .unwrap();
    let options = Options {
        smoothness: Smoothness::Hermite,
        factorization,
        refinement_steps: Some(refinement),
        ..Options::default()
    };
    let layout = Layout::new(problem.shape(), &options);
    let inputs = Source::of(problem.inputs, &problem.places);
    let context = Context { inputs, options: &options, layout: &layout, shared: None };
    let mut scratch = Scratch::<Portable>::new(problem.shape(), &options, &layout).unwrap();
    let mut tile = Tile::new(TileSystems::whole(0, 1), &layout).unwrap();
    let (mut values, mut epsilon) = (vec![T::zero(); layout.values()], [T::zero()]);
    let mut sink = SolutionSink {
        origin: 0,
        values: T::values_mut(&mut values),
        epsilon: Some(T::values_mut(&mut epsilon)),
        limit: T::LIMIT,
    };
    let mut status = [Status::Ok];
    tile.solve::<1, 0>(&context, &mut scratch, false, &mut sink, &mut status);

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
    /// One line of a table: after 0, 1 and 2 steps of refinement.
    fn run<T: Real>(factorization: Factorization) -> [Outcome; 3] {
        let outcomes = [0, 1, 2].map(|steps| oscillator::<T>(factorization, steps));
        let cells = outcomes.each_ref().map(|outcome| match outcome.status {
            Status::Ok => format!("{:.1e}", outcome.error),
            _ => "breakdown".into(),
        });
        println!("| {}, {} | {} |", T::NAME, factorization.name(), cells.join(" | "));
        outcomes
    }
    println!("| precision, factorization | unrefined | 1 step | 2 steps |\n|---|---|---|---|");
    let [unrefined, once, twice] = run::<f64>(Cholesky);
    assert!(unrefined.error > 1e-9 && once.error <= 1e-9 && twice.error <= 1e-9);
    assert!(run::<f64>(SquareRoot).iter().all(|outcome| outcome.error <= 1e-9));
    // Single precision is how numbers are stored, and not how they are computed.
    let [unrefined, once, _] = run::<f32>(Cholesky);
    assert!(unrefined.error > 1e-9 && once.error <= 1e-9);
    let [unrefined, ..] = run::<f32>(SquareRoot);
    assert!(unrefined.status == Status::Ok && unrefined.error <= 1e-9);
    assert!(unrefined.rounded <= 1.2e-7);
}
