//! Parts of trajectories: ranges of their rows that count as trajectories of their own.

use std::ops::Range;

use super::data::{Dataset, MIN_VALUES, Trajectory};
use super::forcing;
use super::settings::Interpolation;

/// Data whose trajectories are parts of other ones.
pub(super) struct Parts {
    pub data: Dataset,
    /// The trajectory that each of them is a part of.
    pub part_of: Vec<usize>,
}

impl Parts {
    /// Takes whole trajectories as parts.
    pub fn whole(data: Dataset) -> Self {
        let part_of = (0..data.trajectories.len()).collect();
        Parts { data, part_of }
    }

    /// Takes the given ranges of rows of each trajectory.
    pub fn of(data: &Dataset, ranges: &[Vec<Range<usize>>], asked: Option<Interpolation>) -> Self {
        let (k, inputs) = (data.states.len(), data.inputs.len());
        let courses = forcing::courses(data, asked);
        let (mut trajectories, mut part_of) = (Vec::new(), Vec::new());
        for (index, (trajectory, ranges)) in data.trajectories.iter().zip(ranges).enumerate() {
            for range in ranges {
                let mut own = trajectory.inputs[range.start * inputs..range.end * inputs].to_vec();
                // What an input is at the ends of a part is known from its values beyond them.
                for row in [range.start, range.end - 1] {
                    for (input, course) in courses.iter().enumerate() {
                        let value = &mut own[(row - range.start) * inputs + input];
                        if value.is_nan() {
                            let time = trajectory.time[row];
                            *value = forcing::input_at(trajectory, input, inputs, *course, time);
                        }
                    }
                }
                trajectories.push(Trajectory {
                    time: trajectory.time[range.clone()].to_vec(),
                    values: trajectory.values[range.start * k..range.end * k].to_vec(),
                    inputs: own,
                });
                part_of.push(index);
            }
        }
        let (states, inputs) = (data.states.clone(), data.inputs.clone());
        Parts { data: Dataset { states, inputs, trajectories }, part_of }
    }
}

/// Returns whether these rows of a trajectory with `k` states have enough values to stand alone.
pub(super) fn has_enough(trajectory: &Trajectory, rows: &Range<usize>, k: usize) -> bool {
    let inputs = trajectory.inputs.len() / trajectory.time.len().max(1);
    let values = &trajectory.values[rows.start * k..rows.end * k];
    (0..k).all(|state| {
        let present = values.iter().skip(state).step_by(k).filter(|x| !x.is_nan());
        present.count() >= MIN_VALUES
    }) && (0..inputs).all(|input| {
        let values = &trajectory.inputs[rows.start * inputs..rows.end * inputs];
        values.iter().skip(input).step_by(inputs).any(|u| !u.is_nan())
    })
}
