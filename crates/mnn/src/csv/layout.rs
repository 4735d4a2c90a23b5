//! Which columns of a table hold what.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use csv::StringRecord;
use mechanistic::Result;

use super::source::Source;
use super::{Columns, cell, dialect, time};

/// The indices of the columns of one file.
pub struct Layout {
    pub time: usize,
    /// The column of the days, where that of the time has times of day.
    day: Option<usize>,
    pub trajectory: Option<usize>,
    pub states: Vec<usize>,
    pub inputs: Vec<usize>,
}

impl Layout {
    /// Finds the columns. Where states are all columns that are left, there must be no others than
    /// those of the `first` file.
    pub fn new(source: &Source, columns: &Columns, first: Option<&[String]>) -> Result<Self> {
        let time = match &columns.time {
            Some(name) => source.find(name)?,
            None => source.find_time()?,
        };
        let trajectory = columns.trajectory.as_deref().map(|name| source.find(name)).transpose()?;
        let find = |names: &[String]| -> Result<Vec<usize>> {
            names.iter().map(|name| source.find(name)).collect()
        };
        let (named, inputs) = (find(&columns.states)?, find(&columns.inputs)?);
        let mut used: HashSet<usize> =
            named.iter().chain(&inputs).copied().chain([time]).chain(trajectory).collect();
        let day = day(source, time, &used)?;
        used.extend(day);
        let left = |column: &usize| !used.contains(column) && !source.header[*column].is_empty();
        let mut left = (0..source.header.len()).filter(left);
        let states = match (columns.states.is_empty(), first) {
            (true, _) => left.collect(),
            (false, None) => named,
            (false, Some(names)) => match left.find(|&c| !names.contains(&source.header[c])) {
                None => named,
                Some(column) => {
                    let name = &source.header[column];
                    let message =
                        format!("the first file has no column `{name}`; choose with --states");
                    return Err(source.in_header(message));
                }
            },
        };
        let layout = Layout { time, day, trajectory, states, inputs };
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
fn day(source: &Source, time: usize, used: &HashSet<usize>) -> Result<Option<usize>> {
    let (mut reader, mut row) = (source.rows()?, StringRecord::new());
    source.next(&mut reader, &mut row)?;
    let field = |column: usize| row.get(column).unwrap_or_default();
    let fits = |&column: &usize| {
        let is_day = ["date", "day"].contains(&&*dialect::bare(&source.header[column]));
        let is_date = time::is_date(field(column)) && !field(column).contains(':');
        is_day && is_date && !used.contains(&column)
    };
    let found = time::is_time_of_day(field(time)).then(|| (0..source.header.len()).find(fits));
    Ok(found.flatten())
}
