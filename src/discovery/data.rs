//! Time series, and the checks of them before anything is computed.

use std::collections::HashSet;

use crate::{Error, Result};

/// The number of values of a state that one trajectory must have so that a curve can be fitted to
/// them.
pub(super) const MIN_VALUES: usize = 4;

/// A data set: one or several time series of the same named states.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the K states.
    pub states: Vec<String>,
    /// The time series, at least one; all measure the same states and obey the same equation.
    pub trajectories: Vec<Trajectory>,
}

/// A time series of all states of a data set.
#[derive(Clone, Debug, Default)]
pub struct Trajectory {
    /// The N strictly increasing times, not necessarily uniform.
    pub time: Vec<f64>,
    /// The values (N, K), row-major; NaN where a value is missing.
    pub values: Vec<f64>,
}

impl Dataset {
    /// Checks the names, shapes, times and values of the data set.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Shape`] for malformed arrays, [`Error::Data`] for too little
    /// data; trajectories and rows are counted from 1.
    pub fn validate(&self) -> Result<()> {
        self.validate_names()?;
        if self.trajectories.is_empty() {
            return Err(Error::argument("trajectories", "there must be at least one"));
        }
        for (index, trajectory) in self.trajectories.iter().enumerate() {
            trajectory.validate(index + 1, &self.states)?;
        }
        for b in 1..self.states.len() {
            if let Some(a) = (0..b).find(|&a| self.are_equal(a, b)) {
                let [a, b] = [a, b].map(|k| &self.states[k]);
                let message = format!("`{a}` and `{b}` are the same series: leave one out");
                return Err(Error::Data(message));
            }
        }
        Ok(())
    }

    /// Returns the data of the states with these names alone, in the order of `states`; names that
    /// the data set does not have are ignored.
    #[must_use]
    pub fn with_states(&self, states: &[String]) -> Dataset {
        let k = self.states.len();
        let place = |name: &String| self.states.iter().position(|state| state == name);
        let places: Vec<usize> = states.iter().filter_map(place).collect();
        let trajectory = |trajectory: &Trajectory| Trajectory {
            time: trajectory.time.clone(),
            values: trajectory
                .values
                .chunks_exact(k)
                .flat_map(|row| places.iter().map(|&place| row[place]))
                .collect(),
        };
        Dataset {
            states: places.iter().map(|&place| self.states[place].clone()).collect(),
            trajectories: self.trajectories.iter().map(trajectory).collect(),
        }
    }

    /// Checks the names of the states.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are none, or one is empty or occurs twice.
    pub(super) fn validate_names(&self) -> Result<()> {
        if self.states.is_empty() {
            return Err(Error::argument("states", "there must be at least one"));
        }
        let mut known = HashSet::new();
        for (k, name) in self.states.iter().enumerate() {
            if name.is_empty() {
                return Err(Error::argument("states", format!("state {} has no name", k + 1)));
            }
            if !known.insert(name) {
                return Err(Error::argument("states", format!("two are called `{name}`")));
            }
        }
        Ok(())
    }

    /// Returns whether two states agree wherever both are known, and both are known somewhere.
    fn are_equal(&self, a: usize, b: usize) -> bool {
        let mut pairs = self
            .trajectories
            .iter()
            .flat_map(|trajectory| trajectory.values.chunks_exact(self.states.len()))
            .map(|row| [row[a], row[b]])
            .filter(|pair| pair.iter().all(|value| !value.is_nan()))
            .peekable();
        pairs.peek().is_some() && pairs.all(|[a, b]| a == b)
    }
}

impl Trajectory {
    fn validate(&self, number: usize, states: &[String]) -> Result<()> {
        let (n, k) = (self.time.len(), states.len());
        if self.values.len() != n * k {
            return Err(Error::Shape {
                argument: format!("values of trajectory {number}"),
                expected: format!("(N, K) = ({n}, {k}), {} numbers", n * k),
                actual: vec![self.values.len()],
            });
        }
        let argument = || format!("time of trajectory {number}");
        if let Some(row) = self.time.iter().position(|t| !t.is_finite()) {
            let message = format!("{} in row {} is not finite", self.time[row], row + 1);
            return Err(Error::argument(argument(), message));
        }
        if let Some(row) = self.time.windows(2).position(|pair| pair[0] >= pair[1]) {
            let message = format!(
                "must increase, but row {} has {} after {}",
                row + 2,
                self.time[row + 1],
                self.time[row]
            );
            return Err(Error::argument(argument(), message));
        }
        if let Some(place) = self.values.iter().position(|value| value.is_infinite()) {
            let (row, state) = (place / k + 1, &states[place % k]);
            return Err(Error::argument(
                format!("values of trajectory {number}"),
                format!("`{state}` in row {row} is infinite"),
            ));
        }
        for (column, state) in states.iter().enumerate() {
            let present = self.values.iter().skip(column).step_by(k).filter(|v| !v.is_nan());
            let count = present.count();
            if count < MIN_VALUES {
                return Err(Error::Data(format!(
                    "trajectory {number} has {count} values of `{state}`; at least {MIN_VALUES} \
                     are needed"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        let time = vec![0.0, 1.0, 2.0, 4.0, 5.0];
        let values = (0..10).map(f64::from).collect();
        Dataset {
            states: vec!["x".into(), "y".into()],
            trajectories: vec![Trajectory { time, values }],
        }
    }

    #[test]
    fn every_flaw_is_named() {
        assert!(dataset().validate().is_ok());
        let message = |break_it: fn(&mut Dataset)| {
            let mut data = dataset();
            break_it(&mut data);
            data.validate().unwrap_err().to_string()
        };
        assert_eq!(message(|d| d.states.clear()), "states: there must be at least one");
        assert_eq!(message(|d| d.states[1] = "x".into()), "states: two are called `x`");
        assert_eq!(message(|d| d.trajectories.clear()), "trajectories: there must be at least one");
        let short = message(|d| d.trajectories[0].values.truncate(9));
        assert!(short.contains("(5, 2), 10 numbers, got [9]"), "{short}");
        let nan = message(|d| d.trajectories[0].time[1] = f64::NAN);
        assert_eq!(nan, "time of trajectory 1: NaN in row 2 is not finite");
        let back = message(|d| d.trajectories[0].time[3] = 2.0);
        assert_eq!(back, "time of trajectory 1: must increase, but row 4 has 2 after 2");
        let infinite = message(|d| d.trajectories[0].values[5] = f64::INFINITY);
        assert_eq!(infinite, "values of trajectory 1: `y` in row 3 is infinite");
        let missing = message(|d| d.trajectories[0].values[..4].fill(f64::NAN));
        assert!(missing.starts_with("trajectory 1 has 3 values of `x`"), "{missing}");
        let same = message(|d| {
            d.trajectories[0].values.chunks_exact_mut(2).for_each(|row| row[1] = row[0]);
        });
        assert_eq!(same, "`x` and `y` are the same series: leave one out");
    }
}
