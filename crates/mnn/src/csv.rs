//! Reads and writes time series as comma-separated tables.
//!
//! A table has a header row, a time column, optionally a column that tells trajectories apart,
//! and one column a state. Fields are separated by commas, or by semicolons or tabs when the
//! header holds no comma. An empty field, `NaN`, `NA`, `N/A`, `null` or `none` is a missing value.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

use csv::StringRecord;

use mechanistic::discovery::{Dataset, Trajectory};
use mechanistic::files::atomic;
use mechanistic::{Error, Result, ensure_memory};

use crate::outputs;

/// The meaning of the columns of a table.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Name of the column of the time; with `None` it is found by its name (`t`, `time`, `year`,
    /// ...).
    pub time: Option<String>,
    /// Name of the column that tells trajectories apart; with `None` a file is one trajectory.
    pub trajectory: Option<String>,
    /// Names of the columns of the states, in this order; if empty, every column that is left, in
    /// the order of the first file.
    pub states: Vec<String>,
    /// Names of the columns of the inputs, which are no states.
    pub inputs: Vec<String>,
}

/// A table that was read, with the name of its time column.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name of the time column of the first file.
    pub time_name: String,
    /// The time series; trajectories in the order of the files, in a file by first appearance.
    pub dataset: Dataset,
}

/// The names that make a column the time, best first; they are compared in lower case, without a
/// unit in brackets (`Time [s]`).
const TIME_NAMES: [&str; 15] = [
    "t",
    "time",
    "times",
    "timestamp",
    "date",
    "datetime",
    "year",
    "years",
    "day",
    "days",
    "month",
    "hour",
    "hours",
    "second",
    "seconds",
];

/// Reads tables of the same states, from standard input where a path is `-`; every file adds one
/// trajectory, or as many as its trajectory column tells apart.
///
/// # Errors
/// [`Error::Io`] for an unreadable file; [`Error::Line`] with file, line and column for anything
/// in it that is not as it should be.
pub fn read<P: AsRef<Path>>(paths: &[P], columns: &Columns) -> Result<Table> {
    let mut wanted = columns.clone();
    let mut table: Option<Table> = None;
    for path in paths {
        let path = path.as_ref();
        let bytes = bytes(path)?;
        let path = if outputs::is_standard(path) { Path::new("standard input") } else { path };
        // If no states are chosen, all files must have those of the first and no others.
        let exact = columns.states.is_empty() && table.is_some();
        let read = parse(path, &bytes, &wanted, exact)?;
        match &mut table {
            None => {
                wanted.states.clone_from(&read.dataset.states);
                table = Some(read);
            }
            Some(table) => table.dataset.trajectories.extend(read.dataset.trajectories),
        }
    }
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

/// Writes a table with a header row to a file, or to standard output if `path` is `-`; a value that
/// is not finite becomes an empty field. Rows are written as they come. An error among them ends
/// the table: there is no file then, but standard output has the rows before the error.
///
/// # Errors
/// [`Error::Io`] when `path` cannot be written, or the error among the rows.
pub fn write(
    path: &Path,
    header: &[String],
    rows: impl Iterator<Item = Result<Vec<f64>>>,
) -> Result<()> {
    let failure = OnceCell::new();
    let rows = rows.map_while(|row| row.map_err(|error| failure.set(error)).ok());
    let written = if outputs::is_standard(path) {
        match write_records(Pieces::new(io::stdout()), header, rows) {
            // A reader that has closed it (`mnn … | head`) has all that it wanted.
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Io { path: "standard output".into(), source })
            }
            _ => Ok(()),
        }
    } else {
        atomic::write(path, |file| {
            write_records(file, header, rows)?;
            failure.get().map_or(Ok(()), |_| Err(io::Error::other("not all rows can be had")))
        })
    };
    failure.into_inner().map_or(written, Err)
}

fn write_records(
    out: impl io::Write,
    header: &[String],
    rows: impl Iterator<Item = Vec<f64>>,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row.iter().map(|value| field(*value)))?;
    }
    writer.flush()
}

/// Text on its way to standard output, which takes it in pieces of whole rows. After a failure it
/// takes no more: its writer tries again when it is dropped.
struct Pieces<W> {
    out: W,
    text: Vec<u8>,
    failed: bool,
}

/// The bytes of a piece, about.
const PIECE: usize = 1 << 16;

impl<W: io::Write> Pieces<W> {
    fn new(out: W) -> Self {
        Pieces { out, text: Vec::new(), failed: false }
    }

    /// Prints the first `end` bytes.
    fn print(&mut self, end: usize) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier piece could not be written"));
        }
        let printed = self.out.write_all(&self.text[..end]).and_then(|()| self.out.flush());
        self.text.drain(..end);
        self.failed = printed.is_err();
        printed
    }
}

impl<W: io::Write> io::Write for Pieces<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        if self.text.len() >= PIECE
            && let Some(last) = self.text.iter().rposition(|&byte| byte == b'\n')
        {
            self.print(last + 1)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.print(self.text.len())
    }
}

/// Formats a value with the fewest digits that give it back exactly when they are read.
pub fn field(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    match value.abs() {
        size if size != 0.0 && !(1e-5..1e16).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}

/// A file that is being read, which messages refer to.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    header: Vec<String>,
    /// The index of each column by its name.
    columns: HashMap<String, usize>,
    /// Number of the line on which the header begins.
    header_line: u64,
}

impl Source<'_> {
    fn error(&self, line: u64, message: impl Into<String>) -> Error {
        Error::Line { path: self.path.to_owned(), line, message: message.into() }
    }

    fn in_header(&self, message: impl Into<String>) -> Error {
        self.error(self.header_line, message)
    }

    fn in_column(&self, line: u64, column: usize, message: impl std::fmt::Display) -> Error {
        self.error(line, format!("column `{}`: {message}", self.header[column]))
    }

    /// Returns the line on which a record begins. The reader counts from the end of the record
    /// before, so that blank lines between the two are still to be added.
    fn line(&self, record: &StringRecord) -> u64 {
        let Some(position) = record.position() else { return 0 };
        let rest = &self.text.as_bytes()[position.byte() as usize..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
        position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.columns.get(name).copied().ok_or_else(|| {
            self.in_header(format!("no column `{name}`; there are {}", list(&self.header)))
        })
    }

    fn find_time(&self) -> Result<usize> {
        let bare: Vec<String> = self.header.iter().map(|name| without_unit(name)).collect();
        let known = TIME_NAMES.iter().find_map(|name| bare.iter().position(|have| have == name));
        known.ok_or_else(|| {
            let names = list(&self.header);
            self.in_header(format!(
                "no column is called t, time, year, ...; name it with --time (there are {names})"
            ))
        })
    }
}

/// The indices of the columns of one file.
struct Layout {
    time: usize,
    trajectory: Option<usize>,
    states: Vec<usize>,
    inputs: Vec<usize>,
}

fn parse(path: &Path, bytes: &[u8], columns: &Columns, exact: bool) -> Result<Table> {
    let text = decode(path, bytes)?;
    let (header, columns_by_name) = (Vec::new(), HashMap::new());
    let mut source = Source { path, text, header, columns: columns_by_name, header_line: 1 };
    if let Some(line) = unclosed_quotation_mark(text, delimiter(text)) {
        let message = "a quotation mark is opened in this line and never closed";
        return Err(source.error(line, message));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    if !next(&source, &mut reader, &mut record)? {
        return Err(source.in_header("the file is empty"));
    }
    source.header_line = source.line(&record);
    (source.header, source.columns) = read_header(&source, &record)?;
    let layout = layout(&source, columns, exact)?;

    // Vectors grow to twice what they hold, from half of that.
    let rows = text.lines().count();
    let values = rows.saturating_mul(1 + layout.states.len() + layout.inputs.len());
    ensure_memory(&format!("the table {}", path.display()), &[(values, 3 * size_of::<f64>())])?;
    let mut groups = Groups::default();
    while next(&source, &mut reader, &mut record)? {
        row(&source, &layout, &record, &mut groups)?;
    }
    let dataset = Dataset {
        states: layout.states.iter().map(|&column| source.header[column].clone()).collect(),
        inputs: layout.inputs.iter().map(|&column| source.header[column].clone()).collect(),
        trajectories: groups.trajectories,
    };
    check(&source, &layout, &dataset)?;
    Ok(Table { time_name: source.header[layout.time].clone(), dataset })
}

/// Returns the text of the file without a byte-order mark.
fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        let message = format!("byte {column} of the line is not UTF-8 text");
        Error::Line { path: path.to_owned(), line, message }
    })
}

fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let candidates = [b',', b';', b'\t'];
    candidates.into_iter().find(|&byte| header.as_bytes().contains(&byte)).unwrap_or(b',')
}

/// Returns the line in which a quotation mark is opened that is never closed: the rest of the file
/// would be one field.
fn unclosed_quotation_mark(text: &str, delimiter: u8) -> Option<u64> {
    let (mut line, mut opened, mut field_begins) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let ends_line = byte == b'\n';
        match (byte, opened) {
            (b'"', None) if field_begins => opened = Some(line),
            // Two in a quoted field stand for one.
            (b'"', Some(_)) if bytes.next_if_eq(&b'"').is_none() => opened = None,
            _ => {}
        }
        field_begins = opened.is_none() && (byte == delimiter || ends_line || byte == b'\r');
        line += u64::from(ends_line);
    }
    opened
}

fn next(
    source: &Source,
    reader: &mut csv::Reader<&[u8]>,
    record: &mut StringRecord,
) -> Result<bool> {
    let line = reader.position().line();
    reader.read_record(record).map_err(|error| source.error(line, error.to_string()))
}

/// Returns the names of the columns, and the index of each.
fn read_header(
    source: &Source,
    record: &StringRecord,
) -> Result<(Vec<String>, HashMap<String, usize>)> {
    let names: Vec<String> = record.iter().map(String::from).collect();
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(source.in_header("the first row must name the columns, but holds numbers"));
    }
    let mut columns = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(source.in_header(format!("column {} has no name", index + 1)));
        }
        if name.contains(char::is_control) {
            let name = quoted(name);
            let message = format!("column {}: {name} is not a name on one line", index + 1);
            return Err(source.in_header(message));
        }
        if let Some(earlier) = columns.insert(name.clone(), index) {
            let (first, second) = (earlier + 1, index + 1);
            let message = format!("columns {first} and {second} are both called `{name}`");
            return Err(source.in_header(message));
        }
    }
    Ok((names, columns))
}

fn layout(source: &Source, columns: &Columns, exact: bool) -> Result<Layout> {
    let time = match &columns.time {
        Some(name) => source.find(name)?,
        None => source.find_time()?,
    };
    let trajectory = columns.trajectory.as_deref().map(|name| source.find(name)).transpose()?;
    let find = |names: &[String]| -> Result<Vec<usize>> {
        names.iter().map(|name| source.find(name)).collect()
    };
    let inputs = find(&columns.inputs)?;
    let states = if columns.states.is_empty() {
        let used = |column: &usize| {
            *column != time && Some(*column) != trajectory && !inputs.contains(column)
        };
        (0..source.header.len()).filter(used).collect()
    } else {
        find(&columns.states)?
    };
    let used: HashSet<usize> =
        states.iter().chain(&inputs).copied().chain([time]).chain(trajectory).collect();
    let unused = (0..source.header.len()).find(|column| !used.contains(column));
    if let (true, Some(column)) = (exact, unused) {
        let name = &source.header[column];
        let message = format!("the first file has no column `{name}`; choose with --states");
        return Err(source.in_header(message));
    }
    if states.is_empty() {
        let besides = if inputs.is_empty() { "the time" } else { "time and inputs" };
        return Err(source.in_header(format!("there is no column besides {besides}: no states")));
    }
    let mut known = HashMap::new();
    let states_and_inputs =
        states.iter().map(|c| (*c, "a state")).chain(inputs.iter().map(|c| (*c, "an input")));
    for (column, kind) in states_and_inputs {
        let role = if column == time {
            "the time column".to_owned()
        } else if Some(column) == trajectory {
            "the trajectory column".to_owned()
        } else if let Some(earlier) = known.insert(column, kind) {
            format!("already {earlier}")
        } else {
            continue;
        };
        let message = format_args!("cannot be {kind}: it is {role}");
        return Err(source.in_column(source.header_line, column, message));
    }
    if trajectory == Some(time) {
        let message = "is both the time and the trajectory column";
        return Err(source.in_column(source.header_line, time, message));
    }
    Ok(Layout { time, trajectory, states, inputs })
}

/// The trajectories of one file by the text in their trajectory column.
#[derive(Default)]
struct Groups {
    index: HashMap<String, usize>,
    trajectories: Vec<Trajectory>,
}

impl Groups {
    fn entry(&mut self, key: &str) -> &mut Trajectory {
        let index = *self.index.entry(key.to_owned()).or_insert(self.trajectories.len());
        if index == self.trajectories.len() {
            self.trajectories.push(Trajectory::default());
        }
        &mut self.trajectories[index]
    }
}

fn row(source: &Source, layout: &Layout, record: &StringRecord, groups: &mut Groups) -> Result<()> {
    let line = source.line(record);
    let (expected, found) = (source.header.len(), record.len());
    if found != expected {
        let message = format!("expected {expected} fields as in the header, got {found}");
        return Err(source.error(line, message));
    }
    let key = match layout.trajectory {
        Some(column) if record[column].is_empty() => {
            return Err(source.in_column(line, column, "a trajectory needs a name"));
        }
        Some(column) => &record[column],
        None => "",
    };
    let time = number(source, line, layout.time, &record[layout.time])?
        .ok_or_else(|| source.in_column(line, layout.time, "the time is missing"))?;
    let trajectory = groups.entry(key);
    if let Some(&previous) = trajectory.time.last()
        && time <= previous
    {
        let hint = match layout.trajectory {
            None => " (several trajectories in one file need --trajectory)",
            Some(_) => "",
        };
        let (time, previous) = (field(time), field(previous));
        let message = format_args!("time must increase, but {time} follows {previous}{hint}");
        return Err(source.in_column(line, layout.time, message));
    }
    trajectory.time.push(time);
    for &column in &layout.states {
        let value = number(source, line, column, &record[column])?;
        trajectory.values.push(value.unwrap_or(f64::NAN));
    }
    for &column in &layout.inputs {
        let value = number(source, line, column, &record[column])?;
        trajectory.inputs.push(value.unwrap_or(f64::NAN));
    }
    Ok(())
}

/// Reads a finite number; returns `None` when the value is missing.
fn number(source: &Source, line: u64, column: usize, text: &str) -> Result<Option<f64>> {
    let missing = ["", "nan", "na", "n/a", "null", "none"];
    if missing.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        Ok(_) => Err(source.in_column(line, column, format!("not finite: {}", quoted(text)))),
        Err(_) => Err(source.in_column(line, column, format!("not a number: {}", quoted(text)))),
    }
}

/// Checks what only shows once the whole file is read.
fn check(source: &Source, layout: &Layout, dataset: &Dataset) -> Result<()> {
    if dataset.trajectories.is_empty() {
        return Err(source.in_header("there are no rows below the header"));
    }
    let values = || dataset.trajectories.iter().map(|trajectory| &trajectory.values);
    for (state, &column) in layout.states.iter().enumerate() {
        let mut all = values().flat_map(|v| v[state..].iter().step_by(layout.states.len()));
        if all.all(|value| value.is_nan()) {
            let message = "every value is missing";
            return Err(source.in_column(source.header_line, column, message));
        }
    }
    Ok(())
}

/// Returns the beginning of a field with line breaks and the like escaped.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 30;
    let cut = text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end]);
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

fn without_unit(name: &str) -> String {
    let end = name.find(['(', '[']).unwrap_or(name.len());
    name[..end].trim().to_lowercase()
}

/// Returns the first few names, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    quoted.join(", ") + &more
}

#[cfg(test)]
mod tests;
