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

/// Returns the largest of some sizes; NaN if one is NaN, so that nothing that failed looks small.
#[must_use]
pub fn largest(sizes: impl IntoIterator<Item = f64>) -> f64 {
    let larger = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
    sizes.into_iter().fold(0.0, larger)
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
        Ok(Trajectory { time, values: values.concat(), ..Trajectory::default() })
    };
    Ok(Dataset {
        states: truth.states.iter().map(|name| name.to_string()).collect(),
        trajectories: initial.iter().map(trajectory).collect::<Result<_>>()?,
        ..Dataset::default()
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

/// Returns the root mean square of the difference, relative to that of the second.
#[must_use]
pub fn relative_rms(found: &[f64], truth: &[f64]) -> f64 {
    let difference: f64 = found.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum();
    (difference / truth.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

/// Returns the error of the positions, the first halves of states (N, `width`), as [`relative_rms`]
/// does.
#[must_use]
pub fn position_error(width: usize, found: &[f64], truth: &[f64]) -> f64 {
    let positions = |states: &[f64]| -> Vec<f64> {
        states.chunks_exact(width).flat_map(|u| u[..width / 2].to_vec()).collect()
    };
    relative_rms(&positions(found), &positions(truth))
}

/// Reads one trajectory from comma-separated text: a header row, the time first.
///
/// # Errors
/// [`Error::Data`] naming the line that does not hold as many numbers as the header names.
pub fn dataset(text: &str) -> Result<Dataset> {
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, header)| header);
    let states: Vec<String> = header.split(',').skip(1).map(|name| name.trim().into()).collect();
    let mut trajectory = Trajectory::default();
    for (index, line) in lines {
        let numbers: Vec<f64> =
            line.split(',').filter_map(|field| field.trim().parse().ok()).collect();
        if numbers.len() != states.len() + 1 {
            let message = format!("line {}: expected {} numbers", index + 1, states.len() + 1);
            return Err(Error::Data(message));
        }
        trajectory.time.push(numbers[0]);
        trajectory.values.extend(&numbers[1..]);
    }
    Ok(Dataset { states, trajectories: vec![trajectory], ..Dataset::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_larger_than_nan() {
        assert_eq!(largest([0.5, 2.0, 1.0]), 2.0);
        assert!(largest([f64::NAN, 0.5]).is_nan() && largest([0.5, f64::NAN]).is_nan());
    }

    #[test]
    fn noise_is_relative_to_each_state() {
        let field = |_: &[f64], out: &mut [f64]| out.copy_from_slice(&[1.0, 100.0]);
        let truth = Truth { states: &["x", "y"], equations: "", field };
        let data = trajectories(&truth, &[vec![0.0, 0.0]], 0.01, 2000).unwrap();
        let noisy = noisy(&data, 0.1, &mut Rng::new(0));
        let error = |state: usize| {
            let pairs = noisy.trajectories[0].values.iter().zip(&data.trajectories[0].values);
            let squares = pairs.skip(state).step_by(2).map(|(a, b)| (a - b).powi(2));
            (squares.sum::<f64>() / 2000.0).sqrt()
        };
        // The deviation of 0 … 20 is 20 / √12.
        for (state, unit) in [1.0, 100.0].into_iter().enumerate() {
            let expected = 0.1 * unit * 20.0 / 12_f64.sqrt();
            assert!((error(state) / expected - 1.0).abs() < 0.06, "{state}: {}", error(state));
        }
    }

    #[test]
    fn errors_are_relative_to_the_truth() {
        assert!((relative_rms(&[3.3, 4.4], &[3.0, 4.0]) - 0.1).abs() < 1e-12);
        assert!(
            (position_error(2, &[3.3, 7.0, 4.4, 7.0], &[3.0, 0.0, 4.0, 0.0]) - 0.1).abs() < 1e-12
        );
    }

    #[test]
    fn a_table_is_read_and_a_bad_line_named() {
        let data = dataset("t,a,b\n0, 1.5 ,2\n1,3,4\n").unwrap();
        assert_eq!(data.states, ["a", "b"]);
        assert_eq!(data.trajectories[0].time, [0.0, 1.0]);
        assert_eq!(data.trajectories[0].values, [1.5, 2.0, 3.0, 4.0]);
        let message = dataset("t,a\n0,1\n1,\n").unwrap_err().to_string();
        assert_eq!(message, "line 3: expected 2 numbers");
    }
}
