//! What is done to the data before the search: columns that never change are left out, outliers are
//! named, of long data an excerpt is taken, and long gaps split a trajectory.

use std::ops::Range;

use super::data::{Dataset, Trajectory};
use super::excerpt::{Excerpt, excerpt};
use super::forcing;
use super::grid::{fastest_rate, smooth};
use super::loss::Loss;
use super::outliers::{Outlier, codes, outliers, warning, wraps};
use super::parts::{Parts, has_enough};
use super::settings::Settings;
use crate::{Error, Result};

/// The fraction of its size below which a column's changes are rounding.
const CONSTANT: f64 = 1e-12;
/// The longest gap in a trajectory, as a fraction of the shortest period of the motion and in
/// median sampling intervals: over a longer one, nothing ties the states.
const GAP: f64 = 0.5;
const GAP_INTERVALS: f64 = 5.0;

/// The data as the search takes them.
pub(super) struct Prepared {
    pub data: Dataset,
    /// The trajectory of the caller's data that each trajectory is a part of.
    pub part_of: Vec<usize>,
    /// What the noise of each state in the caller's data is in units of that in these (K).
    pub noise: Vec<f64>,
    /// The values that were left out because they lie far from their neighbors.
    pub left_out: Vec<Outlier>,
    /// What the caller should know about the data, in words.
    pub warnings: Vec<String>,
}

/// Prepares valid data for the search.
///
/// # Errors
/// [`Error::Data`] if no state ever changes, or one that terms of the caller's own count on.
pub(super) fn prepare(data: &Dataset, settings: &Settings) -> Result<Prepared> {
    let mut warnings = Vec::new();
    let data = without_constant_inputs(data, settings, &mut warnings)?;
    let mut data = without_constants(&data, settings, &mut warnings)?;
    let found = outliers(&data);
    let cleared = without(&data, &found);
    let left = codes(&cleared);
    // The jumps to and from a code are none of an angle.
    warnings.extend(wraps(&cleared, |state| left.iter().all(|(coded, _)| *coded != state)));
    // What a robust search leaves out need not be marked. Of all values, a spike may hide a code.
    let mut named = if settings.robust { vec![] } else { codes(&data) };
    for (state, warning) in left {
        if named.iter().all(|(other, _)| *other != state) {
            named.push((state, warning));
        }
    }
    warnings.extend(named.into_iter().map(|(_, warning)| warning));
    warnings.extend(warning(&data, &found, settings.robust));
    let mut left_out = Vec::new();
    if settings.robust {
        cleared.validate()?;
        (data, left_out) = (cleared, found);
    }
    warnings.extend(forcing::warnings(&data, settings.interpolation));
    let Excerpt { parts: excerpt, noise, notes } = excerpt(data, settings)?;
    warnings.extend(notes);
    let Parts { data, part_of } = split_at_gaps(excerpt.data, settings, &mut warnings)?;
    let part_of = part_of.into_iter().map(|part| excerpt.part_of[part]).collect();
    Ok(Prepared { data, part_of, noise, left_out, warnings })
}

/// Returns the data with these values missing.
fn without(data: &Dataset, outliers: &[Outlier]) -> Dataset {
    let (mut cleared, k) = (data.clone(), data.states.len());
    for outlier in outliers {
        let values = &mut cleared.trajectories[outlier.trajectory].values;
        values[outlier.row * k + outlier.state] = f64::NAN;
    }
    cleared
}

/// Returns the data without columns that never change, of which it warns.
fn without_constants(
    data: &Dataset,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Dataset> {
    let varying = varying(&data.states, data, |t| &t.values, settings, warnings)?;
    match varying.len() {
        0 => Err(Error::Data(format!("`{}` never changes", data.states[0]))),
        left if left == data.states.len() => Ok(data.clone()),
        _ => Ok(data.with_states(&varying)),
    }
}

/// Returns the data without inputs that never change, of which it warns: the constant term stands
/// for them.
fn without_constant_inputs(
    data: &Dataset,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Dataset> {
    let varying = varying(&data.inputs, data, |t| &t.inputs, settings, warnings)?;
    Ok(data.with_inputs(&varying))
}

/// Returns those of the `names` whose series, the columns of what `values` returns, change, and warns
/// of the others.
fn varying(
    names: &[String],
    data: &Dataset,
    values: impl Fn(&Trajectory) -> &[f64],
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>> {
    let constant = |column: usize| {
        let series = |t| values(t).iter().skip(column).step_by(names.len());
        let (low, high) = data
            .trajectories
            .iter()
            .flat_map(series)
            .filter(|x| !x.is_nan())
            .fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        high - low <= CONSTANT * low.abs().max(high.abs())
    };
    let (constants, varying): (Vec<usize>, Vec<usize>) =
        (0..names.len()).partition(|&column| constant(column));
    let Some(&first) = constants.first() else { return Ok(names.to_vec()) };
    // Terms of the caller's own count on all columns.
    if !(settings.user_terms.is_empty() && settings.terms.is_empty()) {
        return Err(Error::Data(format!("`{}` never changes", names[first])));
    }
    let quoted: Vec<String> = constants.iter().map(|&c| format!("`{}`", names[c])).collect();
    let never = if quoted.len() == 1 { "never changes and was" } else { "never change and were" };
    warnings.push(format!("{} {never} left out", quoted.join(", ")));
    Ok(varying.into_iter().map(|column| names[column].clone()).collect())
}

/// Splits trajectories where a gap is so long that the motion in it is unknown, if all parts have
/// enough values to stand alone.
fn split_at_gaps(data: Dataset, settings: &Settings, warnings: &mut Vec<String>) -> Result<Parts> {
    let mut lengths: Vec<f64> = data
        .trajectories
        .iter()
        .flat_map(|t| t.time.windows(2).map(|pair| pair[1] - pair[0]))
        .collect();
    lengths.sort_by(f64::total_cmp);
    let usual = GAP_INTERVALS * lengths[lengths.len() / 2];
    // Smoothing the data costs something, and long gaps are rare.
    let gaps = |limit: f64| -> Vec<Vec<Range<usize>>> {
        let parts = |t: &Trajectory| parts(t, data.states.len(), limit);
        data.trajectories.iter().map(parts).collect()
    };
    let splits = |parts: &[Vec<Range<usize>>]| parts.iter().any(|parts| parts.len() > 1);
    if !splits(&gaps(usual)) {
        return Ok(Parts::whole(data));
    }
    let period =
        std::f64::consts::TAU / fastest_rate(&data, &smooth(&data, Loss::of(settings.robust))?);
    let ranges = gaps(usual.max(GAP * period));
    if !splits(&ranges) {
        return Ok(Parts::whole(data));
    }
    for (trajectory, parts) in data.trajectories.iter().zip(&ranges) {
        for after in &parts[1..] {
            let (from, to) = (trajectory.time[after.start - 1], trajectory.time[after.start]);
            warnings.push(format!(
                "the gap from {from} to {to} is too long for the motion (its shortest period is \
                 about {period:.2}): the data before and after it count as two trajectories"
            ));
        }
    }
    Ok(Parts::of(&data, &ranges, settings.interpolation))
}

/// Returns the parts of a trajectory between gaps longer than `limit`; the whole where a part would
/// have too few values of a state.
fn parts(trajectory: &Trajectory, k: usize, limit: f64) -> Vec<Range<usize>> {
    let rows = trajectory.time.len();
    let measured: Vec<usize> = (0..rows)
        .filter(|row| trajectory.values[row * k..][..k].iter().any(|x| !x.is_nan()))
        .collect();
    let mut starts = vec![0];
    for pair in measured.windows(2) {
        if trajectory.time[pair[1]] - trajectory.time[pair[0]] > limit {
            starts.push(pair[1]);
        }
    }
    let ends = starts[1..].iter().copied().chain([rows]);
    let parts: Vec<Range<usize>> =
        starts.iter().zip(ends).map(|(&start, end)| start..end).collect();
    let enough = |part: &Range<usize>| has_enough(trajectory, part, k);
    if parts.iter().all(enough) { parts } else { std::iter::once(0..rows).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Interpolation;

    /// An input that was switched on before the gap, and whose next value comes late.
    #[test]
    fn inputs_are_known_across_a_gap() {
        let time: Vec<f64> = (0..60).chain(200..260).map(|i| 0.1 * f64::from(i)).collect();
        let mut inputs = vec![f64::NAN; time.len()];
        (inputs[0], inputs[30], inputs[90]) = (0.0, 1.0, 4.0);
        let values = time.iter().map(|t| t.sin()).collect();
        let data = Dataset {
            states: vec!["x".into()],
            inputs: vec!["u".into()],
            trajectories: vec![Trajectory { time, values, inputs }],
        };
        let ends = |interpolation| {
            let settings = Settings { interpolation: Some(interpolation), ..Settings::default() };
            let prepared = prepare(&data, &settings).unwrap();
            assert_eq!(prepared.part_of, [0, 0]);
            let [before, after] =
                [0, 1].map(|part| prepared.data.trajectories[part].inputs.clone());
            [before[59], after[0]]
        };
        assert_eq!(ends(Interpolation::Hold), [1.0, 1.0]);
        let lines = ends(Interpolation::Linear);
        let expected = [5.9, 20.0].map(|t| 1.0 + 3.0 * (t - 3.0) / (23.0 - 3.0));
        assert!((lines[0] - expected[0]).abs() < 1e-9 && (lines[1] - expected[1]).abs() < 1e-9);
    }
}
