//! Which columns of a table hold what.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use csv::StringRecord;
use mechanistic::Result;

use super::source::{Source, quoted};
use super::{Columns, First, cell, dialect, time};

/// The indices of the columns of one file.
pub struct Layout {
    pub time: usize,
    /// The column of the days, where that of the time has times of day.
    day: Option<usize>,
    pub trajectory: Option<usize>,
    pub states: Vec<usize>,
    /// How many of the states, the first ones, are those of the first of several files if none are
    /// chosen. The others are those that it has left out.
    pub required: Option<usize>,
    pub inputs: Vec<usize>,
}

impl Layout {
    /// Finds the columns. Where states are all columns that are left, there must be no others than
    /// those of the `first` file.
    pub fn new(source: &Source, columns: &Columns, first: Option<&First>) -> Result<Self> {
        let time = match &columns.time {
            Some(name) => source.find(name)?,
            None => source.find_time()?,
        };
        let trajectory = columns.trajectory.as_deref().map(|name| source.find(name)).transpose()?;
        let find = |names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|name| source.find(name)).collect()
        };
        let chosen = !columns.states.is_empty();
        let first = first.filter(|_| !chosen);
        let mut states = find(first.map_or(&columns.states, |first| &first.states))?;
        let (required, inputs) = (first.map(|_| states.len()), find(&columns.inputs)?);
        let mut used: HashSet<usize> =
            states.iter().chain(&inputs).copied().chain([time]).chain(trajectory).collect();
        let day = day(source, time, &used, chosen)?;
        used.extend(day);
        if !chosen {
            let left =
                |column: &usize| !used.contains(column) && !source.header[*column].is_empty();
            let left: Vec<usize> = (0..source.header.len()).filter(left).collect();
            let is_new = |&column: &usize| {
                first.is_some_and(|first| !first.header.contains(&source.header[column]))
            };
            if let Some(column) = left.iter().copied().find(is_new) {
                let name = &source.header[column];
                let message =
                    format!("the first file has no column `{name}`; choose with --states");
                return Err(source.in_header(message));
            }
            states.extend(left);
        }
        let layout = Layout { time, day, trajectory, states, required, inputs };
        layout.check(source)?;
        Ok(layout)
    }

    /// Checks that there are states, and that no column has two meanings.
    fn check(&self, source: &Source) -> Result<()> {
        if self.states.is_empty() {
            let besides = if self.inputs.is_empty() { "the time" } else { "time and inputs" };
            let message = format!("there is no column besides {besides}: no states");
            return Err(source.in_header(message));
        }
        let mut known = HashMap::new();
        let states = self.states.iter().map(|column| (*column, "a state"));
        let inputs = self.inputs.iter().map(|column| (*column, "an input"));
        for (column, kind) in states.chain(inputs) {
            let role = if column == self.time {
                "the time column".to_owned()
            } else if Some(column) == self.trajectory {
                "the trajectory column".to_owned()
            } else if let Some(earlier) = known.insert(column, kind) {
                format!("already {earlier}")
            } else {
                continue;
            };
            let message = format_args!("cannot be {kind}: it is {role}");
            return Err(source.in_column(source.header_line, column, message));
        }
        if self.trajectory == Some(self.time) {
            let message = "is both the time and the trajectory column";
            return Err(source.in_column(source.header_line, self.time, message));
        }
        Ok(())
    }

    /// Returns the text of the time of a row; empty if it is missing.
    pub fn time_text<'a>(&self, record: &'a StringRecord) -> Cow<'a, str> {
        let field = |column: usize| {
            let text = record.get(column).unwrap_or_default();
            if cell::is_missing(text) { "" } else { text }
        };
        let time = field(self.time);
        match self.day.map(field) {
            None => Cow::Borrowed(time),
            Some(day) if day.is_empty() || time.is_empty() => Cow::Borrowed(""),
            Some(day) => Cow::Owned(format!("{day} {time}")),
        }
    }
}

/// Returns the column of the days that belong to times of day, if it is not used otherwise: that
/// which is called `date` or `day`, where the first row has a day in it and a time of day in `time`.
///
/// # Errors
/// [`Error::Line`](mechanistic::Error::Line) if such a column has no date, unless states are
/// `chosen`: it would be taken for one.
fn day(source: &Source, time: usize, used: &HashSet<usize>, chosen: bool) -> Result<Option<usize>> {
    const NAMES: [&str; 4] = ["date", "day", "datum", "tag"];
    let (mut reader, mut row) = (source.rows()?, StringRecord::new());
    while source.next(&mut reader, &mut row)? && cell::is_missing(row.get(time).unwrap_or_default())
    {
    }
    let field = |column: usize| row.get(column).unwrap_or_default();
    if !time::is_time_of_day(field(time)) {
        return Ok(None);
    }
    let is_day = |&column: &usize| {
        NAMES.contains(&&*dialect::bare(&source.header[column])) && !used.contains(&column)
    };
    let days: Vec<usize> = (0..source.header.len()).filter(is_day).collect();
    let is_date = |&column: &usize| time::is_date(field(column)) && !field(column).contains(':');
    match (days.iter().copied().find(is_date), days.first()) {
        (None, Some(&column)) if !chosen => {
            let (text, name) = (quoted(field(column)), &source.header[time]);
            let message = format_args!(
                "{text} is no date that the time of day in `{name}` could belong to: write one like \
                 2021-03-31, with a year of four digits, or choose with --states"
            );
            Err(source.in_column(source.line(&row), column, message))
        }
        (day, _) => Ok(day),
    }
}
