//! Time series of systems whose equations are known.

use mechanistic::discovery::{Dataset, Trajectory};
use mechanistic::nn::Rng;
use mechanistic::{Error, Result};

/// A system with known equations.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    /// Names of the states.
    pub states: &'static [&'static str],
    /// The equations, to be printed.
    pub equations: &'static str,
    /// Writes u' at u.
    pub field: fn(&[f64], &mut [f64]),
}

/// Returns noise-free trajectories from these initial states, `points` points `dt` apart, exact to
/// nearly the last digit.
///
/// # Errors
/// [`Error::Data`] when a solution blows up.
pub fn trajectories(
    truth: &Truth,
    initial: &[Vec<f64>],
    dt: f64,
    points: usize,
) -> Result<Dataset> {
    let trajectory = |initial: &Vec<f64>| {
        let states = systems::trajectory(&truth.field, initial, dt, points);
        let values = states.ok_or_else(|| {
            Error::Data(format!("the solution from {initial:?} grows beyond all bounds"))
        })?;
        let time = (0..points).map(|i| dt * i as f64).collect();
        Ok(Trajectory { time, values: values.concat() })
    };
    Ok(Dataset {
        states: truth.states.iter().map(|name| name.to_string()).collect(),
        trajectories: initial.iter().map(trajectory).collect::<Result<_>>()?,
    })
}

/// Returns the same data with normal noise, whose deviation is the fraction `relative` of each
/// state's own.
#[must_use]
pub fn noisy(data: &Dataset, relative: f64, rng: &mut Rng) -> Dataset {
    let k = data.states.len();
    let deviation: Vec<f64> = (0..k)
        .map(|state| {
            let values =
                data.trajectories.iter().flat_map(|t| t.values.iter().skip(state).step_by(k));
            let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for value in values {
                (count, sum, squares) = (count + 1.0, sum + value, squares + value * value);
            }
            (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
        })
        .collect();
    let mut noisy = data.clone();
    for trajectory in &mut noisy.trajectories {
        for (value, deviation) in trajectory.values.iter_mut().zip(deviation.iter().cycle()) {
            *value += relative * deviation * rng.normal();
        }
    }
    noisy
}

/// Returns two columns of rows of `k` values as points: for a phase portrait.
#[must_use]
pub fn column(values: &[f64], k: usize, x: usize, y: usize) -> Vec<(f64, f64)> {
    values.chunks_exact(k).map(|row| (row[x], row[y])).collect()
}
