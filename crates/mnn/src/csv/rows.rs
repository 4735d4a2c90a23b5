//! Reads the rows of a table into trajectories.

use std::collections::HashMap;

use csv::StringRecord;
use mechanistic::discovery::{Dataset, Trajectory};
use mechanistic::{Result, ensure_memory};

use super::cell::{self, Cell};
use super::layout::Layout;
use super::numbers::{Numbers, Value};
use super::source::{Source, quoted};
use super::time::{Calendar, Clock};
use super::write::field;
use super::{Columns, Table, calendar, dialect};

/// The rows of one file.
pub struct Rows<'a> {
    source: &'a Source<'a>,
    layout: Layout,
    columns: &'a Columns,
    /// The columns of the states, and then of the inputs.
    values: Vec<usize>,
    /// The numbers that stand for missing values.
    missing_numbers: Vec<f64>,
    /// How dates become times, if the times are dates.
    calendar: Option<Calendar>,
    numbers: Numbers<'a>,
    groups: Groups,
    /// What each of the states, and then of the inputs, holds.
    found: Vec<Found>,
    /// The rows with the time of the row before: how many, and the line of the first.
    repeated: (usize, u64),
    /// A column that tells apart two rows of the same time.
    differs: Option<usize>,
}

/// What is known of a column.
#[derive(Clone, Default)]
struct Found {
    number: bool,
    /// The first field that is neither a number nor missing, and its line.
    text: Option<(u64, String)>,
    /// The last such field.
    last: String,
}

/// The trajectories of one file by the text in their trajectory column.
#[derive(Default)]
struct Groups {
    index: HashMap<String, usize>,
    names: Vec<String>,
    trajectories: Vec<Trajectory>,
    /// How many values of each column the last row of each trajectory stands for.
    counts: Vec<Vec<u32>>,
}

impl Groups {
    fn entry(&mut self, key: &str) -> usize {
        if let Some(&index) = self.index.get(key) {
            return index;
        }
        self.index.insert(key.to_owned(), self.trajectories.len());
        self.names.push(key.to_owned());
        self.trajectories.push(Trajectory::default());
        self.counts.push(Vec::new());
        self.trajectories.len() - 1
    }
}

/// Memory for a trajectory beside its values, in bytes.
const OF_TRAJECTORY: usize = 512;
/// Names of columns that tell apart what was measured, each with a time of its own.
const NAMES_OF_SERIES: [&str; 9] =
    ["id", "run", "subject", "trajectory", "series", "experiment", "replicate", "patient", "unit"];

impl<'a> Rows<'a> {
    /// Reads all rows. Dates are read by the clock of the files `before`, if there are any.
    pub fn read(
        source: &'a Source<'a>,
        layout: Layout,
        columns: &'a Columns,
        before: Option<Option<Clock>>,
    ) -> Result<Self> {
        // Vectors grow to twice what they hold, from half of that.
        let (rows, values) = (source.most_rows(), layout.states.len() + layout.inputs.len());
        let trajectories = if layout.trajectory.is_some() { rows } else { 1 };
        ensure_memory(
            &format!("the table {}", source.path.display()),
            &[
                (rows.saturating_mul(1 + values), 3 * size_of::<f64>()),
                (trajectories, OF_TRAJECTORY),
                (values, size_of::<Found>()),
            ],
        )?;
        let mut rows = Rows {
            source,
            columns,
            values: layout.states.iter().chain(&layout.inputs).copied().collect(),
            missing_numbers: columns.missing.iter().filter_map(|word| word.parse().ok()).collect(),
            calendar: calendar::find(source, &layout, columns, before)?,
            numbers: Numbers::new(source, columns.decimal),
            groups: Groups::default(),
            found: vec![Found::default(); values],
            layout,
            repeated: (0, 0),
            differs: None,
        };
        let unnamed = (0..source.header.len()).filter(|&column| source.header[column].is_empty());
        let mut unnamed: Vec<(usize, bool)> = unnamed.map(|column| (column, false)).collect();
        let (mut reader, mut record) = (source.rows()?, StringRecord::new());
        while source.next(&mut reader, &mut record)? {
            source.check_length(&record)?;
            rows.add(&record)?;
            for (column, used) in &mut unnamed {
                *used |= record.get(*column).is_some_and(|field| !field.is_empty());
            }
        }
        for (column, _) in unnamed.into_iter().filter(|(_, used)| *used) {
            let (path, number) = (source.path.display(), column + 1);
            tracing::warn!("{path}: column {number} has no name, and is left out");
        }
        Ok(rows)
    }

    /// Adds a row.
    fn add(&mut self, record: &StringRecord) -> Result<()> {
        let (source, line) = (self.source, self.source.line(record));
        let key = match self.layout.trajectory {
            Some(column) if record[column].is_empty() => {
                return Err(source.in_column(line, column, "a trajectory needs a name"));
            }
            Some(column) => &record[column],
            None => "",
        };
        let time = self.time(line, record)?;
        let group = self.groups.entry(key);
        let previous = self.groups.trajectories[group].time.last().copied();
        let repeats = previous == Some(time);
        if let Some(previous) = previous.filter(|previous| time < *previous) {
            return Err(self.falls(line, time, previous));
        }
        let mut values = Vec::with_capacity(self.values.len());
        for index in 0..self.values.len() {
            values.push(self.value(line, index, &record[self.values[index]], repeats)?);
        }
        let trajectory = &mut self.groups.trajectories[group];
        let counts = &mut self.groups.counts[group];
        let (states, inputs) = values.split_at(self.layout.states.len());
        if repeats {
            let first = trajectory.values.len() - states.len();
            let means = trajectory.values[first..].iter_mut();
            let first = trajectory.inputs.len() - inputs.len();
            let means = means.chain(&mut trajectory.inputs[first..]);
            for ((mean, count), value) in means.zip(counts).zip(&values) {
                average(mean, count, *value);
            }
            let (number, first) = self.repeated;
            self.repeated = (number + 1, if number == 0 { line } else { first });
        } else {
            trajectory.time.push(time);
            counts.clear();
            counts.extend(values.iter().map(|value| u32::from(!value.is_nan())));
            trajectory.values.extend(states);
            trajectory.inputs.extend(inputs);
        }
        Ok(())
    }

    fn time(&mut self, line: u64, record: &StringRecord) -> Result<f64> {
        let (column, text) = (self.layout.time, self.layout.time_text(record));
        if text.is_empty() {
            return Err(self.source.in_column(line, column, "the time is missing"));
        }
        let time = match self.calendar {
            Some(calendar) => calendar.time(&text),
            None => match self.numbers.read(line, column, &text)? {
                Value::Number(time) => Some(time),
                Value::Text => None,
            },
        };
        time.ok_or_else(|| {
            let message = format!("not a number: {}", quoted(&text));
            self.source.in_column(line, column, message)
        })
    }

    /// Returns an error for a time that falls.
    fn falls(&self, line: u64, time: f64, previous: f64) -> mechanistic::Error {
        let hint = match (self.layout.trajectory, self.calendar) {
            (_, Some(calendar)) if calendar.is_of_day() => {
                " (times of more than one day need a date in a column called date)"
            }
            (None, _) => " (several trajectories in one file need --trajectory)",
            (Some(_), _) => " (sort the rows of each trajectory by time)",
        };
        let (time, previous) = (field(time), field(previous));
        let message = format_args!("time must not fall, but {time} follows {previous}{hint}");
        self.source.in_column(line, self.layout.time, message)
    }

    /// Reads a value of the state or input with this index; NaN if it is missing.
    fn value(&mut self, line: u64, index: usize, text: &str, repeats: bool) -> Result<f64> {
        let given = |word: &String| word == text;
        if cell::is_missing(text) || self.columns.missing.iter().any(given) {
            return Ok(f64::NAN);
        }
        if !self.missing_numbers.is_empty()
            && let Cell::Number(value, _) | Cell::Doubtful(value) = cell::read(text)
            && self.missing_numbers.contains(&value)
        {
            return Ok(f64::NAN);
        }
        let (column, asked) = (self.values[index], !self.columns.states.is_empty());
        let is_input = index >= self.layout.states.len();
        let found = &mut self.found[index];
        match self.numbers.read(line, column, text)? {
            Value::Number(value) => {
                found.number = true;
                let name = || dialect::bare(&self.source.header[column]);
                if repeats && self.differs.is_none() && NAMES_OF_SERIES.contains(&&*name()) {
                    self.differs = Some(column);
                }
                Ok(value)
            }
            // A column of words alone is left out, if nobody asked for it.
            Value::Text if !asked && !is_input => {
                if repeats && !found.last.is_empty() && found.last != text {
                    self.differs.get_or_insert(column);
                }
                text.clone_into(&mut found.last);
                let text = found.text.get_or_insert_with(|| (line, text.to_owned()));
                match found.number {
                    true => Err(no_number(self.source, column, text)),
                    false => Ok(f64::NAN),
                }
            }
            Value::Text => Err(no_number(self.source, column, &(line, text.to_owned()))),
        }
    }

    /// Returns the table, and says what was left out of it.
    pub fn finish(mut self) -> Result<Table> {
        let (source, path) = (self.source, self.source.path.display());
        self.numbers.check()?;
        if self.groups.trajectories.is_empty() {
            return Err(source.in_header("there are no rows below the header"));
        }
        let kept = self.columns_of_numbers()?;
        self.check_repeated()?;
        let states = self.layout.states.len();
        let mut trajectories = std::mem::take(&mut self.groups.trajectories);
        if kept.len() < states {
            for trajectory in &mut trajectories {
                let rows = trajectory.values.chunks_exact(states);
                trajectory.values = rows.flat_map(|row| kept.iter().map(|&k| row[k])).collect();
            }
        }
        let least = self.columns.least_values;
        let trajectories = enough(trajectories, kept.len(), least, |left_out| {
            let names = left_out.iter().take(5).map(|&index| quoted(&self.groups.names[index]));
            let names: Vec<String> = names.collect();
            let more = if left_out.len() > names.len() { ", ..." } else { "" };
            let (plural, verb) = if left_out.len() == 1 { ("y", "is") } else { ("ies", "are") };
            tracing::warn!(
                "{path}: {} trajector{plural} with fewer than {least} values of a state {verb} left \
                 out: {}{more}",
                left_out.len(),
                names.join(", ")
            );
        });
        let named = |columns: &mut dyn Iterator<Item = usize>| -> Vec<String> {
            columns.map(|column| source.header[column].clone()).collect()
        };
        let time_name = &source.header[self.layout.time];
        let clock = self.calendar.map(|calendar| calendar.clock);
        let dataset = Dataset {
            states: named(&mut kept.iter().map(|&state| self.layout.states[state])),
            inputs: named(&mut self.layout.inputs.iter().copied()),
            trajectories,
        };
        let time_name = clock.map_or_else(|| time_name.clone(), |clock| clock.name(time_name));
        Ok(Table { time_name, clock, dataset })
    }

    /// Returns the states that have numbers, and says which have words instead.
    fn columns_of_numbers(&self) -> Result<Vec<usize>> {
        let (source, path) = (self.source, self.source.path.display());
        let mut kept = Vec::new();
        for (state, (&column, found)) in self.layout.states.iter().zip(&self.found).enumerate() {
            let name = &source.header[column];
            match &found.text {
                Some(text) if found.number => return Err(no_number(source, column, text)),
                Some((_, text)) => {
                    let text = quoted(text);
                    tracing::warn!("{path}: column `{name}` holds text ({text}), and is left out");
                }
                None if found.number => kept.push(state),
                None => {
                    let message = "every value is missing";
                    return Err(source.in_column(source.header_line, column, message));
                }
            }
        }
        if kept.is_empty() {
            let message = "no column but the time holds numbers: no states";
            return Err(source.in_header(message));
        }
        Ok(kept)
    }

    /// Checks that rows at the same time are measurements of the same, and says so.
    fn check_repeated(&self) -> Result<()> {
        let (source, (count, line)) = (self.source, self.repeated);
        if count == 0 {
            return Ok(());
        }
        if let Some(column) = self.differs.filter(|_| self.layout.trajectory.is_none()) {
            let name = &source.header[column];
            let message = format!(
                "two rows have the same time; is one of another trajectory (--trajectory {name}), \
                 or not (--states, without {name})?"
            );
            return Err(source.in_column(line, column, message));
        }
        let more = self.layout.states.iter().find(|&&c| dialect::is_time_name(&source.header[c]));
        if let Some(&column) = more.filter(|_| self.columns.states.is_empty()) {
            let name = &source.header[column];
            let message = format!(
                "the time is that of the row before, and there is `{name}`: write all of the time \
                 into one column, or choose with --time and --states"
            );
            return Err(source.in_column(line, self.layout.time, message));
        }
        let path = source.path.display();
        let (plural, verb) = if count == 1 { ("", "has") } else { ("s", "have") };
        tracing::warn!(
            "{path}:{line}: {count} row{plural} {verb} the time of the row before: values at the same \
             time are averaged (several trajectories need --trajectory)"
        );
        Ok(())
    }
}

/// Returns an error for a field that is no number.
fn no_number(source: &Source, column: usize, (line, text): &(u64, String)) -> mechanistic::Error {
    let hint = match text.contains([',', ' ', '"', '\'']) {
        true => "--missing can name what stands for a missing value",
        false => &format!("--missing {text} if it stands for a missing value"),
    };
    let message = format_args!("not a number: {} ({hint})", quoted(text));
    source.in_column(*line, column, message)
}

/// Puts a value, unless it is missing, into the mean of so many.
fn average(mean: &mut f64, count: &mut u32, value: f64) {
    if value.is_nan() {
        return;
    }
    let (before, after) = (f64::from(*count), f64::from(*count + 1));
    // Products of this form do not overflow.
    *mean = if *count == 0 { value } else { *mean * (before / after) + value / after };
    *count += 1;
}

/// Returns the trajectories that have at least so many values of each state, and tells the others;
/// all of them if none has.
fn enough(
    trajectories: Vec<Trajectory>,
    states: usize,
    least: usize,
    tell: impl FnOnce(&[usize]),
) -> Vec<Trajectory> {
    let suffices = |trajectory: &Trajectory| {
        (0..states).all(|state| {
            let values = trajectory.values.iter().skip(state).step_by(states);
            values.filter(|value| !value.is_nan()).count() >= least
        })
    };
    let short: Vec<usize> =
        (0..trajectories.len()).filter(|&index| !suffices(&trajectories[index])).collect();
    if short.is_empty() || short.len() == trajectories.len() {
        return trajectories;
    }
    tell(&short);
    trajectories.into_iter().filter(suffices).collect()
}
