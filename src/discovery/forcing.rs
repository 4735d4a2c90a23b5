//! Inputs along a grid of times: what enters the equations without an equation of its own.

use super::data::{Dataset, Trajectory};
use super::library::Library;
use super::settings::Interpolation;
use crate::{Error, Result};

/// The measured inputs at the beginning and at the end of the step from each of M times to the next;
/// within a step they change linearly. An input that holds its value may jump between two steps.
#[derive(Clone, Debug, Default)]
pub struct Forcing {
    /// Number I of measured inputs.
    count: usize,
    /// Values at the beginning of each step (M, I).
    begin: Vec<f64>,
    /// Values at the end of each step (M, I); those of the beginning where no step follows.
    end: Vec<f64>,
}

impl Forcing {
    /// Interpolates the inputs of one trajectory of `data`, each as its `interpolation` (I) says, at
    /// the times `time` (M), which must include the trajectory's own. Before the first value of an
    /// input and after the last one, that value holds.
    ///
    /// # Panics
    /// If `data` is invalid, has no such trajectory or another number of inputs.
    #[must_use]
    pub fn new(
        data: &Dataset,
        trajectory: usize,
        interpolation: &[Interpolation],
        time: &[f64],
    ) -> Self {
        let (count, m) = (data.inputs.len(), time.len());
        assert_eq!(interpolation.len(), count, "an interpolation for each input");
        let mut forcing = Forcing { count, begin: vec![0.0; m * count], end: vec![0.0; m * count] };
        for (input, &interpolation) in interpolation.iter().enumerate() {
            let knots = Knots::new(&data.trajectories[trajectory], input, count);
            for (t, &from) in time.iter().enumerate() {
                let place = t * count + input;
                let begin = knots.at(from, interpolation);
                forcing.begin[place] = begin;
                forcing.end[place] = match (interpolation, time.get(t + 1)) {
                    (Interpolation::Linear, Some(&to)) => knots.at(to, interpolation),
                    _ => begin,
                };
            }
        }
        forcing
    }

    /// Checks that these are the inputs of a library at this number of times.
    ///
    /// # Errors
    /// [`Error::Argument`] with both numbers.
    pub(super) fn check(&self, library: &Library, times: usize) -> Result<()> {
        let measured = library.measured_inputs();
        if self.count != measured.len() {
            let (wanted, names) = (measured.len(), measured.join(", "));
            let message =
                format!("the equations have {wanted} inputs ({names}), got {}", self.count);
            return Err(Error::argument("forcing", message));
        }
        if self.begin.len() != times * self.count {
            let own = self.begin.len() / self.count;
            let message = format!("has inputs at {own} times, but there are {times}");
            return Err(Error::argument("forcing", message));
        }
        Ok(())
    }

    /// Appends the times of another trajectory.
    pub(super) fn extend(&mut self, other: Forcing) {
        self.count = other.count;
        self.begin.extend(other.begin);
        self.end.extend(other.end);
    }

    /// Returns the part of a range of times.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Forcing {
        let range = range.start * self.count..range.end * self.count;
        let part = |values: &[f64]| values[range.clone()].to_vec();
        Forcing { count: self.count, begin: part(&self.begin), end: part(&self.end) }
    }

    /// Writes what a library takes besides the variables (E) at the beginning and at the end of the
    /// step from time t: the measured inputs, and the time where the library has it.
    pub(super) fn step(
        &self,
        library: &Library,
        time: &[f64],
        t: usize,
        [begin, end]: [&mut [f64]; 2],
    ) {
        let (e, i) = (library.inputs().len(), self.count);
        if e == 0 {
            return;
        }
        begin[..i].copy_from_slice(&self.begin[t * i..][..i]);
        end[..i].copy_from_slice(&self.end[t * i..][..i]);
        if e > i {
            (begin[i], end[i]) = (time[t], time.get(t + 1).copied().unwrap_or(time[t]));
        }
    }
}

/// Returns the course of each input between its values (I): what was asked for, or else steps for an
/// input that mostly repeats the value before, as a switch does, and a straight line for others.
pub(super) fn courses(data: &Dataset, asked: Option<Interpolation>) -> Vec<Interpolation> {
    let count = data.inputs.len();
    let course = |input: usize| {
        let (mut repeated, mut changed) = (0, 0);
        for trajectory in &data.trajectories {
            let values: Vec<f64> =
                trajectory.column(input, count).filter(|v| !v.is_nan()).collect();
            let same = values.windows(2).filter(|pair| pair[0] == pair[1]).count();
            repeated += same;
            changed += values.len().saturating_sub(1) - same;
        }
        if repeated > changed { Interpolation::Hold } else { Interpolation::Linear }
    };
    (0..count).map(|input| asked.unwrap_or_else(|| course(input))).collect()
}

/// Returns the value at this time of one of `count` inputs of a trajectory, which must have one.
pub(super) fn input_at(
    trajectory: &Trajectory,
    input: usize,
    count: usize,
    interpolation: Interpolation,
    time: f64,
) -> f64 {
    Knots::new(trajectory, input, count).at(time, interpolation)
}

/// Returns a warning of each input that looks like a switch, but is to change along straight lines.
pub(super) fn warnings(data: &Dataset, asked: Option<Interpolation>) -> Vec<String> {
    if asked != Some(Interpolation::Linear) {
        return vec![];
    }
    let own = courses(data, None);
    let switches = data.inputs.iter().zip(own).filter(|(_, own)| *own == Interpolation::Hold);
    let warning = |(name, _): (&String, Interpolation)| {
        format!(
            "`{name}` mostly repeats the value before, as a switch does, but is to change along \
             straight lines: if it jumps, let it hold its values, or the equations are wrong"
        )
    };
    switches.map(warning).collect()
}

/// The values of one input that are not missing, in the order of their times.
struct Knots {
    time: Vec<f64>,
    value: Vec<f64>,
}

impl Knots {
    fn new(trajectory: &Trajectory, input: usize, count: usize) -> Self {
        let values = trajectory.inputs.iter().skip(input).step_by(count);
        let knots = trajectory.time.iter().zip(values).filter(|(_, value)| !value.is_nan());
        let (time, value) = knots.unzip();
        Knots { time, value }
    }

    fn at(&self, time: f64, interpolation: Interpolation) -> f64 {
        let next = self.time.partition_point(|knot| *knot <= time);
        let (Some(before), Some(&after)) = (next.checked_sub(1), self.time.get(next)) else {
            return if next == 0 { self.value[0] } else { self.value[next - 1] };
        };
        match interpolation {
            Interpolation::Hold => self.value[before],
            Interpolation::Linear => {
                let part = (time - self.time[before]) / (after - self.time[before]);
                self.value[before] + part * (self.value[next] - self.value[before])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Settings;

    #[test]
    fn a_switch_is_known_by_its_repetitions() {
        let data = Dataset {
            states: vec!["x".into()],
            inputs: vec!["switch".into(), "smooth".into()],
            trajectories: vec![Trajectory {
                time: (0..6).map(f64::from).collect(),
                values: vec![0.0; 6],
                inputs: vec![0.0, 0.5, 0.0, 0.7, f64::NAN, 0.9, 0.0, 1.0, 1.0, 1.0, 1.0, 1.1],
            }],
        };
        use Interpolation::{Hold, Linear};
        assert_eq!(courses(&data, None), [Hold, Linear]);
        assert_eq!(courses(&data, Some(Linear)), [Linear, Linear]);
        assert!(warnings(&data, Some(Hold)).is_empty() && warnings(&data, None).is_empty());
        let warned = warnings(&data, Some(Linear));
        assert!(
            warned.len() == 1 && warned[0].starts_with("`switch` mostly repeats"),
            "{warned:?}"
        );
        assert_eq!((data.different_values(0, 3), data.different_values(1, 3)), (2, 4));
    }

    #[test]
    fn inputs_are_interpolated_or_held() {
        let data = Dataset {
            states: vec!["x".into()],
            inputs: vec!["u".into()],
            trajectories: vec![Trajectory {
                time: vec![0.0, 1.0, 2.0, 4.0],
                values: vec![0.0; 4],
                inputs: vec![1.0, f64::NAN, 3.0, 7.0],
            }],
        };
        let settings = Settings { explicit_time: true, ..Settings::default() };
        let library = Library::with_inputs(&data.states, &data.inputs, &settings).unwrap();
        let time = [0.0, 1.0, 2.0, 3.0, 4.0];
        let steps = |interpolation| -> Vec<[f64; 4]> {
            let forcing = Forcing::new(&data, 0, &[interpolation], &time);
            let mut out = Vec::new();
            for t in 0..time.len() {
                let (mut begin, mut end) = ([0.0; 2], [0.0; 2]);
                forcing.step(&library, &time, t, [&mut begin, &mut end]);
                out.push([begin[0], end[0], begin[1], end[1]]);
            }
            out
        };
        let lines = [[1.0, 2.0], [2.0, 3.0], [3.0, 5.0], [5.0, 7.0], [7.0, 7.0]];
        let held = [[1.0, 1.0], [1.0, 1.0], [3.0, 3.0], [3.0, 3.0], [7.0, 7.0]];
        for (interpolation, expected) in
            [(Interpolation::Linear, lines), (Interpolation::Hold, held)]
        {
            for (t, (step, [begin, end])) in steps(interpolation).iter().zip(expected).enumerate() {
                let to = time.get(t + 1).copied().unwrap_or(4.0);
                assert_eq!(*step, [begin, end, time[t], to], "{interpolation:?}");
            }
        }
    }
}
