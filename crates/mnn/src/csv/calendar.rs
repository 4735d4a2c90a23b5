//! Finds out whether the times of a table are dates, and how they are written.

use csv::StringRecord;
use mechanistic::Result;

use super::Columns;
use super::cell::{self, Cell};
use super::layout::Layout;
use super::source::{Source, beginning, quoted};
use super::time::{Calendar, Clock, Dates, Trouble};

/// Returns how dates become times if the times are dates; checks that those of the files `before`
/// are, too.
pub fn find(
    source: &Source,
    layout: &Layout,
    columns: &Columns,
    before: Option<Option<Clock>>,
) -> Result<Option<Calendar>> {
    let (mut reader, mut record) = (source.rows()?, StringRecord::new());
    let mut dates = Dates::default();
    // The first time: its line, its text, and whether it is a number.
    let mut first: Option<(u64, String, bool)> = None;
    let mut numbers = false;
    while !numbers && source.next(&mut reader, &mut record)? {
        let text = layout.time_text(&record);
        if text.is_empty() {
            continue;
        }
        let is_number = cell::read(&text) != Cell::Text;
        let is_date = dates.add(&text, columns.date_order);
        let (_, _, first_is_number) = *first
            .get_or_insert_with(|| (source.line(&record), beginning(&text).to_owned(), is_number));
        if !is_date && first_is_number {
            numbers = true;
        } else if !is_date {
            let like = match first.as_ref().is_some_and(|(line, ..)| *line == source.line(&record))
            {
                true => "not a number and no date",
                false => "no date like those before",
            };
            let message = format_args!(
                "{like}: {} (dates like 2021-03-31 08:00, 31.3.2021 8:00, 3/31/2021 8:00 AM, 31 Mar \
                 2021, 08:00:00 are read, with years of four digits)",
                quoted(&text)
            );
            return Err(source.in_column(source.line(&record), layout.time, message));
        }
    }
    let Some((line, text, _)) = first else { return Ok(None) };
    if !numbers && dates.are_digits() && !are_asked(source, layout, columns, before) {
        let (path, name) = (source.path.display(), &source.header[layout.time]);
        tracing::warn!(
            "{path}:{line}: column `{name}`: {text} is read as a number; if it is a date, pass \
             --time-unit"
        );
        numbers = true;
    }
    let refuse = |message: &str| Err(source.in_column(line, layout.time, message));
    match (numbers, before) {
        (true, Some(Some(_))) => {
            return refuse("the times are numbers, those of the first file are dates");
        }
        (false, Some(None)) => {
            return refuse("the times are dates, those of the first file are numbers");
        }
        (true, _) if columns.time_unit.is_some() => {
            return refuse("the times are numbers, for which --time-unit has no meaning");
        }
        (true, _) if columns.date_order.is_some() => {
            return refuse("the times are numbers, for which --date-order has no meaning");
        }
        (true, _) => return Ok(None),
        (false, _) => {}
    }
    let clock = before.flatten().or(columns.clock);
    match dates.calendar(clock, columns.time_unit) {
        Ok(calendar) => {
            if clock.is_none() && columns.time_unit.is_none() {
                let (path, name) = (source.path.display(), &source.header[layout.time]);
                let clock = calendar.clock;
                let hint = match calendar.is_local() {
                    true => "; without a time zone, dates have no daylight saving time",
                    false => "",
                };
                tracing::warn!(
                    "{path}: column `{name}` holds dates: times are {clock} (--time-unit){hint}"
                );
            }
            Ok(Some(calendar))
        }
        Err(Trouble::Ambiguous) => refuse(&format!(
            "{}: the day or the month may come first in all dates: pass --date-order day-first or \
             --date-order month-first",
            quoted(&text)
        )),
        Err(Trouble::Zone) => refuse(&format!(
            "{}: either all dates must have a time zone, or none, in all files",
            quoted(&text)
        )),
        Err(Trouble::Day) => refuse(&format!(
            "{}: either all times must be times of day, or none, in all files",
            quoted(&text)
        )),
    }
}

/// Returns whether numbers like 20210331 may be dates: the name of their column says so, or the user,
/// or the files before have dates.
fn are_asked(
    source: &Source,
    layout: &Layout,
    columns: &Columns,
    before: Option<Option<Clock>>,
) -> bool {
    const NAMES: [&str; 7] = ["date", "datetime", "timestamp", "when", "day", "month", "datum"];
    let name = source.header[layout.time].to_lowercase();
    let named = || name.split(|c: char| !c.is_alphanumeric()).any(|word| NAMES.contains(&word));
    let flagged =
        columns.time_unit.is_some() || columns.date_order.is_some() || columns.clock.is_some();
    before.map_or_else(|| flagged || named(), |clock| clock.is_some())
}
