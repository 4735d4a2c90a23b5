//! A table that is being read, the names of its columns, and the messages that refer to it.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;
use mechanistic::{Error, Result, ensure_memory};

use super::Columns;
use super::dialect::{self, Dialect};

/// Memory for the name of a column and its place in the index, in bytes.
const OF_NAME: usize = 256;

/// A file that is being read, which messages refer to.
pub struct Source<'a> {
    pub path: &'a Path,
    /// The text from the header on, without comments.
    text: &'a str,
    dialect: Dialect,
    /// The names of the columns; empty for those that have none.
    pub header: Vec<String>,
    /// The index of each column that has a name.
    columns: HashMap<String, usize>,
    /// Number of the line on which the header begins.
    pub header_line: u64,
    /// How many fields a row must have: those without a name at its end may be missing.
    least_fields: usize,
}

impl<'a> Source<'a> {
    /// Returns an error that names a line of a file.
    pub fn error_in(path: &Path, line: u64, message: impl Into<String>) -> Error {
        Error::Line { path: path.to_owned(), line, message: message.into() }
    }

    /// Reads the header of a table from its text from there on. Names that a program made up for
    /// columns without one count if they are `asked` for.
    ///
    /// # Errors
    /// [`Error::Line`] if there is none or columns have no proper names.
    pub fn open(path: &'a Path, text: &'a str, dialect: Dialect, asked: &Columns) -> Result<Self> {
        let (header, columns) = (Vec::new(), HashMap::new());
        let header_line = dialect.lines_before + 1;
        let mut source =
            Source { path, text, dialect, header, columns, header_line, least_fields: 0 };
        let (mut reader, mut record) = (source.reader(), StringRecord::new());
        if !source.next(&mut reader, &mut record)? {
            return Err(Self::error_in(
                path,
                1,
                "the file is empty: a table has a header and rows",
            ));
        }
        source.header_line = source.line(&record);
        source.name_columns(&record, asked)?;
        source.tell(&mut reader)?;
        Ok(source)
    }

    /// Says which lines are passed over.
    fn tell(&self, reader: &mut csv::Reader<&[u8]>) -> Result<()> {
        let (path, preamble) = (self.path.display(), self.dialect.preamble);
        if preamble > 0 {
            tracing::warn!(
                "{path}:{}: this is the header; {preamble} line{} above it {} passed over",
                self.header_line,
                if preamble == 1 { "" } else { "s" },
                if preamble == 1 { "is" } else { "are" },
            );
        }
        let mut record = StringRecord::new();
        for _ in 0..self.dialect.units {
            self.next(reader, &mut record)?;
            let line = self.line(&record);
            tracing::warn!("{path}:{line}: this holds units or other words, and is passed over");
        }
        Ok(())
    }

    /// Returns a reader of the rows, whose fields are trimmed.
    pub fn rows(&self) -> Result<csv::Reader<&'a [u8]>> {
        let (mut reader, mut record) = (self.reader(), StringRecord::new());
        for _ in 0..=self.dialect.units {
            self.next(&mut reader, &mut record)?;
        }
        Ok(reader)
    }

    fn reader(&self) -> csv::Reader<&'a [u8]> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(self.dialect.delimiter)
            .from_reader(self.text.as_bytes())
    }

    /// Returns at most how many rows there are.
    pub fn most_rows(&self) -> usize {
        let ends = |pair: &&[u8]| pair[1] == b'\n' || pair[0] == b'\r';
        self.text.as_bytes().windows(2).filter(ends).count() + 1
    }

    pub fn error(&self, line: u64, message: impl Into<String>) -> Error {
        Self::error_in(self.path, line, message)
    }

    pub fn in_header(&self, message: impl Into<String>) -> Error {
        self.error(self.header_line, message)
    }

    pub fn in_column(&self, line: u64, column: usize, message: impl std::fmt::Display) -> Error {
        self.error(line, format!("column `{}`: {message}", self.header[column]))
    }

    /// Reads the next record that is not empty; returns whether there is one.
    pub fn next(&self, reader: &mut csv::Reader<&[u8]>, record: &mut StringRecord) -> Result<bool> {
        loop {
            let line = self.dialect.lines_before + reader.position().line();
            let read = reader.read_record(record);
            let found = read.map_err(|error| self.error(line, error.to_string()))?;
            // Spreadsheets write rows of separators below a table.
            if !found || record.iter().any(|field| !field.is_empty()) {
                return Ok(found);
            }
        }
    }

    /// Returns what separates fields.
    pub fn delimiter(&self) -> u8 {
        self.dialect.delimiter
    }

    /// Returns the line on which a record begins. The reader counts from the end of the record
    /// before, so that blank lines between the two are still to be added.
    pub fn line(&self, record: &StringRecord) -> u64 {
        let Some(position) = record.position() else { return 0 };
        let rest = &self.text.as_bytes()[position.byte() as usize..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
        let line = position.line() + blank.filter(|byte| **byte == b'\n').count() as u64;
        self.dialect.lines_before + line
    }

    /// Checks that a row has as many fields as the header, but for empty ones after them.
    pub fn check_length(&self, record: &StringRecord) -> Result<()> {
        let (expected, found) = (self.header.len(), record.len());
        let surplus = record.iter().skip(expected).any(|field| !field.is_empty());
        if found < self.least_fields || surplus {
            let hint = match surplus {
                true => ": write one that has a separator in it between quotation marks",
                false => "",
            };
            let message = format!("expected {expected} fields as in the header, got {found}{hint}");
            return Err(self.error(self.line(record), message));
        }
        Ok(())
    }

    /// Returns the column with a name.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.columns.get(name).copied().ok_or_else(|| {
            self.in_header(format!("no column `{name}`; there are {}", list(&self.header)))
        })
    }

    /// Returns the column whose name tells that it is the time.
    pub fn find_time(&self) -> Result<usize> {
        dialect::time_column(&self.header, None).ok_or_else(|| {
            let names = list(&self.header);
            let unnamed = match self.header[0].is_empty() {
                true => "; column 1 has no name: if it is the time, write one above it",
                false => "",
            };
            self.in_header(format!(
                "no column is called t, time, year, ...; name it with --time (there are \
                 {names}){unnamed}"
            ))
        })
    }

    fn name_columns(&mut self, record: &StringRecord, asked: &Columns) -> Result<()> {
        ensure_memory(&format!("the table {}", self.path.display()), &[(record.len(), OF_NAME)])?;
        if record.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(self.in_header("the first row must name the columns, but holds numbers"));
        }
        for (index, name) in record.iter().enumerate() {
            // A name that a program made up for a column without one.
            let made_up = name.starts_with("Unnamed: ") && !asked.have(name);
            let name = if made_up { "" } else { name };
            self.header.push(name.to_owned());
            if name.is_empty() {
                continue;
            }
            self.least_fields = index + 1;
            if name.contains(char::is_control) {
                let name = quoted(name);
                let message = format!("column {}: {name} is not a name on one line", index + 1);
                return Err(self.in_header(message));
            }
            if let Some(earlier) = self.columns.insert(name.to_owned(), index) {
                let (first, second) = (earlier + 1, index + 1);
                let message =
                    format!("columns {first} and {second} are both called `{name}`: rename one");
                return Err(self.in_header(message));
            }
        }
        Ok(())
    }
}

/// Returns what is kept of a text: a field may be as long as its file.
pub fn beginning(text: &str) -> &str {
    const KEPT: usize = 200;
    text.char_indices().nth(KEPT).map_or(text, |(end, _)| &text[..end])
}

/// Returns the beginning of a field with line breaks and the like escaped.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 30;
    let cut = text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end]);
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

/// Returns the first few names, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let named = || names.iter().filter(|name| !name.is_empty());
    let quoted: Vec<String> = named().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = match named().count().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    quoted.join(", ") + &more
}
