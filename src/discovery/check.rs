//! The check of a fit, which every discovery gets: whether the equations reproduce the data, and
//! whether what they leave is noise.

use std::ops::Range;

use super::equation::Fit;
use super::estimate::Estimate;
use super::grid::{Grid, Smooth};
use super::right_hand_side::RightHandSide;
use super::simulate::trajectory;

/// The fraction of a state's variance that equations must explain over one period.
const EXPLAINED: f64 = 0.9;
/// How many times the noise of the smoothed data the residuals may be where the former is all that
/// keeps the equations from explaining more.
const NOISES: f64 = 2.0;
/// The correlation of neighboring residuals beyond which they are no noise, by itself and in its
/// standard deviations.
const CORRELATED: f64 = 0.5;
const DEVIATIONS: f64 = 6.0;
/// The smallest residuals, as a fraction of a state's deviation, that are judged.
const JUDGED: f64 = 1e-4;

/// The distance, in deviations of a state and at least in so many times its noise, by which it must rise
/// and also fall to turn back.
const TURN: f64 = 1.0;
const NOISY: f64 = 3.0;

/// How well equations reproduce the data.
pub(super) struct Check {
    /// The fraction of the variance of each state with data that the simulated trajectories explain;
    /// NaN where one blows up.
    pub explained: Vec<f64>,
    /// What the reader must know, in words.
    pub warnings: Vec<String>,
}

/// Checks the estimate against the data. `fits` are those of the grid's trajectories, `period` is
/// the shortest of the motion, and `scale` (D) the usual size of each state.
pub(super) fn check(
    found: &Estimate<'_>,
    grid: &Grid,
    smooth: &Smooth,
    fits: &[Fit],
    period: f64,
    scale: &[f64],
) -> Check {
    let k = found.rhs.states();
    let of_all = |values: fn(&Fit) -> &Vec<f64>| -> Vec<f64> {
        fits.iter().flat_map(values).copied().collect()
    };
    let (simulated, smoothed) = (of_all(|fit| &fit.simulated), of_all(|fit| &fit.smoothed));
    let ahead = one_period_ahead(found, grid, period, scale);
    let errors = root_mean_squares(grid, &ahead, k);
    let over_a_period = explained(grid, &ahead, k);
    let mut warnings = Vec::new();
    // An equation without terms is a warning of its own.
    let mut with_terms: Vec<usize> = found.candidates.free().iter().map(|p| p.equation).collect();
    with_terms.dedup();
    for equation in with_terms {
        // What the equation of a hidden state explains are the data that it comes from.
        let (lhs, state) = (found.rhs.lhs(equation), smooth.roots[equation]);
        let name = &found.rhs.library.variables()[state];
        // Comparisons that a NaN fails, so that a blow-up is poor.
        let good = over_a_period[state] >= EXPLAINED;
        let noisy = errors[state] <= NOISES * smooth.noise[state];
        if !(good || noisy) {
            warnings.push(format!(
                "the fit of {lhs} is poor: simulated over one period from the smoothed states, the \
                 equations explain {} of the variance of `{name}`; terms may be missing, or an input \
                 (inputs), or the time (explicit_time)",
                percent(over_a_period[state])
            ));
            continue;
        }
        let (correlation, count) = neighbors(grid, &smoothed, k, state);
        let noise = grid.mean_noise(found.noise[state], state);
        let judged = noise > JUDGED * smooth.deviation[state];
        if judged && correlation > CORRELATED.max(DEVIATIONS / count.sqrt()) {
            warnings.push(format!(
                "what {lhs} leaves of `{name}` is no noise: neighboring residuals are correlated \
                 ({correlation:.2}), and their deviation is {:.1e}, while that of the smoothed \
                 data is {:.1e}; terms may be missing",
                noise, smooth.noise[state]
            ));
        }
    }
    let mut explained = explained(grid, &simulated, k);
    explained.truncate(smooth.measured());
    Check { explained, warnings }
}

/// Returns whether the only state rises and falls through the same values, which it cannot by an equation
/// of first order without the time and inputs.
pub(super) fn turns_back(rhs: &RightHandSide<'_>, grid: &Grid, smooth: &Smooth) -> bool {
    if rhs.library.variables().len() > 1 || !rhs.library.inputs().is_empty() {
        return false;
    }
    let states = grid.sample(smooth, 1);
    let far = TURN * smooth.deviation[0].max(NOISY * smooth.noise[0]);
    grid.trajectories.iter().any(|range| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut rise, mut fall) = (0.0_f64, 0.0_f64);
        for &x in &states[range.clone()] {
            (low, high) = (low.min(x), high.max(x));
            (rise, fall) = (rise.max(x - low), fall.max(high - x));
        }
        rise > far && fall > far
    })
}

fn percent(fraction: f64) -> String {
    match fraction {
        f if f.is_nan() => "nothing (they blow up)".into(),
        f if f < 0.0 => "nothing".into(),
        f => format!("{:.0} %", 100.0 * f),
    }
}

/// Returns the states at the grid points (M, K) that follow from the smoothed ones at the beginning
/// of every period.
fn one_period_ahead(found: &Estimate<'_>, grid: &Grid, period: f64, scale: &[f64]) -> Vec<f64> {
    let of = |range: &Range<usize>| {
        ahead(&found.rhs, &found.trajectory, grid, range.clone(), period, scale)
    };
    grid.trajectories.iter().flat_map(of).collect()
}

/// Returns the states at a range of grid points of one trajectory (…, K) that the equations predict
/// from those of `states` (M, D) at the beginning of every period.
pub(super) fn ahead(
    rhs: &RightHandSide<'_>,
    states: &[f64],
    grid: &Grid,
    range: Range<usize>,
    period: f64,
    scale: &[f64],
) -> Vec<f64> {
    let d = scale.len();
    let mut ahead = Vec::with_capacity(range.len() * rhs.states());
    let mut start = range.start;
    while start < range.end {
        let within = |t: &usize| grid.time[*t] <= grid.time[start] + period;
        let end = (start + 1..range.end).take_while(within).last().unwrap_or(start) + 1;
        let state = &states[start * d..][..d];
        let forcing = grid.forcing.part(start..end);
        ahead.extend(trajectory(rhs, state, &grid.time[start..end], &forcing, scale));
        start = end;
    }
    ahead
}

/// Returns the pairs of measured and computed values of a state; `values` are (M, K).
fn pairs<'a>(
    grid: &'a Grid,
    values: &'a [f64],
    k: usize,
    state: usize,
) -> impl Iterator<Item = (f64, f64)> + Clone + 'a {
    let measured = grid.observed.iter().skip(state).step_by(k);
    let pairs = measured.zip(values.iter().skip(state).step_by(k));
    pairs.filter(|(x, _)| !x.is_nan()).map(|(x, u)| (*x, *u))
}

/// Returns the fraction explained of each state.
fn explained(grid: &Grid, values: &[f64], k: usize) -> Vec<f64> {
    (0..k).map(|state| fraction_explained(pairs(grid, values, k, state))).collect()
}

/// Returns 1 − Σ(x − u)² / Σ(x − mean)² of pairs of measured and computed values (x, u); NaN where
/// the measured values are all the same, so that there is nothing to explain.
pub(super) fn fraction_explained(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = pairs.clone().count() as f64;
    let mean = pairs.clone().map(|(x, _)| x).sum::<f64>() / count;
    let whole: f64 = pairs.clone().map(|(x, _)| (x - mean).powi(2)).sum();
    let left: f64 = pairs.map(|(x, u)| (x - u).powi(2)).sum();
    if whole > 0.0 { 1.0 - left / whole } else { f64::NAN }
}

fn root_mean_squares(grid: &Grid, values: &[f64], k: usize) -> Vec<f64> {
    let of = |state: usize| {
        let pairs = pairs(grid, values, k, state);
        let count = pairs.clone().count() as f64;
        (pairs.map(|(x, u)| (x - u).powi(2)).sum::<f64>() / count).sqrt()
    };
    (0..k).map(of).collect()
}

/// Returns the correlation of neighboring residuals of a state, and the number of neighbors.
fn neighbors(grid: &Grid, smoothed: &[f64], k: usize, state: usize) -> (f64, f64) {
    let residuals: Vec<f64> = pairs(grid, smoothed, k, state).map(|(x, u)| x - u).collect();
    let squares: f64 = residuals.iter().map(|r| r * r).sum();
    let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    (products / squares, residuals.len() as f64)
}
