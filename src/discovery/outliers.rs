//! Values that do not belong to the motion: readings that fell to zero, codes for missing values,
//! spikes, and jumps of angles that wrap and of inputs that others switch.

use super::data::Dataset;
use super::equation::DownWeighted;
use super::grid::Grid;
use super::noise::median;

/// How many times the median deviation from their neighbors, and how many times the range of these
/// neighbors, a value must be away from them to be an outlier.
const DEVIATIONS: f64 = 15.0;
const RANGES: f64 = 1.0;
/// The most rows that a warning names.
const MOST_NAMED: usize = 8;
/// A jump between neighbors of more than this fraction of a state's range is a wrap where the other
/// jumps are smaller than the second fraction.
const JUMP: f64 = 0.8;
const USUAL: f64 = 0.3;

/// The fewest neighbors among which a jump is seen.
const NEIGHBORS: usize = 20;
/// The fewest equal values that may be a code for missing ones.
const CODES: usize = 3;
/// The fewest different values of a column with a code: those of a switch are less.
const DIFFERENT: usize = 4;

/// A value that lies far from its neighbors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outlier {
    pub trajectory: usize,
    pub row: usize,
    pub state: usize,
    pub value: f64,
}

/// Returns the outliers of all states, trajectory by trajectory.
pub(super) fn outliers(data: &Dataset) -> Vec<Outlier> {
    let k = data.states.len();
    let mut found = Vec::new();
    for (trajectory, series) in data.trajectories.iter().enumerate() {
        for state in 0..k {
            let values = series.values.iter().skip(state).step_by(k).copied();
            let points = series.time.iter().copied().zip(values).enumerate();
            let points: Vec<(usize, f64, f64)> =
                points.filter(|(_, (_, x))| !x.is_nan()).map(|(row, (t, x))| (row, t, x)).collect();
            let rows = in_series(&points);
            found.extend(rows.into_iter().map(|(row, value)| Outlier {
                trajectory,
                row,
                state,
                value,
            }));
        }
    }
    found
}

/// Returns rows and values of the outliers in a series of (row, time, value).
///
/// A value is compared with the two before and the two after it, between which a cubic is put.
/// Equal values in a row, such as zeros while a sensor was off, count as one.
fn in_series(points: &[(usize, f64, f64)]) -> Vec<(usize, f64)> {
    let blocks: Vec<&[(usize, f64, f64)]> = points.chunk_by(|a, b| a.2 == b.2).collect();
    if blocks.len() < 8 {
        return vec![];
    }
    let middle =
        |block: &[(usize, f64, f64)]| (0.5 * (block[0].1 + block[block.len() - 1].1), block[0].2);
    // Neighbors that are outliers themselves are found first, and then left out.
    let mut left: Vec<usize> = (0..blocks.len()).collect();
    let mut found = Vec::new();
    loop {
        let deviation = |place: usize| {
            let around: Vec<(f64, f64)> = [place - 2, place - 1, place + 1, place + 2]
                .map(|p| middle(blocks[left[p]]))
                .to_vec();
            let (t, x) = middle(blocks[left[place]]);
            let (low, high) = around
                .iter()
                .fold((f64::MAX, f64::MIN), |(low, high), (_, x)| (low.min(*x), high.max(*x)));
            let beyond = (low - x).max(x - high) / (high - low).max(f64::MIN_POSITIVE);
            ((x - cubic(&around, t)).abs(), beyond)
        };
        let deviations: Vec<(f64, f64)> = (2..left.len().max(4) - 2).map(deviation).collect();
        if deviations.is_empty() {
            break;
        }
        let usual = median(deviations.iter().map(|d| d.0).collect());
        let wrong = |d: &(f64, f64)| d.0 > DEVIATIONS * usual && d.1 > RANGES;
        // Neighbors of an outlier deviate as well, but less.
        let worst = |place: &usize| {
            let around = place.saturating_sub(2)..(place + 3).min(deviations.len());
            let most = around.map(|other| deviations[other].0).fold(0.0, f64::max);
            wrong(&deviations[*place]) && deviations[*place].0 >= most
        };
        let places: Vec<usize> = (0..deviations.len()).filter(worst).map(|p| left[p + 2]).collect();
        if places.is_empty() {
            break;
        }
        found.extend(places.iter().flat_map(|&place| blocks[place]).map(|(row, _, x)| (*row, *x)));
        left.retain(|place| places.binary_search(place).is_err());
    }
    found.sort_by_key(|(row, _)| *row);
    found
}

/// Returns the cubic through these points at `t` (Lagrange).
fn cubic(points: &[(f64, f64)], t: f64) -> f64 {
    let weight = |i: usize| -> f64 {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        others.map(|(_, (other, _))| (t - other) / (points[i].0 - other)).product()
    };
    points.iter().enumerate().map(|(i, (_, x))| weight(i) * x).sum()
}

impl Outlier {
    /// Returns the outlier, of data with states of these names, and the weight that it was given.
    fn weighted(&self, names: &[String], weight: f64) -> DownWeighted {
        DownWeighted {
            trajectory: self.trajectory + 1,
            row: self.row + 1,
            state: names[self.state].clone(),
            value: self.value,
            weight,
        }
    }
}

/// Returns the values that hardly count beside the trajectory `states` (M, D) for this noise (K), and
/// those that were `left_out`, by trajectory and row. `whole` are the caller's data, and `part_of` is the
/// trajectory there that each one of the grid is a part of; `names` are the states of the grid.
pub(super) fn down_weighted(
    whole: &Dataset,
    names: &[String],
    grid: &Grid,
    part_of: &[usize],
    left_out: &[Outlier],
    states: &[f64],
    noise: &[f64],
) -> Vec<DownWeighted> {
    let (k, d) = (names.len(), states.len() / grid.points());
    let mut found: Vec<DownWeighted> = left_out.iter().map(|o| o.weighted(names, 0.0)).collect();
    for (range, &trajectory) in grid.trajectories.iter().zip(part_of) {
        let time = &whole.trajectories[trajectory].time;
        for (t, state) in range.clone().flat_map(|t| (0..k).map(move |state| (t, state))) {
            let deviation = noise[state] * grid.spread[t * k + state];
            let distance = (grid.observed[t * k + state] - states[t * d + state]) / deviation;
            if grid.loss.hardly_counts(distance)
                && let Ok(row) = time.binary_search_by(|other| other.total_cmp(&grid.time[t]))
            {
                let value = grid.observed[t * k + state] + grid.offset[state];
                let outlier = Outlier { trajectory, row, state, value };
                found.push(outlier.weighted(names, grid.loss.weight(distance)));
            }
        }
    }
    found.sort_by_key(|value| (value.trajectory, value.row));
    found
}

/// Returns the names of the first of these values.
fn listed(values: &[DownWeighted], several: bool) -> String {
    let name = |value: &DownWeighted| {
        let DownWeighted { trajectory, row, state, value, .. } = value;
        let of = if several { format!(" of trajectory {trajectory}") } else { String::new() };
        format!("`{state}` in row {row}{of} ({value})")
    };
    let mut names: Vec<String> = values.iter().take(MOST_NAMED).map(name).collect();
    if values.len() > MOST_NAMED {
        names.push(format!("{} more", values.len() - MOST_NAMED));
    }
    names.join(", ")
}

/// Returns the warning that names the values that count less because the equations leave them far
/// away.
pub(super) fn far_from_fit(data: &Dataset, values: &[DownWeighted]) -> Option<String> {
    let far: Vec<DownWeighted> = values.iter().filter(|v| v.weight > 0.0).cloned().collect();
    (!far.is_empty()).then(|| {
        format!(
            "values far from the smoothed trajectory, which hardly count (robust): {}",
            listed(&far, data.trajectories.len() > 1)
        )
    })
}

/// Returns the warning that names the outliers; `robust` tells whether they were left out.
pub(super) fn warning(data: &Dataset, outliers: &[Outlier], robust: bool) -> Option<String> {
    if outliers.is_empty() {
        return None;
    }
    let values: Vec<DownWeighted> =
        outliers.iter().map(|o| o.weighted(&data.states, 0.0)).collect();
    let done = match robust {
        true => "they were left out",
        false => "if they are no part of the motion, leave them out (robust)",
    };
    let names = listed(&values, data.trajectories.len() > 1);
    Some(format!("values far from their neighbors: {names}; {done}"))
}

/// Returns the columns whose largest or smallest value is a whole number that is there several times, farther
/// from all others than these are from each other, as a code for missing values is, with warnings of them.
/// (They are no [`outliers`] where they are their own neighbors.)
pub(super) fn codes(data: &Dataset) -> Vec<(usize, String)> {
    let k = data.states.len();
    let code = |state: usize| {
        let of_state =
            data.trajectories.iter().flat_map(|t| t.values.iter().skip(state).step_by(k).copied());
        let mut values: Vec<f64> = of_state.filter(|x| !x.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        let runs: Vec<&[f64]> = values.chunk_by(|a, b| a == b).collect();
        let (low, high) = (runs.first()?, runs.last()?);
        let [below, above] = [runs.get(1)?[0], runs[runs.len() - 2][0]];
        let is_code = |run: &[f64], gap: f64, range: f64| {
            runs.len() >= DIFFERENT && run.len() >= CODES && run[0].fract() == 0.0 && gap > range
        };
        [(low, below - low[0], high[0] - below), (high, high[0] - above, above - low[0])]
            .into_iter()
            .find(|(run, gap, range)| is_code(run, *gap, *range))
            .map(|(run, ..)| (run[0], run.len()))
    };
    let codes = (0..k).filter_map(|state| Some((state, code(state)?)));
    codes
        .map(|(state, (value, count))| {
            let name = &data.states[state];
            let text = format!(
                "{count} values of `{name}` are {value}, far from all others: if that is a code for \
                 missing values, mark them as missing (NaN)"
            );
            (state, text)
        })
        .collect()
}

/// Returns warnings of states that jump by nearly their whole range, as angles do that wrap, and inputs
/// that others switch, among those that are `suitable`.
pub(super) fn wraps(data: &Dataset, suitable: impl Fn(usize) -> bool) -> Vec<String> {
    let k = data.states.len();
    let mut warnings = Vec::new();
    for (state, name) in data.states.iter().enumerate().filter(|(state, _)| suitable(*state)) {
        let mut jumps: Vec<(usize, usize, f64)> = Vec::new();
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for (trajectory, series) in data.trajectories.iter().enumerate() {
            let values: Vec<f64> = series.values.iter().skip(state).step_by(k).copied().collect();
            for x in values.iter().filter(|x| !x.is_nan()) {
                (low, high) = (low.min(*x), high.max(*x));
            }
            let pairs = values.windows(2).enumerate().map(|(row, pair)| (row, pair[1] - pair[0]));
            jumps.extend(
                pairs
                    .filter(|(_, jump)| !jump.is_nan())
                    .map(|(row, jump)| (trajectory, row + 1, jump)),
            );
        }
        let large = |jump: f64| jump.abs() > JUMP * (high - low);
        let usual = |jump: f64| jump.abs() < USUAL * (high - low);
        let wrapped: Vec<&(usize, usize, f64)> = jumps.iter().filter(|j| large(j.2)).collect();
        let clear = jumps.len() >= NEIGHBORS && jumps.iter().all(|j| large(j.2) || usual(j.2));
        if let (Some(&&(_, row, jump)), true) = (wrapped.first(), clear) {
            // Between its jumps an angle comes from one end of its range to the other.
            let drift = |between: &[(usize, usize, f64)]| between.iter().map(|j| j.2).sum::<f64>();
            let stays = |between| usual(drift(between));
            let switched = jumps
                .chunk_by(|a, b| a.0 == b.0)
                .all(|of_one| of_one.split(|j| large(j.2)).all(stays));
            let what = match switched {
                true => {
                    "what is set from outside is an input and has no equation (inputs); an angle that \
                     wraps must be unwrapped"
                }
                false => "an angle that wraps must be unwrapped, or given as sine and cosine",
            };
            warnings.push(format!(
                "`{name}` jumps by nearly its whole range, first by {jump:.4} in row {}, {} in \
                 all: {what}",
                row + 1,
                match wrapped.len() {
                    1 => "one jump".to_owned(),
                    count => format!("{count} jumps"),
                }
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::data::Trajectory;
    use super::*;

    fn series(value: impl Fn(f64) -> f64) -> Dataset {
        let time: Vec<f64> = (0..200).map(|i| 0.05 * f64::from(i)).collect();
        let values = time.iter().map(|t| value(*t)).collect();
        Dataset {
            states: vec!["x".into()],
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        }
    }

    #[test]
    fn dropouts_and_codes_are_named_by_row() {
        let mut data = series(|t| 2.0 * (2.0 * t).cos());
        let values = &mut data.trajectories[0].values;
        values[57..60].fill(0.0);
        values[120] = -9999.0;
        let found = outliers(&data);
        let rows: Vec<usize> = found.iter().map(|outlier| outlier.row).collect();
        assert_eq!(rows, [57, 58, 59, 120]);
        let text = warning(&data, &found, false).unwrap();
        assert!(text.contains("`x` in row 58 (0), `x` in row 59 (0)"), "{text}");
        assert!(text.contains("row 121 (-9999)"), "{text}");
    }

    #[test]
    fn a_motion_has_no_outliers() {
        for value in [|t: f64| (3.0 * t).sin(), |t: f64| (1.0 + 40.0 * (t - 5.0).powi(2)).recip()] {
            assert_eq!(outliers(&series(value)), []);
        }
        // Noise alone, and a staircase.
        let noise = |t: f64| (12345.678 * t).sin() * (777.7 * t * t).cos();
        assert_eq!(outliers(&series(noise)), []);
        assert_eq!(outliers(&series(|t| (t / 2.0).floor())), []);
    }

    #[test]
    fn wraps_are_named() {
        use std::f64::consts::{PI, TAU};
        let wrapped = wraps(&series(|t| (3.0 * t + PI).rem_euclid(TAU) - PI), |_| true);
        assert_eq!(wrapped.len(), 1);
        assert!(wrapped[0].contains("row 22, 5 jumps"), "{wrapped:?}");
        assert!(wrapped[0].contains("unwrapped, or given as sine"), "{wrapped:?}");
        assert_eq!(wraps(&series(|t| (3.0 * t).sin()), |_| true), Vec::<String>::new());
        let noise = |t: f64| 0.02 * (12345.678 * t).sin();
        let switch = wraps(&series(|t| (t / 2.0).floor().rem_euclid(2.0) + noise(t)), |_| true);
        assert!(switch.len() == 1 && switch[0].contains("an input"), "{switch:?}");
    }

    #[test]
    fn codes_for_missing_values_are_named() {
        let mut data = series(|t| 2.0 * (2.0 * t).cos());
        assert_eq!(codes(&data), vec![]);
        data.trajectories[0].values.iter_mut().step_by(2).for_each(|x| *x = -999.0);
        let found = codes(&data);
        assert!(
            found.len() == 1 && found[0].1.starts_with("100 values of `x` are -999, "),
            "{found:?}"
        );
        // Counts that settle, a switch, and a staircase.
        assert_eq!(codes(&series(|t| (100.0 * (-t).exp()).round())), []);
        assert_eq!(codes(&series(|t| (t / 2.0).floor().rem_euclid(2.0))), []);
        assert_eq!(codes(&series(|t| (t / 2.0).floor())), []);
    }
}
