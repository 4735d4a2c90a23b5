//! Reads and writes time series as tables, as people have them.
//!
//! A table has a header row, a time column, optionally a column that tells trajectories apart, and
//! one column a state. Fields are separated by commas, semicolons, tabs or bars, whichever puts a
//! time below the name of the time; a line `sep=;` above says it. What stands above the header, rows
//! of units below it, lines that begin with `#` or `%` and are no rows, rows without a value, columns
//! without a name, of words or without a value are passed over. Text is UTF-8, UTF-16 or Windows-1252. Fractions may have decimal commas. An empty
//! field, `NaN`, `NA`, `null`, `-` and the like are missing values. Times are numbers or dates. Rows
//! of one trajectory at the same time are averaged.
//!
//! Nothing is guessed in silence: what can be read in two ways is refused with what to do, or is an
//! event of `tracing` if one way is far likelier, as is what is passed over, left out or averaged.

mod calendar;
mod cell;
mod comments;
mod dialect;
mod flags;
mod layout;
mod numbers;
mod rows;
mod short;
mod source;
mod text;
mod time;
mod write;

use std::io::{self, Read};
use std::path::Path;

use mechanistic::discovery::Dataset;
use mechanistic::{Error, Result, ensure_memory};

use crate::outputs;
use layout::Layout;
use rows::Rows;
use source::Source;

pub use cell::Decimal;
pub use flags::Flags;
pub use time::{Clock, DateOrder, TimeUnit};
pub use write::{field, write};

/// The meaning of the columns of a table, and of what stands in them.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Name of the column of the time; with `None` it is found by its name (`t`, `time`, `year`,
    /// ...).
    pub time: Option<String>,
    /// Unit of the times if they are dates; with `None` the largest one up to days that is not longer
    /// than the mean time between rows.
    pub time_unit: Option<TimeUnit>,
    /// What comes first in dates like 3/4/2021; with `None` a date must tell that of all.
    pub date_order: Option<DateOrder>,
    /// How dates become times; with `None` times are zero at the first date of the first file.
    pub clock: Option<Clock>,
    /// Name of the column that tells trajectories apart; with `None` a file is one trajectory.
    pub trajectory: Option<String>,
    /// The number of values of each state without which a trajectory is left out.
    pub least_values: usize,
    /// Names of the columns of the states, in this order; if empty, every column that is left and
    /// holds numbers, in the order of the first file.
    pub states: Vec<String>,
    /// Names of the columns of the inputs, which are no states.
    pub inputs: Vec<String>,
    /// The decimal character; with `None` the numbers must tell it.
    pub decimal: Option<Decimal>,
    /// What stands for missing values beside the usual words: other words, or numbers.
    pub missing: Vec<String>,
}

/// A table that was read, with the name of its time column.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name of the time column of the first file, with the clock if times are dates.
    pub time_name: String,
    /// How dates became times, if the times are dates.
    pub clock: Option<Clock>,
    /// The time series; trajectories in the order of the files, in a file by first appearance.
    pub dataset: Dataset,
}

impl Columns {
    /// Returns whether a column with this name is asked for.
    fn have(&self, name: &str) -> bool {
        let single = [&self.time, &self.trajectory].into_iter().flatten();
        single.chain(&self.states).chain(&self.inputs).any(|asked| asked == name)
    }
}

/// What the first of several files tells of the others.
struct First {
    clock: Option<Clock>,
    /// Its states, which the others must have if none are chosen.
    states: Vec<String>,
    /// The names of its columns, besides which the others must have none if no states are chosen.
    header: Vec<String>,
}

/// What is read of one file.
struct Part {
    table: Table,
    /// The names of its columns.
    header: Vec<String>,
    /// The names of its trajectories; empty for one that is the only one.
    names: Vec<String>,
    /// Whether the file has each of [`Columns::missing`].
    missing: Vec<bool>,
}

/// Reads tables of the same states, from standard input where a path is `-`; every file adds one
/// trajectory, or as many as its trajectory column tells apart.
///
/// # Errors
/// [`Error::Io`] for an unreadable file; [`Error::Line`] with file, line and column for anything
/// in it that is not as it should be.
pub fn read<P: AsRef<Path>>(paths: &[P], columns: &Columns) -> Result<Table> {
    let mut table: Option<(Table, First)> = None;
    let (mut origins, mut found) = (Vec::new(), vec![false; columns.missing.len()]);
    for path in paths {
        let path = path.as_ref();
        let bytes = bytes(path)?;
        let path = if outputs::is_standard(path) { Path::new("standard input") } else { path };
        let part = parse(path, &bytes, columns, table.as_ref().map(|(_, first)| first))?;
        origins.extend(part.names.into_iter().map(|name| (path, name)));
        found.iter_mut().zip(part.missing).for_each(|(found, here)| *found |= here);
        let read = part.table;
        match &mut table {
            None => {
                let (clock, states) = (read.clock, read.dataset.states.clone());
                table = Some((read, First { clock, states, header: part.header }));
            }
            Some((table, _)) => table.dataset.trajectories.extend(read.dataset.trajectories),
        }
    }
    let table = table.map(|(table, _)| table);
    let mut table = table.ok_or_else(|| Error::argument("paths", "at least one file is needed"))?;
    let given = columns.missing.iter().zip(found);
    for (word, _) in given.filter(|(word, found)| !found && !cell::is_missing(word)) {
        tracing::warn!("--missing {word}: no value is so (repeat the flag to name several)");
    }
    short::leave_out(&mut table.dataset, &origins, columns.least_values);
    Ok(table)
}

/// Returns what a file holds, or standard input if `path` is `-`.
fn bytes(path: &Path) -> Result<Vec<u8>> {
    if !outputs::is_standard(path) {
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        ensure_memory(&format!("the table {}", path.display()), &[(size as usize, 1)])?;
        return std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source });
    }
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(Error::Io { path: "standard input".into(), source }),
    }
}

/// Reads one table, which belongs to the `first`, if that is another.
fn parse(path: &Path, bytes: &[u8], columns: &Columns, first: Option<&First>) -> Result<Part> {
    let text = text::decode(path, bytes)?;
    let wanted = columns.time.as_deref();
    let dialect = dialect::find(&text, wanted);
    let (text, comments) = comments::without(path, &text[dialect.begin..], &dialect, wanted)?;
    dialect.comments.and(comments).tell(path);
    let source = Source::open(path, &text, dialect, columns)?;
    let layout = Layout::new(&source, columns, first)?;
    Rows::read(&source, layout, columns, first)?.finish()
}

#[cfg(test)]
mod tests;
