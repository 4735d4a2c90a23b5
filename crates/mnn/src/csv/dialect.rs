//! Where in a text its table begins, and how its fields are separated.

use super::cell::{self, Cell};
use super::comments::{self, Comments, Shape};
use super::time;

/// The names that make a column the time, best first; they are compared as [`bare`] gives them.
const TIME_NAMES: [&str; 29] = [
    "t",
    "time",
    "times",
    "zeit",
    "uhrzeit",
    "timestamp",
    "datetime",
    "elapsed",
    "elapsedtime",
    "date",
    "datum",
    "year",
    "years",
    "month",
    "months",
    "week",
    "weeks",
    "day",
    "days",
    "tage",
    "hour",
    "hours",
    "stunden",
    "minute",
    "minutes",
    "minuten",
    "second",
    "seconds",
    "sekunden",
];
/// Those that a unit may follow, as in `time_min`.
const BEFORE_UNITS: [&str; 6] = ["t", "time", "zeit", "timestamp", "elapsed", "elapsedtime"];
/// Units of time as they stand in names and in rows of units.
const UNITS_OF_TIME: [&str; 34] = [
    "ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "msec", "s", "sec", "secs", "second", "seconds",
    "sekunden", "min", "mins", "minute", "minutes", "minuten", "h", "hr", "hrs", "hour", "hours",
    "stunden", "d", "day", "days", "tage", "week", "weeks", "month", "months", "year", "years",
    "yr",
];

/// Returns the column of the time: the one that is called so, or else one whose name tells it. `T` is a
/// temperature as often as a time: it counts where its unit is one of time, or as the first column, if no
/// other is the time.
pub fn time_column<S: AsRef<str>>(names: &[S], wanted: Option<&str>) -> Option<usize> {
    if let Some(wanted) = wanted {
        return names.iter().position(|name| name.as_ref() == wanted);
    }
    let bare: Vec<String> = names.iter().map(|name| bare(name.as_ref())).collect();
    let known = TIME_NAMES.iter().find_map(|known| bare.iter().position(|name| name == known));
    let with_unit = || names.iter().position(|name| is_time_with_unit(name.as_ref()));
    known.or_else(with_unit).or_else(|| (bare.first()? == "T").then_some(0))
}

/// Returns whether a name is that of a time and its unit, such as `t_s`, `elapsed min` or `T [s]`, but not
/// `T_s`, the temperature of a surface.
fn is_time_with_unit(name: &str) -> bool {
    let in_brackets =
        name.strip_prefix('T').map(|rest| rest.trim_matches(['[', ']', '(', ')', ' ']));
    if bare(name) == "T" {
        return in_brackets.is_some_and(is_unit_of_time);
    }
    let words = name.rsplit_once(['_', ' ', '.', '-', '/']);
    words.is_some_and(|(time, unit)| BEFORE_UNITS.contains(&&*bare(time)) && is_unit_of_time(unit))
}

fn is_unit_of_time(unit: &str) -> bool {
    UNITS_OF_TIME.contains(&&*unit.to_lowercase())
}

/// Returns whether a name tells that a column is a part of a time.
pub fn is_part_of_time(name: &str) -> bool {
    TIME_NAMES.contains(&&*bare(name))
}

/// Returns a name in lower case, without a unit in brackets (`Time [s]`) and what separates words
/// (`Date/Time`). `T` stays, unless its unit is one of temperatures.
pub fn bare(name: &str) -> String {
    let end = name.find(['(', '[']).unwrap_or(name.len());
    match name[..end].trim() {
        "T" if is_temperature(&name[end..]) => "temperature".to_owned(),
        "T" => "T".to_owned(),
        name => name.to_lowercase().replace([' ', '_', '/'], ""),
    }
}

/// Returns whether a unit in brackets is one of temperatures.
fn is_temperature(unit: &str) -> bool {
    let unit = unit.trim_matches(['[', ']', '(', ')', ' ', '°', 'º']).to_lowercase();
    let unit = unit.strip_prefix("deg").unwrap_or(&unit).trim();
    ["c", "k", "f", "celsius", "kelvin", "fahrenheit"].contains(&unit)
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
    /// The comments before the header.
    pub comments: Comments,
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
/// comment is the header if no other line is. Where there is no such line, the header is the one above
/// the first row of numbers, or else the first one. The time may have a name that is `wanted`.
pub fn find(text: &str, wanted: Option<&str>) -> Dialect {
    let mut rest = lines(text).peekable();
    let given = rest.peek().and_then(|line| separator(line.text));
    let candidates = given.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
    let blank =
        |c: char| c.is_whitespace() || c == '"' || candidates.iter().any(|&d| c == char::from(d));
    let rest = rest.skip(usize::from(given.is_some()));
    let lines = searched(rest.filter(|line| !line.text.chars().all(blank)));
    let plain: Vec<Line> = lines.iter().filter(|line| !line.comment).copied().collect();

    let best = |wanted: Option<&str>| {
        let found = candidates.iter().filter_map(|&delimiter| header(&lines, delimiter, wanted));
        // The header that comes first; of several separators, the one that makes the most fields.
        let best = found.min_by_key(|(dialect, fields)| (dialect.begin, usize::MAX - fields));
        let commented = || candidates.iter().find_map(|&d| in_comment(&lines, d, wanted));
        best.map(|(dialect, _)| dialect).or_else(commented)
    };
    let above = || candidates.iter().find_map(|&delimiter| above_numbers(&plain, delimiter));
    // A name that is wanted and not there is reported for the header that is found without it.
    let found = best(wanted).or_else(|| best(None)).or_else(above);
    let dialect = found.unwrap_or_else(|| {
        let end = Line { begin: text.len(), number: 0, text: "", comment: false };
        let first = plain.first().copied().unwrap_or(end);
        let used = |delimiter: &&u8| first.text.as_bytes().contains(delimiter);
        first.header(candidates.iter().find(used).copied().unwrap_or(candidates[0]), 0, 0)
    });
    let mut comments = Comments::default();
    // The header may be the rest of a comment.
    let whole = |line: &Line| line.begin + line.text.len() < dialect.begin;
    for line in self::lines(&text[..dialect.begin]).filter(|line| line.comment && whole(line)) {
        comments.add(line.number + 1);
    }
    Dialect { comments, ..dialect }
}

/// Returns the lines among which the header is looked for; of many comments on end, the last.
fn searched<'a>(lines: impl Iterator<Item = Line<'a>>) -> Vec<Line<'a>> {
    let (mut found, mut plain, mut comments) = (Vec::new(), 0, 0);
    for line in lines {
        comments = if line.comment { comments + 1 } else { 0 };
        if comments > SEARCHED {
            found.pop();
        }
        found.push(line);
        plain += usize::from(!line.comment);
        if plain == SEARCHED {
            break;
        }
    }
    found
}

impl Line<'_> {
    /// Returns the form of a table that begins with this line.
    fn header(&self, delimiter: u8, preamble: usize, units: usize) -> Dialect {
        let (begin, lines_before) = (self.begin, self.number);
        Dialect { delimiter, begin, lines_before, preamble, units, comments: Comments::default() }
    }
}

/// Returns the form of a table with these separators, with the number of its columns, if one of the
/// lines is its header.
fn header(lines: &[Line], delimiter: u8, wanted: Option<&str>) -> Option<(Dialect, usize)> {
    let plain = lines.iter().enumerate().filter(|(_, line)| !line.comment);
    for (preamble, (index, line)) in plain.enumerate() {
        let names = fields(line.text, delimiter);
        let units = rows_of_units(&names, &lines[index + 1..], delimiter, wanted);
        // A name alone with a time below it may be what a logger writes above its table.
        if let Some(units) = units.filter(|_| names.len() > 1) {
            return Some((line.header(delimiter, preamble, units), names.len()));
        }
        if is_row(&names) {
            // Numbers without names, which are not passed over.
            return None;
        }
    }
    None
}

/// Returns the form of a table whose header is the comment above its first row, if it is.
fn in_comment(lines: &[Line], delimiter: u8, wanted: Option<&str>) -> Option<Dialect> {
    let mut preamble = 0;
    for pair in lines.windows(2) {
        let row = fields(pair[1].text, delimiter);
        let text = pair[0].text.trim_start_matches(['#', '%', ' ', '\t']);
        let names = fields(text, delimiter);
        let shape = Shape::new(&names, delimiter, wanted);
        let is_row = !pair[1].comment || shape.is_row(pair[1].text);
        if pair[0].comment
            && is_row
            && names.len() == row.len()
            && names.len() > 1
            && let Some(units) = rows_of_units(&names, &pair[1..], delimiter, wanted)
        {
            let begin = pair[0].begin + pair[0].text.len() - text.len();
            return Some(Line { begin, ..pair[0] }.header(delimiter, preamble, units));
        }
        preamble += usize::from(!pair[0].comment);
        if !pair[1].comment && self::is_row(&row) {
            return None;
        }
    }
    None
}

/// Returns the form of a table whose header is the line above its first row, if it has as many fields
/// and no number among them.
fn above_numbers(lines: &[Line], delimiter: u8) -> Option<Dialect> {
    let row = lines.iter().position(|line| is_row(&fields(line.text, delimiter)))?;
    let header = &lines[row.checked_sub(1)?];
    let names = fields(header.text, delimiter);
    let equal = names.len() == fields(lines[row].text, delimiter).len();
    let named = !names.iter().any(|name| is_value(name));
    (equal && named).then(|| header.header(delimiter, row - 1, 0))
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
    let shape = Shape::new(names, delimiter, wanted);
    let rows = below.iter().filter(|line| !line.comment || shape.is_row(line.text));
    let rows = rows.take(UNITS + 1).map(|line| fields(line.text, delimiter));
    for (index, row) in rows.enumerate() {
        if row.get(time).is_some_and(|field| is_value(field)) {
            return Some(index);
        }
        if !are_units(&row, time) {
            return None;
        }
    }
    None
}

/// Returns whether a field is a number or a date.
pub fn is_value(field: &str) -> bool {
    cell::read(field) != Cell::Text || time::is_date(field)
}

/// Whether fields are a row of numbers: several of them, and no words but those for missing values.
fn is_row(fields: &[&str]) -> bool {
    fields.len() > 1
        && fields.iter().any(|field| is_value(field))
        && fields.iter().all(|field| is_value(field) || cell::is_missing(field))
}

/// Whether fields may be units: there are some, and none is a number or a date, but for a 1 beside a
/// unit of time. What names a time and is no unit is in a header.
fn are_units(fields: &[&str], time: usize) -> bool {
    let field = fields.get(time).copied().unwrap_or_default();
    let of_time = is_unit_of_time(field.trim_matches(['[', ']', '(', ')']));
    (of_time || !is_part_of_time(field))
        && fields.iter().any(|field| !cell::is_missing(field))
        && fields.iter().all(|field| !is_value(field) || of_time && *field == "1")
}

/// Iterates over the lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let (mut begin, mut number) = (0, 0);
    let lines = text.split_inclusive(['\n', '\r']).map(move |line| {
        let found = Line {
            begin,
            number,
            text: line.trim_end_matches(['\n', '\r']),
            comment: comments::begins(line),
        };
        begin += line.len();
        number += u64::from(line.ends_with('\n'));
        found
    });
    lines.filter(|line| !line.text.trim().is_empty())
}

/// Returns the separator that a line like `sep=;` names, as spreadsheets write it.
fn separator(line: &str) -> Option<u8> {
    let named = line.trim_matches('"').strip_prefix("sep=")?;
    match named.as_bytes() {
        &[byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'"' => Some(byte),
        _ => None,
    }
}

/// Returns the fields of a line: it is split at its separators, but for those between quotation marks.
pub fn fields(line: &str, delimiter: u8) -> Vec<&str> {
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
            ("Logger 3\n#,t,x\n1,0,1\n", b',', ",t,x", 1, 0),
            ("Time\n08:00\nt,x\n0,1\n", b',', "t,x", 2, 0),
            ("t,x\ns,1\n0,5\n", b',', "t,x", 0, 1),
            ("Zeit;x\nSekunden;m\n0;5\n", b';', "Zeit;x", 0, 1),
            ("Time,UTC\nt,x\n0,1\n", b',', "t,x", 1, 0),
            ("t,x\n[s],[m]\n0,5\n", b',', "t,x", 0, 1),
            (",,\nLogger,,\n  \nrun,t,x\n;;\n#1,0,5\n", b',', "run,t,x", 1, 0),
            ("Logger 3\nrate;20 Hz\nwhen;x\n0;5\n", b';', "when;x", 2, 0),
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
        let text = "Logger\nwhen,x\nlow,0\n";
        assert_eq!((find(text, None).begin, find(text, Some("x")).begin), (0, 7));
        // A name that is not there.
        assert_eq!(find("Logger\nt,x\n0,1\n", Some("time")).begin, 7);
        // Many comments, of which the last is the header, or none.
        for (header, begin) in [("t,x", 0), ("# t,x", 2)] {
            let text = "# comment\n".repeat(300) + header + "\n0,1\n";
            let found = find(&text, None);
            assert_eq!((found.begin, found.lines_before), (3000 + begin, 300));
            assert_eq!(found.comments, Comments { count: 300, first: 1 });
        }
    }

    #[test]
    fn the_time_is_found_by_its_name() {
        for (names, time) in [
            (&["x", "t"][..], Some(1)),
            (&["x", "Time (s)"], Some(1)),
            (&["Date/Time", "x"], Some(0)),
            (&["T", "time"], Some(1)),
            (&["T", "x"], Some(0)),
            (&["T [s]", "x"], Some(0)),
            (&["T [C]", "x"], None),
            (&["T (\u{b0}C)", "x"], None),
            (&["T [deg F]", "x"], None),
            (&["T [K]", "x", "minutes"], Some(2)),
            (&["x", "T"], None),
            (&["elapsed", "T"], Some(0)),
            (&["T", "elapsed_s", "c"], Some(1)),
            (&["T", "time_min"], Some(1)),
            (&["x", "t_ms"], Some(1)),
            (&["T", "Elapsed time min"], Some(1)),
            (&["x_s", "t_x"], None),
            (&["x", "T_min", "T_max"], None),
            (&["x", "T [s]"], Some(1)),
            (&["Sekunden", "T", "c"], Some(0)),
            (&["x", "Zeit"], Some(1)),
            (&["T", "week"], Some(1)),
            (&["x", "y"], None),
        ] {
            assert_eq!(time_column(names, None), time, "{names:?}");
        }
    }
}
