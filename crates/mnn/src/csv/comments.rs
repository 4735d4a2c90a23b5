//! Lines that begin with `#` or `%`, which are comments unless they are rows.

use std::borrow::Cow;
use std::path::Path;

use mechanistic::{Result, ensure_memory};

use super::dialect::{self, Dialect};
use super::source::Source;

/// The comments of a table: how many, and the line of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    pub count: usize,
    pub first: u64,
}

impl Comments {
    /// Adds the comment on a line.
    pub fn add(&mut self, line: u64) {
        if self.count == 0 {
            self.first = line;
        }
        self.count += 1;
    }

    /// Returns these comments with those that follow.
    pub fn and(self, others: Comments) -> Self {
        let first = if self.count == 0 { others.first } else { self.first };
        Comments { count: self.count + others.count, first }
    }

    /// Says that the comments are passed over.
    pub fn tell(self, path: &Path) {
        let Comments { count, first } = self;
        let (plural, verb) = if count == 1 { (" begins", "is") } else { ("s begin", "are") };
        if count > 0 {
            tracing::warn!(
                "{}:{first}: {count} line{plural} with # or % and {verb} passed over",
                path.display()
            );
        }
    }
}

/// Returns whether a line begins as comments do.
pub fn begins(line: &str) -> bool {
    line.starts_with(['#', '%'])
}

/// What a row has that a comment has not.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    delimiter: u8,
    /// The column of the time.
    time: Option<usize>,
    /// The number of columns up to the last that has a name.
    columns: usize,
}

impl Shape {
    /// Returns the shape of the rows below these names.
    pub fn new(names: &[&str], delimiter: u8, wanted: Option<&str>) -> Self {
        let time = dialect::time_column(names, wanted);
        Shape { delimiter, time, columns: used(names) }
    }

    /// Returns whether a line that begins as comments do is a row all the same: it has a time where
    /// that belongs, and as many fields as there are columns.
    pub fn is_row(&self, line: &str) -> bool {
        let fields = dialect::fields(line, self.delimiter);
        let time = self.time.and_then(|time| fields.get(time));
        let fits = fields.len() >= self.columns && used(&fields) <= self.columns;
        self.columns > 1 && fits && time.is_some_and(|field| dialect::is_value(field))
    }
}

/// Returns how many fields there are up to the last that is not empty.
fn used(fields: &[&str]) -> usize {
    fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1)
}

/// Returns the text from the header on with comments made blank, and what these are.
///
/// # Errors
/// [`Error::Line`](mechanistic::Error::Line) for a quotation mark that is never closed: the rest of
/// the text would be one field.
pub fn without<'a>(
    path: &Path,
    text: &'a str,
    dialect: &Dialect,
    wanted: Option<&str>,
) -> Result<(Cow<'a, str>, Comments)> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let bytes = text.as_bytes();
    let end_of_line =
        |at: usize| bytes[at..].iter().position(is_end).map_or(text.len(), |n| at + n);
    let header = dialect::fields(&text[..end_of_line(0)], dialect.delimiter);
    let shape = Shape::new(&header, dialect.delimiter, wanted);
    let (mut kept, mut copied, mut comments) = (String::new(), 0, Comments::default());
    let (mut line, mut opened, mut at) = (dialect.lines_before + 1, None, 0);
    let (mut line_begins, mut field_begins) = (true, true);
    while at < bytes.len() {
        if line_begins && opened.is_none() && matches!(bytes[at], b'#' | b'%') {
            let end = end_of_line(at);
            if !shape.is_row(&text[at..end]) {
                if copied == 0 {
                    ensure_memory(&format!("the table {}", path.display()), &[(text.len(), 1)])?;
                    kept.reserve(text.len());
                }
                comments.add(line);
                kept += &text[copied..at];
                (at, copied, line_begins) = (end, end, false);
                continue;
            }
        }
        let byte = bytes[at];
        match (byte, opened) {
            (b'"', None) if field_begins => opened = Some(line),
            // Two in a quoted field stand for one.
            (b'"', Some(_)) if bytes.get(at + 1) == Some(&b'"') => at += 1,
            (b'"', Some(_)) => opened = None,
            _ => {}
        }
        line_begins = is_end(&byte);
        field_begins = opened.is_none() && (byte == dialect.delimiter || line_begins);
        line += u64::from(byte == b'\n');
        at += 1;
    }
    if let Some(line) = opened {
        let message = "a quotation mark is opened in this line and never closed: close it, or write \
                       it twice in a field between quotation marks";
        return Err(Source::error_in(path, line, message));
    }
    match comments.count {
        0 => Ok((Cow::Borrowed(text), comments)),
        _ => Ok((Cow::Owned(kept + &text[copied..]), comments)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_made_blank_and_rows_are_not() {
        for (text, expected, first) in [
            ("t,x\n0,1\n", "t,x\n0,1\n", None),
            ("t,x\n# a \"b\n0,1\n%\n1,2\n#", "t,x\n\n0,1\n\n1,2\n", Some((3, 2))),
            ("t,x\r\n#,\"\r\n0,1\r\n", "t,x\r\n\r\n0,1\r\n", Some((1, 2))),
            (
                "x,t\n#N/A,0\n#NV,1\n#No,2\n######,3\n",
                "x,t\n#N/A,0\n#NV,1\n#No,2\n######,3\n",
                None,
            ),
            ("run,t,x\n#1,0,1\n#1,1,2\n", "run,t,x\n#1,0,1\n#1,1,2\n", None),
            ("x,t,,\n%1,0,,\n%2,1\n", "x,t,,\n%1,0,,\n%2,1\n", None),
            ("x,t\n1,0\n#NAN means closed\n#2,1,2\n", "x,t\n1,0\n\n\n", Some((2, 3))),
            ("t,x\n#0,1\n1,2\n", "t,x\n\n1,2\n", Some((1, 2))),
            ("t,\"x\n#y\"\n0,1\n", "t,\"x\n#y\"\n0,1\n", None),
        ] {
            let dialect = dialect::find(text, None);
            let (kept, comments) = without(Path::new("a.csv"), text, &dialect, None).unwrap();
            assert_eq!(kept, expected);
            let found = (comments.count > 0).then_some((comments.count, comments.first));
            assert_eq!(found, first, "{text:?}");
        }
        let text = "t,x\n#\"\n0,\"1\n";
        let error = without(Path::new("a.csv"), text, &dialect::find(text, None), None);
        assert!(error.unwrap_err().to_string().starts_with("a.csv:3: a quotation mark"));
    }
}
