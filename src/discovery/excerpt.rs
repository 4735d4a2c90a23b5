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
/// reciprocal of the motion's angular frequency. What averaging leaves of a wave is below 1e-6 of it, and
/// below 1e-5 where a trajectory or a gap ends, because blocks are shorter there.
const BLOCK: f64 = 0.1;
/// The least number of pieces into which what is taken of long data is divided.
const PIECES: usize = 10;
/// The variance of an average that is corrected for curvature, Σ of (13/12)² and twice (1/24)², in
/// units of that of the mean.
const CORRECTED: f64 = (169.0 + 0.5) / 144.0;
/// The distance between the mean time of a state's values in a block and that of all rows there, as a
/// fraction of the block, beyond which these values are not averaged.
const ONE_SIDED: f64 = 0.2;
/// The part of the usual extent of three neighbors below which others are taken, because there is a
/// gap between the usual ones.
const NEARER: f64 = 0.7;

/// An excerpt of data.
pub(super) struct Excerpt {
    /// The pieces, and the trajectories that they belong to.
    pub parts: Parts,
    /// What the noise of each state is in units of that in the excerpt (K).
    pub noise: Vec<f64>,
    /// What was done, in words.
    pub notes: Vec<String>,
}

/// Returns the whole data if they have at most [`Settings::max_points`] points, or an excerpt.
///
/// # Errors
/// [`Error::Data`] if no piece has enough values, if one of the columns does not change in the excerpt,
/// or if it cannot be smoothed.
pub(super) fn excerpt(data: Dataset, settings: &Settings) -> Result<Excerpt> {
    let (most, k) = (settings.max_points, data.states.len());
    let rows = rows(&data);
    if rows <= most {
        return Ok(Excerpt { parts: Parts::whole(data), noise: vec![1.0; k], notes: vec![] });
    }
    // An average has no row by which it could be named.
    let averages = !settings.robust;
    let interval = interval(&data);
    let rate = |taken: &Parts| -> Result<f64> {
        let smoothed = smooth(&taken.data, Loss::of(settings.robust)).map_err(in_excerpt)?;
        Ok(fastest_rate(&taken.data, &smoothed))
    };
    // A few more rows than that become one, because gaps end some blocks early.
    let sufficient = (rows + rows / 20).div_ceil(most);
    let mut block = 1;
    let (mut reduced, mut taken) = (None, pieces(&data, settings)?);
    // What an input does between two rows must not be lost.
    while data.inputs.is_empty() && block < sufficient {
        // A piece that is shorter than a period makes the motion look faster than it is.
        let longest = BLOCK / (rate(&taken)? * interval);
        let longer = (longest as usize).min(sufficient);
        if longer < sufficient.min(2 * block) {
            break;
        }
        let duration = longer as f64 * interval;
        let all = data.trajectories.iter().map(|t| match averages {
            true => averaged(t, k, duration),
            false => thinned(t, k, duration),
        });
        let trajectories: Vec<Trajectory> = all.collect();
        // Of short trajectories nothing would be left; some of them are taken instead.
        if !trajectories.iter().all(|t| has_enough(t, &(0..t.time.len()), k)) {
            break;
        }
        block = longer;
        let fewer = Dataset { states: data.states.clone(), inputs: vec![], trajectories };
        taken = pieces(&fewer, settings)?;
        reduced = Some(fewer);
    }
    let constant = |input: &usize| taken.data.different_values(*input, 1) == 1;
    if let Some(input) = (0..data.inputs.len()).find(constant) {
        let name = &data.inputs[input];
        return Err(in_excerpt(Error::Data(format!("`{name}` never changes"))));
    }
    let counted = reduced.as_ref().unwrap_or(&data);
    let points = self::rows(counted);
    let each = rows as f64 / points as f64;
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
    let mut notes = vec![format!(
        "the data are long ({rows} rows): the equations were estimated from {used} {what}{pieces} \
         (max_points is {most})"
    )];
    let fastest = rate(&taken)?;
    if block > 1 && fastest * interval * block as f64 > 2.0 * BLOCK {
        notes.push(
            "what was averaged or left out changes faster than the pieces that were looked at \
             first: a larger max_points takes more of the data"
                .into(),
        );
    }
    let noise = match averages && block > 1 {
        true => (0..k).map(|state| {
            let averaged = values(&data, state) as f64 / values(counted, state) as f64;
            (averaged / CORRECTED).sqrt().max(1.0)
        }),
        false => return Ok(Excerpt { parts: taken, noise: vec![1.0; k], notes }),
    };
    Ok(Excerpt { noise: noise.collect(), parts: taken, notes })
}

/// Returns the number of values of a state.
fn values(data: &Dataset, state: usize) -> usize {
    let k = data.states.len();
    let all = data.trajectories.iter().flat_map(|t| t.values.iter().skip(state).step_by(k));
    all.filter(|x| !x.is_nan()).count()
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
///
/// # Errors
/// [`Error::Data`] if no piece has enough values of every column.
fn pieces(data: &Dataset, settings: &Settings) -> Result<Parts> {
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
    if rows(data) <= most {
        return Ok(Parts::whole(data.clone()));
    }
    let total: usize = all.iter().map(|(_, piece)| piece.len()).sum();
    if total == 0 {
        return Err(Error::Data(format!(
            "no stretch of {longest} rows has enough values of every column; a larger max_points \
             takes longer ones"
        )));
    }
    let count = (all.len() * most / total).clamp(1, all.len());
    let mut ranges = vec![Vec::new(); data.trajectories.len()];
    for place in (0..count).map(|i| (2 * i + 1) * all.len() / (2 * count)) {
        let (index, piece) = all[place].clone();
        ranges[index].push(piece);
    }
    Ok(Parts::of(data, &ranges, settings.interpolation))
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
    let of = |values: &[f64], columns: usize| -> Vec<f64> {
        left.iter().flat_map(|row| values[row * columns..][..columns].to_vec()).collect()
    };
    Trajectory { time: of(&trajectory.time, 1), values: of(&trajectory.values, k), inputs: vec![] }
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
/// the curvature ½u'' of the cubic through four neighboring means.
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
            // A few values at one end of a block do not say what the state is in its middle.
            let off = (t0 + later - time[block]).abs();
            let one_sided = spread > 0.0 && off > ONE_SIDED * duration;
            (!one_sided).then_some(Mean { block, time: t0 + later, value: x0 + higher, spread })
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
    let Some(last) = means.len().checked_sub(3) else { return mean.value };
    let extent = |first: usize| means[first + 2].time - means[first].time;
    let usual = place.saturating_sub(1).min(last);
    let firsts = place.saturating_sub(2)..=place.min(last);
    let nearest = firsts.min_by(|a, b| extent(*a).total_cmp(&extent(*b))).unwrap_or(usual);
    let first = if extent(nearest) < NEARER * extent(usual) { nearest } else { usual };
    let [a, b, c] = [means[first], means[first + 1], means[first + 2]];
    let slope = |a: Mean, b: Mean| (b.value - a.value) / (b.time - a.time);
    let bend = |a: Mean, b: Mean, c: Mean| (slope(b, c) - slope(a, b)) / (c.time - a.time);
    // At the ends, and beside gaps, the mean is not the middle one of three, where ½u'' is that of a
    // parabola up to the fourth order.
    let fourth = match place <= first {
        true => means.get(first + 3),
        false => first.checked_sub(1).map(|before| &means[before]),
    };
    let third = match fourth {
        Some(&d) if place != first + 1 => (bend(b, c, d) - bend(a, b, c)) / (d.time - a.time),
        _ => 0.0,
    };
    let [to_a, to_b, to_c] = [a, b, c].map(|other| mean.time - other.time);
    let from = time - mean.time;
    let along = slope(a, b) + bend(a, b, c) * (to_a + to_b);
    mean.value - (bend(a, b, c) + third * (to_a + to_b + to_c)) * mean.spread
        + from * (along + bend(a, b, c) * from)
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
        assert!(taken.notes.is_empty() && taken.noise == [1.0; 2] && taken.parts.part_of == [0]);
        assert_eq!(taken.parts.data.trajectories[0].time, data.trajectories[0].time);
    }

    #[test]
    fn averages_are_values_of_the_motion() {
        let taken = excerpt(waves(40_000, 0.001), &settings(1000)).unwrap();
        let note = &taken.notes[0];
        assert!(
            note.contains("37000 rows") && note.contains("averages of about 39 rows"),
            "{note}"
        );
        for noise in &taken.noise {
            assert!((noise - (39.0_f64 / 1.177).sqrt()).abs() < 0.05, "{noise}");
        }
        let trajectory = &taken.parts.data.trajectories[0];
        assert!((930..=970).contains(&trajectory.time.len()), "{}", trajectory.time.len());
        for (t, values) in trajectory.time.iter().zip(trajectory.values.chunks_exact(2)) {
            let at_an_end =
                [0.0, 5.0, 6.0, 10.0, 13.0, 40.0].iter().any(|end| (t - end).abs() < 0.1);
            let limit = if at_an_end { 1e-5 } else { 1e-6 };
            assert!((values[0] - t.sin()).abs() < limit, "{t}: {}", values[0] - t.sin());
            let missing = (5.04..5.96).contains(t);
            assert!(values[1].is_nan() || (values[1] - t.cos()).abs() < limit, "{t}");
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
        assert_eq!(taken.noise, [1.0; 2]);
    }

    /// Steps of a fortieth of a period cannot be averaged.
    #[test]
    fn long_motions_are_cut_into_pieces() {
        let data = waves(20_000, 0.15);
        let taken = excerpt(data.clone(), &settings(1000)).unwrap();
        let note = &taken.notes[0];
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

    /// Averages of these would be too few for curves.
    #[test]
    fn of_many_short_trajectories_some_are_taken() {
        let one = |i: u32| {
            let time: Vec<f64> = (0..5).map(|row| 0.01 * f64::from(row)).collect();
            let values = time.iter().map(|t| (1.0 + f64::from(i)) * (-t).exp()).collect();
            Trajectory { time, values, inputs: vec![] }
        };
        let data = Dataset {
            states: vec!["x".into()],
            inputs: vec![],
            trajectories: (0..100).map(one).collect(),
        };
        let taken = excerpt(data, &settings(100)).unwrap();
        assert_eq!(taken.parts.part_of.len(), 20);
        assert!(taken.parts.data.trajectories.iter().all(|t| t.time.len() == 5));
    }

    /// A switch between two rows that would be kept must not be lost, nor an input that is constant in
    /// the pieces.
    #[test]
    fn inputs_keep_their_rows() {
        let mut data = waves(40_000, 0.001);
        data.inputs = vec!["u".into()];
        let rows = data.trajectories[0].time.len();
        data.trajectories[0].inputs = (0..rows).map(|row| f64::from(row as u32 / 7 % 2)).collect();
        let taken = excerpt(data.clone(), &settings(1000)).unwrap();
        for piece in &taken.parts.data.trajectories {
            assert!(piece.time.windows(2).all(|pair| pair[1] - pair[0] < 0.0011));
        }
        data.trajectories[0].inputs.fill(0.0);
        data.trajectories[0].inputs[7] = 1.0;
        let message = excerpt(data, &settings(1000)).err().unwrap().to_string();
        assert!(message.contains("`u` never changes, in the excerpt"), "{message}");
    }

    #[test]
    fn values_that_are_too_rare_are_refused() {
        let mut data = waves(20_000, 0.15);
        let values = data.trajectories[0].values.iter_mut().skip(1).step_by(2);
        values.enumerate().filter(|(row, _)| row % 90 != 0).for_each(|(_, y)| *y = f64::NAN);
        let message = excerpt(data, &settings(1000)).err().unwrap().to_string();
        assert!(message.contains("no stretch of 100 rows has enough values"), "{message}");
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
