//! The grid cut into windows of equal length, which are solved as one batch.

use std::f64::consts::TAU;

use crate::discovery::data::Dataset;
use crate::discovery::estimate::Estimate;
use crate::discovery::grid::{Grid, Smooth, fastest_rate};

/// The least number of sampling intervals of a window, which lasts at least one period of the
/// fastest motion: the shorter it is, the more of the data its free initial values use up.
pub(super) const INTERVALS: usize = 50;
/// The most grid steps of a window.
const MOST_STEPS: usize = 1000;
/// The factor by which windows grow.
const LONGER: usize = 4;
/// The solver's unit of time in grid steps: the solver's rows hold powers of the step in that unit,
/// which should be below 1 but not so small that the powers lose digits.
const STEPS_PER_UNIT: f64 = 10.0;

/// The grid cut into W windows of N grid points. Neighboring windows share one point, which counts
/// as observed in the first of them. A window that reaches beyond the end of its trajectory repeats
/// the last point, unobserved.
pub(super) struct Windows {
    /// The number W of windows.
    pub count: usize,
    /// The number N of grid points in each.
    pub points: usize,
    /// The grid point of each slot (W, N).
    pub place: Vec<usize>,
    /// The steps (W, N−1), in the solver's unit of time.
    pub steps: Vec<f64>,
    /// The measured values (W, N, K) in the solver's units, NaN where there is none.
    pub observed: Vec<f64>,
    /// The states (W, N, D) along which the windows were cut, in the data's units.
    pub path: Vec<f64>,
    /// Units of the solver.
    pub unit: Unit,
}

/// The solver's units: states in standard deviations, time in a few grid steps.
#[derive(Clone, Debug)]
pub(in crate::discovery) struct Unit {
    /// Standard deviation of each state (K).
    pub deviation: Vec<f64>,
    /// Length of the unit of time.
    pub time: f64,
    /// The order m of the equation.
    pub order: usize,
}

impl Unit {
    /// Returns the number K of states.
    pub fn states(&self) -> usize {
        self.deviation.len()
    }

    /// Returns the unit of the j-th derivative of state k.
    pub fn of(&self, k: usize, j: usize) -> f64 {
        self.deviation[k] / self.time.powi(j as i32)
    }

    /// Returns the unit of component i of the state.
    pub fn of_component(&self, i: usize) -> f64 {
        self.of(i % self.states(), i / self.states())
    }

    /// Returns the number D = m·K of components of a state: u, for order 2 then u'.
    pub fn components(&self) -> usize {
        self.states() * self.order
    }
}

impl Windows {
    /// Makes windows of the first length, along the smoothed data.
    pub fn new(data: &Dataset, grid: &Grid, smooth: &Smooth, order: usize) -> Self {
        let sampled: usize = data.trajectories.iter().map(|t| t.time.len()).sum();
        let refinement = (grid.points() as f64 / sampled as f64).round().max(1.0);
        let step = grid.interval / refinement;
        let steps = (INTERVALS as f64 * refinement).max(TAU / (fastest_rate(data, smooth) * step));
        let unit = Unit { deviation: smooth.deviation.clone(), time: STEPS_PER_UNIT * step, order };
        Windows::cut(grid, unit, &grid.sample(smooth, order), steps as usize)
    }

    /// Makes longer windows along a trajectory (M, D); returns `None` if there are none.
    pub fn longer(&self, grid: &Grid, trajectory: &[f64]) -> Option<Self> {
        let longer = Windows::cut(grid, self.unit.clone(), trajectory, LONGER * (self.points - 1));
        (longer.points > self.points).then_some(longer)
    }

    /// Cuts every trajectory of the grid into windows of this many steps along `states` (M, D).
    fn cut(grid: &Grid, unit: Unit, states: &[f64], steps: usize) -> Self {
        let (k, d) = (unit.states(), unit.components());
        let longest = grid.trajectories.iter().map(ExactSizeIterator::len).max().unwrap_or(2);
        let points = (steps.min(MOST_STEPS) + 1).min(longest);
        let mut windows = Windows {
            count: 0,
            points,
            place: vec![],
            steps: vec![],
            observed: vec![],
            path: vec![],
            unit,
        };
        for range in &grid.trajectories {
            let mut start = range.start;
            while start + 1 < range.end {
                windows.count += 1;
                for slot in start..start + points {
                    let place = slot.min(range.end - 1);
                    windows.place.push(place);
                    windows.path.extend_from_slice(&states[place * d..][..d]);
                    // The first point of a later window was observed at the end of the window
                    // before.
                    let counts = slot < range.end && (slot > start || start == range.start);
                    windows.observe(&grid.observed[place * k..][..k], counts);
                    if slot > start {
                        let step = if slot < range.end {
                            (grid.time[slot] - grid.time[slot - 1]) / windows.unit.time
                        } else {
                            1.0 / STEPS_PER_UNIT
                        };
                        windows.steps.push(step);
                    }
                }
                start += points - 1;
            }
        }
        windows
    }

    fn observe(&mut self, values: &[f64], counts: bool) {
        let scaled = values.iter().zip(&self.unit.deviation).map(|(x, deviation)| x / deviation);
        self.observed.extend(scaled.map(|x| if counts { x } else { f64::NAN }));
    }

    /// Returns the estimate with the path of these windows as its trajectory.
    pub fn along<'e>(&self, estimate: Estimate<'e>) -> Estimate<'e> {
        Estimate { trajectory: self.path.clone(), starts: self.starts(), ..estimate }
    }

    /// Returns the states of the path at the start of every window, in the solver's units (W, K,
    /// m).
    fn starts(&self) -> Vec<f64> {
        let (k, d) = (self.unit.states(), self.unit.components());
        let first = self.path.chunks_exact(self.points * d).map(|window| &window[..d]);
        let start = |state: &[f64]| -> Vec<f64> {
            let component = |at: usize| at % self.unit.order * k + at / self.unit.order;
            (0..d).map(|at| state[component(at)] / self.unit.of_component(component(at))).collect()
        };
        first.flat_map(start).collect()
    }

    /// Returns the part of one window in an array (W, …).
    pub fn of<'v>(&self, window: usize, values: &'v [f64]) -> &'v [f64] {
        let size = values.len() / self.count;
        &values[window * size..][..size]
    }

    /// Returns the trajectory on the grid (M, D) from its windows (W, N, D); a point that neighbors
    /// share is taken from the earlier one.
    pub fn join(&self, values: &[f64], grid_points: usize) -> Vec<f64> {
        let d = self.unit.components();
        let mut joined = vec![0.0; grid_points * d];
        for (&place, state) in self.place.iter().zip(values.chunks_exact(d)).rev() {
            joined[place * d..][..d].copy_from_slice(state);
        }
        joined
    }

    /// Returns the number of values of a state that are counted as observed.
    pub fn measured(&self, state: usize) -> usize {
        let values = self.observed.iter().skip(state).step_by(self.unit.states());
        values.filter(|x| !x.is_nan()).count()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::discovery::data::Trajectory;
    use crate::discovery::grid::smooth;
    use crate::discovery::loss::Loss;
    use crate::nn::Rng;

    /// Damped oscillations x' = −0.1x + 2y, y' = −2x − 0.1y with noise 0.01 and a gap.
    pub fn oscillations() -> Dataset {
        let mut rng = Rng::new(1);
        let mut trajectory = |points: usize, amplitude: f64| {
            let time: Vec<f64> = (0..points).map(|i| 0.05 * i as f64).collect();
            let state = |t: &f64| {
                let size = amplitude * (-0.1 * t).exp();
                [size * (2.0 * t).cos(), -size * (2.0 * t).sin()]
            };
            let exact = time.iter().flat_map(state);
            let mut values: Vec<f64> = exact.map(|x| x + 0.01 * rng.normal()).collect();
            values[7] = f64::NAN;
            Trajectory { time, values, ..Trajectory::default() }
        };
        let trajectories = vec![trajectory(230, 2.0), trajectory(30, 1.0)];
        Dataset { states: vec!["x".into(), "y".into()], trajectories, ..Dataset::default() }
    }

    #[test]
    fn every_value_counts_once_and_windows_join_to_the_trajectory() {
        let data = oscillations();
        let smooth = smooth(&data, Loss::Squares).unwrap();
        let grid = Grid::new(&data, &smooth, Some(2)).unwrap();
        let windows = Windows::new(&data, &grid, &smooth, 2);
        // A period of the motion, π, is longer than 50 intervals of 0.05.
        assert!((120..130).contains(&windows.points), "{}", windows.points);
        let steps = windows.points - 1;
        assert_eq!(windows.count, 458_usize.div_ceil(steps) + 1);
        assert_eq!((windows.measured(0), windows.measured(1)), (260, 258));
        assert!((windows.unit.time - 0.25).abs() < 1e-12);
        assert!(windows.steps.iter().all(|step| (step - 0.1).abs() < 1e-9));
        let states = grid.sample(&smooth, 2);
        assert_eq!(windows.join(&windows.path, grid.points()), states);
        // (K, m): x, x', y, y' in the solver's units.
        let start = &windows.starts()[..4];
        for (at, i) in [0, 2, 1, 3].into_iter().enumerate() {
            assert_eq!(start[at], states[i] / windows.unit.of_component(i));
        }
    }

    #[test]
    fn windows_grow_up_to_the_longest_trajectory() {
        let data = oscillations();
        let smooth = smooth(&data, Loss::Squares).unwrap();
        let grid = Grid::new(&data, &smooth, Some(1)).unwrap();
        let short = Windows::new(&data, &grid, &smooth, 1);
        let longer = short.longer(&grid, &grid.sample(&smooth, 1)).unwrap();
        assert_eq!((longer.points, longer.count), (230, 2));
        assert_eq!(longer.measured(0), short.measured(0));
        assert!(longer.longer(&grid, &grid.sample(&smooth, 1)).is_none());
    }
}
