//! Reads and writes time series as tables, as people have them.
//!
//! A table has a header row, a time column, optionally a column that tells trajectories apart, and
//! one column a state. Fields are separated by commas, semicolons, tabs or bars, whichever puts a
//! time below the name of the time; a line `sep=;` above says it. What stands above the header, rows
//! of units below it, lines that begin with `#` or `%`, columns without a name or of words are
//! passed over. Text is UTF-8, UTF-16 or Windows-1252. Fractions may have decimal commas. An empty
//! field, `NaN`, `NA`, `null`, `-` and the like are missing values. Times are numbers or dates. Rows
//! of one trajectory at the same time are averaged.
//!
//! Nothing is guessed in silence: what can be read in two ways is refused with what to do, and what
//! is passed over, left out or averaged is an event of `tracing`.

mod calendar;
mod cell;
mod dialect;
mod flags;
mod layout;
mod numbers;
mod rows;
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

/// What the first of several files tells of the others.
struct First {
    clock: Option<Clock>,
    /// The names of its columns, if the states are all that are left of them.
    header: Option<Vec<String>>,
}

/// Reads tables of the same states, from standard input where a path is `-`; every file adds one
/// trajectory, or as many as its trajectory column tells apart.
///
/// # Errors
/// [`Error::Io`] for an unreadable file; [`Error::Line`] with file, line and column for anything
/// in it that is not as it should be.
pub fn read<P: AsRef<Path>>(paths: &[P], columns: &Columns) -> Result<Table> {
    let mut wanted = columns.clone();
    let mut table: Option<(Table, First)> = None;
    for path in paths {
        let path = path.as_ref();
        let bytes = bytes(path)?;
        let path = if outputs::is_standard(path) { Path::new("standard input") } else { path };
        let (read, header) = parse(path, &bytes, &wanted, table.as_ref().map(|(_, first)| first))?;
        match &mut table {
            None => {
                // If no states are chosen, all files must have those of the first and no others.
                let header = columns.states.is_empty().then_some(header);
                wanted.states.clone_from(&read.dataset.states);
                let first = First { clock: read.clock, header };
                table = Some((read, first));
            }
            Some((table, _)) => table.dataset.trajectories.extend(read.dataset.trajectories),
        }
    }
    let table = table.map(|(table, _)| table);
    table.ok_or_else(|| Error::argument("paths", "at least one file is needed"))
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

/// Reads one table; returns it with the names of all its columns.
fn parse(
    path: &Path,
    bytes: &[u8],
    columns: &Columns,
    first: Option<&First>,
) -> Result<(Table, Vec<String>)> {
    let text = text::decode(path, bytes)?;
    let dialect = dialect::find(&text, columns.time.as_deref());
    let text = &text[dialect.begin..];
    let text = dialect::without_comments(text, dialect.delimiter).map_err(|line| {
        let message = "a quotation mark is opened in this line and never closed";
        Source::error_in(path, dialect.lines_before + line, message)
    })?;
    let source = Source::open(path, &text, dialect)?;
    let header = first.and_then(|first| first.header.as_deref());
    let layout = Layout::new(&source, columns, header)?;
    let rows = Rows::read(&source, layout, columns, first.map(|first| first.clock))?;
    let table = rows.finish()?;
    Ok((table, source.header))
}

#[cfg(test)]
mod tests;
