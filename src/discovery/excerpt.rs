//! An excerpt of long data, from which the equations are found.
//!
//! More points than some tens of thousands hardly make equations sharper, but the search longer. Where
//! values are measured much faster than they change, those of a short time are averaged. If that leaves too
//! many points still, the trajectories are cut into pieces, of which some are taken that are spread
//! evenly.

use std::ops::Range;

use super::data::{Dataset, Trajectory};
use super::grid::{fastest_rate, smooth};
use super::loss::Loss;
use super::parts::{Parts, has_enough};
use super::settings::Settings;
use crate::{Error, Result};

/// The longest time over which is averaged, in which a state hardly changes: as a fraction of the
/// reciprocal of the motion's angular frequency. What averaging leaves of a wave is below 1e-6 of it.
const BLOCK: f64 = 0.1;
/// The least number of pieces into which what is taken of long data is divided.
const PIECES: usize = 10;
/// The variance of an average that is corrected for curvature, Σ of (13/12)² and twice (1/24)², in
/// units of that of the mean.
const CORRECTED: f64 = (169.0 + 0.5) / 144.0;
/// The part of the usual extent of three neighbors below which others are taken, because there is a
/// gap between the usual ones.
const NEARER: f64 = 0.7;

/// An excerpt of data.
pub(super) struct Excerpt {
    /// The pieces, and the trajectories that they belong to.
    pub parts: Parts,
    /// What the noise of the data is in units of that of the excerpt.
    pub noise: f64,
    /// What was done, in words.
    pub note: Option<String>,
}

/// Returns the whole data if they have at most [`Settings::max_points`] points, or an excerpt.
///
/// # Errors
/// [`Error::Data`] if the excerpt cannot be smoothed.
pub(super) fn excerpt(data: Dataset, settings: &Settings) -> Result<Excerpt> {
    let most = settings.max_points;
    let rows = rows(&data);
    if rows <= most {
        return Ok(Excerpt { parts: Parts::whole(data), noise: 1.0, note: None });
    }
    // An average has no row by which it could be named, and cannot tell when an input jumped.
    let averages = !settings.robust && data.inputs.is_empty();
    let interval = interval(&data);
    // A few more rows than that become one, because gaps end some blocks early.
    let sufficient = (rows + rows / 20).div_ceil(most);
    let mut block = 1;
    let (mut reduced, mut taken) = (None, pieces(&data, settings));
    while block < sufficient {
        let smoothed = smooth(&taken.data, Loss::of(settings.robust)).map_err(in_excerpt)?;
        // A piece that is shorter than a period makes the motion look faster than it is.
        let longest = BLOCK / (fastest_rate(&taken.data, &smoothed) * interval);
        let longer = (longest as usize).min(sufficient);
        if longer < sufficient.min(2 * block) {
            break;
        }
        block = longer;
        let duration = block as f64 * interval;
        let all = data.trajectories.iter().map(|t| match averages {
            true => averaged(t, data.states.len(), duration),
            false => thinned(t, data.states.len(), duration),
        });
        let fewer = Dataset { trajectories: all.collect(), ..named_like(&data) };
        taken = pieces(&fewer, settings);
        reduced = Some(fewer);
    }
    let points = reduced.as_ref().map_or(rows, self::rows);
    let each = rows as f64 / points as f64;
    let noise = if averages && block > 1 { (each / CORRECTED).sqrt() } else { 1.0 };
    let what = match (block, averages) {
        (1, _) => "rows".to_owned(),
        (_, true) => format!("averages of about {each:.0} rows each"),
        (_, false) => format!("rows, of which about {each:.0} follow each other in the data"),
    };
    let (count, used) = (taken.part_of.len(), self::rows(&taken.data));
    let pieces = match used == points {
        true => String::new(),
        false => format!(" in {count} pieces that are spread evenly"),
    };
    let note = format!(
        "the data are long ({rows} rows): the equations were estimated from {used} {what}{pieces} \
         (max_points is {most})"
    );
    Ok(Excerpt { parts: taken, noise, note: Some(note) })
}

fn in_excerpt(error: Error) -> Error {
    match error {
        Error::Data(message) => Error::Data(format!(
            "{message}, in the excerpt that is taken of long data (a larger max_points takes more \
             of them)"
        )),
        other => other,
    }
}

/// Returns a data set without trajectories whose columns have the same names.
fn named_like(data: &Dataset) -> Dataset {
    let (states, inputs) = (data.states.clone(), data.inputs.clone());
    Dataset { states, inputs, trajectories: vec![] }
}

fn rows(data: &Dataset) -> usize {
    data.trajectories.iter().map(|t| t.time.len()).sum()
}

/// Returns the median sampling interval.
fn interval(data: &Dataset) -> f64 {
    let pairs = data.trajectories.iter().flat_map(|t| t.time.windows(2));
    let mut lengths: Vec<f64> = pairs.map(|pair| pair[1] - pair[0]).collect();
    let middle = lengths.len() / 2;
    *lengths.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Returns so many pieces of trajectories that they have about [`Settings::max_points`] points, spread
/// evenly; all data if these are no more.
fn pieces(data: &Dataset, settings: &Settings) -> Parts {
    let most = settings.max_points;
    let longest = (most / PIECES).max(1);
    let mut all: Vec<(usize, Range<usize>)> = Vec::new();
    for (index, trajectory) in data.trajectories.iter().enumerate() {
        let rows = trajectory.time.len();
        let count = rows.div_ceil(longest);
        let piece = |i: usize| i * rows / count..(i + 1) * rows / count;
        let enough = |piece: &Range<usize>| has_enough(trajectory, piece, data.states.len());
        all.extend((0..count).map(piece).filter(enough).map(|piece| (index, piece)));
    }
    let total: usize = all.iter().map(|(_, piece)| piece.len()).sum();
    if rows(data) <= most || total == 0 {
        return Parts::whole(data.clone());
    }
    let count = (all.len() * most / total).clamp(1, all.len());
    let mut ranges = vec![Vec::new(); data.trajectories.len()];
    for place in (0..count).map(|i| (2 * i + 1) * all.len() / (2 * count)) {
        let (index, piece) = all[place].clone();
        ranges[index].push(piece);
    }
    Parts::of(data, &ranges, settings.interpolation)
}

/// Returns the ranges of rows that lie within this time of their first.
fn blocks(time: &[f64], duration: f64) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    // A row at the very end of the time belongs to the next block, whatever rounding says.
    let limit = duration * (1.0 - 1e-6);
    for row in 1..=time.len() {
        if time.get(row).is_none_or(|t| t - time[start] >= limit) {
            blocks.push(start..row);
            start = row;
        }
    }
    blocks
}

/// Returns in each block of rows the first that has a value of a state, for each of the `k` states.
fn thinned(trajectory: &Trajectory, k: usize, duration: f64) -> Trajectory {
    let mut left = Vec::new();
    for block in blocks(&trajectory.time, duration) {
        let first =
            |state: usize| block.clone().find(|row| !trajectory.values[row * k + state].is_nan());
        let mut rows: Vec<usize> = (0..k).filter_map(first).collect();
        rows.sort_unstable();
        rows.dedup();
        left.extend(rows);
    }
    let inputs = trajectory.inputs.len() / trajectory.time.len();
    let of = |values: &[f64], columns: usize| -> Vec<f64> {
        left.iter().flat_map(|row| values[row * columns..][..columns].to_vec()).collect()
    };
    Trajectory {
        time: of(&trajectory.time, 1),
        values: of(&trajectory.values, k),
        inputs: of(&trajectory.inputs, inputs),
    }
}

/// The values of one state in one block of rows.
#[derive(Clone, Copy)]
struct Mean {
    block: usize,
    time: f64,
    value: f64,
    /// Variance of the times.
    spread: f64,
}

/// Returns one row for each block of rows, at the mean of their times: the means of the `k` states there.
///
/// The mean of a curved function, u + ½u''·s² where s² is the variance of the times, is corrected by
/// the curvature ½u'' of the parabola through three neighboring means.
fn averaged(trajectory: &Trajectory, k: usize, duration: f64) -> Trajectory {
    let blocks = blocks(&trajectory.time, duration);
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let time: Vec<f64> = blocks.iter().map(|b| average(&trajectory.time[b.clone()])).collect();
    let mut values = vec![f64::NAN; blocks.len() * k];
    for state in 0..k {
        let mean = |(block, rows): (usize, &Range<usize>)| {
            let value = |row: &usize| trajectory.values[row * k + state];
            let present = rows.clone().filter(|row| !value(row).is_nan());
            let count = present.clone().count() as f64;
            // Differences from a first value, which lose no digits far from zero.
            let first = present.clone().next()?;
            let (t0, x0) = (trajectory.time[first], value(&first));
            let late = |row: usize| trajectory.time[row] - t0;
            let later = present.clone().map(late).sum::<f64>() / count;
            let higher = present.clone().map(|row| value(&row) - x0).sum::<f64>() / count;
            let spread = present.map(|row| (late(row) - later).powi(2)).sum::<f64>() / count;
            Some(Mean { block, time: t0 + later, value: x0 + higher, spread })
        };
        let means: Vec<Mean> = blocks.iter().enumerate().filter_map(mean).collect();
        for (place, mean) in means.iter().enumerate() {
            values[mean.block * k + state] = corrected(&means, place, time[mean.block]);
        }
    }
    Trajectory { time, values, inputs: vec![] }
}

/// Returns what the state is at `time`, near the mean at this place.
fn corrected(means: &[Mean], place: usize, time: f64) -> f64 {
    let mean = means[place];
    let extent = |first: usize| means[first + 2].time - means[first].time;
    let firsts = place.saturating_sub(2)..=place.min(means.len().saturating_sub(3));
    let usual = place.saturating_sub(1).min(means.len().saturating_sub(3));
    let nearest = firsts.filter(|first| first + 2 < means.len());
    let nearest = nearest.min_by(|a, b| extent(*a).total_cmp(&extent(*b)));
    let Some(nearest) = nearest else { return mean.value };
    let first = if extent(nearest) < NEARER * extent(usual) { nearest } else { usual };
    let [a, b, c] = [means[first], means[first + 1], means[first + 2]];
    let slope = (b.value - a.value) / (b.time - a.time);
    let bend = ((c.value - b.value) / (c.time - b.time) - slope) / (c.time - a.time);
    let from = time - mean.time;
    let slope = slope + bend * ((mean.time - a.time) + (mean.time - b.time));
    mean.value - bend * mean.spread + from * (slope + bend * from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two waves, the second of which was not measured for a while, with some rows missing altogether.
    fn waves(count: u32, step: f64) -> Dataset {
        let time: Vec<f64> = (0..count).map(|i| step * f64::from(i)).collect();
        let time: Vec<f64> = time.into_iter().filter(|t| !(10.0..13.0).contains(t)).collect();
        let state = |t: &f64| [t.sin(), if (5.0..6.0).contains(t) { f64::NAN } else { t.cos() }];
        let values = time.iter().flat_map(state).collect();
        Dataset {
            states: vec!["x".into(), "y".into()],
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        }
    }

    fn settings(max_points: usize) -> Settings {
        Settings { max_points, ..Settings::default() }
    }

    #[test]
    fn short_data_are_taken_whole() {
        let data = waves(2000, 0.01);
        let taken = excerpt(data.clone(), &settings(2000)).unwrap();
        assert!(taken.note.is_none() && taken.noise == 1.0 && taken.parts.part_of == [0]);
        assert_eq!(taken.parts.data.trajectories[0].time, data.trajectories[0].time);
    }

    #[test]
    fn averages_are_values_of_the_motion() {
        let taken = excerpt(waves(40_000, 0.001), &settings(1000)).unwrap();
        let note = taken.note.unwrap();
        assert!(
            note.contains("37000 rows") && note.contains("averages of about 39 rows"),
            "{note}"
        );
        assert!((taken.noise - (39.0_f64 / 1.177).sqrt()).abs() < 0.02, "{}", taken.noise);
        let trajectory = &taken.parts.data.trajectories[0];
        assert!((930..=970).contains(&trajectory.time.len()), "{}", trajectory.time.len());
        for (t, values) in trajectory.time.iter().zip(trajectory.values.chunks_exact(2)) {
            assert!((values[0] - t.sin()).abs() < 1e-6, "{t}: {}", values[0] - t.sin());
            let missing = (5.04..5.96).contains(t);
            assert!(values[1].is_nan() || (values[1] - t.cos()).abs() < 1e-6, "{t}");
            assert!(!missing || values[1].is_nan(), "{t}");
        }
    }

    #[test]
    fn without_averages_rows_are_left_out() {
        let robust = Settings { robust: true, ..settings(1000) };
        let data = waves(40_000, 0.001);
        let taken = excerpt(data.clone(), &robust).unwrap();
        let whole = &data.trajectories[0];
        let trajectory = &taken.parts.data.trajectories[0];
        assert!((930..=1000).contains(&trajectory.time.len()), "{}", trajectory.time.len());
        for (t, values) in trajectory.time.iter().zip(trajectory.values.chunks_exact(2)) {
            let row = whole.time.iter().position(|other| other == t).unwrap();
            assert_eq!(values[0], whole.values[2 * row]);
        }
        assert_eq!(taken.noise, 1.0);
    }

    /// Steps of a fortieth of a period cannot be averaged.
    #[test]
    fn long_motions_are_cut_into_pieces() {
        let data = waves(20_000, 0.15);
        let taken = excerpt(data.clone(), &settings(1000)).unwrap();
        let note = taken.note.unwrap();
        assert!(note.contains("990 rows in 10 pieces that are spread evenly"), "{note}");
        assert_eq!(taken.parts.part_of, [0; 10]);
        let starts: Vec<f64> =
            taken.parts.data.trajectories.iter().map(|piece| piece.time[0]).collect();
        assert!(
            starts.windows(2).all(|pair| (pair[1] - pair[0] - 300.0).abs() < 20.0),
            "{starts:?}"
        );
        // Of many trajectories some are taken whole.
        let one = &data.trajectories[0];
        let part = |i: usize| Trajectory {
            time: one.time[i * 50..(i + 1) * 50].to_vec(),
            values: one.values[i * 100..(i + 1) * 100].to_vec(),
            inputs: vec![],
        };
        let many = Dataset { trajectories: (0..300).map(part).collect(), ..data };
        let taken = excerpt(many, &settings(1000)).unwrap();
        assert_eq!(taken.parts.part_of.len(), 20);
        assert!(taken.parts.data.trajectories.iter().all(|piece| piece.time.len() == 50));
    }

    #[test]
    fn a_state_that_does_not_change_in_the_excerpt_is_named() {
        let mut data = waves(20_000, 0.15);
        let values = data.trajectories[0].values.iter_mut().skip(1).step_by(2);
        values.enumerate().for_each(|(row, y)| *y = f64::from(u8::from(row == 7)));
        let message = excerpt(data, &settings(1000)).err().unwrap().to_string();
        assert!(message.contains("`y` never changes, in the excerpt"), "{message}");
    }
}
