//! Reads the rows of a table into trajectories.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;
use mechanistic::discovery::{Dataset, Trajectory};
use mechanistic::{Result, ensure_memory};

use super::cell::{self, Cell};
use super::layout::Layout;
use super::numbers::{Numbers, Value};
use super::source::{Source, beginning, quoted};
use super::time::Calendar;
use super::write::field;
use super::{Columns, First, Part, Table, calendar, dialect};

/// The rows of one file.
pub struct Rows<'a> {
    source: &'a Source<'a>,
    layout: Layout,
    columns: &'a Columns,
    /// The columns of the states, and then of the inputs.
    values: Vec<usize>,
    /// What the user says to be missing values.
    missing: Vec<Missing<'a>>,
    /// How dates become times, if the times are dates.
    calendar: Option<Calendar>,
    numbers: Numbers<'a>,
    groups: Groups,
    /// What each of the states, and then of the inputs, holds.
    found: Vec<Found>,
    /// The rows with the time of the row before: how many, and the line of the first.
    repeated: (usize, u64),
    /// The first column that tells apart two rows of the same time.
    differs: Option<usize>,
}

/// A word for missing values.
struct Missing<'a> {
    word: &'a str,
    /// The number that it is, if it is one.
    number: Option<f64>,
    /// Whether the table has it.
    found: bool,
}

/// Returns the number that a field holds, if it holds one.
fn number(text: &str) -> Option<f64> {
    match cell::read(text) {
        Cell::Number(value, _) | Cell::Doubtful(value) => Some(value),
        Cell::Grouped | Cell::Text => None,
    }
}

/// What is known of a column.
#[derive(Clone, Default)]
struct Found {
    number: bool,
    /// The last number.
    value: f64,
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
    /// Returns the index of the trajectory with this text, which is added if there is none.
    fn entry(&mut self, path: &Path, key: &str) -> Result<usize> {
        const LONG: usize = 1 << 16;
        if let Some(&index) = self.index.get(key) {
            return Ok(index);
        }
        let count = self.trajectories.len();
        if count.is_power_of_two() || key.len() > LONG {
            // Room for as many again, and the name twice.
            let needs = [(count, OF_TRAJECTORY), (key.len(), 2)];
            ensure_memory(&format!("the table {}", path.display()), &needs)?;
        }
        self.index.insert(key.to_owned(), self.trajectories.len());
        self.names.push(key.to_owned());
        self.trajectories.push(Trajectory::default());
        self.counts.push(Vec::new());
        Ok(count)
    }
}

/// Memory for a trajectory beside its values, in bytes.
const OF_TRAJECTORY: usize = 512;
/// Names of columns that tell apart what was measured, each with a time of its own.
const NAMES_OF_SERIES: [&str; 9] =
    ["id", "run", "subject", "trajectory", "series", "experiment", "replicate", "patient", "unit"];

impl<'a> Rows<'a> {
    /// Reads all rows. Dates are read by the clock of the `first` file, if that is another.
    pub fn read(
        source: &'a Source<'a>,
        layout: Layout,
        columns: &'a Columns,
        first: Option<&First>,
    ) -> Result<Self> {
        // Vectors grow to twice what they hold, from half of that.
        let (rows, values) = (source.most_rows(), layout.states.len() + layout.inputs.len());
        ensure_memory(
            &format!("the table {}", source.path.display()),
            &[
                (rows.saturating_mul(1 + values), 3 * size_of::<f64>()),
                (values, size_of::<Found>()),
            ],
        )?;
        let words = columns.missing.iter();
        let mut rows = Rows {
            source,
            columns,
            values: layout.states.iter().chain(&layout.inputs).copied().collect(),
            missing: words
                .map(|word| Missing { word, number: number(word), found: false })
                .collect(),
            calendar: calendar::find(source, &layout, columns, first.map(|first| first.clock))?,
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
        let group = self.groups.entry(source.path, key)?;
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
            return Err(self.source.in_column(
                line,
                column,
                "the time is missing: write it, or delete the row",
            ));
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
            (None, _) => " (sort the rows by time; several trajectories need --trajectory)",
            (Some(_), _) => " (sort the rows of each trajectory by time)",
        };
        let (time, previous) = (field(time), field(previous));
        let message = format_args!("time must not fall, but {time} follows {previous}{hint}");
        self.source.in_column(line, self.layout.time, message)
    }

    /// Returns whether the user says that a field is a missing value.
    fn is_named_missing(&mut self, text: &str) -> bool {
        if self.missing.is_empty() {
            return false;
        }
        let (number, mut named) = (number(text), false);
        for missing in &mut self.missing {
            let same = missing.word == text || number.is_some() && missing.number == number;
            missing.found |= same;
            named |= same;
        }
        named
    }

    /// Reads a value of the state or input with this index; NaN if it is missing.
    fn value(&mut self, line: u64, index: usize, text: &str, repeats: bool) -> Result<f64> {
        if self.is_named_missing(text) || cell::is_missing(text) {
            return Ok(f64::NAN);
        }
        let (column, asked) = (self.values[index], !self.columns.states.is_empty());
        let is_input = index >= self.layout.states.len();
        let found = &mut self.found[index];
        match self.numbers.read(line, column, text)? {
            Value::Number(value) => {
                found.number = true;
                let name = || dialect::bare(&self.source.header[column]);
                if repeats && found.value != value && NAMES_OF_SERIES.contains(&&*name()) {
                    self.differs = Some(self.differs.map_or(column, |other| other.min(column)));
                }
                found.value = value;
                Ok(value)
            }
            // A column of words alone is left out, if nobody asked for it.
            Value::Text if !asked && !is_input => {
                let text = beginning(text);
                if repeats && !found.last.is_empty() && found.last != text {
                    self.differs = Some(self.differs.map_or(column, |other| other.min(column)));
                }
                text.clone_into(&mut found.last);
                let text = found.text.get_or_insert_with(|| (line, text.to_owned()));
                match found.number {
                    true => Err(no_number(self.source, column, text)),
                    false => Ok(f64::NAN),
                }
            }
            Value::Text => Err(no_number(self.source, column, &(line, beginning(text).to_owned()))),
        }
    }

    /// Returns the table, and says what was left out of it.
    pub fn finish(mut self) -> Result<Part> {
        let source = self.source;
        self.numbers.check()?;
        self.numbers.tell();
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
        Ok(Part {
            table: Table { time_name, clock, dataset },
            header: source.header.clone(),
            names: self.groups.names,
            missing: self.missing.iter().map(|missing| missing.found).collect(),
        })
    }

    /// Returns the states that have numbers, and says which have words instead.
    fn columns_of_numbers(&self) -> Result<Vec<usize>> {
        let (source, path) = (self.source, self.source.path.display());
        let mut kept = Vec::new();
        for (state, (&column, found)) in self.layout.states.iter().zip(&self.found).enumerate() {
            let name = &source.header[column];
            let required = self.layout.required.map(|states| state < states);
            match (&found.text, required) {
                (Some(text), _) if found.number => return Err(no_number(source, column, text)),
                (Some(text), Some(true)) => return Err(no_number(source, column, text)),
                // Whether there are enough values is judged over all files.
                (None, Some(true)) => kept.push(state),
                // The first file has said so.
                (_, Some(false)) => {}
                (Some((_, text)), None) => {
                    let text = quoted(text);
                    tracing::warn!("{path}: column `{name}` holds text ({text}), and is left out");
                }
                (None, None) if found.number => kept.push(state),
                (None, None) if self.columns.states.is_empty() => {
                    tracing::warn!("{path}: column `{name}` has no values, and is left out");
                }
                (None, None) => {
                    let message = "every value is missing: choose other columns";
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
        let more =
            self.layout.states.iter().find(|&&c| dialect::is_part_of_time(&source.header[c]));
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
    const LONGEST: usize = 30;
    let hint = match text.contains([',', ' ', '"', '\'']) || text.len() > LONGEST {
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
