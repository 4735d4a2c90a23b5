//! Where in a text its table begins, and how its fields are separated.

use std::borrow::Cow;

use super::cell::{self, Cell};
use super::time;

/// The names that make a column the time, best first; they are compared as [`bare`] gives them.
const TIME_NAMES: [&str; 16] = [
    "t",
    "time",
    "times",
    "timestamp",
    "datetime",
    "date",
    "year",
    "years",
    "day",
    "days",
    "month",
    "hour",
    "hours",
    "second",
    "seconds",
    "T",
];

/// Returns the column of the time: the one that is called so, or else one whose name tells it.
pub fn time_column<S: AsRef<str>>(names: &[S], wanted: Option<&str>) -> Option<usize> {
    match wanted {
        Some(wanted) => names.iter().position(|name| name.as_ref() == wanted),
        None => {
            let bare: Vec<String> = names.iter().map(|name| bare(name.as_ref())).collect();
            TIME_NAMES.iter().find_map(|known| bare.iter().position(|name| name == known))
        }
    }
}

/// Returns whether a name tells that a column is a time, or a part of it.
pub fn is_time_name(name: &str) -> bool {
    TIME_NAMES.contains(&&*bare(name))
}

/// Returns a name in lower case, without a unit in brackets (`Time [s]`) and what separates words
/// (`Date/Time`). `T` stays, which is a temperature where there is another time.
pub fn bare(name: &str) -> String {
    let end = name.find(['(', '[']).unwrap_or(name.len());
    match name[..end].trim() {
        "T" => "T".to_owned(),
        name => name.to_lowercase().replace([' ', '_', '/'], ""),
    }
}

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What separates fields.
    pub delimiter: u8,
    /// The byte of the text with which the header begins.
    pub begin: usize,
    /// How many lines are before the header.
    pub lines_before: u64,
    /// How many lines before the header are neither blank nor a comment nor name the separator.
    pub preamble: usize,
    /// How many rows below the header hold units and the like.
    pub units: usize,
}

/// What separates fields, if nothing says so.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The most lines in which a header is looked for.
const SEARCHED: usize = 100;
/// The most rows of units and the like: loggers write a second one that says what was averaged.
const UNITS: usize = 2;

/// A line of the text that is not blank.
#[derive(Clone, Copy)]
struct Line<'a> {
    begin: usize,
    number: u64,
    text: &'a str,
    comment: bool,
}

/// Finds the table in a text. Its header is the first line with a name of the time below which there
/// is a time; before it may be a line `sep=;`, comments, and whatever else is no row of numbers. A
/// comment is the header if no other line is. Where there is no such line, the table begins with the
/// first one. The time may have a name that is `wanted`.
pub fn find(text: &str, wanted: Option<&str>) -> Dialect {
    let mut lines = lines(text).peekable();
    let given = lines.peek().and_then(|line| separator(line.text));
    let lines: Vec<Line> = lines.skip(usize::from(given.is_some())).take(SEARCHED).collect();
    let candidates = given.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
    let plain: Vec<Line> = lines.iter().filter(|line| !line.comment).copied().collect();
    let found = candidates.iter().filter_map(|&delimiter| header(&plain, delimiter, wanted));
    // The header that comes first; of several separators, the one that makes the most fields.
    let best = found.min_by_key(|(dialect, fields)| (dialect.begin, usize::MAX - fields));
    if let Some((dialect, _)) = best {
        return dialect;
    }
    let found = candidates.iter().find_map(|&delimiter| in_comment(&lines, delimiter, wanted));
    if let Some(dialect) = found {
        return dialect;
    }
    let end = Line { begin: text.len(), number: 0, text: "", comment: false };
    let first = plain.first().copied().unwrap_or(end);
    let used = |delimiter: &&u8| first.text.as_bytes().contains(delimiter);
    let delimiter = candidates.iter().find(used).copied().unwrap_or(candidates[0]);
    let (begin, lines_before) = (first.begin, first.number);
    Dialect { delimiter, begin, lines_before, preamble: 0, units: 0 }
}

/// Returns the form of a table with these separators, with the number of its columns, if one of the
/// lines is its header.
fn header(lines: &[Line], delimiter: u8, wanted: Option<&str>) -> Option<(Dialect, usize)> {
    for (index, line) in lines.iter().enumerate() {
        let names = fields(line.text, delimiter);
        if let Some(units) = rows_of_units(&names, &lines[index + 1..], delimiter, wanted) {
            let (begin, lines_before) = (line.begin, line.number);
            let dialect = Dialect { delimiter, begin, lines_before, preamble: index, units };
            return Some((dialect, names.len()));
        }
        if is_row(&names) {
            // Numbers without names, which are not passed over.
            return None;
        }
    }
    None
}

/// Returns the form of a table whose header is the last comment above its first row, if it is.
fn in_comment(lines: &[Line], delimiter: u8, wanted: Option<&str>) -> Option<Dialect> {
    let first = lines.iter().position(|line| !line.comment)?;
    let line = lines[..first].last()?;
    let text = line.text.trim_start_matches(['#', '%', ' ', '\t']);
    let names = fields(text, delimiter);
    let row = fields(lines[first].text, delimiter);
    let units = rows_of_units(&names, &lines[first..=first], delimiter, wanted)?;
    let begin = line.begin + line.text.len() - text.len();
    let lines_before = line.number;
    (names.len() == row.len() && names.len() > 1).then_some(Dialect {
        delimiter,
        begin,
        lines_before,
        preamble: 0,
        units,
    })
}

/// Returns how many rows of units follow on these names, if they are those of a table: below the name
/// of the time is a time.
fn rows_of_units(
    names: &[&str],
    below: &[Line],
    delimiter: u8,
    wanted: Option<&str>,
) -> Option<usize> {
    let time = time_column(names, wanted)?;
    let rows = below.iter().take(UNITS + 1).map(|line| fields(line.text, delimiter));
    for (index, row) in rows.enumerate() {
        if row.get(time).is_some_and(|field| is_value(field)) {
            return Some(index);
        }
        if !are_units(&row) {
            return None;
        }
    }
    None
}

/// Whether a field is a number or a date.
fn is_value(field: &str) -> bool {
    cell::read(field) != Cell::Text || time::is_date(field)
}

/// Whether fields are a row of numbers: several of them, and no words but those for missing values.
fn is_row(fields: &[&str]) -> bool {
    fields.len() > 1
        && fields.iter().any(|field| is_value(field))
        && fields.iter().all(|field| is_value(field) || cell::is_missing(field))
}

/// Whether fields may be units: there are some, and none is a number or a date.
fn are_units(fields: &[&str]) -> bool {
    fields.iter().any(|field| !cell::is_missing(field))
        && !fields.iter().any(|field| is_value(field))
}

/// Iterates over the lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let (mut begin, mut number) = (0, 0);
    let lines = text.split_inclusive(['\n', '\r']).map(move |line| {
        let found = Line {
            begin,
            number,
            text: line.trim_end_matches(['\n', '\r']),
            comment: is_comment(line.as_bytes()),
        };
        begin += line.len();
        number += u64::from(line.ends_with('\n'));
        found
    });
    lines.filter(|line| !line.text.trim().is_empty())
}

/// Returns whether a line is a comment. It is none where a spreadsheet wrote `#N/A` or `#DIV/0!`.
fn is_comment(line: &[u8]) -> bool {
    const ERRORS: [&str; 8] =
        ["#N/A", "#NA", "#NUM!", "#NAME?", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!"];
    let is_error = |word: &&str| line.starts_with(word.as_bytes());
    line.starts_with(b"%") || line.starts_with(b"#") && !ERRORS.iter().any(|word| is_error(&word))
}

/// Returns the separator that a line like `sep=;` names, as spreadsheets write it.
fn separator(line: &str) -> Option<u8> {
    let named = line.trim_matches('"').strip_prefix("sep=")?;
    match named.as_bytes() {
        &[byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'"' => Some(byte),
        _ => None,
    }
}

/// Splits a line at its separators, but for those between quotation marks.
fn fields(line: &str, delimiter: u8) -> Vec<&str> {
    let (mut quoted, mut begin, mut found) = (false, 0, Vec::new());
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            _ if byte == delimiter && !quoted => {
                found.push(line[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(line[begin..].trim());
    found.iter_mut().for_each(|field| *field = field.trim_matches('"').trim());
    found
}

/// Returns the text with comments, lines that begin with `#` or `%` outside of quotation marks, made
/// blank.
///
/// # Errors
/// The number of the line, from 1, in which a quotation mark is opened that is never closed: the rest
/// of the text would be one field.
pub fn without_comments(text: &str, delimiter: u8) -> Result<Cow<'_, str>, u64> {
    let bytes = text.as_bytes();
    let (mut kept, mut copied) = (String::new(), 0);
    let (mut line, mut opened, mut at) = (1, None, 0);
    let (mut line_begins, mut field_begins) = (true, true);
    while at < bytes.len() {
        if line_begins && opened.is_none() && is_comment(&bytes[at..]) {
            let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
            kept += &text[copied..at];
            at += bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
            copied = at;
            line_begins = false;
            continue;
        }
        let byte = bytes[at];
        let ends_line = matches!(byte, b'\n' | b'\r');
        match (byte, opened) {
            (b'"', None) if field_begins => opened = Some(line),
            // Two in a quoted field stand for one.
            (b'"', Some(_)) if bytes.get(at + 1) == Some(&b'"') => at += 1,
            (b'"', Some(_)) => opened = None,
            _ => {}
        }
        field_begins = opened.is_none() && (byte == delimiter || ends_line);
        line_begins = ends_line;
        line += u64::from(byte == b'\n');
        at += 1;
    }
    match opened {
        Some(line) => Err(line),
        None if copied == 0 => Ok(Cow::Borrowed(text)),
        None => Ok(Cow::Owned(kept + &text[copied..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_found_below_what_loggers_write() {
        for (text, delimiter, header, preamble, units) in [
            ("t,x\n0,1\n", b',', "t,x", 0, 0),
            ("sep=;\nt;x,y\n0;1\n", b';', "t;x,y", 0, 0),
            ("# a, comment\n\n%another\nt\tx\n0\t1\n", b'\t', "t\tx", 0, 0),
            ("Logger 3\nrate,20\nstart;5\n\nt;x\n0;1,5\n", b';', "t;x", 3, 0),
            ("Date,2021-03-01\nTime,08:00\nt,x\n0,1\n", b',', "t,x", 2, 0),
            ("t;p, abs;T\n0;1,5;2\n", b';', "t;p, abs;T", 0, 0),
            ("t,x\ns,m\n0,1\n", b',', "t,x", 0, 1),
            ("t,x\n,m\n0,1\n", b',', "t,x", 0, 1),
            ("t,x,y\ns,-,m\n0,1,2\n", b',', "t,x,y", 0, 1),
            (
                "a,b\n\"TIMESTAMP\",\"x\"\n\"TS\",\"m\"\n\"\",\"Avg\"\n\"2021-03-01\",1\n",
                b',',
                "\"TIMESTAMP\"",
                1,
                2,
            ),
            ("t,x,\n0,1,\n", b',', "t,x,", 0, 0),
            ("date,x\n2021-03-01,NaN\n", b',', "date,x", 0, 0),
            ("date,x\nMar 2021,NA\nApr 2021,1\n", b',', "date,x", 0, 0),
            ("t,1,2\n0,1,2\n", b',', "t,1,2", 0, 0),
            ("# 20 Hz\n# t,x\n0,1\n", b',', "t,x", 0, 0),
            ("% t, x\n0,1\n", b',', "t, x", 0, 0),
            ("# t,x\nt,x\n0,1\n", b',', "t,x\n0", 0, 0),
            // None that is passed over in silence.
            ("0,1\n1,2\nt,x\n2,3\n", b',', "0,1", 0, 0),
            ("t,x\nNaN,NaN\n1,2\n", b',', "t,x", 0, 0),
            ("t,x\nsoon,1\n2,3\n", b',', "t,x", 0, 0),
            ("x\n1\n", b',', "x", 0, 0),
            ("# t,x,y\n0,1\n", b',', "0,1", 0, 0),
        ] {
            let found = find(text, None);
            let rest = &text[found.begin..];
            assert!(rest.starts_with(header), "{text:?}: {found:?}");
            let form = (found.delimiter, found.preamble, found.units);
            assert_eq!(form, (delimiter, preamble, units), "{text:?}");
            let before = text[..found.begin].matches('\n').count() as u64;
            assert_eq!(found.lines_before, before, "{text:?}");
        }
        let text = "Logger,3\nwhen,x\n0,1\n";
        assert_eq!((find(text, None).begin, find(text, Some("when")).begin), (0, 9));
    }

    #[test]
    fn the_time_is_found_by_its_name() {
        for (names, time) in [
            (&["x", "t"][..], Some(1)),
            (&["x", "Time (s)"], Some(1)),
            (&["Date/Time", "x"], Some(0)),
            (&["T", "time"], Some(1)),
            (&["T [C]", "x"], Some(0)),
            (&["x", "y"], None),
        ] {
            assert_eq!(time_column(names, None), time, "{names:?}");
        }
    }

    #[test]
    fn comments_are_made_blank() {
        for (text, expected) in [
            ("t,x\n0,1\n", Ok("t,x\n0,1\n")),
            ("t,x\n# a \"b\n0,1\n%\n1,2\n#", Ok("t,x\n\n0,1\n\n1,2\n")),
            ("t,x\r\n#,\"\r\n0,1\r\n", Ok("t,x\r\n\r\n0,1\r\n")),
            ("x,t\n#N/A,0\n#DIV/0!,1\n#NUM!,2\n", Ok("x,t\n#N/A,0\n#DIV/0!,1\n#NUM!,2\n")),
            ("x,t\n#No,0\n#1,0\n1,0\n", Ok("x,t\n\n\n1,0\n")),
            ("t,\"x\n#y\"\n0,1\n", Ok("t,\"x\n#y\"\n0,1\n")),
            ("t,x\n#\"\n0,\"1\n", Err(3)),
        ] {
            assert_eq!(
                without_comments(text, b',').as_deref(),
                expected.as_ref().copied(),
                "{text:?}"
            );
        }
    }
}
