//! How far a solution misses its initial values, which it may where a problem grows too fast.

use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::solution::{Solution, Status};
use crate::threads;

/// The least magnitude of a state's initial values, relative to its largest value: what is smaller
/// may have drowned in the errors of the others.
const LEAST_INITIAL: f64 = 1e-4;

/// Computes the [`initial_defect`](Solution::initial_defect) of a solution.
pub fn compare_with_initial_values<T: Real>(
    problem: &Problem<'_, T>,
    options: &Options,
    values: &[T],
    status: &[Status],
    defects: &mut [f64],
) {
    let shape = problem.shape();
    let exact = shape.initial_points() == 1
        && (1..=shape.equation_order()).contains(&shape.initial_derivatives())
        && shape.equations() <= shape.states()
        && options.weights.initial >= options.weights.equation.max(options.weights.smoothness)
        && !options.periodic;
    if !exact {
        return;
    }
    let size = shape.points * shape.block();
    threads::for_each(defects, size, |system, defect| {
        let z = &values[system * size..][..size];
        let solved = status[system].is_ok();
        *defect = if solved { initial_defect(problem, system, z) } else { f64::NAN };
    });
}

/// Returns the largest defect of the initial values of a state, relative to their size max_j h^j |x_j|.
fn initial_defect<T: Real>(problem: &Problem<'_, T>, system: usize, z: &[T]) -> f64 {
    let shape = problem.shape();
    let (q, given) = (shape.derivatives(), shape.initial_derivatives());
    let steps = problem.places.steps.of_values(system).take(shape.steps[2]);
    let first = steps.map(|place| problem.inputs.steps[place].to_double());
    let step = first.sum::<f64>() / shape.steps[2] as f64;
    let mut values = problem.places.initial_values.of_values(system);
    let of_state = |k: usize| {
        let (mut missed, mut size) = (0.0_f64, 0.0_f64);
        let mut power = 1.0;
        for (z, place) in z[k * q..].iter().zip(values.by_ref().take(given)) {
            let value = problem.inputs.initial_values[place];
            missed = missed.max(power * (z.to_double() - value.to_double()).abs());
            size = size.max(power * value.to_double().abs());
            power *= step;
        }
        if missed <= Solution::<T>::MOST_INITIAL_DEFECT * size {
            return if missed > 0.0 { missed / size } else { 0.0 };
        }
        let (mut largest, mut power) = (0.0_f64, 1.0);
        for j in 0..given {
            largest = largest.max(power * largest_of(&z[k * q + j..], shape.block()));
            power *= step;
        }
        missed / size.max(LEAST_INITIAL * largest)
    };
    (0..shape.states()).map(of_state).fold(0.0, f64::max)
}

/// Returns the largest magnitude of the values that are `apart`, from the first on.
fn largest_of<T: Real>(values: &[T], apart: usize) -> f64 {
    // Four maxima, so that none waits for the one before.
    let mut largest = [0.0_f64; 4];
    let larger = |largest: f64, value: &T| {
        let value = value.to_double().abs();
        if value > largest { value } else { largest }
    };
    let mut fours = values.chunks_exact(4 * apart);
    for values in &mut fours {
        for i in 0..4 {
            largest[i] = larger(largest[i], &values[i * apart]);
        }
    }
    let rest = fours.remainder().iter().step_by(apart).fold(0.0, larger);
    largest.into_iter().fold(rest, f64::max)
}
