//! Time series, and the checks of them before anything is computed.

use std::collections::HashSet;

use crate::{Error, Result};

/// The sizes of values and times, and of their changes, that can be computed with: powers of them,
/// and squares of those, are numbers.
const SMALLEST: f64 = 1e-60;
const LARGEST: f64 = 1e60;

/// The number of values of a state that one trajectory must have so that a curve can be fitted to
/// them.
pub const MIN_VALUES: usize = 4;

/// A data set: one or several time series of the same named states, and of inputs that act on them.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Names of the K states.
    pub states: Vec<String>,
    /// Names of the I inputs: measured series that no equation is searched for, but that may occur
    /// in those of the states.
    pub inputs: Vec<String>,
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
    /// The values of the inputs (N, I), row-major; NaN where a value is missing.
    pub inputs: Vec<f64>,
}

impl Dataset {
    /// Checks the names, shapes, times and values of the data set.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Shape`] for malformed arrays, [`Error::Data`] for too little
    /// data; trajectories and rows are counted from 1.
    pub fn validate(&self) -> Result<()> {
        self.validate_with(MIN_VALUES)?;
        if let Some([a, b]) = self.equal_states() {
            let [a, b] = [a, b].map(|k| &self.states[k]);
            let message = format!("`{a}` and `{b}` are the same series: leave one out");
            return Err(Error::Data(message));
        }
        Ok(())
    }

    /// Checks the names, and that there are as many values as they and the times say.
    pub(super) fn validate_shapes(&self) -> Result<()> {
        self.validate_names()?;
        for (index, trajectory) in self.trajectories.iter().enumerate() {
            trajectory.validate_shapes(index + 1, self.states.len(), self.inputs.len())?;
        }
        Ok(())
    }

    /// Checks everything but that the series differ; each must have `least` values.
    pub(super) fn validate_with(&self, least: usize) -> Result<()> {
        self.validate_shapes()?;
        if self.trajectories.is_empty() {
            return Err(Error::argument("trajectories", "there must be at least one"));
        }
        for (index, trajectory) in self.trajectories.iter().enumerate() {
            trajectory.validate(index + 1, &self.states, least)?;
            trajectory.validate_inputs(index + 1, &self.inputs)?;
        }
        self.check_sizes()
    }

    /// Returns the data of the states with these names alone, in the order of `states`; names that
    /// the data set does not have are ignored. The inputs stay.
    #[must_use]
    pub fn with_states(&self, states: &[String]) -> Dataset {
        let (states, values) = chosen(&self.states, states);
        let trajectory = |trajectory: &Trajectory| Trajectory {
            values: values(&trajectory.values),
            ..trajectory.clone()
        };
        let trajectories = self.trajectories.iter().map(trajectory).collect();
        Dataset { states, trajectories, inputs: self.inputs.clone() }
    }

    /// Returns the data with the inputs of these names alone, as
    /// [`with_states`](Self::with_states) does with states.
    #[must_use]
    pub fn with_inputs(&self, inputs: &[String]) -> Dataset {
        let (inputs, values) = chosen(&self.inputs, inputs);
        let trajectory = |trajectory: &Trajectory| Trajectory {
            inputs: values(&trajectory.inputs),
            ..trajectory.clone()
        };
        let trajectories = self.trajectories.iter().map(trajectory).collect();
        Dataset { inputs, trajectories, states: self.states.clone() }
    }

    /// Returns the number of measured values of all states.
    pub(super) fn values(&self) -> usize {
        let values = self.trajectories.iter().flat_map(|trajectory| &trajectory.values);
        values.filter(|value| !value.is_nan()).count()
    }

    /// Returns how many different values an input has, or `most` + 1 if it has more than `most`.
    pub(super) fn different_values(&self, input: usize, most: usize) -> usize {
        let count = self.inputs.len();
        let all = self.trajectories.iter().flat_map(|t| t.column(input, count));
        let mut values = HashSet::new();
        for value in all.filter(|value| !value.is_nan()) {
            // Zeros of either sign are the same value.
            values.insert((value + 0.0).to_bits());
            if values.len() > most {
                break;
            }
        }
        values.len().max(1)
    }

    /// Checks the names of the states and inputs.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no states, or a name is empty or occurs twice.
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
        for (i, name) in self.inputs.iter().enumerate() {
            if name.is_empty() {
                return Err(Error::argument("inputs", format!("input {} has no name", i + 1)));
            }
            if !known.insert(name) {
                let message = format!("`{name}` is already a state or an input");
                return Err(Error::argument("inputs", message));
            }
        }
        Ok(())
    }

    /// Checks that powers and products of the numbers can be computed with.
    fn check_sizes(&self) -> Result<()> {
        let bounds = |numbers: &mut dyn Iterator<Item = f64>| {
            let numbers = numbers.filter(|number| !number.is_nan());
            numbers.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], number| {
                [number.min(low), number.max(high)]
            })
        };
        let refuse = |what: String| {
            let message = format!(
                "{what}; sizes below {SMALLEST:e} and above {LARGEST:e} cannot be computed with: \
                 another unit is needed"
            );
            Err(Error::Data(message))
        };
        for (number, trajectory) in self.trajectories.iter().enumerate() {
            let time = &trajectory.time;
            let [low, high] = bounds(&mut time.iter().copied());
            let interval = (high - low) / (time.len() - 1).max(1) as f64;
            let farthest = low.abs().max(high.abs());
            if farthest > LARGEST {
                return refuse(format!(
                    "the time of trajectory {} reaches {farthest:e}",
                    number + 1
                ));
            }
            if interval < SMALLEST {
                let number = number + 1;
                return refuse(format!("the times of trajectory {number} are {interval:e} apart"));
            }
        }
        for (k, state) in self.states.iter().enumerate() {
            let values = self.trajectories.iter().flat_map(|trajectory| &trajectory.values);
            let [low, high] = bounds(&mut values.skip(k).step_by(self.states.len()).copied());
            let largest = low.abs().max(high.abs());
            if largest > LARGEST {
                return refuse(format!("`{state}` reaches {largest:e}"));
            }
            // A state that does not change at all is refused where it matters.
            if high > low && high - low < SMALLEST {
                return refuse(format!("`{state}` changes by {:e} only", high - low));
            }
        }
        Ok(())
    }

    /// Returns two states that agree, if there are any: the first that agrees with an earlier one.
    fn equal_states(&self) -> Option<[usize; 2]> {
        let column = |k: usize| {
            let values = self.trajectories.iter().flat_map(|trajectory| &trajectory.values);
            values.skip(k).step_by(self.states.len())
        };
        let all = 0..self.states.len();
        let (complete, gappy): (Vec<usize>, Vec<usize>) =
            all.clone().partition(|&k| column(k).all(|value| !value.is_nan()));
        // There may be thousands of states, which are not compared each with each: in order of
        // their values, those that are equal are neighbors.
        let mut sorted = complete;
        sorted.sort_by(|&a, &b| column(a).partial_cmp(column(b)).expect("no value is NaN"));
        let neighbors = sorted.windows(2).map(|pair| [pair[0], pair[1]]);
        let equal = neighbors.filter(|&[a, b]| self.are_equal(a, b));
        let with_gaps = gappy.into_iter().filter_map(|b| {
            let a = all.clone().find(|&a| a != b && self.are_equal(a, b))?;
            Some([a.min(b), a.max(b)])
        });
        equal.chain(with_gaps).min_by_key(|&[a, b]| (b, a))
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

/// Returns the names that there are of those that are `wanted`, and a function that keeps the values
/// of these alone.
fn chosen(names: &[String], wanted: &[String]) -> (Vec<String>, impl Fn(&[f64]) -> Vec<f64>) {
    let place = |name: &String| names.iter().position(|known| known == name);
    let places: Vec<usize> = wanted.iter().filter_map(place).collect();
    let left = places.iter().map(|&place| names[place].clone()).collect();
    let columns = names.len().max(1);
    let values = move |values: &[f64]| {
        let rows = values.chunks_exact(columns);
        rows.flat_map(|row| places.iter().map(|&place| row[place])).collect()
    };
    (left, values)
}

impl Trajectory {
    /// Returns the values of one of `count` inputs.
    pub(super) fn column(&self, input: usize, count: usize) -> impl Iterator<Item = f64> + '_ {
        self.inputs.iter().skip(input).step_by(count).copied()
    }

    fn validate_shapes(&self, number: usize, states: usize, inputs: usize) -> Result<()> {
        let n = self.time.len();
        for (name, letter, count, values) in
            [("values", 'K', states, &self.values), ("inputs", 'I', inputs, &self.inputs)]
        {
            if values.len() != n * count {
                return Err(Error::Shape {
                    argument: format!("{name} of trajectory {number}"),
                    expected: format!("(N, {letter}) = ({n}, {count}), {} numbers", n * count),
                    actual: vec![values.len()],
                });
            }
        }
        Ok(())
    }

    fn validate_inputs(&self, number: usize, inputs: &[String]) -> Result<()> {
        let count = inputs.len();
        let argument = || format!("inputs of trajectory {number}");
        let bad = |value: &f64| value.is_infinite() || value.abs() > LARGEST;
        if let Some(place) = self.inputs.iter().position(bad) {
            let (row, input) = (place / count + 1, &inputs[place % count]);
            let message =
                format!("`{input}` in row {row} is {:e}: too large a number", self.inputs[place]);
            return Err(Error::argument(argument(), message));
        }
        let known = |i: usize| self.inputs.iter().skip(i).step_by(count).any(|v| !v.is_nan());
        match (0..count).find(|&i| !known(i)) {
            Some(input) => {
                let name = &inputs[input];
                Err(Error::Data(format!("trajectory {number} has no value of the input `{name}`")))
            }
            None => Ok(()),
        }
    }

    fn validate(&self, number: usize, states: &[String], least: usize) -> Result<()> {
        let k = states.len();
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
            if count < least {
                return Err(Error::Data(format!(
                    "trajectory {number} has {count} values of `{state}`; at least {least} \
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
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        }
    }

    #[test]
    fn every_flaw_of_inputs_is_named() {
        let message = |break_it: fn(&mut Dataset)| {
            let mut data = dataset();
            data.inputs = vec!["u".into(), "v".into()];
            data.trajectories[0].inputs = vec![0.5; 10];
            assert!(data.validate().is_ok());
            break_it(&mut data);
            data.validate().unwrap_err().to_string()
        };
        assert_eq!(message(|d| d.inputs[0] = String::new()), "inputs: input 1 has no name");
        assert_eq!(
            message(|d| d.inputs[1] = "x".into()),
            "inputs: `x` is already a state or an input"
        );
        let short = message(|d| d.trajectories[0].inputs.truncate(9));
        assert!(short.contains("(N, I) = (5, 2), 10 numbers, got [9]"), "{short}");
        let infinite = message(|d| d.trajectories[0].inputs[3] = f64::INFINITY);
        assert_eq!(infinite, "inputs of trajectory 1: `v` in row 2 is inf: too large a number");
        let none = message(|d| {
            d.trajectories[0].inputs.chunks_exact_mut(2).for_each(|row| row[0] = f64::NAN);
        });
        assert_eq!(none, "trajectory 1 has no value of the input `u`");
        let kept = {
            let mut data = dataset();
            data.inputs = vec!["u".into(), "v".into()];
            data.trajectories[0].inputs = (0..10).map(f64::from).collect();
            data.with_inputs(&["v".into()])
        };
        assert_eq!(kept.trajectories[0].inputs, [1.0, 3.0, 5.0, 7.0, 9.0]);
        assert_eq!((kept.inputs, kept.trajectories[0].values.len()), (vec!["v".to_owned()], 10));
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
