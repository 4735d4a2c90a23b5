//! The prediction of trajectories by equations that were found, from other initial values.

use super::check::fraction_explained;
use super::data::{Dataset, MIN_VALUES};
use super::equation::Discovery;
use super::forcing::Forcing;
use super::grid::splines;
use super::hidden::Hidden;
use super::library::Library;
use super::loss::Loss;
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use super::simulate;
use super::warnings::blow_up;
use crate::memory::ensure;
use crate::{Error, Result};

/// The trajectories that equations predict, and how well they agree with data.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// Names of the K states: those with data, then the hidden ones.
    pub states: Vec<String>,
    /// Names of the hidden states, the last of `states`.
    pub hidden: Vec<String>,
    /// The predicted states of each trajectory at the times of the data (N, K), row-major; NaN after
    /// a blow-up.
    pub trajectories: Vec<Vec<f64>>,
    /// The fraction of the variance of each state with data that the prediction explains, R²: at most
    /// 1, and below 0 where the mean would be better; NaN where a trajectory blows up, and where the data
    /// have no value or the same one everywhere, so that there is nothing to explain.
    pub explained: Vec<f64>,
    /// What the reader must know, in words: blow-ups.
    pub warnings: Vec<String>,
}

impl Discovery {
    /// Predicts the trajectories of other data: integrates the equations from the first row of each
    /// trajectory over its times, with its inputs. The data must have the states and inputs of the
    /// equations, in any order; others are ignored. Only the first row must be complete; what later
    /// rows measure is compared with the prediction. For order 2 the initial velocities are those of
    /// the states `x'`, if the data have them, or else the slopes of the smoothed data. So it is with
    /// hidden states, which are derivatives.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Shape`] for malformed data or equations, or states that are
    /// not there; [`Error::Data`] for a first row with missing values, and for data too few to
    /// estimate initial velocities or hidden states.
    pub fn predict(&self, data: &Dataset) -> Result<Prediction> {
        let settings =
            Settings { order: self.order, hidden: self.hidden.len(), ..Settings::default() };
        let library = self.library(&settings)?;
        let rhs = RightHandSide::from_equations(&library, &settings, &self.equations)?;
        let with_data = self.with_data()?;
        require("states", with_data, &data.states)?;
        require("inputs", &self.inputs, &data.inputs)?;
        if self.interpolation.len() != self.inputs.len() {
            let (courses, inputs) = (self.interpolation.len(), self.inputs.len());
            let message = format!("there are {courses} for {inputs} inputs");
            return Err(Error::argument("interpolation", message));
        }
        // What is no state with data is a derivative of one.
        let derivatives: Vec<String> = match self.order {
            2 => self.states.iter().map(|name| format!("{name}'")).collect(),
            _ => self.hidden.clone(),
        };
        let measured = derivatives.iter().all(|name| data.states.contains(name));
        let wanted = match measured {
            true => [with_data, &derivatives].concat(),
            false => with_data.to_vec(),
        };
        data.validate_shapes()?;
        let data = data.with_states(&wanted).with_inputs(&self.inputs);
        data.validate_with(1)?;
        let points = data.trajectories.iter().map(|t| t.time.len()).fold(0, usize::saturating_add);
        ensure("the prediction", &[(points, 8 * (2 * wanted.len() + 2 * self.inputs.len()))])?;

        let initial = self.initial(&data, measured, &settings)?;
        let scale = self.scale(&data, &initial);
        let k = self.states.len();
        let (states, hidden) = (self.states.clone(), self.hidden.clone());
        let mut prediction = Prediction { states, hidden, ..Prediction::default() };
        for (index, (trajectory, initial)) in data.trajectories.iter().zip(&initial).enumerate() {
            let time = &trajectory.time;
            let forcing = Forcing::new(&data, index, &self.interpolation, time);
            let predicted = simulate::trajectory(&rhs, initial, time, &forcing, &scale);
            prediction.warnings.extend(blow_up(index, time, &predicted, k));
            prediction.trajectories.push(predicted);
        }
        let columns = data.states.len();
        let pairs = |state: usize| {
            let both = data.trajectories.iter().zip(&prediction.trajectories);
            both.flat_map(move |(trajectory, predicted)| {
                let measured = trajectory.values.iter().skip(state).step_by(columns);
                measured.zip(predicted.iter().skip(state).step_by(k))
            })
            .filter(|(x, _)| !x.is_nan())
            .map(|(x, u)| (*x, *u))
        };
        let all = 0..with_data.len();
        prediction.explained = all.map(|state| fraction_explained(pairs(state))).collect();
        Ok(prediction)
    }

    /// Returns the names of the states with data.
    ///
    /// # Errors
    /// [`Error::Argument`] if the hidden states are not the last ones of all.
    fn with_data(&self) -> Result<&[String]> {
        match self.states.strip_suffix(&*self.hidden) {
            Some([]) | None => {
                let (hidden, states) = (self.hidden.join(", "), self.states.join(", "));
                let message = format!("{hidden} are not the last of the states {states}");
                Err(Error::argument("hidden", message))
            }
            Some(with_data) => Ok(with_data),
        }
    }

    /// Returns the library of the terms that the equations have.
    pub(super) fn library(&self, settings: &Settings) -> Result<Library> {
        settings.validate()?;
        let own = Dataset {
            states: self.states.clone(),
            inputs: self.inputs.clone(),
            ..Dataset::default()
        };
        own.validate_names()?;
        let mut variables = self.states.clone();
        if self.order == 2 {
            variables.extend(self.states.iter().map(|name| format!("{name}'")));
        }
        let terms = self.equations.iter().flat_map(|e| e.terms.iter().chain(&e.denominator));
        let mut factors: Vec<Vec<String>> = terms
            .map(|term| {
                let mut factors = term.factors.clone();
                factors.sort();
                factors
            })
            .collect();
        factors.sort();
        factors.dedup();
        Library::of_terms(variables, &self.inputs, &factors)
    }

    /// Returns the variables (D) at the beginning of each trajectory. `measured` says whether the
    /// data have the velocities and hidden states.
    fn initial(
        &self,
        data: &Dataset,
        measured: bool,
        settings: &Settings,
    ) -> Result<Vec<Vec<f64>>> {
        let columns = data.states.len();
        let mut initial = Vec::new();
        for (index, trajectory) in data.trajectories.iter().enumerate() {
            let row = &trajectory.values[..columns];
            if let Some(missing) = row.iter().position(|value| value.is_nan()) {
                return Err(Error::Data(format!(
                    "the first row of trajectory {} has no value of `{}`, from which it begins",
                    index + 1,
                    data.states[missing]
                )));
            }
            initial.push(row.to_vec());
        }
        if !measured {
            let what = if self.order == 2 { "velocities" } else { "hidden states" };
            data.validate_with(MIN_VALUES).map_err(|error| {
                Error::Data(format!(
                    "the initial {what} cannot be estimated, and are not among the states: {error}"
                ))
            })?;
            let hidden = Hidden::new(data, settings)?;
            let smooth = hidden.smoothed(splines(data, Loss::Squares)?);
            let beginnings = data.trajectories.iter().zip(&smooth.splines);
            for (initial, (trajectory, splines)) in initial.iter_mut().zip(beginnings) {
                let begin = trajectory.time[0];
                match self.order {
                    2 => initial.extend(splines.iter().map(|spline| spline.at(begin)[1])),
                    _ => initial.extend(splines[columns..].iter().map(|s| s.at(begin)[0])),
                }
            }
        }
        Ok(initial)
    }

    /// Returns the usual size of each variable (D): the largest among the data, the initial values
    /// and, for states, the trajectories of the discovery.
    fn scale(&self, data: &Dataset, initial: &[Vec<f64>]) -> Vec<f64> {
        let (k, d) = (self.states.len(), self.states.len() * self.order);
        let columns = data.states.len();
        let size = |variable: usize| {
            let begin = initial.iter().map(|initial| initial[variable]);
            let measured = data.trajectories.iter().filter(|_| variable < columns);
            let measured = measured.flat_map(|t| t.values.iter().skip(variable).step_by(columns));
            let fits = self.fits.iter().filter(|_| variable < k);
            let fits = fits.flat_map(|fit| fit.smoothed.iter().skip(variable).step_by(k));
            let all = begin.chain(measured.copied()).chain(fits.copied());
            all.filter(|x| x.is_finite()).fold(0.0, |size: f64, x| size.max(x.abs()))
        };
        (0..d).map(size).map(|size| if size > 0.0 { size } else { 1.0 }).collect()
    }
}

/// Checks that all `names` are among those that there are.
fn require(argument: &str, names: &[String], there: &[String]) -> Result<()> {
    match names.iter().find(|name| !there.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let there = there.join(", ");
            let message = format!("the equations have `{name}`, the data have only {there}");
            Err(Error::argument(argument, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{Interpolation, Trajectory};

    fn discovery(json: &str) -> Discovery {
        serde_json::from_str(json).unwrap()
    }

    /// x' = −x + u y, y' = 0.
    fn driven() -> Discovery {
        discovery(
            r#"{"states": ["x", "y"], "inputs": ["u"], "interpolation": ["hold"], "order": 1,
                "equations": [
                    {"lhs": "x'", "terms": [
                        {"factors": ["x"], "coefficient": -1.0, "standard_error": 0.1},
                        {"factors": ["u", "y"], "coefficient": 1.0, "standard_error": 0.1}]},
                    {"lhs": "y'", "terms": []}]}"#,
        )
    }

    fn data() -> Dataset {
        let row = |y: f64, x: f64| [y, x];
        let end = 2.0 + (1.0 - 2.0) * (-1.0_f64).exp();
        Dataset {
            states: vec!["y".into(), "x".into()],
            inputs: vec!["unused".into(), "u".into()],
            trajectories: vec![Trajectory {
                time: vec![0.0, 1.0, 2.0],
                values: [row(2.0, 1.0), row(2.0, end), row(f64::NAN, f64::NAN)].concat(),
                inputs: vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            }],
        }
    }

    #[test]
    fn states_and_inputs_are_found_by_name() {
        assert_eq!(driven().interpolation, [Interpolation::Hold]);
        let prediction = driven().predict(&data()).unwrap();
        let end = 2.0 - (-1.0_f64).exp();
        let expected = [1.0, 2.0, end, 2.0, end * (-1.0_f64).exp(), 2.0];
        for (value, expected) in prediction.trajectories[0].iter().zip(expected) {
            assert!((value - expected).abs() < 1e-7, "{prediction:?}");
        }
        assert!((prediction.explained[0] - 1.0).abs() < 1e-9, "{prediction:?}");
        assert!(prediction.explained[1].is_nan() && prediction.warnings.is_empty());
    }

    #[test]
    fn velocities_are_given_or_estimated() {
        let discovery = discovery(
            r#"{"states": ["x"], "order": 2, "equations": [{"lhs": "x''", "terms": [
                {"factors": ["sin(x)"], "coefficient": -4.0, "standard_error": null}]}]}"#,
        );
        let time: Vec<f64> = (0..50).map(|i| 0.1 * f64::from(i)).collect();
        let small = |t: &f64| 1e-4 * (2.0 * t).sin();
        let trajectory =
            Trajectory { values: time.iter().map(small).collect(), time, ..Trajectory::default() };
        let mut data = Dataset {
            states: vec!["x".into()],
            trajectories: vec![trajectory],
            ..Dataset::default()
        };
        let estimated = discovery.predict(&data).unwrap();
        assert!(estimated.explained[0] > 0.99, "{:?}", estimated.explained);
        data.trajectories[0].values[1..].fill(f64::NAN);
        let message = discovery.predict(&data).unwrap_err().to_string();
        assert!(message.starts_with("the initial velocities cannot be estimated"), "{message}");
        data.states.push("x'".into());
        data.trajectories[0].values = (0..50).flat_map(|_| [f64::NAN; 2]).collect();
        data.trajectories[0].values[..2].copy_from_slice(&[0.0, 2e-4]);
        let given = discovery.predict(&data).unwrap();
        let last = (given.trajectories[0][49], small(&4.9));
        assert!((last.0 - last.1).abs() < 1e-9, "{last:?}");
    }

    /// A search refuses states that never change and straight lines; where equations begin, they say what
    /// the slope is.
    #[test]
    fn a_prediction_begins_at_rest_or_on_a_straight_line() {
        let second = discovery(
            r#"{"states": ["x"], "order": 2, "equations": [{"lhs": "x''", "terms": []}]}"#,
        );
        let hidden = discovery(
            r#"{"states": ["x", "hidden1"], "hidden": ["hidden1"], "order": 1, "equations": [
                {"lhs": "x'", "terms": [
                    {"factors": ["hidden1"], "coefficient": 1.0, "standard_error": null}]},
                {"lhs": "hidden1'", "terms": []}]}"#,
        );
        for (slope, found) in [0.0, 2.0].into_iter().flat_map(|s| [(s, &second), (s, &hidden)]) {
            let time: Vec<f64> = (0..30).map(|i| 0.1 * f64::from(i)).collect();
            let values = time.iter().map(|t| 3.0 + slope * t).collect();
            let data = Dataset {
                states: vec!["x".into()],
                trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
                ..Dataset::default()
            };
            let predicted = found.predict(&data).unwrap();
            let columns = found.states.len();
            let last = predicted.trajectories[0][29 * columns];
            assert!((last - (3.0 + slope * 2.9)).abs() < 1e-9, "{slope}: {last}");
        }
    }

    #[test]
    fn what_does_not_suit_is_named() {
        let message = |discovery: &Discovery, data: &Dataset| {
            discovery.predict(data).unwrap_err().to_string()
        };
        let mut other = data();
        other.states[0] = "z".into();
        let expected = "states: the equations have `y`, the data have only z, x";
        assert_eq!(message(&driven(), &other), expected);
        let mut other = data();
        other.inputs[1] = "v".into();
        let expected = "inputs: the equations have `u`, the data have only unused, v";
        assert_eq!(message(&driven(), &other), expected);
        let mut other = data();
        other.trajectories[0].values.push(0.0);
        let expected = "values of trajectory 1: expected shape (N, K) = (3, 2), 6 numbers, got [7]";
        assert_eq!(message(&driven(), &other), expected);
        let mut other = data();
        other.trajectories[0].values[1] = f64::NAN;
        assert!(
            message(&driven(), &other).starts_with("the first row of trajectory 1 has no value")
        );
        let mut unreadable = driven();
        unreadable.equations[1].terms = unreadable.equations[0].terms[..1].to_vec();
        unreadable.equations[1].terms[0].factors = vec!["f(x)".into()];
        let text = message(&unreadable, &data());
        assert!(
            text.starts_with("equations: `f(x)`: there is no `f` (there are x, y, u, t"),
            "{text}"
        );
        let without = Discovery { interpolation: vec![], ..driven() };
        assert_eq!(message(&without, &data()), "interpolation: there are 0 for 1 inputs");
        let both = Discovery { order: 2, hidden: vec!["y".into()], ..driven() };
        assert!(message(&both, &data()).starts_with("hidden: order 2 already has"));
        let third = Discovery { order: 3, ..driven() };
        assert_eq!(message(&third, &data()), "order: must be 1 or 2, got 3");
    }

    #[test]
    fn a_blow_up_is_said() {
        let discovery = discovery(
            r#"{"states": ["x"], "order": 1, "equations": [{"lhs": "x'", "terms": [
                {"factors": ["x", "x"], "coefficient": 1.0, "standard_error": null}]}]}"#,
        );
        let data = Dataset {
            states: vec!["x".into()],
            trajectories: vec![Trajectory {
                time: vec![0.0, 0.5, 1.5],
                values: vec![1.0, 2.0, f64::NAN],
                ..Trajectory::default()
            }],
            ..Dataset::default()
        };
        let prediction = discovery.predict(&data).unwrap();
        assert!(prediction.trajectories[0][2].is_nan());
        let expected = "simulated from its first point, trajectory 1 blows up at time 1.5";
        assert_eq!(prediction.warnings, [expected]);
    }
}
