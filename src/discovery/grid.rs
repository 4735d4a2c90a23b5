//! The time grid on which the trajectories are estimated: the data's times, refined where the data
//! are coarse.

use std::ops::Range;

use super::data::Dataset;
use super::forcing::{Forcing, courses};
use super::library::Library;
use super::loss::Loss;
use super::settings::Interpolation;
use super::smoothing::{self, Spline};
use crate::{Error, Result};

/// The largest grid step, as a fraction of the time in which the states change noticeably (the
/// reciprocal ω⁻¹ of their angular frequency): the defect's error, (ωh)⁴/720 of a step, is then about 1e-6 at most.
const STEP: f64 = 0.15;
/// The grid steps that an interval may be longer than a whole number of them: ω is an estimate, and no
/// grid is twice as fine for the last digits of it.
const SLACK: f64 = 0.1;
/// The most steps that automatic refinement splits a sampling interval of median length into.
const MAX_REFINEMENT: f64 = 20.0;
/// The most grid points: more are refused, because their count times the number of coefficients
/// must fit in memory.
const MAX_POINTS: usize = 20_000_000;

/// A grid of M points of all trajectories, one trajectory after the other.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Times of the grid points (M).
    pub time: Vec<f64>,
    /// Measured values (M, K); NaN where nothing was measured.
    pub observed: Vec<f64>,
    /// What the noise of each value is in units of its state's, (M, K); of the measured values of a
    /// state the geometric mean is 1.
    pub spread: Vec<f64>,
    /// Range of points of each trajectory.
    pub trajectories: Vec<Range<usize>>,
    /// Median sampling interval.
    pub interval: f64,
    /// What the distance of a measured value from the trajectory costs.
    pub loss: Loss,
    /// What was subtracted from each state (K).
    pub offset: Vec<f64>,
    /// The inputs along the grid.
    pub forcing: Forcing,
    /// The course of each input between its values (I).
    pub interpolation: Vec<Interpolation>,
}

/// The splines through the data, and the noise and deviation estimated from them.
pub(super) struct Smooth {
    /// Splines of each trajectory, one for each state.
    pub splines: Vec<Vec<Spline>>,
    /// Standard deviation of each state's noise (K).
    pub noise: Vec<f64>,
    /// Standard deviation of each state (K).
    pub deviation: Vec<f64>,
    /// The state whose data each state comes from (K): itself, or for a hidden state, which comes after
    /// all that have data, the one of which it is a derivative.
    pub roots: Vec<usize>,
}

impl Smooth {
    /// Returns the number of states with data.
    pub fn measured(&self) -> usize {
        self.roots.iter().enumerate().take_while(|(state, root)| state == *root).count()
    }
}

/// Fits smoothing splines to valid data; with another loss than squares, what lies far from them
/// counts less in them, and in the deviation.
///
/// # Errors
/// [`Error::Data`] if a state never changes.
pub(super) fn smooth(data: &Dataset, loss: Loss) -> Result<Smooth> {
    let smooth = splines(data, loss)?;
    match smooth.deviation.iter().position(|deviation| *deviation == 0.0) {
        Some(state) => Err(Error::Data(format!("`{}` never changes", data.states[state]))),
        None => Ok(smooth),
    }
}

/// Smooths each state, even one that never changes.
///
/// # Errors
/// [`Error::Data`] if a state cannot be smoothed.
pub(super) fn splines(data: &Dataset, loss: Loss) -> Result<Smooth> {
    let k = data.states.len();
    let mut smooth = Smooth {
        splines: vec![Vec::new(); data.trajectories.len()],
        noise: vec![],
        deviation: vec![],
        roots: (0..k).collect(),
    };
    for state in 0..k {
        let mut series: Vec<(Vec<f64>, Vec<f64>)> = data
            .trajectories
            .iter()
            .map(|trajectory| {
                let values = trajectory.values.iter().skip(state).step_by(k);
                let points = trajectory.time.iter().zip(values);
                points.filter(|(_, x)| !x.is_nan()).map(|(t, x)| (*t, *x)).unzip()
            })
            .collect();
        let smoothed = match loss {
            Loss::Squares => smoothing::smooth(&series),
            Loss::Huber => smoothing::smooth_robustly(&mut series),
        };
        if !(smoothed.noise.is_finite() && smoothed.splines.iter().all(Spline::is_finite)) {
            return Err(too_near(&data.states[state], &series));
        }
        for (splines, spline) in smooth.splines.iter_mut().zip(smoothed.splines) {
            splines.push(spline);
        }
        smooth.noise.push(smoothed.noise);
        smooth.deviation.push(deviation(series.iter().flat_map(|(_, x)| x)));
    }
    Ok(smooth)
}

/// Returns the error that a state cannot be smoothed: with steps of very unequal lengths, the
/// shortest leave no digits to the others.
fn too_near(state: &str, series: &[(Vec<f64>, Vec<f64>)]) -> Error {
    let pairs = series.iter().flat_map(|(time, _)| time.windows(2)).map(|pair| [pair[0], pair[1]]);
    let nearest = pairs.min_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])));
    let [before, after] = nearest.unwrap_or_default();
    Error::Data(format!(
        "`{state}` cannot be smoothed: its times {before} and {after} are too near to each other, \
         compared with the rest; leave one of them out"
    ))
}

/// Returns the standard deviation of the values.
pub(super) fn deviation<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt()
}

impl Grid {
    /// Makes a grid of the data's times with each interval split into `refinement` steps, or into
    /// as many as the smoothed data need.
    ///
    /// # Errors
    /// [`Error::Argument`] if the grid has more points than fit in memory.
    pub fn new(data: &Dataset, smooth: &Smooth, refinement: Option<usize>) -> Result<Self> {
        let intervals = || data.trajectories.iter().flat_map(|t| t.time.windows(2));
        let mut lengths: Vec<f64> = intervals().map(|pair| pair[1] - pair[0]).collect();
        lengths.sort_by(f64::total_cmp);
        let interval = lengths[lengths.len() / 2];
        let step = (STEP / fastest_rate(data, smooth)).max(interval / MAX_REFINEMENT);
        let parts =
            |length: f64| refinement.unwrap_or((length / step - SLACK).ceil().max(1.0) as usize);
        let points = lengths.iter().map(|length| parts(*length)).fold(0, usize::saturating_add);
        if points > MAX_POINTS {
            let message = format!("the grid would have {points} points; {MAX_POINTS} are allowed");
            return Err(Error::argument("grid_refinement", message));
        }

        let k = data.states.len();
        let mut grid = Grid {
            time: vec![],
            observed: vec![],
            spread: vec![],
            trajectories: vec![],
            interval,
            loss: Loss::default(),
            offset: vec![0.0; k],
            forcing: Forcing::default(),
            interpolation: vec![],
        };
        for trajectory in &data.trajectories {
            let start = grid.time.len();
            for (i, &time) in trajectory.time.iter().enumerate() {
                grid.time.push(time);
                grid.observed.extend_from_slice(&trajectory.values[i * k..][..k]);
                let Some(next) = trajectory.time.get(i + 1) else { continue };
                let parts = parts(next - time);
                for part in 1..parts {
                    grid.time.push(time + (next - time) * part as f64 / parts as f64);
                    grid.observed.extend(std::iter::repeat_n(f64::NAN, k));
                }
            }
            grid.trajectories.push(start..grid.time.len());
        }
        grid.spread = vec![1.0; grid.observed.len()];
        Ok(grid)
    }

    /// Returns the grid with the inputs of the data along it, as [`courses`] has them.
    pub fn with_inputs(mut self, data: &Dataset, asked: Option<Interpolation>) -> Self {
        self.interpolation = courses(data, asked);
        for (index, range) in self.trajectories.iter().enumerate() {
            let time = &self.time[range.clone()];
            self.forcing.extend(Forcing::new(data, index, &self.interpolation, time));
        }
        self
    }

    /// Returns the arguments of a library's terms at the grid points, (M, A): the variables, which
    /// are `states` (M, D), and the inputs at the beginning of each step.
    pub fn arguments(&self, library: &Library, states: &[f64]) -> Vec<f64> {
        let e = library.inputs().len();
        if e == 0 {
            return states.to_vec();
        }
        let (mut begin, mut end) = (vec![0.0; e], vec![0.0; e]);
        let mut arguments = Vec::with_capacity(states.len() + e * self.points());
        for (t, state) in states.chunks_exact(library.variables().len()).enumerate() {
            self.forcing.step(library, &self.time, t, [&mut begin, &mut end]);
            arguments.extend_from_slice(state);
            arguments.extend_from_slice(&begin);
        }
        arguments
    }

    /// Returns the grid of a range of points of each trajectory.
    pub fn parts(&self, ranges: &[Range<usize>]) -> Self {
        let k = self.offset.len();
        let (mut time, mut trajectories) = (vec![], vec![]);
        let (mut observed, mut spread) = (vec![], vec![]);
        let mut forcing = Forcing::default();
        for range in ranges {
            let start = time.len();
            time.extend_from_slice(&self.time[range.clone()]);
            observed.extend_from_slice(&self.observed[range.start * k..range.end * k]);
            spread.extend_from_slice(&self.spread[range.start * k..range.end * k]);
            forcing.extend(self.forcing.part(range.clone()));
            trajectories.push(start..time.len());
        }
        Grid { time, observed, spread, trajectories, forcing, ..self.clone() }
    }

    /// Returns the grid without those values that hardly count: that lie far from the trajectory
    /// `states` (M, D) for this noise (K).
    pub fn without_outliers(&self, states: &[f64], noise: &[f64]) -> Self {
        let (k, d) = (noise.len(), states.len() / self.points());
        let mut grid = self.clone();
        for (t, state) in states.chunks_exact(d).enumerate() {
            for (j, noise) in noise.iter().enumerate() {
                let value = t * k + j;
                let distance = (self.observed[value] - state[j]) / (noise * self.spread[value]);
                if self.loss.hardly_counts(distance) {
                    grid.observed[value] = f64::NAN;
                }
            }
        }
        grid
    }

    /// Returns the root mean square of the noise of a state's measured values, of which `noise` is the
    /// geometric mean.
    pub fn mean_noise(&self, noise: f64, state: usize) -> f64 {
        let k = self.offset.len();
        let values = self.observed.iter().zip(&self.spread).skip(state).step_by(k);
        let (sum, count) = values
            .filter(|(x, _)| !x.is_nan())
            .fold((0.0, 0.0), |(sum, count), (_, spread)| (sum + spread * spread, count + 1.0));
        if count > 0.0 { noise * (sum / count).sqrt() } else { noise }
    }

    /// Returns the number M of grid points.
    pub fn points(&self) -> usize {
        self.time.len()
    }

    /// Returns −2 log likelihood of a state's data, up to a constant, if `noise` (K) is the geometric
    /// mean of the deviations of the residuals.
    pub fn misfit(&self, noise: &[f64], state: usize) -> f64 {
        let observed = self.observed.iter().skip(state).step_by(noise.len());
        2.0 * observed.filter(|x| !x.is_nan()).count() as f64 * noise[state].ln()
    }

    /// Returns the length of the step from each point to the next (M), which is zero at the end of
    /// a trajectory.
    pub fn steps(&self) -> Vec<f64> {
        let mut steps = vec![0.0; self.points()];
        for range in &self.trajectories {
            for t in range.start..range.end - 1 {
                steps[t] = self.time[t + 1] - self.time[t];
            }
        }
        steps
    }

    /// Returns the splines' derivatives of this order at the grid points: (M, K).
    pub fn slopes(&self, smooth: &Smooth, order: usize) -> Vec<f64> {
        let mut slopes = Vec::with_capacity(self.observed.len());
        for (range, splines) in self.trajectories.iter().zip(&smooth.splines) {
            for &time in &self.time[range.clone()] {
                slopes.extend(splines.iter().map(|spline| spline.at(time)[order]));
            }
        }
        slopes
    }

    /// Returns the splines' values at the grid points, followed by their slopes for order 2: (M,
    /// D).
    pub fn sample(&self, smooth: &Smooth, order: usize) -> Vec<f64> {
        let mut states = Vec::with_capacity(self.observed.len() * order);
        for (range, splines) in self.trajectories.iter().zip(&smooth.splines) {
            for &time in &self.time[range.clone()] {
                for derivative in 0..order {
                    states.extend(splines.iter().map(|spline| spline.at(time)[derivative]));
                }
            }
        }
        states
    }
}

/// Returns the largest root mean square of u'' relative to that of u' among the states, an angular
/// frequency.
pub(super) fn fastest_rate(data: &Dataset, smooth: &Smooth) -> f64 {
    let rate = |state: usize| {
        let (mut slopes, mut curvatures) = (0.0, 0.0);
        for (trajectory, splines) in data.trajectories.iter().zip(&smooth.splines) {
            for pair in trajectory.time.windows(2) {
                let [_, slope, curvature] = splines[state].at(0.5 * (pair[0] + pair[1]));
                slopes += slope * slope * (pair[1] - pair[0]);
                curvatures += curvature * curvature * (pair[1] - pair[0]);
            }
        }
        if slopes > 0.0 { (curvatures / slopes).sqrt() } else { 0.0 }
    };
    (0..data.states.len()).map(rate).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::data::Trajectory;

    fn waves(step: f64) -> Dataset {
        let time: Vec<f64> = (0..60).map(|i| step * f64::from(i)).collect();
        let mut values: Vec<f64> = time.iter().map(|t| t.sin()).collect();
        values[7] = f64::NAN;
        let one = Trajectory { time, values, ..Trajectory::default() };
        Dataset {
            states: vec!["x".into()],
            trajectories: vec![one.clone(), one],
            ..Dataset::default()
        }
    }

    #[test]
    fn coarse_data_get_a_finer_grid() {
        let points = |step: f64, refinement| {
            let data = waves(step);
            Grid::new(&data, &smooth(&data, Loss::Squares).unwrap(), refinement).unwrap()
        };
        assert_eq!(points(0.1, None).points(), 120);
        let fine = points(0.4, None);
        assert_eq!(fine.trajectories, [0..59 * 3 + 1, 59 * 3 + 1..2 * (59 * 3 + 1)]);
        assert_eq!(fine.observed.iter().filter(|x| !x.is_nan()).count(), 2 * 59);
        assert!((fine.time[4] - 0.4 * 4.0 / 3.0).abs() < 1e-12);
        let steps = fine.steps();
        assert_eq!(steps[59 * 3], 0.0);
        assert!(steps[..59 * 3].iter().all(|h| (h - 0.4 / 3.0).abs() < 1e-9));
        assert_eq!(points(0.1, Some(4)).points(), 2 * (59 * 4 + 1));
    }
}
