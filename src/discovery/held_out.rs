//! The prediction of data that equations were not fitted to: rich models may follow all data and
//! still predict wrongly.
//!
//! Each trajectory loses a stretch at its beginning, or else at its end; of several that are too
//! short for that, whole ones are held out. The coefficients are estimated anew from the rest, and
//! simulated over what was held out, from the states that were estimated with all data. The terms
//! were chosen with all data too, so that the error compares models, and is not one of untouched
//! data.

use std::ops::Range;

use super::budget::{Budget, work};
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
/// The most work of all estimates, in units of about a nanosecond, and the linearizations that may be
/// done even if they are more work.
const WORK: f64 = 2e9;
const LINEARIZATIONS: f64 = 200.0;
/// The fewest grid points of a trajectory that are left to fit, or of all of them where whole ones are
/// held out.
const FEWEST: usize = 20;
/// Of trajectories that are too short, every so many-th is held out at a time.
const EVERY: usize = 3;
/// The error of a state, in its deviations, that counts for any larger one.
const LARGEST: f64 = 1.0;

/// What is known about equations where they were not fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HeldOut {
    /// The root mean square of what they leave of the data there over one period, in deviations of
    /// each state and in the mean of the states.
    Error(f64),
    /// The data are too few to hold any out.
    TooFew,
    /// The estimates without what is held out took too long.
    CutShort,
}

/// Returns how well the equations predict where they were not fitted.
///
/// # Errors
/// [`Error::Interrupted`].
pub(super) fn error(
    found: &Estimate<'_>,
    view: &View,
    progress: &mut Reporter<'_, '_>,
) -> Result<HeldOut> {
    let View { grid, smooth, period, .. } = view;
    let scale = found.sizes();
    let k = found.rhs.states();
    let d = scale.len();
    let unknowns = d + found.candidates.kept.len();
    let budget = Budget::new(WORK.max(LINEARIZATIONS * work(grid.points(), unknowns)));
    // Outliers count like any other large error, and would hide the others.
    let judged = grid.without_outliers(&found.trajectory, &found.noise);
    let (mut squares, mut count) = (vec![0.0; k], vec![0.0; k]);
    for beginning in [true, false] {
        let split = split(grid, smooth, beginning);
        if split.iter().all(|(_, held)| held.is_empty()) {
            continue;
        }
        let fitted: Vec<Range<usize>> =
            split.iter().map(|(fitted, _)| fitted.clone()).filter(|f| !f.is_empty()).collect();
        if fitted.iter().map(ExactSizeIterator::len).sum::<usize>() < FEWEST {
            return Ok(HeldOut::TooFew);
        }
        let part = grid.parts(&fitted);
        let trajectory: Vec<f64> = fitted
            .iter()
            .flat_map(|range| found.trajectory[range.start * d..range.end * d].to_vec())
            .collect();
        let estimate =
            Estimate { trajectory, covariance: vec![], discretization: vec![], ..found.clone() };
        let refitted = match refit(estimate, &part, smooth, &budget, progress) {
            Ok(refitted) => refitted,
            Err(Error::Data(_)) if budget.is_spent() => return Ok(HeldOut::CutShort),
            Err(Error::Data(_)) => return Ok(HeldOut::Error(LARGEST)),
            Err(error) => return Err(error),
        };
        for (_, held) in split {
            let values =
                ahead(&refitted.rhs, &found.trajectory, grid, held.clone(), *period, &scale);
            let rows = judged.observed[held.start * k..held.end * k].chunks_exact(k);
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
    let measured: Vec<f64> =
        squares.iter().zip(&count).filter(|(_, n)| **n > 0.0).map(|(s, n)| s / n).collect();
    if measured.is_empty() {
        return Ok(HeldOut::TooFew);
    }
    Ok(HeldOut::Error((measured.iter().sum::<f64>() / measured.len() as f64).sqrt()))
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
    let several = grid.trajectories.len() > 1;
    let mut short = 0;
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
            (true, _) => {
                let is_held = several && short % EVERY == usize::from(beginning);
                short += 1;
                let middle = if is_held { range.end } else { range.start };
                (middle..range.end, range.start..middle)
            }
            (false, true) => (range.start + count..range.end, range.start..range.start + count),
            (false, false) => (range.start..range.end - count, range.end - count..range.end),
        }
    };
    grid.trajectories.iter().map(of_trajectory).collect()
}
