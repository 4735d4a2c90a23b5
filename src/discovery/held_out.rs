//! The prediction of data that equations were not fitted to: rich models may follow all data and
//! still predict wrongly.
//!
//! Each trajectory loses a stretch at its beginning, or else at its end. The coefficients are
//! estimated anew from the rest, and simulated over the stretch.

use std::ops::Range;

use super::budget::Budget;
use super::check::ahead;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::{Grid, Smooth};
use super::joint::{Joint, NOISE_FLOORS};
use super::progress::Reporter;
use super::view::View;
use crate::{Error, Result};

/// The part of the way of a trajectory, in the space of the states, that is held out at a time.
const PART: f64 = 0.3;
/// The most work of all estimates, in units of about a nanosecond.
const WORK: f64 = 2e9;
/// The fewest grid points of a trajectory that are left to fit.
const FEWEST: usize = 20;
/// The error of a state, in its deviations, that counts for any larger one.
const LARGEST: f64 = 1.0;

/// Returns the error of the equations where they were not fitted: the root mean square of what they
/// leave of the data there over one period, in deviations of each state and in the mean of the
/// states.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn error(
    found: &Estimate<'_>,
    view: &View,
    progress: &mut Reporter<'_, '_>,
) -> Result<f64> {
    let View { grid, smooth, period, .. } = view;
    let scale = found.sizes();
    let k = found.rhs.states();
    let d = scale.len();
    let budget = Budget::new(WORK);
    let (mut squares, mut count) = (vec![0.0; k], vec![0.0; k]);
    for beginning in [true, false] {
        let split = split(grid, smooth, beginning);
        if split.iter().all(|(_, held)| held.is_empty()) {
            continue;
        }
        let fitted: Vec<Range<usize>> = split.iter().map(|(fitted, _)| fitted.clone()).collect();
        let part = grid.parts(&fitted);
        let trajectory: Vec<f64> = fitted
            .iter()
            .flat_map(|range| found.trajectory[range.start * d..range.end * d].to_vec())
            .collect();
        let estimate =
            Estimate { trajectory, covariance: vec![], discretization: vec![], ..found.clone() };
        let refitted = match refit(estimate, &part, smooth, &budget, progress) {
            Ok(refitted) => refitted,
            Err(Error::Data(_)) => return Ok(LARGEST),
            Err(error) => return Err(error),
        };
        for (_, held) in split {
            let values =
                ahead(&refitted.rhs, &found.trajectory, grid, held.clone(), *period, &scale);
            let rows = grid.observed[held.start * k..held.end * k].chunks_exact(k);
            for (measured, predicted) in rows.zip(values.chunks_exact(k)) {
                for state in (0..k).filter(|&state| !measured[state].is_nan()) {
                    let error = (measured[state] - predicted[state]) / smooth.deviation[state];
                    // The comparison that a NaN fails takes it for a large error.
                    let bounded = if error.abs() < LARGEST { error } else { LARGEST };
                    squares[state] += bounded * bounded;
                    count[state] += 1.0;
                }
            }
        }
    }
    let mean: f64 = squares.iter().zip(&count).map(|(s, n)| s / f64::max(*n, 1.0)).sum();
    Ok((mean / k as f64).sqrt())
}

/// Estimates the coefficients of the same terms anew.
fn refit<'a>(
    estimate: Estimate<'a>,
    grid: &'a Grid,
    smooth: &Smooth,
    budget: &Budget,
    progress: &mut Reporter<'_, '_>,
) -> Result<Estimate<'a>> {
    let mut joint = Joint::new(grid, smooth, estimate, &NOISE_FLOORS[1..], budget, progress)?;
    while joint.sharpen(progress)? {}
    Ok(joint.finish())
}

/// Returns, for each trajectory, the points that are fitted and those that are held out.
fn split(grid: &Grid, smooth: &Smooth, beginning: bool) -> Vec<(Range<usize>, Range<usize>)> {
    let k = smooth.deviation.len();
    let states = grid.sample(smooth, 1);
    let distance = |t: usize| -> f64 {
        let step = |j: usize| (states[(t + 1) * k + j] - states[t * k + j]) / smooth.deviation[j];
        (0..k).map(|j| step(j).powi(2)).sum::<f64>().sqrt()
    };
    let of_trajectory = |range: &Range<usize>| {
        let steps: Vec<f64> = (range.start..range.end - 1).map(distance).collect();
        let whole: f64 = steps.iter().sum();
        let mut way = 0.0;
        let length = |way: &mut f64, step: &f64| {
            *way += step;
            (*way <= PART * whole).then_some(())
        };
        let count = if beginning {
            steps.iter().scan(&mut way, |way, step| length(way, step)).count()
        } else {
            steps.iter().rev().scan(&mut way, |way, step| length(way, step)).count()
        };
        match (range.len() - count < FEWEST, beginning) {
            (true, _) => (range.clone(), range.end..range.end),
            (false, true) => (range.start + count..range.end, range.start..range.start + count),
            (false, false) => (range.start..range.end - count, range.end - count..range.end),
        }
    };
    grid.trajectories.iter().map(of_trajectory).collect()
}
